//! Names and layouts of arrays: those of a diffusers file, and those of our modules.
//!
//! Dense layers lie transposed in the file, norms call their factors `weight` and `bias`, and
//! four names differ.

use std::collections::BTreeMap;

use crate::error::{Error, Hint, Result};
use crate::network::params::{Array, Arrays};

/// Our name as the file calls it.
fn name_in_file(ours: &str) -> String {
    let name = match ours {
        "conditioner.fourier" | "conditioner.learned.weight" => "time_proj.weight".to_owned(),
        "conditioner.class_table.weight" => "class_embedding.weight".to_owned(),
        _ => ours
            .replace("conditioner.class_mlp.", "class_embedding.")
            .replace("conditioner.", "")
            .replace(".resnet_downsamplers.", ".downsamplers.")
            .replace(".resnet_upsamplers.", ".upsamplers."),
    };
    match name.rsplit_once('.') {
        Some((path, "gamma")) => format!("{path}.weight"),
        Some((path, "beta")) => format!("{path}.bias"),
        _ => name,
    }
}

/// Whether an array of ours is a dense layer's, which the file holds transposed.
fn is_dense(ours: &str, shape: &[usize]) -> bool {
    shape.len() == 2 && !ours.contains("class_table") && !ours.contains("learned")
}

/// Names of attention layers in files written before 2023.
fn renamed(name: &str) -> String {
    if !name.contains(".attentions.") {
        return name.to_owned();
    }
    name.replace(".query.", ".to_q.")
        .replace(".key.", ".to_k.")
        .replace(".value.", ".to_v.")
        .replace(".proj_attn.", ".to_out.0.")
}

/// The arrays of a file for a module with these names and shapes.
///
/// # Errors
/// [`Error::Checkpoint`] naming the first array that is missing, superfluous or of another shape,
/// as the file calls it.
pub fn from_file(expected: &BTreeMap<String, Vec<usize>>, file: Arrays) -> Result<Arrays> {
    let mut file: Arrays = file.into_iter().map(|(k, v)| (renamed(&k), v)).collect();
    let mut arrays = Arrays::new();
    for (ours, shape) in expected {
        let name = name_in_file(ours);
        let dense = is_dense(ours, shape);
        let in_file = if dense {
            vec![shape[1], shape[0]]
        } else {
            shape.clone()
        };
        match file.remove(&name) {
            None => return Err(misfit(format!("expected an array {name}, found none"))),
            Some(array) if array.shape != in_file => {
                return Err(misfit(format!(
                    "array {name}: expected shape {in_file:?}, got {:?}",
                    array.shape
                )));
            }
            Some(array) => {
                let array = if dense { transposed(&array) } else { array };
                arrays.insert(ours.clone(), array);
            }
        }
    }
    match file.keys().next() {
        None => Ok(arrays),
        Some(name) => Err(misfit(format!(
            "an array the configuration has no place for: {name}"
        ))),
    }
}

/// Our arrays as a file holds them.
pub fn to_file(arrays: Arrays) -> Arrays {
    let convert = |(ours, array): (String, Array)| {
        let array = match is_dense(&ours, &array.shape) {
            true => transposed(&array),
            false => array,
        };
        (name_in_file(&ours), array)
    };
    arrays.into_iter().map(convert).collect()
}

/// Rows to columns.
pub fn transposed(array: &Array) -> Array {
    let (rows, cols) = (array.shape[0], array.shape[1]);
    let values = (0..cols * rows).map(|i| array.values[(i % rows) * cols + i / rows]);
    Array {
        shape: vec![cols, rows],
        values: values.collect(),
    }
}

fn misfit(what: String) -> Error {
    Error::Checkpoint {
        what: format!("weights do not fit config.json: {what}"),
        hint: Hint::Advice(
            "config.json and the weights are of different models, or of a newer diffusers",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_both_worlds() {
        for (ours, file) in [
            ("conv_norm_out.gamma", "conv_norm_out.weight"),
            (
                "conditioner.time_embedding.linear_1.bias",
                "time_embedding.linear_1.bias",
            ),
            (
                "conditioner.class_mlp.linear_2.weight",
                "class_embedding.linear_2.weight",
            ),
            (
                "down_blocks.0.resnet_downsamplers.0.norm1.beta",
                "down_blocks.0.downsamplers.0.norm1.bias",
            ),
            (
                "mid_block.attentions.0.to_out.0.weight",
                "mid_block.attentions.0.to_out.0.weight",
            ),
        ] {
            assert_eq!(name_in_file(ours), file);
        }
        assert_eq!(
            renamed("mid_block.attentions.0.proj_attn.weight"),
            "mid_block.attentions.0.to_out.0.weight"
        );
    }

    #[test]
    fn transposing_twice_is_nothing() {
        let array = Array {
            shape: vec![2, 3],
            values: (0..6u8).map(f32::from).collect(),
        };
        let other = transposed(&array);
        assert_eq!(
            (other.shape.as_slice(), other.values[1]),
            (&[3, 2][..], 3.0)
        );
        assert_eq!(transposed(&other), array);
    }
}
