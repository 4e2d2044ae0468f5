//! Textures the tiles of a scene: the mean of each drawn anew from the visible ground around it.
//!
//! Each tile is textured on its own, so that the outcome depends neither on their order nor on
//! where a run was interrupted. Two draws of the same ground differ, and their mean would be
//! smooth again: tiles are not blended over their overlap but joined in its middle.

use super::ensemble::moments;
use super::{Plan, RestoreSettings, Written, tiles_in_flight};
use crate::model::Defaults;
use crate::raster::blend::Blender;
use crate::raster::texture::{COARSEST, Ground, PATCH_PX, draw, draw_bytes};
use crate::raster::tiler::Tiling;
use crate::raster::{Mask, Raster, Window, fill};

/// Side of the tiles a texture is drawn in: a few fields or streets wide; and the largest scene
/// that is one tile.
const TILE_PX: usize = 256;
const SCENE_PX: usize = 384;
/// How far around a tile pieces of ground are looked for, pixels.
const AROUND_PX: usize = 64;
/// Pixels over which neighbouring tiles are joined.
const JOIN_PX: usize = 8;

// Unknown pixels around a tile that its patches reach are smoothly filled.
const _: () = assert!(COARSEST * PATCH_PX <= fill::REACH_PX);
// What is read around tiles reaches as far as pieces are looked for.
const _: () = assert!(AROUND_PX + COARSEST <= fill::REACH_PX);

/// A tile and what is around it.
pub(super) struct Surroundings {
    /// The tile.
    pub tile: Window,
    /// The tile and its surroundings.
    pub window: Window,
    /// The restored bands, smoothly filled.
    pub estimate: Raster,
    /// What the fill is already known to be uncertain by.
    pub spread: Raster,
    /// True = observed.
    pub visible: Mask,
    /// True = a hole inside the tile.
    pub drawn: Mask,
}

/// The part of a scene (height, width) that a tile is textured from. It begins with a whole block
/// of the coarsest scale.
pub(super) fn around(tile: Window, (height, width): (usize, usize)) -> Window {
    let grown = tile.grow(AROUND_PX, height, width);
    let (row, col) = (
        grown.row - grown.row % COARSEST,
        grown.col - grown.col % COARSEST,
    );
    Window {
        row,
        col,
        height: grown.row_end() - row,
        width: grown.col_end() - col,
    }
}

/// The default side of a tile, for a scene whose larger side has so many
/// pixels: a texture wants to see more ground at once than the network, and a small scene whole.
pub fn usual_tile_px(written: Written, defaults: &Defaults, scene_px: Option<usize>) -> usize {
    match written {
        Written::Mean | Written::Sample => defaults.tile_px,
        Written::Texture => {
            let whole = scene_px.filter(|side| *side <= SCENE_PX);
            whole.unwrap_or(TILE_PX).max(defaults.tile_px)
        }
    }
}

/// Bytes that texturing tiles of this size takes at most, beside what filling them takes.
pub fn texture_bytes(tile_px: usize, bands: usize) -> usize {
    let side = tile_px + 2 * AROUND_PX + COARSEST;
    let waiting = tiles_in_flight(tile_px) * side.pow(2) * (2 * bands * size_of::<f32>() + 2);
    waiting + draw_bytes(side.pow(2), bands)
}

/// The textured tiles of the rows in flight, as residuals to the smooth fill.
pub(super) struct Textures {
    blender: Blender,
    rows: Vec<usize>,
    cols: Vec<usize>,
}

impl Textures {
    /// For a scene of which `bands` are restored.
    pub fn new(tiling: &Tiling, bands: usize) -> Self {
        Self {
            blender: Blender::new(bands, tiling.width, JOIN_PX),
            rows: tiling.row_starts(),
            cols: tiling.col_starts(),
        }
    }

