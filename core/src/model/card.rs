//! The model card: everything about a model that its weights do not say.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::architecture::Architecture;
use super::conditioning::Conditioning;
use super::space::Space;
use super::task::Task;
use crate::diffusion::prediction::Prediction;
use crate::diffusion::sampler::Sampler;
use crate::diffusion::schedule::Schedule;
use crate::error::{Error, Hint, Result};

/// Version of the card's layout that this code writes and reads.
pub const CARD_FORMAT: u32 = 1;

/// Everything about a model that its weights do not say.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ModelCard {
    /// Layout of this card, [`CARD_FORMAT`].
    pub format: u32,
    /// Short name, as in `--model NAME`.
    pub name: String,
    /// One sentence for people.
    pub description: String,
    /// Version of the project that trained it.
    pub version: String,
    /// The network.
    pub architecture: Architecture,
    /// What the bands are, in order, e.g. `B04 B03 B02`.
    pub bands: Vec<String>,
    /// How the network is told what is known.
    pub conditioning: Conditioning,
    /// What a conditional network makes of it.
    #[serde(default)]
    pub task: Task,
    /// Names of the classes, in the order of their labels; empty without.
    #[serde(default)]
    pub classes: Vec<String>,
    /// How values reach and leave the network.
    pub normalization: Space,
    /// What counts as fully bright.
    #[serde(default)]
    pub brightness: Brightness,
    /// What the network's output means.
    pub prediction: Prediction,
    /// The noise levels it was trained for and is sampled with.
    pub schedule: Schedule,
    /// Settings used where the user gives none.
    pub defaults: Defaults,
    /// What the standard deviation of an ensemble is multiplied with, so that nine of ten errors
    /// lie within 1.645 of it; measured by `unclouded evaluate`.
    #[serde(default = "one")]
    pub uncertainty_factor: f32,
    /// Of a model that learnt the [direct estimate](crate::diffusion::denoiser::NoiseLevel::INFINITE):
    /// what the spread it says of that is multiplied with, so that nine of ten errors lie within
    /// 1.645 of it; measured by `unclouded evaluate`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub direct_factor: Option<f32>,
    /// Where the weights come from.
    pub training: Training,
    /// Measured figures by name, e.g. `val_masked_psnr_db`.
    pub metrics: BTreeMap<String, f64>,
}

fn one() -> f32 {
    1.0
}

/// The value that counts as fully bright, by how an image stores its values. What a model was
/// trained with is what it is used with; for a kind of image it was not trained on, what pictures
/// of Sentinel-2 show as white.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Brightness {
    /// Of 8 bits.
    pub eight_bits: f32,
    /// Of 16 bits.
    pub sixteen_bits: f32,
    /// Of floating point; none where only the scene's own contrast tells.
    pub floats: Option<f32>,
}

impl Default for Brightness {
    fn default() -> Self {
        Self {
            eight_bits: 255.0,
            // Digital numbers of Sentinel-2 that 8-bit pictures of it show as white, and that the
            // bundled model's training tiles were stretched to: reflectance 0.275.
            sixteen_bits: 2750.0,
            floats: None,
        }
    }
}

/// How an image stores its values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stored {
    /// Whole numbers of 8 bits.
    EightBits,
    /// Whole numbers of 16 bits, signed or not.
    SixteenBits,
    /// Anything else.
    Other,
}

impl Brightness {
    /// Full brightness of an image; none where only its own contrast tells.
    pub fn of(&self, stored: Stored) -> Option<f32> {
        match stored {
            Stored::EightBits => Some(self.eight_bits),
            Stored::SixteenBits => Some(self.sixteen_bits),
            Stored::Other => self.floats,
        }
    }
}

/// Sampling settings of a model.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Defaults {
    /// The solver.
    pub sampler: Sampler,
    /// Its number of steps.
    pub steps: usize,
    /// Ensemble members.
    pub samples: usize,
    /// Side of a tile, pixels.
    pub tile_px: usize,
    /// Overlap of neighbouring tiles, pixels.
    pub overlap_px: usize,
}

/// Provenance of the weights.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Training {
    /// What it was trained on.
    pub data: Vec<TrainingData>,
    /// Optimiser steps.
    pub steps: u64,
    /// Tiles seen.
    pub samples_seen: u64,
    /// The training recipe, as written.
    pub recipe: String,
}

/// One source of training data.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct TrainingData {
    /// Its name.
    pub name: String,
    /// Its licence.
    pub licence: String,
    /// Whom to credit.
    pub attribution: String,
}

