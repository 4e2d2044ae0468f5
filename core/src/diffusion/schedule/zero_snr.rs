//! Schedules rescaled to end at pure noise.

use serde::{Deserialize, Serialize};

use super::{Schedule, linear_end, linear_start, scaled_end, scaled_start};

/// The schedule that is rescaled, with the numbers of its paper.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Base {
    /// [`Schedule::Linear`], 1e-4 to 0.02.
    Linear,
    /// [`Schedule::ScaledLinear`], 0.00085 to 0.012.
    ScaledLinear,
    /// [`Schedule::Cosine`].
    Cosine,
    /// [`Schedule::SigmoidBeta`], 1e-4 to 0.02.
    SigmoidBeta,
    /// [`Schedule::SigmoidAlphaBar`].
    SigmoidAlphaBar,
}

impl Base {
    /// The schedule before it is rescaled.
    pub fn schedule(self, timesteps: usize) -> Schedule {
        match self {
            Base::Linear => Schedule::Linear {
                timesteps,
                beta_start: linear_start(),
                beta_end: linear_end(),
            },
            Base::ScaledLinear => Schedule::ScaledLinear {
                timesteps,
                beta_start: scaled_start(),
                beta_end: scaled_end(),
            },
            Base::Cosine => Schedule::Cosine { timesteps },
            Base::SigmoidBeta => Schedule::SigmoidBeta {
                timesteps,
                beta_start: linear_start(),
                beta_end: linear_end(),
            },
            Base::SigmoidAlphaBar => Schedule::SigmoidAlphaBar { timesteps },
        }
    }
}

/// The betas of a schedule whose square root of alpha-bar is shifted and scaled so that it keeps
/// its first value and ends at 0 (Lin et al. 2024, algorithm 1). A schedule of one timestep has no
/// other value to end at and is returned as it is.
pub fn rescale_zero_terminal_snr(betas: &[f64]) -> Vec<f64> {
    let mut product = 1.0;
    let roots: Vec<f64> = betas
        .iter()
        .map(|beta| {
            product *= 1.0 - beta;
            f64::sqrt(product)
        })
        .collect();
    let [first, .., last] = roots[..] else {
        return betas.to_vec();
    };
    let bars = roots
        .iter()
        .map(|root| ((root - last) * (first / (first - last))).powi(2));
    let mut before = 1.0;
    bars.map(|bar| {
        let beta = 1.0 - bar / before;
        before = bar;
        beta
    })
    .collect()
}
