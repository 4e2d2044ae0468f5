//! Layers that both U-Nets are made of, and how they are run.

use burn::module::Param;
use burn::nn::conv::{Conv2d, Conv2dConfig};
use burn::nn::{Initializer, Linear, LinearConfig, PaddingConfig2d};
use burn::tensor::{Device, Tensor};

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

/// The value of a norm's affine parameter.
pub(super) fn param(
    p: &Option<Param<Tensor<1>>>,
    channels: usize,
    fallback: f64,
    device: &Device,
) -> Tensor<1> {
    match p {
        Some(p) => p.val(),
        None => Tensor::full([channels], fallback, device),
    }
}

/// Runs a linear layer over the last dimension.
pub(super) fn apply(layer: &Linear, x: Tensor<3>) -> Tensor<3> {
    kernels::linear(x, layer.weight.val(), layer.bias.as_ref().map(|b| b.val()))
}

/// A linear layer whose output starts at zero, so that what it feeds starts as the identity.
pub(super) fn zero_linear(inputs: usize, outputs: usize, device: &Device) -> Linear {
    LinearConfig::new(inputs, outputs)
        .with_initializer(Initializer::Zeros)
        .init(device)
}
