//! The samplers other methods are built on, as plain functions: [`sample`] by name.

use burn::tensor::{Device, Tensor};

use super::{Denoiser, NoiseLevel, NoiseSource, OnStep, Sampler, sample};
use crate::error::Result;

/// For samplers that draw nothing.
struct Silence;

impl NoiseSource for Silence {
    fn draw(&mut self, _draw: usize, device: &Device) -> Tensor<4> {
        Tensor::zeros([1, 1, 1, 1], device)
    }
}

/// [`Sampler::Ddpm`].
///
/// # Errors
/// As [`sample`].
pub fn ddpm(
    denoiser: &dyn Denoiser,
    x: Tensor<4>,
    levels: &[NoiseLevel],
    noise: &mut dyn NoiseSource,
    on_step: &mut OnStep,
) -> Result<Tensor<4>> {
    sample(Sampler::Ddpm, denoiser, x, levels, 0.0, noise, on_step)
}

/// [`Sampler::Ddim`].
///
/// # Errors
/// As [`sample`].
pub fn ddim(
    denoiser: &dyn Denoiser,
    x: Tensor<4>,
    levels: &[NoiseLevel],
    eta: f64,
    noise: &mut dyn NoiseSource,
    on_step: &mut OnStep,
) -> Result<Tensor<4>> {
    sample(Sampler::Ddim, denoiser, x, levels, eta, noise, on_step)
}

/// [`Sampler::DpmSolverPp2m`].
///
/// # Errors
/// As [`sample`].
pub fn dpmpp_2m(
    denoiser: &dyn Denoiser,
    x: Tensor<4>,
    levels: &[NoiseLevel],
    on_step: &mut OnStep,
) -> Result<Tensor<4>> {
    let noise = &mut Silence;
    sample(
        Sampler::DpmSolverPp2m,
        denoiser,
        x,
        levels,
        0.0,
        noise,
        on_step,
    )
}

/// [`Sampler::Heun`].
///
/// # Errors
/// As [`sample`].
pub fn heun(
    denoiser: &dyn Denoiser,
    x: Tensor<4>,
    levels: &[NoiseLevel],
    on_step: &mut OnStep,
) -> Result<Tensor<4>> {
    sample(
        Sampler::Heun,
        denoiser,
        x,
        levels,
        0.0,
        &mut Silence,
        on_step,
    )
}
