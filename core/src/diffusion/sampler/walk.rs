//! What every sampler is given.

use burn::tensor::Tensor;

use super::options::Options;
use crate::diffusion::denoiser::{Denoiser, NoiseLevel, NoiseSource, OnStep, proceed};
use crate::error::Result;

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
    /// A run with the options' defaults.
    pub fn new(
        denoiser: &'a dyn Denoiser,
        levels: &'a [NoiseLevel],
        noise: &'a mut dyn NoiseSource,
        on_step: &'a mut OnStep<'a>,
    ) -> Self {
        Walk {
            denoiser,
            levels,
            options: Options::default(),
            noise,
            on_step,
        }
    }

    /// The same run with another denoiser.
    pub fn with<'b>(&'b mut self, denoiser: &'b dyn Denoiser) -> Walk<'b> {
        Walk {
            denoiser,
            levels: self.levels,
            options: self.options,
            noise: &mut *self.noise,
            on_step: &mut *self.on_step,
        }
    }

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
    /// [`Error::Interrupted`](crate::Error::Interrupted) when it breaks off.
    pub fn done(&mut self, step: usize, x: &Tensor<4>, denoised: &Tensor<4>) -> Result<()> {
        proceed((self.on_step)(step, x, denoised))
    }
}
