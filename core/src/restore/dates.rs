//! Several dates: which of them speak for which part of a scene, and what they suggest.
//!
//! A scene is divided into blocks. Each has a model of its own ([`DatesModel`]), fitted to the
//! visible ground in and around it when it is first needed; between the centres of blocks their
//! suggestions are blended linearly, so that no border of a block shows. What a model is depends
//! on the place of its block alone, never on the order of the work.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use super::{Reference, SceneSource};
use crate::error::Result;
use crate::raster::dates::features::Features;
use crate::raster::dates::{DatesModel, Ground, HALO_PX};
use crate::raster::{Mask, Raster, Window};

/// Side of a block, pixels.
const BLOCK_PX: usize = 256;
/// Ground around a block that its model is fitted to as well, pixels.
const MARGIN_PX: usize = 128;
/// As far as a model looks for visible ground, pixels.
const WIDEST_MARGIN_PX: usize = 512;
/// Visible pixels that are enough for a model.
const ENOUGH_PX: usize = 4000;

/// The models of the blocks that were needed so far.
#[derive(Default)]
pub(super) struct Dates {
    models: BTreeMap<(usize, usize), DatesModel>,
}

/// Part of a window that a block has a say in, and how much.
struct Share {
    block: (usize, usize),
    window: Window,
}

impl Dates {
    /// The scene as its dates suggest it: all its bands inside `window`, and where that is known.
    ///
    /// # Errors
    /// Whatever the source returns.
    pub fn suggest(
        &mut self,
        source: &mut dyn SceneSource,
        window: Window,
    ) -> Result<(Raster, Mask)> {
        let (height, width) = source.size();
        let outer = window.grow(HALO_PX, height, width);
        let shares = shares(window, (height, width));
        for share in &shares {
            if let Entry::Vacant(place) = self.models.entry(share.block) {
                place.insert(fit(source, share.block)?);
            }
        }
        let mut features: BTreeMap<usize, Features> = BTreeMap::new();
        for date in shares
            .iter()
            .flat_map(|share| &self.models[&share.block].dates)
        {
            if let Entry::Vacant(place) = features.entry(*date) {
                let Reference { image, observed } = source.read_reference(*date, outer)?;
                place.insert(Features::new(&image, &observed));
            }
        }
        let bands = source.bands();
        let mut sum = Raster::new(bands, window.height, window.width);
        let mut weights = vec![0.0f32; window.pixels()];
        for share in &shares {
            let model = &self.models[&share.block];
            let part = share.window.relative_to(outer);
            let dates: Vec<Features> = model
                .dates
                .iter()
                .map(|date| features[date].crop(part))
                .collect();
            let suggestion = model.predict(&dates, bands);
            let local = share.window.relative_to(window);
            for (index, _) in suggestion
                .observed
                .data
                .iter()
                .enumerate()
                .filter(|(_, seen)| **seen)
            {
                let (row, col) = (index / local.width, index % local.width);
                let weight = hat(share.window.row + row, share.block.0, height)
                    * hat(share.window.col + col, share.block.1, width);
                let at = (local.row + row) * window.width + local.col + col;
                weights[at] += weight;
                for band in 0..bands {
                    sum.band_mut(band)[at] += weight * suggestion.image.band(band)[index];
                }
            }
        }
        for band in 0..bands {
            let values = sum.band_mut(band).iter_mut().zip(&weights);
            values
                .filter(|(_, w)| **w > 0.0)
                .for_each(|(value, w)| *value /= w);
        }
        let observed = Mask {
            height: window.height,
            width: window.width,
            data: weights.iter().map(|w| *w > 0.0).collect(),
        };
        Ok((sum, observed))
    }

    /// Forgets the blocks that end above a row of the scene.
    pub fn drop_rows(&mut self, row: usize) {
        // A block speaks as far as the centre of the next; a window reaches up a little.
        self.models
            .retain(|(block, _), _| (block + 3) * BLOCK_PX > row);
    }
}

