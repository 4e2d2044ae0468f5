//! What every sampler is given, and the scalars they share.

use std::ops::ControlFlow;

use burn::tensor::Tensor;

use super::OnStep;
use super::options::Options;
use crate::diffusion::denoiser::{Denoiser, NoiseLevel};
use crate::diffusion::noise::NoiseSource;
use crate::error::{Error, Result};

/// One run of a sampler: the denoiser, the way down, and who listens.
///
/// A sampler takes `x`, `[batch, bands, height, width]` at the first level, and returns it at
/// the last. Samplers of one noise draw a step ask for draw i + 1 in step i; draw 0 is the
/// starting noise.
pub struct Walk<'a> {
    /// Network and conditioning.
    pub denoiser: &'a dyn Denoiser,
    /// From the noisiest level to the last, usually the clean image.
    pub levels: &'a [NoiseLevel],
    /// What some samplers can be told.
    pub options: Options,
    /// Where noise comes from.
    pub noise: &'a mut dyn NoiseSource,
    /// Called after every step.
    pub on_step: &'a mut OnStep<'a>,
}

impl<'a> Walk<'a> {
    /// The steps of the run, numbered from 0: the level each starts from and the one it reaches.
    pub fn steps(&self) -> impl Iterator<Item = (usize, (NoiseLevel, NoiseLevel))> + use<'a> {
        self.levels
            .windows(2)
            .map(|pair| (pair[0], pair[1]))
            .enumerate()
    }

    /// How many steps there are.
    pub fn step_count(&self) -> usize {
        self.levels.len().saturating_sub(1)
    }

    /// The x0 estimate.
    pub fn denoise(&self, x: &Tensor<4>, level: NoiseLevel) -> Tensor<4> {
        self.denoiser.denoise(x.clone(), level)
    }

    /// Standard normal noise shaped like `x`.
    pub fn draw(&mut self, draw: usize, x: &Tensor<4>) -> Tensor<4> {
        self.noise.draw(draw, &x.device())
    }

    /// Tells the listener about a finished step.
    ///
    /// # Errors
    /// [`Error::Interrupted`] when it breaks off.
    pub fn done(&mut self, step: usize, x: &Tensor<4>, denoised: &Tensor<4>) -> Result<()> {
        match (self.on_step)(step, x, denoised) {
            ControlFlow::Continue(()) => Ok(()),
            ControlFlow::Break(()) => Err(Error::Interrupted),
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
