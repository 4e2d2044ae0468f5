//! A U-Net of ours as a diffusers `UNet2DModel`, where the two are the same function.
//!
//! Both are the network of Ho et al. with the scale-shift of Dhariwal & Nichol; they differ in
//! the stem, the number of groups and heads of each level, and the width of the time's sinusoids.

use std::collections::BTreeMap;

use super::{NewFile, folder, scheduler, weights};
use crate::error::{Error, Hint, Result};
use crate::model::Model;
use crate::network::diffusers::{Block, ClassEmbedding, TimeEmbedding, UNet2DConfig};
use crate::network::layer::{NORM_EPS, norm_groups};
use crate::network::params::{Array, Arrays};
use crate::network::unet::UNetConfig;

/// The files of a diffusers folder with a model of ours, of network `own`; the model card lies
/// beside them.
///
/// # Errors
/// [`Error::Checkpoint`] naming the first part of the network or of its sampling that
/// diffusers has no counterpart for.
pub(super) fn export(model: &Model, own: &UNetConfig) -> Result<Vec<NewFile>> {
    let card = &model.card;
    let mut config = config_of(own)?;
    config.sample_size = Some((card.defaults.tile_px, card.defaults.tile_px));
    let arrays = to_diffusers(own, model.network.arrays());
    let scheduler = scheduler::write(&card.schedule, card.prediction)?;
    let mut files = folder(
        &config,
        &weights::to_file(arrays),
        &scheduler,
        &BTreeMap::new(),
    )?;
    let text = serde_json::to_string_pretty(card).map_err(|e| Error::Checkpoint {
        what: format!("model card cannot be written ({e})"),
        hint: Hint::Advice("a metric may not be a finite number"),
    })?;
    files.push(("model_card.json".to_owned(), text.into_bytes()));
    Ok(files)
}

/// The same network in the words of diffusers.
fn config_of(ours: &UNetConfig) -> Result<UNet2DConfig> {
    let channels: Vec<usize> = ours
        .multipliers
        .iter()
        .map(|m| m * ours.base_channels)
        .collect();
    let refuse = |what: String| {
        Err(Error::Checkpoint {
            what: format!("not a UNet2DModel: {what}"),
            hint: Hint::Advice(
                "convert to .onnx instead; for diffusers, train with stem = 1, a first \
                   multiplier of 1, and base_channels of 128 (or a multiple)",
            ),
        })
    };
    if ours.stem != 1 {
        return refuse(format!(
            "stem: expected 1, got a pixel-unshuffle of {}",
            ours.stem
        ));
    }
    if ours.multipliers[0] != 1 {
        let got = ours.multipliers[0];
        return refuse(format!("multipliers: expected a first one of 1, got {got}"));
    }
    let groups = norm_groups(channels[0]);
    let mut normed = channels.clone();
    let mut skips = vec![channels[0]];
    for (level, &c) in channels.iter().enumerate() {
        skips.extend(vec![
            c;
            ours.blocks_per_level
                + usize::from(level + 1 < channels.len())
        ]);
    }
    let mut current = channels[channels.len() - 1];
    for &c in channels.iter().rev() {
        for _ in 0..=ours.blocks_per_level {
            normed.push(current + skips.pop().unwrap_or(channels[0]));
            current = c;
        }
    }
    if let Some(c) = normed.iter().find(|c| norm_groups(**c) != groups) {
        return refuse(format!(
            "base_channels: expected {groups} groups in every norm, got {} in one of {c} channels",
            norm_groups(*c)
        ));
    }
    let last = channels.len() - 1;
    let attended = ours.attention_levels.iter().copied();
    let mut widths: Vec<usize> = attended
        .chain(ours.middle_attention.then_some(last))
        .map(|level| channels[level] / ours.heads)
        .collect();
    widths.dedup();
    let attention_head_dim = match (ours.heads, widths.as_slice()) {
        (1, _) | (_, []) => None,
        (_, [width]) => Some(*width),
        (_, [first, second, ..]) => {
            return refuse(format!(
                "heads: expected one width of a head, got {first} and {second} channels"
            ));
        }
    };
    let block = |level: usize| match ours.attention_levels.contains(&level) {
        true => Block::Attention,
        false => Block::Plain,
    };
    Ok(UNet2DConfig {
        sample_size: None,
        in_channels: ours.bands + ours.conditioning_bands,
        out_channels: ours.bands,
        center_input_sample: false,
        time_embedding: TimeEmbedding::Positional,
        time_embedding_dim: None,
        freq_shift: 0.0,
        flip_sin_to_cos: true,
        down_blocks: (0..=last).map(block).collect(),
        mid_block: true,
        up_blocks: (0..=last).rev().map(block).collect(),
        block_out_channels: channels,
        layers_per_block: ours.blocks_per_level,
        mid_block_scale_factor: 1.0,
        downsample_padding: 1,
        resnet_downsample: false,
        resnet_upsample: false,
        attention_head_dim,
        norm_num_groups: groups,
        attn_norm_num_groups: Some(groups),
        norm_eps: NORM_EPS,
        scale_shift: true,
        add_attention: ours.middle_attention,
        class_embedding: ours.classes.map(ClassEmbedding::Table),
        num_train_timesteps: None,
        num_heads: None,
        model_channels: None,
    })
}

