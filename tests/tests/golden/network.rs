//! Golden arrays of networks as tensors on the CPU, and what came out of one beside what was to.

use burn::tensor::{Device, Tensor, TensorData};
use unclouded_core::network::params::Array;

use super::max_abs_diff;

/// The array as a tensor on the CPU.
pub fn tensor<const D: usize>(array: &Array) -> Tensor<D> {
    let data = TensorData::new(array.values.clone(), array.shape.clone());
    Tensor::from_data(data, &Device::flex())
}

/// Largest absolute difference; the shapes must agree.
pub fn compared<const D: usize>(got: Tensor<D>, expected: &Array) -> f64 {
    assert_eq!(got.dims().to_vec(), expected.shape);
    let got: Vec<f64> = got.into_data().iter::<f64>().collect();
    let expected: Vec<f64> = expected.values.iter().map(|v| f64::from(*v)).collect();
    max_abs_diff(&got, &expected)
}
