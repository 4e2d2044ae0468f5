//! Noise schedules: how noisy each timestep is, and which noise levels a sampler visits.
//!
//! All of it is host arithmetic in f64, done once a run.

mod spacing;
mod zero_snr;

use std::f64::consts::FRAC_PI_2;

use serde::{Deserialize, Serialize};

pub use spacing::{Spacing, karras_sigmas, timesteps};
use spacing::{karras_of, linspace};

use super::denoiser::NoiseLevel;
use super::sde::Sde;
use crate::error::{Error, Hint, Key, Result};
pub use zero_snr::{Base, rescale_zero_terminal_snr};

/// Largest beta of the schedules that are defined through alpha-bar (Nichol & Dhariwal 2021,
/// sect. 3.2): keeps the last steps of a schedule that ends at zero signal finite.
const MAX_BETA: f64 = 0.999;

/// Smallest alpha-bar of a level of `zero-terminal-snr`, 2^-24.
const LEAST_ALPHA_BAR: f64 = 1.0 / 16_777_216.0;

/// Most timesteps or steps a file may ask for; far beyond any use.
const MAX_STEPS: usize = 100_000;

/// A noise schedule as the model card stores it, e.g. `{"name": "linear", "timesteps": 1000}`.
///
/// All but `karras`, `geometric` and `sub-vp-sde` are variance-preserving: `alpha² = alpha-bar`,
/// `sigma² = 1 - alpha-bar`, where alpha-bar is the running product of `1 - beta`. Left-out numbers
/// take the values of the papers. `timesteps` does not rescale the betas: 1e-4 to 0.02 are meant
/// for 1000.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(tag = "name", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Schedule {
    /// Betas linear in the timestep (Ho et al. 2020, sect. 4).
    Linear {
        /// Length T of the diffusion.
        #[serde(default = "thousand")]
        timesteps: usize,
        /// First beta.
        #[serde(default = "linear_start")]
        beta_start: f64,
        /// Last beta.
        #[serde(default = "linear_end")]
        beta_end: f64,
    },
    /// Square roots of the betas linear in the timestep (Rombach et al. 2022); some code calls
    /// this one "linear".
    ScaledLinear {
        /// Length T of the diffusion.
        #[serde(default = "thousand")]
        timesteps: usize,
        /// First beta.
        #[serde(default = "scaled_start")]
        beta_start: f64,
        /// Last beta.
        #[serde(default = "scaled_end")]
        beta_end: f64,
    },
    /// alpha-bar a squared cosine (Nichol & Dhariwal 2021, eq. 17, s = 0.008).
    Cosine {
        /// Length T of the diffusion.
        #[serde(default = "thousand")]
        timesteps: usize,
    },
    /// Betas a sigmoid over -6..6 (Xu et al. 2022, GeoDiff).
    SigmoidBeta {
        /// Length T of the diffusion.
        #[serde(default = "thousand")]
        timesteps: usize,
        /// Lower end of the sigmoid.
        #[serde(default = "linear_start")]
        beta_start: f64,
        /// Upper end of the sigmoid.
        #[serde(default = "linear_end")]
        beta_end: f64,
    },
    /// alpha-bar a sigmoid over -3..3 with temperature 1 (Jabri et al. 2022; Chen 2023).
    SigmoidAlphaBar {
        /// Length T of the diffusion.
        #[serde(default = "thousand")]
        timesteps: usize,
    },
    /// Variance-exploding sigmas (Karras et al. 2022, eq. 5).
    Karras {
        /// Smallest sigma.
        #[serde(default = "karras_min")]
        sigma_min: f64,
        /// Largest sigma.
        #[serde(default = "karras_max")]
        sigma_max: f64,
        /// Crowds the steps towards small sigmas.
        #[serde(default = "karras_rho")]
        rho: f64,
    },
    /// Variance-exploding sigmas in geometric sequence: noise-conditioned score networks (Song &
    /// Ermon 2019, sect. 4.2) and the VE-SDE (Song et al. 2021b, appendix C), whose t runs from 0
    /// to 1 over the timesteps.
    Geometric {
        /// How many sigmas.
        #[serde(default = "thousand")]
        timesteps: usize,
        /// Smallest sigma.
        #[serde(default = "geometric_min")]
        sigma_min: f64,
        /// Largest sigma, best the largest distance between two images
        /// ([`ncsn`](super::ncsn)).
        #[serde(default = "geometric_max")]
        sigma_max: f64,
    },
    /// The VP-SDE (Song et al. 2021b, eq. 32 and 33): beta linear in continuous time, t from
    /// 0.001 to 1 over the timesteps.
    VpSde {
        /// How many points of time.
        #[serde(default = "thousand")]
        timesteps: usize,
        /// beta at t = 0.
        #[serde(default = "sde_start")]
        beta_min: f64,
        /// beta at t = 1.
        #[serde(default = "sde_end")]
        beta_max: f64,
    },
    /// The sub-VP-SDE (Song et al. 2021b, eq. 12): `sigma = 1 - alpha²`, less noise than
    /// `vp-sde` at every t.
    SubVpSde {
        /// How many points of time.
        #[serde(default = "thousand")]
        timesteps: usize,
        /// beta at t = 0.
        #[serde(default = "sde_start")]
        beta_min: f64,
        /// beta at t = 1.
        #[serde(default = "sde_end")]
        beta_max: f64,
    },
    /// Another schedule rescaled so that its last timestep is pure noise (Lin et al. 2024,
    /// algorithm 1); a network must predict `v` or `x0` there.
    ZeroTerminalSnr {
        /// Length T of the diffusion.
        #[serde(default = "thousand")]
        timesteps: usize,
        /// The schedule, with the numbers of its paper.
        base: Base,
    },
}

