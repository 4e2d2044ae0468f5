//! The training losses: what a batch of clean images costs a network, whatever it predicts.

pub(crate) mod spread;
pub mod vlb;
mod weighting;

use burn::tensor::{Int, Tensor};
use serde::{Deserialize, Serialize};

use super::denoiser::NoiseLevel;
use super::prediction::Prediction;
use super::prediction::split_variance;
use crate::network::{Inputs, Network};
pub use weighting::Weighting;

/// Weight of the variational bound in the hybrid loss (Nichol & Dhariwal 2021, sect. 3.1), for
/// the bound summed over all timesteps.
const BOUND_WEIGHT: f64 = 0.001;

/// Weight of the spread's likelihood beside the squared error of the direct estimate: enough to
/// teach it, too little to bend what the mean is made of.
const SPREAD_WEIGHT: f64 = 0.1;

/// The noise levels a variance-exploding network is trained at: `ln sigma ~ N(mean, std²)`
/// (Karras et al. 2022, table 1, P_mean and P_std).
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NoiseDistribution {
    /// P_mean.
    pub mean: f64,
    /// P_std.
    pub std: f64,
}

impl NoiseDistribution {
    /// A noise level from a standard normal value; for variance-preserving schedules the normal
    /// value is turned into a uniformly drawn timestep (Ho et al. 2020, algorithm 1).
    ///
    /// `levels` are the schedule's [training levels](super::schedule::Schedule::training_levels).
    pub fn level(&self, levels: &[NoiseLevel], normal: f32) -> NoiseLevel {
        let normal = f64::from(normal);
        match levels.len() {
            0 => NoiseLevel {
                alpha: 1.0,
                sigma: (self.mean + self.std * normal).exp(),
                timestep: 0.0,
            },
            n => levels[((normal_cdf(normal) * n as f64) as usize).min(n - 1)],
        }
    }
}

/// The normal distribution function (Abramowitz & Stegun 26.2.17, error below 1e-7).
pub(crate) fn normal_cdf(x: f64) -> f64 {
    let t = 1.0 / (1.0 + 0.231_641_9 * x.abs());
    let poly = t
        * (0.319_381_530
            + t * (-0.356_563_782
                + t * (1.781_477_937 + t * (-1.821_255_978 + t * 1.330_274_429))));
    let tail = (-x * x / 2.0).exp() / std::f64::consts::TAU.sqrt() * poly;
    if x < 0.0 { tail } else { 1.0 - tail }
}

/// A batch of clean images with their noise, what is known of them, and how noisy they are.
#[derive(Debug, Clone)]
pub struct LossBatch {
    /// `[batch, bands, height, width]`, in network units.
    pub clean: Tensor<4>,
    /// Standard normal, shaped like `clean`.
    pub noise: Tensor<4>,
    /// What the network sees instead of the noisy image, shaped like it: cold diffusion.
    pub degraded: Option<Tensor<4>>,
    /// 1 = counts, `[batch, 1, height, width]`.
    pub mask: Tensor<4>,
    /// `[batch, conditioning_bands, height, width]`; the network's input is masked when given.
    pub conditioning: Option<Tensor<4>>,
    /// One level a batch item.
    pub levels: Vec<NoiseLevel>,
    /// `[batch]` labels, below 0 where the network is not told.
    pub class: Option<Tensor<1, Int>>,
}

/// Which loss is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// Squared error of what the network predicts (Ho et al. 2020, eq. 14, and its likes).
    #[default]
    Simple,
    /// The variational bound, with learned variance (Nichol & Dhariwal 2021, sect. 3.3).
    Vlb,
    /// The simple loss for the mean and a thousandth of the bound for the variance (Nichol &
    /// Dhariwal 2021, eq. 16).
    Hybrid,
}

/// What a network is trained for.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Objective {
    /// What it predicts.
    pub prediction: Prediction,
    /// Which loss.
    pub kind: Kind,
    /// How noise levels count in the simple loss.
    pub weighting: Weighting,
}

/// The simple loss without weights, see [`training`].
///
/// # Shapes
/// - output: `[1]`
pub fn denoising(network: &dyn Network, prediction: Prediction, batch: LossBatch) -> Tensor<1> {
    let objective = Objective {
        prediction,
        kind: Kind::Simple,
        weighting: Weighting::Output,
    };
    training(network, &objective, &[], batch)
}

