//! The `config.json` of a diffusers `UNet2DModel`: read, checked, and written back.

mod keys;
#[cfg(test)]
mod tests;

use serde_json::{Value, json};

use crate::error::{Error, Hint, Result};
use keys::{Keys, unsupported};

/// Largest width of a level; hostile files must not make a network that fits no memory.
const MAX_CHANNELS: usize = 8192;

/// What the keys of the moving average mean nothing for: the network is the same without them.
const EMA_KEYS: [&str; 7] = [
    "decay",
    "inv_gamma",
    "min_decay",
    "optimization_step",
    "power",
    "update_after_step",
    "use_ema_warmup",
];

/// How time enters the network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TimeEmbedding {
    /// Sines and cosines of fixed frequencies (Ho et al. 2020).
    Positional,
    /// Sines and cosines of random frequencies times the logarithm of sigma (Song et al. 2021);
    /// the output is divided by sigma.
    Fourier,
    /// A table with one row a timestep.
    Learned,
}

/// How a class enters the network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClassEmbedding {
    /// A table with one row a class.
    Table(usize),
    /// A number that is embedded like the time.
    Timestep,
    /// A vector of the size of the time embedding, added as it is.
    Identity,
}

/// What a level consists of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Block {
    /// Residual blocks, resampled by a convolution.
    Plain,
    /// Residual blocks with attention after each, resampled as the configuration says.
    Attention,
    /// Residual blocks, resampled by one more of them.
    Resnet,
}

/// The configuration of a `UNet2DModel`, in the words of diffusers.
///
/// The last two fields have no key there: they are for networks of the same blocks that come from
/// elsewhere ([`crate::model::interop::guided_diffusion`]).
#[derive(Debug, Clone, PartialEq)]
#[allow(missing_docs)] // the names are the file's own keys
pub struct UNet2DConfig {
    /// Height and width the network was trained at, where the file says so.
    pub sample_size: Option<(usize, usize)>,
    pub in_channels: usize,
    pub out_channels: usize,
    pub center_input_sample: bool,
    pub time_embedding: TimeEmbedding,
    pub time_embedding_dim: Option<usize>,
    pub freq_shift: f64,
    pub flip_sin_to_cos: bool,
    pub down_blocks: Vec<Block>,
    /// Whether there is a block at the bottom.
    pub mid_block: bool,
    pub up_blocks: Vec<Block>,
    pub block_out_channels: Vec<usize>,
    pub layers_per_block: usize,
    pub mid_block_scale_factor: f64,
    pub downsample_padding: usize,
    /// Whether levels with attention are halved by a residual block instead of a convolution.
    pub resnet_downsample: bool,
    /// Whether levels with attention are doubled by a residual block instead of a convolution.
    pub resnet_upsample: bool,
    /// Width of an attention head; none = one head.
    pub attention_head_dim: Option<usize>,
    pub norm_num_groups: usize,
    pub attn_norm_num_groups: Option<usize>,
    pub norm_eps: f64,
    /// Whether time scales and shifts (`scale_shift`) or only shifts (`default`).
    pub scale_shift: bool,
    pub add_attention: bool,
    pub class_embedding: Option<ClassEmbedding>,
    pub num_train_timesteps: Option<usize>,
    /// Heads of every attention, instead of a width of a head.
    pub num_heads: Option<usize>,
    /// Features of the time, where they are not as many as the first level has channels.
    pub model_channels: Option<usize>,
}

