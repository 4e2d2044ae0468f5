//! Euler-Maruyama on the reverse SDE. Library only: the faces sample on levels, not in time.

use burn::tensor::Tensor;

use crate::diffusion::denoiser::{Denoiser, NoiseSource, OnStep, proceed};
use crate::diffusion::posterior::score;
use crate::diffusion::sde::Sde;
use crate::error::{Error, Hint, Key, Result};

impl Sde {
    /// Euler-Maruyama on the reverse SDE (eq. 6) from t = 1 to [`smallest_time`] in equal steps:
    /// `x <- x - (f x - g² score) dt + g sqrt(dt) z`; the last step adds no noise, and then the x0
    /// estimate is taken (Tweedie's formula). Step i asks for draw i + 1. `probability_flow` takes
    /// half the score and no noise instead (eq. 13).
    ///
    /// # Shapes
    /// - `x`: `[batch, bands, height, width]`, sigma(1) times noise
    /// - output: the same, clean
    ///
    /// # Errors
    /// [`Error::Setting`] for no steps; [`Error::Interrupted`] when `on_step` breaks off.
    ///
    /// [`smallest_time`]: Self::smallest_time
    pub fn euler_maruyama(
        &self,
        denoiser: &dyn Denoiser,
        mut x: Tensor<4>,
        steps: usize,
        probability_flow: bool,
        noise: &mut dyn NoiseSource,
        on_step: &mut OnStep,
    ) -> Result<Tensor<4>> {
        if steps == 0 {
            return Err(Error::Setting {
                key: Key::Steps,
                expected: "at least 1".into(),
                got: "0".into(),
                hint: Hint::Advice("1000 steps are usual"),
            });
        }
        let last = self.smallest_time();
        let dt = (1.0 - last) / steps as f64;
        for step in 0..steps {
            let t = 1.0 - step as f64 * dt;
            let level = self.level(t);
            let denoised = denoiser.denoise(x.clone(), level);
            let score = score(&x, &denoised, level);
            let (f, g) = (self.drift(t), self.diffusion(t));
            let share = if probability_flow { 0.5 } else { 1.0 };
            x = x * (1.0 - f * dt) + score * (share * g * g * dt);
            if !probability_flow && step + 1 < steps {
                x = x.clone() + noise.draw(step + 1, &x.device()) * (g * dt.sqrt());
            }
            proceed(on_step(step, &x, &denoised))?;
        }
        Ok(denoiser.denoise(x, self.level(last)))
    }
}