fn thousand() -> usize {
    1000
}
fn linear_start() -> f64 {
    1e-4
}
fn linear_end() -> f64 {
    0.02
}
fn scaled_start() -> f64 {
    0.00085
}
fn scaled_end() -> f64 {
    0.012
}
fn karras_min() -> f64 {
    0.002
}
fn karras_max() -> f64 {
    80.0
}
fn karras_rho() -> f64 {
    7.0
}
fn geometric_min() -> f64 {
    0.01
}
fn geometric_max() -> f64 {
    50.0
}
fn sde_start() -> f64 {
    0.1
}
fn sde_end() -> f64 {
    20.0
}

impl Schedule {
    /// Rejects numbers no honest model card holds (the card may come from a hostile file).
    ///
    /// # Errors
    /// [`Error::Setting`] naming the first field that is out of range.
    pub fn validate(&self) -> Result<()> {
        let check = |ok: bool, name, expected: &str, got: String| {
            let expected = expected.to_owned();
            if ok {
                Ok(())
            } else {
                Err(Error::Setting {
                    key: Key::Field(name),
                    expected,
                    got,
                    hint: Hint::Advice("see the schedule in the model card or the training recipe"),
                })
            }
        };
        if let Some(t) = self.timesteps() {
            check(
                (1..=MAX_STEPS).contains(&t),
                "timesteps",
                "1 to 100000",
                t.to_string(),
            )?;
        }
        match *self {
            Schedule::Linear {
                beta_start: a,
                beta_end: b,
                ..
            }
            | Schedule::ScaledLinear {
                beta_start: a,
                beta_end: b,
                ..
            }
            | Schedule::SigmoidBeta {
                beta_start: a,
                beta_end: b,
                ..
            } => check(
                0.0 < a && a <= b && b < 1.0,
                "beta_start, beta_end",
                "increasing, between 0 and 1",
                format!("{a}, {b}"),
            ),
            Schedule::Karras {
                sigma_min,
                sigma_max,
                rho,
            } => {
                check(
                    0.0 < sigma_min && sigma_min < sigma_max && sigma_max < 1e6,
                    "sigma_min, sigma_max",
                    "increasing, between 0 and 1e6",
                    format!("{sigma_min}, {sigma_max}"),
                )?;
                check(
                    (0.1..=100.0).contains(&rho),
                    "rho",
                    "0.1 to 100",
                    rho.to_string(),
                )
            }
            Schedule::Geometric {
                sigma_min,
                sigma_max,
                ..
            } => check(
                0.0 < sigma_min && sigma_min < sigma_max && sigma_max < 1e6,
                "sigma_min, sigma_max",
                "increasing, between 0 and 1e6",
                format!("{sigma_min}, {sigma_max}"),
            ),
            Schedule::VpSde {
                beta_min, beta_max, ..
            }
            | Schedule::SubVpSde {
                beta_min, beta_max, ..
            } => check(
                0.0 < beta_min && beta_min <= beta_max && beta_max <= 100.0,
                "beta_min, beta_max",
                "increasing, above 0, at most 100",
                format!("{beta_min}, {beta_max}"),
            ),
            Schedule::Cosine { .. }
            | Schedule::SigmoidAlphaBar { .. }
            | Schedule::ZeroTerminalSnr { .. } => Ok(()),
        }
    }

