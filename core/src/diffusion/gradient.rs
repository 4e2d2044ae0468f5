//! Gradients through a denoiser with respect to the image, not to the weights.
//!
//! The weights stay constants on the plain device: only the image is a leaf of the recorded graph,
//! so that no gradient of a weight is computed, and the graph is gone after every call.

use burn::tensor::Tensor;

use super::denoiser::{Denoiser, NoiseLevel};

/// The x0 estimate and `J^T v`, where J is its derivative by x and `v` what `cotangent` makes of
/// the estimate.
///
/// The gradient of a function f of the estimate is `J^T grad f`; `cotangent` returns grad f and
/// need not be differentiable itself.
///
/// # Shapes
/// - all: `[batch, bands, height, width]`; every image for itself
pub fn pullback(
    denoiser: &dyn Denoiser,
    x: Tensor<4>,
    level: NoiseLevel,
    cotangent: &dyn Fn(Tensor<4>) -> Tensor<4>,
) -> (Tensor<4>, Tensor<4>) {
    let leaf = x.inner().autodiff().require_grad();
    let tracked = denoiser.denoise(leaf.clone(), level);
    let denoised = tracked.clone().inner();
    let cotangent = cotangent(denoised.clone());
    (denoised, of(&leaf, (tracked * cotangent).sum()))
}

/// The gradient of `sum` by the `leaf` it was computed from; zero where it does not depend on it.
pub(super) fn of(leaf: &Tensor<4>, sum: Tensor<1>) -> Tensor<4> {
    if !sum.is_tracked() {
        return leaf.clone().inner().zeros_like();
    }
    let mut gradients = sum.backward();
    leaf.grad_remove(&mut gradients)
        .unwrap_or_else(|| leaf.clone().inner().zeros_like())
}
