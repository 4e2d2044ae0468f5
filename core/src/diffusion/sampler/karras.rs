//! Euler and Heun steps on the probability-flow ODE as Karras et al. 2022 write it: over
//! `sigma / alpha` for `x / alpha`, whose slope is `(x - x0) / sigma`.

use burn::tensor::Tensor;

use super::walk::Walk;
use crate::diffusion::denoiser::NoiseLevel;
use crate::diffusion::posterior::posterior_variance;
use crate::error::Result;

/// The same noise relative to the signal, at alpha 1.
fn relative(level: NoiseLevel) -> NoiseLevel {
    NoiseLevel {
        alpha: 1.0,
        sigma: level.relative_sigma(),
        ..level
    }
}

/// Euler's method; the same as DDIM without noise.
pub fn euler(walk: &mut Walk, mut x: Tensor<4>) -> Result<Tensor<4>> {
    for (step, (now, next)) in walk.steps() {
        let (sigma, sigma_next) = (now.relative_sigma(), next.relative_sigma());
        let denoised = walk.denoise(&x, now);
        let scaled = x / now.alpha;
        let slope = (scaled.clone() - denoised.clone()) / sigma;
        x = (scaled + slope * (sigma_next - sigma)) * next.alpha;
        walk.done(step, &x, &denoised)?;
    }
    Ok(x)
}

/// Euler steps farther down than asked for, and fresh noise back up (k-diffusion's
/// `sample_euler_ancestral`); at full noise the same as `ddpm`.
pub fn euler_ancestral(walk: &mut Walk, mut x: Tensor<4>) -> Result<Tensor<4>> {
    let eta = walk.options.sde_eta;
    for (step, (now, next)) in walk.steps() {
        let (sigma, sigma_next) = (now.relative_sigma(), next.relative_sigma());
        let up = eta * posterior_variance(relative(now), relative(next)).sqrt();
        let up = up.min(sigma_next);
        let down = (sigma_next.powi(2) - up * up).sqrt();
        let denoised = walk.denoise(&x, now);
        let scaled = x / now.alpha;
        let slope = (scaled.clone() - denoised.clone()) / sigma;
        x = (scaled + slope * (down - sigma)) * next.alpha;
        if up > 0.0 {
            x = x.clone() + walk.draw(step + 1, &x) * (up * next.alpha);
        }
        walk.done(step, &x, &denoised)?;
    }
    Ok(x)
}

/// Heun's second order method (Karras et al. 2022, algorithm 1).
pub fn heun(walk: &mut Walk, mut x: Tensor<4>) -> Result<Tensor<4>> {
    for (step, (now, next)) in walk.steps() {
        let denoised;
        (x, denoised) = heun_step(walk, x, now, next);
        walk.done(step, &x, &denoised)?;
    }
    Ok(x)
}

/// Heun's method with noise added before every step (Karras et al. 2022, algorithm 2).
pub fn heun_churn(walk: &mut Walk, mut x: Tensor<4>) -> Result<Tensor<4>> {
    let churn = walk.options.churn;
    for (step, (now, next)) in walk.steps() {
        let sigma = now.relative_sigma();
        let within = (churn.min..=churn.max).contains(&sigma);
        let gamma = (churn.amount / walk.step_count() as f64).min(2f64.sqrt() - 1.0);
        let mut from = now;
        if within && gamma > 0.0 {
            from = noisier(now, 1.0 + gamma);
            let extra = (from.relative_sigma().powi(2) - sigma * sigma).sqrt();
            let noise = walk.draw(step + 1, &x) * (churn.noise * extra);
            x = (x / now.alpha + noise) * from.alpha;
        }
        let denoised;
        (x, denoised) = heun_step(walk, x, from, next);
        walk.done(step, &x, &denoised)?;
    }
    Ok(x)
}

fn heun_step(
    walk: &Walk,
    x: Tensor<4>,
    now: NoiseLevel,
    next: NoiseLevel,
) -> (Tensor<4>, Tensor<4>) {
    let (sigma, sigma_next) = (now.relative_sigma(), next.relative_sigma());
    let denoised = walk.denoise(&x, now);
    let scaled = x / now.alpha;
    let slope = (scaled.clone() - denoised.clone()) / sigma;
    let mut moved = scaled.clone() + slope.clone() * (sigma_next - sigma);
    if next.sigma > 0.0 {
        let again = walk.denoise(&(moved.clone() * next.alpha), next);
        let slope_next = (moved - again) / sigma_next;
        moved = scaled + (slope + slope_next) * ((sigma_next - sigma) / 2.0);
    }
    (moved * next.alpha, denoised)
}

/// A level with `factor` times the noise relative to the signal. A variance-preserving level
/// stays one; the timestep is kept, which a discrete-time network takes as its own: there churn
/// is an approximation, as in diffusers.
fn noisier(level: NoiseLevel, factor: f64) -> NoiseLevel {
    let sigma = level.relative_sigma() * factor;
    let alpha = match (level.alpha.hypot(level.sigma) - 1.0).abs() < 1e-6 && level.alpha < 1.0 {
        true => sigma.hypot(1.0).recip(),
        false => level.alpha,
    };
    NoiseLevel {
        alpha,
        sigma: sigma * alpha,
        timestep: level.timestep,
    }
}
