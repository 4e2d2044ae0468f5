//! The U-Net: configuration, presets of the source literature, and the forward pass.

mod attention;
mod block;
mod embedding;

use burn::module::Module;
use burn::nn::conv::Conv2d;
use burn::nn::{GroupNorm, GroupNormConfig};
use burn::tensor::{Device, Int, Tensor};
use serde::{Deserialize, Serialize};

use crate::error::{Error, Hint, Key, Result};
use crate::kernels;
use crate::network::layer::{NORM_EPS, conv, norm_groups, param, run, zero_conv};
use crate::network::params::{self, Arrays};
use crate::network::{Inputs, Network};
use attention::SelfAttention;
pub(super) use attention::attend;
use block::ResBlock;
use embedding::NoiseEmbedding;

/// The shape of a U-Net; everything needed to rebuild it from a checkpoint.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UNetConfig {
    /// Bands of the image being denoised, in and out; a recipe leaves it to the data.
    #[serde(default)]
    pub bands: usize,
    /// Extra input channels of the conditioning; 0 for an unconditional network.
    #[serde(default)]
    pub conditioning_bands: usize,
    /// Channels of the first level.
    pub base_channels: usize,
    /// Channels of each level, in multiples of `base_channels`; each level halves the size.
    pub multipliers: Vec<usize>,
    /// Residual blocks a level on the way down (one more on the way up).
    pub blocks_per_level: usize,
    /// Levels (0 = full size) that carry self-attention.
    #[serde(default)]
    pub attention_levels: Vec<usize>,
    /// Heads of each self-attention.
    #[serde(default = "one")]
    pub heads: usize,
    /// Self-attention between the two blocks at the bottom.
    #[serde(default)]
    pub middle_attention: bool,
    /// Pixel-unshuffle factor before the first level: 1, 2 or 4.
    #[serde(default = "one")]
    pub stem: usize,
    /// Number of classes of a class-conditioned network.
    #[serde(default)]
    pub classes: Option<usize>,
    /// Also predict the variance of the reverse step: twice the output channels (Nichol &
    /// Dhariwal 2021, sect. 3.1).
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub learned_variance: bool,
    /// Also say how far the direct estimate, that of no noisy image at all, may err: the logarithm
    /// of its variance in as many output channels again (Kendall & Gal 2017, eq. 8).
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub spread: bool,
}

fn one() -> usize {
    1
}

/// The bundled model's shape, with `bands` and `conditioning_bands` still to be set.
impl Default for UNetConfig {
    fn default() -> Self {
        Self {
            bands: 0,
            conditioning_bands: 0,
            base_channels: 32,
            multipliers: vec![2, 3, 4],
            blocks_per_level: 1,
            attention_levels: vec![2],
            heads: 4,
            middle_attention: false,
            stem: 2,
            classes: None,
            learned_variance: false,
            spread: false,
        }
    }
}

impl UNetConfig {
    /// The thesis's cloud-removal network: base 128, multipliers 1 2 3 4, two blocks a level,
    /// attention with one head at the two lowest levels.
    pub fn thesis_clouds(bands: usize, conditioning_bands: usize) -> Self {
        Self {
            bands,
            conditioning_bands,
            base_channels: 128,
            multipliers: vec![1, 2, 3, 4],
            blocks_per_level: 2,
            attention_levels: vec![2, 3],
            heads: 1,
            middle_attention: true,
            stem: 1,
            classes: None,
            learned_variance: false,
            spread: false,
        }
    }

    /// The thesis's generation network: base 128, multipliers 1 2 4 8, one block a level, no
    /// attention.
    pub fn thesis_generation(bands: usize) -> Self {
        Self {
            bands,
            conditioning_bands: 0,
            base_channels: 128,
            multipliers: vec![1, 2, 4, 8],
            blocks_per_level: 1,
            attention_levels: vec![],
            heads: 1,
            middle_attention: false,
            stem: 1,
            classes: None,
            learned_variance: false,
            spread: false,
        }
    }

    /// Height and width of an input must be multiples of this.
    pub fn size_multiple(&self) -> usize {
        self.stem << self.multipliers.len().saturating_sub(1)
    }

    /// Channels of the output: the bands, twice with a variance of either kind.
    pub fn outputs(&self) -> usize {
        match self.learned_variance || self.spread {
            true => 2 * self.bands,
            false => self.bands,
        }
    }

