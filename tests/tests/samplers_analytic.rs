//! What theory says of the samplers, checked where everything is known in closed form: the
//! distribution they reach, the order at which they converge, and the likelihood of images.

mod golden;

use std::ops::ControlFlow;

use burn::tensor::{DType, Device, Tensor, TensorData, activation};
use golden::max_abs_diff;
use unclouded_core::diffusion::denoiser::NoiseSource;
use unclouded_core::diffusion::denoiser::{Denoiser, NoiseLevel};
use unclouded_core::diffusion::likelihood::{self, Differentiated, Trace, log_likelihood};
use unclouded_core::diffusion::sampler::{Family, Options, Sampler, sample_with};
use unclouded_core::diffusion::schedule::{Schedule, Spacing};
use unclouded_core::diffusion::sde::Sde;
use unclouded_core::raster::random::gaussian_stream;

/// Draws of a shape from one seed.
struct Draws {
    seed: u64,
    shape: [usize; 4],
    dtype: DType,
}

impl NoiseSource for Draws {
    fn draw(&mut self, draw: usize, device: &Device) -> Tensor<4> {
        let values = gaussian_stream(&[self.seed, draw as u64], self.shape.iter().product());
        let data = TensorData::new(values, self.shape).convert_dtype(self.dtype);
        Tensor::from_data(data, (device, self.dtype))
    }
}

/// Two round Gaussians in the plane of the bands, `[weight, mean, mean, std]`.
struct Plane([[f64; 4]; 2]);

const PLANE: Plane = Plane([[0.35, -0.8, 0.3, 0.3], [0.65, 0.5, -0.4, 0.45]]);

impl Plane {
    /// Mean and covariance `[xx, xy, yy]`.
    fn moments(&self) -> ([f64; 2], [f64; 3]) {
        let sum = |f: &dyn Fn(&[f64; 4]) -> f64| self.0.iter().map(|c| c[0] * f(c)).sum::<f64>();
        let mean = [sum(&|c| c[1]), sum(&|c| c[2])];
        let product = |i: usize, j: usize| {
            let own = |c: &[f64; 4]| if i == j { c[3] * c[3] } else { 0.0 };
            sum(&|c| own(c) + (c[1 + i] - mean[i]) * (c[1 + j] - mean[j]))
        };
        (mean, [product(0, 0), product(0, 1), product(1, 1)])
    }
}

impl Denoiser for Plane {
    fn denoise(&self, x: Tensor<4>, level: NoiseLevel) -> Tensor<4> {
        let device = x.device();
        let part = |[weight, a, b, std]: [f64; 4]| {
            let variance = (level.alpha * std).powi(2) + level.sigma.powi(2);
            let mean = Tensor::<1>::from_floats([a as f32, b as f32], &device);
            let mean = mean.reshape([1, 2, 1, 1]);
            let off = x.clone() - mean.clone() * level.alpha;
            let log =
                off.clone().square().sum_dim(1) / (-2.0 * variance) + (weight / variance).ln();
            (log, off * (level.alpha * std * std / variance) + mean)
        };
        let ((log_a, mean_a), (log_b, mean_b)) = (part(self.0[0]), part(self.0[1]));
        let share = activation::sigmoid(log_a - log_b);
        mean_b.clone() + (mean_a - mean_b) * share
    }
}

/// Mean and covariance of the two bands over all pixels.
fn moments(x: Tensor<4>) -> ([f64; 2], [f64; 3]) {
    let values: Vec<f64> = x.permute([0, 2, 3, 1]).into_data().iter::<f64>().collect();
    let n = values.len() as f64 / 2.0;
    let mean = |f: &dyn Fn(&[f64]) -> f64| values.chunks(2).map(f).sum::<f64>() / n;
    let (a, b) = (mean(&|v| v[0]), mean(&|v| v[1]));
    let covariance = [
        mean(&|v| (v[0] - a).powi(2)),
        mean(&|v| (v[0] - a) * (v[1] - b)),
        mean(&|v| (v[1] - b).powi(2)),
    ];
    ([a, b], covariance)
}