impl UNet2DConfig {
    /// Reads a `config.json`. Keys that are left out take the defaults of diffusers.
    ///
    /// # Errors
    /// [`Error::Checkpoint`] naming the key, its value and what is supported.
    pub fn parse(text: &str) -> Result<Self> {
        let mut keys = Keys::parse(text)?;
        let class_name: Option<String> = keys.take("_class_name", None)?;
        if let Some(name) = class_name.filter(|name| name != "UNet2DModel") {
            return Err(unsupported("_class_name", &name, "UNet2DModel"));
        }
        keys.0.retain(|key, _| !key.starts_with('_'));
        EMA_KEYS.iter().for_each(|key| {
            keys.0.remove(*key);
        });
        let dropout: f64 = keys.take("dropout", 0.0)?; // without effect in use
        keys.check("dropout", (0.0..1.0).contains(&dropout), &dropout, "0 to 1")?;
        keys.one_of("act_fn", "silu", &["silu", "swish"])?;
        let time = ["positional", "fourier", "learned"];
        let time_embedding = match keys.one_of("time_embedding_type", time[0], &time)? {
            0 => TimeEmbedding::Positional,
            1 => TimeEmbedding::Fourier,
            _ => TimeEmbedding::Learned,
        };
        let attention = |n: usize| vec![Block::Attention; n];
        let down = [vec![Block::Plain], attention(3)].concat();
        let up = [attention(3), vec![Block::Plain]].concat();
        let config = Self {
            sample_size: keys.size("sample_size")?,
            in_channels: keys.take("in_channels", 3)?,
            out_channels: keys.take("out_channels", 3)?,
            center_input_sample: keys.take("center_input_sample", false)?,
            time_embedding,
            time_embedding_dim: keys.take("time_embedding_dim", None)?,
            freq_shift: keys.take("freq_shift", 0.0)?,
            flip_sin_to_cos: keys.take("flip_sin_to_cos", true)?,
            down_blocks: keys.blocks("down_block_types", &Block::DOWN, down)?,
            mid_block: keys.mid_block()?,
            up_blocks: keys.blocks("up_block_types", &Block::UP, up)?,
            block_out_channels: keys.take("block_out_channels", vec![224, 448, 672, 896])?,
            layers_per_block: keys.take("layers_per_block", 2)?,
            mid_block_scale_factor: keys.take("mid_block_scale_factor", 1.0)?,
            downsample_padding: keys.take("downsample_padding", 1)?,
            resnet_downsample: keys.one_of("downsample_type", "conv", &["conv", "resnet"])? == 1,
            resnet_upsample: keys.one_of("upsample_type", "conv", &["conv", "resnet"])? == 1,
            attention_head_dim: keys.take_or_null("attention_head_dim", Some(8))?,
            norm_num_groups: keys.take("norm_num_groups", 32)?,
            attn_norm_num_groups: keys.take("attn_norm_num_groups", None)?,
            norm_eps: keys.take("norm_eps", 1e-5)?,
            scale_shift: keys.one_of(
                "resnet_time_scale_shift",
                "default",
                &["default", "scale_shift"],
            )? == 1,
            add_attention: keys.take("add_attention", true)?,
            class_embedding: keys.class_embedding()?,
            num_train_timesteps: keys.take("num_train_timesteps", None)?,
            num_heads: None,
            model_channels: None,
        };
        if let Some((key, value)) = keys.0.iter().find(|(_, value)| !value.is_null()) {
            return Err(Error::Checkpoint {
                what: format!("unet config: a key this version does not know: {key} = {value}"),
                hint: Hint::Advice(
                    "only UNet2DModel is read; a newer diffusers may have added the key",
                ),
            });
        }
        config.validate()?;
        Ok(config)
    }

    /// Refuses what [`to_json`](Self::to_json) has no key for.
    ///
    /// # Errors
    /// [`Error::Checkpoint`] naming it.
    pub fn expressible(&self) -> Result<()> {
        let heads = self.num_heads;
        let heads = heads.map(|heads| format!("{heads} heads whatever the number of channels"));
        let features = self.model_channels;
        let features = features.map(|features| format!("a time of {features} features"));
        let parts: Vec<String> = heads.into_iter().chain(features).collect();
        if parts.is_empty() {
            return Ok(());
        }
        Err(Error::Checkpoint {
            what: format!("not a UNet2DModel: {}", parts.join(", ")),
            hint: Hint::Advice(
                "diffusers cannot build this network; generate from the file as it is",
            ),
        })
    }

