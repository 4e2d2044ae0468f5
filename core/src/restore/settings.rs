//! How to fill, and whether that fits scene and model.

use super::method::Method;
use crate::checkpoint::Model;
use crate::diffusion::cold;
use crate::diffusion::repaint::Resampling;
use crate::diffusion::sampler::Sampler;
use crate::error::{Error, Result};

/// More ensemble members than this are a mistake.
const MAX_SAMPLES: usize = 1024;

/// Which image of an ensemble is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
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
    /// In one word.
    pub fn name(self) -> &'static str {
        match self {
            Written::Mean => "mean",
            Written::Sample => "sample",
            Written::Texture => "texture",
        }
    }
}

/// How to fill; validated by [`restore`](super::restore).
#[derive(Debug, Clone, PartialEq)]
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

/// Whether settings fit a scene of `bands` bands and the model.
///
/// # Errors
/// [`Error::Setting`] and [`Error::Mismatch`].
pub(super) fn check(settings: &RestoreSettings, bands: usize, model: &Model) -> Result<()> {
    let setting = |what, expected: &str, got: usize, hint| {
        Err(Error::Setting {
            what,
            expected: expected.into(),
            got: got.to_string(),
            hint,
        })
    };
    if !(1..=MAX_SAMPLES).contains(&settings.samples) {
        return setting(
            "samples",
            "1 to 1024",
            settings.samples,
            "4 to 16 samples are usual",
        );
    }
    if settings
        .reflectance_scale
        .is_some_and(|scale| !(scale.is_finite() && scale > 0.0))
    {
        return setting(
            "reflectance scale",
            "above 0",
            0,
            "255 for 8 bits, 2750 for Sentinel-2",
        );
    }
    if !(0.0..=1.0).contains(&settings.eta) {
        return Err(Error::Setting {
            what: "eta",
            expected: "0 to 1".into(),
            got: settings.eta.to_string(),
            hint: "0 is deterministic",
        });
    }
    settings.method_for(&model.card).check(&model.card)?;
    if let Some((_, steps)) = model.card.task.cold()
        && steps != settings.steps
    {
        let hint = "a degradation is undone in as many steps as it has";
        return setting("steps", &steps.to_string(), settings.steps, hint);
    }
    if settings.batch == 0 {
        return setting("batch", "at least 1", 0, "8 suits most machines");
    }
    if settings.model_bands.len() != model.card.bands.len() {
        return Err(Error::Mismatch {
            what: "bands for the model",
            expected: format!(
                "{} ({})",
                model.card.bands.len(),
                model.card.bands.join(", ")
            ),
            got: settings.model_bands.len().to_string(),
            hint: "name one scene band for each band of the model, e.g. --bands 3,2,1",
        });
    }
    if let Some(band) = settings.model_bands.iter().find(|band| **band >= bands) {
        return Err(Error::Mismatch {
            what: "bands for the model",
            expected: format!("numbers from 1 to {bands}"),
            got: (band + 1).to_string(),
            hint: "band numbers count from 1",
        });
    }
    Ok(())
}

/// Whether what is to be written can be, with a reference of so many bands.
///
/// # Errors
/// [`Error::Setting`].
pub(super) fn check_written(settings: &RestoreSettings, reference_bands: usize) -> Result<()> {
    if settings.written != Written::Texture || reference_bands == 0 {
        return Ok(());
    }
    Err(Error::Setting {
        what: "write",
        expected: "mean or sample, where there is a reference".into(),
        got: settings.written.name().into(),
        hint: "with another date the mean has its structure, which a texture would blur",
    })
}

/// Whether the model is one that fills holes.
///
/// # Errors
/// [`Error::Setting`].
pub(super) fn check_fills(model: &Model) -> Result<()> {
    let card = &model.card;
    let cold = card.task.cold();
    if let Some((kind, _)) = cold.filter(|(kind, _)| *kind != cold::Kind::Mask) {
        return Err(Error::Setting {
            what: "model",
            expected: "one that fills holes".into(),
            got: format!("{}, which undoes {}", card.name, kind.name()),
            hint: "give it a degraded image: unclouded generate MODEL --init IMAGE",
        });
    }
    match card.task.redraws() {
        false => Ok(()),
        true => Err(Error::Setting {
            what: "model",
            expected: "one that fills holes".into(),
            got: format!("{}, for {}", card.name, card.task.name()),
            hint: "such a model draws whole images anew: see `unclouded evaluate`",
        }),
    }
}
