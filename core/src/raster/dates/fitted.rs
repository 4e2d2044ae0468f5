//! Several dates together: the mean over regressions on nested sets of the best of them.

use std::collections::BTreeMap;

use super::choose::{Sampled, agreeing, nested, set_outliers_aside, wanted_sets};
use super::clusters::Clustered;
use super::features::Features;
use super::regression::{Regression, Table};
use super::{CHUNK, DateMethod, LEAST_PIXELS, Suggestion};
use crate::kernels::par;

/// Ridge of a fit, relative to the variance of an input.
const RIDGE: f64 = 2e-3;
/// More ridge for every input by observation.
const RIDGE_OF_A_SHARE: f64 = 0.2;

/// What is left of the visible ground, where observations that do not fit are weighed down, times
/// this is the standard deviation of the error in holes: 90 % of the errors lie in its 90 %
/// interval (measured under real clouds on Sentinel-2, docs/dates.md).
const LEFT_IN_HOLES: f32 = 2.6;
/// Sets that are fitted at once: each holds a table of all its dates.
pub const AT_ONCE: usize = 2;

/// One of the predictors whose mean is the fill.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Member {
    /// How many of the best dates it follows.
    size: usize,
    /// Whether each cluster of pixels has a regression of its own.
    clustered: bool,
}

/// Few dates follow the scene closely, many average out what is odd about one; clusters follow what
/// is not linear.
const REGRESSION: [Member; 5] = [linear(3), linear(8), linear(12), clustered(4), clustered(8)];
const CLR: [Member; 1] = [clustered(4)];

const fn linear(size: usize) -> Member {
    Member {
        size,
        clustered: false,
    }
}

const fn clustered(size: usize) -> Member {
    Member {
        size,
        clustered: true,
    }
}

/// The members of a method.
pub(super) fn members(method: DateMethod) -> &'static [Member] {
    match method {
        DateMethod::Clr => &CLR,
        _ => &REGRESSION,
    }
}

/// The most dates that a member of a method follows.
pub(super) fn most_dates(method: DateMethod) -> usize {
    let sizes = members(method).iter().map(|member| member.size);
    sizes.max().unwrap_or(0)
}

/// How the scene follows its dates.
#[derive(Debug, Clone)]
pub(super) struct Fitted {
    members: &'static [Member],
    /// Each date alone.
    alone: Vec<Regression>,
    /// From what disagreement on each has no say.
    limits: Vec<f32>,
    /// Some of them together, plainly and by clusters; bit `i` of a set is date `i`.
    sets: BTreeMap<(u32, bool), Predictor>,
}

#[derive(Debug, Clone)]
enum Predictor {
    Linear(Regression),
    Clustered(Clustered),
}

impl Predictor {
    fn predict(&self, x: &Table) -> Table {
        match self {
            Predictor::Linear(regression) => regression.predict(x),
            Predictor::Clustered(clustered) => clustered.predict(x),
        }
    }

    fn left(&self) -> &[f32] {
        match self {
            Predictor::Linear(regression) => &regression.left,
            Predictor::Clustered(clustered) => &clustered.left,
        }
    }
}

/// Where a predictor has a say: the pixel, its share in the mean, and how far the dates disagree
/// there.
struct Served {
    pixel: usize,
    share: f32,
    doubt: f32,
}

impl Fitted {
    /// Fits the scene at some pixels to the dates that were chosen, for so many hidden pixels.
    pub fn fit(
        method: DateMethod,
        mut chosen: Vec<Sampled>,
        scene: &Table,
        weights: &[f32],
        hidden: usize,
    ) -> Self {
        let limits = set_outliers_aside(&mut chosen, scene);
        let members = members(method);
        let mut wanted: Vec<(u32, bool)> = Vec::new();
        for clustered in [false, true] {
            let of = members.iter().filter(|m| m.clustered == clustered);
            let sizes: Vec<usize> = of.map(|member| member.size).collect();
            if !sizes.is_empty() {
                let sets = wanted_sets(&chosen, &sizes, hidden);
                wanted.extend(sets.into_iter().map(|set| (set, clustered)));
            }
        }
        let fits = par::map(wanted.len(), AT_ONCE, |at| {
            let (set, clustered) = wanted[at];
            let dates = || (0..chosen.len()).filter(move |i| set >> i & 1 == 1);
            let mut inputs = Table::default();
            dates().for_each(|i| inputs.append(&chosen[i].features));
            let seen = |n: usize| dates().all(|i| chosen[i].observed[n]);
            fit_where(&inputs, scene, weights, clustered, seen)
        });
        let sets = wanted.into_iter().zip(fits);
        let sets = sets.filter_map(|(key, fit)| Some((key, fit?))).collect();
        Self {
            members,
            limits,
            alone: chosen.into_iter().map(|date| date.alone).collect(),
            sets,
        }
    }