/// Fits the model of a block, to more ground around it while too little is visible.
fn fit(source: &mut dyn SceneSource, block: (usize, usize)) -> Result<DatesModel> {
    let (height, width) = source.size();
    let core = Window {
        row: block.0 * BLOCK_PX,
        col: block.1 * BLOCK_PX,
        height: BLOCK_PX.min(height - block.0 * BLOCK_PX),
        width: BLOCK_PX.min(width - block.1 * BLOCK_PX),
    };
    let mut margin = MARGIN_PX;
    loop {
        let window = core.grow(margin, height, width);
        let read = source.read(window)?;
        let visible = read.valid.and_not(&read.mask);
        let whole = (window.height, window.width) == (height, width);
        if visible.count() < ENOUGH_PX && margin < WIDEST_MARGIN_PX && !whole {
            margin *= 2;
            continue;
        }
        let ground = Ground {
            image: &read.image,
            visible: &visible,
            holes: &read.valid.and(&read.mask),
            window,
        };
        let count = source.reference_bands().len();
        return DatesModel::fit(&ground, count, |date| {
            let Reference { image, observed } = source.read_reference(date, window)?;
            Ok((image, observed))
        });
    }
}

/// The blocks that have a say in a window, and where in it.
fn shares(window: Window, (height, width): (usize, usize)) -> Vec<Share> {
    let axis = |first: usize, end: usize, size: usize| -> Vec<(usize, usize, usize)> {
        let blocks = size.div_ceil(BLOCK_PX);
        let reach = |block: usize| {
            // From the centre of the block before to that of the one after; to the edge of the
            // scene where there is none.
            let centre = block * BLOCK_PX + BLOCK_PX / 2;
            let from = if block == 0 { 0 } else { centre - BLOCK_PX };
            let to = if block + 1 == blocks {
                size
            } else {
                centre + BLOCK_PX
            };
            (from.max(first), to.min(end))
        };
        let all = (0..blocks).map(|block| (block, reach(block)));
        let inside = all.filter(|(_, (from, to))| from < to);
        inside
            .map(|(block, (from, to))| (block, from, to))
            .collect()
    };
    let rows = axis(window.row, window.row_end(), height);
    let cols = axis(window.col, window.col_end(), width);
    let pairs = rows
        .iter()
        .flat_map(|row| cols.iter().map(move |col| (row, col)));
    let share = |(row, col): (&(usize, usize, usize), &(usize, usize, usize))| Share {
        block: (row.0, col.0),
        window: Window {
            row: row.1,
            col: col.1,
            height: row.2 - row.1,
            width: col.2 - col.1,
        },
    };
    pairs.map(share).collect()
}

/// How much a block says at a row or column of an axis with `size` of them: 1 at its centre, 0 at
/// those of its neighbours, and 1 towards an edge of the scene.
fn hat(at: usize, block: usize, size: usize) -> f32 {
    let last = size.div_ceil(BLOCK_PX) - 1;
    let offset = (at as f32 + 0.5 - (block * BLOCK_PX) as f32) / BLOCK_PX as f32 - 0.5;
    let at_edge = (block == 0 && offset < 0.0) || (block == last && offset > 0.0);
    match at_edge {
        true => 1.0,
        false => (1.0 - offset.abs()).max(0.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn the_blocks_share_every_pixel(
            height in 1usize..900, width in 1usize..900, row in 0usize..900, col in 0usize..900,
        ) {
            let (row, col) = (row % height, col % width);
            let window = Window { row, col, height: (height - row).min(70), width: (width - col).min(90) };
            let shares = shares(window, (height, width));
            for (r, c) in [(row, col), (window.row_end() - 1, window.col_end() - 1)] {
                let of = |share: &&Share| share.window.contains(r, c);
                let weight = |share: &Share| hat(r, share.block.0, height) * hat(c, share.block.1, width);
                let sum: f32 = shares.iter().filter(of).map(weight).sum();
                prop_assert!((sum - 1.0).abs() < 1e-5, "{sum}");
            }
        }
    }
}
