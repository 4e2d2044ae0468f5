//! A trained network as a [`Denoiser`]: the wrapper that knows what it predicts.
//!
//! A network is anything that is a [`Network`]: the U-Net of this project, or one that was built
//! elsewhere ([`crate::unet::diffusers`]).

use burn::tensor::{Int, Tensor};

use super::denoiser::{Denoiser, NoiseLevel};
use super::prediction::Prediction;

/// What every architecture offers the denoiser.
pub trait Network {
    /// The network's own output, whatever it means.
    ///
    /// # Shapes
    /// - `x`: `[batch, bands + conditioning_bands, height, width]`
    /// - `c_noise`: `[batch]`, what the network is told as its time
    /// - `class`: `[batch]` labels, only for a network built with classes
    /// - output: `[batch, bands, height, width]`
    fn forward(&self, x: Tensor<4>, c_noise: Tensor<1>, class: Option<Tensor<1, Int>>)
    -> Tensor<4>;
}

/// A network with what it predicts and everything it is conditioned on.
pub struct NetworkDenoiser<'a> {
    /// The network.
    pub unet: &'a dyn Network,
    /// What its output means.
    pub prediction: Prediction,
    /// Concatenated channels, `[batch, conditioning_bands, height, width]`.
    pub conditioning: Option<Tensor<4>>,
    /// 1 = fill, `[batch, 1, height, width]`: where the residual is known to be zero the network
    /// is shown zero, as in training.
    pub mask: Option<Tensor<4>>,
    /// Class labels, `[batch]`.
    pub class: Option<Tensor<1, Int>>,
}

impl Denoiser for NetworkDenoiser<'_> {
    fn denoise(&self, x: Tensor<4>, level: NoiseLevel) -> Tensor<4> {
        self.denoise_with_variance(x, level).0
    }

    fn denoise_with_variance(
        &self,
        x: Tensor<4>,
        level: NoiseLevel,
    ) -> (Tensor<4>, Option<Tensor<4>>) {
        let s = self.prediction.scaling(level);
        let [batch, bands, ..] = x.dims();
        let device = x.device();
        let x = match &self.mask {
            Some(mask) => x * mask.clone(),
            None => x,
        };
        let mut input = x.clone() * s.c_in;
        if let Some(conditioning) = &self.conditioning {
            input = Tensor::cat(vec![input, conditioning.clone()], 1);
        }
        let time = Tensor::full([batch], s.c_noise, &device);
        let output = self.unet.forward(input, time, self.class.clone());
        let (output, variance) = split_variance(output, bands);
        let denoised = x * s.c_skip + output * s.c_out;
        let denoised = match &self.mask {
            Some(mask) => denoised * mask.clone(),
            None => denoised,
        };
        (denoised, variance)
    }
}

/// The output of a network with learned variance in its two halves: what it predicts, and where
/// in its range the variance lies. One without has only the first.
///
/// # Shapes
/// - `output`: `[batch, bands, height, width]` or `[batch, 2 * bands, height, width]`
pub fn split_variance(output: Tensor<4>, bands: usize) -> (Tensor<4>, Option<Tensor<4>>) {
    if output.dims()[1] == bands {
        return (output, None);
    }
    let predicted = output.clone().narrow(1, 0, bands);
    (predicted, Some(output.narrow(1, bands, bands)))
}