/// Our arrays under the names of [`crate::network::diffusers::UNet2D`].
fn to_diffusers(config: &UNetConfig, arrays: Arrays) -> Arrays {
    let levels = config.multipliers.len();
    let mut renamed = Arrays::new();
    for (name, array) in arrays {
        let name = path(&name);
        match name
            .strip_suffix("qkv.weight")
            .map(|p| (p, "weight"))
            .or_else(|| name.strip_suffix("qkv.bias").map(|p| (p, "bias")))
        {
            Some((path, kind)) => {
                for (part, of) in ["to_q", "to_k", "to_v"].iter().enumerate() {
                    renamed.insert(format!("{path}{of}.{kind}"), third(&array, part));
                }
            }
            None => {
                renamed.insert(name, array);
            }
        }
    }
    debug_assert!(levels > 0);
    renamed
}

/// One of our names in the other arrangement: `up` counts from the bottom in both.
fn path(ours: &str) -> String {
    let parts: Vec<&str> = ours.split('.').collect();
    let resnet = |rest: &[&str]| {
        rest.join(".")
            .replace("emb_proj", "time_emb_proj")
            .replace("skip", "conv_shortcut")
    };
    let attention = |rest: &[&str]| {
        rest.join(".")
            .replace("norm.", "group_norm.")
            .replace("proj.", "to_out.0.")
    };
    match parts.as_slice() {
        ["embedding", "fc1", rest] => format!("conditioner.time_embedding.linear_1.{rest}"),
        ["embedding", "fc2", rest] => format!("conditioner.time_embedding.linear_2.{rest}"),
        ["embedding", "class", rest] => format!("conditioner.class_table.{rest}"),
        [side @ ("down" | "up"), level, "blocks", i, "res", rest @ ..] => {
            format!("{side}_blocks.{level}.resnets.{i}.{}", resnet(rest))
        }
        [
            side @ ("down" | "up"),
            level,
            "blocks",
            i,
            "attention",
            rest @ ..,
        ] => {
            format!("{side}_blocks.{level}.attentions.{i}.{}", attention(rest))
        }
        ["down", level, "halve", rest] => format!("down_blocks.{level}.downsamplers.0.conv.{rest}"),
        ["up", level, "double", rest] => format!("up_blocks.{level}.upsamplers.0.conv.{rest}"),
        ["mid1", rest @ ..] => format!("mid_block.resnets.0.{}", resnet(rest)),
        ["mid2", rest @ ..] => format!("mid_block.resnets.1.{}", resnet(rest)),
        ["mid_attention", rest @ ..] => format!("mid_block.attentions.0.{}", attention(rest)),
        ["norm_out", rest] => format!("conv_norm_out.{rest}"),
        _ => ours.to_owned(),
    }
}

