//! What the other dates of a place say about the ground that a mask hides.
//!
//! For a part of a scene the most useful dates are chosen by how well each of them alone explains
//! the visible ground, near the holes above all. The scene's bands then follow all bands of
//! several dates at once, by ridge regression ([`regression`]); the fill is the mean over nested
//! sets of them (the best two, four and eight that show the pixel), since few dates follow the
//! scene closely and many average out what is odd about one. A date that is cloudy or changed at
//! a pixel, and was not known to be, is found by disagreeing with the others and has no say there.
//!
//! Means over sets of predictors are a plain form of stacking (Breiman 1996). The nearest
//! published relatives use one date (NSPI, Chen et al. 2011) or clusters of pixels and linear
//! regression (CLR); interpolation between the date before and the one after is the special case
//! of two dates with one coefficient each.

pub mod features;
pub mod regression;

use std::collections::BTreeMap;

use self::features::Features;
use self::regression::{Regression, Table};
use super::random::bits_at;
use super::summed_area::SummedArea;
use super::{Mask, Raster, Window};
use crate::error::Result;

/// Dates of the nested sets whose mean is the fill.
const NESTED: [usize; 3] = [2, 4, 8];
/// Dates that one model knows at the most: what a hole needs where every date is clouded in part.
pub const MOST_DATES: usize = 12;
/// Sets of dates that are fitted at the most; a rarer one is served by a smaller set inside it.
const MOST_SETS: usize = 16;
/// Visible pixels that are fitted to at the most.
pub const MOST_PIXELS: usize = 24_000;
/// Fewer pixels than this that scene and date both show are no fit.
const LEAST_PIXELS: usize = 64;
/// A date joins if it is one of the best eight at this share of the hidden pixels.
const WORTH_JOINING: f64 = 0.02;
/// Visible pixels within this distance (a square) of hidden ones count more.
const NEAR_PX: usize = 32;
/// Weight of a visible pixel far from every hole, beside 1 in the midst of them.
const FAR_WEIGHT: f32 = 0.05;
/// Ridge of a fit, relative to the variance of an input.
const RIDGE: f64 = 2e-3;
/// More ridge for every input by observation.
const RIDGE_OF_A_SHARE: f64 = 0.2;
/// A date is an outlier at a pixel this many standard deviations from the median of all.
const OUTLIER: f32 = 4.0;
/// Fewer dates than this cannot outvote one.
const LEAST_TO_DISAGREE: usize = 3;
/// Names the plane of random bits that says which pixels are fitted to.
const SAMPLE_KEY: u64 = u64::from_be_bytes(*b"dates:at");
/// Pixels that are predicted at once.
const CHUNK: usize = 1024;

/// Pixels around a window that [`DatesModel::predict`] needs so that the cut does not show.
pub const HALO_PX: usize = features::RADIUS_PX;

/// A part of a scene with its holes.
#[derive(Debug, Clone, Copy)]
pub struct Ground<'a> {
    /// `[bands, height, width]` in scene units; unspecified where not visible.
    pub image: &'a Raster,
    /// True = the scene shows the ground.
    pub visible: &'a Mask,
    /// True = to be filled.
    pub holes: &'a Mask,
    /// Where in the scene it lies.
    pub window: Window,
}

/// How a part of a scene follows its other dates.
#[derive(Debug, Clone)]
pub struct DatesModel {
    /// The dates that are asked, the most useful first.
    pub dates: Vec<usize>,
    /// Each of them alone, in that order.
    alone: Vec<Regression>,
    /// Some of them together; bit `i` of a set is `dates[i]`.
    sets: BTreeMap<u32, Regression>,
}

/// What the dates suggest.
#[derive(Debug, Clone)]
pub struct Suggestion {
    /// `[bands, height, width]` of the scene in its units; 0 where no date shows the ground.
    pub image: Raster,
    /// True = some date shows the ground.
    pub observed: Mask,
    /// How many dates were asked, `[height, width]`.
    pub dates: Vec<u8>,
}

/// One date at the pixels that are fitted to.
struct Sampled {
    date: usize,
    features: Table,
    observed: Vec<bool>,
    alone: Regression,
    /// Where it shows the ground that the scene hides, by hidden pixel.
    holes: Vec<bool>,
}

