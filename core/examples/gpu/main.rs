//! Does a GPU compute what the processor computes, and how fast? Of `tests/bench/gpu.sh`.
//!
//! `gpu CHECKPOINT DEVICE...` runs the network of a checkpoint on 64-px tiles, forward and with
//! its gradients, and restores a scene, on the processor and on every DEVICE (`cpu`, `vulkan`,
//! `vulkan-software`), and prints one JSON object a device. It fails where a device differs from
//! the processor by more than the tolerance below. BATCH and REPEATS in the environment say what
//! is timed: with REPEATS=0 nothing is, and the scene is small.

mod scene;

use std::time::Instant;

use burn::module::{Module, ModuleVisitor, Param};
use burn::tensor::{Device, Gradients, Tensor, TensorData};
use serde_json::json;
use unclouded_core::diffusion::denoiser::NoiseLevel;
use unclouded_core::diffusion::loss::{self, LossBatch};
use unclouded_core::kernels;
use unclouded_core::model::{Model, ModelCard};
use unclouded_core::network::params::{self, Arrays};
use unclouded_core::network::unet::{UNet, UNetConfig};
use unclouded_core::raster::random::gaussian_stream;
use unclouded_core::restore::Method;

use scene::{MEMBERS, Restored, Scene};

type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

/// Side of a tile, pixels.
const SIDE: usize = 64;
/// Tiles compared.
const COMPARED: usize = 4;
/// Largest ‖device - processor‖ / ‖processor‖ of outputs and of all gradients together:
/// single-precision sums in another order stay far below.
const TOLERANCE: f64 = 2e-3;

/// A network, its weights and the card they came with.
struct Subject {
    card: ModelCard,
    config: UNetConfig,
    weights: Arrays,
}

/// What a device computed of the compared tiles.
struct Answer {
    output: Vec<f32>,
    gradients: Vec<f32>,
}

fn main() -> Outcome<()> {
    let mut arguments = std::env::args().skip(1);
    let path = arguments
        .next()
        .ok_or("expected: gpu CHECKPOINT DEVICE...")?;
    let bytes = std::fs::read(&path)?;
    let model = Model::load(&bytes, &Device::flex())?;
    let direct = model.card.direct_factor.is_some();
    let methods = match direct {
        true => vec![Method::Direct, Method::Concat],
        false => vec![Method::Concat],
    };
    let config = model.card.architecture.unet().ok_or("not our network")?;
    let subject = Subject {
        config: config.clone(),
        weights: model.network.arrays(),
        card: model.card.clone(),
    };
    let (batch, repeats) = (number("BATCH", 128)?, number("REPEATS", 15)?);
    let scene = Scene::new(if repeats == 0 { SIDE } else { 1024 })?;
    let on_processor = |method| scene.restored(&model, method, 8);
    let restored: Vec<Restored> = (methods.iter())
        .map(|method| on_processor(*method))
        .collect::<Outcome<_>>()?;
    let truth = subject.answer(&Device::flex())?;
    let mut differs = false;
    for name in arguments {
        let device = device(&name)?;
        let answer = subject.answer(&device)?;
        let output = distance(&answer.output, &truth.output);
        let gradients = distance(&answer.gradients, &truth.gradients);
        let mut report = json!({
            "device": name,
            "output_error": output,
            "gradient_error": gradients,
        });
        let there = Model::load(&bytes, &device)?;
        let mut worst = output.max(gradients);
        let mut runs = Vec::new();
        for (method, expected) in methods.iter().zip(&restored) {
            let mut run = scene.restored(&there, *method, batch)?;
            if repeats > 0 {
                // The first run compiled.
                run = scene.restored(&there, *method, batch)?;
            }
            let error = run.distance(expected);
            report[format!("scene_error_{}", method.name())] = error.into();
            worst = worst.max(error);
            runs.push((method, run));
        }
        // A distance that is not a number is a difference too.
        let agrees = worst <= TOLERANCE;
        differs |= !agrees;
        report["agrees"] = agrees.into();
        if repeats > 0 {
            let forward = subject.time_forward(&device, batch, repeats)?;
            report["batch"] = batch.into();
            report["forward_ms"] = forward.into();
            report["step_ms"] = subject.time_step(&device, batch, repeats)?.into();
            report["operations_ms"] = operations(&device, batch, repeats)?;
            for (method, run) in &runs {
                let calls = match method {
                    Method::Direct => MEMBERS,
                    _ => MEMBERS * there.card.defaults.steps,
                };
                let figures = run.figures(batch, calls, forward);
                report[format!("scene_{}", method.name())] = figures;
            }
        }
        println!("{report}");
    }
    match differs {
        true => Err(format!("a device differs from the processor by more than {TOLERANCE}").into()),
        false => Ok(()),
    }
}

