//! Posterior sampling for linear inverse problems: an unconditional denoiser as the prior for
//! `y = A x0 + sigma_y n`.
//!
//! | method | needs | form | what it neglects |
//! | --- | --- | --- | --- |
//! | [`RangeNull`] (DDNM) | A⁺ | a denoiser | noise in y |
//! | [`ddnm_plus`] | SVD | a loop | that the noise in y is the same in every step |
//! | [`ddrm`] | SVD | a loop | the same |
//! | `PseudoInverse` (PiGDM) | gradient, A Aᵀ | a denoiser | that p(x0 \| x) is no isotropic Gaussian |
//! | `dps` | gradient, Aᵀ | a loop | that p(x0 \| x) has a width at all |
//! | `mcg` | gradient, Aᵀ, A⁺ | a loop | the same, and noise in y |
//!
//! With DDNM and DDRM, y speaks about the null space of A only once the state itself shows it, with
//! the gradients at once. How far each is from the truth on a problem with a known answer is
//! measured in the tests of this folder.
//!
//! All act on x in whatever units the denoiser has, with variance-preserving and
//! variance-exploding levels alike.
//!
//! `restore --method` reaches [`Summation`], [`RangeNull`] and `dps`. The others are library only:
//! for a mask without noise in y they are no better, and they are kept for operators that no face
//! has yet (blur, block means), where they are.

mod ddnm;
mod ddrm;
#[cfg(feature = "autodiff")]
mod dps;
mod operator;
#[cfg(feature = "autodiff")]
mod pigdm;
mod summation;
#[cfg(all(test, feature = "autodiff"))]
mod tests;

use burn::tensor::Tensor;

pub use ddnm::{RangeNull, ddnm_plus};
pub use ddrm::{Ddrm, ddrm};
#[cfg(feature = "autodiff")]
pub use dps::{dps, mcg};
pub use operator::{BlockMean, Blur, Decomposed, LinearOperator, Visible};
#[cfg(feature = "autodiff")]
pub use pigdm::PseudoInverse;
pub use summation::Summation;

/// What was measured: `y = A x0 + noise_std n`.
pub struct Measurement<'a, A: ?Sized> {
    /// A.
    pub operator: &'a A,
    /// y, in the range of A.
    pub y: Tensor<4>,
    /// sigma_y, in the units of y; 0 for a measurement to be met exactly.
    pub noise_std: f64,
}

/// The sum over all but the first dimension, `[batch, 1, 1, 1]`.
fn total(x: Tensor<4>) -> Tensor<4> {
    x.sum_dim(1).sum_dim(2).sum_dim(3)
}
