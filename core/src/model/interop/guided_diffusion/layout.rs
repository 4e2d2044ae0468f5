//! What names and shapes of a state dict say about the network.

use super::refused;
use crate::error::Result;
use crate::network::params::Arrays;

/// Hint for networks that are of another kind, or damaged.
const OTHER: &str = "only the UNetModel of images is read, with all its arrays";

/// The architecture, as far as the arrays show it.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Layout {
    /// Sines and cosines of the time.
    pub model_channels: usize,
    /// Length of the embedding of time and class.
    pub embedding_dim: usize,
    pub in_channels: usize,
    pub out_channels: usize,
    /// Of each level, from the finest.
    pub channels: Vec<usize>,
    /// Residual blocks of a level on the way down.
    pub res_blocks: usize,
    /// Whether a level has attention.
    pub attention: Vec<bool>,
    /// Whether residual blocks resample, instead of convolutions.
    pub by_resnet: bool,
    /// Whether time scales and shifts.
    pub scale_shift: bool,
    pub classes: Option<usize>,
}

impl Layout {
    /// Reads it off the arrays.
    ///
    /// # Errors
    /// [`Error::Checkpoint`](crate::Error::Checkpoint) naming the array that is missing, or the
    /// part that is not built here.
    pub(super) fn of(arrays: &Arrays) -> Result<Self> {
        let has = |name: &str| arrays.contains_key(name);
        if has("out.2.positional_embedding") || !has("output_blocks.0.0.in_layers.0.weight") {
            return Err(refused(
                "expected output_blocks, which a network that makes images has, found none".into(),
                "classifiers and other encoders make no images",
            ));
        }
        let size = |name: &str, axis: usize| -> Result<usize> {
            let array = arrays.get(name).ok_or_else(|| missing(name))?;
            let found = array.shape.get(axis).copied().filter(|size| *size > 0);
            found.ok_or_else(|| refused(format!("array {name}: shape {:?}", array.shape), OTHER))
        };
        let stem = "input_blocks.0.0.weight";
        if arrays.get(stem).is_some_and(|array| array.shape.len() != 4) {
            let got = format!(
                "{stem}: expected four dimensions, got {:?}",
                arrays[stem].shape
            );
            return Err(refused(got, OTHER));
        }

        // A level ends with what doubles it, but for the finest.
        let outputs = (0..)
            .take_while(|k| has(&format!("output_blocks.{k}.0.in_layers.0.weight")))
            .count();
        let doubled = |k: usize, part: &str| {
            (1..=2).any(|place| has(&format!("output_blocks.{k}.{place}.{part}")))
        };
        let by_resnet = (0..outputs).any(|k| doubled(k, "in_layers.0.weight"));
        let doublings = (0..outputs)
            .filter(|k| doubled(*k, "in_layers.0.weight") || doubled(*k, "conv.weight"))
            .count();
        let levels = doublings + 1;
        if !outputs.is_multiple_of(levels) || outputs / levels < 2 {
            let got = format!("{outputs} output blocks for {levels} levels");
            return Err(refused(got, OTHER));
        }
        let res_blocks = outputs / levels - 1;
        let inputs = levels * (res_blocks + 1);
        if let Some(k) = (1..inputs).find(|k| !has_block(arrays, *k)) {
            return Err(refused(
                format!("input_blocks.{k} holds no array: resampling without convolution"),
                "conv_resample = False is not built here",
            ));
        }
        let first = |level: usize| format!("input_blocks.{}", 1 + level * (res_blocks + 1));
        let channels = (0..levels)
            .map(|level| size(&format!("{}.0.out_layers.3.weight", first(level)), 0))
            .collect::<Result<Vec<usize>>>()?;
        let attention = (0..levels)
            .map(|level| has(&format!("{}.1.qkv.weight", first(level))))
            .collect();
        let time = size("input_blocks.1.0.emb_layers.1.weight", 0)?;
        let classes = match has("label_emb.weight") {
            true => Some(size("label_emb.weight", 0)?),
            false => None,
        };
        Ok(Self {
            model_channels: size("time_embed.0.weight", 1)?,
            embedding_dim: size("time_embed.0.weight", 0)?,
            in_channels: size(stem, 1)?,
            out_channels: size("out.2.weight", 0)?,
            scale_shift: time == 2 * channels[0],
            channels,
            res_blocks,
            attention,
            by_resnet,
            classes,
        })
    }

    /// Whether the network says something about the variance as well.
    pub(super) fn learned_variance(&self) -> bool {
        self.out_channels == 2 * self.in_channels
    }

    /// The numbers of channels that attentions see, each once.
    pub(super) fn attended_channels(&self) -> Vec<usize> {
        let levels = self.channels.iter().zip(&self.attention);
        let mut seen: Vec<usize> = levels.filter(|(_, at)| **at).map(|(c, _)| *c).collect();
        // In the middle there always is one.
        seen.extend(self.channels.last());
        seen.sort_unstable();
        seen.dedup();
        seen
    }
}

pub(super) fn missing(name: &str) -> crate::Error {
    refused(format!("expected an array {name}, found none"), OTHER)
}

fn has_block(arrays: &Arrays, block: usize) -> bool {
    let prefix = format!("input_blocks.{block}.");
    let mut following = arrays.range(prefix.clone()..);
    following
        .next()
        .is_some_and(|(name, _)| name.starts_with(&prefix))
}
