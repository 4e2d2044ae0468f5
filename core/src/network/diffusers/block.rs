//! The residual block, the attention and the resampling of a `UNet2DModel`.

use burn::module::Module;
use burn::nn::conv::Conv2d;
use burn::nn::{GroupNorm, GroupNormConfig, Linear, LinearConfig};
use burn::tensor::{Device, Tensor};

use super::config::UNet2DConfig;
use super::embedding::dense;
use crate::kernels;
use crate::network::layer::{apply, conv, param};
use crate::network::unet::attend;

/// What a residual block does to the size.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Resample {
    Keep,
    Halve,
    Double,
}

/// `ResnetBlock2D`: norm, SiLU, convolution, time, norm, SiLU, convolution, and the input beside.
///
/// Time shifts before the second norm (`default`, Ho et al. 2020), or scales and shifts after it
/// (`scale_shift`, Dhariwal & Nichol 2021). A block that resamples does so to what the first
/// convolution and the sum see.
#[derive(Module, Debug)]
pub(super) struct Resnet {
    norm1: GroupNorm,
    conv1: Conv2d,
    time_emb_proj: Linear,
    norm2: GroupNorm,
    conv2: Conv2d,
    conv_shortcut: Option<Conv2d>,
    #[module(skip)]
    eps: f64,
    #[module(skip)]
    scale_shift: bool,
    /// 0 keep, 1 halve, 2 double: a module holds numbers only.
    #[module(skip)]
    resample: u8,
    /// The output is divided by this.
    #[module(skip)]
    divisor: f64,
}

impl Resnet {
    pub(super) fn new(
        config: &UNet2DConfig,
        inputs: usize,
        outputs: usize,
        resample: Resample,
        divisor: f64,
        device: &Device,
    ) -> Self {
        let norm = |channels| group_norm(config, config.norm_num_groups, channels, device);
        let embedded = outputs * if config.scale_shift { 2 } else { 1 };
        Self {
            norm1: norm(inputs),
            conv1: conv(inputs, outputs, 3, 1, device),
            time_emb_proj: LinearConfig::new(config.embedding_dim(), embedded).init(device),
            norm2: norm(outputs),
            conv2: conv(outputs, outputs, 3, 1, device),
            conv_shortcut: (inputs != outputs).then(|| conv(inputs, outputs, 1, 1, device)),
            eps: config.norm_eps,
            scale_shift: config.scale_shift,
            resample: resample as u8,
            divisor,
        }
    }

    /// # Shapes
    /// - `x`: `[batch, inputs, height, width]`, `embedding`: `[batch, dim]`
    /// - output: `[batch, outputs, ...]`, resampled
    pub(super) fn forward(&self, x: Tensor<4>, embedding: Tensor<2>) -> Tensor<4> {
        let (gamma, beta) = affine(&self.norm1, &x);
        let groups = self.norm1.num_groups;
        let h = kernels::group_norm_silu(x.clone(), gamma, beta, groups, self.eps);
        let (x, h) = match self.resample {
            1 => (average2(x), average2(h)),
            2 => (kernels::upsample_nearest2(x), kernels::upsample_nearest2(h)),
            _ => (x, h),
        };
        let mut h = run(&self.conv1, h, 1);
        let [batch, outputs, ..] = h.dims();
        let time = dense(&self.time_emb_proj, embedding);
        let groups = self.norm2.num_groups;
        if !self.scale_shift {
            h = h + time.clone().reshape([batch, outputs, 1, 1]);
        }
        let (gamma, beta) = affine(&self.norm2, &h);
        h = match self.scale_shift {
            false => kernels::group_norm_silu(h, gamma, beta, groups, self.eps),
            true => kernels::group_norm_scale_shift_silu(
                h,
                gamma,
                beta,
                time.clone().narrow(1, 0, outputs),
                time.narrow(1, outputs, outputs),
                groups,
                self.eps,
            ),
        };
        let h = run(&self.conv2, h, 1);
        let x = match &self.conv_shortcut {
            Some(shortcut) => run(shortcut, x, 0),
            None => x,
        };
        divided(x + h, self.divisor)
    }
}

/// `Attention` over the pixels, with its input added to the output.
#[derive(Module, Debug)]
pub(super) struct Attention {
    group_norm: Option<GroupNorm>,
    to_q: Linear,
    to_k: Linear,
    to_v: Linear,
    /// One layer; the file counts the dropout after it too.
    to_out: Vec<Linear>,
    #[module(skip)]
    heads: usize,
    #[module(skip)]
    eps: f64,
    #[module(skip)]
    divisor: f64,
}

