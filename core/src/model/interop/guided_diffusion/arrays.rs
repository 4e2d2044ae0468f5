//! The arrays of a state dict under the names of a `UNet2DModel`.

use super::layout::{Layout, missing};
use super::refused;
use crate::error::Result;
use crate::network::params::{Array, Arrays};

/// What a block consists of: its parts' names, and what a `UNet2DModel` calls them.
const RESNET: [(&str, &str); 6] = [
    ("in_layers.0", "norm1"),
    ("in_layers.2", "conv1"),
    ("emb_layers.1", "time_emb_proj"),
    ("out_layers.0", "norm2"),
    ("out_layers.3", "conv2"),
    ("skip_connection", "conv_shortcut"),
];

/// Takes arrays from the file under one name and keeps them under another.
struct Mover {
    file: Arrays,
    arrays: Arrays,
}

impl Mover {
    fn take(&mut self, name: &str) -> Result<Array> {
        self.file.remove(name).ok_or_else(|| missing(name))
    }

    /// Weight and bias of a layer.
    fn layer(&mut self, from: &str, to: &str) -> Result<()> {
        for kind in ["weight", "bias"] {
            let array = self.take(&format!("{from}.{kind}"))?;
            self.arrays.insert(format!("{to}.{kind}"), array);
        }
        Ok(())
    }

    fn resnet(&mut self, from: &str, to: &str) -> Result<()> {
        for (own, other) in RESNET {
            let name = format!("{from}.{own}");
            // Where a block keeps the number of channels, nothing lies on its bypass.
            if own != "skip_connection" || self.file.contains_key(&format!("{name}.weight")) {
                self.layer(&name, &format!("{to}.{other}"))?;
            }
        }
        Ok(())
    }

    /// An attention whose q, k and v are one convolution. `heads` are those of its channels, and
    /// whether each of the three holds all of them, instead of each head holding its three.
    fn attention(
        &mut self,
        from: &str,
        to: &str,
        heads: &dyn Fn(usize) -> (usize, bool),
    ) -> Result<()> {
        self.layer(&format!("{from}.norm"), &format!("{to}.group_norm"))?;
        for kind in ["weight", "bias"] {
            let name = format!("{from}.qkv.{kind}");
            let joint = self.take(&name)?;
            let rows = joint.shape.first().copied().unwrap_or(0);
            let (heads, joint_heads) = heads(rows / 3);
            let columns = joint.values.len() / rows.max(1);
            if rows == 0 || heads == 0 || !rows.is_multiple_of(3 * heads) {
                let got = format!("array {name}: {rows} outputs for {heads} heads");
                return Err(refused(
                    got,
                    "num_heads or num_head_channels is of another network",
                ));
            }
            let width = rows / 3 / heads;
            for (part, of) in ["to_q", "to_k", "to_v"].into_iter().enumerate() {
                let mut values = Vec::with_capacity(joint.values.len() / 3);
                for head in 0..heads {
                    let block = match joint_heads {
                        true => part * heads + head,
                        false => head * 3 + part,
                    };
                    let from = block * width * columns;
                    values.extend_from_slice(&joint.values[from..from + width * columns]);
                }
                let shape = match kind {
                    "weight" => vec![rows / 3, columns],
                    _ => vec![rows / 3],
                };
                let array = Array { shape, values };
                self.arrays.insert(format!("{to}.{of}.{kind}"), array);
            }
        }
        self.layer(&format!("{from}.proj_out"), &format!("{to}.to_out.0"))?;
        // A convolution over tokens is a dense layer.
        if let Some(array) = self.arrays.get_mut(&format!("{to}.to_out.0.weight"))
            && array.shape.get(2) == Some(&1)
        {
            array.shape.truncate(2);
        }
        Ok(())
    }
}

/// Renames all of them. `heads` says of a number of channels how many heads an attention has, and
/// whether q, k and v each hold all heads (`use_new_attention_order`).
///
/// # Errors
/// [`Error::Checkpoint`](crate::Error::Checkpoint) naming the first array that is missing or
/// superfluous.
pub(super) fn renamed(
    layout: &Layout,
    file: Arrays,
    heads: impl Fn(usize) -> (usize, bool),
) -> Result<Arrays> {
    let mut mover = Mover {
        file,
        arrays: Arrays::new(),
    };
    mover.layer("time_embed.0", "time_embedding.linear_1")?;
    mover.layer("time_embed.2", "time_embedding.linear_2")?;
    if layout.classes.is_some() {
        let table = mover.take("label_emb.weight")?;
        mover.arrays.insert("class_embedding.weight".into(), table);
    }
    mover.layer("input_blocks.0.0", "conv_in")?;
    let (levels, blocks) = (layout.channels.len(), layout.res_blocks);
    for level in 0..levels {
        let down = format!("down_blocks.{level}");
        let first = 1 + level * (blocks + 1);
        for i in 0..blocks {
            let from = format!("input_blocks.{}", first + i);
            mover.resnet(&format!("{from}.0"), &format!("{down}.resnets.{i}"))?;
            if layout.attention[level] {
                let to = format!("{down}.attentions.{i}");
                mover.attention(&format!("{from}.1"), &to, &heads)?;
            }
        }
        if level + 1 < levels {
            let from = format!("input_blocks.{}.0", first + blocks);
            let to = format!("{down}.downsamplers.0");
            match layout.by_resnet {
                true => mover.resnet(&from, &to)?,
                false => mover.layer(&format!("{from}.op"), &format!("{to}.conv"))?,
            }
        }
    }
    mover.resnet("middle_block.0", "mid_block.resnets.0")?;
    mover.attention("middle_block.1", "mid_block.attentions.0", &heads)?;
    mover.resnet("middle_block.2", "mid_block.resnets.1")?;
    for (up, level) in (0..levels).rev().enumerate() {
        for i in 0..=blocks {
            let from = format!("output_blocks.{}", up * (blocks + 1) + i);
            let to = format!("up_blocks.{up}");
            mover.resnet(&format!("{from}.0"), &format!("{to}.resnets.{i}"))?;
            if layout.attention[level] {
                let to = format!("{to}.attentions.{i}");
                mover.attention(&format!("{from}.1"), &to, &heads)?;
            }
            if i == blocks && level > 0 {
                let from = format!("{from}.{}", 1 + usize::from(layout.attention[level]));
                let to = format!("{to}.upsamplers.0");
                match layout.by_resnet {
                    true => mover.resnet(&from, &to)?,
                    false => mover.layer(&format!("{from}.conv"), &format!("{to}.conv"))?,
                }
            }
        }
    }
    mover.layer("out.0", "conv_norm_out")?;
    mover.layer("out.2", "conv_out")?;
    match mover.file.keys().next() {
        None => Ok(mover.arrays),
        Some(name) => Err(refused(
            format!("an array that is not built here: {name}"),
            "only the UNetModel of guided-diffusion is read, without changes of its own",
        )),
    }
}
