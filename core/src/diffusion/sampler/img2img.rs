//! Starting from an image instead of from noise (SDEdit, Meng et al. 2022).

use burn::tensor::Tensor;

use crate::diffusion::denoiser::NoiseLevel;
use crate::error::{Error, Hint, Key, Result};

/// The part of `levels` that a start from an image walks: the last `floor(strength * steps)`
/// steps, as diffusers' img2img pipelines do, but at least one.
///
/// # Errors
/// [`Error::Setting`] for a `strength` that is not above 0 and at most 1.
pub fn walked(levels: &[NoiseLevel], strength: f64) -> Result<&[NoiseLevel]> {
    if !(strength > 0.0 && strength <= 1.0) {
        return Err(Error::Setting {
            key: Key::Strength,
            expected: "above 0, at most 1".into(),
            got: strength.to_string(),
            hint: Hint::Advice("0.3 keeps most of the image, 0.8 little of it"),
        });
    }
    let steps = levels.len().saturating_sub(1);
    let walked = ((strength * steps as f64) as usize).clamp(1, steps.max(1));
    Ok(&levels[steps.saturating_sub(walked)..])
}

/// An image brought to a noise level: `x = alpha image + sigma noise`.
///
/// # Shapes
/// - `image`, `noise`, output: `[batch, bands, height, width]`
pub fn noised(image: Tensor<4>, noise: Tensor<4>, level: NoiseLevel) -> Tensor<4> {
    noise * level.sigma + image * level.alpha
}
