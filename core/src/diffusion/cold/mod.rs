//! Cold diffusion: restoring step by step what was degraded step by step, without noise (Bansal
//! et al. 2022).

mod degradation;
mod holes;
mod kind;

use burn::tensor::Tensor;

use super::denoiser::{Denoiser, NoiseLevel, OnStep, proceed};
use crate::error::Result;

pub use degradation::{Blurred, Degradation, Downsampled, Masked};
pub use holes::{Growing, depths};
pub use kind::Kind;

/// What a restoring network is told at a step: no noise, and the step as its time. A network that
/// predicts the clean image sees the degraded one as it is.
pub fn level(step: usize) -> NoiseLevel {
    NoiseLevel {
        alpha: 1.0,
        sigma: 0.0,
        timestep: step as f64,
    }
}

/// The levels of all steps but 0, what a network is trained at.
pub fn training_levels(steps: usize) -> Vec<NoiseLevel> {
    (1..=steps).map(level).collect()
}

/// The improved sampler (algorithm 2): `x <- x - D(x0, s) + D(x0, s - 1)` from the last step of
/// the degradation down to the clean image. Errors of the estimate that both degradations share
/// cancel, and where D is linear in s every one does.
///
/// # Shapes
/// - `x`: `[batch, bands, height, width]`, degraded by all `degradation.steps()`
/// - output: the same, restored
///
/// # Errors
/// [`Error::Interrupted`](crate::Error::Interrupted) when `on_step` breaks off.
pub fn restore(
    denoiser: &dyn Denoiser,
    degradation: &dyn Degradation,
    mut x: Tensor<4>,
    on_step: &mut OnStep,
) -> Result<Tensor<4>> {
    for (number, step) in (1..=degradation.steps()).rev().enumerate() {
        let restored = denoiser.denoise(x.clone(), level(step));
        x = x - degradation.degrade(restored.clone(), step)
            + degradation.degrade(restored.clone(), step - 1);
        proceed(on_step(number, &x, &restored))?;
    }
    Ok(x)
}

#[cfg(test)]
mod tests {
    use std::ops::ControlFlow;

    use burn::tensor::{Device, TensorData};

    use super::*;
    use crate::error::Error;

    fn image() -> Tensor<4> {
        let values: Vec<f32> = (0..2 * 64)
            .map(|i| ((i * 37 % 23) as f32 - 11.0) / 7.0)
            .collect();
        Tensor::from_data(TensorData::new(values, [1, 2, 8, 8]), &Device::flex())
    }

    fn difference(a: Tensor<4>, b: Tensor<4>) -> f32 {
        (a - b).abs().max().into_scalar::<f32>()
    }

    fn go(denoiser: &dyn Denoiser, degradation: &dyn Degradation) -> f32 {
        let x = degradation.degrade(image(), degradation.steps());
        let out = restore(denoiser, degradation, x, &mut |_, _, _| {
            ControlFlow::Continue(())
        });
        difference(out.expect("not interrupted"), image())
    }

    /// Knows the answer, up to an offset.
    struct Oracle(f32);

    impl Denoiser for Oracle {
        fn denoise(&self, _: Tensor<4>, _: NoiseLevel) -> Tensor<4> {
            image() + self.0
        }
    }

    fn all() -> [Box<dyn Degradation>; 3] {
        let device = Device::flex();
        [
            Box::new(Blurred::new(&[0.5, 1.0, 1.5], (8, 8), &device)),
            Box::new(Masked::new(6, (8, 8), &device)),
            Box::new(Downsampled::new(3, (8, 8), &device)),
        ]
    }

    #[test]
    fn a_perfect_restorer_restores() {
        for degradation in all() {
            let worst = difference(degradation.degrade(image(), degradation.steps()), image());
            assert!(worst > 0.5, "degrades little: {worst}");
            assert!(go(&Oracle(0.0), degradation.as_ref()) < 1e-5);
        }
    }

    #[test]
    fn nothing_is_degraded_in_step_zero() {
        for degradation in all() {
            assert_eq!(difference(degradation.degrade(image(), 0), image()), 0.0);
        }
    }

    /// What both degradations keep of an error cancels: here an offset, which a blur and block
    /// means keep whole.
    #[test]
    fn shared_errors_cancel() {
        let [blurred, _, downsampled] = all();
        for degradation in [blurred, downsampled] {
            assert!(go(&Oracle(0.5), degradation.as_ref()) < 1e-5);
        }
    }

    /// Wherever the degradation is linear in its step, any restorer will do (sect. 3.3).
    #[test]
    fn a_linear_degradation_is_undone_by_any_restorer() {
        struct Fog;
        impl Degradation for Fog {
            fn steps(&self) -> usize {
                5
            }
            fn degrade(&self, x0: Tensor<4>, step: usize) -> Tensor<4> {
                x0 + step as f64 * 0.3
            }
        }
        struct Wrong;
        impl Denoiser for Wrong {
            fn denoise(&self, x: Tensor<4>, _: NoiseLevel) -> Tensor<4> {
                x.sin() * 3.0
            }
        }
        assert!(go(&Wrong, &Fog) < 1e-5);
    }

    #[test]
    fn stops_when_asked() {
        let [blurred, ..] = all();
        let out = restore(&Oracle(0.0), blurred.as_ref(), image(), &mut |_, _, _| {
            ControlFlow::Break(())
        });
        assert!(matches!(out, Err(Error::Interrupted)));
    }
}
