//! A trained network as a [`Denoiser`]: the wrapper that knows what it predicts.
//!
//! A network is anything that is a [`Network`]: our own U-Net, or one that was built elsewhere
//! ([`crate::network::diffusers`]).

use burn::tensor::{Int, Tensor};

use crate::diffusion::denoiser::{Denoiser, NoiseLevel};
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
        }
    }
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
