//! How a model fills: by what it was told in training, or by one of the ways to condition a model
//! that was told nothing.

use std::str::FromStr;

use burn::tensor::{Device, Tensor};

use super::RestoreSettings;
use crate::checkpoint::{Conditioning, ModelCard};
use crate::diffusion::conditioning::Summation;
use crate::diffusion::denoiser::{Denoiser, NoiseLevel};
use crate::diffusion::inverse::{RangeNull, Visible};
use crate::diffusion::noise::NoiseSource;
use crate::diffusion::repaint::{Known, repaint};
use crate::diffusion::sampler::{OnStep, Options, Sampler, sample_with};
use crate::error::{Error, Result};

/// The draw that noises the known pixels of a summation; no sampler gets that far.
const KNOWN_DRAW: usize = u32::MAX as usize;

/// What the scales of DPS, 0.5 over 1000 steps for values in -1..1, amount to over a whole run in
/// units of a tile's contrast, which is about half of that range.
#[cfg(feature = "autodiff")]
const DPS_TRAVEL: f64 = 1000.0;

/// How holes are filled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// A network that sees the filled image and the mask ([`Conditioning::Concat`]).
    Concat,
    /// Known pixels replace the state at every step ([`Summation`]).
    Sum,
    /// The same, with ways back up ([`repaint`]).
    Repaint,
    /// Known pixels replace the estimate at every step, DDNM ([`RangeNull`]).
    Ddnm,
    /// A step down the misfit at the known pixels after every step, DPS
    /// ([`dps`](crate::diffusion::inverse)).
    Dps,
    /// Cold diffusion: the hole shrinks from its edge inwards
    /// ([`restore`](crate::diffusion::cold::restore)).
    Cold,
}

impl Method {
    /// All methods, in the order a user reads them.
    pub const ALL: [Method; 6] = [
        Method::Concat,
        Method::Sum,
        Method::Repaint,
        Method::Ddnm,
        Method::Dps,
        Method::Cold,
    ];

    /// The name a user types.
    pub fn name(self) -> &'static str {
        match self {
            Method::Concat => "concat",
            Method::Sum => "sum",
            Method::Repaint => "repaint",
            Method::Ddnm => "ddnm",
            Method::Dps => "dps",
            Method::Cold => "cold",
        }
    }

    /// What a model was made for.
    pub fn of(card: &ModelCard) -> Self {
        match card.conditioning {
            Conditioning::None if card.task.cold().is_some() => Method::Cold,
            Conditioning::None => Method::Sum,
            Conditioning::Concat | Conditioning::Guided => Method::Concat,
        }
    }

    /// The sampler, its eta and its steps that suit the method, where they are not the model's.
    /// RePaint and DPS have steps of their own: the sampler is not used.
    /// Cold diffusion takes as many steps as its degradation has.
    pub fn defaults(self, card: &ModelCard) -> Option<(Sampler, f64, usize)> {
        match self {
            Method::Cold => {
                let (_, steps) = card.task.cold()?;
                Some((card.defaults.sampler, 0.0, steps))
            }
            Method::Concat | Method::Sum => None,
            Method::Repaint => Some((Sampler::Ddpm, 1.0, 30)),
            // Wang et al. 2023: DDIM with eta 0.85 and 100 steps.
            Method::Ddnm => Some((Sampler::Ddim, 0.85, 100)),
            Method::Dps => Some((Sampler::Ddpm, 1.0, 200)),
        }
    }

    /// Whether a model can fill this way.
    ///
    /// # Errors
    /// [`Error::Setting`].
    pub fn check(self, card: &ModelCard) -> Result<()> {
        let fail = |expected: String, hint| {
            Err(Error::Setting {
                what: "method",
                expected,
                got: self.name().into(),
                hint,
            })
        };
        let conditional = card.conditioning != Conditioning::None;
        if conditional && self != Method::Concat {
            return fail(
                format!(
                    "concat for {}, which was trained to see the scene",
                    card.name
                ),
                "such a network already knows the visible pixels; the other methods are for \
                 unconditional models, see --model",
            );
        }
        if !conditional && self == Method::Concat {
            return fail(
                format!(
                    "sum, repaint, ddnm or dps for {}, which is unconditional",
                    card.name
                ),
                "leave --method out to take what the model was made for",
            );
        }
        let cold = card.task.cold().is_some();
        if cold != (self == Method::Cold) {
            let expected = if cold { "cold" } else { "another than cold" };
            return fail(
                format!(
                    "{expected} for {}, which is for {}",
                    card.name,
                    card.task.name()
                ),
                "leave --method out to take what the model was made for",
            );
        }
        match self {
            Method::Dps if !cfg!(feature = "autodiff") => Err(no_gradients()),
            _ => Ok(()),
        }
    }
}

