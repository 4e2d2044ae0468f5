//! Keeping x0 estimates within the range of images (a wrapper around any denoiser).

use burn::tensor::Tensor;

use super::denoiser::{Denoiser, NoiseLevel};

/// How an estimate is brought back into range.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Threshold {
    /// Clipped to -range..range.
    Static {
        /// Largest absolute value of an image.
        range: f64,
    },
    /// Clipped to a quantile of the image's own absolute values where that is above 1, then
    /// divided by it (Saharia et al. 2022, Imagen, sect. 2.3); for images in -1..1.
    Dynamic {
        /// Which quantile, 0 to 1; 0.995 is usual.
        quantile: f64,
        /// The quantile is never taken as more than this; 1 is the same as clipping.
        most: f64,
    },
}

/// A denoiser whose estimates are kept in range.
pub struct Thresholded<'a> {
    /// The denoiser.
    pub inner: &'a dyn Denoiser,
    /// How.
    pub threshold: Threshold,
}

impl Denoiser for Thresholded<'_> {
    fn denoise(&self, x: Tensor<4>, level: NoiseLevel) -> Tensor<4> {
        self.threshold.apply(self.inner.denoise(x, level))
    }

    fn denoise_with_variance(
        &self,
        x: Tensor<4>,
        level: NoiseLevel,
    ) -> (Tensor<4>, Option<Tensor<4>>) {
        let (denoised, variance) = self.inner.denoise_with_variance(x, level);
        (self.threshold.apply(denoised), variance)
    }
}

impl Threshold {
    /// The estimate brought into range, each image of a batch for itself.
    ///
    /// # Shapes
    /// - `denoised`, output: `[batch, bands, height, width]`
    pub fn apply(self, denoised: Tensor<4>) -> Tensor<4> {
        match self {
            Threshold::Static { range } => denoised.clamp(-range, range),
            Threshold::Dynamic { quantile, most } => {
                let limit = quantile_of(denoised.clone().abs(), quantile).clamp(1.0, most);
                denoised
                    .max_pair(limit.clone().neg())
                    .min_pair(limit.clone())
                    / limit
            }
        }
    }
}

/// The quantile of the values of each image, which are 0 or more, interpolated between
/// neighbours as NumPy does; `[batch, 1, 1, 1]`.
///
/// By bisection: sorting reads back from the device in some backends.
fn quantile_of(values: Tensor<4>, quantile: f64) -> Tensor<4> {
    let [_, bands, height, width] = values.dims();
    let count = bands * height * width;
    let place = quantile.clamp(0.0, 1.0) * (count - 1) as f64;
    let below = ranked(values.clone(), place.floor() as usize);
    let above = ranked(values, place.ceil() as usize);
    below.clone() + (above - below) * (place - place.floor())
}

/// The value of each image that has `rank` smaller ones; `[batch, 1, 1, 1]`.
fn ranked(values: Tensor<4>, rank: usize) -> Tensor<4> {
    // An f32 is found after as many halvings as its mantissa has bits, and some for its size.
    const HALVINGS: usize = 32;
    let mut high = values.clone().max_dim(1).max_dim(2).max_dim(3);
    let mut low = high.zeros_like();
    for _ in 0..HALVINGS {
        let middle = (low.clone() + high.clone()) * 0.5;
        let inside = values
            .clone()
            .lower_equal(middle.clone().expand(values.dims()));
        let count = inside.float().sum_dims(&[1, 2, 3]);
        let reached = count.greater_elem(rank as f64 + 0.5);
        low = low.mask_where(reached.clone().bool_not(), middle.clone());
        high = high.mask_where(reached, middle);
    }
    high
}

#[cfg(test)]
mod tests {
    use burn::tensor::{Device, TensorData};

    use super::*;

    #[test]
    fn quantiles_of_unsorted_values() {
        let values = vec![0.3f32, 2.0, 0.1, 1.0, 5.0, 0.0, 0.0, 0.0, 0.0, 7.0];
        let x = Tensor::<4>::from_data(TensorData::new(values, [2, 5, 1, 1]), &Device::flex());
        for (quantile, expected) in [(0.0, [0.1, 0.0]), (0.5, [1.0, 0.0]), (0.9, [3.8, 4.2])] {
            let got = quantile_of(x.clone(), quantile).into_data();
            for (a, b) in got.iter::<f64>().zip(expected) {
                assert!((a - b).abs() < 1e-5, "{quantile}: {a}, expected {b}");
            }
        }
    }
}