    /// As [`DatesModel::predict`](super::DatesModel::predict).
    pub fn predict(
        &self,
        dates: &[Features],
        bands: usize,
        (height, width): (usize, usize),
    ) -> Suggestion {
        let mut out = Suggestion::nothing(bands, height, width);
        // The pixels of each predictor, once for every member that ends up there.
        let mut served: BTreeMap<(u32, bool), Vec<Served>> = BTreeMap::new();
        let everywhere: Vec<usize> = (0..height * width).collect();
        for pixels in everywhere.chunks(CHUNK) {
            for (pixel, (seen, doubt)) in pixels.iter().zip(self.seen(dates, pixels)) {
                let found: Vec<(u32, bool)> = (self.members.iter())
                    .filter_map(|member| {
                        self.served_by(nested(seen, member.size), member.clustered)
                    })
                    .collect();
                let share = 1.0 / found.len().max(1) as f32;
                for key in &found {
                    served.entry(*key).or_default().push(Served {
                        pixel: *pixel,
                        share,
                        doubt,
                    });
                }
                let all = found.iter().fold(0, |all, (set, _)| all | set);
                out.observed.data[*pixel] = !found.is_empty();
                out.dates[*pixel] = all.count_ones() as u8;
                out.most[*pixel] = all.trailing_zeros().min(31) as u8;
            }
        }
        for (key, pixels) in &served {
            let predictor = &self.sets[key];
            for chunk in pixels.chunks(CHUNK) {
                let at: Vec<usize> = chunk.iter().map(|served| served.pixel).collect();
                let mut inputs = Table::default();
                for (i, date) in dates.iter().enumerate() {
                    if key.0 >> i & 1 == 1 {
                        inputs.append(&date.at(&at));
                    }
                }
                let predicted = predictor.predict(&inputs);
                for band in 0..bands {
                    let plane = out.image.band_mut(band);
                    let values = predicted.column(band).iter().zip(chunk);
                    values.for_each(|(value, s)| plane[s.pixel] += s.share * value);
                    let left = LEFT_IN_HOLES * predictor.left()[band];
                    let plane = out.std.band_mut(band);
                    (chunk.iter()).for_each(|s| plane[s.pixel] += s.share * s.doubt * left);
                }
            }
        }
        out
    }

    /// Which dates have a say at each pixel, as bits: those that show it and agree. And how far
    /// they disagree, 1 where as far as usual.
    fn seen(&self, dates: &[Features], pixels: &[usize]) -> Vec<(u32, f32)> {
        let alone =
            |(date, regression): (&Features, &Regression)| regression.predict(&date.at(pixels));
        let predicted: Vec<Table> = dates.iter().zip(&self.alone).map(alone).collect();
        let observed = |n: usize, i: usize| dates[i].observed.data[pixels[n]];
        agreeing(&predicted, &self.alone, &self.limits, observed)
    }

    /// The fitted set for the pixels that all of `set` show: itself, else the largest inside it.
    fn served_by(&self, set: u32, clustered: bool) -> Option<(u32, bool)> {
        if self.sets.contains_key(&(set, clustered)) {
            return Some((set, clustered));
        }
        let known = self.sets.keys().filter(|(_, c)| *c == clustered);
        let inside = known.filter(|(known, _)| *known & set == *known);
        inside
            .copied()
            .max_by_key(|(known, _)| (known.count_ones(), u32::MAX - known))
    }
}

/// Fits to the observations that `seen` names; none with too few of them.
fn fit_where(
    inputs: &Table,
    scene: &Table,
    weights: &[f32],
    clustered: bool,
    seen: impl Fn(usize) -> bool,
) -> Option<Predictor> {
    let rows: Vec<usize> = (0..scene.count).filter(|n| seen(*n)).collect();
    if rows.len() < LEAST_PIXELS {
        return None;
    }
    let weights: Vec<f32> = rows.iter().map(|n| weights[*n]).collect();
    let (x, y) = (inputs.select(&rows), scene.select(&rows));
    match clustered {
        true => {
            Clustered::fit(&x, &y, &weights, |n| ridge(x.columns(), n)).map(Predictor::Clustered)
        }
        false => {
            Regression::fit(&x, &y, &weights, ridge(x.columns(), rows.len())).map(Predictor::Linear)
        }
    }
}

/// The ridge for so many inputs and observations.
pub(super) fn ridge(inputs: usize, observations: usize) -> f64 {
    RIDGE + RIDGE_OF_A_SHARE * inputs as f64 / observations.max(1) as f64
}
