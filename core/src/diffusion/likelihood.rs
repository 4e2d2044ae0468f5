//! The likelihood of images under a diffusion model, by the instantaneous change of variables
//! along the probability-flow ODE (Song et al. 2021b, sect. 4.3 and appendix D.2).
//!
//! For `y = x / alpha` and `u = ln(sigma / alpha)` the ODE is `dy/du = y - x0(y)`, whose
//! divergence is `D - tr J` with the Jacobian J of the x0 estimate. From the data up to pure
//! noise, `ln p(y) = ln p_noise(y_end) + integral of (D - tr J) du`.
//!
//! Library only: no face asks for densities. Kept, since comparing models by them is research that
//! this crate is to serve, and it is compared with its reference.

use burn::tensor::Tensor;

use super::denoiser::NoiseSource;
use super::denoiser::{Denoiser, NoiseLevel};
use crate::error::{Error, Hint, Key, Result};

/// A denoiser that can be differentiated.
pub trait VectorJacobian: Denoiser {
    /// The x0 estimate and, for the Jacobian J of the estimate by `x`, the product `vᵀ J`.
    ///
    /// # Shapes
    /// - `x`, `v`, outputs: `[batch, bands, height, width]`
    fn denoise_vjp(&self, x: Tensor<4>, v: Tensor<4>, level: NoiseLevel) -> (Tensor<4>, Tensor<4>);
}

/// Any denoiser on a device with gradients, differentiated by burn.
#[cfg(feature = "autodiff")]
pub struct Differentiated<'a>(pub &'a dyn Denoiser);

#[cfg(feature = "autodiff")]
impl Denoiser for Differentiated<'_> {
    fn denoise(&self, x: Tensor<4>, level: NoiseLevel) -> Tensor<4> {
        self.0.denoise(x, level)
    }
}

#[cfg(feature = "autodiff")]
impl VectorJacobian for Differentiated<'_> {
    fn denoise_vjp(&self, x: Tensor<4>, v: Tensor<4>, level: NoiseLevel) -> (Tensor<4>, Tensor<4>) {
        let x = x.inner();
        let input = Tensor::from_inner(x.clone()).require_grad();
        let denoised = self.0.denoise(input.clone(), level);
        let mut grads = (denoised.clone() * v.detach()).sum().backward();
        // An estimate that does not depend on x has no gradient.
        let product = input
            .grad_remove(&mut grads)
            .unwrap_or_else(|| x.zeros_like());
        let outside = |t: Tensor<4>| Tensor::from_inner(t);
        (outside(denoised.inner()), outside(product))
    }
}

/// How the trace of the Jacobian is taken.
pub enum Trace<'a> {
    /// One product for every value of an image: exact, for small images.
    Exact,
    /// The mean of `vᵀ J v` over this many random vectors of ±1, the same at every level
    /// (Skilling 1989; Hutchinson 1990). Vector i is draw i of the source.
    Estimated(usize, &'a mut dyn NoiseSource),
}

/// The logarithm (base e) of the density of each image of a batch.
///
/// `levels` go from the noisiest to the least noisy, e.g. [`Schedule::levels`]; a clean one at
/// the end is left out: the images count as drawn at the least noise. The integral is taken by
/// Heun's method, whose error falls with the square of the steps; levels evenly spaced in
/// `ln sigma` suit it best. At the noisiest level x counts as Gaussian with that level's sigma,
/// which must be much larger than the images.
///
/// # Shapes
/// - `images`: `[batch, bands, height, width]`
/// - output: `[batch]`
///
/// # Errors
/// [`Error::Setting`] for fewer than two noisy levels or no random vectors.
///
/// [`Schedule::levels`]: super::schedule::Schedule::levels
pub fn log_likelihood(
    denoiser: &dyn VectorJacobian,
    images: Tensor<4>,
    levels: &[NoiseLevel],
    trace: Trace,
) -> Result<Tensor<1>> {
    let upwards: Vec<NoiseLevel> = levels
        .iter()
        .rev()
        .copied()
        .filter(|l| l.sigma > 0.0)
        .collect();
    let [batch, bands, height, width] = images.dims();
    let dimension = (bands * height * width) as f64;
    let device = images.device();
    let setting = |name, expected: &str, got: usize| Error::Setting {
        key: Key::Field(name),
        expected: expected.into(),
        got: got.to_string(),
        hint: Hint::Advice("1000 levels and one vector are usual"),
    };
    if upwards.len() < 2 {
        return Err(setting("noisy levels", "at least 2", upwards.len()));
    }
    let probes: Vec<Tensor<4>> = match trace {
        Trace::Exact => (0..bands * height * width)
            .map(|place| unit(place, images.dims(), &device))
            .collect(),
        Trace::Estimated(count, noise) => {
            if count == 0 {
                return Err(setting("random vectors", "at least 1", 0));
            }
            let scale = (count as f64).sqrt().recip();
            let sign = |v: Tensor<4>| v.clone().greater_equal_elem(0.0).float() * 2.0 - 1.0;
            (0..count)
                .map(|i| sign(noise.draw(i, &device)) * scale)
                .collect()
        }
    };
    // dy/du, and the divergence's part that is not D.
    let slope = |y: &Tensor<4>, level: NoiseLevel| {
        let mut traced = Tensor::<1>::zeros([batch], &device);
        let mut estimate = None;
        for v in &probes {
            let x = y.clone() * level.alpha;
            let (denoised, product) = denoiser.denoise_vjp(x, v.clone(), level);
            let part = (product * v.clone()).sum_dims(&[1, 2, 3]).reshape([batch]);
            // By y instead of x.
            traced = traced + part * level.alpha;
            estimate = Some(denoised);
        }
        let denoised = estimate.unwrap_or_else(|| y.clone());
        (y.clone() - denoised, traced)
    };
    let mut y = images;
    let mut change = Tensor::<1>::zeros([batch], &device);
    let mut here = slope(&y, upwards[0]);
    for pair in upwards.windows(2) {
        let du = (pair[1].relative_sigma() / pair[0].relative_sigma()).ln();
        let trial = y.clone() + here.0.clone() * du;
        let there = slope(&trial, pair[1]);
        y = y + (here.0 + there.0) * (du / 2.0);
        change = change - (here.1 + there.1) * (du / 2.0) + dimension * du;
        here = slope(&y, pair[1]);
    }
    let variance = upwards[upwards.len() - 1].relative_sigma().powi(2);
    let distance = y.square().sum_dims(&[1, 2, 3]).reshape([batch]);
    let constant = -0.5 * dimension * (std::f64::consts::TAU * variance).ln();
    Ok(distance * (-0.5 / variance) + constant + change)
}

/// 1 at `place` of every image, else 0.
fn unit(place: usize, shape: [usize; 4], device: &burn::tensor::Device) -> Tensor<4> {
    let size = shape[1] * shape[2] * shape[3];
    let mut values = vec![0.0f32; shape[0] * size];
    for item in 0..shape[0] {
        values[item * size + place] = 1.0;
    }
    Tensor::from_data(burn::tensor::TensorData::new(values, shape), device)
}

/// Bits a value from a log-likelihood of images of `dimension` values whose integer levels are
/// `spacing` apart: 2/255 for 8-bit images in -1..1 (Theis et al. 2016).
pub fn bits_per_dim(log_likelihood: f64, dimension: usize, spacing: f64) -> f64 {
    -(log_likelihood / dimension as f64 + spacing.ln()) / std::f64::consts::LN_2
}
