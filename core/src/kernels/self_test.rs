//! Does a device compute what it should? Asked once, before anything depends on it.
//!
//! Software GPUs and young drivers return wrong numbers without an error: on SwiftShader, the
//! software adapter of Chromium, the matrix product of burn's GPU backend is all zeros. The test
//! computes every kind of operation the U-Net consists of on small tensors and compares it with
//! the CPU; a wrong matrix product has a way around (see `matmul`), anything else has not.

use burn::tensor::{Device, Tensor, TensorData};

use super::{conv2d, group_norm_silu, matmul, upsample_nearest2};
use crate::error::{Error, Result};

/// What a device gets right.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SelfTest {
    /// Whether burn's own matrix product is right; where it is not, [`matmul`] goes another way.
    pub matmul: bool,
    /// Largest difference to the CPU over all operations, relative to the largest value.
    pub error: f32,
}

/// The most two devices may differ by rounding, relative to the largest value.
const TOLERANCE: f32 = 1e-3;

/// Compares `device` with the CPU; from then on [`matmul`] takes the way that is right there.
///
/// # Errors
/// [`Error::Device`] when an operation is wrong that has no way around, or cannot be read back.
pub async fn self_test(device: &Device) -> Result<SelfTest> {
    let cpu = Device::flex();
    let product = |device: &Device| {
        let (a, b) = (
            values([2, 64, 32], 1, device),
            values([2, 32, 48], 2, device),
        );
        a.matmul(b).reshape([2, 1, 64, 48])
    };
    let matmul_right = difference(product(device), product(&cpu)).await? <= TOLERANCE;
    if !matmul_right {
        matmul::avoid_burns_product();
    }
    let blocks = |device: &Device| {
        let x: Tensor<4> = values4([2, 16, 16, 16], 3, device);
        let weight: Tensor<4> = values4([16, 16, 3, 3], 4, device);
        let (gamma, beta) = (ramp(16, 0.5, device), ramp(16, -0.2, device));
        let convolved = conv2d(x, weight, Some(ramp(16, 0.1, device)), 1, 1);
        let normed = group_norm_silu(convolved, gamma, beta, 8, 1e-5);
        let tokens = normed.clone().reshape([2, 16, 256]);
        let scores = matmul(tokens.clone().swap_dims(1, 2), tokens.clone()) * 0.05;
        let attended = matmul(tokens, burn::tensor::activation::softmax(scores, 2));
        upsample_nearest2(normed + attended.reshape([2, 16, 16, 16]))
    };
    let error = difference(blocks(device), blocks(&cpu)).await?;
    if error > TOLERANCE {
        return Err(Error::Device(format!(
            "the self-test differs from the CPU by {error:.1e} of the range, at most {TOLERANCE:.0e} expected"
        )));
    }
    Ok(SelfTest {
        matmul: matmul_right,
        error,
    })
}

/// Largest difference relative to the largest expected value; infinite when a value is not
/// finite.
async fn difference(got: Tensor<4>, expected: Tensor<4>) -> Result<f32> {
    let (got, expected) = (read(got).await?, read(expected).await?);
    let range = expected
        .iter()
        .fold(f32::MIN_POSITIVE, |m, v| m.max(v.abs()));
    let pairs = got.iter().zip(&expected);
    Ok(pairs.fold(0.0f32, |worst, (a, b)| {
        let error = (a - b).abs() / range;
        if error.is_finite() {
            worst.max(error)
        } else {
            f32::INFINITY
        }
    }))
}

async fn read(tensor: Tensor<4>) -> Result<Vec<f32>> {
    let data = tensor.into_data_async().await;
    let data = data.map_err(|error| Error::Device(error.to_string()))?;
    Ok(data.iter::<f32>().collect())
}

/// The same small irregular numbers on every device, about -1 to 1.
fn numbers(count: usize, key: usize) -> Vec<f32> {
    let number = |i: usize| (i.wrapping_mul(7919).wrapping_add(key * 104_729) % 2003) as f32;
    (0..count).map(|i| number(i) / 1001.0 - 1.0).collect()
}

fn values(shape: [usize; 3], key: usize, device: &Device) -> Tensor<3> {
    let data = TensorData::new(numbers(shape.iter().product(), key), shape);
    Tensor::from_data(data, device)
}

fn values4(shape: [usize; 4], key: usize, device: &Device) -> Tensor<4> {
    let data = TensorData::new(numbers(shape.iter().product(), key), shape);
    Tensor::from_data(data, device)
}

fn ramp(count: usize, start: f32, device: &Device) -> Tensor<1> {
    let values: Vec<f32> = (0..count)
        .map(|i| start + i as f32 / count as f32)
        .collect();
    Tensor::from_data(TensorData::new(values, [count]), device)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cpu_agrees_with_itself() {
        let report = pollster::block_on(self_test(&Device::flex())).expect("right");
        assert_eq!(
            report,
            SelfTest {
                matmul: true,
                error: 0.0
            }
        );
    }

    #[test]
    fn wrong_numbers_are_seen() {
        let device = Device::flex();
        let right = values4([1, 1, 4, 4], 5, &device);
        let of = |wrong| pollster::block_on(difference(wrong, right.clone())).expect("read");
        assert_eq!(of(right.clone()), 0.0);
        assert!(of(right.zeros_like()) > TOLERANCE);
        assert_eq!(of(right.zeros_like().log()), f32::INFINITY);
        assert!(of(right.clone() * 1.01) > TOLERANCE);
    }
}
