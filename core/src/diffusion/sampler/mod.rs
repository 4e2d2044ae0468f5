//! Samplers: from noise to an image, each one short function of (walk, x).
//!
//! A sampler walks down a list of noise levels, usually [`Schedule::levels`], which ends with
//! the clean image. All are written in terms of `x = alpha x0 + sigma n`, so that they serve
//! variance-preserving and variance-exploding levels alike. Their scalars are computed on the
//! host in f64; nothing is read back from the device.
//!
//! A new sampler is a function here and a line of the table below; every face lists it then.
//!
//! [`Schedule::levels`]: super::schedule::Schedule::levels

pub mod ancestral;
pub mod consistency;
pub mod dpm_solver;
pub mod dpm_solver_sde;
pub mod img2img;
pub mod karras;
pub mod linear_multistep;
mod options;
pub mod score;
mod sde;
#[cfg(test)]
mod tests;
pub mod unipc;
mod walk;

use std::str::FromStr;

use burn::tensor::Tensor;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

pub use options::{Churn, Options};
pub use walk::Walk;

use super::denoiser::{Denoiser, NoiseLevel, NoiseSource, OnStep};
use crate::error::{Error, Hint, Key, Result};

/// What a user chooses samplers by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Family {
    /// The same noise gives the same image: solvers of the probability-flow ODE.
    Deterministic,
    /// Noise is added on the way.
    Stochastic,
    /// For networks made for one to a few steps.
    FewSteps,
}

impl Family {
    /// All families, in the order a user reads them.
    pub const ALL: [Family; 3] = [Family::Deterministic, Family::Stochastic, Family::FewSteps];

    /// A heading for their names.
    pub fn title(self) -> &'static str {
        match self {
            Family::Deterministic => "deterministic",
            Family::Stochastic => "with noise on the way",
            Family::FewSteps => "for networks made for a few steps",
        }
    }
}

/// What is known of a sampler.
struct Facts {
    name: &'static str,
    family: Family,
    order: usize,
    calls: fn(usize, &Options) -> usize,
    run: fn(&mut Walk, Tensor<4>) -> Result<Tensor<4>>,
}

