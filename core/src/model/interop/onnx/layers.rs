//! The layers of our U-Net as ONNX operators; the counterpart of `unet/block.rs`,
//! `unet/attention.rs` and `unet/embedding.rs`.

use super::graph::{Attribute, Graph, Value};
use crate::error::{Error, Hint, Result};
use crate::network::layer::{NORM_EPS, norm_groups};
use crate::network::params::{Array, Arrays};

/// A graph together with the weights its layers take.
pub(super) struct Builder<'a> {
    pub(super) graph: Graph,
    pub(super) weights: &'a Arrays,
}

impl Builder<'_> {
    fn array(&self, name: &str) -> Result<&Array> {
        self.weights.get(name).ok_or_else(|| Error::Checkpoint {
            what: format!("weights do not fit the architecture: expected {name}, found none"),
            hint: Hint::Advice(
                "the file was written for another architecture, or by another program",
            ),
        })
    }

    /// A weight as a constant under its own name, in a shape that may have ones added.
    fn weight(&mut self, name: &str, shape: Option<&[usize]>) -> Result<Value> {
        let array = self.array(name)?.clone();
        let shape = shape.unwrap_or(&array.shape).to_vec();
        Ok(self.graph.floats(name, &shape, &array.values))
    }

    /// A convolution that keeps the size, or halves it with stride 2.
    pub(super) fn conv(&mut self, path: &str, x: &str, stride: i64) -> Result<Value> {
        let k = self.array(&format!("{path}.weight"))?.shape[2] as i64;
        let weight = self.weight(&format!("{path}.weight"), None)?;
        let bias = self.weight(&format!("{path}.bias"), None)?;
        let attributes = [
            Attribute::Ints("kernel_shape", vec![k, k]),
            Attribute::Ints("strides", vec![stride, stride]),
            Attribute::Ints("pads", vec![k / 2; 4]),
        ];
        Ok(self.graph.node("Conv", &[x, &weight, &bias], &attributes))
    }

    /// A dense layer over the last dimension.
    pub(super) fn linear(&mut self, path: &str, x: &str) -> Result<Value> {
        let weight = self.weight(&format!("{path}.weight"), None)?;
        let bias = self.weight(&format!("{path}.bias"), None)?;
        let product = self.graph.node("MatMul", &[x, &weight], &[]);
        Ok(self.graph.node("Add", &[&product, &bias], &[]))
    }

    pub(super) fn silu(&mut self, x: &str) -> Value {
        let gate = self.graph.node("Sigmoid", &[x], &[]);
        self.graph.node("Mul", &[x, &gate], &[])
    }

    pub(super) fn reshape(&mut self, x: &str, shape: &[i64]) -> Value {
        let shape = self.graph.ints(shape);
        self.graph.node("Reshape", &[x, &shape], &[])
    }

    pub(super) fn transpose(&mut self, x: &str, perm: &[i64]) -> Value {
        let perm = [Attribute::Ints("perm", perm.to_vec())];
        self.graph.node("Transpose", &[x], &perm)
    }

    /// Group norm: an instance norm over `[batch, groups, everything else]`. ONNX has an operator
    /// of its own only from opset 21 on.
    pub(super) fn group_norm(&mut self, path: &str, x: &str) -> Result<Value> {
        let gamma = format!("{path}.gamma");
        let channels = self.array(&gamma)?.shape[0];
        let groups = norm_groups(channels);
        let ones = self
            .graph
            .floats(&format!("{path}.ones"), &[groups], &vec![1.0; groups]);
        let zeros = self
            .graph
            .floats(&format!("{path}.zeros"), &[groups], &vec![0.0; groups]);
        let grouped = self.reshape(x, &[0, groups as i64, -1]);
        let normed = self.graph.node(
            "InstanceNormalization",
            &[&grouped, &ones, &zeros],
            &[Attribute::Float("epsilon", NORM_EPS as f32)],
        );
        let shape = self.graph.node("Shape", &[x], &[]);
        let normed = self.graph.node("Reshape", &[&normed, &shape], &[]);
        let gamma = self.weight(&gamma, Some(&[channels, 1, 1]))?;
        let beta = self.weight(&format!("{path}.beta"), Some(&[channels, 1, 1]))?;
        let scaled = self.graph.node("Mul", &[&normed, &gamma], &[]);
        Ok(self.graph.node("Add", &[&scaled, &beta], &[]))
    }

    /// `ResBlock`.
    pub(super) fn res_block(&mut self, path: &str, x: &str, embedding: &str) -> Result<Value> {
        let h = self.group_norm(&format!("{path}.norm1"), x)?;
        let h = self.silu(&h);
        let h = self.conv(&format!("{path}.conv1"), &h, 1)?;
        let time = self.linear(&format!("{path}.emb_proj"), embedding)?;
        let time = self.reshape(&time, &[0, -1, 1, 1]);
        let halves = [Attribute::Int("axis", 1)];
        let parts = self.graph.node_with("Split", &[&time], &halves, 2);
        let one = self.graph.scalar(1.0);
        let scale = self.graph.node("Add", &[&parts[0], &one], &[]);
        let h = self.group_norm(&format!("{path}.norm2"), &h)?;
        let h = self.graph.node("Mul", &[&h, &scale], &[]);
        let h = self.graph.node("Add", &[&h, &parts[1]], &[]);
        let h = self.silu(&h);
        let h = self.conv(&format!("{path}.conv2"), &h, 1)?;
        let skip = format!("{path}.skip");
        let x = match self.weights.contains_key(&format!("{skip}.weight")) {
            true => self.conv(&skip, x, 1)?,
            false => x.to_owned(),
        };
        Ok(self.graph.node("Add", &[&x, &h], &[]))
    }

    /// `SelfAttention`.
    pub(super) fn attention(&mut self, path: &str, x: &str, heads: usize) -> Result<Value> {
        let channels = self.array(&format!("{path}.norm.gamma"))?.shape[0];
        let dim = channels / heads;
        let h = self.group_norm(&format!("{path}.norm"), x)?;
        let h = self.reshape(&h, &[0, channels as i64, -1]);
        let sequence = self.transpose(&h, &[0, 2, 1]);
        let qkv = self.linear(&format!("{path}.qkv"), &sequence)?;
        let qkv = self.reshape(&qkv, &[0, 0, 3, heads as i64, dim as i64]);
        // [batch, tokens, 3, heads, dim] -> three of [batch, heads, tokens, dim]
        let qkv = self.transpose(&qkv, &[2, 0, 3, 1, 4]);
        let axis = [Attribute::Int("axis", 0)];
        let parts = self.graph.node_with("Split", &[&qkv], &axis, 3);
        let axes = self.graph.ints(&[0]);
        let [q, k, v] = [0, 1, 2].map(|i| self.graph.node("Squeeze", &[&parts[i], &axes], &[]));
        let scale = self.graph.scalar((dim as f64).powf(-0.5));
        let q = self.graph.node("Mul", &[&q, &scale], &[]);
        let k = self.transpose(&k, &[0, 1, 3, 2]);
        let scores = self.graph.node("MatMul", &[&q, &k], &[]);
        let last = [Attribute::Int("axis", -1)];
        let weights = self.graph.node("Softmax", &[&scores], &last);
        let mixed = self.graph.node("MatMul", &[&weights, &v], &[]);
        let mixed = self.transpose(&mixed, &[0, 2, 1, 3]);
        let mixed = self.reshape(&mixed, &[0, 0, channels as i64]);
        let out = self.linear(&format!("{path}.proj"), &mixed)?;
        let out = self.transpose(&out, &[0, 2, 1]);
        let shape = self.graph.node("Shape", &[x], &[]);
        let out = self.graph.node("Reshape", &[&out, &shape], &[]);
        Ok(self.graph.node("Add", &[x, &out], &[]))
    }

    /// `NoiseEmbedding`: `[batch]` to `[batch, dim]`, after its final SiLU.
    pub(super) fn embedding(
        &mut self,
        features: usize,
        c_noise: &str,
        class: Option<&str>,
    ) -> Result<Value> {
        let half = features / 2;
        let frequencies: Vec<f32> = (0..half)
            .map(|i| (-(10000f64.ln()) * i as f64 / half as f64).exp() as f32)
            .collect();
        let frequencies = self.graph.floats("frequencies", &[1, half], &frequencies);
        let c_noise = self.reshape(c_noise, &[-1, 1]);
        let angle = self.graph.node("Mul", &[&c_noise, &frequencies], &[]);
        let cos = self.graph.node("Cos", &[&angle], &[]);
        let sin = self.graph.node("Sin", &[&angle], &[]);
        let axis = [Attribute::Int("axis", 1)];
        let x = self.graph.node("Concat", &[&cos, &sin], &axis);
        let x = self.linear("embedding.fc1", &x)?;
        let x = self.silu(&x);
        let mut x = self.linear("embedding.fc2", &x)?;
        if let Some(class) = class {
            let table = self.weight("embedding.class.weight", None)?;
            let axis = [Attribute::Int("axis", 0)];
            let rows = self.graph.node("Gather", &[&table, class], &axis);
            x = self.graph.node("Add", &[&x, &rows], &[]);
        }
        Ok(self.silu(&x))
    }

    /// Nearest-neighbour doubling.
    pub(super) fn double(&mut self, x: &str) -> Value {
        let name = format!("{x}.scales");
        let scales = self.graph.floats(&name, &[4], &[1.0, 1.0, 2.0, 2.0]);
        let attributes = [
            Attribute::Text("mode", "nearest"),
            Attribute::Text("coordinate_transformation_mode", "asymmetric"),
            Attribute::Text("nearest_mode", "floor"),
        ];
        self.graph.node("Resize", &[x, "", &scales], &attributes)
    }

    /// Space to channels. ONNX puts the place inside a block before the channel, we after it.
    pub(super) fn unshuffle(&mut self, x: &str, channels: usize, factor: usize) -> Value {
        if factor == 1 {
            return x.to_owned();
        }
        let size = [Attribute::Int("blocksize", factor as i64)];
        let x = self.graph.node("SpaceToDepth", &[x], &size);
        let places = factor * factor;
        let order: Vec<i64> = (0..channels * places)
            .map(|i| ((i % places) * channels + i / places) as i64)
            .collect();
        let order = self.graph.ints(&order);
        let axis = [Attribute::Int("axis", 1)];
        self.graph.node("Gather", &[&x, &order], &axis)
    }

    /// Channels to space, the inverse of [`unshuffle`](Self::unshuffle).
    pub(super) fn shuffle(&mut self, x: &str, factor: usize) -> Value {
        if factor == 1 {
            return x.to_owned();
        }
        let attributes = [
            Attribute::Int("blocksize", factor as i64),
            Attribute::Text("mode", "CRD"),
        ];
        self.graph.node("DepthToSpace", &[x], &attributes)
    }
}
