//! DPS and the manifold-constrained gradient: ancestral steps, each followed by a step down the
//! misfit of the estimate.

use burn::tensor::Tensor;

use super::{LinearOperator, Measurement, total};
use crate::diffusion::gradient::pullback;
use crate::diffusion::posterior::Posterior;
use crate::diffusion::sampler::Walk;
use crate::error::Result;

/// DPS for Gaussian noise (Chung, Kim et al. 2023, algorithm 1 with the step of its appendix):
/// `x <- x' - scale grad |y - A x0|`, x' the ancestral step, the norm not squared.
///
/// The step does not depend on sigma_y. The paper's scales (0.5 for inpainting, 0.3 for
/// super-resolution by 4) are for values in -1..1, 1000 steps and variance-preserving levels;
/// other levels are brought to those by their norm. Fewer steps need a larger scale.
///
/// # Shapes
/// - `x`: `[batch, bands, height, width]` at `levels[0]`, e.g. its sigma times noise draw 0;
///   step i asks for draw i + 1
/// - output: the same, at the last level
///
/// # Errors
/// [`Error::Interrupted`](crate::Error::Interrupted) when `on_step` breaks off.
pub fn dps(
    walk: &mut Walk,
    measurement: &Measurement<dyn LinearOperator + '_>,
    x: Tensor<4>,
    scale: f64,
) -> Result<Tensor<4>> {
    descend(walk, measurement, x, (scale, false))
}

/// Manifold-constrained gradient (Chung, Sim et al. 2022, algorithm 1): as [`dps`], then what is
/// measured is replaced by the measurement at the level reached, `x <- x + A⁺ (y_t - A x)`.
///
/// Made for measurements without noise; `measurement.noise_std` is not used.
///
/// # Shapes
/// As [`dps`].
///
/// # Errors
/// As [`dps`].
pub fn mcg(
    walk: &mut Walk,
    measurement: &Measurement<dyn LinearOperator + '_>,
    x: Tensor<4>,
    scale: f64,
) -> Result<Tensor<4>> {
    descend(walk, measurement, x, (scale, true))
}

fn descend(
    walk: &mut Walk,
    measurement: &Measurement<dyn LinearOperator + '_>,
    mut x: Tensor<4>,
    (scale, project): (f64, bool),
) -> Result<Tensor<4>> {
    let Measurement { operator, y, .. } = measurement;
    for (step, (now, next)) in walk.steps() {
        // The gradient of |y - A x0| is -Jᵀ Aᵀ r / |r|.
        let (denoised, ascent) = pullback(walk.denoiser, x.clone(), now, &|denoised| {
            let off = y.clone() - operator.forward(denoised);
            let size = total(off.clone().square()).sqrt() + f32::MIN_POSITIVE;
            operator.adjoint(off / size)
        });
        let Posterior {
            kept,
            pull,
            variance,
        } = Posterior::between(now, next);
        // In the units of x / norm the levels are variance-preserving.
        let units = now.alpha.hypot(now.sigma) * next.alpha.hypot(next.sigma);
        x = x * kept + denoised.clone() * pull + ascent * (scale * units);
        let mut known = y.clone() * next.alpha;
        if next.sigma > 0.0 {
            let fresh = walk.draw(step + 1, &x);
            x = x + fresh.clone() * variance.max(0.0).sqrt();
            known = known + operator.forward(fresh) * next.sigma;
        }
        if project {
            x = x.clone() + operator.pseudo_inverse(known - operator.forward(x));
        }
        walk.done(step, &x, &denoised)?;
    }
    Ok(x)
}
