//! The kernels against burn's own operations: values and every gradient.

mod conv;
mod norm;

use burn::tensor::{Device, Tensor, TensorData};

/// A small deterministic generator (SplitMix64).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    fn range(&mut self, from: usize, to: usize) -> usize {
        from + (self.next() % (to - from + 1) as u64) as usize
    }

    fn tensor<const D: usize>(&mut self, shape: [usize; D], device: &Device) -> Tensor<D> {
        let len = shape.iter().product();
        let values: Vec<f32> = (0..len)
            .map(|_| (self.next() >> 40) as f32 / (1u64 << 23) as f32 - 1.0)
            .collect();
        Tensor::from_data(TensorData::new(values, shape), device)
    }
}

fn values<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    tensor.into_data().try_into_vec().expect("f32")
}

/// Asserts equality to `tolerance` of the largest expected magnitude.
#[track_caller]
fn close<const D: usize>(what: &str, got: Tensor<D>, expected: Tensor<D>, tolerance: f32) {
    assert_eq!(got.dims(), expected.dims(), "{what}: shape");
    let (got, expected) = (values(got), values(expected));
    let scale = expected.iter().fold(1e-3f32, |most, v| most.max(v.abs()));
    for (at, (g, e)) in got.iter().zip(&expected).enumerate() {
        let error = (g - e).abs() / scale;
        assert!(
            error <= tolerance,
            "{what}: at {at} got {g}, expected {e}, scale {scale}"
        );
    }
}

/// A tensor of `shape`, laid out in memory as `view` says.
fn viewed(
    random: &mut Random,
    [b, c, h, w]: [usize; 4],
    view: usize,
    device: &Device,
) -> Tensor<4> {
    match view {
        1 => random.tensor([b, h, w, c], device).permute([0, 3, 1, 2]),
        2 => random.tensor([b, c, w, h], device).swap_dims(2, 3),
        3 => random.tensor([b + 1, c + 2, h + 1, w + 3], device).slice([
            1..b + 1,
            1..c + 1,
            0..h,
            2..w + 2,
        ]),
        4 => random
            .tensor([b + 2, c, h, w], device)
            .slice([1..b + 1, 0..c]),
        5 => random.tensor([b, c, h, w], device).flip([2, 3]),
        6 => random.tensor([b, 1, h, 1], device).expand([b, c, h, w]),
        _ => random.tensor([b, c, h, w], device),
    }
}
