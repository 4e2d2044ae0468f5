//! A trained network as a [`Denoiser`]: the wrapper that knows what it predicts.
//!
//! A network is anything that is a [`Network`]: our own U-Net, or one that was built elsewhere
//! ([`crate::network::diffusers`]).

use burn::tensor::{Device, Int, Tensor};

use crate::diffusion::denoiser::{Denoiser, NoiseLevel};
use crate::diffusion::loss::spread;
use crate::diffusion::prediction::{Prediction, split_variance};
use crate::network::{Inputs, Network};

/// A network with what it predicts and everything it is conditioned on.
pub struct NetworkDenoiser<'a> {
    /// The network.
    pub network: &'a dyn Network,
    /// What its output means.
    pub prediction: Prediction,
    /// Concatenated channels, `[batch, conditioning_bands, height, width]`.
    pub conditioning: Option<Tensor<4>>,
    /// 1 = fill, `[batch, 1, height, width]`: where the residual is known to be zero the network
    /// is shown zero, as in training.
    pub mask: Option<Tensor<4>>,
    /// Class labels, `[batch]`.
    pub class: Option<Tensor<1, Int>>,
    /// An embedding of the image, `[length]`, the same for the whole batch.
    pub vector: Option<Tensor<1>>,
    /// Whether what the network says besides is the spread of its direct estimate.
    pub spread: bool,
}

impl<'a> NetworkDenoiser<'a> {
    /// A network that is conditioned on nothing.
    pub fn new(network: &'a dyn Network, prediction: Prediction) -> Self {
        Self {
            network,
            prediction,
            conditioning: None,
            mask: None,
            class: None,
            vector: None,
            spread: false,
        }
    }

    /// The direct estimate, from no image at all: the mean of all that fit, and where the network
    /// says it the standard deviation of what fits about it.
    ///
    /// # Shapes
    /// - `size`: of the estimate, `[batch, bands, height, width]`
    /// - output: both of that size
    pub fn direct(&self, size: [usize; 4], device: &Device) -> (Tensor<4>, Option<Tensor<4>>) {
        let nothing = Tensor::zeros(size, device);
        let (mean, log_variance) = self.call(nothing, NoiseLevel::INFINITE);
        let c_out = self.prediction.scaling(NoiseLevel::INFINITE).c_out;
        let std = log_variance
            .filter(|_| self.spread)
            .map(|log| (spread::bounded(log) * 0.5).exp() * c_out);
        (mean, std)
    }

    /// The x0 estimate, and what the network says besides.
    fn call(&self, x: Tensor<4>, level: NoiseLevel) -> (Tensor<4>, Option<Tensor<4>>) {
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
        let vector = self.vector.as_ref().map(|vector| {
            let [length] = vector.dims();
            vector.clone().reshape([1, length]).repeat(&[batch, 1])
        });
        let output = self.network.forward(Inputs {
            class: self.class.clone(),
            vector,
            ..Inputs::new(input, Tensor::full([batch], s.c_noise, &device))
        });
        let (output, variance) = split_variance(output, bands);
        let denoised = x * s.c_skip + output * s.c_out;
        let denoised = match &self.mask {
            Some(mask) => denoised * mask.clone(),
            None => denoised,
        };
        (denoised, variance)
    }
}

impl Denoiser for NetworkDenoiser<'_> {
    fn denoise(&self, x: Tensor<4>, level: NoiseLevel) -> Tensor<4> {
        self.call(x, level).0
    }

    fn denoise_with_variance(
        &self,
        x: Tensor<4>,
        level: NoiseLevel,
    ) -> (Tensor<4>, Option<Tensor<4>>) {
        let (denoised, variance) = self.call(x, level);
        (denoised, variance.filter(|_| !self.spread))
    }
}
