//! Starting from the weights of a checkpoint instead of random ones.

use std::path::Path;

use unclouded_core::network::params::{self, Array, Arrays};

use crate::failure::{Failure, Result};

/// The weights of the checkpoint at `path` in the shapes of `fresh`. An array may have fewer
/// input channels (dimension 1) than the new network: the further ones start at zero, so that
/// the new network begins as the old one and learns what they say.
///
/// # Errors
/// Exit 2 when the file cannot be read, or an array is missing or differs otherwise.
pub fn from_checkpoint(path: &Path, fresh: Arrays) -> Result<Arrays> {
    let bytes = std::fs::read(path)
        .map_err(|error| Failure::mismatch(path.display(), "a checkpoint", error))?;
    let (old, _) = params::from_bytes(&bytes)?;
    let widen = |(name, new): (String, Array)| {
        let found = old.get(&name).and_then(|old| widened(old, &new));
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
    fresh.into_iter().map(widen).collect()
}

/// `old` in the shape of `new`, zeros in the channels it lacks; none if that cannot be.
fn widened(old: &Array, new: &Array) -> Option<Array> {
    if old.shape == new.shape {
        return Some(old.clone());
    }
    let (from, to) = (old.shape.get(1)?, new.shape.get(1)?);
    let others = |shape: &[usize]| (shape[0], shape[2..].to_vec());
    if from > to || others(&old.shape) != others(&new.shape) {
        return None;
    }
    let inner: usize = new.shape[2..].iter().product();
    let mut values = Vec::with_capacity(new.values.len());
    for outer in old.values.chunks_exact(from * inner) {
        values.extend_from_slice(outer);
        values.resize(values.len() + (to - from) * inner, 0.0);
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

    #[test]
    fn new_input_channels_start_at_zero() {
        let wide = widened(&array(&[2, 1, 1, 2]), &array(&[2, 3, 1, 2])).unwrap();
        assert_eq!(
            wide.values,
            [1., 2., 0., 0., 0., 0., 3., 4., 0., 0., 0., 0.]
        );
        let same = widened(&array(&[3]), &array(&[3])).unwrap();
        assert_eq!(same, array(&[3]));
    }

    #[test]
    fn other_differences_are_refused() {
        assert_eq!(widened(&array(&[2, 3]), &array(&[2, 1])), None);
        assert_eq!(widened(&array(&[2, 1, 3]), &array(&[2, 2, 1])), None);
        assert_eq!(widened(&array(&[2]), &array(&[3])), None);
    }
}
