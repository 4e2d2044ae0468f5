//! Convolution: random shapes, strides and views against the stock path.

use burn::tensor::{Device, Tensor};

use super::super::{conv2d, stock};
use super::{Random, close, viewed};

const TOLERANCE: f32 = 2e-5;

#[derive(Debug, Clone, Copy)]
struct Case {
    batch: usize,
    channels: usize,
    outputs: usize,
    size: [usize; 2],
    kernel: usize,
    stride: usize,
    padding: usize,
    bias: bool,
    view: usize,
}

fn check(case: Case, seed: u64) {
    let device = Device::flex().autodiff();
    let mut random = Random(seed);
    let Case {
        batch,
        channels,
        outputs,
        size: [h, w],
        kernel,
        stride,
        padding,
        ..
    } = case;
    let x = viewed(&mut random, [batch, channels, h, w], case.view, &device).detach();
    let weight = random.tensor([outputs, channels, kernel, kernel], &device);
    let bias = case.bias.then(|| random.tensor([outputs], &device));
    let rows = (h + 2 * padding - kernel) / stride + 1;
    let columns = (w + 2 * padding - kernel) / stride + 1;
    let toward = viewed(
        &mut random,
        [batch, outputs, rows, columns],
        case.view,
        &device,
    );

    type Op = fn(Tensor<4>, Tensor<4>, Option<Tensor<1>>, usize, usize) -> Tensor<4>;
    let run = |op: Op| {
        let (x, weight) = (x.clone().require_grad(), weight.clone().require_grad());
        let bias = bias.clone().map(Tensor::require_grad);
        let y = op(x.clone(), weight.clone(), bias.clone(), stride, padding);
        let grads = (y.clone() * toward.clone()).sum().backward();
        let gradient = |t: &Tensor<4>| t.grad(&grads).expect("tracked");
        let of_bias = bias.map(|b| b.grad(&grads).expect("tracked"));
        (y.inner(), gradient(&x), gradient(&weight), of_bias)
    };
    let (y, dx, dw, db) = run(conv2d);
    let (y2, dx2, dw2, db2) = run(stock::conv2d);
    close(&format!("output of {case:?}"), y, y2, TOLERANCE);
    close(&format!("input gradient of {case:?}"), dx, dx2, TOLERANCE);
    close(&format!("weight gradient of {case:?}"), dw, dw2, TOLERANCE);
    if let (Some(db), Some(db2)) = (db, db2) {
        close(&format!("bias gradient of {case:?}"), db, db2, TOLERANCE);
    }
    let inner = |b: &Tensor<1>| b.clone().inner();
    let plain = conv2d(
        x.clone().inner(),
        weight.clone().inner(),
        bias.as_ref().map(inner),
        stride,
        padding,
    );
    let (y, ..) = run(conv2d);
    close("with and without autodiff", plain, y, 0.0);
}

#[test]
fn random_shapes_agree_with_the_stock_path() {
    for seed in 0..150 {
        let mut random = Random(seed);
        let kernel = [1, 3][random.range(0, 1)];
        let padding = random.range(0, kernel - 1);
        let case = Case {
            batch: random.range(1, 5),
            channels: random.range(1, 20),
            outputs: random.range(1, 20),
            size: [random.range(3, 37), random.range(3, 37)],
            kernel,
            stride: random.range(1, 2),
            padding,
            bias: random.range(0, 1) == 1,
            view: random.range(0, 6),
        };
        check(case, seed);
    }
}

#[test]
fn many_channels_agree_with_the_stock_path() {
    for (seed, (channels, outputs, size, kernel, stride)) in [
        (200, 64, [8, 8], 3, 1),
        (65, 130, [16, 16], 3, 1),
        (192, 192, [8, 8], 3, 1),
        (64, 64, [32, 32], 3, 1),
        (128, 40, [33, 31], 3, 2),
        (3, 200, [64, 64], 3, 1),
        (200, 3, [40, 72], 3, 1),
        (130, 70, [17, 16], 1, 1),
        (70, 130, [16, 17], 1, 2),
        (128, 128, [64, 64], 3, 1),
    ]
    .into_iter()
    .enumerate()
    {
        let case = Case {
            batch: 1 + seed % 3,
            channels,
            outputs,
            size,
            kernel,
            stride,
            padding: kernel / 2,
            bias: true,
            view: seed % 2,
        };
        check(case, seed as u64);
    }
}

#[test]
fn a_constant_input_or_weight_gets_no_gradient() {
    let device = Device::flex().autodiff();
    let mut random = Random(7);
    let x = random.tensor([2, 3, 8, 8], &device);
    let weight = random.tensor([5, 3, 3, 3], &device);
    let bias = random.tensor([5], &device).require_grad();
    let grads = conv2d(x.clone(), weight.clone(), Some(bias.clone()), 1, 1)
        .sum()
        .backward();
    assert!(x.grad(&grads).is_none() && weight.grad(&grads).is_none());
    let of_bias = super::values(bias.grad(&grads).expect("tracked"));
    assert!(
        of_bias.iter().all(|v| (v - 128.0).abs() < 1e-3),
        "{of_bias:?}"
    );
}

#[test]
fn other_kernels_and_strides_fall_back() {
    let device = Device::flex();
    let mut random = Random(9);
    let x = random.tensor([1, 4, 20, 20], &device);
    for (kernel, stride, padding) in [(5, 1, 2), (3, 3, 1), (2, 2, 0), (3, 1, 4), (1, 1, 1)] {
        let weight = random.tensor([6, 4, kernel, kernel], &device);
        let got = conv2d(x.clone(), weight.clone(), None, stride, padding);
        let expected = stock::conv2d(x.clone(), weight, None, stride, padding);
        close("fallback", got, expected, TOLERANCE);
    }
}

#[test]
fn an_image_gets_the_same_values_in_any_batch() {
    let device = Device::flex();
    let mut random = Random(11);
    for (channels, outputs, size) in [(20, 24, 8), (64, 64, 16), (48, 33, 31), (7, 9, 20)] {
        let x = random.tensor([5, channels, size, size], &device);
        let weight = random.tensor([outputs, channels, 3, 3], &device);
        let all = conv2d(x.clone(), weight.clone(), None, 1, 1);
        for image in 0..5 {
            let alone = conv2d(x.clone().narrow(0, image, 1), weight.clone(), None, 1, 1);
            close("alone", alone, all.clone().narrow(0, image, 1), 0.0);
        }
    }
}

/// The kernels trust the sizes: a bias that is too short would be read past its end.
#[test]
fn a_bias_of_another_length_is_not_for_the_kernels() {
    let geometry = super::super::conv::Geometry {
        stride: 1,
        padding: 1,
    };
    let (x, weight) = ([2, 4, 8, 8], [6, 4, 3, 3]);
    assert!(geometry.supports(x, weight, None));
    assert!(geometry.supports(x, weight, Some(6)));
    for length in [0, 1, 5, 7] {
        assert!(!geometry.supports(x, weight, Some(length)), "{length}");
    }
}
