//! The samplers against diffusers: whole trajectories over a denoiser known in closed form
//! (arrays made by `reference/samplers.py`).

mod golden;

use std::ops::ControlFlow;

use burn::tensor::{Device, Tensor, TensorData, activation};
use golden::{bytes, max_abs_diff, shape, values};
use safetensors::SafeTensors;
use unclouded_core::diffusion::denoiser::{Denoiser, NoiseLevel};
use unclouded_core::diffusion::noise::NoiseSource;
use unclouded_core::diffusion::prediction::Prediction;
use unclouded_core::diffusion::sampler::{Sampler, sample};
use unclouded_core::diffusion::schedule::{Schedule, Spacing};

const TOLERANCE: f64 = 1e-4;
const LINEAR: Schedule = Schedule::Linear {
    timesteps: 1000,
    beta_start: 1e-4,
    beta_end: 0.02,
};
const KARRAS: Schedule = Schedule::Karras {
    sigma_min: 0.002,
    sigma_max: 80.0,
    rho: 7.0,
};

/// Posterior mean of a mixture of two Gaussians `[weight, mean, std]`, optionally by way of
/// what a network of some prediction would output.
struct Mixture {
    prior: Vec<f64>,
    through: Option<Prediction>,
}

impl Mixture {
    fn posterior_mean(&self, x: Tensor<4>, alpha: f64, sigma: f64) -> Tensor<4> {
        let part = |c: &[f64]| {
            let (weight, mean, std) = (c[0], c[1], c[2]);
            let variance = (alpha * std).powi(2) + sigma * sigma;
            let off = x.clone() - alpha * mean;
            let log = off.clone().square() / (-2.0 * variance) + (weight / variance.sqrt()).ln();
            (log, off * (alpha * std * std / variance) + mean)
        };
        let (log_a, mean_a) = part(&self.prior[..3]);
        let (log_b, mean_b) = part(&self.prior[3..]);
        let share = activation::sigmoid(log_a - log_b);
        mean_b.clone() + (mean_a - mean_b) * share
    }
}

impl Denoiser for Mixture {
    fn denoise(&self, x: Tensor<4>, level: NoiseLevel) -> Tensor<4> {
        let clean = self.posterior_mean(x.clone(), level.alpha, level.sigma);
        let Some(prediction) = self.through else {
            return clean;
        };
        let (a, b) = prediction.target(level);
        let noise = (x.clone() - clean.clone() * level.alpha) / level.sigma;
        let network = clean * a + noise * b;
        let scaling = prediction.scaling(level);
        x * scaling.c_skip + network * scaling.c_out
    }
}

/// The noise of the file, draw by draw.
struct Stored {
    values: Vec<f64>,
    shape: [usize; 4],
}

impl NoiseSource for Stored {
    fn draw(&mut self, draw: usize, device: &Device) -> Tensor<4> {
        let size: usize = self.shape.iter().product();
        let one: Vec<f32> = self.values[draw * size..(draw + 1) * size]
            .iter()
            .map(|v| *v as f32)
            .collect();
        Tensor::from_data(TensorData::new(one, self.shape), device)
    }
}

/// One run beside the states stored under `name`, of which there is one every `every` steps.
struct Run<'a> {
    name: &'a str,
    sampler: Sampler,
    eta: f64,
    levels: Vec<NoiseLevel>,
    /// Standard deviation of the starting noise.
    start: f64,
    every: usize,
    through: Option<Prediction>,
}

impl<'a> Run<'a> {
    fn new(name: &'a str, sampler: Sampler, levels: Vec<NoiseLevel>) -> Self {
        Run {
            name,
            sampler,
            eta: 0.0,
            levels,
            start: 1.0,
            every: 1,
            through: None,
        }
    }

