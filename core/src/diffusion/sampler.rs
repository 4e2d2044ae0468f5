//! Samplers: from noise to an image, each one short function of (denoiser, x, levels).
//!
//! A sampler walks down a list of noise levels, usually [`Schedule::levels`], which ends with
//! the clean image. All are written in terms of `x = alpha x0 + sigma n`, so that they serve
//! variance-preserving and variance-exploding levels alike. Their scalars are computed on the
//! host in f64; nothing is read back from the device.
//!
//! [`Schedule::levels`]: super::schedule::Schedule::levels

use std::ops::ControlFlow;
use std::str::FromStr;

use burn::tensor::Tensor;
use serde::{Deserialize, Serialize};

use super::denoiser::{Denoiser, NoiseLevel};
use super::noise::NoiseSource;
use crate::error::{Error, Result};

/// Which sampler to run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Sampler {
    /// [`ddpm`], stochastic; made for all T timesteps.
    #[serde(rename = "ddpm")]
    Ddpm,
    /// [`ddim`], deterministic at eta 0.
    #[serde(rename = "ddim")]
    Ddim,
    /// [`dpmpp_2m`], deterministic, second order at one network call a step.
    #[serde(rename = "dpmpp-2m")]
    DpmSolverPp2m,
    /// [`heun`], deterministic, second order at two network calls a step.
    #[serde(rename = "heun")]
    Heun,
}

impl Sampler {
    /// All samplers, in the order a user reads them.
    pub const ALL: [Sampler; 4] = [
        Sampler::Ddpm,
        Sampler::Ddim,
        Sampler::DpmSolverPp2m,
        Sampler::Heun,
    ];

    /// The name a user types.
    pub fn name(self) -> &'static str {
        match self {
            Sampler::Ddpm => "ddpm",
            Sampler::Ddim => "ddim",
            Sampler::DpmSolverPp2m => "dpmpp-2m",
            Sampler::Heun => "heun",
        }
    }

    /// Network calls for `steps` steps to the clean image.
    pub fn calls(self, steps: usize) -> usize {
        match self {
            Sampler::Heun => (2 * steps).saturating_sub(1),
            _ => steps,
        }
    }
}

impl FromStr for Sampler {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        Self::ALL
            .into_iter()
            .find(|s| s.name() == name)
            .ok_or_else(|| Error::Setting {
                what: "sampler",
                expected: format!("one of {}", Self::ALL.map(Sampler::name).join(", ")),
                got: name.to_owned(),
                hint: "heun and dpmpp-2m need the fewest steps",
            })
    }
}

/// Called after every step with its number from 0, x after the step, and the x0 estimate the
/// step was made from; breaking off ends the run with [`Error::Interrupted`].
pub type OnStep<'a> = dyn FnMut(usize, &Tensor<4>, &Tensor<4>) -> ControlFlow<()> + 'a;

/// Runs `sampler`; `eta` is used by [`ddim`] alone.
///
/// # Errors
/// As the sampler's own function.
pub fn sample(
    sampler: Sampler,
    denoiser: &dyn Denoiser,
    x: Tensor<4>,
    levels: &[NoiseLevel],
    eta: f64,
    noise: &mut dyn NoiseSource,
    on_step: &mut OnStep,
) -> Result<Tensor<4>> {
    match sampler {
        Sampler::Ddpm => ddpm(denoiser, x, levels, noise, on_step),
        Sampler::Ddim => ddim(denoiser, x, levels, eta, noise, on_step),
        Sampler::DpmSolverPp2m => dpmpp_2m(denoiser, x, levels, on_step),
        Sampler::Heun => heun(denoiser, x, levels, on_step),
    }
}