    /// Length T of the schedule; none for `karras`, which is continuous.
    pub fn timesteps(&self) -> Option<usize> {
        match *self {
            Schedule::Linear { timesteps, .. }
            | Schedule::ScaledLinear { timesteps, .. }
            | Schedule::Cosine { timesteps }
            | Schedule::SigmoidBeta { timesteps, .. }
            | Schedule::SigmoidAlphaBar { timesteps }
            | Schedule::Geometric { timesteps, .. }
            | Schedule::VpSde { timesteps, .. }
            | Schedule::SubVpSde { timesteps, .. }
            | Schedule::ZeroTerminalSnr { timesteps, .. } => Some(timesteps),
            Schedule::Karras { .. } => None,
        }
    }

    /// The diffusion in continuous time whose points of time the timesteps are, if any.
    pub fn sde(&self) -> Option<Sde> {
        match *self {
            Schedule::Geometric {
                sigma_min,
                sigma_max,
                ..
            } => Some(Sde::Ve {
                sigma_min,
                sigma_max,
            }),
            Schedule::VpSde {
                beta_min, beta_max, ..
            } => Some(Sde::Vp { beta_min, beta_max }),
            Schedule::SubVpSde {
                beta_min, beta_max, ..
            } => Some(Sde::SubVp { beta_min, beta_max }),
            _ => None,
        }
    }

    /// The betas of timesteps 0 to T - 1; empty for schedules that are defined by sigmas or in
    /// continuous time.
    pub fn betas(&self) -> Vec<f64> {
        match *self {
            Schedule::Linear {
                timesteps,
                beta_start,
                beta_end,
            } => linspace(beta_start, beta_end, timesteps).collect(),
            Schedule::ScaledLinear {
                timesteps,
                beta_start,
                beta_end,
            } => linspace(beta_start.sqrt(), beta_end.sqrt(), timesteps)
                .map(|b| b * b)
                .collect(),
            Schedule::Cosine { timesteps } => {
                let s = 0.008;
                betas_of(timesteps, |t| {
                    ((t + s) / (1.0 + s) * FRAC_PI_2).cos().powi(2)
                })
            }
            Schedule::SigmoidBeta {
                timesteps,
                beta_start,
                beta_end,
            } => linspace(-6.0, 6.0, timesteps)
                .map(|x| sigmoid(x) * (beta_end - beta_start) + beta_start)
                .collect(),
            Schedule::SigmoidAlphaBar { timesteps } => {
                let (start, end) = (-3.0, 3.0);
                let span = sigmoid(end) - sigmoid(start);
                betas_of(timesteps, |t| {
                    (sigmoid(end) - sigmoid(t * (end - start) + start)) / span
                })
            }
            Schedule::ZeroTerminalSnr { timesteps, base } => {
                rescale_zero_terminal_snr(&base.schedule(timesteps).betas())
            }
            Schedule::Karras { .. }
            | Schedule::Geometric { .. }
            | Schedule::VpSde { .. }
            | Schedule::SubVpSde { .. } => Vec::new(),
        }
    }

