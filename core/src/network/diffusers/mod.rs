//! The `UNet2DModel` of the Python library diffusers, so that its models run here unchanged.
//!
//! Another arrangement of the blocks than [`UNet`](crate::network::unet::UNet)'s: time may only shift, groups
//! are of one number everywhere, the head width is fixed instead of the number of heads, and
//! resampling may be done by residual blocks. The fields are called as the arrays of its files
//! are, but for what [`crate::model::interop::diffusers`] renames.

mod block;
mod config;
mod embedding;

use burn::module::Module;
use burn::nn::GroupNorm;
use burn::nn::conv::Conv2d;
use burn::tensor::{Device, Int, Tensor};

use crate::kernels;
use crate::network::layer::conv;
use crate::network::params::{self, Arrays};
use crate::network::{Inputs, Network};
use block::{Attention, Resample, Resampler, Resnet, affine, group_norm, run};
pub use config::{Block, ClassEmbedding, TimeEmbedding, UNet2DConfig};
use embedding::Conditioner;

#[derive(Module, Debug)]
struct Down {
    resnets: Vec<Resnet>,
    attentions: Vec<Attention>,
    downsamplers: Vec<Resampler>,
    resnet_downsamplers: Vec<Resnet>,
}

#[derive(Module, Debug)]
struct Mid {
    resnets: Vec<Resnet>,
    attentions: Vec<Attention>,
}

#[derive(Module, Debug)]
struct Up {
    resnets: Vec<Resnet>,
    attentions: Vec<Attention>,
    upsamplers: Vec<Resampler>,
    resnet_upsamplers: Vec<Resnet>,
}

/// The network: noisy image in, one value a channel and pixel out.
#[derive(Module, Debug)]
pub struct UNet2D {
    conditioner: Conditioner,
    conv_in: Conv2d,
    down_blocks: Vec<Down>,
    mid_block: Option<Mid>,
    up_blocks: Vec<Up>,
    conv_norm_out: GroupNorm,
    conv_out: Conv2d,
    #[module(skip)]
    eps: f64,
    #[module(skip)]
    padding: usize,
    #[module(skip)]
    center_input: bool,
    #[module(skip)]
    divide_by_time: bool,
}

impl UNet2DConfig {
    /// Builds the network with fresh weights, drawn only when they are looked at.
    pub fn init(&self, device: &Device) -> UNet2D {
        let channels = &self.block_out_channels;
        let resnet = |inputs, outputs, how| Resnet::new(self, inputs, outputs, how, 1.0, device);
        let groups = Some(self.norm_num_groups);
        let attentions = |block: Block, c: usize, count: usize| match block {
            Block::Attention => (0..count)
                .map(|_| Attention::new(self, c, groups, 1.0, device))
                .collect(),
            _ => Vec::new(),
        };
        let levels = channels.len();

        let mut current = channels[0];
        let mut down_blocks = Vec::with_capacity(levels);
        for (level, (&c, &block)) in channels.iter().zip(&self.down_blocks).enumerate() {
            let inputs = |i: usize| if i == 0 { current } else { c };
            let halved = level + 1 < levels;
            let by_resnet =
                block == Block::Resnet || (block == Block::Attention && self.resnet_downsample);
            down_blocks.push(Down {
                resnets: (0..self.layers_per_block)
                    .map(|i| resnet(inputs(i), c, Resample::Keep))
                    .collect(),
                attentions: attentions(block, c, self.layers_per_block),
                downsamplers: (halved && !by_resnet)
                    .then(|| Resampler::new(c, 2, device))
                    .into_iter()
                    .collect(),
                resnet_downsamplers: (halved && by_resnet)
                    .then(|| resnet(c, c, Resample::Halve))
                    .into_iter()
                    .collect(),
            });
            current = c;
        }

        let factor = self.mid_block_scale_factor;
        let mid_groups = match (self.attn_norm_num_groups, self.scale_shift) {
            (Some(groups), _) => Some(groups),
            (None, true) => None,
            (None, false) => groups,
        };
        let mid_block = self.mid_block.then(|| Mid {
            resnets: (0..2)
                .map(|_| Resnet::new(self, current, current, Resample::Keep, factor, device))
                .collect(),
            attentions: self
                .add_attention
                .then(|| Attention::new(self, current, mid_groups, factor, device))
                .into_iter()
                .collect(),
        });

        let mut up_blocks = Vec::with_capacity(levels);
        for (level, &block) in (0..levels).rev().zip(&self.up_blocks) {
            let (c, below) = (channels[level], channels[level.saturating_sub(1)]);
            let last = self.layers_per_block;
            let inputs = |i: usize| {
                let skip = if i == last { below } else { c };
                skip + if i == 0 { current } else { c }
            };
            let doubled = level > 0;
            let by_resnet =
                block == Block::Resnet || (block == Block::Attention && self.resnet_upsample);
            up_blocks.push(Up {
                resnets: (0..=last)
                    .map(|i| resnet(inputs(i), c, Resample::Keep))
                    .collect(),
                attentions: attentions(block, c, last + 1),
                upsamplers: (doubled && !by_resnet)
                    .then(|| Resampler::new(c, 1, device))
                    .into_iter()
                    .collect(),
                resnet_upsamplers: (doubled && by_resnet)
                    .then(|| resnet(c, c, Resample::Double))
                    .into_iter()
                    .collect(),
            });
            current = c;
        }
        UNet2D {
            conditioner: Conditioner::new(self, device),
            conv_in: conv(self.in_channels, channels[0], 3, 1, device),
            down_blocks,
            mid_block,
            up_blocks,
            conv_norm_out: group_norm(self, self.norm_num_groups, channels[0], device),
            conv_out: conv(channels[0], self.out_channels, 3, 1, device),
            eps: self.norm_eps,
            padding: self.downsample_padding,
            center_input: self.center_input_sample,
            divide_by_time: self.time_embedding == TimeEmbedding::Fourier,
        }
    }
}