/// Ancestral sampling: every step draws from the posterior `q(x_next | x, x0 estimate)` with
/// its own, the «fixed small» variance (Ho et al. 2020, eq. 6 and 7; for any alpha and sigma
/// Kingma et al. 2021, eq. 25 to 29). The estimate is not clipped.
///
/// # Shapes
/// - `x`: `[batch, bands, height, width]` at `levels[0]`, e.g. its sigma times noise draw 0;
///   step i asks for draw i + 1
/// - output: the same, at the last level
///
/// # Errors
/// [`Error::Interrupted`] when `on_step` breaks off.
pub fn ddpm(
    denoiser: &dyn Denoiser,
    mut x: Tensor<4>,
    levels: &[NoiseLevel],
    noise: &mut dyn NoiseSource,
    on_step: &mut OnStep,
) -> Result<Tensor<4>> {
    for (step, (now, next)) in pairs(levels) {
        let denoised = denoiser.denoise(x.clone(), now);
        let ratio = now.alpha / next.alpha;
        let kept = ratio * (next.sigma / now.sigma).powi(2);
        x = x * kept + denoised.clone() * (next.alpha * added(now, next) / now.sigma.powi(2));
        if next.sigma > 0.0 {
            let std = posterior_variance(now, next).max(1e-20).sqrt();
            x = x.clone() + noise.draw(step + 1, &x.device()) * std;
        }
        proceed(on_step(step, &x, &denoised))?;
    }
    Ok(x)
}

/// DDIM (Song et al. 2021, eq. 12 and 16): deterministic at `eta` 0, as noisy as [`ddpm`] at 1.
///
/// # Shapes
/// - `x`: `[batch, bands, height, width]` at `levels[0]`, e.g. its sigma times noise draw 0;
///   with `eta` above 0 step i asks for draw i + 1
/// - output: the same, at the last level
///
/// # Errors
/// [`Error::Setting`] for an `eta` outside 0 to 1; [`Error::Interrupted`] when `on_step` breaks
/// off.
pub fn ddim(
    denoiser: &dyn Denoiser,
    mut x: Tensor<4>,
    levels: &[NoiseLevel],
    eta: f64,
    noise: &mut dyn NoiseSource,
    on_step: &mut OnStep,
) -> Result<Tensor<4>> {
    if !(0.0..=1.0).contains(&eta) {
        return Err(Error::Setting {
            what: "eta",
            expected: "0 to 1".into(),
            got: eta.to_string(),
            hint: "0 is deterministic, 1 adds as much noise as ddpm",
        });
    }
    for (step, (now, next)) in pairs(levels) {
        let denoised = denoiser.denoise(x.clone(), now);
        let variance = eta * eta * posterior_variance(now, next);
        // The predicted noise (x - alpha x0) / sigma keeps what the fresh noise leaves of sigma.
        let kept = (next.sigma.powi(2) - variance).max(0.0).sqrt() / now.sigma;
        x = x * kept + denoised.clone() * (next.alpha - kept * now.alpha);
        if variance > 0.0 {
            x = x.clone() + noise.draw(step + 1, &x.device()) * variance.sqrt();
        }
        proceed(on_step(step, &x, &denoised))?;
    }
    Ok(x)
}

/// DPM-Solver++ 2M (Lu et al. 2022b, algorithm 2, midpoint), in half the log of the
/// signal-to-noise ratio as its time. The first step and the last are of first order: the
/// last to the clean image always, to another level in runs of fewer than 15 steps (the rule
/// `lower_order_final` of diffusers).
///
/// # Shapes
/// - `x`: `[batch, bands, height, width]` at `levels[0]`
/// - output: the same, at the last level
///
/// # Errors
/// [`Error::Interrupted`] when `on_step` breaks off.
pub fn dpmpp_2m(
    denoiser: &dyn Denoiser,
    mut x: Tensor<4>,
    levels: &[NoiseLevel],
    on_step: &mut OnStep,
) -> Result<Tensor<4>> {
    let steps = levels.len().saturating_sub(1);
    let lambda = |level: NoiseLevel| -level.relative_sigma().ln();
    // The previous step's estimate and length.
    let mut previous: Option<(Tensor<4>, f64)> = None;
    for (step, (now, next)) in pairs(levels) {
        let denoised = denoiser.denoise(x.clone(), now);
        let length = lambda(next) - lambda(now); // infinite to the clean image
        let low_order = step + 1 == steps && (next.sigma == 0.0 || steps < 15);
        let ahead = match previous.take() {
            Some((before, before_length)) if !low_order => {
                let change = denoised.clone() - before;
                denoised.clone() + change * (0.5 * length / before_length)
            }
            _ => denoised.clone(),
        };
        x = x * (next.sigma / now.sigma) - ahead * (next.alpha * (-length).exp_m1());
        proceed(on_step(step, &x, &denoised))?;
        previous = Some((denoised, length));
    }
    Ok(x)
}

