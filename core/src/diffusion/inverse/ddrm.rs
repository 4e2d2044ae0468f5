//! DDRM: denoising in the spectrum of the measurement (Kawar, Elad, Ermon & Song 2022).

use burn::tensor::Tensor;

use super::{Decomposed, Measurement};
use crate::diffusion::denoiser::NoiseLevel;
use crate::diffusion::sampler::Walk;
use crate::error::Result;

/// How much of a step is drawn anew.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Ddrm {
    /// Share of fresh noise in what was not measured, or measured with more noise than is left.
    pub eta: f64,
    /// Share of the measurement where it is cleaner than the state.
    pub eta_b: f64,
}

impl Default for Ddrm {
    /// The paper's.
    fn default() -> Self {
        Ddrm {
            eta: 0.85,
            eta_b: 1.0,
        }
    }
}

/// DDRM (eq. 7 and 8), on `x / alpha`: each component of the spectrum is measured with noise
/// `sigma_y / s`. While the state is noisier than that, the component follows the measurement;
/// from then on, and where nothing was measured, the denoiser.
///
/// # Shapes
/// - `x`: `[batch, bands, height, width]` at `levels[0]`, its sigma times noise draw 0; step i
///   asks for draw i + 1
/// - output: the same, at the last level
///
/// # Errors
/// [`Error::Interrupted`](crate::Error::Interrupted) when `on_step` breaks off.
pub fn ddrm(
    walk: &mut Walk,
    measurement: &Measurement<dyn Decomposed + '_>,
    x: Tensor<4>,
    settings: Ddrm,
) -> Result<Tensor<4>> {
    let a = measurement.operator;
    let Ddrm { eta, eta_b } = settings;
    let calm = (1.0 - eta * eta).max(0.0).sqrt();
    let singular = a.singular_values();
    let seen = singular.clone().greater_elem(0.0).float();
    let divisor = singular + (seen.clone().neg() + 1.0);
    let target = a.measured(measurement.y.clone()) / divisor.clone();
    let noise_std = seen.clone() * measurement.noise_std / divisor;
    let Some(first) = walk.levels.first() else {
        return Ok(x);
    };
    // The start: as noisy as the level, around the measurement where there is one.
    let start = first.relative_sigma();
    let std = (noise_std.clone().square().neg() + start * start)
        .clamp_min(0.0)
        .sqrt();
    let mut state = a.to_spectrum(x / first.sigma) * std + target.clone() * seen.clone();
    for (step, (now, next)) in walk.steps() {
        let image = a.to_image(state.clone());
        let denoised = walk.denoise(&(image.clone() * now.alpha), now);
        let estimate = a.to_spectrum(denoised.clone());
        let (before, sigma) = (now.relative_sigma(), next.relative_sigma());
        let fresh = match next.sigma > 0.0 {
            true => a.to_spectrum(walk.draw(step + 1, &image)),
            false => estimate.zeros_like(),
        };
        let unmeasured = estimate.clone()
            + (state - estimate.clone()) * (calm * sigma / before)
            + fresh.clone() * (eta * sigma);
        let late = noise_std.clone().greater_elem(sigma).float() * seen.clone();
        let early = seen.clone() - late.clone();
        // Where it is not late the divisor does not count; 1 keeps it finite.
        let ratio = (noise_std.clone() + (late.clone().neg() + 1.0)).recip();
        let off = target.clone() - estimate.clone();
        let noisy =
            estimate.clone() + off.clone() * ratio * (calm * sigma) + fresh.clone() * (eta * sigma);
        let room = ((noise_std.clone() * eta_b).square().neg() + sigma * sigma).clamp_min(0.0);
        let clean = estimate + off * eta_b + fresh * room.sqrt();
        state = unmeasured * (seen.clone().neg() + 1.0) + noisy * late + clean * early;
        let x = a.to_image(state.clone()) * next.alpha;
        walk.done(step, &x, &denoised)?;
    }
    let last = walk.levels.last().copied().unwrap_or(NoiseLevel::CLEAN);
    Ok(a.to_image(state) * last.alpha)
}
