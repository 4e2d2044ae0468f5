//! The residual block and the three plain layers around it.

use burn::module::Module;
use burn::nn::conv::{Conv2d, Conv2dConfig};
use burn::nn::{GroupNorm, GroupNormConfig, Initializer, Linear, PaddingConfig2d};
use burn::tensor::{Device, Tensor};

use super::attention::param;
use super::embedding::{apply, zero_linear};
use crate::kernels;

/// Epsilon of every group norm.
pub(crate) const NORM_EPS: f64 = 1e-5;

/// Channels a group norm pools at the least; 32 groups at the most, as in the thesis.
pub(crate) fn norm_groups(channels: usize) -> usize {
    (1..=32.min(channels / 4).max(1))
        .rev()
        .find(|groups| channels.is_multiple_of(*groups))
        .unwrap_or(1)
}

/// A `k`x`k` convolution that keeps the size (stride 1) or halves it (stride 2).
pub(super) fn conv(
    inputs: usize,
    outputs: usize,
    k: usize,
    stride: usize,
    device: &Device,
) -> Conv2d {
    conv_config(inputs, outputs, k)
        .with_stride([stride, stride])
        .init(device)
}

/// A convolution whose output starts at zero.
pub(super) fn zero_conv(inputs: usize, outputs: usize, k: usize, device: &Device) -> Conv2d {
    conv_config(inputs, outputs, k)
        .with_initializer(Initializer::Zeros)
        .init(device)
}

fn conv_config(inputs: usize, outputs: usize, k: usize) -> Conv2dConfig {
    let p = k / 2;
    Conv2dConfig::new([inputs, outputs], [k, k]).with_padding(PaddingConfig2d::Explicit(p, p, p, p))
}

/// Runs a convolution through the fast kernels.
pub(super) fn run(layer: &Conv2d, x: Tensor<4>) -> Tensor<4> {
    let k = layer.kernel_size[0];
    let bias = layer.bias.as_ref().map(|b| b.val());
    kernels::conv2d(x, layer.weight.val(), bias, layer.stride[0], k / 2)
}

/// Residual block with scale-shift conditioning.
///
/// `h = conv1(silu(gn1(x)))`, `[scale, shift] = emb_proj(embedding)`,
/// `h = conv2(silu(gn2(h) * (1 + scale) + shift))`, output `skip(x) + h`
/// (Dhariwal & Nichol 2021, adaptive group normalisation). `conv2` starts at zero, so a fresh
/// block is its skip.
#[derive(Module, Debug)]
pub struct ResBlock {
    norm1: GroupNorm,
    conv1: Conv2d,
    emb_proj: Linear,
    norm2: GroupNorm,
    conv2: Conv2d,
    skip: Option<Conv2d>,
}

impl ResBlock {
    /// A block from `inputs` to `outputs` channels with an embedding of `emb_dim`.
    pub fn new(inputs: usize, outputs: usize, emb_dim: usize, device: &Device) -> Self {
        let norm = |channels| {
            GroupNormConfig::new(norm_groups(channels), channels)
                .with_epsilon(NORM_EPS)
                .init(device)
        };
        Self {
            norm1: norm(inputs),
            conv1: conv(inputs, outputs, 3, 1, device),
            emb_proj: zero_linear(emb_dim, 2 * outputs, device),
            norm2: norm(outputs),
            conv2: zero_conv(outputs, outputs, 3, device),
            skip: (inputs != outputs).then(|| conv(inputs, outputs, 1, 1, device)),
        }
    }

    /// # Shapes
    /// - `x`: `[batch, inputs, height, width]`, `embedding`: `[batch, emb_dim]`
    /// - output: `[batch, outputs, height, width]`
    pub fn forward(&self, x: Tensor<4>, embedding: Tensor<2>) -> Tensor<4> {
        let device = x.device();
        let inputs = x.dims()[1];
        let h = kernels::group_norm_silu(
            x.clone(),
            param(&self.norm1.gamma, inputs, 1.0, &device),
            param(&self.norm1.beta, inputs, 0.0, &device),
            self.norm1.num_groups,
            NORM_EPS,
        );
        let h = run(&self.conv1, h);
        let outputs = h.dims()[1];
        let [batch, emb_dim] = embedding.dims();
        let scale_shift = apply(&self.emb_proj, embedding.reshape([1, batch, emb_dim]));
        let scale_shift = scale_shift.reshape([batch, 2 * outputs]);
        let h = kernels::group_norm_scale_shift_silu(
            h,
            param(&self.norm2.gamma, outputs, 1.0, &device),
            param(&self.norm2.beta, outputs, 0.0, &device),
            scale_shift.clone().narrow(1, 0, outputs),
            scale_shift.narrow(1, outputs, outputs),
            self.norm2.num_groups,
            NORM_EPS,
        );
        let h = run(&self.conv2, h);
        let x = match &self.skip {
            Some(skip) => run(skip, x),
            None => x,
        };
        x + h
    }
}
