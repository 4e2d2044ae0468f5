//! The parameters of a network by name: out of a module, into a module, to and from bytes.
//!
//! One mechanism serves checkpoints, the moving average and the optimiser's state. Names are
//! the paths of the fields, e.g. `down.0.blocks.1.res.conv1.weight`.

use std::collections::{BTreeMap, HashMap};

use burn::module::{Module, ModuleMapper, ModuleVisitor, Param};
use burn::tensor::{Tensor, TensorData};
use safetensors::tensor::{Dtype, SafeTensors, TensorView};

use crate::error::{Error, Hint, Result};

/// One array: its shape and its values, row by row.
#[derive(Debug, Clone, PartialEq)]
pub struct Array {
    /// Sizes of the dimensions.
    pub shape: Vec<usize>,
    /// As many values as the shape says.
    pub values: Vec<f32>,
}

/// Arrays by name, in a stable order.
pub type Arrays = BTreeMap<String, Array>;

/// How values are stored in a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Storage {
    /// 32-bit floats, lossless: training state.
    F32,
    /// 16-bit floats, half the size: what ships.
    F16,
}

/// Reads every parameter of a module back to the host.
pub fn collect<M: Module>(module: &M) -> Arrays {
    struct Collector {
        path: Vec<String>,
        arrays: Arrays,
    }
    impl ModuleVisitor for Collector {
        fn enter_module(&mut self, name: &str, _container: &str) {
            self.path.push(name.to_owned());
        }
        fn exit_module(&mut self, _name: &str, _container: &str) {
            self.path.pop();
        }
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            let tensor = param.val();
            let array = Array {
                shape: tensor.dims().to_vec(),
                values: tensor.into_data().iter::<f32>().collect(),
            };
            self.arrays.insert(self.path.join("."), array);
        }
    }
    let mut collector = Collector {
        path: Vec::new(),
        arrays: Arrays::new(),
    };
    module.visit(&mut collector);
    collector.arrays
}

/// Names and shapes of every parameter, without drawing weights that were not drawn yet.
pub fn shapes<M: Module>(module: &M) -> BTreeMap<String, Vec<usize>> {
    struct Lister {
        path: Vec<String>,
        shapes: BTreeMap<String, Vec<usize>>,
    }
    impl ModuleVisitor for Lister {
        fn enter_module(&mut self, name: &str, _container: &str) {
            self.path.push(name.to_owned());
        }
        fn exit_module(&mut self, _name: &str, _container: &str) {
            self.path.pop();
        }
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            let shape = param.lazy_shape().to_vec();
            self.shapes.insert(self.path.join("."), shape);
        }
    }
    let mut lister = Lister {
        path: Vec::new(),
        shapes: BTreeMap::new(),
    };
    module.visit(&mut lister);
    lister.shapes
}

/// Replaces every parameter of a module.
///
/// # Errors
/// [`Error::Checkpoint`] when an array is missing, superfluous, of another shape or not finite;
/// the sentence names the first one.
pub fn assign<M: Module>(module: M, arrays: &Arrays) -> Result<M> {
    struct Assigner<'a> {
        path: Vec<String>,
        arrays: &'a Arrays,
        used: usize,
        problem: Option<String>,
    }
    impl ModuleMapper for Assigner<'_> {
        fn enter_module(&mut self, name: &str, _container: &str) {
            self.path.push(name.to_owned());
        }
        fn exit_module(&mut self, _name: &str, _container: &str) {
            self.path.pop();
        }
        fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
            if self.problem.is_some() {
                return param;
            }
            let name = self.path.join(".");
            let expected = param.lazy_shape().to_vec();
            match self.arrays.get(&name) {
                None => self.problem = Some(format!("expected an array {name}, found none")),
                Some(array) if array.shape != expected => {
                    self.problem = Some(format!(
                        "array {name}: expected shape {expected:?}, got {:?}",
                        array.shape
                    ));
                }
                Some(array) if array.values.iter().any(|v| !v.is_finite()) => {
                    self.problem = Some(format!("array {name} holds NaN or infinity"));
                }
                Some(array) => {
                    self.used += 1;
                    let device = param.lazy_device();
                    let data = TensorData::new(array.values.clone(), expected);
                    let tensor = Tensor::<D>::from_data(data, &device)
                        .set_require_grad(device.is_autodiff());
                    // Not `map`: it would first draw the random weights that are replaced.
                    return Param::initialized(param.id, tensor);
                }
            }
            param
        }
    }
    let mut assigner = Assigner {
        path: Vec::new(),
        arrays,
        used: 0,
        problem: None,
    };
    let module = module.map(&mut assigner);
    let problem = assigner.problem.or_else(|| {
        (assigner.used < arrays.len())
            .then(|| format!("expected {} arrays, got {}", assigner.used, arrays.len()))
    });
    match problem {
        None => Ok(module),
        Some(what) => Err(Error::Checkpoint {
            what: format!("weights do not fit the architecture: {what}"),
            hint: Hint::Advice(
                "the file was written for another architecture, or by another program",
            ),
        }),
    }
}

