//! The denoisers and the noise of `data/samplers.safetensors`.

use burn::tensor::{Device, Tensor, TensorData, activation};
use unclouded_core::diffusion::denoiser::NoiseSource;
use unclouded_core::diffusion::denoiser::{Denoiser, NoiseLevel};
use unclouded_core::diffusion::prediction::Prediction;
use unclouded_core::model::denoiser::NetworkDenoiser;
use unclouded_core::network::params::{self, Arrays};
use unclouded_core::network::unet::{UNet, UNetConfig};

use super::bytes;

/// The file's arrays and its network.
pub struct Problem {
    arrays: Arrays,
    unet: UNet,
}

impl Problem {
    /// Reads the file.
    pub fn load() -> Self {
        let (arrays, metadata) = params::from_bytes(&bytes("samplers")).unwrap();
        let config: UNetConfig = serde_json::from_str(&metadata["network"]).unwrap();
        let strip = |(key, array): (&String, _)| {
            Some((
                key.strip_prefix("weights.")?.to_owned(),
                Clone::clone(array),
            ))
        };
        let weights: Arrays = arrays.iter().filter_map(strip).collect();
        let fresh = config.init(&Device::flex()).unwrap();
        let unet = params::assign(fresh, &weights).unwrap();
        Self { arrays, unet }
    }

    /// The values of an array, if there is one of this name.
    pub fn values(&self, name: &str) -> Option<Vec<f64>> {
        let values = &self.arrays.get(name)?.values;
        Some(values.iter().map(|v| f64::from(*v)).collect())
    }

    /// The shape of an array.
    pub fn shape(&self, name: &str) -> Vec<usize> {
        self.arrays[name].shape.clone()
    }

    /// The noise, draw by draw.
    pub fn noise(&self) -> Stored {
        Stored {
            values: self.arrays["noise"].values.clone(),
            shape: self.shape("noise")[1..].try_into().unwrap(),
        }
    }

    /// The closed-form denoiser.
    pub fn mixture(&self, through: Option<Prediction>) -> Mixture {
        Mixture {
            prior: self.values("prior").unwrap(),
            through,
        }
    }

    /// The tiny network with random weights.
    pub fn network(&self, prediction: Prediction) -> NetworkDenoiser<'_> {
        NetworkDenoiser {
            network: &self.unet,
            prediction,
            conditioning: None,
            mask: None,
            class: None,
            vector: None,
            spread: false,
        }
    }
}

/// Posterior mean of a mixture of two Gaussians `[weight, mean, std]`, optionally by way of
/// what a network of some prediction would output.
pub struct Mixture {
    prior: Vec<f64>,
    through: Option<Prediction>,
}

impl Mixture {
    fn posterior_mean(&self, x: Tensor<4>, alpha: f64, sigma: f64) -> Tensor<4> {
        let part = |c: &[f64]| {
            let (weight, mean, std) = (c[0], c[1], c[2]);
            let variance = (alpha * std).powi(2) + sigma * sigma;
            let off = x.clone() - alpha * mean;
            let log = off.clone().square() / (-2.0 * variance) + (weight / variance.sqrt()).ln();
            (log, off * (alpha * std * std / variance) + mean)
        };
        let (log_a, mean_a) = part(&self.prior[..3]);
        let (log_b, mean_b) = part(&self.prior[3..]);
        let share = activation::sigmoid(log_a - log_b);
        mean_b.clone() + (mean_a - mean_b) * share
    }
}

impl Denoiser for Mixture {
    fn denoise(&self, x: Tensor<4>, level: NoiseLevel) -> Tensor<4> {
        let clean = self.posterior_mean(x.clone(), level.alpha, level.sigma);
        let Some(prediction) = self.through else {
            return clean;
        };
        let (a, b) = prediction.target(level);
        let noise = (x.clone() - clean.clone() * level.alpha) / level.sigma;
        let network = clean * a + noise * b;
        let scaling = prediction.scaling(level);
        x * scaling.c_skip + network * scaling.c_out
    }
}

/// The noise of the file, draw by draw.
pub struct Stored {
    values: Vec<f32>,
    shape: [usize; 4],
}

impl NoiseSource for Stored {
    fn draw(&mut self, draw: usize, device: &Device) -> Tensor<4> {
        let size: usize = self.shape.iter().product();
        let one = self.values[draw * size..(draw + 1) * size].to_vec();
        Tensor::from_data(TensorData::new(one, self.shape), device)
    }
}
