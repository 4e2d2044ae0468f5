//! Summation: what is known replaces the state at every step. Needs no training.

use burn::tensor::Tensor;

use crate::diffusion::denoiser::{Denoiser, NoiseLevel};

/// Summation (thesis, sect. 4.2): an unconditional denoiser fills a hole by being shown, at
/// every step, the known pixels at that step's noise level:
/// `x <- x * mask + (alpha * known + sigma * n) * (1 - mask)`.
pub struct Summation<'a> {
    /// The unconditional denoiser.
    pub inner: &'a dyn Denoiser,
    /// The known image, `[batch, bands, height, width]`; anything where masked.
    pub known: Tensor<4>,
    /// 1 = fill, `[batch, 1, height, width]`.
    pub mask: Tensor<4>,
    /// The noise of the known pixels, fixed over the steps, shaped like `known`.
    pub noise: Tensor<4>,
}

impl Denoiser for Summation<'_> {
    fn denoise(&self, x: Tensor<4>, level: NoiseLevel) -> Tensor<4> {
        let visible = self.mask.clone().neg() + 1.0;
        let known_t = self.known.clone() * level.alpha + self.noise.clone() * level.sigma;
        let x = x * self.mask.clone() + known_t * visible.clone();
        let denoised = self.inner.denoise(x, level);
        denoised * self.mask.clone() + self.known.clone() * visible
    }
}