/// Heun's second order method on the probability-flow ODE (Karras et al. 2022, algorithm 1
/// without churn), integrated over `sigma / alpha` for `x / alpha`.
///
/// # Shapes
/// - `x`: `[batch, bands, height, width]` at `levels[0]`
/// - output: the same, at the last level
///
/// # Errors
/// [`Error::Interrupted`] when `on_step` breaks off.
pub fn heun(
    denoiser: &dyn Denoiser,
    mut x: Tensor<4>,
    levels: &[NoiseLevel],
    on_step: &mut OnStep,
) -> Result<Tensor<4>> {
    for (step, (now, next)) in pairs(levels) {
        let (sigma, sigma_next) = (now.relative_sigma(), next.relative_sigma());
        let denoised = denoiser.denoise(x.clone(), now);
        let scaled = x / now.alpha;
        let slope = (scaled.clone() - denoised.clone()) / sigma;
        let mut moved = scaled.clone() + slope.clone() * (sigma_next - sigma);
        if next.sigma > 0.0 {
            let again = denoiser.denoise(moved.clone() * next.alpha, next);
            let slope_next = (moved - again) / sigma_next;
            moved = scaled + (slope + slope_next) * ((sigma_next - sigma) / 2.0);
        }
        x = moved * next.alpha;
        proceed(on_step(step, &x, &denoised))?;
    }
    Ok(x)
}

/// The steps of a run, numbered from 0: the level it starts from and the one it reaches.
fn pairs(levels: &[NoiseLevel]) -> impl Iterator<Item = (usize, (NoiseLevel, NoiseLevel))> + '_ {
    levels.windows(2).map(|pair| (pair[0], pair[1])).enumerate()
}

/// Variance of the noise that lies between two levels, at the scale of the noisier one.
fn added(now: NoiseLevel, next: NoiseLevel) -> f64 {
    now.sigma.powi(2) - (now.alpha / next.alpha * next.sigma).powi(2)
}

/// Variance of `q(x_next | x, x0)`; 0 where `next` is clean.
fn posterior_variance(now: NoiseLevel, next: NoiseLevel) -> f64 {
    added(now, next) * (next.sigma / now.sigma).powi(2)
}

fn proceed(flow: ControlFlow<()>) -> Result<()> {
    match flow {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break(()) => Err(Error::Interrupted),
    }
}

#[cfg(test)]
mod tests {
    use burn::tensor::{Device, TensorData};

    use super::*;
    use crate::diffusion::schedule::{Schedule, Spacing};

    const KARRAS: Schedule = Schedule::Karras {
        sigma_min: 0.002,
        sigma_max: 80.0,
        rho: 7.0,
    };

    /// Always certain of the same image, and counts its calls.
    struct Certain(std::cell::Cell<usize>);

    impl Denoiser for Certain {
        fn denoise(&self, x: Tensor<4>, _level: NoiseLevel) -> Tensor<4> {
            self.0.set(self.0.get() + 1);
            x.ones_like() * 0.25
        }
    }

    /// Hands out constants and remembers which draws it was asked for.
    struct Asked(Vec<usize>);

