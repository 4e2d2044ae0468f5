//! Cutting a scene into overlapping tiles of one size.

use super::{Mask, Window};
use crate::error::{Error, Hint, Key, Result};

/// How a scene is cut: square tiles of `tile_px` in rows from top to bottom, neighbours sharing
/// at least `overlap_px`. The last tile of a row or column is shifted back so as not to leave
/// the scene; a side of the scene shorter than a tile is taken whole, so that every window has
/// one size: `min(tile_px, height)` x `min(tile_px, width)`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tiling {
    /// Side of a tile in pixels.
    pub tile_px: usize,
    /// Least overlap of neighbouring tiles in pixels.
    pub overlap_px: usize,
    /// Rows of the scene.
    pub height: usize,
    /// Columns of the scene.
    pub width: usize,
}

impl Tiling {
    /// A tiling of a scene of `height` x `width` pixels.
    ///
    /// # Errors
    /// [`Error::Setting`] when the tile has no pixel or the overlap is not smaller than the
    /// tile; [`Error::Mismatch`] when the scene has no pixel.
    pub fn new(height: usize, width: usize, tile_px: usize, overlap_px: usize) -> Result<Self> {
        if tile_px == 0 {
            return Err(Error::Setting {
                key: Key::TilePx,
                expected: "at least 1".into(),
                got: "0".into(),
                hint: Hint::Advice("64 to 512 pixels are usual; larger tiles need more memory"),
            });
        }
        if overlap_px >= tile_px {
            return Err(Error::Setting {
                key: Key::OverlapPx,
                expected: format!("smaller than their side ({tile_px})"),
                got: overlap_px.to_string(),
                hint: Hint::Advice("a quarter of the tile is a good overlap"),
            });
        }
        if height == 0 || width == 0 {
            return Err(Error::Mismatch {
                what: "scene size",
                expected: "at least 1x1 pixels".into(),
                got: format!("{height}x{width}"),
                hint: Hint::Advice("the scene holds no pixel; check the input file"),
            });
        }
        Ok(Tiling {
            tile_px,
            overlap_px,
            height,
            width,
        })
    }

    /// First rows of the rows of tiles, top to bottom.
    pub fn row_starts(&self) -> Vec<usize> {
        self.starts(self.height)
    }

    /// First columns of the tiles of a row, left to right.
    pub fn col_starts(&self) -> Vec<usize> {
        self.starts(self.width)
    }

    fn starts(&self, size: usize) -> Vec<usize> {
        let stride = self.tile_px - self.overlap_px;
        let last = size.saturating_sub(self.tile_px);
        let mut starts: Vec<usize> = (0..last).step_by(stride).collect();
        starts.push(last);
        starts
    }

    /// How many rows of tiles there are.
    pub fn rows(&self) -> usize {
        self.height
            .saturating_sub(self.tile_px)
            .div_ceil(self.tile_px - self.overlap_px)
            + 1
    }

    /// The tiles of one row (0-based, less than [`rows`](Self::rows)), left to right.
    pub fn tiles_in_row(&self, row: usize) -> Vec<Window> {
        let band = self.band(row);
        let width = self.tile_px.min(self.width);
        let starts = self.col_starts().into_iter();
        starts.map(|col| Window { col, width, ..band }).collect()
    }