    /// Textures a tile whose ensemble is `planes`, `[planes, bands, height, width]` of residuals
    /// to the smooth fill, see [`RestoreSettings::planes`].
    pub fn add(
        &mut self,
        ground: Surroundings,
        planes: &[f32],
        plan: &Plan,
        settings: &RestoreSettings,
    ) {
        let Surroundings {
            tile,
            window,
            estimate: smooth,
            mut spread,
            visible,
            drawn,
        } = ground;
        let mut estimate = smooth.clone();
        let bands = smooth.bands;
        let samples = settings.samples;
        let local = tile.relative_to(window);
        for band in 0..bands {
            for index in 0..tile.pixels() {
                let (row, col) = (index / tile.width, index % tile.width);
                let to = (local.row + row) * window.width + local.col + col;
                if !drawn.data[to] {
                    continue;
                }
                let member = |s: usize| planes[(s * bands + band) * tile.pixels() + index];
                let (mean, variance) = moments(samples, &member);
                let said = match settings.says_spread() {
                    true => member(samples),
                    false => 0.0,
                };
                let variance = (variance + said.powi(2)) * plan.uncertainty_factor.powi(2);
                estimate.band_mut(band)[to] += mean;
                let known = &mut spread.band_mut(band)[to];
                *known = (variance + known.powi(2)).sqrt();
            }
        }
        let textured = draw(
            &Ground {
                window,
                image: &estimate,
                spread: settings.has_spread().then_some(&spread),
                visible: &visible,
                drawn: &drawn,
            },
            settings.seed,
        );
        let own = self.own(tile);
        let part = own.relative_to(window);
        let mut residual = textured.crop(part);
        let smooth = smooth.crop(part);
        let values = residual.data.iter_mut().zip(&smooth.data);
        values.for_each(|(value, smooth)| *value -= smooth);
        self.blender.add(own, &residual.data);
    }

    /// The part of a tile that it gives to the scene: up to the middle of what it shares with its
    /// neighbours, and a little farther.
    fn own(&self, tile: Window) -> Window {
        let (row, height) = own(&self.rows, tile.row, tile.height);
        let (col, width) = own(&self.cols, tile.col, tile.width);
        Window {
            row,
            col,
            height,
            width,
        }
    }

    /// `[bands, height, width]` of a part of the rows that no further tile will touch; 0 where
    /// there is no hole.
    pub fn read(&self, window: Window) -> Vec<f32> {
        self.blender.read(window).values
    }

    /// Forgets the rows up to `row_end`.
    pub fn drop_rows(&mut self, row_end: usize) {
        self.blender.drop_rows(row_end);
    }
}

/// The first pixel and the length of what a tile of `size` that begins at `start` gives to the
/// scene along one axis, where tiles begin at `starts`.
fn own(starts: &[usize], start: usize, size: usize) -> (usize, usize) {
    let end = start + size;
    let before = starts.iter().rfind(|other| **other < start);
    let after = starts.iter().find(|other| **other > start);
    // Half way between the beginning of the later tile and the end of the earlier one.
    let first = before.map_or(start, |before| {
        (start + before + size)
            .div_ceil(2)
            .saturating_sub(JOIN_PX / 2)
            .max(start)
    });
    let last = after.map_or(end, |after| {
        ((after + end).div_ceil(2) + JOIN_PX / 2).min(end)
    });
    (first, last - first)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn every_pixel_belongs_to_a_tile_and_few_to_two(
            side in 1usize..900, tile_px in 1usize..200, overlap in 0usize..200,
        ) {
            let tiling = Tiling::new(side, side, tile_px, overlap % tile_px).unwrap();
            let starts = tiling.col_starts();
            let size = tile_px.min(side);
            let mut owners = vec![0; side];
            for &start in &starts {
                let (first, length) = own(&starts, start, size);
                prop_assert!(first >= start && first + length <= start + size);
                owners[first..first + length].iter_mut().for_each(|count| *count += 1);
            }
            prop_assert!(owners.iter().all(|count| *count > 0), "{:?}", owners);
            let shared: usize = owners.iter().map(|count| count - 1).sum();
            prop_assert!(shared <= (JOIN_PX + 1) * (starts.len() - 1));
        }
    }
}
