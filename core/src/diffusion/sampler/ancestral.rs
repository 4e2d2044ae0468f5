//! The samplers of discrete-time diffusion: DDPM and DDIM.

use burn::tensor::Tensor;

use super::walk::Walk;
use crate::diffusion::posterior::{added, posterior_variance};
use crate::error::Result;

/// Ancestral sampling: every step draws from the posterior `q(x_next | x, x0 estimate)`
/// (Ho et al. 2020, eq. 6 and 7; for any alpha and sigma Kingma et al. 2021, eq. 25 to 29).
/// Its variance is the posterior's own ("fixed small"), or what a network with learned variance
/// says (Nichol & Dhariwal 2021, eq. 15). The estimate is not clipped.
pub fn ddpm(walk: &mut Walk, mut x: Tensor<4>) -> Result<Tensor<4>> {
    for (step, (now, next)) in walk.steps() {
        let (denoised, learned) = walk.denoiser.denoise_with_variance(x.clone(), now);
        let between = added(now, next);
        let ratio = now.alpha / next.alpha;
        let kept = ratio * (next.sigma / now.sigma).powi(2);
        x = x * kept + denoised.clone() * (next.alpha * between / now.sigma.powi(2));
        if next.sigma > 0.0 {
            let small = posterior_variance(now, next).max(1e-20);
            let noise = walk.draw(step + 1, &x);
            x = x + match learned {
                None => noise * small.sqrt(),
                Some(v) => {
                    // Between beta~ and beta, in the logarithm of the standard deviation.
                    let (low, high) = (small.ln() / 2.0, between.ln() / 2.0);
                    noise * ((v + 1.0) * ((high - low) / 2.0) + low).exp()
                }
            };
        }
        walk.done(step, &x, &denoised)?;
    }
    Ok(x)
}

/// DDIM (Song et al. 2021a, eq. 12 and 16): deterministic at `eta` 0, as noisy as [`ddpm`] at 1.
pub fn ddim(walk: &mut Walk, mut x: Tensor<4>) -> Result<Tensor<4>> {
    let eta = walk.options.eta;
    for (step, (now, next)) in walk.steps() {
        let denoised = walk.denoise(&x, now);
        let variance = eta * eta * posterior_variance(now, next);
        // The predicted noise (x - alpha x0) / sigma keeps what the fresh noise leaves of sigma.
        let kept = (next.sigma.powi(2) - variance).max(0.0).sqrt() / now.sigma;
        x = x * kept + denoised.clone() * (next.alpha - kept * now.alpha);
        if variance > 0.0 {
            x = x.clone() + walk.draw(step + 1, &x) * variance.sqrt();
        }
        walk.done(step, &x, &denoised)?;
    }
    Ok(x)
}