fn no_gradients() -> Error {
    Error::Setting {
        what: "method",
        expected: "sum, repaint or ddnm in this program".into(),
        got: Method::Dps.name().into(),
        hint: "dps needs gradients through the network, which are not built in here; the command \
               line program has them",
    }
}

impl FromStr for Method {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        let found = Self::ALL.into_iter().find(|method| method.name() == name);
        found.ok_or_else(|| Error::Setting {
            what: "method",
            expected: format!("one of {}", Self::ALL.map(Method::name).join(", ")),
            got: name.to_owned(),
            hint: "leave it out to take what the model was made for",
        })
    }
}

impl RestoreSettings {
    /// The method asked for, else the model's own.
    pub fn method_for(&self, card: &ModelCard) -> Method {
        self.method.unwrap_or(Method::of(card))
    }

    /// How often a run over `levels` reports a step.
    pub(super) fn reports(&self, card: &ModelCard, levels: &[NoiseLevel]) -> usize {
        let steps = levels.len().saturating_sub(1);
        match self.method_for(card) {
            Method::Repaint => self.resampling.calls(steps),
            Method::Cold => card.task.cold().map_or(steps, |(_, steps)| steps),
            _ => steps,
        }
    }
}

/// Fills with an unconditional network: the whole image, of which the hole counts.
///
/// # Shapes
/// - `x`: `[batch, bands, height, width]`, noise at `levels[0]`; output: the clean image
///
/// # Errors
/// As the method's own function.
#[allow(clippy::too_many_arguments)] // one batch of one run
pub(super) fn unconditional(
    settings: &RestoreSettings,
    options: Options,
    inner: &dyn Denoiser,
    known: Known,
    x: Tensor<4>,
    levels: &[NoiseLevel],
    noise: &mut dyn NoiseSource,
    on_step: &mut OnStep,
) -> Result<Tensor<4>> {
    let visible = known.mask.clone().neg() + 1.0;
    match settings.method.unwrap_or(Method::Sum) {
        Method::Concat | Method::Sum | Method::Cold => {
            let device: Device = x.device();
            let summed = Summation {
                inner,
                known: known.image,
                mask: known.mask,
                noise: noise.draw(KNOWN_DRAW, &device),
            };
            let sampler = settings.sampler;
            sample_with(sampler, &summed, x, levels, options, noise, on_step)
        }
        Method::Repaint => {
            let resampling = settings.resampling;
            repaint(inner, &known, x, levels, resampling, 1.0, noise, on_step)
        }
        Method::Ddnm => {
            let corrected = RangeNull {
                inner,
                y: known.image * visible.clone(),
                operator: &Visible { visible },
            };
            let sampler = settings.sampler;
            sample_with(sampler, &corrected, x, levels, options, noise, on_step)
        }
        Method::Dps => descend(
            inner,
            known.image * visible.clone(),
            visible,
            x,
            levels,
            noise,
            on_step,
        ),
    }
}

#[cfg(feature = "autodiff")]
fn descend(
    inner: &dyn Denoiser,
    y: Tensor<4>,
    visible: Tensor<4>,
    x: Tensor<4>,
    levels: &[NoiseLevel],
    noise: &mut dyn NoiseSource,
    on_step: &mut OnStep,
) -> Result<Tensor<4>> {
    use crate::diffusion::inverse::{LinearOperator, Measurement, dps};
    let operator: &dyn LinearOperator = &Visible { visible };
    let measurement = Measurement {
        operator,
        y,
        noise_std: 0.0,
    };
    let scale = DPS_TRAVEL / levels.len().saturating_sub(1).max(1) as f64;
    dps(inner, &measurement, x, levels, scale, noise, on_step)
}

#[cfg(not(feature = "autodiff"))]
fn descend(
    _: &dyn Denoiser,
    _: Tensor<4>,
    _: Tensor<4>,
    _: Tensor<4>,
    _: &[NoiseLevel],
    _: &mut dyn NoiseSource,
    _: &mut OnStep,
) -> Result<Tensor<4>> {
    Err(no_gradients())
}