/// The table of samplers: documentation, variant and name, family, order of convergence where
/// one is defined (else 0), network calls for n steps to the clean image, function.
macro_rules! samplers {
    ($($(#[$doc:meta])* $variant:ident $name:literal $family:ident $order:literal
        $calls:expr => $run:path;)*) => {
        /// Which sampler to run; stored and typed by [its name](Sampler::name).
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Sampler {
            $($(#[$doc])* $variant,)*
        }

        impl Sampler {
            /// All samplers, in the order a user reads them.
            pub const ALL: [Sampler; [$($name),*].len()] = [$(Sampler::$variant),*];

            fn facts(self) -> Facts {
                match self {
                    $(Sampler::$variant => Facts {
                        name: $name,
                        family: Family::$family,
                        order: $order,
                        calls: $calls,
                        run: $run,
                    },)*
                }
            }
        }
    };
}

samplers! {
    /// [`dpm_solver::dpmpp_2m`]
    DpmSolverPp2m "dpmpp-2m" Deterministic 2 |n, _| n => dpm_solver::dpmpp_2m;
    /// [`dpm_solver::dpmpp_3m`]
    DpmSolverPp3m "dpmpp-3m" Deterministic 2 |n, _| n => dpm_solver::dpmpp_3m;
    /// [`dpm_solver::dpmpp_1s`]
    DpmSolverPp1s "dpmpp-1s" Deterministic 1 |n, _| n => dpm_solver::dpmpp_1s;
    /// [`dpm_solver::dpmpp_2s`]
    DpmSolverPp2s "dpmpp-2s" Deterministic 2 |n, _| n => dpm_solver::dpmpp_2s;
    /// [`unipc::unipc_bh1`]
    UniPcBh1 "unipc-bh1" Deterministic 3 |n, _| n => unipc::unipc_bh1;
    /// [`unipc::unipc_bh2`]
    UniPcBh2 "unipc-bh2" Deterministic 3 |n, _| n => unipc::unipc_bh2;
    /// [`karras::heun`]
    Heun "heun" Deterministic 2 |n, _| (2 * n).saturating_sub(1) => karras::heun;
    /// [`karras::euler`]
    Euler "euler" Deterministic 1 |n, _| n => karras::euler;
    /// [`linear_multistep::lms`]
    Lms "lms" Deterministic 4 |n, _| n => linear_multistep::lms;
    /// [`linear_multistep::plms`]
    Plms "plms" Deterministic 2 |n, _| n + usize::from(n > 1) => linear_multistep::plms;
    /// [`linear_multistep::pndm`]
    Pndm "pndm" Deterministic 2
        |n, _| n + 3 * n.saturating_sub(1).min(3) => linear_multistep::pndm;
    /// [`ancestral::ddim`]
    Ddim "ddim" Deterministic 1 |n, _| n => ancestral::ddim;
    /// [`score::probability_flow`]
    ProbabilityFlow "probability-flow" Deterministic 1 |n, _| n => score::probability_flow;
    /// [`ancestral::ddpm`]
    Ddpm "ddpm" Stochastic 0 |n, _| n => ancestral::ddpm;
    /// [`karras::euler_ancestral`]
    EulerAncestral "euler-ancestral" Stochastic 0 |n, _| n => karras::euler_ancestral;
    /// [`karras::heun_churn`]
    HeunChurn "heun-churn" Stochastic 0 |n, _| (2 * n).saturating_sub(1) => karras::heun_churn;
    /// [`dpm_solver_sde::dpmpp_2m_sde`]
    DpmSolverPp2mSde "dpmpp-2m-sde" Stochastic 0 |n, _| n => dpm_solver_sde::dpmpp_2m_sde;
    /// [`dpm_solver_sde::dpmpp_3m_sde`]
    DpmSolverPp3mSde "dpmpp-3m-sde" Stochastic 0 |n, _| n => dpm_solver_sde::dpmpp_3m_sde;
    /// [`score::reverse_diffusion`]
    ReverseDiffusion "reverse-diffusion" Stochastic 0 |n, _| n => score::reverse_diffusion;
    /// [`score::predictor_corrector`]
    PredictorCorrector "predictor-corrector" Stochastic 0
        |n, _| (2 * n).saturating_sub(1) => score::predictor_corrector;
    /// [`score::annealed_langevin`]
    AnnealedLangevin "annealed-langevin" Stochastic 0
        |n, options| n * options.langevin_steps + 1 => score::annealed_langevin;
    /// [`consistency::lcm`]
    Lcm "lcm" FewSteps 0 |n, _| n => consistency::lcm;
    /// [`consistency::consistency`]
    Consistency "consistency" FewSteps 0 |n, _| n => consistency::consistency;
}

impl Sampler {
    /// The name a user types.
    pub fn name(self) -> &'static str {
        self.facts().name
    }

    /// What kind of sampler it is.
    pub fn family(self) -> Family {
        self.facts().family
    }

    /// Order of convergence to the solution of the probability-flow ODE, as its paper states it
    /// and as it is measured (`dpmpp-3m` is of second order, see there); 0 for samplers that do
    /// not solve it.
    pub fn order(self) -> usize {
        self.facts().order
    }

    /// Network calls for `steps` steps to the clean image, with the options' defaults.
    pub fn calls(self, steps: usize) -> usize {
        (self.facts().calls)(steps, &Options::default())
    }

    /// All names by family, a line each, for a page of help.
    pub fn listing() -> String {
        let line = |family: Family| {
            let own = Self::ALL.into_iter().filter(|s| s.family() == family);
            let names: Vec<&str> = own.map(Sampler::name).collect();
            format!("{}: {}", family.title(), names.join(", "))
        };
        Family::ALL.map(line).join("\n")
    }
}

impl FromStr for Sampler {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        Self::ALL
            .into_iter()
            .find(|s| s.name() == name)
            .ok_or_else(|| Error::Setting {
                key: Key::Sampler,
                expected: format!("one of {}", Self::ALL.map(Sampler::name).join(", ")),
                got: name.to_owned(),
                hint: Hint::Advice("dpmpp-2m and heun need the fewest steps"),
            })
    }
}

impl Serialize for Sampler {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

impl<'de> Deserialize<'de> for Sampler {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        let name = String::deserialize(deserializer)?;
        name.parse().map_err(serde::de::Error::custom)
    }
}

/// Runs `sampler` with the options' defaults and `eta`, which is used by `ddim` alone.
///
/// A caller that knows the schedule of the levels tells it with [`sample_with`].
///
/// # Shapes
/// - `x`: `[batch, bands, height, width]` at `levels[0]`, e.g. its sigma times noise draw 0
/// - output: the same, at the last level
///
/// # Errors
/// [`Error::Setting`] for an `eta` outside 0 to 1; [`Error::Interrupted`] when `on_step` breaks
/// off.
pub fn sample(
    sampler: Sampler,
    denoiser: &dyn Denoiser,
    x: Tensor<4>,
    levels: &[NoiseLevel],
    eta: f64,
    noise: &mut dyn NoiseSource,
    on_step: &mut OnStep,
) -> Result<Tensor<4>> {
    let options = Options {
        eta,
        ..Options::default()
    };
    sample_with(sampler, denoiser, x, levels, options, noise, on_step)
}

/// Runs `sampler` with `options`.
///
/// # Shapes
/// As [`sample`].
///
/// # Errors
/// [`Error::Setting`] for an option out of its range; [`Error::Interrupted`] when `on_step`
/// breaks off.
pub fn sample_with(
    sampler: Sampler,
    denoiser: &dyn Denoiser,
    x: Tensor<4>,
    levels: &[NoiseLevel],
    options: Options,
    noise: &mut dyn NoiseSource,
    on_step: &mut OnStep,
) -> Result<Tensor<4>> {
    let mut walk = Walk {
        denoiser,
        levels,
        options,
        noise,
        on_step,
    };
    sampler.run(&mut walk, x)
}

impl Sampler {
    /// Walks down from `x`, see [`sample_with`].
    ///
    /// # Errors
    /// As [`sample_with`].
    pub fn run(self, walk: &mut Walk, x: Tensor<4>) -> Result<Tensor<4>> {
        walk.options.validate()?;
        (self.facts().run)(walk, x)
    }
}