/// The q, k or v third of a joint layer: of its outputs, which are a weight's columns.
fn third(array: &Array, part: usize) -> Array {
    let mut shape = array.shape.clone();
    let Some(outputs) = shape.last_mut() else {
        return array.clone();
    };
    let whole = *outputs;
    *outputs = whole / 3;
    let row = |row: &[f32]| row[part * whole / 3..][..whole / 3].to_vec();
    Array {
        values: array.values.chunks_exact(whole).flat_map(row).collect(),
        shape,
    }
}

#[cfg(test)]
mod tests {
    use burn::tensor::{Device, Distribution, Tensor};

    use super::*;
    use crate::network::params;

    fn small() -> UNetConfig {
        UNetConfig {
            bands: 2,
            conditioning_bands: 1,
            base_channels: 128,
            multipliers: vec![1, 2],
            blocks_per_level: 1,
            attention_levels: vec![1],
            heads: 2,
            middle_attention: true,
            stem: 1,
            classes: Some(3),
            learned_variance: false,
            spread: false,
        }
    }

    #[test]
    fn the_same_function_in_both_arrangements() {
        let device = Device::flex();
        let config = small();
        let mut arrays = params::collect(&config.init(&device).unwrap());
        // Nothing may stay zero or one.
        for (i, array) in arrays.values_mut().enumerate() {
            let noise = crate::raster::random::gaussian_stream(&[i as u64], array.values.len());
            let fan = if array.shape.len() == 4 {
                array.shape[1] * 9
            } else {
                array.shape[0]
            };
            let spread = if array.shape.len() == 1 {
                0.1
            } else {
                (fan as f32).powf(-0.5)
            };
            array
                .values
                .iter_mut()
                .zip(noise)
                .for_each(|(v, n)| *v = 0.5 * *v + spread * n);
        }
        let ours = params::assign(config.init(&device).unwrap(), &arrays).unwrap();
        let theirs = config_of(&config).unwrap();
        let other = to_diffusers(&config, arrays);
        let theirs = params::assign(theirs.init(&device), &other).unwrap();

        let x = Tensor::<4>::random([2, 3, 8, 8], Distribution::Normal(0.0, 1.0), &device);
        let t = Tensor::<1>::from_floats([0.3, 700.0], &device);
        let class = Some(Tensor::from_ints([2, 0], &device));
        let a = ours.forward(x.clone(), t.clone(), class.clone());
        let b = theirs.forward(x, t, class, None);
        let worst = (a.clone() - b).abs().max().into_scalar::<f32>();
        let size = a.abs().max().into_scalar::<f32>();
        assert!(worst < 1e-4 && size > 0.1, "{worst} of {size}");
    }

    #[test]
    fn what_does_not_map_is_named() {
        for (change, word) in [
            ((|c| c.stem = 2) as fn(&mut UNetConfig), "stem"),
            (|c| c.multipliers = vec![2, 3], "multipliers"),
            (|c| c.base_channels = 32, "base_channels"),
            (|c| c.attention_levels = vec![0, 1], "heads"),
        ] {
            let mut config = small();
            change(&mut config);
            let error = config_of(&config).expect_err(word);
            assert!(error.to_string().contains(word), "{error}");
            assert!(
                error
                    .hint()
                    .is_some_and(|hint| hint.to_string().contains("onnx"))
            );
        }
        let presets = [
            UNetConfig::thesis_clouds(3, 4),
            UNetConfig::thesis_generation(3),
        ];
        assert!(presets.iter().all(|preset| config_of(preset).is_ok()));
    }
}
