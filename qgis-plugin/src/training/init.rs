//! Starting from the weights of a checkpoint instead of random ones.
//!
//! The new network may see and say more than the old one: other channels of conditioning, more
//! bands, a spread. What a channel means is known by its label, and what the old network did not
//! know starts at zero, so that the new one begins as the old one and learns the rest.

use std::path::Path;

use unclouded_core::model::{Conditioning, ModelCard};
use unclouded_core::network::params::{self, Array, Arrays};

use crate::failure::{Failure, Result};

/// The layer that sees the input.
const FIRST: &str = "conv_in.weight";
/// The layer that makes the output.
const LAST: &str = "conv_out.";

/// What a network's channels mean.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Channels {
    /// Names of its bands, in order.
    pub bands: Vec<String>,
    /// What it is conditioned on.
    pub conditioning: Conditioning,
    /// Whether it says a spread.
    pub spread: bool,
}

impl Channels {
    /// Of a checkpoint.
    fn of(card: &ModelCard) -> Self {
        Self {
            bands: card.bands.clone(),
            conditioning: card.conditioning,
            spread: card.architecture.unet().is_some_and(|unet| unet.spread),
        }
    }

    /// Labels of the input's channels: the noisy image, and what the network is conditioned on as
    /// [`Shown::channels`](unclouded_core::model::Shown::channels) has it.
    fn inputs(&self) -> Vec<String> {
        let bands = |what: &'static str| {
            let named = move |band: &String| format!("{what} {band}");
            self.bands.iter().map(named)
        };
        let mut labels = Vec::from_iter(bands("image"));
        if self.conditioning != Conditioning::None {
            labels.extend(bands("filled"));
            labels.push("mask".into());
        }
        if self.conditioning == Conditioning::Guided {
            labels.extend(bands("detail"));
            labels.push("trust".into());
        }
        labels
    }

    /// Labels of the output's channels.
    fn outputs(&self) -> Vec<String> {
        let parts: &[&str] = match self.spread {
            true => &["mean", "spread"],
            false => &["mean"],
        };
        let bands = |what| {
            let named = move |band: &String| format!("{what} {band}");
            self.bands.iter().map(named)
        };
        parts.iter().flat_map(bands).collect()
    }

    /// The same with bands called as in `other`, where there are as many: which bands a network
    /// of so many is for, its owner knows.
    fn renamed(mut self, other: &Self) -> Self {
        if self.bands.len() == other.bands.len() {
            self.bands.clone_from(&other.bands);
        }
        self
    }
}

/// The weights of the checkpoint at `path` in the shapes of `fresh`, the weights of a network with
/// these channels.
///
/// # Errors
/// Exit 2 when the file cannot be read, has no band in common, or an array is missing or differs
/// otherwise.
pub fn from_checkpoint(path: &Path, fresh: Arrays, channels: &Channels) -> Result<Arrays> {
    let bytes = std::fs::read(path)
        .map_err(|error| Failure::mismatch(path.display(), "a checkpoint", error))?;
    let old_channels = Channels::of(&ModelCard::read(&bytes)?).renamed(channels);
    if !old_channels
        .bands
        .iter()
        .any(|b| channels.bands.contains(b))
    {
        return Err(Failure::mismatch(
            format!("bands of {}", path.display()),
            format!("one of {}", channels.bands.join(", ")),
            old_channels.bands.join(", "),
        )
        .hint("call common bands alike in [data] band_names"));
    }
    let (old, _) = params::from_bytes(&bytes)?;
    let adopt = |(name, new): (String, Array)| {
        let found = old.get(&name).and_then(|old| {
            if name == FIRST {
                regrouped(old, &new, 1, &old_channels.inputs(), &channels.inputs())
            } else if name.starts_with(LAST) {
                regrouped(old, &new, 0, &old_channels.outputs(), &channels.outputs())
            } else {
                Some(old.clone()).filter(|old| old.shape == new.shape)
            }
        });
        let array = found.ok_or_else(|| {
            let got = old.get(&name).map(|old| format!("{:?}", old.shape));
            Failure::mismatch(
                format!("{} of {}", name, path.display()),
                format!("shape {:?}", new.shape),
                got.unwrap_or_else(|| "no such array".into()),
            )
            .hint("[train] init takes a checkpoint of the same architecture")
        })?;
        Ok((name, array))
    };
    fresh.into_iter().map(adopt).collect()
}

