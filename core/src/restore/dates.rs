//! Several dates: which of them speak for which part of a scene, and what they suggest.
//!
//! A scene is divided into blocks. Each has a model of its own ([`DatesModel`]), fitted to the
//! visible ground in and around it when it is first needed; between the centres of blocks their
//! suggestions are blended linearly, so that no border of a block shows. What a model is depends
//! on the place of its block alone, never on the order of the work.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::fmt;

use serde::Serialize;

use super::{Reference, SceneSource};
use crate::error::Result;
use crate::raster::dates::features::Features;
use crate::raster::dates::{DateMethod, DatesModel, Ground, HALO_PX, Suggestion};
use crate::raster::{Mask, Raster, Window, fill, guide};

/// Side of a block, pixels.
pub(super) const BLOCK_PX: usize = 256;
/// Ground around a block that its model is fitted to as well, pixels.
pub(super) const MARGIN_PX: usize = 128;
/// As far as a model looks for visible ground, pixels.
const WIDEST_MARGIN_PX: usize = 512;
/// Visible pixels that are enough for a model.
const ENOUGH_PX: usize = 4000;

/// A visible pixel that is missed by more standard deviations than this, such as the rim of a cloud,
/// counts as if it were missed by so many where residuals are carried into holes.
const MOST_CARRIED: f32 = 1.5;

/// Which method suggests which bands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Choice {
    /// For the bands that the network restores.
    pub restored: DateMethod,
    /// For the others.
    pub others: DateMethod,
}

impl Choice {
    /// One for all bands.
    pub fn all(method: DateMethod) -> Self {
        Self {
            restored: method,
            others: method,
        }
    }

    /// Whether values are taken over as they are, of the bands that the network restores or of the
    /// others.
    pub(super) fn takes_values(self, restored: bool) -> bool {
        let method = if restored { self.restored } else { self.others };
        method.takes_values()
    }
}

impl fmt::Display for Choice {
    fn fmt(&self, out: &mut fmt::Formatter) -> fmt::Result {
        let Self { restored, others } = self;
        match restored == others {
            true => write!(out, "{}", restored.name()),
            false => write!(
                out,
                "{} for the bands of the model, {} for the others",
                restored.name(),
                others.name()
            ),
        }
    }
}

/// The models of the blocks that were needed so far.
pub(super) struct Dates {
    choice: Choice,
    /// The bands that the network restores.
    restored: Vec<usize>,
    models: BTreeMap<(DateMethod, (usize, usize)), DatesModel>,
}

/// Part of a window that a block has a say in, and how much.
struct Share {
    block: (usize, usize),
    window: Window,
}

impl Dates {
    /// Of a scene of which the network restores some bands.
    pub fn new(choice: Choice, restored: &[usize]) -> Self {
        Self {
            choice,
            restored: restored.to_vec(),
            models: BTreeMap::new(),
        }
    }

    /// The scene as its dates suggest it: all its bands inside `window`, and where that is known.
    /// [`Suggestion::most`] counts the dates of the source.
    ///
    /// # Errors
    /// Whatever the source returns.
    pub fn suggest(&mut self, source: &mut dyn SceneSource, window: Window) -> Result<Suggestion> {
        let Choice { restored, others } = self.choice;
        let mut all = self.by(others, source, window)?;
        if restored == others {
            return Ok(all);
        }
        let of_model = self.by(restored, source, window)?;
        for band in &self.restored {
            let (image, std) = (&of_model.image, &of_model.std);
            all.image.band_mut(*band).copy_from_slice(image.band(*band));
            all.std.band_mut(*band).copy_from_slice(std.band(*band));
        }
        all.observed = all.observed.and(&of_model.observed);
        Ok(all)
    }

    /// The same by one method.
    fn by(
        &mut self,
        method: DateMethod,
        source: &mut dyn SceneSource,
        window: Window,
    ) -> Result<Suggestion> {
        let (height, width) = source.size();
        let outer = window.grow(HALO_PX, height, width);
        let shares = shares(window, (height, width));
        for share in &shares {
            if let Entry::Vacant(place) = self.models.entry((method, share.block)) {
                place.insert(fit(method, source, share.block)?);
            }
        }
        let model = |share: &Share| &self.models[&(method, share.block)];
        let mut features: BTreeMap<usize, Features> = BTreeMap::new();
        for date in shares.iter().flat_map(|share| &model(share).dates) {
            if let Entry::Vacant(place) = features.entry(*date) {
                let Reference { image, observed } = source.read_reference(*date, outer)?;
                place.insert(Features::new(&image, &observed));
            }
        }
        let mut blend = Blend::new(source.bands(), window);
        for share in &shares {
            let model = model(share);
            let part = share.window.relative_to(outer);
            let crop = |date: &usize| features[date].crop(part);
            let dates: Vec<Features> = model.dates.iter().map(crop).collect();
            let suggestion = model.predict(&dates, source.bands());
            blend.add(&suggestion, share, &model.dates, (height, width));
        }
        Ok(blend.finish())
    }

    /// As [`filled`], each band by its method.
    pub fn filled(
        &self,
        image: &Raster,
        suggestion: &Suggestion,
        ground: &Carried,
    ) -> Option<(Raster, Raster)> {
        filled(image, suggestion, ground, |band| {
            self.choice.takes_values(self.restored.contains(&band))
        })
    }

    /// Forgets the blocks that end above a row of the scene.
    pub fn drop_rows(&mut self, row: usize) {
        // A block speaks as far as the centre of the next; a window reaches up a little.
        self.models
            .retain(|(_, (block, _)), _| (block + 3) * BLOCK_PX > row);
    }
}