fn assert_moments(what: &str, got: ([f64; 2], [f64; 3]), expected: ([f64; 2], [f64; 3])) {
    let off = |a: &[f64], b: &[f64]| max_abs_diff(a, b);
    let (mean, covariance) = (off(&got.0, &expected.0), off(&got.1, &expected.1));
    println!("{what}: mean off by {mean:.3}, covariance by {covariance:.3}");
    assert!(
        mean < 0.05,
        "{what}: mean {:?}, expected {:?}",
        got.0,
        expected.0
    );
    assert!(
        covariance < 0.05,
        "{what}: covariance {:?}, expected {:?}",
        got.1,
        expected.1
    );
}

/// Images of independent pixels: a Langevin corrector takes its step size from the norm over an
/// image, which a single pixel does not have.
fn draws() -> Draws {
    Draws {
        seed: 3,
        shape: [64, 2, 8, 8],
        dtype: DType::F32,
    }
}

fn go_on() -> impl FnMut(usize, &Tensor<4>, &Tensor<4>) -> ControlFlow<()> {
    |_, _, _| ControlFlow::Continue(())
}

/// Levels that suit a sampler, variance-exploding or preserving.
fn levels(sampler: Sampler, preserving: bool) -> Vec<NoiseLevel> {
    let steps = match (sampler, sampler.order()) {
        (Sampler::AnnealedLangevin, _) => 150,
        (_, 0 | 1) => 500,
        _ => 40,
    };
    if preserving {
        let schedule = Schedule::Linear {
            timesteps: 1000,
            beta_start: 1e-4,
            beta_end: 0.02,
        };
        return schedule.levels(steps, Spacing::Trailing).unwrap();
    }
    let schedule = Schedule::Geometric {
        timesteps: steps,
        sigma_min: 0.01,
        sigma_max: 20.0,
    };
    schedule.levels(steps, Spacing::Trailing).unwrap()
}

#[test]
fn every_sampler_reaches_the_mean_and_covariance_of_a_mixture() {
    let diffusion = |s: &Sampler| s.family() != Family::FewSteps;
    for sampler in Sampler::ALL.into_iter().filter(diffusion) {
        for preserving in [false, true] {
            // Langevin dynamics is made for geometric sigmas.
            if preserving && sampler == Sampler::AnnealedLangevin {
                continue;
            }
            let levels = levels(sampler, preserving);
            let mut noise = draws();
            let x = noise.draw(0, &Device::flex()) * levels[0].sigma;
            let options = Options::default();
            let x = sample_with(
                sampler,
                &PLANE,
                x,
                &levels,
                options,
                &mut noise,
                &mut go_on(),
            );
            let what = format!(
                "{} {}",
                sampler.name(),
                if preserving { "VP" } else { "VE" }
            );
            assert_moments(&what, moments(x.unwrap()), PLANE.moments());
        }
    }
}

#[test]
fn every_sde_reaches_the_mean_and_covariance_of_a_mixture() {
    let (beta_min, beta_max) = (0.1, 20.0);
    let (sigma_min, sigma_max) = (0.01, 20.0);
    for (name, sde) in [
        ("VP-SDE", Sde::Vp { beta_min, beta_max }),
        ("sub-VP-SDE", Sde::SubVp { beta_min, beta_max }),
        (
            "VE-SDE",
            Sde::Ve {
                sigma_min,
                sigma_max,
            },
        ),
    ] {
        for flow in [false, true] {
            let mut noise = draws();
            let x = noise.draw(0, &Device::flex()) * sde.level(1.0).sigma;
            let x = sde.euler_maruyama(&PLANE, x, 500, flow, &mut noise, &mut go_on());
            let what = format!("{name}{}", if flow { ", probability flow" } else { "" });
            assert_moments(&what, moments(x.unwrap()), PLANE.moments());
        }
    }
}

/// The posterior mean, or the consistency function, of one Gaussian.
struct Gaussian {
    mean: f64,
    std: f64,
    consistency: bool,
}

impl Denoiser for Gaussian {
    fn denoise(&self, x: Tensor<4>, level: NoiseLevel) -> Tensor<4> {
        let (mean, variance) = (self.mean, self.std * self.std);
        let sigma = level.relative_sigma();
        let off = x / level.alpha - mean;
        match self.consistency {
            // Where the ODE leads from here: the deviation shrinks with the distribution.
            true => off * (variance / (variance + sigma * sigma)).sqrt() + mean,
            false => off * (variance / (variance + sigma * sigma)) + mean,
        }
    }
}