    /// All tiles, row after row.
    pub fn tiles(&self) -> impl Iterator<Item = Window> + '_ {
        (0..self.rows()).flat_map(|row| self.tiles_in_row(row))
    }

    /// The tiles of all rows that hold a set pixel of a mask of the whole scene; only these need
    /// computing.
    pub fn tiles_touching(&self, mask: &Mask) -> Vec<Window> {
        self.tiles().filter(|&tile| mask.any_in(tile)).collect()
    }

    /// The tiles of one row that hold a set pixel, where `mask` is that of the full-width
    /// [`band`](Self::band) of the row only: for scenes that are never whole in memory.
    pub fn tiles_in_row_touching(&self, row: usize, mask: &Mask) -> Vec<Window> {
        let band = self.band(row);
        let tiles = self.tiles_in_row(row).into_iter();
        tiles
            .filter(|tile| mask.any_in(tile.relative_to(band)))
            .collect()
    }

    /// The full-width window that the tiles of a row lie in.
    pub fn band(&self, row: usize) -> Window {
        Window {
            row: self.start_of_row(row),
            col: 0,
            height: self.tile_px.min(self.height),
            width: self.width,
        }
    }

    /// The full-width rows that no later row of tiles touches once this one is done: from the
    /// first row of these tiles to the first row of the next ones, or to the end of the scene.
    /// Over all rows they are every row of the scene once, in order.
    pub fn finished(&self, row: usize) -> Window {
        let start = self.start_of_row(row);
        let end = match row + 1 < self.rows() {
            true => self.start_of_row(row + 1),
            false => self.height,
        };
        Window {
            row: start,
            col: 0,
            height: end - start,
            width: self.width,
        }
    }

    fn start_of_row(&self, row: usize) -> usize {
        (row * (self.tile_px - self.overlap_px)).min(self.height.saturating_sub(self.tile_px))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn bad_settings_say_what_and_why() {
        let error = Tiling::new(10, 10, 64, 64).unwrap_err();
        assert_eq!(
            error.to_string(),
            "overlap of the tiles must be smaller than their side (64), got 64"
        );
        assert!(error.hint().is_some());
        assert!(Tiling::new(10, 10, 0, 0).is_err());
        assert!(Tiling::new(0, 10, 64, 16).is_err());
    }

    #[test]
    fn the_last_tile_is_shifted_back() {
        let tiling = Tiling::new(100, 50, 64, 16).unwrap();
        assert_eq!(tiling.row_starts(), [0, 36]);
        assert_eq!(tiling.col_starts(), [0]);
        let tile = tiling.tiles().nth(1).unwrap();
        assert_eq!((tile.row, tile.height, tile.width), (36, 64, 50));
        assert_eq!(Tiling::new(64, 64, 64, 16).unwrap().tiles().count(), 1);
    }

    #[test]
    fn only_touched_tiles() {
        let tiling = Tiling::new(20, 20, 8, 2).unwrap();
        let mask = Mask::from_fn(20, 20, |row, col| row == 7 && col == 19);
        let touched = tiling.tiles_touching(&mask);
        let corners: Vec<_> = touched.iter().map(|t| (t.row, t.col)).collect();
        assert_eq!(corners, [(0, 12), (6, 12)]);
    }

    proptest! {
        #[test]
        fn tiles_cover_the_scene_and_overlap(
            height in 1usize..70, width in 1usize..70, tile_px in 1usize..30, overlap in 0usize..30,
        ) {
            let overlap_px = overlap % tile_px;
            let tiling = Tiling::new(height, width, tile_px, overlap_px).unwrap();
            prop_assert_eq!(tiling.rows(), tiling.row_starts().len());
            let mut seen = Mask::new(height, width, false);
            for tile in tiling.tiles() {
                prop_assert_eq!((tile.height, tile.width), (tile_px.min(height), tile_px.min(width)));
                prop_assert!(tile.row_end() <= height && tile.col_end() <= width);
                for row in tile.row..tile.row_end() {
                    seen.data[row * width + tile.col..][..tile.width].fill(true);
                }
            }
            prop_assert_eq!(seen.count(), height * width);
            for (row, &start) in tiling.row_starts().iter().enumerate() {
                prop_assert_eq!(start, tiling.band(row).row);
            }
            for pair in tiling.row_starts().windows(2) {
                prop_assert!(pair[1] > pair[0] && pair[0] + tile_px - pair[1] >= overlap_px);
            }
        }

        #[test]
        fn finished_rows_are_the_scene_in_order(
            height in 1usize..70, tile_px in 1usize..30, overlap in 0usize..30,
        ) {
            let tiling = Tiling::new(height, 5, tile_px, overlap % tile_px).unwrap();
            let mut next = 0;
            for row in 0..tiling.rows() {
                let rows = tiling.finished(row);
                prop_assert_eq!(rows.row, next);
                next = rows.row_end();
            }
            prop_assert_eq!(next, height);
        }

        #[test]
        fn touched_tiles_are_found_band_by_band(
            flags in prop::collection::vec(prop::bool::weighted(0.01), 900), overlap_px in 0usize..7,
        ) {
            let mask = Mask::from_vec(30, 30, flags).unwrap();
            let tiling = Tiling::new(30, 30, 8, overlap_px).unwrap();
            let by_band: Vec<_> = (0..tiling.rows())
                .flat_map(|row| tiling.tiles_in_row_touching(row, &mask.crop(tiling.band(row))))
                .collect();
            prop_assert_eq!(by_band, tiling.tiles_touching(&mask));
        }
    }
}
