//! One to a few steps with networks made for that: consistency models and latent consistency
//! models. A diffusion network can be run this way too; its estimates are means, so the result
//! is smoother than a sample.

use burn::tensor::Tensor;

use super::walk::Walk;
use crate::error::Result;

/// Multistep consistency sampling (Song et al. 2023, algorithm 1): estimate the image, bring it
/// to the next level with fresh noise, estimate again. With one step it is the one-step
/// generator. The denoiser is the consistency function itself.
pub fn consistency(walk: &mut Walk, mut x: Tensor<4>) -> Result<Tensor<4>> {
    let least = walk.options.consistency_min;
    for (step, (now, next)) in walk.steps() {
        let denoised = walk.denoise(&x, now);
        x = denoised.clone() * next.alpha;
        let variance = next.sigma.powi(2) - (least * next.alpha).powi(2);
        if variance > 0.0 {
            x = x.clone() + walk.draw(step + 1, &x) * variance.sqrt();
        }
        walk.done(step, &x, &denoised)?;
    }
    Ok(x)
}

/// The step of latent consistency models (Luo et al. 2023, algorithm 3): the estimate is mixed
/// with x by the boundary condition of training, which matters only at the first timesteps, then
/// brought to the next level with fresh noise.
pub fn lcm(walk: &mut Walk, mut x: Tensor<4>) -> Result<Tensor<4>> {
    /// Scale of the timestep and standard deviation of the data in the boundary condition.
    const TIME_SCALE: f64 = 10.0;
    const SIGMA_DATA: f64 = 0.5;
    for (step, (now, next)) in walk.steps() {
        let time = now.timestep * TIME_SCALE;
        let norm = time.hypot(SIGMA_DATA);
        // Variance-exploding levels have no timestep, hence no boundary condition in it.
        let (c_skip, c_out) = match now.alpha < 1.0 {
            true => ((SIGMA_DATA / norm).powi(2), time / norm),
            false => (0.0, 1.0),
        };
        let denoised = walk.denoise(&x, now) * c_out + x * c_skip;
        x = denoised.clone() * next.alpha;
        if next.sigma > 0.0 {
            x = x.clone() + walk.draw(step + 1, &x) * next.sigma;
        }
        walk.done(step, &x, &denoised)?;
    }
    Ok(x)
}
