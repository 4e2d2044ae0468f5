//! The samplers of score-based models: discretised reverse diffusions, the probability flow, and
//! Langevin dynamics.
//!
//! With `a = alpha / alpha_next` and `G²` the variance of the noise between two levels, the
//! forward step is `x = a x_next + G z`; for variance-preserving levels `a = sqrt(1 - beta)` and
//! `G² = beta`, for variance-exploding ones `a = 1` and `G² = sigma² - sigma_next²`. The last step
//! to the clean image is the x0 estimate (Tweedie's formula).

use burn::tensor::Tensor;

use super::walk::Walk;
use crate::diffusion::denoiser::NoiseLevel;
use crate::diffusion::ncsn;
use crate::diffusion::posterior::{added, score};
use crate::error::Result;

/// The reverse diffusion sampler (Song et al. 2021b, eq. 46):
/// `x_next = (2 - a) x + G² score + G z`.
pub fn reverse_diffusion(walk: &mut Walk, mut x: Tensor<4>) -> Result<Tensor<4>> {
    for (step, (now, next)) in walk.steps() {
        let denoised = walk.denoise(&x, now);
        x = predict(walk, step, &x, &denoised, (now, next));
        walk.done(step, &x, &denoised)?;
    }
    Ok(x)
}

/// Probability flow sampling (Song et al. 2021b, eq. 47): `x_next = (2 - a) x + G² score / 2`.
pub fn probability_flow(walk: &mut Walk, mut x: Tensor<4>) -> Result<Tensor<4>> {
    for (step, (now, next)) in walk.steps() {
        let denoised = walk.denoise(&x, now);
        x = match next.sigma > 0.0 {
            true => {
                let a = now.alpha / next.alpha;
                x.clone() * (2.0 - a) + score(&x, &denoised, now) * (added(now, next) / 2.0)
            }
            false => denoised.clone() * next.alpha,
        };
        walk.done(step, &x, &denoised)?;
    }
    Ok(x)
}

/// Predictor-corrector sampling (Song et al. 2021b, algorithms 2 and 3): a step of
/// [`reverse_diffusion`], then one Langevin step at the level it reached, whose size follows from
/// the ratio of the norms of noise and score. The norms are those of each image of its own, so
/// that the others of a batch do not matter. Step i asks for draws 2i + 1 and 2i + 2.
pub fn predictor_corrector(walk: &mut Walk, mut x: Tensor<4>) -> Result<Tensor<4>> {
    for (step, (now, next)) in walk.steps() {
        let denoised = walk.denoise(&x, now);
        x = predict(walk, 2 * step, &x, &denoised, (now, next));
        if next.sigma > 0.0 {
            // alpha_i of the paper: 1 - beta of the level reached.
            let below = walk.levels.get(step + 2).copied().unwrap_or(next);
            let again = walk.denoise(&x, next);
            let score = score(&x, &again, next);
            let noise = walk.draw(2 * step + 2, &x);
            let norm = |t: &Tensor<4>| t.clone().square().sum_dims(&[1, 2, 3]).sqrt();
            let ratio =
                norm(&noise) * walk.options.snr / (norm(&score) + f64::from(f32::MIN_POSITIVE));
            let size = ratio.square() * (2.0 * (next.alpha / below.alpha).powi(2));
            x = x + score * size.clone() + noise * (size * 2.0).sqrt();
        }
        walk.done(step, &x, &denoised)?;
    }
    Ok(x)
}

/// One step of the reverse diffusion; asks for draw `draws + 1`.
fn predict(
    walk: &mut Walk,
    draws: usize,
    x: &Tensor<4>,
    denoised: &Tensor<4>,
    (now, next): (NoiseLevel, NoiseLevel),
) -> Tensor<4> {
    if next.sigma == 0.0 {
        return denoised.clone() * next.alpha;
    }
    let (a, variance) = (now.alpha / next.alpha, added(now, next));
    x.clone() * (2.0 - a)
        + score(x, denoised, now) * variance
        + walk.draw(draws + 1, x) * variance.sqrt()
}

/// Annealed Langevin dynamics (Song & Ermon 2020, algorithm 1 with the final denoising step): at
/// every level some Langevin steps of size `epsilon sigma² / sigma_last²`. Epsilon follows from
/// the mean ratio of neighbouring sigmas and the steps a level (their technique 4,
/// [`ncsn::step_size`]). Step i asks for draws from `i * langevin_steps + 1` on.
///
/// Needs a hundred levels or more: neighbouring ones must overlap.
pub fn annealed_langevin(walk: &mut Walk, mut x: Tensor<4>) -> Result<Tensor<4>> {
    let repeats = walk.options.langevin_steps;
    let noisy = walk.levels.iter().filter(|level| level.sigma > 0.0);
    let sigmas: Vec<f64> = noisy.map(NoiseLevel::relative_sigma).collect();
    let (Some(first), Some(last)) = (sigmas.first(), sigmas.last()) else {
        return Ok(x);
    };
    let ratio = (first / last).powf(1.0 / (sigmas.len() - 1).max(1) as f64);
    let epsilon = ncsn::step_size(*last, ratio, repeats);
    for (step, (now, next)) in walk.steps() {
        let sigma = now.relative_sigma();
        let size = epsilon * (sigma / last).powi(2);
        let mut denoised = x.clone();
        for repeat in 0..repeats {
            denoised = walk.denoise(&x, now);
            let scaled = x / now.alpha;
            let score = (denoised.clone() - scaled.clone()) / (sigma * sigma);
            let noise = walk.draw(step * repeats + repeat + 1, &scaled);
            x = (scaled + score * size + noise * (2.0 * size).sqrt()) * now.alpha;
        }
        x = match next.sigma > 0.0 {
            true => x * (next.alpha / now.alpha),
            false => {
                denoised = walk.denoise(&x, now);
                denoised.clone() * next.alpha
            }
        };
        walk.done(step, &x, &denoised)?;
    }
    Ok(x)
}