impl DatesModel {
    /// Fits a part of a scene to `count` other dates, each of which `read` reads once, in the
    /// same window: its image in its own bands and units, and where it shows the ground.
    ///
    /// The order of the dates does not matter, but for those that are equally good.
    ///
    /// # Errors
    /// Whatever `read` returns.
    pub fn fit(
        ground: &Ground,
        count: usize,
        mut read: impl FnMut(usize) -> Result<(Raster, Mask)>,
    ) -> Result<Self> {
        let (pixels, weights) = sample(ground);
        let scene = Table {
            values: (0..ground.image.bands)
                .flat_map(|band| pixels.iter().map(move |p| ground.image.band(band)[*p]))
                .collect(),
            count: pixels.len(),
        };
        let hidden: Vec<usize> = (0..ground.holes.data.len())
            .filter(|i| ground.holes.data[*i])
            .collect();
        let mut sampled = Vec::new();
        for date in 0..count {
            let (image, observed) = read(date)?;
            let holes: Vec<bool> = hidden.iter().map(|i| observed.data[*i]).collect();
            if !hidden.is_empty() && !holes.iter().any(|seen| *seen) {
                continue;
            }
            let features = Features::new(&image, &observed);
            let observed: Vec<bool> = pixels.iter().map(|p| observed.data[*p]).collect();
            let features = features.at(&pixels);
            let alone = fit_where(&features, &scene, &weights, |n| observed[n]);
            sampled.extend(alone.map(|alone| Sampled {
                date,
                features,
                observed,
                alone,
                holes,
            }));
        }
        sampled.sort_by(|a, b| a.alone.unexplained.total_cmp(&b.alone.unexplained));
        let mut chosen = choose(sampled, hidden.len());
        set_outliers_aside(&mut chosen, pixels.len());
        let sets = wanted_sets(&chosen, hidden.len());
        let mut fitted = BTreeMap::new();
        for set in sets {
            let members = || (0..chosen.len()).filter(move |i| set >> i & 1 == 1);
            let mut inputs = Table::default();
            members().for_each(|i| inputs.append(&chosen[i].features));
            let seen = |n: usize| members().all(|i| chosen[i].observed[n]);
            if let Some(regression) = fit_where(&inputs, &scene, &weights, seen) {
                fitted.insert(set, regression);
            }
        }
        Ok(Self {
            dates: chosen.iter().map(|sampled| sampled.date).collect(),
            alone: chosen.into_iter().map(|sampled| sampled.alone).collect(),
            sets: fitted,
        })
    }

    /// What the dates suggest for a window: `dates` has each of [`dates`](Self::dates) there, in
    /// that order, with [`HALO_PX`] around it inside the scene or what the scene has of them.
    pub fn predict(&self, dates: &[Features], bands: usize) -> Suggestion {
        let Some(first) = dates.first() else {
            return Suggestion {
                image: Raster::new(bands, 0, 0),
                observed: Mask::new(0, 0, false),
                dates: Vec::new(),
            };
        };
        let (height, width) = (first.observed.height, first.observed.width);
        let mut out = Suggestion {
            image: Raster::new(bands, height, width),
            observed: Mask::new(height, width, false),
            dates: vec![0; height * width],
        };
        // The pixels of each set, once for every nested set that ends up there.
        let mut served: BTreeMap<u32, Vec<(usize, f32)>> = BTreeMap::new();
        let everywhere: Vec<usize> = (0..height * width).collect();
        for pixels in everywhere.chunks(CHUNK) {
            for (pixel, seen) in pixels.iter().zip(self.seen(dates, pixels)) {
                let found: Vec<u32> = NESTED
                    .iter()
                    .filter_map(|size| self.served_by(nested(seen, *size)))
                    .collect();
                let share = 1.0 / found.len().max(1) as f32;
                for set in &found {
                    served.entry(*set).or_default().push((*pixel, share));
                }
                out.observed.data[*pixel] = !found.is_empty();
                out.dates[*pixel] =
                    found.iter().map(|set| set.count_ones()).max().unwrap_or(0) as u8;
            }
        }
        for (set, pixels) in &served {
            let regression = &self.sets[set];
            for chunk in pixels.chunks(CHUNK) {
                let at: Vec<usize> = chunk.iter().map(|(pixel, _)| *pixel).collect();
                let mut inputs = Table::default();
                for (i, date) in dates.iter().enumerate() {
                    if set >> i & 1 == 1 {
                        inputs.append(&date.at(&at));
                    }
                }
                let predicted = regression.predict(&inputs);
                for band in 0..bands {
                    let plane = out.image.band_mut(band);
                    let values = predicted.column(band).iter().zip(chunk);
                    values.for_each(|(value, (pixel, share))| plane[*pixel] += share * value);
                }
            }
        }
        out
    }