impl Attention {
    pub(super) fn new(
        config: &UNet2DConfig,
        channels: usize,
        groups: Option<usize>,
        divisor: f64,
        device: &Device,
    ) -> Self {
        let (heads, dim) = config.heads(channels);
        let inner = heads * dim;
        let linear = |inputs, outputs| LinearConfig::new(inputs, outputs).init(device);
        Self {
            group_norm: groups.map(|groups| group_norm(config, groups, channels, device)),
            to_q: linear(channels, inner),
            to_k: linear(channels, inner),
            to_v: linear(channels, inner),
            to_out: vec![linear(inner, channels)],
            heads,
            eps: config.norm_eps,
            divisor,
        }
    }

    /// # Shapes
    /// - `x`, output: `[batch, channels, height, width]`
    pub(super) fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        let [b, c, h, w] = x.dims();
        let tokens = h * w;
        let normed = match &self.group_norm {
            Some(norm) => {
                let (gamma, beta) = affine(norm, &x);
                kernels::group_norm(x.clone(), gamma, beta, norm.num_groups, self.eps)
            }
            None => x.clone(),
        };
        let sequence = normed.reshape([b, c, tokens]).swap_dims(1, 2);
        let heads = |layer: &Linear| {
            let y = apply(layer, sequence.clone());
            let dim = y.dims()[2] / self.heads;
            y.reshape([b, tokens, self.heads, dim])
                .swap_dims(1, 2)
                .reshape([b * self.heads, tokens, dim])
        };
        let mixed = attend(heads(&self.to_q), heads(&self.to_k), heads(&self.to_v));
        let dim = mixed.dims()[2];
        let mut out = mixed
            .reshape([b, self.heads, tokens, dim])
            .swap_dims(1, 2)
            .reshape([b, tokens, self.heads * dim]);
        for layer in &self.to_out {
            out = apply(layer, out);
        }
        let out = out.swap_dims(1, 2).reshape([b, c, h, w]);
        divided(x + out, self.divisor)
    }
}

/// A convolution that halves (stride 2) or follows a doubling.
#[derive(Module, Debug)]
pub(super) struct Resampler {
    conv: Conv2d,
}

impl Resampler {
    pub(super) fn new(channels: usize, stride: usize, device: &Device) -> Self {
        Self {
            conv: conv(channels, channels, 3, stride, device),
        }
    }

    /// Halves; with `padding` 0 one row and column of zeros are added at the end.
    pub(super) fn halve(&self, x: Tensor<4>, padding: usize) -> Tensor<4> {
        if padding == 1 {
            return run(&self.conv, x, 1);
        }
        let [b, c, h, w] = x.dims();
        let device = x.device();
        let x = Tensor::cat(vec![x, Tensor::zeros([b, c, 1, w], &device)], 2);
        let x = Tensor::cat(vec![x, Tensor::zeros([b, c, h + 1, 1], &device)], 3);
        run(&self.conv, x, 0)
    }

    pub(super) fn double(&self, x: Tensor<4>) -> Tensor<4> {
        run(&self.conv, kernels::upsample_nearest2(x), 1)
    }
}

pub(super) fn group_norm(
    config: &UNet2DConfig,
    groups: usize,
    channels: usize,
    device: &Device,
) -> GroupNorm {
    GroupNormConfig::new(groups, channels)
        .with_epsilon(config.norm_eps)
        .init(device)
}

/// Gamma and beta of a norm over `x`.
pub(super) fn affine(norm: &GroupNorm, x: &Tensor<4>) -> (Tensor<1>, Tensor<1>) {
    let (channels, device) = (x.dims()[1], x.device());
    (
        param(&norm.gamma, channels, 1.0, &device),
        param(&norm.beta, channels, 0.0, &device),
    )
}

/// A convolution with the padding said here, not by the layer.
pub(super) fn run(layer: &Conv2d, x: Tensor<4>, padding: usize) -> Tensor<4> {
    let bias = layer.bias.as_ref().map(|b| b.val());
    kernels::conv2d(x, layer.weight.val(), bias, layer.stride[0], padding)
}

fn divided(x: Tensor<4>, divisor: f64) -> Tensor<4> {
    if divisor == 1.0 { x } else { x / divisor }
}

/// Means of 2 x 2 pixels.
fn average2(x: Tensor<4>) -> Tensor<4> {
    let [b, c, h, w] = x.dims();
    x.reshape([b * c, h / 2, 2, w])
        .mean_dim(2)
        .reshape([b * c, h / 2, w / 2, 2])
        .mean_dim(3)
        .reshape([b, c, h / 2, w / 2])
}