impl Subject {
    fn unet(&self, device: &Device) -> Outcome<UNet> {
        Ok(params::assign(self.config.init(device)?, &self.weights)?)
    }

    fn channels(&self) -> usize {
        self.config.bands + self.config.conditioning_bands
    }

    /// Output and gradients of fixed tiles.
    fn answer(&self, device: &Device) -> Outcome<Answer> {
        let x = noise(1, [COMPARED, self.channels(), SIDE, SIDE], device);
        let time = Tensor::<1>::from_data(
            TensorData::new(gaussian_stream(&[2], COMPARED), [COMPARED]),
            device,
        );
        let output = self.unet(device)?.forward(x, time, None).into_data();
        let device = device.clone().autodiff();
        let unet = self.unet(&device)?;
        let grads = loss::denoising(
            &unet,
            self.card.prediction,
            self.examples(COMPARED, &device),
        )
        .backward();
        let mut reader = Reader {
            grads: &grads,
            values: Vec::new(),
        };
        unet.visit(&mut reader);
        Ok(Answer {
            output: output.iter::<f32>().collect(),
            gradients: reader.values,
        })
    }

    fn examples(&self, batch: usize, device: &Device) -> LossBatch {
        let images = [batch, self.config.bands, SIDE, SIDE];
        let conditioning = self.config.conditioning_bands;
        let level = NoiseLevel {
            alpha: 1.0,
            sigma: 1.0,
            timestep: 0.0,
        };
        LossBatch {
            clean: noise(3, images, device),
            noise: noise(4, images, device),
            degraded: None,
            mask: Tensor::ones([batch, 1, SIDE, SIDE], device),
            conditioning: (conditioning > 0)
                .then(|| noise(5, [batch, conditioning, SIDE, SIDE], device)),
            levels: vec![level; batch],
            class: None,
        }
    }

    /// Median milliseconds of one forward pass, its output on the device.
    fn time_forward(&self, device: &Device, batch: usize, repeats: usize) -> Outcome<f64> {
        let unet = self.unet(device)?;
        let x = noise(1, [batch, self.channels(), SIDE, SIDE], device);
        let time = Tensor::<1>::zeros([batch], device);
        median(repeats, || {
            device.sync()?;
            let start = Instant::now();
            let _output = unet.forward(x.clone(), time.clone(), None);
            device.sync()?;
            Ok(start.elapsed().as_secs_f64())
        })
    }

    /// Median milliseconds of the loss and its gradients.
    fn time_step(&self, device: &Device, batch: usize, repeats: usize) -> Outcome<f64> {
        let device = device.clone().autodiff();
        let unet = self.unet(&device)?;
        median(repeats, || {
            let examples = self.examples(batch, &device);
            device.sync()?;
            let start = Instant::now();
            let loss = loss::denoising(&unet, self.card.prediction, examples);
            let _gradients = loss.backward();
            let _ = loss.into_scalar::<f32>();
            device.sync()?;
            Ok(start.elapsed().as_secs_f64())
        })
    }
}