    /// alpha-bar of timesteps 0 to T - 1: the running product of `1 - beta`.
    pub fn alphas_cumprod(&self) -> Vec<f64> {
        let mut product = 1.0;
        let next = |beta: f64| {
            product *= 1.0 - beta;
            product
        };
        self.betas().into_iter().map(next).collect()
    }

    /// The noise levels of timesteps 0 to T - 1, what a discrete-time network is trained at;
    /// empty for `karras`. The last one of `zero-terminal-snr` keeps an alpha-bar of 2^-24, so
    /// that `sigma / alpha` stays finite, as in diffusers' solvers.
    pub fn training_levels(&self) -> Vec<NoiseLevel> {
        if let (Some(sde), Some(total)) = (self.sde(), self.timesteps()) {
            let first = match sde {
                Sde::Ve { .. } => 0.0,
                _ => sde.smallest_time(),
            };
            let times = linspace(first, 1.0, total).enumerate();
            return times
                .map(|(i, t)| NoiseLevel {
                    timestep: i as f64,
                    ..sde.level(t)
                })
                .collect();
        }
        let least = match self {
            Schedule::ZeroTerminalSnr { .. } => LEAST_ALPHA_BAR,
            _ => 0.0,
        };
        let level = |(t, bar): (usize, f64)| {
            let bar = bar.max(least);
            NoiseLevel {
                alpha: bar.sqrt(),
                sigma: (1.0 - bar).sqrt(),
                timestep: t as f64,
            }
        };
        self.alphas_cumprod()
            .into_iter()
            .enumerate()
            .map(level)
            .collect()
    }

    /// The levels a sampler of `steps` steps visits, from the noisiest to the clean image:
    /// `steps + 1` of them. `spacing` does not matter to `karras`.
    ///
    /// The last one is [`NoiseLevel::CLEAN`], i.e. diffusers' `set_alpha_to_one` (DDIM),
    /// `final_sigmas_type = "zero"` (DPM-Solver) and always in DDPM; its `steps_offset` is 0.
    /// A sampler steps to the next level of the list. diffusers' DDIM and DDPM step to
    /// `t - T / steps` instead, which is the same for leading and trailing where `steps`
    /// divides T, but skips or repeats ground in its linspace.
    ///
    /// # Errors
    /// [`Error::Setting`] for a schedule that is not [valid](Self::validate) and for `steps`
    /// outside 1..=T.
    pub fn levels(&self, steps: usize, spacing: Spacing) -> Result<Vec<NoiseLevel>> {
        self.validate()?;
        let most = self.timesteps().unwrap_or(MAX_STEPS);
        if !(1..=most).contains(&steps) {
            return Err(Error::Setting {
                key: Key::Steps,
                expected: format!("1 to {most}"),
                got: steps.to_string(),
                hint: Hint::Advice("a run cannot take more steps than the model was trained with"),
            });
        }
        let mut levels = match *self {
            Schedule::Karras {
                sigma_min,
                sigma_max,
                rho,
            } => karras_sigmas(steps, sigma_min, sigma_max, rho)
                .into_iter()
                .map(|sigma| NoiseLevel {
                    alpha: 1.0,
                    sigma,
                    timestep: 0.0,
                })
                .collect(),
            _ if spacing == Spacing::Karras => karras_of(self, steps),
            _ => {
                let all = self.training_levels();
                timesteps(most, steps, spacing)
                    .into_iter()
                    .map(|t| all[t])
                    .collect::<Vec<_>>()
            }
        };
        levels.push(NoiseLevel::CLEAN);
        Ok(levels)
    }
}

/// The betas whose running product follows `alpha_bar` over 0..=1, each at most 0.999.
fn betas_of(timesteps: usize, alpha_bar: impl Fn(f64) -> f64) -> Vec<f64> {
    let at = |i: usize| alpha_bar(i as f64 / timesteps as f64);
    (0..timesteps)
        .map(|i| (1.0 - at(i + 1) / at(i)).min(MAX_BETA))
        .collect()
}

fn sigmoid(x: f64) -> f64 {
    1.0 / (1.0 + (-x).exp())
}

#[cfg(test)]
mod tests;
