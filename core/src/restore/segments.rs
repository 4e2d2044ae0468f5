//! Which tiles of a row are read and computed together.
//!
//! A scene is never read across its whole width for the sake of a few tiles: neighbouring tiles
//! with holes share one window with its surroundings (a segment), and a few segments share the
//! batches of the network (a group). Both depend on the mask and the tiling only, so that the
//! result is the same whatever memory there is.

use crate::raster::Window;

/// A segment is no wider than this, or than one tile.
const SEGMENT_PX: usize = 1024;
/// Pixels of tiles with holes from which on a group is complete.
const GROUP_PX: usize = 1 << 18;

/// The widest segment of tiles of this size, in pixels.
pub fn widest_segment_px(tile_px: usize) -> usize {
    SEGMENT_PX.max(tile_px)
}

/// How many tiles of this size are in memory at once, at most.
pub fn tiles_in_flight(tile_px: usize) -> usize {
    group_tiles(tile_px) + widest_segment_px(tile_px) / tile_px.max(1)
}

fn group_tiles(tile_px: usize) -> usize {
    (GROUP_PX / tile_px.pow(2).max(1)).max(1)
}

/// Neighbouring tiles of a row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Segment {
    /// The tiles to compute, left to right.
    pub tiles: Vec<Window>,
    /// The columns of the row that this segment finishes: first, and one past the last. Tiles of
    /// later segments do not reach into them.
    pub finishes: (usize, usize),
}

impl Segment {
    /// The smallest window that holds the tiles.
    pub fn window(&self) -> Window {
        // A segment is made around a first tile.
        let (first, last) = (self.tiles[0], self.tiles[self.tiles.len() - 1]);
        Window {
            width: last.col_end() - first.col,
            ..first
        }
    }
}

/// Divides the tiles to compute of one row, left to right, into groups of segments. Tiles no
/// more than `near_px` apart share a segment.
pub(super) fn groups(tiles: &[Window], near_px: usize) -> Vec<Vec<Segment>> {
    let mut segments: Vec<Segment> = Vec::new();
    for &tile in tiles {
        if let Some(last) = segments.last_mut() {
            let window = last.window();
            let near = tile.col <= window.col_end() + near_px;
            let short = tile.col_end() - window.col <= widest_segment_px(tile.width);
            // With a large overlap many tiles fit into a small area.
            let few = last.tiles.len() < widest_segment_px(tile.width) / tile.width;
            if near && short && few {
                last.tiles.push(tile);
                last.finishes.1 = tile.col_end();
                continue;
            }
            last.finishes.1 = last.finishes.1.min(tile.col);
        }
        segments.push(Segment {
            tiles: vec![tile],
            finishes: (tile.col, tile.col_end()),
        });
    }
    let mut groups: Vec<Vec<Segment>> = Vec::new();
    let most = group_tiles(tiles.first().map_or(1, |tile| tile.width));
    let mut room = 0;
    for segment in segments {
        let size = segment.tiles.len();
        match groups.last_mut() {
            Some(group) if room > 0 => group.push(segment),
            _ => {
                groups.push(vec![segment]);
                room = most;
            }
        }
        room = room.saturating_sub(size);
    }
    groups
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::raster::tiler::Tiling;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn every_tile_once_and_every_hole_finished(
            width in 20usize..4000, overlap_px in 0usize..19, near_px in 0usize..200,
            wanted in prop::collection::vec(prop::bool::weighted(0.4), 4000),
        ) {
            let tiling = Tiling::new(20, width, 20, overlap_px).unwrap();
            let all = tiling.tiles_in_row(0);
            let tiles: Vec<Window> =
                all.iter().zip(&wanted).filter(|(_, w)| **w).map(|(t, _)| *t).collect();
            let groups = groups(&tiles, near_px);
            let again: Vec<Window> =
                groups.iter().flatten().flat_map(|s| s.tiles.clone()).collect();
            prop_assert_eq!(&again, &tiles);
            let segments: Vec<&Segment> = groups.iter().flatten().collect();
            for group in &groups {
                let size: usize = group.iter().map(|segment| segment.tiles.len()).sum();
                prop_assert!(size <= tiles_in_flight(20));
            }
            for (at, segment) in segments.iter().enumerate() {
                let (first, end) = segment.finishes;
                prop_assert_eq!(first, segment.window().col);
                prop_assert!(end <= segment.window().col_end());
                prop_assert!(segment.window().width <= widest_segment_px(20));
                // What the segment covers and does not finish, the next one finishes.
                for later in &segments[at + 1..] {
                    prop_assert!(later.tiles[0].col >= end);
                }
                if end < segment.window().col_end() {
                    prop_assert_eq!(segments[at + 1].finishes.0, end);
                }
            }
        }
    }
}
