//! The likelihood that teaches a network how far its direct estimate errs.

use burn::tensor::Tensor;

/// Log variances beyond these are no better than the bound: errors of a hundredth of a grey value
/// and of many times the contrast.
const BOUNDS: (f64, f64) = (-12.0, 6.0);

/// Minus the logarithm of a normal density, without its constant, where the squared error is
/// `error`: `(error exp(-s) + s) / 2` with the log variance `s` (Kendall & Gal 2017, eq. 8).
///
/// # Shapes
/// - `error`, `log_variance`, output: `[batch, bands, height, width]`
pub(super) fn negative_log_likelihood(error: Tensor<4>, log_variance: Tensor<4>) -> Tensor<4> {
    let s = bounded(log_variance);
    (error * s.clone().neg().exp() + s) * 0.5
}

/// The log variance as far as it is believed.
///
/// # Shapes
/// - `log_variance`, output: any
pub(crate) fn bounded(log_variance: Tensor<4>) -> Tensor<4> {
    log_variance.clamp(BOUNDS.0, BOUNDS.1)
}

#[cfg(test)]
mod tests {
    use burn::tensor::{Device, TensorData};

    use super::*;

    #[test]
    fn the_likelihood_is_best_at_the_mean_squared_error() {
        let device = Device::flex();
        let errors = [0.01f32, 0.04, 0.25, 0.5];
        let mean = errors.iter().sum::<f32>() / 4.0;
        let of = |variance: f32| {
            let error = TensorData::new(errors.to_vec(), [1, 1, 2, 2]);
            let s = Tensor::full([1, 1, 2, 2], variance.ln(), &device);
            let nll = negative_log_likelihood(Tensor::from_data(error, &device), s);
            nll.mean().into_scalar::<f32>()
        };
        for factor in [0.5, 0.9, 1.1, 2.0] {
            assert!(of(mean) < of(mean * factor), "{factor}");
        }
        // At the best variance the density's exponent averages to one half.
        assert!((of(mean) - (1.0 + mean.ln()) / 2.0).abs() < 1e-6);
    }
}
