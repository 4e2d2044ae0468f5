//! How to fill, and whether that fits scene and model.

use std::str::FromStr;

use serde::Serialize;

use super::dates::Choice;
use super::method::Method;
use super::texture::usual_tile_px;
use crate::diffusion::repaint::Resampling;
use crate::diffusion::sampler::Sampler;
use crate::error::{Error, Hint, Key, Result};
use crate::model::ModelCard;
use crate::raster::dates::DateMethod;
use crate::raster::turn::OF_A_SQUARE;

/// More ensemble members than this are a mistake.
pub(super) const MOST_SAMPLES: usize = 1024;
/// More steps than this are a typing error; DDPM was made for 1000.
const MOST_STEPS: usize = 1000;
/// Tiles of fewer pixels show a network nothing.
const LEAST_TILE_PX: usize = 16;
/// Direct estimates whose mean is `balanced`.
const BALANCED_MEMBERS: usize = 2;
/// A square can be turned and mirrored in no more ways.
pub(super) const MOST_TURNS: usize = OF_A_SQUARE.len();
/// Larger tiles do not fit any memory.
const MOST_TILE_PX: usize = 4096;

/// Which image of an ensemble is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Written {
    /// The mean: closest to the truth on average, and smooth where little is known.
    #[default]
    Mean,
    /// The first member: textured as the network's samples are, and farther from the truth.
    Sample,
    /// The mean, drawn anew from pieces of the visible ground
    /// ([`texture`](crate::raster::texture)): looks like the scene, and is as far from the truth.
    Texture,
}

impl Written {
    /// All of them.
    pub const ALL: [Written; 3] = [Written::Mean, Written::Sample, Written::Texture];

    /// In one word.
    pub fn name(self) -> &'static str {
        match self {
            Written::Mean => "mean",
            Written::Sample => "sample",
            Written::Texture => "texture",
        }
    }

    /// Whether it can be written where there are so many references, or bands of them.
    ///
    /// # Errors
    /// [`Error::Setting`].
    pub fn check(self, references: usize) -> Result<()> {
        if self != Written::Texture || references == 0 {
            return Ok(());
        }
        Err(Error::Setting {
            key: Key::Write,
            expected: "mean or sample, where there is a reference".into(),
            got: self.name().into(),
            hint: Hint::Advice(
                "with another date the mean has its structure, which a texture would blur",
            ),
        })
    }
}

/// How to fill; validated by [`restore`](super::restore).
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RestoreSettings {
    /// Side of a tile, pixels.
    pub tile_px: usize,
    /// Overlap of neighbouring tiles, pixels.
    pub overlap_px: usize,
    /// Ensemble members; the fill is their mean.
    pub samples: usize,
    /// Which image of the ensemble is written.
    pub written: Written,
    /// How holes are filled; by default as the model was made to.
    pub method: Option<Method>,
    /// How the ground follows from other dates, by itself; without a choice several dates are
    /// asked by regression, and one guides the network.
    pub dates: Option<Choice>,
    /// How often RePaint goes back up.
    pub resampling: Resampling,
    /// Steps of the sampler.
    pub steps: usize,
    /// The sampler.
    pub sampler: Sampler,
    /// Stochasticity of DDIM, 0 to 1.
    pub eta: f64,
    /// Key of the noise.
    pub seed: u64,
    /// Tiles times members that go through the network at once.
    pub batch: usize,
    /// Scene bands (from 0) that feed the model, in the order of its bands; a band may repeat.
    pub model_bands: Vec<usize>,
    /// Full brightness in scene units, for the smallest contrast: 255 for 8 bits, 2750 for
    /// Sentinel-2; by default the contrast of the whole scene.
    pub reflectance_scale: Option<f32>,
}

impl Default for RestoreSettings {
    fn default() -> Self {
        Self {
            tile_px: 64,
            overlap_px: 16,
            samples: 4,
            written: Written::Mean,
            method: None,
            dates: None,
            // A tenth of the paper's work: 130 network calls over 30 steps.
            resampling: Resampling {
                jump_length: 5,
                jump_samples: 5,
            },
            steps: 4,
            sampler: Sampler::DpmSolverPp2m,
            eta: 0.0,
            seed: 0,
            batch: 8,
            model_bands: vec![0, 1, 2],
            reflectance_scale: None,
        }
    }
}