impl UNet2D {
    /// # Shapes
    /// - `x`: `[batch, in_channels, height, width]`, sides multiples of
    ///   [`UNet2DConfig::size_multiple`]
    /// - `t`: `[batch]`, the timestep, or sigma for a Fourier embedding
    /// - `class`: `[batch]`, for a class embedding that is a table or made like the time's
    /// - `vector`: `[batch, embedding_dim]`, for a class embedding that is the identity
    /// - output: `[batch, out_channels, height, width]`
    pub fn forward(
        &self,
        x: Tensor<4>,
        t: Tensor<1>,
        class: Option<Tensor<1, Int>>,
        vector: Option<Tensor<2>>,
    ) -> Tensor<4> {
        let [batch, ..] = x.dims();
        let x = match self.center_input {
            true => x * 2.0 - 1.0,
            false => x,
        };
        let embedding = self.conditioner.forward(t.clone(), class, vector);
        let mut h = run(&self.conv_in, x, 1);
        let mut skips = vec![h.clone()];
        for level in &self.down_blocks {
            for (i, resnet) in level.resnets.iter().enumerate() {
                h = resnet.forward(h, embedding.clone());
                if let Some(attention) = level.attentions.get(i) {
                    h = attention.forward(h);
                }
                skips.push(h.clone());
            }
            for resampler in &level.downsamplers {
                h = resampler.halve(h, self.padding);
                skips.push(h.clone());
            }
            for resnet in &level.resnet_downsamplers {
                h = resnet.forward(h, embedding.clone());
                skips.push(h.clone());
            }
        }
        if let Some(mid) = &self.mid_block {
            for (i, resnet) in mid.resnets.iter().enumerate() {
                h = resnet.forward(h, embedding.clone());
                if let Some(attention) = mid.attentions.get(i) {
                    h = attention.forward(h);
                }
            }
        }
        for level in &self.up_blocks {
            for (i, resnet) in level.resnets.iter().enumerate() {
                // As many skips were pushed as resnets pop: init() pairs them.
                if let Some(skip) = skips.pop() {
                    h = Tensor::cat(vec![h, skip], 1);
                }
                h = resnet.forward(h, embedding.clone());
                if let Some(attention) = level.attentions.get(i) {
                    h = attention.forward(h);
                }
            }
            for resampler in &level.upsamplers {
                h = resampler.double(h);
            }
            for resnet in &level.resnet_upsamplers {
                h = resnet.forward(h, embedding.clone());
            }
        }
        let (gamma, beta) = affine(&self.conv_norm_out, &h);
        let groups = self.conv_norm_out.num_groups;
        h = kernels::group_norm_silu(h, gamma, beta, groups, self.eps);
        h = run(&self.conv_out, h, 1);
        match self.divide_by_time {
            true => h / t.reshape([batch, 1, 1, 1]),
            false => h,
        }
    }
}

impl Network for UNet2D {
    fn forward(&self, inputs: Inputs) -> Tensor<4> {
        UNet2D::forward(self, inputs.x, inputs.time, inputs.class, inputs.vector)
    }

    fn arrays(&self) -> Arrays {
        params::collect(self)
    }
}