    /// The `config.json` that diffusers reads.
    pub fn to_json(&self) -> Value {
        let names = |blocks: &[Block], of: &[&'static str; 3]| -> Vec<&'static str> {
            blocks.iter().map(|block| of[*block as usize]).collect()
        };
        let kind = |resnet: bool| if resnet { "resnet" } else { "conv" };
        let (class_embed_type, num_class_embeds) = match self.class_embedding {
            None => (Value::Null, Value::Null),
            Some(ClassEmbedding::Table(n)) => (Value::Null, json!(n)),
            Some(ClassEmbedding::Timestep) => (json!("timestep"), Value::Null),
            Some(ClassEmbedding::Identity) => (json!("identity"), Value::Null),
        };
        let sample_size = match self.sample_size {
            Some((height, width)) if height == width => json!(height),
            size => json!(size),
        };
        json!({
            "_class_name": "UNet2DModel",
            "act_fn": "silu",
            "add_attention": self.add_attention,
            "attention_head_dim": self.attention_head_dim,
            "attn_norm_num_groups": self.attn_norm_num_groups,
            "block_out_channels": self.block_out_channels,
            "center_input_sample": self.center_input_sample,
            "class_embed_type": class_embed_type,
            "down_block_types": names(&self.down_blocks, &Block::DOWN),
            "downsample_padding": self.downsample_padding,
            "downsample_type": kind(self.resnet_downsample),
            "dropout": 0.0,
            "flip_sin_to_cos": self.flip_sin_to_cos,
            "freq_shift": number(self.freq_shift),
            "in_channels": self.in_channels,
            "layers_per_block": self.layers_per_block,
            "mid_block_scale_factor": number(self.mid_block_scale_factor),
            "mid_block_type": self.mid_block.then_some("UNetMidBlock2D"),
            "norm_eps": self.norm_eps,
            "norm_num_groups": self.norm_num_groups,
            "num_class_embeds": num_class_embeds,
            "num_train_timesteps": self.num_train_timesteps,
            "out_channels": self.out_channels,
            "resnet_time_scale_shift": if self.scale_shift { "scale_shift" } else { "default" },
            "sample_size": sample_size,
            "time_embedding_dim": self.time_embedding_dim,
            "time_embedding_type": match self.time_embedding {
                TimeEmbedding::Positional => "positional",
                TimeEmbedding::Fourier => "fourier",
                TimeEmbedding::Learned => "learned",
            },
            "up_block_types": names(&self.up_blocks, &Block::UP),
            "upsample_type": kind(self.resnet_upsample),
        })
    }

    /// Height and width of an input must be multiples of this.
    pub fn size_multiple(&self) -> usize {
        1 << self.block_out_channels.len().saturating_sub(1)
    }

    /// Length of the time embedding that all blocks see.
    pub fn embedding_dim(&self) -> usize {
        self.time_embedding_dim.unwrap_or(4 * self.time_channels())
    }

    /// Sines and cosines of a positional time together, or the columns of a learned one.
    pub(super) fn time_channels(&self) -> usize {
        self.model_channels.unwrap_or(self.block_out_channels[0])
    }

    /// Features of the time before its two dense layers.
    pub(super) fn time_features(&self) -> usize {
        match self.time_embedding {
            TimeEmbedding::Fourier => 2 * self.time_channels(),
            _ => self.time_channels(),
        }
    }

    /// Heads of an attention over `channels`, and their width.
    pub(crate) fn heads(&self, channels: usize) -> (usize, usize) {
        if let Some(heads) = self.num_heads {
            return (heads, channels / heads);
        }
        let dim = self.attention_head_dim.unwrap_or(channels);
        (channels / dim, dim)
    }

    /// Rejects what cannot be built, and sizes no honest file has.
    pub(crate) fn validate(&self) -> Result<()> {
        let check = |key: &str, ok: bool, value: &dyn std::fmt::Debug, expected: &str| match ok {
            true => Ok(()),
            false => Err(unsupported(key, &format!("{value:?}"), expected)),
        };
        let channels = &self.block_out_channels;
        let levels = channels.len();
        check(
            "block_out_channels",
            (1..=10).contains(&levels) && channels.iter().all(|c| (4..=MAX_CHANNELS).contains(c)),
            channels,
            "1 to 10 numbers from 4 to 8192",
        )?;
        let down = &self.down_blocks;
        let same = "as many blocks as block_out_channels has levels";
        check("down_block_types", down.len() == levels, down, same)?;
        let up = &self.up_blocks;
        check("up_block_types", up.len() == levels, up, same)?;
        let (bands_in, bands_out) = (self.in_channels, self.out_channels);
        let bands = 1..=1280;
        check(
            "in_channels",
            bands.contains(&bands_in),
            &bands_in,
            "1 to 1280",
        )?;
        // Twice as many with learned variance.
        let fits = bands.contains(&bands_out) && bands_out <= 2 * bands_in;
        check(
            "out_channels",
            fits,
            &bands_out,
            "1 to twice the in_channels",
        )?;
        let layers = self.layers_per_block;
        check(
            "layers_per_block",
            (1..=8).contains(&layers),
            &layers,
            "1 to 8",
        )?;
        let padding = self.downsample_padding;
        check("downsample_padding", padding <= 1, &padding, "0 or 1")?;
        let head = self.attention_head_dim;
        let attention_at = |level: usize| {
            self.down_blocks[level] == Block::Attention
                || self.up_blocks[levels - 1 - level] == Block::Attention
                || (level + 1 == levels && self.mid_block && self.add_attention)
        };
        let head_fits = |dim: usize| {
            let smallest = (0..levels)
                .filter(|l| attention_at(*l))
                .map(|l| channels[l])
                .min();
            dim > 0 && smallest.is_none_or(|smallest| dim <= smallest)
        };
        let expected = "at most the channels of every level with attention";
        check(
            "attention_head_dim",
            head.is_none_or(head_fits),
            &head,
            expected,
        )?;
        let head = self.num_heads;
        let divides = |heads: usize| {
            let mut attended = (0..levels).filter(|l| attention_at(*l));
            heads > 0 && attended.all(|l| channels[l].is_multiple_of(heads))
        };
        check(
            "num_heads",
            head.is_none_or(divides),
            &head,
            "a divisor of the channels of every attention",
        )?;
        let groups = self.norm_num_groups;
        let divides = groups > 0
            && self
                .normed_channels()
                .iter()
                .all(|c| c.is_multiple_of(groups));
        let expected = "a divisor of the channels of every normalisation";
        check("norm_num_groups", divides, &groups, expected)?;
        let groups = self.attn_norm_num_groups;
        let divides = |n: usize| n > 0 && channels[levels - 1].is_multiple_of(n);
        check(
            "attn_norm_num_groups",
            groups.is_none_or(divides),
            &groups,
            expected,
        )?;
        let eps = self.norm_eps;
        check("norm_eps", eps > 0.0 && eps < 1.0, &eps, "above 0, below 1")?;
        let factor = self.mid_block_scale_factor;
        let sound = factor.is_finite() && factor > 0.0;
        check("mid_block_scale_factor", sound, &factor, "a number above 0")?;
        let sound =
            self.freq_shift.is_finite() && self.freq_shift < (self.time_channels() / 2) as f64;
        check(
            "freq_shift",
            sound,
            &self.freq_shift,
            "less than half of the first level's channels",
        )?;
        let features = self.model_channels;
        let sound = features.is_none_or(|n| (4..=MAX_CHANNELS).contains(&n));
        check("model_channels", sound, &features, "4 to 8192")?;
        let odd = self.time_channels() % 2 == 1 && self.time_embedding == TimeEmbedding::Positional;
        check("block_out_channels", !odd, channels, "an even first number")?;
        let dim = self.time_embedding_dim;
        let sound = dim.is_none_or(|dim| (1..=4 * MAX_CHANNELS).contains(&dim));
        check("time_embedding_dim", sound, &dim, "1 to 32768")?;
        let steps = self.num_train_timesteps;
        let needed = self.time_embedding == TimeEmbedding::Learned;
        let sound = steps.map_or(!needed, |n| (1..=100_000).contains(&n));
        check(
            "num_train_timesteps",
            sound,
            &steps,
            "1 to 100000 with a learned time embedding",
        )?;
        if let Some(ClassEmbedding::Table(n)) = self.class_embedding {
            check(
                "num_class_embeds",
                (1..=1_000_000).contains(&n),
                &n,
                "1 to 1000000",
            )?;
        }
        Ok(())
    }

    /// The channel counts that group norms see.
    fn normed_channels(&self) -> Vec<usize> {
        let channels = &self.block_out_channels;
        let mut seen = channels.clone();
        let levels = channels.len();
        let mut current = channels[levels - 1];
        for level in (0..levels).rev() {
            let (own, below) = (channels[level], channels[level.saturating_sub(1)]);
            seen.push(
                current
                    + if self.layers_per_block == 0 {
                        below
                    } else {
                        own
                    },
            );
            seen.push(own + own);
            seen.push(own + below);
            current = own;
        }
        seen
    }
}

impl Block {
    const DOWN: [&'static str; 3] = ["DownBlock2D", "AttnDownBlock2D", "ResnetDownsampleBlock2D"];
    const UP: [&'static str; 3] = ["UpBlock2D", "AttnUpBlock2D", "ResnetUpsampleBlock2D"];
}

/// Whole numbers without a decimal point, as diffusers writes them.
fn number(value: f64) -> Value {
    if value.fract() == 0.0 && value.abs() < 1e15 {
        json!(value as i64)
    } else {
        json!(value)
    }
}
