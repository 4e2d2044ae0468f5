//! Starting from an image instead of from noise (SDEdit, Meng et al. 2022).

use burn::tensor::Tensor;

use crate::diffusion::denoiser::NoiseLevel;
use crate::error::{Error, Result};

/// The part of `levels` that a start from an image walks, and the image brought to its first
/// level with `noise`: `x = alpha image + sigma noise`.
///
/// `strength` is the share of the steps that are walked, rounded down as in diffusers: 1 walks
/// all of them and keeps little of the image, 0 none and returns it.
///
/// # Shapes
/// - `image`, `noise`, output: `[batch, bands, height, width]`
///
/// # Errors
/// [`Error::Setting`] for a `strength` outside 0 to 1 and for an empty list of levels.
pub fn start_from(
    image: Tensor<4>,
    levels: &[NoiseLevel],
    strength: f64,
    noise: Tensor<4>,
) -> Result<(Tensor<4>, &[NoiseLevel])> {
    let fail = |what, expected: &str, got: String| {
        Err(Error::Setting {
            what,
            expected: expected.into(),
            got,
            hint: "0.5 keeps the layout of an image and redraws its detail",
        })
    };
    if !(0.0..=1.0).contains(&strength) {
        return fail("strength", "0 to 1", strength.to_string());
    }
    let steps = levels.len().saturating_sub(1);
    let walked = ((steps as f64 * strength) as usize).min(steps);
    let part = &levels[steps - walked..];
    match part.first() {
        Some(first) => Ok((image * first.alpha + noise * first.sigma, part)),
        None => fail("levels", "at least one", "none".into()),
    }
}