/// Serialises arrays and string metadata as one safetensors file.
///
/// # Errors
/// [`Error::Checkpoint`] when the arrays are inconsistent.
pub fn to_bytes(
    arrays: &Arrays,
    metadata: HashMap<String, String>,
    storage: Storage,
) -> Result<Vec<u8>> {
    let too_large = |v: &f32| !v.is_finite() || !half::f16::from_f32(*v).is_finite();
    if storage == Storage::F16
        && let Some((name, _)) = arrays.iter().find(|(_, a)| a.values.iter().any(too_large))
    {
        return Err(Error::Checkpoint {
            what: format!("array {name} holds a value that 16 bits cannot"),
            hint: Hint::Advice("the training has diverged; lower its learning rate"),
        });
    }
    let encoded: Vec<(&String, &Array, Vec<u8>)> = arrays
        .iter()
        .map(|(name, array)| (name, array, encode(&array.values, storage)))
        .collect();
    let dtype = match storage {
        Storage::F32 => Dtype::F32,
        Storage::F16 => Dtype::F16,
    };
    let views = encoded
        .iter()
        .map(|(name, array, bytes)| {
            TensorView::new(dtype, array.shape.clone(), bytes).map(|view| (name.as_str(), view))
        })
        .collect::<std::result::Result<Vec<_>, _>>()
        .map_err(unreadable)?;
    safetensors::serialize(views, Some(metadata)).map_err(unreadable)
}

/// Parses a safetensors file into arrays and its string metadata.
///
/// # Errors
/// [`Error::Checkpoint`] when the bytes are not safetensors, are truncated, or hold values
/// other than 16- or 32-bit floats.
pub fn from_bytes(bytes: &[u8]) -> Result<(Arrays, HashMap<String, String>)> {
    let (_, header) = SafeTensors::read_metadata(bytes).map_err(unreadable)?;
    let metadata = header.metadata().clone().unwrap_or_default();
    let tensors = SafeTensors::deserialize(bytes).map_err(unreadable)?;
    let mut arrays = Arrays::new();
    for (name, view) in tensors.iter() {
        let values = match view.dtype() {
            Dtype::F32 => view
                .data()
                .chunks_exact(4)
                .map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]]))
                .collect(),
            Dtype::F16 => view
                .data()
                .chunks_exact(2)
                .map(|b| half::f16::from_le_bytes([b[0], b[1]]).to_f32())
                .collect(),
            Dtype::BF16 => view
                .data()
                .chunks_exact(2)
                .map(|b| half::bf16::from_le_bytes([b[0], b[1]]).to_f32())
                .collect(),
            other => {
                return Err(Error::Checkpoint {
                    what: format!("array {name}: expected F16, BF16 or F32, got {other:?}"),
                    hint: Hint::Advice("convert the checkpoint to 16- or 32-bit floats"),
                });
            }
        };
        arrays.insert(
            name.to_owned(),
            Array {
                shape: view.shape().to_vec(),
                values,
            },
        );
    }
    Ok((arrays, metadata))
}

fn encode(values: &[f32], storage: Storage) -> Vec<u8> {
    match storage {
        Storage::F32 => values.iter().flat_map(|v| v.to_le_bytes()).collect(),
        Storage::F16 => values
            .iter()
            .flat_map(|v| half::f16::from_f32(*v).to_le_bytes())
            .collect(),
    }
}

pub(crate) fn unreadable(error: safetensors::SafeTensorError) -> Error {
    Error::Checkpoint {
        what: format!("not a readable safetensors file ({error})"),
        hint: Hint::Advice("the file may be truncated; copy it again"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_precision_of_both_kinds_is_read() {
        // 1.5 and -2 in bfloat16 and in float16.
        for (dtype, words) in [
            (Dtype::BF16, [0x3fc0u16, 0xc000]),
            (Dtype::F16, [0x3e00, 0xc000]),
        ] {
            let data: Vec<u8> = words.iter().flat_map(|w| w.to_le_bytes()).collect();
            let view = TensorView::new(dtype, vec![2], &data).unwrap();
            let bytes = safetensors::serialize([("a", view)], None).unwrap();
            assert_eq!(from_bytes(&bytes).unwrap().0["a"].values, [1.5, -2.0]);
        }
        let data = [0u8; 8];
        let view = TensorView::new(Dtype::I64, vec![1], &data).unwrap();
        let bytes = safetensors::serialize([("a", view)], None).unwrap();
        let error = from_bytes(&bytes).expect_err("whole numbers are no weights");
        assert!(error.to_string().contains("I64"));
    }
}
