//! Guidance on two classes that are Gaussians of one width: what comes out is known.

use std::ops::ControlFlow;

use burn::tensor::{Device, Tensor, TensorData, activation};

use super::*;
use crate::diffusion::denoiser::NoiseSource;
use crate::diffusion::sampler::{Sampler, sample};
use crate::diffusion::schedule::{Schedule, Spacing};
use crate::raster::random::gaussian_stream;

/// The classes lie at plus and minus this.
const MEAN: f64 = 0.8;
/// Standard deviation of each.
const STD: f64 = 0.5;

/// `N(mean, STD²)` in every pixel.
struct Class(f64);

impl Denoiser for Class {
    fn denoise(&self, x: Tensor<4>, NoiseLevel { alpha, sigma, .. }: NoiseLevel) -> Tensor<4> {
        let variance = (alpha * STD).powi(2) + sigma * sigma;
        (x - alpha * self.0) * (alpha * STD * STD / variance) + self.0
    }
}

/// How much more the upper class is believed at a noisy pixel: the logit of its probability.
fn logit(x: Tensor<4>, NoiseLevel { alpha, sigma, .. }: NoiseLevel) -> Tensor<4> {
    x * (2.0 * alpha * MEAN / ((alpha * STD).powi(2) + sigma * sigma))
}

/// Both classes, each pixel of either.
struct Mixture;

impl Denoiser for Mixture {
    fn denoise(&self, x: Tensor<4>, level: NoiseLevel) -> Tensor<4> {
        let share = activation::sigmoid(logit(x.clone(), level));
        let (up, down) = (
            Class(MEAN).denoise(x.clone(), level),
            Class(-MEAN).denoise(x, level),
        );
        down.clone() + (up - down) * share
    }
}

/// That all pixels are of the upper class.
struct Upper;

impl Classifier for Upper {
    fn log_probability(&self, x: Tensor<4>, level: NoiseLevel) -> Tensor<1> {
        let [batch, ..] = x.dims();
        let log = activation::log_sigmoid(logit(x, level));
        log.sum_dim(1).sum_dim(2).sum_dim(3).reshape([batch])
    }
}

fn levels() -> Vec<NoiseLevel> {
    Schedule::Linear {
        timesteps: 1000,
        beta_start: 1e-4,
        beta_end: 0.02,
    }
    .levels(100, Spacing::Trailing)
    .expect("valid")
}

fn noise(count: usize) -> Tensor<4> {
    let values = gaussian_stream(&[3], count);
    Tensor::from_data(
        TensorData::new(values, [count / 4, 1, 2, 2]),
        &Device::flex(),
    )
}

fn difference(a: Tensor<4>, b: Tensor<4>) -> f32 {
    (a - b).abs().max().into_scalar::<f32>()
}

/// Bayes: the gradient of the classifier is the difference between the two scores, so both
/// guidances are one, and with weight 0 the class itself.
#[test]
fn both_guidances_are_bayes_rule() {
    let x = noise(400) * 1.3;
    for level in levels().into_iter().step_by(9).filter(|l| l.sigma > 0.0) {
        for weight in [0.0, 0.5, 2.0] {
            let free = ClassifierFree {
                conditional: &Class(MEAN),
                unconditional: &Mixture,
                weight,
                rescale: 0.0,
            };
            let guided = ClassifierGuided {
                inner: &Mixture,
                classifier: &Upper,
                scale: 1.0 + weight,
            };
            let (a, b) = (
                free.denoise(x.clone(), level),
                guided.denoise(x.clone(), level),
            );
            let off = difference(a.clone(), b);
            assert!(off < 2e-4, "{level:?} {weight}: {off}");
            if weight == 0.0 {
                assert_eq!(difference(a, Class(MEAN).denoise(x.clone(), level)), 0.0);
            }
        }
    }
}

/// For a solver that draws nothing.
struct Silent;

impl NoiseSource for Silent {
    fn draw(&mut self, _: usize, device: &Device) -> Tensor<4> {
        Tensor::zeros([1, 1, 1, 1], device)
    }
}