#[test]
fn consistency_functions_give_samples_in_one_step_or_more() {
    let denoiser = Gaussian {
        mean: 0.4,
        std: 0.7,
        consistency: true,
    };
    let variance = 0.7 * 0.7;
    for sampler in [Sampler::Consistency, Sampler::Lcm] {
        for steps in [1, 2, 5] {
            let schedule = Schedule::Karras {
                sigma_min: 0.02,
                sigma_max: 80.0,
                rho: 7.0,
            };
            let levels = schedule.levels(steps, Spacing::Trailing).unwrap();
            let mut noise = draws();
            let x = noise.draw(0, &Device::flex()) * levels[0].sigma;
            let options = Options::default();
            let x = sample_with(
                sampler,
                &denoiser,
                x,
                &levels,
                options,
                &mut noise,
                &mut go_on(),
            );
            let expected = ([0.4, 0.4], [variance, 0.0, variance]);
            let what = format!("{} in {steps} steps", sampler.name());
            assert_moments(&what, moments(x.unwrap()), expected);
        }
    }
}

/// Levels from sigma 5 to 0.3 with steps of one size in ln sigma, the first and last of which are
/// split into ever shorter ones: multistep methods start and end with steps of low order, whose
/// errors then do not count.
fn ramped(steps: usize, ramp: usize) -> Vec<NoiseLevel> {
    let mut lengths = vec![1.0; steps];
    let halves = |n: usize| {
        (1..=n)
            .map(|k| 0.5f64.powi(k as i32))
            .chain([0.5f64.powi(n as i32)])
    };
    if ramp > 0 {
        lengths = halves(ramp).collect::<Vec<_>>().into_iter().rev().collect();
        lengths.extend(vec![1.0; steps - 2]);
        lengths.extend(halves(ramp));
    }
    let (first, last) = (5.0f64.ln(), 0.3f64.ln());
    let mut at = 0.0;
    let mut places = vec![0.0];
    for length in lengths {
        at += length / steps as f64;
        places.push(at);
    }
    let level = |place: f64| NoiseLevel {
        alpha: 1.0,
        sigma: (first + (last - first) * place).exp(),
        timestep: 0.0,
    };
    places.into_iter().map(level).collect()
}

#[test]
fn every_ode_solver_converges_at_the_order_of_its_paper() {
    let denoiser = Gaussian {
        mean: 0.4,
        std: 0.7,
        consistency: false,
    };
    let error = |sampler: Sampler, steps: usize, ramp: usize| {
        let levels = ramped(steps, ramp);
        let (first, last) = (levels[0].sigma, levels[levels.len() - 1].sigma);
        let mut noise = Draws {
            seed: 5,
            shape: [1, 1, 2, 2],
            dtype: DType::F64,
        };
        let start = noise.draw(0, &Device::flex()) * first;
        let ends = |x: Tensor<4>| {
            let of = |sigma: f64| (0.7f64.powi(2) + sigma * sigma).sqrt();
            (x - 0.4) * (of(last) / of(first)) + 0.4
        };
        let options = Options::default();
        let x = start.clone();
        let x = sample_with(
            sampler,
            &denoiser,
            x,
            &levels,
            options,
            &mut noise,
            &mut go_on(),
        );
        let off = (x.unwrap() - ends(start)).abs().max();
        off.into_data().iter::<f64>().next().unwrap()
    };
    let mut off = Vec::new();
    for sampler in Sampler::ALL.into_iter().filter(|s| s.order() > 0) {
        // PNDM takes its steps as equal.
        let equal = matches!(sampler, Sampler::Plms | Sampler::Pndm);
        let ramp = if equal { 0 } else { 10 };
        // An odd number, as the pairs of 2S want it.
        let (coarse, fine) = (257, 513);
        let errors = [error(sampler, coarse, ramp), error(sampler, fine, ramp)];
        let ratio = errors[0] / errors[1];
        let measured = ratio.ln() / (fine as f64 / coarse as f64).ln();
        let stated = sampler.order() as f64;
        println!(
            "{}: order {measured:.2}, stated {stated}, errors {:.1e} and {:.1e}",
            sampler.name(),
            errors[0],
            errors[1]
        );
        // Written so that a NaN is off.
        if (measured - stated).abs().total_cmp(&0.3).is_gt() {
            off.push(format!("{}: {measured:.2}", sampler.name()));
        }
    }
    assert!(off.is_empty(), "off the stated order: {}", off.join(", "));
}