    /// Rejects shapes that cannot be built, and sizes no honest checkpoint has (the
    /// configuration may come from a hostile file).
    pub fn validate(&self) -> Result<()> {
        let fail = |name, expected: &str, got: String| {
            Err(Error::Setting {
                key: Key::Field(name),
                expected: expected.into(),
                got,
                hint: Hint::Advice("see the [model] section of the training recipe"),
            })
        };
        if !(1..=256).contains(&self.bands) {
            return fail("bands", "1 to 256", self.bands.to_string());
        }
        if self.conditioning_bands > 1024 {
            return fail(
                "conditioning_bands",
                "at most 1024",
                self.conditioning_bands.to_string(),
            );
        }
        if !(4..=1024).contains(&self.base_channels) {
            return fail("base_channels", "4 to 1024", self.base_channels.to_string());
        }
        if !(1..=8).contains(&self.multipliers.len())
            || self.multipliers.iter().any(|m| !(1..=16).contains(m))
        {
            return fail(
                "multipliers",
                "1 to 8 numbers from 1 to 16",
                format!("{:?}", self.multipliers),
            );
        }
        if !(1..=8).contains(&self.blocks_per_level) {
            return fail(
                "blocks_per_level",
                "1 to 8",
                self.blocks_per_level.to_string(),
            );
        }
        if ![1, 2, 4].contains(&self.stem) {
            return fail("stem", "1, 2 or 4", self.stem.to_string());
        }
        if self.learned_variance && self.spread {
            let got = "both".to_owned();
            return fail(
                "learned_variance",
                "one of learned_variance and spread",
                got,
            );
        }
        if let Some(level) = self
            .attention_levels
            .iter()
            .find(|l| **l >= self.multipliers.len())
        {
            return fail(
                "attention_levels",
                "indices into multipliers",
                level.to_string(),
            );
        }
        if self.heads == 0
            || self
                .multipliers
                .iter()
                .any(|m| !(m * self.base_channels).is_multiple_of(self.heads))
        {
            return fail(
                "heads",
                "a divisor of every level's channels",
                self.heads.to_string(),
            );
        }
        if self.classes.is_some_and(|n| !(1..=100_000).contains(&n)) {
            return fail("classes", "1 to 100000", format!("{:?}", self.classes));
        }
        Ok(())
    }

    /// Builds the network with fresh weights.
    ///
    /// # Errors
    /// [`Error::Setting`] where [`validate`](Self::validate) refuses.
    pub fn init(&self, device: &Device) -> Result<UNet> {
        self.validate()?;
        let shuffle = self.stem * self.stem;
        let channels: Vec<usize> = self
            .multipliers
            .iter()
            .map(|m| m * self.base_channels)
            .collect();
        let emb_dim = 4 * self.base_channels;
        let res = |i, o| ResBlock::new(i, o, emb_dim, device);
        let attention = |level: usize| {
            self.attention_levels.contains(&level).then(|| {
                let c = channels[level];
                SelfAttention::new(c, self.heads, norm_groups(c), device)
            })
        };

        let first = channels[0];
        let mut current = first;
        let mut skips = vec![first];
        let mut down = Vec::new();
        for (level, &c) in channels.iter().enumerate() {
            let mut blocks = Vec::new();
            for _ in 0..self.blocks_per_level {
                blocks.push(Stage {
                    res: res(current, c),
                    attention: attention(level),
                });
                current = c;
                skips.push(c);
            }
            let last = level + 1 == channels.len();
            if !last {
                skips.push(c);
            }
            down.push(DownLevel {
                blocks,
                halve: (!last).then(|| conv(c, c, 3, 2, device)),
            });
        }
        let bottom = current;
        let mut up = Vec::new();
        for (level, &c) in channels.iter().enumerate().rev() {
            let mut blocks = Vec::new();
            for _ in 0..=self.blocks_per_level {
                let skip = skips.pop().unwrap_or(first);
                blocks.push(Stage {
                    res: res(current + skip, c),
                    attention: attention(level),
                });
                current = c;
            }
            up.push(UpLevel {
                blocks,
                double: (level > 0).then(|| conv(c, c, 3, 1, device)),
            });
        }
        Ok(UNet {
            embedding: NoiseEmbedding::new(self.base_channels, emb_dim, self.classes, device),
            conv_in: conv(
                (self.bands + self.conditioning_bands) * shuffle,
                first,
                3,
                1,
                device,
            ),
            down,
            mid1: res(bottom, bottom),
            mid_attention: self
                .middle_attention
                .then(|| SelfAttention::new(bottom, self.heads, norm_groups(bottom), device)),
            mid2: res(bottom, bottom),
            up,
            norm_out: GroupNormConfig::new(norm_groups(first), first)
                .with_epsilon(NORM_EPS)
                .init(device),
            conv_out: zero_conv(first, self.outputs() * shuffle, 3, device),
            stem: self.stem,
        })
    }
}

