//! The residual block.

use burn::module::Module;
use burn::nn::conv::Conv2d;
use burn::nn::{GroupNorm, GroupNormConfig, Linear};
use burn::tensor::{Device, Tensor};

use crate::kernels;
use crate::network::layer::{
    NORM_EPS, apply, conv, norm_groups, param, run, zero_conv, zero_linear,
};

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