    /// Which dates have a say at each pixel, as bits: those that show it and agree.
    fn seen(&self, dates: &[Features], pixels: &[usize]) -> Vec<u32> {
        let alone =
            |(date, regression): (&Features, &Regression)| regression.predict(&date.at(pixels));
        let predicted: Vec<Table> = dates.iter().zip(&self.alone).map(alone).collect();
        let observed = |n: usize, i: usize| dates[i].observed.data[pixels[n]];
        agreeing(&predicted, &self.alone, observed)
    }

    /// The fitted set for the pixels that all of `set` show: itself, else the largest inside it.
    fn served_by(&self, set: u32) -> Option<u32> {
        if self.sets.contains_key(&set) {
            return Some(set);
        }
        let inside = self.sets.keys().filter(|known| **known & set == **known);
        inside
            .copied()
            .max_by_key(|known| (known.count_ones(), u32::MAX - known))
    }
}

/// The best `size` dates of those that show a pixel.
fn nested(mut seen: u32, size: usize) -> u32 {
    let mut set = 0;
    for _ in 0..size.min(seen.count_ones() as usize) {
        let lowest = seen & seen.wrapping_neg();
        set |= lowest;
        seen ^= lowest;
    }
    set
}

/// Fits to the observations that `seen` names; none with too few of them.
fn fit_where(
    inputs: &Table,
    scene: &Table,
    weights: &[f32],
    seen: impl Fn(usize) -> bool,
) -> Option<Regression> {
    let rows: Vec<usize> = (0..scene.count).filter(|n| seen(*n)).collect();
    if rows.len() < LEAST_PIXELS {
        return None;
    }
    let weights: Vec<f32> = rows.iter().map(|n| weights[*n]).collect();
    let ridge = RIDGE + RIDGE_OF_A_SHARE * inputs.columns() as f64 / rows.len() as f64;
    Regression::fit(&inputs.select(&rows), &scene.select(&rows), &weights, ridge)
}

/// The visible pixels that are fitted to, and their weights. Which they are depends on the place
/// in the scene alone.
fn sample(ground: &Ground) -> (Vec<usize>, Vec<f32>) {
    let (height, width) = (ground.visible.height, ground.visible.width);
    let visible = ground.visible.count();
    let keep = (MOST_PIXELS as f64 / visible.max(1) as f64).min(1.0);
    let threshold = (keep * u64::MAX as f64) as u64;
    let key = [SAMPLE_KEY];
    let bits = bits_at(&key);
    let pixels: Vec<usize> = (0..height * width)
        .filter(|i| {
            let (row, col) = (ground.window.row + i / width, ground.window.col + i % width);
            ground.visible.data[*i] && bits(row, col) <= threshold
        })
        .collect();
    let holes = SummedArea::new(height, width, |i| f64::from(u8::from(ground.holes.data[i])));
    let area = ((2 * NEAR_PX + 1) as f64).powi(2);
    let weight = |i: &usize| {
        let near = holes.square(i / width, i % width, NEAR_PX) / area;
        FAR_WEIGHT + near as f32
    };
    let weights = pixels.iter().map(weight).collect();
    (pixels, weights)
}

/// The dates that are among the best eight of enough hidden pixels; `sampled` has the best first.
fn choose(sampled: Vec<Sampled>, hidden: usize) -> Vec<Sampled> {
    let most = NESTED[NESTED.len() - 1];
    let mut served = vec![0usize; hidden];
    let mut chosen: Vec<Sampled> = Vec::new();
    for date in sampled {
        let joins = served
            .iter()
            .zip(&date.holes)
            .filter(|(n, seen)| **seen && **n < most);
        let share = joins.count() as f64 / hidden.max(1) as f64;
        let wanted = match hidden {
            0 => chosen.len() < most,
            _ => share >= WORTH_JOINING,
        };
        if !wanted {
            continue;
        }
        let seen = served.iter_mut().zip(&date.holes);
        seen.for_each(|(n, seen)| *n += usize::from(*seen));
        chosen.push(date);
        if chosen.len() == MOST_DATES {
            break;
        }
    }
    chosen
}