/// A residual block and, at some levels, the attention after it.
#[derive(Module, Debug)]
struct Stage {
    res: ResBlock,
    attention: Option<SelfAttention>,
}

impl Stage {
    fn forward(&self, x: Tensor<4>, embedding: Tensor<2>) -> Tensor<4> {
        let x = self.res.forward(x, embedding);
        match &self.attention {
            Some(attention) => attention.forward(x),
            None => x,
        }
    }
}

#[derive(Module, Debug)]
struct DownLevel {
    blocks: Vec<Stage>,
    halve: Option<Conv2d>,
}

#[derive(Module, Debug)]
struct UpLevel {
    blocks: Vec<Stage>,
    double: Option<Conv2d>,
}

/// The network: noisy image and conditioning in, one value a band and pixel out.
///
/// Ho et al. 2020 (U-Net with time embedding), Dhariwal & Nichol 2021 (scale-shift, heads);
/// the pixel-unshuffle stem trades resolution for channels at the first level.
#[derive(Module, Debug)]
pub struct UNet {
    embedding: NoiseEmbedding,
    conv_in: Conv2d,
    down: Vec<DownLevel>,
    mid1: ResBlock,
    mid_attention: Option<SelfAttention>,
    mid2: ResBlock,
    up: Vec<UpLevel>,
    norm_out: GroupNorm,
    conv_out: Conv2d,
    stem: usize,
}

impl UNet {
    /// # Shapes
    /// - `x`: `[batch, bands + conditioning_bands, height, width]`, sides multiples of
    ///   [`UNetConfig::size_multiple`]
    /// - `c_noise`: `[batch]`
    /// - `class`: `[batch]`
    /// - output: `[batch, outputs, height, width]`, see [`UNetConfig::outputs`]
    pub fn forward(
        &self,
        x: Tensor<4>,
        c_noise: Tensor<1>,
        class: Option<Tensor<1, Int>>,
    ) -> Tensor<4> {
        let embedding = self.embedding.forward(c_noise, class);
        let mut h = run(&self.conv_in, pixel_unshuffle(x, self.stem));
        let mut skips = vec![h.clone()];
        for level in &self.down {
            for stage in &level.blocks {
                h = stage.forward(h, embedding.clone());
                skips.push(h.clone());
            }
            if let Some(halve) = &level.halve {
                h = run(halve, h);
                skips.push(h.clone());
            }
        }
        h = self.mid1.forward(h, embedding.clone());
        if let Some(attention) = &self.mid_attention {
            h = attention.forward(h);
        }
        h = self.mid2.forward(h, embedding.clone());
        for level in &self.up {
            for stage in &level.blocks {
                // As many skips were pushed as stages pop: init() pairs them.
                if let Some(skip) = skips.pop() {
                    h = Tensor::cat(vec![h, skip], 1);
                }
                h = stage.forward(h, embedding.clone());
            }
            if let Some(double) = &level.double {
                h = run(double, kernels::upsample_nearest2(h));
            }
        }
        let channels = h.dims()[1];
        let device = h.device();
        h = kernels::group_norm_silu(
            h,
            param(&self.norm_out.gamma, channels, 1.0, &device),
            param(&self.norm_out.beta, channels, 0.0, &device),
            self.norm_out.num_groups,
            NORM_EPS,
        );
        pixel_shuffle(run(&self.conv_out, h), self.stem)
    }
}

impl Network for UNet {
    fn forward(&self, inputs: Inputs) -> Tensor<4> {
        UNet::forward(self, inputs.x, inputs.time, inputs.class)
    }

    fn arrays(&self) -> Arrays {
        params::collect(self)
    }
}

/// Space to channels: `[b, c, h, w] -> [b, c f², h/f, w/f]`, channel-major as in PyTorch.
fn pixel_unshuffle(x: Tensor<4>, factor: usize) -> Tensor<4> {
    if factor == 1 {
        return x;
    }
    let [b, c, h, w] = x.dims();
    x.reshape([b, c, h / factor, factor, w / factor, factor])
        .permute([0, 1, 3, 5, 2, 4])
        .reshape([b, c * factor * factor, h / factor, w / factor])
}

/// Channels to space, the inverse of [`pixel_unshuffle`].
fn pixel_shuffle(x: Tensor<4>, factor: usize) -> Tensor<4> {
    if factor == 1 {
        return x;
    }
    let [b, c, h, w] = x.dims();
    let bands = c / (factor * factor);
    x.reshape([b, bands, factor, factor, h, w])
        .permute([0, 1, 4, 2, 5, 3])
        .reshape([b, bands, h * factor, w * factor])
}
