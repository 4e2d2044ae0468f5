//! The variational bound with learned variance, in bits a value (Nichol & Dhariwal 2021).

use std::f64::consts::{LN_2, SQRT_2};

use burn::tensor::Tensor;

use crate::diffusion::denoiser::NoiseLevel;
use crate::diffusion::posterior::{added, posterior_variance};

/// Distance of neighbouring values of 8-bit images in -1..1, the bins of the last term (Ho et
/// al. 2020, eq. 13). For images in other units the last term is a bound for bins of this size.
const SPACING: f64 = 2.0 / 255.0;

/// The range of a learned variance at one timestep, and what the mean of the reverse step owes
/// to the x0 estimate; on the host.
struct Reverse {
    /// `ln beta~`, the posterior's own variance.
    low: f64,
    /// `ln beta`.
    high: f64,
    /// Factor on the x0 estimate in the mean.
    of_estimate: f64,
    /// The step to the clean image, which is a likelihood instead of a divergence.
    last: bool,
}

impl Reverse {
    fn new(level: NoiseLevel, trained: &[NoiseLevel]) -> Self {
        let index = (level.timestep.max(0.0) as usize).min(trained.len().saturating_sub(1));
        let at = |i: usize| trained.get(i).copied().unwrap_or(level);
        let before = |i: usize| match i {
            0 => NoiseLevel::CLEAN,
            _ => at(i - 1),
        };
        let added = |i: usize| added(at(i), before(i));
        let posterior = |i: usize| posterior_variance(at(i), before(i));
        Self {
            // beta~ of the first timestep is 0: that of the second stands for it.
            low: posterior(index.max(1)).max(1e-20).ln(),
            high: added(index).max(1e-20).ln(),
            of_estimate: before(index).alpha * added(index) / at(index).sigma.powi(2),
            last: index == 0,
        }
    }
}

/// The terms of the bound, one timestep an item: the divergence between the posterior and the
/// network's reverse step (eq. 5 to 7), at the first timestep the negative log-likelihood of the
/// bin a value lies in (Ho et al. 2020, eq. 13; bins at the ends of the range count like the
/// others). The bound of an image is the sum over all T timesteps.
///
/// # Shapes
/// - `clean`, `estimate`, `variance`, output: `[batch, bands, height, width]`
/// - `levels`: one an item; `trained`: timesteps 0 to T - 1
pub fn terms(
    clean: &Tensor<4>,
    estimate: Tensor<4>,
    variance: Tensor<4>,
    levels: &[NoiseLevel],
    trained: &[NoiseLevel],
) -> Tensor<4> {
    let device = clean.device();
    let steps: Vec<Reverse> = levels.iter().map(|l| Reverse::new(*l, trained)).collect();
    let per_item = |f: &dyn Fn(&Reverse) -> f64| {
        let values: Vec<f32> = steps.iter().map(|s| f(s) as f32).collect();
        Tensor::<1>::from_floats(values.as_slice(), &device).reshape([values.len(), 1, 1, 1])
    };
    // Eq. 15: f ln beta + (1 - f) ln beta~ with f = (v + 1) / 2.
    let share = (variance + 1.0) * 0.5;
    let above = share * per_item(&|s| s.high - s.low); // ln of variance over beta~
    let log_variance = above.clone() + per_item(&|s| s.low);
    let off = clean.clone() - estimate;

    let moved = (off.clone() * per_item(&|s| s.of_estimate)).square();
    let divergence =
        (above.clone() - 1.0 + above.neg().exp() + moved * log_variance.clone().neg().exp()) * 0.5;

    let inverse_std = (log_variance * -0.5).exp();
    let phi = |shift: f64| {
        let z = (off.clone() + shift) * inverse_std.clone();
        ((z / SQRT_2).erf() + 1.0) * 0.5
    };
    let bin = phi(SPACING / 2.0) - phi(-SPACING / 2.0);
    let likelihood = bin.clamp_min(1e-12).log().neg();

    let last = per_item(&|s| f64::from(u8::from(s.last)));
    (divergence * (last.clone().neg() + 1.0) + likelihood * last) / LN_2
}
