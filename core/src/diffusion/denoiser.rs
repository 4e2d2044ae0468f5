//! The one interface between samplers and networks: a denoiser returns the x0 estimate.

use std::ops::ControlFlow;

use burn::tensor::{Device, Tensor};

use crate::error::{Error, Result};

/// How noisy an image is: `x = alpha * x0 + sigma * n` with n ~ N(0, 1).
///
/// Variance-preserving schedules have `alpha² + sigma² = 1`, variance-exploding ones
/// (Karras) have `alpha = 1`. The clean image is `alpha = 1, sigma = 0`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct NoiseLevel {
    /// Factor on the clean image.
    pub alpha: f64,
    /// Standard deviation of the noise.
    pub sigma: f64,
    /// What a discrete-time network was trained to see as its time: the index into the
    /// schedule. Networks conditioned on sigma ignore it.
    pub timestep: f64,
}

impl NoiseLevel {
    /// The noise-free level.
    pub const CLEAN: NoiseLevel = NoiseLevel {
        alpha: 1.0,
        sigma: 0.0,
        timestep: 0.0,
    };

    /// Nothing of the image is left. The best estimate is then the mean of all images that fit
    /// what the network is conditioned on, in one call: the direct estimate. x does not matter.
    pub const INFINITE: NoiseLevel = NoiseLevel {
        alpha: 1.0,
        sigma: f64::INFINITY,
        timestep: 0.0,
    };

    /// Noise relative to signal, `sigma / alpha`: the sigma of Karras et al. 2022.
    pub fn relative_sigma(&self) -> f64 {
        self.sigma / self.alpha
    }
}

/// A network with everything it is conditioned on, seen as a function from a noisy image to
/// the x0 estimate, whatever the network itself predicts (eps, x0, v, EDM).
pub trait Denoiser {
    /// The x0 estimate for a batch at one noise level.
    ///
    /// # Shapes
    /// - `x`: `[batch, bands, height, width]`
    /// - output: the same
    fn denoise(&self, x: Tensor<4>, level: NoiseLevel) -> Tensor<4>;

    /// As [`denoise`](Self::denoise), and what a network with learned variance says about the
    /// variance of the reverse step: -1 for the smallest, the posterior's own, 1 for the
    /// largest, beta (Nichol & Dhariwal 2021, eq. 15). None of the others.
    fn denoise_with_variance(
        &self,
        x: Tensor<4>,
        level: NoiseLevel,
    ) -> (Tensor<4>, Option<Tensor<4>>) {
        (self.denoise(x, level), None)
    }
}

/// A denoiser whose reverse steps have the largest variance there is, beta, as if a network had
/// learned it: "fixed large" (Ho et al. 2020, sect. 3.2).
pub struct LargeVariance<'a>(pub &'a dyn Denoiser);

impl Denoiser for LargeVariance<'_> {
    fn denoise(&self, x: Tensor<4>, level: NoiseLevel) -> Tensor<4> {
        self.0.denoise(x, level)
    }

    fn denoise_with_variance(
        &self,
        x: Tensor<4>,
        level: NoiseLevel,
    ) -> (Tensor<4>, Option<Tensor<4>>) {
        let largest = x.ones_like();
        (self.0.denoise(x, level), Some(largest))
    }
}

/// Where a sampler takes its noise from.
pub trait NoiseSource {
    /// Standard normal values for the `draw`-th request of a sampler (0 is the starting noise).
    ///
    /// # Shapes
    /// - output: `[batch, bands, height, width]` of the batch being sampled
    fn draw(&mut self, draw: usize, device: &Device) -> Tensor<4>;
}

/// Called after every step with its number from 0, x after the step, and the x0 estimate the
/// step was made from; breaking off ends the run with [`Error::Interrupted`].
pub type OnStep<'a> = dyn FnMut(usize, &Tensor<4>, &Tensor<4>) -> ControlFlow<()> + 'a;

/// What a listener's answer means for the run.
///
/// # Errors
/// [`Error::Interrupted`] when it breaks off.
pub fn proceed(flow: ControlFlow<()>) -> Result<()> {
    match flow {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break(()) => Err(Error::Interrupted),
    }
}
