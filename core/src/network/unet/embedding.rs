//! What the network is told besides the image: its noise level and, optionally, a class.

use burn::module::Module;
use burn::nn::{Embedding, EmbeddingConfig, Linear, LinearConfig};
use burn::tensor::{Device, Int, Tensor, TensorData, activation};

use crate::network::layer::apply;

/// Sinusoidal features of a scalar followed by a two-layer SiLU MLP.
///
/// `f(t) = [cos(t w_i), sin(t w_i)]` with `w_i = 10000^(-i / (d/2))`
/// (Ho et al. 2020, after Vaswani et al. 2017); the optional class embedding is added
/// after the MLP (Dhariwal & Nichol 2021).
#[derive(Module, Debug)]
pub struct NoiseEmbedding {
    /// `w_i`, `[d / 2]`; derived, never trained.
    #[module(skip)]
    frequencies: Vec<f32>,
    fc1: Linear,
    fc2: Linear,
    class: Option<Embedding>,
}

impl NoiseEmbedding {
    /// Sinusoid dimension `features`, output dimension `dim`.
    pub fn new(features: usize, dim: usize, classes: Option<usize>, device: &Device) -> Self {
        let half = features / 2;
        let frequencies = (0..half)
            .map(|i| (-(10000f64.ln()) * i as f64 / half as f64).exp() as f32)
            .collect();
        Self {
            frequencies,
            fc1: LinearConfig::new(2 * half, dim).init(device),
            fc2: LinearConfig::new(dim, dim).init(device),
            class: classes.map(|n| EmbeddingConfig::new(n, dim).init(device)),
        }
    }

    /// # Shapes
    /// - `c_noise`: `[batch]`, the scalar the network is conditioned on
    /// - `class`: `[batch]` labels, only for a network built with classes; below 0 as if none
    ///   were given
    /// - output: `[batch, dim]`, after a final SiLU, ready for the blocks' projections
    pub fn forward(&self, c_noise: Tensor<1>, class: Option<Tensor<1, Int>>) -> Tensor<2> {
        let [batch] = c_noise.dims();
        let half = self.frequencies.len();
        let device = c_noise.device();
        let frequencies =
            Tensor::<1>::from_data(TensorData::new(self.frequencies.clone(), [half]), &device);
        let angle = c_noise.reshape([batch, 1]) * frequencies.reshape([1, half]);
        let features = Tensor::cat(vec![angle.clone().cos(), angle.sin()], 1);
        let dense = |layer: &Linear, x: Tensor<2>| -> Tensor<2> {
            let [batch, inputs] = x.dims();
            let y = apply(layer, x.reshape([1, batch, inputs]));
            let outputs = y.dims()[2];
            y.reshape([batch, outputs])
        };
        let hidden = activation::silu(dense(&self.fc1, features));
        let mut embedding = dense(&self.fc2, hidden);
        if let (Some(table), Some(class)) = (&self.class, class) {
            let told = class.clone().greater_equal_elem(0).float();
            let rows = table.forward(class.clamp_min(0).reshape([batch, 1]));
            let dim = embedding.dims()[1];
            embedding = embedding + rows.reshape([batch, dim]) * told.reshape([batch, 1]);
        }
        activation::silu(embedding)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a network is trained to see where a label is dropped is what it sees without one.
    #[test]
    fn a_label_below_zero_is_none() {
        let device = Device::flex();
        let embedding = NoiseEmbedding::new(8, 16, Some(5), &device);
        let time = Tensor::<1>::from_floats([0.3, 0.3], &device);
        let label = Tensor::<1, Int>::from_data(TensorData::new(vec![-1i32, 4], [2]), &device);
        let rows = |t: Tensor<2>| -> Vec<Vec<f32>> {
            let values: Vec<f32> = t.into_data().iter::<f32>().collect();
            values.chunks_exact(16).map(<[f32]>::to_vec).collect()
        };
        let told = rows(embedding.forward(time.clone(), Some(label)));
        let free = rows(embedding.forward(time, None));
        assert_eq!(told[0], free[0]);
        assert_ne!(told[1], free[1]);
    }
}