impl ModelCard {
    /// Rejects cards whose parts contradict each other.
    pub(super) fn validate(&self) -> Result<()> {
        let part = |e: Error| Error::Checkpoint {
            what: e.to_string(),
            hint: Hint::Advice("the model card is damaged, or of another version"),
        };
        self.architecture.validate().map_err(part)?;
        self.schedule.validate().map_err(part)?;
        self.task.validate().map_err(part)?;
        let wrong = |what: String| {
            Err(Error::Checkpoint {
                what,
                hint: Hint::Advice("the model card and the network disagree"),
            })
        };
        if self.bands.len() != self.architecture.bands() {
            return wrong(format!(
                "expected {} band names, got {}",
                self.architecture.bands(),
                self.bands.len()
            ));
        }
        let expected = self.conditioning.channels(self.bands.len());
        if self.architecture.conditioning_bands() != expected {
            return wrong(format!(
                "expected {expected} conditioning bands, got {}",
                self.architecture.conditioning_bands()
            ));
        }
        let classes = self.architecture.classes().unwrap_or(0);
        if !self.classes.is_empty() && self.classes.len() != classes {
            return wrong(format!(
                "expected {classes} names of classes, got {}",
                self.classes.len()
            ));
        }
        if self.task.redraws() && self.conditioning != Conditioning::Concat {
            return wrong(format!(
                "expected concat conditioning for {}, got {:?}",
                self.task.name(),
                self.conditioning
            ));
        }
        let cold = self.task.cold().is_some();
        if cold && (self.conditioning, self.prediction) != (Conditioning::None, Prediction::X0) {
            return wrong(format!(
                "expected no conditioning and x0 for {}, got {:?} and {:?}",
                self.task.name(),
                self.conditioning,
                self.prediction
            ));
        }
        if let Prediction::Edm { sigma_data } = self.prediction
            && !(sigma_data.is_finite() && sigma_data > 0.0)
        {
            return wrong(format!("expected sigma_data above 0, got {sigma_data}"));
        }
        self.check_space()?;
        if !(self.uncertainty_factor.is_finite() && self.uncertainty_factor > 0.0) {
            return wrong(format!(
                "expected an uncertainty factor above 0, got {}",
                self.uncertainty_factor
            ));
        }
        self.check_direct()?;
        // JSON has no word for them: they would be written as null and not be read again.
        if let Some((name, value)) = self.metrics.iter().find(|(_, value)| !value.is_finite()) {
            return wrong(format!("expected finite metrics, got {name} = {value}"));
        }
        let d = &self.defaults;
        let sound = (1..=1000).contains(&d.steps)
            && (1..=1024).contains(&d.samples)
            && (16..=4096).contains(&d.tile_px)
            && d.overlap_px < d.tile_px;
        if !sound {
            return wrong(format!(
                "defaults out of range: steps {}, samples {}, tile {} px, overlap {} px",
                d.steps, d.samples, d.tile_px, d.overlap_px
            ));
        }
        Ok(())
    }

    /// Rejects a direct estimate of a network that has none.
    fn check_direct(&self) -> Result<()> {
        let wrong = |what: String| {
            Err(Error::Checkpoint {
                what,
                hint: Hint::Advice("the model card and the network disagree"),
            })
        };
        let Some(factor) = self.direct_factor else {
            return Ok(());
        };
        if !(factor.is_finite() && factor > 0.0) {
            return wrong(format!("expected a direct factor above 0, got {factor}"));
        }
        let spread = self.architecture.unet().is_some_and(|unet| unet.spread);
        let edm = matches!(self.prediction, Prediction::Edm { .. });
        let fills = self.conditioning != Conditioning::None && !self.task.redraws();
        if !spread || !edm || !fills {
            return wrong(
                "expected an EDM that fills holes and has a spread for the direct estimate, got \
                 another"
                    .into(),
            );
        }
        Ok(())
    }

    /// Rejects spaces no pixel can be brought into.
    fn check_space(&self) -> Result<()> {
        let wrong = |what: String| {
            Err(Error::Checkpoint {
                what,
                hint: Hint::Advice("the model card and the network disagree"),
            })
        };
        let reach_px = self.normalization.reach_px();
        if !(1..=4096).contains(&reach_px) {
            return wrong(format!(
                "expected a fill distance of 1 to 4096 px, got {reach_px}"
            ));
        }
        let bright = self.brightness;
        let values = [
            Some(bright.eight_bits),
            Some(bright.sixteen_bits),
            bright.floats,
        ];
        if let Some(value) = values
            .into_iter()
            .flatten()
            .find(|v| !(v.is_finite() && *v > 0.0))
        {
            return wrong(format!("expected a full brightness above 0, got {value}"));
        }
        match self.normalization {
            Space::TileContrast { floor, .. } if !(floor.is_finite() && floor > 0.0) => {
                wrong(format!("expected a contrast floor above 0, got {floor}"))
            }
            Space::FixedRange { low, high, .. }
                if !(low.is_finite() && high.is_finite() && low < high) =>
            {
                wrong(format!(
                    "expected a range from low to high, got {low} to {high}"
                ))
            }
            Space::FixedRange { .. } if bright.floats.is_none() => {
                wrong("expected the full brightness of floats with a fixed range, got none".into())
            }
            _ => Ok(()),
        }
    }
}