/// An image with its holes filled as dates suggest, and what they suggest for all of it, their own
/// holes filled softly. None where no date shows anything.
///
/// What the dates miss of the visible ground is carried into the holes of a band, unless it takes
/// their values as they are.
pub(super) fn filled(
    image: &Raster,
    suggestion: &Suggestion,
    ground: &Carried,
    takes_values: impl Fn(usize) -> bool,
) -> Option<(Raster, Raster)> {
    let Suggestion {
        image: suggested,
        observed,
        ..
    } = suggestion;
    if !observed.any() {
        return None;
    }
    let everywhere = Mask::new(image.height, image.width, true);
    let prediction = fill::soft(suggested, &observed.invert(), &everywhere, ground.reach_px);
    let mut missed = guide::subtract(image, &prediction);
    for band in 0..image.bands {
        let values = missed
            .band_mut(band)
            .iter_mut()
            .zip(suggestion.std.band(band));
        for (value, std) in values.filter(|(_, std)| **std > 0.0) {
            *value = value.clamp(-MOST_CARRIED * std, MOST_CARRIED * std);
        }
    }
    // They have the scene's own brightness: nothing is missed far away.
    let mut smooth = ground.soft(&missed, &vec![0.0; image.bands]);
    guide::add(&mut smooth, &prediction);
    for band in (0..image.bands).filter(|band| takes_values(*band)) {
        let values = smooth.band_mut(band).iter_mut().zip(suggested.band(band));
        let flags = ground.targets.data.iter().zip(&observed.data);
        for ((value, taken), (target, seen)) in values.zip(flags) {
            if *target && *seen {
                *value = *taken;
            }
        }
    }
    Some((smooth, prediction))
}

/// Which pixels of an image are filled from which.
pub(super) struct Carried<'a> {
    /// True = to be filled.
    pub targets: &'a Mask,
    /// True = to be filled or filled from.
    pub known: &'a Mask,
    /// How far the visible ground reaches into holes, pixels.
    pub reach_px: usize,
}

impl Carried<'_> {
    /// The targets filled softly, towards `far` by band.
    pub fn soft(&self, image: &Raster, far: &[f32]) -> Raster {
        fill::soft_towards(image, self.targets, self.known, self.reach_px, far)
    }

    /// The targets as predicted, and what the prediction misses of the visible ground carried into
    /// them, towards `far`.
    pub fn carry(&self, image: &Raster, prediction: &Raster, far: &[f32]) -> Raster {
        let mut smooth = self.soft(&guide::subtract(image, prediction), far);
        guide::add(&mut smooth, prediction);
        smooth
    }
}

/// What other dates say of a part of a scene by themselves.
#[derive(Debug, Clone)]
pub(super) struct Told {
    /// True = they show the ground.
    pub observed: Mask,
    /// Standard deviation of what they say, `[bands, height, width]`.
    pub std: Raster,
}

impl Told {
    pub fn new(suggestion: Suggestion) -> Self {
        Self {
            observed: suggestion.observed,
            std: suggestion.std,
        }
    }

    /// A part of it.
    pub fn crop(&self, window: Window) -> Self {
        Self {
            observed: self.observed.crop(window),
            std: self.std.crop(window),
        }
    }
}

/// What several blocks suggest for a window, in the making.
struct Blend {
    window: Window,
    out: Suggestion,
    weights: Vec<f32>,
    /// Of the block that says most, `[height, width]`.
    largest: Vec<f32>,
}

impl Blend {
    fn new(bands: usize, window: Window) -> Self {
        Self {
            window,
            out: Suggestion::nothing(bands, window.height, window.width),
            weights: vec![0.0; window.pixels()],
            largest: vec![0.0; window.pixels()],
        }
    }

    /// Adds what a block suggests for its share; `dates` are those of its model.
    fn add(
        &mut self,
        suggestion: &Suggestion,
        share: &Share,
        dates: &[usize],
        (height, width): (usize, usize),
    ) {
        let local = share.window.relative_to(self.window);
        let seen = suggestion.observed.data.iter().enumerate();
        for (index, _) in seen.filter(|(_, seen)| **seen) {
            let (row, col) = (index / local.width, index % local.width);
            let weight = hat(share.window.row + row, share.block.0, height)
                * hat(share.window.col + col, share.block.1, width);
            let at = (local.row + row) * self.window.width + local.col + col;
            self.weights[at] += weight;
            for band in 0..self.out.image.bands {
                let value = suggestion.image.band(band)[index];
                self.out.image.band_mut(band)[at] += weight * value;
                self.out.std.band_mut(band)[at] += weight * suggestion.std.band(band)[index];
            }
            if weight > self.largest[at] {
                self.largest[at] = weight;
                self.out.dates[at] = suggestion.dates[index];
                self.out.most[at] = dates[usize::from(suggestion.most[index])] as u8;
            }
        }
    }

    fn finish(mut self) -> Suggestion {
        for image in [&mut self.out.image, &mut self.out.std] {
            for band in 0..image.bands {
                let values = image.band_mut(band).iter_mut().zip(&self.weights);
                let known = values.filter(|(_, w)| **w > 0.0);
                known.for_each(|(value, w)| *value /= w);
            }
        }
        self.out.observed.data = self.weights.iter().map(|w| *w > 0.0).collect();
        self.out
    }
}

/// Fits the model of a block, to more ground around it while too little is visible.
fn fit(
    method: DateMethod,
    source: &mut dyn SceneSource,
    block: (usize, usize),
) -> Result<DatesModel> {
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
        let references = source.references();
        let days: Vec<Option<i32>> = references.iter().map(|other| other.days).collect();
        return DatesModel::fit(method, &ground, &days, |date| {
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