/// A Gaussian over two bands whose axes are turned by 45 degrees: its Jacobian is not diagonal.
struct Turned {
    along: f64,
    across: f64,
    mean: f64,
}

impl Denoiser for Turned {
    fn denoise(&self, x: Tensor<4>, level: NoiseLevel) -> Tensor<4> {
        let y = x / level.alpha - self.mean;
        let sigma = level.relative_sigma().powi(2);
        let shrink = |variance: f64| variance / (variance + sigma);
        let sum = y.clone().sum_dim(1) * 0.5;
        let rest = y - sum.clone().expand([sum.dims()[0], 2, 1, 1]);
        rest * shrink(self.across) + sum * shrink(self.along) + self.mean
    }
}

/// The vectors (1, 1) and (1, -1).
struct Signs;

impl NoiseSource for Signs {
    fn draw(&mut self, draw: usize, device: &Device) -> Tensor<4> {
        let second = if draw == 0 { 1.0f32 } else { -1.0 };
        let values = [[1.0, second]; 3].concat();
        Tensor::from_data(TensorData::new(values, [3, 2, 1, 1]), device)
    }
}

#[test]
fn likelihood_of_a_gaussian_is_the_closed_form() {
    let denoiser = Turned {
        along: 0.8,
        across: 0.05,
        mean: 0.2,
    };
    let schedule = Schedule::Geometric {
        timesteps: 800,
        sigma_min: 0.01,
        sigma_max: 100.0,
    };
    let device = Device::flex().autodiff();
    let images = [[0.5f32, 0.4], [-1.0, -0.2], [0.2, 0.2]];
    let data = TensorData::new(images.concat(), [3, 2, 1, 1]);
    let x = || Tensor::<4>::from_data(data.clone(), &device);
    let expected: Vec<f64> = images
        .iter()
        .map(|[a, b]| {
            let (a, b) = (f64::from(*a) - 0.2, f64::from(*b) - 0.2);
            let axis = |value: f64, variance: f64| {
                // The images count as drawn at the least noise.
                let variance = variance + 0.01f64.powi(2);
                -0.5 * (value * value / variance + (std::f64::consts::TAU * variance).ln())
            };
            axis((a + b) / 2f64.sqrt(), 0.8) + axis((a - b) / 2f64.sqrt(), 0.05)
        })
        .collect();
    // Levels that preserve the variance lead to the same density.
    let exploding = schedule.levels(800, Spacing::Trailing).unwrap();
    let preserving: Vec<NoiseLevel> = exploding
        .iter()
        .map(|level| {
            let alpha = level.sigma.hypot(1.0).recip();
            NoiseLevel {
                alpha,
                sigma: level.sigma * alpha,
                timestep: 0.0,
            }
        })
        .collect();
    for levels in [&exploding, &preserving] {
        let got = log_likelihood(&Differentiated(&denoiser), x(), levels, Trace::Exact);
        let got: Vec<f64> = got.unwrap().into_data().iter::<f64>().collect();
        for (got, expected) in got.iter().zip(&expected) {
            assert!((got - expected).abs() < 5e-3, "{got}, expected {expected}");
        }
    }
    // Both sign patterns of two values together have the exact trace, one alone has not.
    let mut signs = Signs;
    let mut estimated = |vectors| {
        let trace = Trace::Estimated(vectors, &mut signs);
        let got = log_likelihood(&Differentiated(&denoiser), x(), &exploding, trace);
        got.unwrap().into_data().iter::<f64>().next().unwrap()
    };
    assert!((estimated(2) - expected[0]).abs() < 5e-3);
    assert!((estimated(1) - expected[0]).abs() > 0.1);
    // Theis et al. 2016: a density p over bins of width w codes a value in -log2(p w) bits.
    let bits = likelihood::bits_per_dim(expected[0], 2, 2.0 / 255.0);
    let per_value = -(expected[0].exp() * (2.0f64 / 255.0).powi(2)).log2() / 2.0;
    assert!(
        (bits - per_value).abs() < 1e-9,
        "{bits}, expected {per_value}"
    );
}
