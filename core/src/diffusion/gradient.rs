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
    // One dimension after the other: burn's full sum crashes in llvmpipe 22.3, see `matmul`.
    let sum = (tracked * cotangent).sum_dims(&[0, 1, 2, 3]);
    (denoised, of(&leaf, sum.reshape([1])))
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

#[cfg(test)]
mod tests {
    use burn::tensor::{Device, Tensor, TensorData};

    use super::*;
    use crate::diffusion::prediction::Prediction;
    use crate::model::denoiser::NetworkDenoiser;
    use crate::network::params::{self, Array, Arrays};
    use crate::network::unet::{UNet, UNetConfig};
    use crate::raster::random::gaussian_stream;

    fn random<const D: usize>(key: u64, shape: [usize; D]) -> Tensor<D> {
        let values = gaussian_stream(&[77, key], shape.iter().product());
        Tensor::from_data(TensorData::new(values, shape), &Device::flex())
    }

    /// A network none of whose weights is zero or one.
    fn network(config: &UNetConfig) -> UNet {
        let unet = config.init(&Device::flex()).expect("valid");
        let arrays: Arrays = params::collect(&unet)
            .into_iter()
            .enumerate()
            .map(|(i, (name, array))| {
                let noise = gaussian_stream(&[5, i as u64], array.values.len());
                // As in reference/unet.py: activations stay near unit size.
                let inputs: usize = match name.contains("conv") {
                    true => array.shape[1..].iter().product(),
                    false => array.shape[0],
                };
                let spread = match array.shape.len() {
                    1 => 0.3,
                    _ => (1.5 / inputs as f32).sqrt(),
                };
                let centre = f32::from(u8::from(name.ends_with("gamma")));
                let values = noise.iter().map(|n| centre + spread * n).collect();
                (name, Array { values, ..array })
            })
            .collect();
        params::assign(unet, &arrays).expect("the same shapes")
    }

    fn networks() -> [UNetConfig; 2] {
        let plain = UNetConfig {
            bands: 3,
            base_channels: 8,
            multipliers: vec![1, 2],
            blocks_per_level: 1,
            attention_levels: vec![],
            heads: 1,
            stem: 1,
            ..UNetConfig::default()
        };
        let full = UNetConfig {
            attention_levels: vec![1],
            heads: 2,
            middle_attention: true,
            stem: 2,
            blocks_per_level: 2,
            conditioning_bands: 4,
            ..plain.clone()
        };
        [plain, full]
    }

    /// `v . D(x + h u)` by finite differences against `u . Jᵀ v`, through every kind of layer, for
    /// several directions: all of the image and single pixels.
    #[test]
    fn the_gradient_of_a_whole_network_is_that_of_finite_differences() {
        let level = NoiseLevel {
            alpha: 1.0,
            sigma: 0.7,
            timestep: 0.0,
        };
        for config in networks() {
            let unet = network(&config);
            let extra = config.conditioning_bands;
            let denoiser = NetworkDenoiser {
                network: &unet,
                prediction: Prediction::Edm { sigma_data: 0.5 },
                conditioning: (extra > 0).then(|| random(4, [2, extra, 16, 16])),
                mask: None,
                class: None,
                vector: None,
                spread: false,
            };
            let (x, v) = (random(1, [2, 3, 16, 16]), random(2, [2, 3, 16, 16]));
            let (denoised, gradient) = pullback(&denoiser, x.clone(), level, &|_| v.clone());
            assert!(!denoised.is_autodiff() && !gradient.is_autodiff());
            let plain = denoiser.denoise(x.clone(), level);
            assert!((denoised - plain).abs().max().into_scalar::<f32>() < 1e-5);
            let host = |t: Tensor<4>| t.into_data().iter::<f64>().collect::<Vec<_>>();
            let dot = |a: Tensor<4>, b: Tensor<4>| -> f64 {
                host(a).iter().zip(host(b)).map(|(a, b)| a * b).sum()
            };
            let size = dot(gradient.clone(), gradient.clone()).sqrt();
            for key in 0..6 {
                let u = match key {
                    0..3 => random(10 + key, [2, 3, 16, 16]),
                    _ => {
                        random(10 + key, [2, 3, 16, 16])
                            * random(20 + key, [2, 1, 16, 16]).greater_elem(1.5).float()
                    }
                };
                let length = dot(u.clone(), u.clone()).sqrt();
                let h = 0.3 / length;
                let f = |h: f64| {
                    dot(
                        denoiser.denoise(x.clone() + u.clone() * h, level),
                        v.clone(),
                    )
                };
                // Fourth order: f32 asks for steps at which the second would still err.
                let slope = (8.0 * (f(h) - f(-h)) - (f(2.0 * h) - f(-2.0 * h))) / (12.0 * h);
                let expected = dot(gradient.clone(), u);
                let off = (slope - expected).abs() / (size * length);
                println!(
                    "direction {key}: {slope:.4} {expected:.4}, off by {off:.1e} of the largest"
                );
                assert!(off < 1e-3, "{slope} {expected}");
            }
        }
    }

    #[test]
    fn what_does_not_depend_on_the_image_has_no_gradient() {
        struct Constant;
        impl Denoiser for Constant {
            fn denoise(&self, x: Tensor<4>, _: NoiseLevel) -> Tensor<4> {
                x.inner().ones_like()
            }
        }
        let x = random(1, [1, 1, 2, 2]);
        let (_, gradient) = pullback(&Constant, x, NoiseLevel::CLEAN, &|d| d);
        assert_eq!(gradient.abs().max().into_scalar::<f32>(), 0.0);
    }
}