/// `old` in the shape of `new`, whose dimension `axis` holds groups of channels with the labels
/// `to` instead of `from`: each where its label is, zeros for labels that are new. None if the
/// shapes differ otherwise.
fn regrouped(
    old: &Array,
    new: &Array,
    axis: usize,
    from: &[String],
    to: &[String],
) -> Option<Array> {
    let others = |shape: &[usize]| {
        let mut others = shape.to_vec();
        others.remove(axis);
        others
    };
    // A stem makes several channels of one: all of a group go together.
    let group = old.shape.get(axis)? / from.len().max(1);
    let fits = old.shape.len() == new.shape.len()
        && others(&old.shape) == others(&new.shape)
        && old.shape[axis] == group * from.len()
        && new.shape[axis] == group * to.len();
    if !fits {
        return None;
    }
    let inner = group * old.shape[axis + 1..].iter().product::<usize>();
    let outer: usize = old.shape[..axis].iter().product();
    let mut values = Vec::with_capacity(new.values.len());
    for row in old.values.chunks_exact(inner * from.len()).take(outer) {
        for label in to {
            match from.iter().position(|known| known == label) {
                Some(at) => values.extend_from_slice(&row[at * inner..][..inner]),
                None => values.resize(values.len() + inner, 0.0),
            }
        }
    }
    Some(Array {
        shape: new.shape.clone(),
        values,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn array(shape: &[usize]) -> Array {
        let count = shape.iter().product();
        Array {
            shape: shape.to_vec(),
            values: (1..=count).map(|v| v as f32).collect(),
        }
    }

    fn labels(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    fn channels(bands: &[&str], conditioning: Conditioning, spread: bool) -> Channels {
        Channels {
            bands: labels(bands),
            conditioning,
            spread,
        }
    }

    #[test]
    fn channels_go_where_their_labels_are_and_new_ones_start_at_zero() {
        let (from, to) = (labels(&["a", "b"]), labels(&["b", "new", "a"]));
        let wide = regrouped(&array(&[2, 2, 2]), &array(&[2, 3, 2]), 1, &from, &to).unwrap();
        assert_eq!(
            wide.values,
            [3., 4., 0., 0., 1., 2., 7., 8., 0., 0., 5., 6.]
        );
        // Two channels a label, as a stem makes them.
        let deep = regrouped(&array(&[4, 1]), &array(&[6, 1]), 0, &from, &to).unwrap();
        assert_eq!(deep.values, [3., 4., 0., 0., 1., 2.]);
        let same = regrouped(&array(&[2]), &array(&[2]), 0, &from, &from).unwrap();
        assert_eq!(same, array(&[2]));
    }

    #[test]
    fn other_differences_are_refused() {
        let (a, b) = (labels(&["a"]), labels(&["a", "b"]));
        assert_eq!(regrouped(&array(&[2, 1]), &array(&[3, 2]), 1, &a, &b), None);
        assert_eq!(regrouped(&array(&[2, 1]), &array(&[2, 3]), 1, &a, &b), None);
        assert_eq!(regrouped(&array(&[3, 1]), &array(&[2, 1]), 0, &b, &a), None);
    }

    #[test]
    fn labels_name_every_channel_in_the_order_of_the_network() {
        let rgbn = channels(&["R", "N"], Conditioning::Guided, true);
        let inputs = [
            "image R", "image N", "filled R", "filled N", "mask", "detail R", "detail N", "trust",
        ];
        assert_eq!(rgbn.inputs(), labels(&inputs));
        let outputs = ["mean R", "mean N", "spread R", "spread N"];
        assert_eq!(rgbn.outputs(), labels(&outputs));
        let count = rgbn.bands.len() + rgbn.conditioning.channels(rgbn.bands.len());
        assert_eq!(rgbn.inputs().len(), count);
        // As many bands are the same bands, whatever they are called.
        let other = channels(&["1", "2"], Conditioning::None, false).renamed(&rgbn);
        assert_eq!(other.bands, rgbn.bands);
        let fewer = channels(&["1"], Conditioning::None, false).renamed(&rgbn);
        assert_eq!(fewer.bands, labels(&["1"]));
    }
}