/// The loss of a batch over its masked pixels, each tile counting the same.
///
/// In the simple loss the output is trained towards `(x0 - c_skip x) / c_out`, which is eps, x0 or
/// v for the networks of those names (Ho et al. 2020, eq. 14; Salimans & Ho 2022) and the EDM loss
/// with its weight `lambda = 1 / c_out²` (Karras et al. 2022, eq. 8) for EDM; `weighting` makes
/// other losses of it.
///
/// `trained` are the schedule's training levels; only the losses with a bound look at them, and
/// they need a network with learned variance, without which they are the simple loss. At
/// [infinite noise](NoiseLevel::INFINITE) the network is shown no image and the squared error is
/// that of the direct estimate; of a network with a spread that is learnt there too.
///
/// # Shapes
/// - output: `[1]`
pub fn training(
    network: &dyn Network,
    objective: &Objective,
    trained: &[NoiseLevel],
    batch: LossBatch,
) -> Tensor<1> {
    let LossBatch {
        clean,
        noise,
        degraded,
        mask,
        conditioning,
        levels,
        class,
    } = batch;
    let prediction = objective.prediction;
    let device = clean.device();
    let [items, bands, _, _] = clean.dims();
    let per_item = |f: &dyn Fn(NoiseLevel) -> f64| {
        let values: Vec<f32> = levels.iter().map(|l| f(*l) as f32).collect();
        Tensor::<1>::from_floats(values.as_slice(), &device)
    };
    let image = |f: &dyn Fn(NoiseLevel) -> f64| per_item(f).reshape([items, 1, 1, 1]);
    let pixels = mask.clone().sum_dims(&[1, 2, 3]) * bands as f64 + 1e-6;
    let over_mask = |error: Tensor<4>| {
        let masked = (error * mask.clone()).sum_dims(&[1, 2, 3]);
        (masked / pixels.clone()).mean()
    };

    let x = match degraded {
        Some(degraded) => degraded,
        // Infinite noise is not shown at all: zeros, since c_in is 0.
        None => {
            let sigma = |l: NoiseLevel| Some(l.sigma).filter(|s| s.is_finite()).unwrap_or(0.0);
            clean.clone() * image(&|l| l.alpha) + noise.clone() * image(&sigma)
        }
    };
    let mut input = x.clone() * image(&|l| prediction.scaling(l).c_in);
    if let Some(conditioning) = conditioning {
        input = Tensor::cat(vec![input * mask.clone(), conditioning], 1);
    }
    let output = network.forward(Inputs {
        class,
        ..Inputs::new(input, per_item(&|l| prediction.scaling(l).c_noise))
    });
    let (output, variance) = split_variance(output, bands);
    let simple = |output: Tensor<4>| {
        let target = clean.clone() * image(&|l| prediction.target(l).0)
            + noise * image(&|l| prediction.target(l).1);
        let error = (output - target).square();
        over_mask(match objective.weighting {
            Weighting::Output => error,
            weighting => error * image(&|l| weighting.of_output(&prediction, l)),
        })
    };
    let bound = |output: Tensor<4>, variance: Tensor<4>| {
        let estimate = x * image(&|l| prediction.scaling(l).c_skip)
            + output * image(&|l| prediction.scaling(l).c_out);
        over_mask(vlb::terms(&clean, estimate, variance, &levels, trained))
    };
    let direct = |level: NoiseLevel| f64::from(u8::from(level.sigma.is_infinite()));
    match (objective.kind, variance) {
        (Kind::Simple, Some(log_variance)) if levels.iter().any(|l| l.sigma.is_infinite()) => {
            // The likelihood teaches the spread alone.
            let target = clean.clone() * image(&|l| prediction.target(l).0);
            let error = (output.clone().detach() - target).square();
            let spread = spread::negative_log_likelihood(error, log_variance);
            simple(output) + over_mask(spread * image(&direct)) * SPREAD_WEIGHT
        }
        (Kind::Simple, _) | (_, None) => simple(output),
        (Kind::Vlb, Some(variance)) => bound(output, variance),
        (Kind::Hybrid, Some(variance)) => {
            // The bound teaches the variance alone.
            let bound = bound(output.clone().detach(), variance);
            simple(output) + bound * (BOUND_WEIGHT * trained.len() as f64)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diffusion::schedule::Schedule;

    #[test]
    fn normal_values_become_uniform_timesteps() {
        let schedule = Schedule::Linear {
            timesteps: 1000,
            beta_start: 1e-4,
            beta_end: 0.02,
        };
        let levels = schedule.training_levels();
        let p = NoiseDistribution {
            mean: 0.0,
            std: 1.0,
        };
        for (normal, timestep) in [(0.0, 500.0), (-6.0, 0.0), (6.0, 999.0), (1.0, 841.0)] {
            let got = p.level(&levels, normal).timestep;
            assert!(
                (got - timestep).abs() <= 1.0,
                "{normal}: expected {timestep}, got {got}"
            );
        }
    }
}
