//! Guidance towards a class: denoisers around a denoiser, so that every sampler can use them.
//!
//! `generate --guidance` reaches [`ClassifierFree`]; `ClassifierGuided` is library only, since no
//! face has a classifier of noisy images.
//!
//! Both move the x0 estimate. Since `eps = (x - alpha x0) / sigma`, what the papers write for eps
//! or for the score is an affine change of the estimate: adding `g` to the score of x adds
//! `sigma² / alpha g` to x0.

use burn::tensor::Tensor;

use super::denoiser::{Denoiser, NoiseLevel};

/// Classifier-free guidance (Ho & Salimans 2022, eq. 6):
/// `eps <- (1 + w) eps(x, class) - w eps(x)`, the same for x0.
///
/// diffusers' `guidance_scale` is `1 + weight`.
pub struct ClassifierFree<'a> {
    /// The denoiser that is told the class.
    pub conditional: &'a dyn Denoiser,
    /// The same network without a class.
    pub unconditional: &'a dyn Denoiser,
    /// w: 0 is plain conditional sampling, -1 unconditional.
    pub weight: f64,
    /// phi of Lin et al. 2024, sect. 3.4: how far the standard deviation of each guided estimate
    /// is brought back to that of the conditional one, 0 to 1; 0.7 there.
    pub rescale: f64,
}

impl Denoiser for ClassifierFree<'_> {
    fn denoise(&self, x: Tensor<4>, level: NoiseLevel) -> Tensor<4> {
        self.denoise_with_variance(x, level).0
    }

    /// The variance is the conditional denoiser's.
    fn denoise_with_variance(
        &self,
        x: Tensor<4>,
        level: NoiseLevel,
    ) -> (Tensor<4>, Option<Tensor<4>>) {
        let (conditional, variance) = self.conditional.denoise_with_variance(x.clone(), level);
        if self.weight == 0.0 {
            return (conditional, variance);
        }
        let free = self.unconditional.denoise(x, level);
        let guided = conditional.clone() * (1.0 + self.weight) - free * self.weight;
        if self.rescale == 0.0 {
            return (guided, variance);
        }
        let ratio = spread(conditional) / (spread(guided.clone()) + f32::MIN_POSITIVE);
        let guided = guided * (ratio * self.rescale + (1.0 - self.rescale));
        (guided, variance)
    }
}

/// Standard deviation over all bands and pixels of each image, `[batch, 1, 1, 1]`.
fn spread(x: Tensor<4>) -> Tensor<4> {
    let mean = |t: Tensor<4>| t.mean_dim(1).mean_dim(2).mean_dim(3);
    mean((x.clone() - mean(x)).square()).sqrt()
}

/// What a noisy image says about a class.
#[cfg(feature = "autodiff")]
pub trait Classifier {
    /// `log p(class | x)` of each image for the class wanted of it, differentiable in `x`.
    ///
    /// # Shapes
    /// - `x`: `[batch, bands, height, width]`
    /// - output: `[batch]`
    fn log_probability(&self, x: Tensor<4>, level: NoiseLevel) -> Tensor<1>;
}

/// Classifier guidance (Dhariwal & Nichol 2021, algorithm 2):
/// `eps <- eps - sigma s grad log p(class | x)`.
#[cfg(feature = "autodiff")]
pub struct ClassifierGuided<'a> {
    /// The denoiser.
    pub inner: &'a dyn Denoiser,
    /// A classifier of noisy images.
    pub classifier: &'a dyn Classifier,
    /// s; 1 samples the class as the classifier knows it, more exaggerates it.
    pub scale: f64,
}

#[cfg(feature = "autodiff")]
impl Denoiser for ClassifierGuided<'_> {
    fn denoise(&self, x: Tensor<4>, level: NoiseLevel) -> Tensor<4> {
        self.denoise_with_variance(x, level).0
    }

    fn denoise_with_variance(
        &self,
        x: Tensor<4>,
        level: NoiseLevel,
    ) -> (Tensor<4>, Option<Tensor<4>>) {
        let leaf = x.clone().inner().autodiff().require_grad();
        let sum = self.classifier.log_probability(leaf.clone(), level).sum();
        let gradient = super::gradient::of(&leaf, sum);
        let step = self.scale * level.sigma.powi(2) / level.alpha;
        let (denoised, variance) = self.inner.denoise_with_variance(x, level);
        (denoised + gradient * step, variance)
    }
}

#[cfg(all(test, feature = "autodiff"))]
mod tests;
