//! State dicts of guided-diffusion's `UNetModel` (ADM, Dhariwal & Nichol 2021, appendix I; also
//! improved-diffusion, Nichol & Dhariwal 2021).
//!
//! The network is made of the blocks of a `UNet2DModel`, so it is one here, with its arrays
//! renamed. Most of the architecture shows in names and shapes; what does not is read from a JSON
//! with the flags the network was trained with.

mod arrays;
mod flags;
mod layout;

use std::collections::BTreeMap;

use burn::tensor::Device;

use super::diffusers::{self, Foreign, Scheduler, weights};
use crate::error::{Error, Hint, Result};
use crate::model::{Model, ModelCard, sha256};
use crate::network::diffusers::{Block, ClassEmbedding, TimeEmbedding, UNet2DConfig};
use crate::network::params;
use flags::Flags;
use layout::Layout;

/// Groups of every normalisation.
const GROUPS: usize = 32;

/// Whether an array is called as only those of such a state dict are.
pub fn names(array: &str) -> bool {
    array.starts_with("input_blocks.")
}

/// Whether the bytes are a safetensors file with such names; its arrays are not read.
pub fn is_file(bytes: &[u8]) -> bool {
    let header = safetensors::SafeTensors::read_metadata(bytes);
    header.is_ok_and(|(_, header)| {
        let mut names = header.tensors().into_keys();
        names.any(|name| self::names(&name))
    })
}

/// Builds the network of a state dict called `name`, given as safetensors, on a device. `flags` is the text of
/// the JSON with the flags it was trained with, e.g.
/// `{"num_head_channels": 64, "noise_schedule": "linear"}`.
///
/// # Errors
/// [`Error::Checkpoint`] for anything wrong with either, missing flags, or a part that is not
/// built here, which is named.
pub fn load(bytes: &[u8], flags: Option<&str>, name: &str, device: &Device) -> Result<Model> {
    let (file, _) = params::from_bytes(bytes)?;
    let layout = Layout::of(&file)?;
    let flags = Flags::parse(flags, &layout)?;
    let (config, scheduler) = described(&layout, &flags)?;
    let renamed = arrays::renamed(&layout, file, |channels| {
        let (heads, _) = config.heads(channels);
        (heads, flags.joint_heads)
    })?;
    let fresh = config.init(device);
    let arrays = weights::from_file(&params::shapes(&fresh), renamed)?;
    Ok(Model {
        network: Box::new(params::assign(fresh, &arrays)?),
        card: diffusers::made_up_card(name, config, &scheduler),
        foreign: Some(Box::new(Foreign {
            scheduler,
            labels: BTreeMap::new(),
        })),
        device: device.clone(),
        sha256: sha256(bytes),
    })
}

/// The card of a state dict called `name`, without building its network.
///
/// # Errors
/// As [`load`].
pub fn read_card(bytes: &[u8], flags: Option<&str>, name: &str) -> Result<ModelCard> {
    let (file, _) = params::from_bytes(bytes)?;
    let layout = Layout::of(&file)?;
    let flags = Flags::parse(flags, &layout)?;
    let (config, scheduler) = described(&layout, &flags)?;
    Ok(diffusers::made_up_card(name, config, &scheduler))
}

/// Network and sampling in the words of diffusers.
fn described(layout: &Layout, flags: &Flags) -> Result<(UNet2DConfig, Scheduler)> {
    let config = config(layout, flags);
    config.validate()?;
    let mut scheduler = Scheduler::parse(Some(&flags.scheduler(layout).to_string()))?;
    if let Some((sampler, steps)) = flags.respacing {
        (scheduler.sampler, scheduler.steps) = (sampler, steps);
    }
    scheduler.notes.extend(flags.notes.iter().cloned());
    Ok((config, scheduler))
}

/// The same network in the words of diffusers.
fn config(layout: &Layout, flags: &Flags) -> UNet2DConfig {
    let attended = layout.attended_channels();
    // A number of heads is a width of a head where all attentions see as many channels.
    let (num_heads, attention_head_dim) = match (flags.head_channels, attended.as_slice()) {
        (Some(width), _) => (None, Some(width)),
        (None, [channels]) if channels.is_multiple_of(flags.heads) => {
            (None, Some(channels / flags.heads))
        }
        (None, _) => (Some(flags.heads), None),
    };
    let block = |level: usize| match (layout.attention[level], layout.by_resnet) {
        (true, _) => Block::Attention,
        (false, true) => Block::Resnet,
        (false, false) => Block::Plain,
    };
    let levels = layout.channels.len();
    UNet2DConfig {
        sample_size: flags.image_size.map(|side| (side, side)),
        in_channels: layout.in_channels,
        out_channels: layout.out_channels,
        center_input_sample: false,
        time_embedding: TimeEmbedding::Positional,
        time_embedding_dim: Some(layout.embedding_dim),
        freq_shift: 0.0,
        flip_sin_to_cos: true,
        down_blocks: (0..levels).map(block).collect(),
        mid_block: true,
        up_blocks: (0..levels).rev().map(block).collect(),
        layers_per_block: layout.res_blocks,
        mid_block_scale_factor: 1.0,
        downsample_padding: 1,
        resnet_downsample: layout.by_resnet,
        resnet_upsample: layout.by_resnet,
        attention_head_dim,
        norm_num_groups: GROUPS,
        attn_norm_num_groups: Some(GROUPS),
        norm_eps: 1e-5,
        scale_shift: layout.scale_shift,
        add_attention: true,
        class_embedding: layout.classes.map(ClassEmbedding::Table),
        num_train_timesteps: None,
        num_heads,
        model_channels: (layout.model_channels != layout.channels[0])
            .then_some(layout.model_channels),
        block_out_channels: layout.channels.clone(),
    }
}

fn refused(what: String, advice: &'static str) -> Error {
    Error::Checkpoint {
        what: format!("state dict of guided-diffusion: {what}"),
        hint: Hint::Advice(advice),
    }
}
