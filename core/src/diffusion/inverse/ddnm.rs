//! DDNM: the range of the measurement is taken from the measurement, its null space from the
//! denoiser (Wang, Yu & Zhang 2023).

use burn::tensor::Tensor;

use super::{Decomposed, LinearOperator, Measurement};
use crate::diffusion::denoiser::{Denoiser, NoiseLevel};
use crate::diffusion::posterior::Posterior;
use crate::diffusion::sampler::Walk;
use crate::error::Result;

/// DDNM (eq. 13): the estimate becomes `A⁺ y + (I - A⁺ A) x0`, so that it always agrees with an
/// exact measurement. A denoiser: any sampler may use it; the paper takes DDIM with eta 0.85 and
/// 100 steps.
pub struct RangeNull<'a> {
    /// The unconditional denoiser.
    pub inner: &'a dyn Denoiser,
    /// A.
    pub operator: &'a dyn LinearOperator,
    /// y, without noise.
    pub y: Tensor<4>,
}

impl Denoiser for RangeNull<'_> {
    fn denoise(&self, x: Tensor<4>, level: NoiseLevel) -> Tensor<4> {
        let denoised = self.inner.denoise(x, level);
        let missing = self.y.clone() - self.operator.forward(denoised.clone());
        denoised + self.operator.pseudo_inverse(missing)
    }
}

/// DDNM+ (eq. 17 to 19, singular values as in its appendix on noisy problems): ancestral steps
/// in which the measurement's noise takes the place of as much fresh noise as a step has, and
/// counts as less of a measurement where it is more. That noise is taken for new in every step,
/// which it is not: over many steps y is believed too much.
///
/// # Shapes
/// - `x`: `[batch, bands, height, width]` at `levels[0]`, e.g. its sigma times noise draw 0;
///   step i asks for draw i + 1
/// - output: the same, at the last level
///
/// # Errors
/// [`Error::Interrupted`](crate::Error::Interrupted) when `on_step` breaks off.
pub fn ddnm_plus(
    walk: &mut Walk,
    measurement: &Measurement<dyn Decomposed + '_>,
    mut x: Tensor<4>,
) -> Result<Tensor<4>> {
    let a = measurement.operator;
    let singular = a.singular_values();
    let seen = singular.clone().greater_elem(0.0).float();
    // What is lost is divided by 1, so that it stays finite, and multiplied with 0.
    let divisor = singular + (seen.clone().neg() + 1.0);
    let target = a.measured(measurement.y.clone()) / divisor.clone();
    let noise_std = seen.clone() * measurement.noise_std / divisor;
    for (step, (now, next)) in walk.steps() {
        let denoised = walk.denoise(&x, now);
        let Posterior {
            kept,
            pull,
            variance,
        } = Posterior::between(now, next);
        let std = variance.max(0.0).sqrt();
        let estimate = a.to_spectrum(denoised.clone());
        // The noise that a full correction would bring along, and the share of it there is room for.
        let brought = noise_std.clone() * pull;
        let share = ((brought.clone() + f32::MIN_POSITIVE).recip()
            * std.max(f64::from(f32::MIN_POSITIVE)))
        .clamp_max(1.0);
        let corrected =
            estimate.clone() + (target.clone() - estimate) * (share.clone() * seen.clone());
        x = x * kept + a.to_image(corrected) * pull;
        if next.sigma > 0.0 {
            // std² - brought², as a product: nothing cancels where there is no room.
            let room = (brought.clone().neg() + std).clamp_min(0.0) * (brought + std);
            let fresh = a.to_spectrum(walk.draw(step + 1, &x)) * room.sqrt();
            x = x + a.to_image(fresh);
        }
        walk.done(step, &x, &denoised)?;
    }
    Ok(x)
}
