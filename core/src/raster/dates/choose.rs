//! Which dates are asked, and which of them have a say at a pixel.

use std::collections::BTreeMap;

use super::regression::{Regression, Table};

/// Dates that one model knows at the most: what a hole needs where every date is clouded in part.
pub const MOST_DATES: usize = 12;
/// Sets of dates that are fitted at the most; a rarer one is served by a smaller set inside it.
const MOST_SETS: usize = 12;
/// A date joins if it is one of the best at this share of the hidden pixels.
const WORTH_JOINING: f64 = 0.02;
/// A date is an outlier at a pixel this many standard deviations from the median of all.
const OUTLIER: f32 = 6.0;
/// The same where the visible ground does not tell whether outliers are clouds.
const FAR_OUTLIER: f32 = 20.0;
/// Visible outliers that tell.
const LEAST_EVIDENCE: usize = 20;
/// Fewer dates than this cannot outvote one.
const LEAST_TO_DISAGREE: usize = 3;

/// One date at the pixels that are fitted to.
pub(super) struct Sampled {
    pub date: usize,
    pub features: Table,
    pub observed: Vec<bool>,
    /// The scene from this date alone.
    pub alone: Regression,
    /// Where it shows the ground that the scene hides, by hidden pixel.
    pub holes: Vec<bool>,
}

/// The best `size` dates of those that show a pixel.
pub(super) fn nested(mut seen: u32, size: usize) -> u32 {
    let mut set = 0;
    for _ in 0..size.min(seen.count_ones() as usize) {
        let lowest = seen & seen.wrapping_neg();
        set |= lowest;
        seen ^= lowest;
    }
    set
}

