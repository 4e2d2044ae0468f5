//! How a model fills: by what it was told in training, or by one of the ways to condition a model
//! that was told nothing.

use std::str::FromStr;

use burn::tensor::Tensor;
use serde::Serialize;

use super::RestoreSettings;
use crate::diffusion::denoiser::NoiseLevel;
use crate::diffusion::inverse::{RangeNull, Summation, Visible};
use crate::diffusion::repaint::{Known, repaint};
use crate::diffusion::sampler::{Sampler, Walk};
use crate::error::{Error, Hint, Key, Result};
use crate::model::{Conditioning, ModelCard};

/// The draw that noises the known pixels of a summation; no sampler gets that far.
const KNOWN_DRAW: usize = u32::MAX as usize;

/// What the scales of DPS, 0.5 over 1000 steps for values in -1..1, amount to over a whole run in
/// units of a tile's contrast, which is about half of that range.
#[cfg(feature = "autodiff")]
const DPS_TRAVEL: f64 = 1000.0;

/// How holes are filled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Method {
    /// One call of a network that sees the filled image and the mask, and no noisy image: the mean
    /// of all fills and its error ([`NoiseLevel::INFINITE`]).
    Direct,
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
    pub const ALL: [Method; 7] = [
        Method::Direct,
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
            Method::Direct => "direct",
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
            Method::Direct => Some((card.defaults.sampler, 0.0, 1)),
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
                key: Key::Method,
                expected,
                got: self.name().into(),
                hint,
            })
        };
        if self == Method::Direct {
            return match card.direct_factor {
                Some(_) => Ok(()),
                None => fail(
                    format!(
                        "another than direct for {}, which did not learn it",
                        card.name
                    ),
                    Hint::LeaveOut(Key::Method),
                ),
            };
        }
        let conditional = card.conditioning != Conditioning::None;
        if conditional && self != Method::Concat {
            return fail(
                format!(
                    "concat for {}, which was trained to see the scene",
                    card.name
                ),
                Hint::Advice(
                    "such a network already knows the visible pixels; the other methods are for \
                     unconditional models",
                ),
            );
        }
        if !conditional && self == Method::Concat {
            return fail(
                format!(
                    "sum, repaint, ddnm or dps for {}, which is unconditional",
                    card.name
                ),
                Hint::LeaveOut(Key::Method),
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
                Hint::LeaveOut(Key::Method),
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
        key: Key::Method,
        expected: "sum, repaint or ddnm in this program".into(),
        got: Method::Dps.name().into(),
        hint: Hint::Advice(
            "dps needs gradients through the network, which are not built in here; the command \
               line program has them",
        ),
    }
}

impl FromStr for Method {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        let found = Self::ALL.into_iter().find(|method| method.name() == name);
        found.ok_or_else(|| Error::Setting {
            key: Key::Method,
            expected: format!("one of {}", Self::ALL.map(Method::name).join(", ")),
            got: name.to_owned(),
            hint: Hint::LeaveOut(Key::Method),
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

/// Fills with an unconditional network, the walk's denoiser: the whole image, of which the hole
/// counts.
///
/// # Shapes
/// - `x`: `[batch, bands, height, width]`, noise at the first level; output: the clean image
///
/// # Errors
/// As the method's own function.
pub(super) fn unconditional(
    settings: &RestoreSettings,
    walk: &mut Walk,
    known: Known,
    x: Tensor<4>,
) -> Result<Tensor<4>> {
    let visible = known.mask.clone().neg() + 1.0;
    match settings.method.unwrap_or(Method::Sum) {
        Method::Direct | Method::Concat | Method::Sum | Method::Cold => {
            let summed = Summation {
                inner: walk.denoiser,
                known: known.image,
                mask: known.mask,
                noise: walk.draw(KNOWN_DRAW, &x),
            };
            settings.sampler.run(&mut walk.with(&summed), x)
        }
        Method::Repaint => repaint(walk, &known, x, settings.resampling, 1.0),
        Method::Ddnm => {
            let corrected = RangeNull {
                inner: walk.denoiser,
                y: known.image * visible.clone(),
                operator: &Visible { visible },
            };
            settings.sampler.run(&mut walk.with(&corrected), x)
        }
        Method::Dps => descend(walk, known.image * visible.clone(), visible, x),
    }
}

#[cfg(feature = "autodiff")]
fn descend(walk: &mut Walk, y: Tensor<4>, visible: Tensor<4>, x: Tensor<4>) -> Result<Tensor<4>> {
    use crate::diffusion::inverse::{LinearOperator, Measurement, dps};
    let operator: &dyn LinearOperator = &Visible { visible };
    let measurement = Measurement {
        operator,
        y,
        noise_std: 0.0,
    };
    let scale = DPS_TRAVEL / walk.step_count().max(1) as f64;
    dps(walk, &measurement, x, scale)
}

#[cfg(not(feature = "autodiff"))]
fn descend(_: &mut Walk, _: Tensor<4>, _: Tensor<4>, _: Tensor<4>) -> Result<Tensor<4>> {
    Err(no_gradients())
}