    impl NoiseSource for Asked {
        fn draw(&mut self, draw: usize, device: &Device) -> Tensor<4> {
            self.0.push(draw);
            Tensor::from_data(TensorData::new(vec![0.5f32, -1.0], [1, 1, 1, 2]), device)
        }
    }

    fn run(sampler: Sampler, eta: f64, on_step: &mut OnStep) -> (Result<Vec<f32>>, usize, Asked) {
        let schedule = Schedule::Linear {
            timesteps: 1000,
            beta_start: 1e-4,
            beta_end: 0.02,
        };
        let levels = match sampler {
            Sampler::Heun => KARRAS.levels(8, Spacing::Trailing),
            _ => schedule.levels(8, Spacing::Trailing),
        }
        .expect("valid");
        let (denoiser, mut noise) = (Certain(Default::default()), Asked(vec![]));
        let x = noise.draw(0, &Device::flex()) * levels[0].sigma;
        let out = sample(sampler, &denoiser, x, &levels, eta, &mut noise, on_step);
        let values = out.map(|x| x.into_data().iter::<f32>().collect());
        (values, denoiser.0.get(), noise)
    }

    #[test]
    fn a_certain_denoiser_is_believed() {
        for sampler in Sampler::ALL {
            let mut steps = Vec::new();
            let (out, calls, noise) = run(sampler, 0.0, &mut |step, x, denoised| {
                assert_eq!(x.dims(), denoised.dims());
                steps.push(step);
                ControlFlow::Continue(())
            });
            for value in out.expect("not interrupted") {
                assert!((value - 0.25).abs() < 1e-5, "{}: {value}", sampler.name());
            }
            assert_eq!(calls, sampler.calls(8), "{}", sampler.name());
            assert_eq!(steps, (0..8).collect::<Vec<_>>());
            // Step i asks for draw i + 1, the last step for none.
            let asked = if sampler == Sampler::Ddpm { 8 } else { 1 };
            assert_eq!(
                noise.0,
                (0..asked).collect::<Vec<_>>(),
                "{}",
                sampler.name()
            );
        }
        let (_, _, noise) = run(Sampler::Ddim, 1.0, &mut |_, _, _| ControlFlow::Continue(()));
        assert_eq!(noise.0, (0..8).collect::<Vec<_>>());
    }

    #[test]
    fn stops_when_asked() {
        for sampler in Sampler::ALL {
            let (out, calls, _) = run(sampler, 0.0, &mut |step, _, _| match step {
                2 => ControlFlow::Break(()),
                _ => ControlFlow::Continue(()),
            });
            assert!(matches!(out, Err(Error::Interrupted)));
            assert!(calls <= 6);
        }
    }

    #[test]
    fn ddim_at_eta_one_is_ddpm() {
        let go = |sampler| {
            let mut states: Vec<f32> = Vec::new();
            let mut keep = |_: usize, x: &Tensor<4>, _: &Tensor<4>| {
                states.extend(x.to_data().iter::<f32>());
                ControlFlow::Continue(())
            };
            run(sampler, 1.0, &mut keep).0.expect("not interrupted");
            states
        };
        for (a, b) in go(Sampler::Ddim).into_iter().zip(go(Sampler::Ddpm)) {
            assert!((a - b).abs() < 1e-5, "{a} {b}");
        }
    }

    #[test]
    fn names_go_both_ways() {
        for sampler in Sampler::ALL {
            assert_eq!(sampler.name().parse::<Sampler>().ok(), Some(sampler));
            let json = serde_json::to_string(&sampler).expect("json");
            assert_eq!(json, format!("\"{}\"", sampler.name()));
        }
        let error = "euler".parse::<Sampler>().expect_err("not built yet");
        assert_eq!(
            error.to_string(),
            "sampler must be one of ddpm, ddim, dpmpp-2m, heun, got euler"
        );
        let eta = run(Sampler::Ddim, 1.5, &mut |_, _, _| ControlFlow::Continue(())).0;
        assert!(matches!(eta, Err(Error::Setting { what: "eta", .. })));
    }
}
