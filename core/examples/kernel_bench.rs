//! Times the CPU kernels beside burn's stock operations, in alternation within one process:
//! `cargo run --release -p unclouded-core --features autodiff --example kernel_bench [rounds]`.

use std::time::Instant;

use burn::tensor::{Device, Distribution, Tensor, activation, module, ops::ConvOptions};
use unclouded_core::kernels;

/// Prints the median milliseconds of ours and of the stock operation.
fn compare(name: &str, flop: f64, rounds: usize, ours: impl Fn(), stock: impl Fn()) {
    let time = |f: &dyn Fn()| {
        let start = Instant::now();
        f();
        start.elapsed().as_secs_f64() * 1e3
    };
    let mut times = [Vec::new(), Vec::new()];
    ours();
    stock();
    for _ in 0..rounds {
        times[0].push(time(&ours));
        times[1].push(time(&stock));
    }
    let [ours, stock] = times.map(|mut times| {
        times.sort_by(f64::total_cmp);
        times[times.len() / 2]
    });
    let speed = flop / ours / 1e6;
    println!(
        "{name:<44} {ours:>9.3} {stock:>9.3} {:>7.2} {speed:>9.1}",
        ours / stock
    );
}

/// A random tensor on a device, with gradients where the device has them.
fn random<const D: usize>(shape: [usize; D], device: &Device) -> Tensor<D> {
    let tensor = Tensor::random(shape, Distribution::Default, device);
    if device.is_autodiff() {
        tensor.require_grad()
    } else {
        tensor
    }
}

/// Runs the backward pass where there is one.
fn finish(y: Tensor<4>) {
    if y.device().is_autodiff() {
        let _ = y.backward();
    }
}

fn convolution(shape: [usize; 4], outputs: usize, kernel: usize, stride: usize, rounds: usize) {
    let [batch, channels, height, width] = shape;
    for device in [Device::flex(), Device::flex().autodiff()] {
        let x = random(shape, &device);
        let weight = random([outputs, channels, kernel, kernel], &device);
        let bias = random([outputs], &device);
        let pass = if device.is_autodiff() {
            "step"
        } else {
            "forward"
        };
        let name = format!("conv {kernel}x{kernel}/{stride} {shape:?} -> {outputs} {pass}");
        let passes = if device.is_autodiff() { 6 } else { 2 };
        let work = passes * batch * channels * outputs * kernel * kernel;
        let flop = (work * (height / stride) * (width / stride)) as f64;
        let inputs = || (x.clone(), weight.clone(), Some(bias.clone()));
        let padding = kernel / 2;
        compare(
            &name,
            flop,
            rounds,
            || {
                let (x, weight, bias) = inputs();
                finish(kernels::conv2d(x, weight, bias, stride, padding));
            },
            || {
                let (x, weight, bias) = inputs();
                let options = ConvOptions::new([stride; 2], [padding; 2], [1; 2], 1);
                finish(module::conv2d(x, weight, bias, options));
            },
        );
    }
}

fn norm(shape: [usize; 4], groups: usize, rounds: usize) {
    let [batch, channels, height, width] = shape;
    for device in [Device::flex(), Device::flex().autodiff()] {
        let x = random(shape, &device);
        let [gamma, beta] = [0, 1].map(|_| random([channels], &device));
        let [scale, shift] = [0, 1].map(|_| random([batch, channels], &device));
        let pass = if device.is_autodiff() {
            "step"
        } else {
            "forward"
        };
        compare(
            &format!("norm, scale, shift, silu {shape:?} {pass}"),
            0.0,
            rounds,
            || {
                finish(kernels::group_norm_scale_shift_silu(
                    x.clone(),
                    gamma.clone(),
                    beta.clone(),
                    scale.clone(),
                    shift.clone(),
                    groups,
                    1e-5,
                ));
            },
            || {
                let y = x
                    .clone()
                    .reshape([batch, groups, channels / groups * height * width]);
                let y = y.clone() - y.mean_dim(2);
                let y = y.clone() / (y.square().mean_dim(2) + 1e-5).sqrt();
                let y = y.reshape(shape) * gamma.clone().reshape([1, channels, 1, 1])
                    + beta.clone().reshape([1, channels, 1, 1]);
                let y = y * (scale.clone().reshape([batch, channels, 1, 1]) + 1.0)
                    + shift.clone().reshape([batch, channels, 1, 1]);
                finish(activation::silu(y));
            },
        );
        compare(
            &format!("upsample {shape:?} {pass}"),
            0.0,
            rounds,
            || finish(kernels::upsample_nearest2(x.clone())),
            || {
                let y = x.clone().reshape([batch, channels, height, 1, width, 1]);
                let y = y.repeat(&[1, 1, 1, 2, 1, 2]);
                finish(y.reshape([batch, channels, 2 * height, 2 * width]));
            },
        );
    }
}

fn main() {
    let rounds = std::env::args()
        .nth(1)
        .and_then(|rounds| rounds.parse().ok())
        .unwrap_or(7);
    println!(
        "{:<44} {:>9} {:>9} {:>7} {:>9}",
        "", "ours ms", "stock ms", "ratio", "GFLOP/s"
    );
    for (batch, channels, outputs, size, kernel, stride) in [
        (16, 64, 64, 32, 3, 1),
        (16, 128, 128, 16, 3, 1),
        (16, 192, 192, 8, 3, 1),
        (16, 128, 64, 32, 3, 1),
        (16, 64, 64, 32, 3, 2),
        (16, 128, 64, 32, 1, 1),
        (16, 28, 64, 32, 3, 1),
        (16, 64, 16, 32, 3, 1),
        (8, 64, 64, 32, 3, 1),
        (4, 128, 128, 64, 3, 1),
        (1, 64, 64, 32, 3, 1),
        (1, 128, 128, 16, 3, 1),
        (1, 192, 192, 8, 3, 1),
        (1, 128, 128, 64, 3, 1),
    ] {
        convolution(
            [batch, channels, size, size],
            outputs,
            kernel,
            stride,
            rounds,
        );
    }
    for (batch, channels, size) in [(16, 64, 32), (16, 128, 16), (16, 192, 8), (1, 128, 64)] {
        norm([batch, channels, size, size], 16, rounds);
    }
}