fn moments(denoiser: &dyn Denoiser) -> (f64, f64) {
    let levels = levels();
    let x = noise(16_384) * levels[0].sigma;
    let go_on = &mut |_: usize, _: &Tensor<4>, _: &Tensor<4>| ControlFlow::Continue(());
    let (solver, silent) = (Sampler::DpmSolverPp2m, &mut Silent);
    let x = sample(solver, denoiser, x, &levels, 0.0, silent, go_on).expect("not interrupted");
    let values: Vec<f64> = x.into_data().iter::<f64>().collect();
    let mean = values.iter().sum::<f64>() / values.len() as f64;
    let variance = values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / values.len() as f64;
    (mean, variance.sqrt())
}

/// A classifier at scale 1 samples its class.
#[test]
fn a_classifier_picks_its_class() {
    let (mean, std) = moments(&ClassifierGuided {
        inner: &Mixture,
        classifier: &Upper,
        scale: 1.0,
    });
    println!("classifier, scale 1: mean {mean:.3} ({MEAN}), std {std:.3} ({STD})");
    assert!((mean - MEAN).abs() < 0.02 && (std - STD).abs() < 0.02);
}

/// Between two Gaussians of one width the guided score is that of a third one: the mean moves
/// from the other class by w times their distance, the width stays.
#[test]
fn classifier_free_guidance_moves_the_mean() {
    for weight in [0.0, 1.0, 3.0] {
        let (mean, std) = moments(&ClassifierFree {
            conditional: &Class(MEAN),
            unconditional: &Class(-MEAN),
            weight,
            rescale: 0.0,
        });
        let expected = MEAN + weight * 2.0 * MEAN;
        println!(
            "classifier-free, weight {weight}: mean {mean:.3} ({expected:.1}), std {std:.3} ({STD})"
        );
        assert!((mean - expected).abs() < 0.03 && (std - STD).abs() < 0.02);
    }
}

#[test]
fn rescaling_brings_the_spread_back() {
    let x = noise(64);
    let level = levels()[50];
    let at = |rescale| {
        ClassifierFree {
            conditional: &Mixture,
            unconditional: &Class(-MEAN),
            weight: 4.0,
            rescale,
        }
        .denoise(x.clone(), level)
    };
    let target = spread(Mixture.denoise(x.clone(), level));
    assert!(difference(spread(at(1.0)), target.clone()) < 1e-5);
    assert!(difference(spread(at(0.0)), target) > 0.05);
    let half = (at(0.0) + at(1.0)) / 2.0;
    assert!(difference(at(0.5), half) < 1e-5);
}

/// What a network with learned variance says about its steps survives guidance.
#[test]
fn guidance_keeps_the_variance() {
    struct Told(f64);
    impl Denoiser for Told {
        fn denoise(&self, x: Tensor<4>, _: NoiseLevel) -> Tensor<4> {
            x
        }
        fn denoise_with_variance(
            &self,
            x: Tensor<4>,
            _: NoiseLevel,
        ) -> (Tensor<4>, Option<Tensor<4>>) {
            let variance = x.ones_like() * self.0;
            (x, Some(variance))
        }
    }
    let x = Tensor::<4>::ones([1, 1, 1, 2], &Device::flex());
    let told = |denoiser: &dyn Denoiser| {
        let (_, variance) = denoiser.denoise_with_variance(x.clone(), levels()[0]);
        variance.expect("told").max().into_scalar::<f64>()
    };
    for (weight, rescale) in [(0.0, 0.0), (2.0, 0.0), (2.0, 0.7)] {
        let guided = ClassifierFree {
            conditional: &Told(0.25),
            unconditional: &Told(-1.0),
            weight,
            rescale,
        };
        assert_eq!(told(&guided), 0.25);
    }
    let guided = ClassifierGuided {
        inner: &Told(0.5),
        classifier: &Upper,
        scale: 1.0,
    };
    assert_eq!(told(&guided), 0.5);
}
