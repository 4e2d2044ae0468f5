//! Which timesteps and sigmas a run of few steps visits.

use serde::{Deserialize, Serialize};

use super::Schedule;
use crate::diffusion::denoiser::NoiseLevel;
use crate::diffusion::sde::Sde;

/// Which timesteps of a variance-preserving schedule a short run visits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Spacing {
    /// Multiples of T / steps from 0: never reaches T - 1 (Ho et al. 2020, DDIM).
    Leading,
    /// Both ends included.
    Linspace,
    /// Counted back from T - 1 (Lin et al. 2024, table 2): starts from pure noise.
    #[default]
    Trailing,
    /// Karras et al. 2022 sigmas between the schedule's own ends, timesteps between integers.
    Karras,
}

/// `n` sigmas from `max` down to `min` (Karras et al. 2022, eq. 5, without its final 0).
pub fn karras_sigmas(n: usize, min: f64, max: f64, rho: f64) -> Vec<f64> {
    linspace(max.powf(1.0 / rho), min.powf(1.0 / rho), n)
        .map(|x| x.powf(rho))
        .collect()
}

/// The `steps` timesteps of a run over `total`, descending (Lin et al. 2024, table 2, rounding
/// half to even as NumPy does). `steps` must be in 1..=`total`; [`Spacing::Karras`] has no
/// integer timesteps and counts as trailing.
pub fn timesteps(total: usize, steps: usize, spacing: Spacing) -> Vec<usize> {
    let round = |x: f64| x.round_ties_even().max(0.0) as usize;
    let mut ascending: Vec<usize> = match spacing {
        Spacing::Leading => (0..steps).map(|i| i * (total / steps.max(1))).collect(),
        Spacing::Linspace => linspace(0.0, total as f64 - 1.0, steps)
            .map(round)
            .collect(),
        Spacing::Trailing | Spacing::Karras => {
            // NumPy's arange takes its stride from the first two values; that decides ties.
            let end = total as f64;
            let stride = end - (end - end / steps as f64);
            let from_end = |i: usize| round(end - i as f64 * stride).saturating_sub(1);
            (0..steps).rev().map(from_end).collect()
        }
    };
    ascending.reverse();
    ascending
}

/// `n` values from `start` to `end`, both included; `start` alone for n = 1.
pub(super) fn linspace(start: f64, end: f64, n: usize) -> impl Iterator<Item = f64> {
    let step = (end - start) / n.saturating_sub(1).max(1) as f64;
    (0..n).map(move |i| start + i as f64 * step)
}

/// Karras-spaced levels between the ends of a schedule of timesteps.
pub(super) fn karras_of(schedule: &Schedule, steps: usize) -> Vec<NoiseLevel> {
    let all = schedule.training_levels();
    let sigmas: Vec<f64> = all.iter().map(NoiseLevel::relative_sigma).collect();
    let (Some(&min), Some(&max)) = (sigmas.first(), sigmas.last()) else {
        return Vec::new();
    };
    let level = |sigma: f64| {
        // What the schedule keeps constant, with the given ratio of sigma to alpha.
        let alpha = match schedule.sde() {
            Some(Sde::Ve { .. }) => 1.0,
            Some(Sde::SubVp { .. }) => (sigma.hypot(2.0) - sigma) / 2.0,
            _ => sigma.hypot(1.0).recip(),
        };
        NoiseLevel {
            alpha,
            sigma: sigma * alpha,
            timestep: timestep_of(sigma, &sigmas),
        }
    };
    karras_sigmas(steps, min, max, 7.0)
        .into_iter()
        .map(level)
        .collect()
}

/// The fractional timestep at which ascending `sigmas`, interpolated in the logarithm, reach
/// `sigma`.
pub(super) fn timestep_of(sigma: f64, sigmas: &[f64]) -> f64 {
    let high = sigmas
        .partition_point(|s| *s <= sigma)
        .clamp(1, sigmas.len().max(2) - 1);
    match (sigmas.get(high - 1), sigmas.get(high)) {
        (Some(low), Some(up)) => {
            let part = (sigma / low).ln() / (up / low).ln();
            (high - 1) as f64 + part.clamp(0.0, 1.0)
        }
        _ => 0.0,
    }
}
