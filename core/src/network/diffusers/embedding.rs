//! How time and class reach the blocks of a `UNet2DModel`.

use burn::module::{Module, Param};
use burn::nn::{Embedding, EmbeddingConfig, Initializer, Linear, LinearConfig};
use burn::tensor::{Device, Int, Tensor, TensorData, activation};

use super::config::{ClassEmbedding, TimeEmbedding, UNet2DConfig};
use crate::network::layer::apply;

/// Two dense layers with a SiLU between them.
#[derive(Module, Debug)]
pub(super) struct Mlp {
    linear_1: Linear,
    linear_2: Linear,
}

impl Mlp {
    fn new(features: usize, dim: usize, device: &Device) -> Self {
        Self {
            linear_1: LinearConfig::new(features, dim).init(device),
            linear_2: LinearConfig::new(dim, dim).init(device),
        }
    }

    /// `[batch, features]` to `[batch, dim]`.
    fn forward(&self, x: Tensor<2>) -> Tensor<2> {
        dense(&self.linear_2, activation::silu(dense(&self.linear_1, x)))
    }
}

/// Time and class as one vector.
#[derive(Module, Debug)]
pub(super) struct Conditioner {
    /// Random frequencies, `[channels]`.
    fourier: Option<Param<Tensor<1>>>,
    /// One row a timestep.
    learned: Option<Embedding>,
    time_embedding: Mlp,
    class_table: Option<Embedding>,
    class_mlp: Option<Mlp>,
    /// Frequencies of the positional embedding.
    #[module(skip)]
    frequencies: Vec<f32>,
    #[module(skip)]
    flip_sin_to_cos: bool,
}

impl Conditioner {
    pub(super) fn new(config: &UNet2DConfig, device: &Device) -> Self {
        let channels = config.time_channels();
        let (features, dim) = (config.time_features(), config.embedding_dim());
        let half = channels / 2;
        let frequency =
            |i: usize| (-(10000f64.ln()) * i as f64 / (half as f64 - config.freq_shift)).exp();
        let table = |rows: usize, width: usize| EmbeddingConfig::new(rows, width).init(device);
        let random = Initializer::Normal {
            mean: 0.0,
            std: 16.0,
        };
        Self {
            fourier: (config.time_embedding == TimeEmbedding::Fourier)
                .then(|| random.init([channels], device)),
            learned: match (config.time_embedding, config.num_train_timesteps) {
                (TimeEmbedding::Learned, Some(rows)) => Some(table(rows, channels)),
                _ => None,
            },
            time_embedding: Mlp::new(features, dim, device),
            class_table: match config.class_embedding {
                Some(ClassEmbedding::Table(rows)) => Some(table(rows, dim)),
                _ => None,
            },
            class_mlp: (config.class_embedding == Some(ClassEmbedding::Timestep))
                .then(|| Mlp::new(features, dim, device)),
            frequencies: (0..half).map(|i| frequency(i) as f32).collect(),
            flip_sin_to_cos: config.flip_sin_to_cos,
        }
    }

    /// `[batch]` to `[batch, features]`.
    fn features(&self, t: Tensor<1>) -> Tensor<2> {
        let [batch] = t.dims();
        if let Some(table) = &self.learned {
            let rows = table.forward(t.round().int().reshape([batch, 1]));
            let width = rows.dims()[2];
            return rows.reshape([batch, width]);
        }
        if let Some(frequencies) = &self.fourier {
            let frequencies = frequencies.val();
            let width = frequencies.dims()[0];
            let angle = t.log().reshape([batch, 1])
                * (frequencies * std::f64::consts::TAU).reshape([1, width]);
            return Tensor::cat(vec![angle.clone().sin(), angle.cos()], 1);
        }
        let half = self.frequencies.len();
        let frequencies = TensorData::new(self.frequencies.clone(), [1, half]);
        let angle = t.clone().reshape([batch, 1]) * Tensor::from_data(frequencies, &t.device());
        let (sin, cos) = (angle.clone().sin(), angle.cos());
        let parts = match self.flip_sin_to_cos {
            true => vec![cos, sin],
            false => vec![sin, cos],
        };
        Tensor::cat(parts, 1)
    }

    /// # Shapes
    /// - `t`, `class`: `[batch]`; `vector`: `[batch, dim]`, added as it is
    /// - output: `[batch, dim]`, after the SiLU that every block begins with
    pub(super) fn forward(
        &self,
        t: Tensor<1>,
        class: Option<Tensor<1, Int>>,
        vector: Option<Tensor<2>>,
    ) -> Tensor<2> {
        let mut embedding = self.time_embedding.forward(self.features(t));
        let [batch, dim] = embedding.dims();
        if let (Some(table), Some(class)) = (&self.class_table, &class) {
            let rows = table.forward(class.clone().reshape([batch, 1]));
            embedding = embedding + rows.reshape([batch, dim]);
        }
        if let (Some(mlp), Some(class)) = (&self.class_mlp, class) {
            embedding = embedding + mlp.forward(self.features(class.float()));
        }
        if let Some(vector) = vector {
            embedding = embedding + vector;
        }
        activation::silu(embedding)
    }
}

/// A dense layer over `[batch, inputs]`.
pub(super) fn dense(layer: &Linear, x: Tensor<2>) -> Tensor<2> {
    let [batch, inputs] = x.dims();
    let y = apply(layer, x.reshape([1, batch, inputs]));
    let outputs = y.dims()[2];
    y.reshape([batch, outputs])
}