/// A date that disagrees with the others at a pixel that is fitted to has no say there.
fn set_outliers_aside(chosen: &mut [Sampled], pixels: usize) {
    let all: Vec<usize> = (0..pixels).collect();
    let regressions: Vec<Regression> = chosen.iter().map(|date| date.alone.clone()).collect();
    for rows in all.chunks(CHUNK) {
        let of = |date: &Sampled| date.alone.predict(&date.features.select(rows));
        let predicted: Vec<Table> = chosen.iter().map(of).collect();
        let observed = |n: usize, i: usize| chosen[i].observed[rows[n]];
        let seen = agreeing(&predicted, &regressions, observed);
        for (row, seen) in rows.iter().zip(seen) {
            for (i, date) in chosen.iter_mut().enumerate() {
                date.observed[*row] = seen >> i & 1 == 1;
            }
        }
    }
}

/// As bits, which dates are observed at each pixel and agree with the median of all that are.
fn agreeing(
    predicted: &[Table],
    alone: &[Regression],
    observed: impl Fn(usize, usize) -> bool,
) -> Vec<u32> {
    let (count, bands) = match predicted.first() {
        Some(first) => (first.count, first.columns()),
        None => return Vec::new(),
    };
    let mut values = Vec::with_capacity(predicted.len());
    let mut deviations = vec![0.0f32; predicted.len()];
    let mut seen = Vec::with_capacity(count);
    for n in 0..count {
        let shown: Vec<usize> = (0..predicted.len()).filter(|i| observed(n, *i)).collect();
        let mut bits = shown.iter().fold(0u32, |bits, i| bits | 1 << i);
        if shown.len() >= LEAST_TO_DISAGREE {
            deviations.fill(0.0);
            for band in 0..bands {
                values.clear();
                values.extend(shown.iter().map(|i| predicted[*i].column(band)[n]));
                values.sort_by(f32::total_cmp);
                let middle = values.len() / 2;
                let median = (values[(values.len() - 1) / 2] + values[middle]) / 2.0;
                for i in &shown {
                    let left = alone[*i].left[band];
                    if left > 0.0 {
                        let off = (predicted[*i].column(band)[n] - median) / left;
                        deviations[*i] += off * off;
                    }
                }
            }
            let limit = OUTLIER * OUTLIER * bands as f32;
            for i in shown {
                if deviations[i] > limit {
                    bits &= !(1 << i);
                }
            }
        }
        seen.push(bits);
    }
    seen
}

/// The sets of dates that serve the hidden pixels (the visible ones where none is hidden), those
/// of the most pixels first; at most [`MOST_SETS`].
fn wanted_sets(chosen: &[Sampled], hidden: usize) -> Vec<u32> {
    let mut counts: BTreeMap<u32, usize> = BTreeMap::new();
    let mut count = |shows: &dyn Fn(&Sampled) -> bool| {
        let dates = chosen.iter().enumerate();
        let seen = dates.fold(0u32, |bits, (i, date)| bits | u32::from(shows(date)) << i);
        for size in NESTED {
            *counts.entry(nested(seen, size)).or_default() += 1;
        }
    };
    for n in 0..hidden {
        count(&|date| date.holes[n]);
    }
    if let (0, Some(first)) = (hidden, chosen.first()) {
        (0..first.observed.len()).for_each(|n| count(&|date| date.observed[n]));
    }
    counts.remove(&0);
    let mut sets: Vec<(u32, usize)> = counts.into_iter().collect();
    sets.sort_by_key(|(set, count)| (usize::MAX - count, *set));
    sets.truncate(MOST_SETS);
    // What is left where an outlier falls away: each date alone.
    let alone = (0..chosen.len()).map(|i| 1u32 << i);
    let mut sets: Vec<u32> = sets.into_iter().map(|(set, _)| set).chain(alone).collect();
    sets.sort_unstable();
    sets.dedup();
    sets
}

#[cfg(test)]
mod tests;
