//! What lies between two noise levels: the posterior of a step, the noise and the score in x.

use burn::tensor::Tensor;

use super::denoiser::NoiseLevel;

/// `q(x_next | x, x0) = N(kept x + pull x0, variance)` between two levels (Ho et al. 2020, eq. 7;
/// for any alpha and sigma Kingma et al. 2021, eq. 25 to 29).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Posterior {
    /// Factor on x.
    pub kept: f64,
    /// Factor on the x0 estimate.
    pub pull: f64,
    /// Variance of the noise.
    pub variance: f64,
}

impl Posterior {
    /// From `now` down to `next`.
    pub fn between(now: NoiseLevel, next: NoiseLevel) -> Self {
        let ratio = now.alpha / next.alpha;
        let shrink = (next.sigma / now.sigma).powi(2);
        let added = now.sigma.powi(2) - (ratio * next.sigma).powi(2);
        Posterior {
            kept: ratio * shrink,
            pull: next.alpha * added / now.sigma.powi(2),
            variance: added * shrink,
        }
    }
}

/// Variance of the noise that lies between two levels, at the scale of the noisier one.
pub fn added(now: NoiseLevel, next: NoiseLevel) -> f64 {
    now.sigma.powi(2) - (now.alpha / next.alpha * next.sigma).powi(2)
}

/// Variance of `q(x_next | x, x0)`; 0 where `next` is clean.
pub fn posterior_variance(now: NoiseLevel, next: NoiseLevel) -> f64 {
    added(now, next) * (next.sigma / now.sigma).powi(2)
}

/// Half the logarithm of the signal-to-noise ratio, `ln(alpha / sigma)`: the time in which the
/// exponential integrators take their steps. Infinite at the clean image.
pub fn half_log_snr(level: NoiseLevel) -> f64 {
    -level.relative_sigma().ln()
}

/// The noise in x, given the x0 estimate: `(x - alpha x0) / sigma`.
pub fn noise_in(x: &Tensor<4>, denoised: &Tensor<4>, level: NoiseLevel) -> Tensor<4> {
    (x.clone() - denoised.clone() * level.alpha) / level.sigma
}

/// The score of x, given the x0 estimate: `-(x - alpha x0) / sigma²` (Tweedie's formula).
pub fn score(x: &Tensor<4>, denoised: &Tensor<4>, level: NoiseLevel) -> Tensor<4> {
    (denoised.clone() * level.alpha - x.clone()) / level.sigma.powi(2)
}
