//! Reads the golden arrays of `data/`, made by the scripts in `reference/`.
#![allow(dead_code)] // every test reads its own kinds

pub mod network;
pub mod problem;
pub mod table;

use safetensors::{Dtype, SafeTensors};

/// The bytes of `data/NAME.safetensors`.
pub fn bytes(name: &str) -> Vec<u8> {
    let path = format!("{}/data/{name}.safetensors", env!("CARGO_MANIFEST_DIR"));
    std::fs::read(&path).unwrap_or_else(|e| panic!("{path}: {e}"))
}

/// The shape of one array.
pub fn shape(arrays: &SafeTensors, name: &str) -> Vec<usize> {
    let view = arrays
        .tensor(name)
        .unwrap_or_else(|e| panic!("{name}: {e}"));
    view.shape().to_vec()
}

/// The values of one array of any number type, row by row.
pub fn values(arrays: &SafeTensors, name: &str) -> Vec<f64> {
    let view = arrays
        .tensor(name)
        .unwrap_or_else(|e| panic!("{name}: {e}"));
    let data = view.data();
    match view.dtype() {
        Dtype::F64 => data
            .chunks_exact(8)
            .map(|b| f64::from_le_bytes(b.try_into().unwrap()))
            .collect(),
        Dtype::F32 => data
            .chunks_exact(4)
            .map(|b| f64::from(f32::from_le_bytes(b.try_into().unwrap())))
            .collect(),
        Dtype::I32 => data
            .chunks_exact(4)
            .map(|b| f64::from(i32::from_le_bytes(b.try_into().unwrap())))
            .collect(),
        other => panic!("{name}: {other:?}"),
    }
}

/// Largest absolute difference; the lengths must agree.
pub fn max_abs_diff(got: &[f64], expected: &[f64]) -> f64 {
    assert_eq!(got.len(), expected.len());
    // Once NaN, always NaN: f64::max and a plain comparison would drop it.
    got.iter()
        .zip(expected)
        .map(|(a, b)| (a - b).abs())
        .fold(0.0, |worst: f64, d| match d <= worst || worst.is_nan() {
            true => worst,
            false => d,
        })
}
