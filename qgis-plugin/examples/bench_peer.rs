//! Our half of `make bench` (tests/bench/bench.py): obeys one command a line on stdin, so that the
//! other half can alternate with PyTorch, and answers each with one line on stdout.
//!
//! | command | answer |
//! | --- | --- |
//! | `load CHECKPOINT` | number of parameters |
//! | `check IN OUT` | runs `x`, `c_noise` of a .safetensors, writes `y`: number of values |
//! | `forward N` | seconds of one forward pass, batch N at 64x64 |
//! | `step N` | seconds of one training step, batch N at 64x64 |
//! | `peak` | largest resident memory of this process so far, KiB |

use std::collections::HashMap;
use std::error::Error;
use std::io::BufRead;
use std::time::Instant;

use burn::module::Module;
use burn::tensor::{Device, Distribution, Tensor, TensorData};
use unclouded::training::optimizer::{AdamW, AdamWSettings};
use unclouded_core::diffusion::denoiser::NoiseLevel;
use unclouded_core::diffusion::loss::{self, LossBatch};
use unclouded_core::model::{Model, ModelCard};
use unclouded_core::network::params::{self, Array, Arrays, Storage};
use unclouded_core::network::unet::{UNet, UNetConfig};

type Outcome<T> = Result<T, Box<dyn Error>>;

/// Side of the benchmark's tiles, pixels.
const SIDE: usize = 64;

/// A network with what it needs to be run and to be trained.
struct Peer {
    card: ModelCard,
    config: UNetConfig,
    /// For inference.
    unet: UNet,
    /// With gradients, and its optimiser; made at the first `step`.
    training: Option<(UNet, AdamW)>,
    weights: Arrays,
}

impl Peer {
    fn load(path: &str) -> Outcome<Self> {
        let model = Model::load(&std::fs::read(path)?, &Device::flex())?;
        let weights = model.network.arrays();
        let config = model
            .card
            .architecture
            .unet()
            .ok_or("not our own network")?;
        let unet = params::assign(config.init(&Device::flex())?, &weights)?;
        Ok(Self {
            config: config.clone(),
            card: model.card,
            unet,
            training: None,
            weights,
        })
    }

    fn input(&self, batch: usize) -> Tensor<4> {
        let channels = self.config.bands + self.config.conditioning_bands;
        random([batch, channels, SIDE, SIDE], &Device::flex())
    }

    fn check(&self, from: &str, to: &str) -> Outcome<String> {
        let (arrays, _) = params::from_bytes(&std::fs::read(from)?)?;
        let array = |name: &str| arrays.get(name).ok_or(format!("{from} lacks '{name}'"));
        let (x, c_noise) = (array("x")?, array("c_noise")?);
        let device = Device::flex();
        let shape: [usize; 4] = x.shape.as_slice().try_into()?;
        let x = Tensor::<4>::from_data(TensorData::new(x.values.clone(), shape), &device);
        let c_noise = Tensor::<1>::from_floats(c_noise.values.as_slice(), &device);
        let y = self.unet.forward(x, c_noise, None);
        let shape = y.dims().to_vec();
        let values: Vec<f32> = y.into_data().iter::<f32>().collect();
        let count = values.len();
        let y = Arrays::from([("y".to_owned(), Array { shape, values })]);
        std::fs::write(to, params::to_bytes(&y, HashMap::new(), Storage::F32)?)?;
        Ok(count.to_string())
    }

    fn forward(&self, batch: usize) -> String {
        let x = self.input(batch);
        let c_noise = Tensor::<1>::zeros([batch], &x.device());
        let start = Instant::now();
        let y = self.unet.forward(x, c_noise, None);
        let _ = y.into_data();
        start.elapsed().as_secs_f64().to_string()
    }

    /// Loss, gradients, clip, AdamW and the average of the weights, as `unclouded train` does.
    fn step(&mut self, batch: usize) -> Outcome<String> {
        let device = Device::flex().autodiff();
        let (unet, mut optimizer) = match self.training.take() {
            Some(training) => training,
            None => {
                let unet = self.config.init(&device)?;
                let settings = AdamWSettings {
                    beta1: 0.9,
                    beta2: 0.999,
                    eps: 1e-8,
                    weight_decay: 0.01,
                    grad_clip: 1.0,
                    ema_decay: 0.999,
                };
                (params::assign(unet, &self.weights)?, AdamW::new(settings))
            }
        };
        let architecture = &self.config;
        let images = [batch, architecture.bands, SIDE, SIDE];
        let conditioning = architecture.conditioning_bands;
        let level = NoiseLevel {
            alpha: 1.0,
            sigma: 1.0,
            timestep: 0.0,
        };
        let examples = LossBatch {
            clean: random(images, &device),
            noise: random(images, &device),
            degraded: None,
            mask: Tensor::ones([batch, 1, SIDE, SIDE], &device),
            conditioning: (conditioning > 0)
                .then(|| random([batch, conditioning, SIDE, SIDE], &device)),
            levels: vec![level; batch],
            class: None,
        };
        let start = Instant::now();
        let loss = loss::denoising(&unet, self.card.prediction, examples);
        let grads = loss.backward();
        let _ = loss.into_scalar::<f32>();
        let unet = optimizer.step(unet, &grads, 1e-6);
        let seconds = start.elapsed().as_secs_f64();
        self.training = Some((unet, optimizer));
        Ok(seconds.to_string())
    }
}

fn random(shape: [usize; 4], device: &Device) -> Tensor<4> {
    Tensor::random(shape, Distribution::Normal(0.0, 1.0), device)
}

/// VmHWM of this process in KiB; 0 where the system does not tell.
fn peak_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let number = line.and_then(|rest| rest.split_whitespace().next());
    number.and_then(|n| n.parse().ok()).unwrap_or(0)
}

fn obey(peer: &mut Option<Peer>, words: &[&str]) -> Outcome<String> {
    match (words, peer) {
        (["load", path], peer) => {
            let loaded = Peer::load(path)?;
            let count = loaded.unet.num_params();
            *peer = Some(loaded);
            Ok(count.to_string())
        }
        (["peak"], _) => Ok(peak_kib().to_string()),
        (_, None) => Err("load a checkpoint first".into()),
        (["check", from, to], Some(peer)) => peer.check(from, to),
        (["forward", batch], Some(peer)) => Ok(peer.forward(batch.parse()?)),
        (["step", batch], Some(peer)) => peer.step(batch.parse()?),
        (other, _) => Err(format!("unknown command {}", other.join(" ")).into()),
    }
}

fn main() -> Outcome<()> {
    unclouded::allocator::keep_large_blocks();
    let mut peer = None;
    for line in std::io::stdin().lock().lines() {
        let line = line?;
        let words: Vec<&str> = line.split_whitespace().collect();
        println!("{}", obey(&mut peer, &words)?);
    }
    Ok(())
}