    /// Largest difference from diffusers over the run, for states of unit size: divided by the
    /// level's sigma where that is above 1.
    fn check(self) {
        let bytes = bytes("samplers");
        let arrays = SafeTensors::deserialize(&bytes).unwrap();
        let dims: [usize; 4] = shape(&arrays, "noise")[1..].try_into().unwrap();
        let mut noise = Stored {
            values: values(&arrays, "noise"),
            shape: dims,
        };
        let denoiser = Mixture {
            prior: values(&arrays, "prior"),
            through: self.through,
        };
        let device = Device::flex();

        let x = noise.draw(0, &device) * self.start;
        let mut states: Vec<(f64, Tensor<4>)> = Vec::new();
        let mut keep = |step: usize, x: &Tensor<4>, _: &Tensor<4>| {
            if (step + 1).is_multiple_of(self.every) {
                states.push((self.levels[step + 1].sigma.max(1.0), x.clone()));
            }
            ControlFlow::Continue(())
        };
        let (levels, eta) = (&self.levels, self.eta);
        sample(
            self.sampler,
            &denoiser,
            x,
            levels,
            eta,
            &mut noise,
            &mut keep,
        )
        .unwrap();

        let expected = values(&arrays, self.name);
        let size: usize = dims.iter().product();
        assert_eq!(
            states.len() * size,
            expected.len(),
            "{}: number of states",
            self.name
        );
        let mut worst = 0.0f64;
        for ((scale, x), expected) in states.into_iter().zip(expected.chunks_exact(size)) {
            let got: Vec<f64> = x.into_data().iter::<f64>().collect();
            let diff = max_abs_diff(&got, expected) / scale;
            assert!(diff < TOLERANCE, "{}: {diff:e}", self.name);
            worst = worst.max(diff);
        }
        println!("{}: {worst:.1e}", self.name);
    }
}

fn vp(steps: usize, spacing: Spacing) -> Vec<NoiseLevel> {
    LINEAR.levels(steps, spacing).unwrap()
}

#[test]
fn ddpm_a_thousand_steps() {
    let mut run = Run::new("ddpm", Sampler::Ddpm, vp(1000, Spacing::Leading));
    run.every = 50;
    run.check();
}

#[test]
fn ddim_from_deterministic_to_ancestral() {
    for (name, eta) in [("ddim.0", 0.0), ("ddim.0.5", 0.5), ("ddim.1", 1.0)] {
        for through in [
            None,
            Some(Prediction::Eps),
            Some(Prediction::X0),
            Some(Prediction::V),
        ] {
            let levels = vp(50, Spacing::Leading);
            Run {
                eta,
                through,
                ..Run::new(name, Sampler::Ddim, levels)
            }
            .check();
        }
    }
}

#[test]
fn dpm_solver_on_timesteps() {
    for (name, steps) in [("dpmpp-2m.20", 20), ("dpmpp-2m.10", 10)] {
        Run::new(name, Sampler::DpmSolverPp2m, vp(steps, Spacing::Trailing)).check();
    }
}

#[test]
fn dpm_solver_that_ends_above_zero() {
    for (name, steps) in [("dpmpp-2m.20.sigma-min", 20), ("dpmpp-2m.10.sigma-min", 10)] {
        let mut levels = vp(steps, Spacing::Trailing);
        levels[steps] = LINEAR.training_levels()[0];
        Run::new(name, Sampler::DpmSolverPp2m, levels).check();
    }
}

#[test]
fn karras_spacing_of_a_discrete_schedule() {
    let levels = || vp(20, Spacing::Karras);
    Run::new("dpmpp-2m.karras", Sampler::DpmSolverPp2m, levels()).check();
    Run::new("heun.karras", Sampler::Heun, levels()).check();
}

#[test]
fn heun_on_timesteps() {
    Run::new("heun", Sampler::Heun, vp(20, Spacing::Trailing)).check();
}

#[test]
fn variance_exploding_levels() {
    for (name, sampler, steps) in [
        ("ddim.edm", Sampler::Ddim, 30),
        ("dpmpp-2m.edm", Sampler::DpmSolverPp2m, 20),
        ("heun.edm", Sampler::Heun, 18),
    ] {
        for through in [None, Some(Prediction::Edm { sigma_data: 0.5 })] {
            let levels = KARRAS.levels(steps, Spacing::Trailing).unwrap();
            Run {
                start: 80.0,
                through,
                ..Run::new(name, sampler, levels)
            }
            .check();
        }
    }
}