/// How much time a fill may take: one table for all faces.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Quality {
    /// One call of the network: the direct estimate. Of a model that did not learn it, one step of
    /// four samples.
    Fast,
    /// The mean of a few direct estimates, each of the tile turned another way. Of a model that did
    /// not learn it, what its card says.
    #[default]
    Balanced,
    /// The mean of direct estimates of the tile turned all eight ways. Of a model that did not
    /// learn it, sixteen samples of six steps.
    Best,
}

/// How a model fills at a level of quality.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Effort {
    /// The method.
    pub method: Method,
    /// Steps of the sampler.
    pub steps: usize,
    /// Ensemble members.
    pub samples: usize,
}

impl Quality {
    /// All levels, the fastest first.
    pub const ALL: [Quality; 3] = [Quality::Fast, Quality::Balanced, Quality::Best];

    /// In one word.
    pub fn name(self) -> &'static str {
        match self {
            Quality::Fast => "fast",
            Quality::Balanced => "balanced",
            Quality::Best => "best",
        }
    }

    /// What it is for a model.
    pub fn effort(self, card: &ModelCard) -> Effort {
        let direct = card.direct_factor.is_some();
        let (method, steps, samples) = match self {
            Quality::Fast if direct => (Method::Direct, 1, 1),
            Quality::Balanced if direct => (Method::Direct, 1, BALANCED_MEMBERS),
            Quality::Best if direct => (Method::Direct, 1, MOST_TURNS),
            Quality::Fast => (Method::of(card), 1, 4),
            Quality::Balanced => return Effort::of_samples(card),
            Quality::Best => (Method::of(card), 6, 16),
        };
        Effort {
            method,
            steps,
            samples,
        }
    }
}

impl Effort {
    /// That of samples as the model's card says.
    fn of_samples(card: &ModelCard) -> Self {
        Effort {
            method: Method::of(card),
            steps: card.defaults.steps,
            samples: card.defaults.samples,
        }
    }
}

impl FromStr for Quality {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        named(Self::ALL, Self::name, name, Key::Quality)
    }
}

impl FromStr for Written {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        named(Self::ALL, Self::name, name, Key::Write)
    }
}

/// The one of `all` that is called so.
fn named<T: Copy, const N: usize>(
    all: [T; N],
    name_of: fn(T) -> &'static str,
    name: &str,
    key: Key,
) -> Result<T> {
    let found = all.into_iter().find(|one| name_of(*one) == name);
    found.ok_or_else(|| Error::Setting {
        key,
        expected: format!("one of {}", all.map(name_of).join(", ")),
        got: name.to_owned(),
        hint: Hint::LeaveOut(key),
    })
}

/// What a user asks for. What is left out is as the model's card says.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Wish {
    /// How much time it may take; steps and samples go before it.
    pub quality: Option<Quality>,
    /// Steps of the sampler.
    pub steps: Option<usize>,
    /// Ensemble members.
    pub samples: Option<usize>,
    /// Ensemble members at the least, where `samples` is left out: some outputs need several.
    pub least_samples: usize,
    /// The sampler.
    pub sampler: Option<Sampler>,
    /// How holes are filled.
    pub method: Option<Method>,
    /// How the ground follows from other dates.
    pub dates: Option<DateMethod>,
    /// Which image of the ensemble is written.
    pub written: Written,
    /// Side of a tile, pixels.
    pub tile_px: Option<usize>,
    /// Overlap of neighbouring tiles, pixels.
    pub overlap_px: Option<usize>,
    /// Key of the noise.
    pub seed: u64,
}

/// The image that is filled, as far as settings depend on it.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Subject {
    /// Scene bands (from 0) that feed the model.
    pub model_bands: Vec<usize>,
    /// Its larger side, pixels.
    pub side_px: Option<usize>,
    /// Full brightness in its units; none where only its own contrast tells.
    pub brightness: Option<f32>,
}

