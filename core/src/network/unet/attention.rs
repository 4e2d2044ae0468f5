//! Self-attention over the pixels of one level.

use burn::module::Module;
use burn::nn::{GroupNorm, GroupNormConfig, Linear, LinearConfig};
use burn::tensor::{Device, Tensor, activation};

use crate::kernels;
use crate::network::layer::{NORM_EPS, apply, param, zero_linear};

/// Attention scores held at once, 256 MiB of them.
const MAX_SCORES: usize = 1 << 26;

/// `x + proj(attention(group_norm(x)))` with every pixel a token
/// (Ho et al. 2020; multi-head as in Dhariwal & Nichol 2021).
#[derive(Module, Debug)]
pub struct SelfAttention {
    norm: GroupNorm,
    qkv: Linear,
    proj: Linear,
    heads: usize,
}

impl SelfAttention {
    /// `channels` must be divisible by `heads` and by `groups`.
    pub fn new(channels: usize, heads: usize, groups: usize, device: &Device) -> Self {
        Self {
            norm: GroupNormConfig::new(groups, channels)
                .with_epsilon(NORM_EPS)
                .init(device),
            qkv: LinearConfig::new(channels, 3 * channels).init(device),
            proj: zero_linear(channels, channels, device),
            heads,
        }
    }

    /// # Shapes
    /// - `x`, output: `[batch, channels, height, width]`
    pub fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        let [b, c, h, w] = x.dims();
        let (heads, tokens) = (self.heads, h * w);
        let dim = c / heads;
        let normed = kernels::group_norm(
            x.clone(),
            param(&self.norm.gamma, c, 1.0, &x.device()),
            param(&self.norm.beta, c, 0.0, &x.device()),
            self.norm.num_groups,
            NORM_EPS,
        );
        let sequence = normed.reshape([b, c, tokens]).swap_dims(1, 2);
        // [b, tokens, 3, heads, dim] -> three of [b * heads, tokens, dim]
        let qkv = apply(&self.qkv, sequence)
            .reshape([b, tokens, 3, heads, dim])
            .permute([2, 0, 3, 1, 4]);
        let part = |i: usize| {
            qkv.clone()
                .slice(i..i + 1)
                .reshape([b * heads, tokens, dim])
        };
        let (q, k, v) = (part(0), part(1), part(2));
        let mixed = attend(q, k, v)
            .reshape([b, heads, tokens, dim])
            .swap_dims(1, 2)
            .reshape([b, tokens, c]);
        let out = apply(&self.proj, mixed)
            .swap_dims(1, 2)
            .reshape([b, c, h, w]);
        x + out
    }
}

/// `softmax(q kᵀ / sqrt(dim)) v` (Vaswani et al. 2017, eq. 1).
///
/// # Shapes
/// - `q`, `k`, `v` and output: `[batch * heads, tokens, dim]`
pub(in crate::network) fn attend(q: Tensor<3>, k: Tensor<3>, v: Tensor<3>) -> Tensor<3> {
    let [batch, tokens, dim] = q.dims();
    // Scaling q (not the scores) touches tokens * dim values instead of tokens².
    let q = q * (dim as f64).powf(-0.5);
    let k = k.swap_dims(1, 2);
    // The rows of a softmax are independent: in pieces, a large tile need not hold all
    // tokens² scores at once.
    let rows = (MAX_SCORES / (batch * tokens)).clamp(1, tokens);
    let piece = |from: usize| {
        let count = rows.min(tokens - from);
        let scores = kernels::matmul(q.clone().narrow(1, from, count), k.clone());
        kernels::matmul(activation::softmax(scores, 2), v.clone())
    };
    Tensor::cat((0..tokens).step_by(rows).map(piece).collect(), 1)
}
