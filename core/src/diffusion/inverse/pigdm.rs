//! PiGDM: guidance by the pseudo-inverse, as wide as the denoiser is unsure (Song, Vahdat,
//! Mardani & Kautz 2023).

use burn::tensor::Tensor;

use super::{LinearOperator, Measurement};
use crate::diffusion::denoiser::{Denoiser, NoiseLevel};
use crate::diffusion::gradient::pullback;

/// PiGDM (sect. 3): with `p(x0 | x) = N(x0 estimate, r²)` the score of the measurement is
/// `Jᵀ Aᵀ (r² A Aᵀ + sigma_y²)⁻¹ (y - A x0)`, J the derivative of the estimate by x.
///
/// Exact for a prior that is an isotropic Gaussian of `data_std`. A denoiser: any sampler may
/// use it.
pub struct PseudoInverse<'a> {
    /// The unconditional denoiser.
    pub inner: &'a dyn Denoiser,
    /// A, y and sigma_y.
    pub measurement: Measurement<'a, dyn LinearOperator + 'a>,
    /// Standard deviation of clean images, in network units; 1 in the paper.
    pub data_std: f64,
}

impl Denoiser for PseudoInverse<'_> {
    fn denoise(&self, x: Tensor<4>, level: NoiseLevel) -> Tensor<4> {
        let Measurement {
            operator,
            y,
            noise_std,
        } = &self.measurement;
        // Variance of x0 given x under the isotropic prior.
        let prior = self.data_std.powi(2);
        let noise = level.sigma.powi(2);
        let width = prior * noise / (prior * level.alpha.powi(2) + noise);
        let (denoised, gradient) = pullback(self.inner, x, level, &|denoised| {
            let off = y.clone() - operator.forward(denoised);
            operator.adjoint(operator.solve(off, width, noise_std.powi(2)))
        });
        denoised + gradient * (noise / level.alpha)
    }
}
