//! The degradations: blur, mask, downsampling (Bansal et al. 2022, sect. 4).

use burn::tensor::{Device, Tensor, TensorData};

use crate::diffusion::inverse::{BlockMean, Blur, LinearOperator};

/// A family of ever worse images.
pub trait Degradation {
    /// The last, worst step.
    fn steps(&self) -> usize;

    /// D(x0, step); x0 itself at step 0.
    ///
    /// # Shapes
    /// - in and out: `[batch, bands, height, width]`
    fn degrade(&self, x0: Tensor<4>, step: usize) -> Tensor<4>;
}

/// Blurred over and over: after a step with all Gaussians up to it.
pub struct Blurred(Vec<Blur>);

impl Blurred {
    /// One blur for each standard deviation above 0, in pixels, for images of one size.
    pub fn new(stds_px: &[f64], size: (usize, usize), device: &Device) -> Self {
        let mut variance = 0.0;
        // Gaussians in a row are one Gaussian.
        let blur = |std: &f64| {
            variance += std * std;
            Blur::new(f64::sqrt(variance), size, device)
        };
        Blurred(stds_px.iter().map(blur).collect())
    }
}

impl Degradation for Blurred {
    fn steps(&self) -> usize {
        self.0.len()
    }

    fn degrade(&self, x0: Tensor<4>, step: usize) -> Tensor<4> {
        match step.checked_sub(1).and_then(|at| self.0.get(at)) {
            Some(blur) => blur.forward(x0),
            None => x0,
        }
    }
}

/// A hole that grows from the middle: multiplied with `1 - Gaussian` of a variance that grows with
/// every step, the peak of each 1 (1, 1.1, 1.2, ... square pixels, as in the paper). Library only, to
/// compare with the paper: recipes and faces have holes of any form, [`Growing`](super::Growing).
pub struct Masked(Vec<Tensor<4>>);

impl Masked {
    /// `steps` steps for images of this height and width.
    pub fn new(steps: usize, (height, width): (usize, usize), device: &Device) -> Self {
        let off = |i: usize, n: usize| i as f64 - (n as f64 - 1.0) / 2.0;
        let mut left = vec![1.0f64; height * width];
        let mask = |step: usize| {
            let variance = 1.0 + 0.1 * step as f64;
            for (i, value) in left.iter_mut().enumerate() {
                let (row, col) = (off(i / width, height), off(i % width, width));
                *value *= 1.0 - (-(row * row + col * col) / (2.0 * variance)).exp();
            }
            let values: Vec<f32> = left.iter().map(|v| *v as f32).collect();
            Tensor::from_data(TensorData::new(values, [1, 1, height, width]), device)
        };
        Masked((0..steps).map(mask).collect())
    }
}

impl Degradation for Masked {
    fn steps(&self) -> usize {
        self.0.len()
    }

    fn degrade(&self, x0: Tensor<4>, step: usize) -> Tensor<4> {
        match step.checked_sub(1).and_then(|at| self.0.get(at)) {
            Some(mask) => x0 * mask.clone(),
            None => x0,
        }
    }
}

/// Halved again and again, and brought back to its size by repeating pixels.
pub struct Downsampled(Vec<BlockMean>);

impl Downsampled {
    /// `steps` halvings for images of this height and width, multiples of `2^steps`.
    pub fn new(steps: usize, size: (usize, usize), device: &Device) -> Self {
        let halved = |step: usize| BlockMean::new(2 << step, size, device);
        Downsampled((0..steps).map(halved).collect())
    }

    /// Of one step, that halves `times` times at once.
    pub(super) fn once(times: usize, size: (usize, usize), device: &Device) -> Self {
        Downsampled(vec![BlockMean::new(1 << times, size, device)])
    }
}

impl Degradation for Downsampled {
    fn steps(&self) -> usize {
        self.0.len()
    }

    fn degrade(&self, x0: Tensor<4>, step: usize) -> Tensor<4> {
        match step.checked_sub(1).and_then(|at| self.0.get(at)) {
            // A⁺ of block means repeats them.
            Some(means) => means.pseudo_inverse(means.forward(x0)),
            None => x0,
        }
    }
}