/// The dates that are among the best `most` at enough hidden pixels; `sampled` has the best first.
pub(super) fn choose(sampled: Vec<Sampled>, most: usize, hidden: usize) -> Vec<Sampled> {
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

/// A date that is an outlier at a pixel that is fitted to has no say there; from what disagreement on
/// each of them is one.
pub(super) fn set_outliers_aside(chosen: &mut [Sampled], scene: &Table) -> Vec<f32> {
    let alone: Vec<Regression> = chosen.iter().map(|date| date.alone.clone()).collect();
    let predicted = chosen.iter().map(|date| date.alone.predict(&date.features));
    let predicted: Vec<Table> = predicted.collect();
    let observed = |n: usize, i: usize| chosen[i].observed[n];
    let limits = limits(&predicted, &alone, observed, scene);
    let seen = agreeing(&predicted, &alone, &limits, observed);
    for (n, (seen, _)) in seen.into_iter().enumerate() {
        for (i, date) in chosen.iter_mut().enumerate() {
            date.observed[n] = seen >> i & 1 == 1;
        }
    }
    limits
}

/// From what disagreement on each date has no say at a pixel, in standard deviations squared.
///
/// Where a date disagrees with the median of all it is either clouded or the only one to show what
/// changed: the visible ground tells which. A date that is nearer to the scene than the median
/// where they disagree is always heard.
fn limits(
    predicted: &[Table],
    alone: &[Regression],
    observed: impl Fn(usize, usize) -> bool,
    scene: &Table,
) -> Vec<f32> {
    // Squared distance of each date and of the median to the scene, and from how many pixels.
    let mut found = vec![(0.0f64, 0.0f64, 0usize); alone.len()];
    let usual = usual_misses(alone, scene.columns());
    compare(predicted, alone, observed, |n, at| {
        for (i, deviation) in &at.deviations {
            if *deviation <= OUTLIER * OUTLIER {
                continue;
            }
            let (own, median, count) = &mut found[*i];
            *count += 1;
            for (band, middle) in at.median.iter().enumerate() {
                let left = usual[band].max(f32::MIN_POSITIVE);
                let truth = scene.column(band)[n];
                let value = predicted[*i].column(band)[n];
                *own += f64::from((value - truth) / left).powi(2);
                *median += f64::from((middle - truth) / left).powi(2);
            }
        }
    });
    let limit = |(own, median, count): &(f64, f64, usize)| match *count {
        // Nothing tells.
        ..LEAST_EVIDENCE => FAR_OUTLIER * FAR_OUTLIER,
        _ if own > median => OUTLIER * OUTLIER,
        _ => f32::INFINITY,
    };
    found.iter().map(limit).collect()
}

/// As bits, which dates are observed at each pixel and agree with the median of all that are; and
/// how far these disagree, 1 = as far as their fits let expect.
pub(super) fn agreeing(
    predicted: &[Table],
    alone: &[Regression],
    limits: &[f32],
    observed: impl Fn(usize, usize) -> bool,
) -> Vec<(u32, f32)> {
    let count = predicted.first().map_or(0, |first| first.count);
    let bits = |n: usize| {
        let shown = (0..predicted.len()).filter(|i| observed(n, *i));
        shown.fold(0u32, |bits, i| bits | 1 << i)
    };
    let mut seen: Vec<(u32, f32)> = (0..count).map(|n| (bits(n), 1.0)).collect();
    compare(predicted, alone, &observed, |n, at| {
        let (bits, doubt) = &mut seen[n];
        let (mut sum, mut agree) = (0.0, 0.0f32);
        for (i, deviation) in &at.deviations {
            match *deviation > limits[*i] {
                true => *bits &= !(1 << i),
                false => {
                    sum += deviation;
                    agree += 1.0;
                }
            }
        }
        *doubt = (sum / agree.max(1.0)).sqrt();
    });
    seen
}

/// The dates at a pixel beside each other.
struct Compared {
    /// Each date that shows it, with its mean squared distance to the median over the bands.
    deviations: Vec<(usize, f32)>,
    /// `[bands]`.
    median: Vec<f32>,
}

/// The median of some values, at least one, which it sorts.
pub(super) fn median(values: &mut [f32]) -> f32 {
    values.sort_by(f32::total_cmp);
    (values[(values.len() - 1) / 2] + values[values.len() / 2]) / 2.0
}

/// How far a date alone misses the scene: the median over the dates, by band. Clouds that nobody
/// knew of widen what one date misses, and would hide in it.
fn usual_misses(alone: &[Regression], bands: usize) -> Vec<f32> {
    let middle = |band: usize| {
        let mut misses: Vec<f32> = alone.iter().map(|date| date.left[band]).collect();
        misses.sort_by(f32::total_cmp);
        misses.get(misses.len() / 2).copied().unwrap_or(0.0)
    };
    (0..bands).map(middle).collect()
}

/// Compares the dates at each pixel that enough of them show, in their standard deviations.
fn compare(
    predicted: &[Table],
    alone: &[Regression],
    observed: impl Fn(usize, usize) -> bool,
    mut each: impl FnMut(usize, &Compared),
) {
    let (count, bands) = match predicted.first() {
        Some(first) => (first.count, first.columns()),
        None => return,
    };
    let usual = usual_misses(alone, bands);
    let mut values = Vec::with_capacity(predicted.len());
    let mut at = Compared {
        deviations: Vec::new(),
        median: vec![0.0; bands],
    };
    for n in 0..count {
        at.deviations.clear();
        let shown = (0..predicted.len()).filter(|i| observed(n, *i));
        at.deviations.extend(shown.map(|i| (i, 0.0)));
        if at.deviations.len() < LEAST_TO_DISAGREE {
            continue;
        }
        for (band, usual) in usual.iter().enumerate() {
            values.clear();
            let shown = at.deviations.iter();
            values.extend(shown.map(|(i, _)| predicted[*i].column(band)[n]));
            let median = median(&mut values);
            at.median[band] = median;
            if *usual > 0.0 {
                for (i, deviation) in &mut at.deviations {
                    let off = (predicted[*i].column(band)[n] - median) / usual;
                    *deviation += off * off / bands as f32;
                }
            }
        }
        each(n, &at);
    }
}

/// The sets of dates that serve the hidden pixels (the visible ones where none is hidden), those
/// of the most pixels first; at most [`MOST_SETS`].
pub(super) fn wanted_sets(chosen: &[Sampled], sizes: &[usize], hidden: usize) -> Vec<u32> {
    let mut counts: BTreeMap<u32, usize> = BTreeMap::new();
    let mut count = |shows: &dyn Fn(&Sampled) -> bool| {
        let dates = chosen.iter().enumerate();
        let seen = dates.fold(0u32, |bits, (i, date)| bits | u32::from(shows(date)) << i);
        for size in sizes {
            *counts.entry(nested(seen, *size)).or_default() += 1;
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