impl Wish {
    /// Whether the numbers are in their ranges, before any file is opened.
    ///
    /// # Errors
    /// [`Error::Setting`].
    pub fn check(&self) -> Result<()> {
        range(Key::Steps, self.steps, (1, MOST_STEPS))?;
        range(Key::Samples, self.samples, (1, MOST_SAMPLES))?;
        range(Key::TilePx, self.tile_px, (LEAST_TILE_PX, MOST_TILE_PX))?;
        if let Some(tile_px) = self.tile_px {
            range(Key::OverlapPx, self.overlap_px, (0, tile_px - 1))?;
        }
        Ok(())
    }

    /// How a model fills: as wished for, else as its level of quality. Steps, a sampler and a
    /// sample to write are those of the diffusion, and so are more members than there are turns: to
    /// ask for one is to ask for that.
    fn effort(&self, card: &ModelCard) -> Effort {
        let level = self.quality.unwrap_or_default().effort(card);
        let samples = self.steps.is_some()
            || self.sampler.is_some()
            || self.written == Written::Sample
            || self.samples.is_some_and(|samples| samples > MOST_TURNS)
            || self.method.is_some_and(|method| method != Method::Direct);
        let effort = match level.method == Method::Direct && samples {
            true => Effort::of_samples(card),
            false => level,
        };
        match self.method {
            // As good as the level says, whatever else was asked for.
            Some(Method::Direct) => Effort {
                method: Method::Direct,
                ..level
            },
            method => Effort {
                method: method.unwrap_or(effort.method),
                ..effort
            },
        }
    }
}

/// Fails where a number is given and outside `(least, most)`.
pub(super) fn range(key: Key, value: Option<usize>, (least, most): (usize, usize)) -> Result<()> {
    let Some(value) = value.filter(|value| !(least..=most).contains(value)) else {
        return Ok(());
    };
    Err(Error::Setting {
        key,
        expected: format!("{least} to {most}"),
        got: value.to_string(),
        hint: Hint::Nearest(key, value.clamp(least, most)),
    })
}

impl RestoreSettings {
    /// The settings of a run: what is wished for, else what the model's card says.
    ///
    /// # Errors
    /// [`Error::Setting`] for numbers out of range and a method the model cannot fill by.
    pub fn resolve(card: &ModelCard, wish: &Wish, subject: &Subject) -> Result<Self> {
        wish.check()?;
        let defaults = &card.defaults;
        let usual_px = usual_tile_px(wish.written, defaults, subject.side_px);
        let tile_px = wish.tile_px.unwrap_or(usual_px);
        // Another tile than the model's keeps the model's share of overlap.
        let usual_px = defaults.overlap_px * tile_px / defaults.tile_px;
        let overlap_px = wish.overlap_px.unwrap_or(usual_px);
        range(Key::OverlapPx, Some(overlap_px), (0, tile_px - 1))?;
        let Effort {
            method,
            steps,
            samples,
        } = wish.effort(card);
        method.check(card)?;
        let samples = match method {
            // It says its spread itself.
            Method::Direct => samples,
            _ => samples.max(wish.least_samples),
        };
        // A method with steps of its own is not one for two of them, however fast.
        let (sampler, eta, steps) = method
            .defaults(card)
            .unwrap_or((defaults.sampler, 0.0, steps));
        Ok(Self {
            method: Some(method),
            dates: wish.dates.map(Choice::all),
            eta,
            tile_px,
            overlap_px,
            samples: wish.samples.unwrap_or(samples),
            steps: wish.steps.unwrap_or(steps),
            sampler: wish.sampler.unwrap_or(sampler),
            seed: wish.seed,
            model_bands: subject.model_bands.clone(),
            written: wish.written,
            reflectance_scale: subject.brightness,
            ..Self::default()
        })
    }
}

impl RestoreSettings {
    /// How several dates are asked, or one by the method that was named; none where it guides the
    /// network.
    pub(super) fn dates_choice(&self, references: usize) -> Option<Choice> {
        match references {
            0 => None,
            1 => self.dates,
            _ => Some(self.dates.unwrap_or(Choice::all(DateMethod::Regression))),
        }
    }

    /// Whether what the dates suggest is the fill: a method was named or chosen for it, or the
    /// network would only add its direct estimate (measured: it would lose 0.1 dB).
    pub(super) fn dates_alone(&self) -> bool {
        self.dates.is_some() || self.says_spread()
    }
}