/// Median milliseconds of the operations a network spends its time in, on the feature maps of the
/// bundled network's first level, forward and with gradients: where a slow device loses it.
fn operations(device: &Device, batch: usize, repeats: usize) -> Outcome<serde_json::Value> {
    const CHANNELS: usize = 64;
    let shape = [batch, CHANNELS, SIDE / 2, SIDE / 2];
    let weight = noise(7, [CHANNELS, CHANNELS, 3, 3], device);
    let (gamma, beta) = (
        Tensor::<1>::ones([CHANNELS], device),
        Tensor::<1>::zeros([CHANNELS], device),
    );
    let plain = noise(6, shape, device);
    let timed = |operation: &dyn Fn(Tensor<4>) -> Tensor<4>, backward: bool| {
        median(repeats, || {
            let x = match backward {
                true => Tensor::from_inner(plain.clone()).require_grad(),
                false => plain.clone(),
            };
            device.sync()?;
            let start = Instant::now();
            let y = operation(x);
            let _gradients = backward.then(|| y.mean().backward());
            device.sync()?;
            Ok(start.elapsed().as_secs_f64())
        })
    };
    let conv = |x: Tensor<4>| {
        let weight = tracked_like(&x, &weight);
        kernels::conv2d(x, weight, None, 1, 1)
    };
    let norm = |x: Tensor<4>| {
        let (gamma, beta) = (tracked_like(&x, &gamma), tracked_like(&x, &beta));
        kernels::group_norm_silu(x, gamma, beta, 16, 1e-5)
    };
    Ok(json!({
        "convolution_3x3": timed(&conv, false)?,
        "convolution_3x3_gradients": timed(&conv, true)?,
        "group_norm_silu": timed(&norm, false)?,
        "group_norm_silu_gradients": timed(&norm, true)?,
        "upsample": timed(&kernels::upsample_nearest2, false)?,
    }))
}

/// A weight, with gradients where the input has them.
fn tracked_like<const D: usize>(x: &Tensor<4>, weight: &Tensor<D>) -> Tensor<D> {
    match x.is_require_grad() {
        true => Tensor::from_inner(weight.clone()).require_grad(),
        false => weight.clone(),
    }
}

/// Gradients of every parameter, one after the other.
struct Reader<'a> {
    grads: &'a Gradients,
    values: Vec<f32>,
}

impl ModuleVisitor for Reader<'_> {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        if let Some(grad) = param.val().grad(self.grads) {
            self.values.extend(grad.into_data().iter::<f32>());
        }
    }
}

fn number(name: &str, otherwise: usize) -> Outcome<usize> {
    Ok(match std::env::var(name) {
        Ok(text) => text.parse()?,
        Err(_) => otherwise,
    })
}

/// `[..]` normal numbers, the same on every device.
fn noise(stream: u64, shape: [usize; 4], device: &Device) -> Tensor<4> {
    let values = gaussian_stream(&[stream], shape.iter().product());
    Tensor::from_data(TensorData::new(values, shape), device)
}

/// Median milliseconds of `work`, two warm-ups not counted.
fn median(repeats: usize, mut work: impl FnMut() -> Outcome<f64>) -> Outcome<f64> {
    let mut seconds = Vec::with_capacity(repeats);
    for turn in 0..repeats.max(1) + 2 {
        let took = work()?;
        if turn >= 2 {
            seconds.push(took);
        }
    }
    seconds.sort_by(f64::total_cmp);
    Ok(seconds[seconds.len() / 2] * 1e3)
}

/// ‖a - b‖ / ‖b‖; infinite where their lengths differ.
fn distance(a: &[f32], b: &[f32]) -> f64 {
    if a.len() != b.len() {
        return f64::INFINITY;
    }
    let norm = |values: &mut dyn Iterator<Item = f64>| values.map(|v| v * v).sum::<f64>().sqrt();
    let difference = norm(&mut a.iter().zip(b).map(|(a, b)| f64::from(*a) - f64::from(*b)));
    difference / norm(&mut b.iter().map(|v| f64::from(*v)))
}

fn device(name: &str) -> Outcome<Device> {
    match name {
        "cpu" => Ok(Device::flex()),
        "vulkan" => Ok(Device::vulkan(burn::tensor::DeviceKind::DefaultDevice)),
        "vulkan-software" => Ok(Device::vulkan(burn::tensor::DeviceKind::Cpu)),
        _ => Err(format!("expected cpu, vulkan or vulkan-software, got {name}").into()),
    }
}
