//! A checkpoint is one .safetensors file: the weights, and the model card in its metadata.

use std::collections::{BTreeMap, HashMap};

use burn::tensor::Device;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::diffusion::prediction::Prediction;
use crate::diffusion::sampler::Sampler;
use crate::diffusion::schedule::Schedule;
use crate::diffusion::task::Task;
use crate::error::{Error, Result};
use crate::interop::guided_diffusion;
use crate::params::{self, Arrays, Storage};
use crate::unet::{UNet, UNetConfig};

/// Key of the card in the file's metadata.
const CARD_KEY: &str = "unclouded.model_card";

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
    pub architecture: UNetConfig,
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
    pub normalization: Normalization,
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
    /// Where the weights come from.
    pub training: Training,
    /// Measured figures by name, e.g. `val_masked_psnr_db`.
    pub metrics: BTreeMap<String, f64>,
}

fn one() -> f32 {
    1.0
}

/// How a network is conditioned.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Conditioning {
    /// Unconditional: holes are filled by summation.
    None,
    /// `[filled image, mask]` as extra input channels.
    Concat,
    /// As `concat`, then the detail of a guide (an image of another date, or a coarser
    /// estimate) and how far it is to be trusted.
    Guided,
}

impl Conditioning {
    /// Extra input channels of a network for images of `bands` bands.
    pub fn channels(self, bands: usize) -> usize {
        match self {
            Conditioning::None => 0,
            Conditioning::Concat => bands + 1,
            Conditioning::Guided => 2 * (bands + 1),
        }
    }
}

/// How input values become network values.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Normalization {
    /// Residual to the smooth fill in units of the tile's visible contrast; independent of the
    /// scene's offset and gain.
    TileContrast {
        /// Search radius of the inverse-distance fill.
        fill_distance_px: usize,
        /// The smallest contrast, as a share of full brightness (255 for 8 bits, 2750 for
        /// Sentinel-2), or of the scene's own contrast where that is not known.
        floor: f32,
    },
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

/// A network with its card, on a device.
#[derive(Debug)]
pub struct Model {
    /// The card.
    pub card: ModelCard,
    /// The network.
    pub unet: UNet,
    /// Where it lives.
    pub device: Device,
    /// SHA-256 of the file, hexadecimal.
    pub sha256: String,
}

impl ModelCard {
    /// Reads the card of a checkpoint without building its network.
    ///
    /// # Errors
    /// [`Error::Checkpoint`] when the bytes are not safetensors or carry no card of a format
    /// this version knows.
    pub fn read(bytes: &[u8]) -> Result<Self> {
        let (_, header) =
            safetensors::SafeTensors::read_metadata(bytes).map_err(params::unreadable)?;
        let metadata = header.metadata().clone().unwrap_or_default();
        if !metadata.contains_key(CARD_KEY) {
            foreign(header.tensors().keys())?;
        }
        Self::from_metadata(&metadata)
    }

    fn from_metadata(metadata: &HashMap<String, String>) -> Result<Self> {
        let text = metadata.get(CARD_KEY).ok_or_else(|| Error::Checkpoint {
            what: format!("expected a model card under '{CARD_KEY}' in the metadata, found none"),
            hint: "only checkpoints written by `unclouded train` carry one",
        })?;
        #[derive(Deserialize)]
        struct Probe {
            format: u32,
        }
        let malformed = |e: serde_json::Error| Error::Checkpoint {
            what: format!("malformed model card ({e})"),
            hint: "the file was written by another version; train or download it again",
        };
        let probe: Probe = serde_json::from_str(text).map_err(malformed)?;
        if probe.format != CARD_FORMAT {
            return Err(Error::Checkpoint {
                what: format!("expected card format {CARD_FORMAT}, got {}", probe.format),
                hint: "use the version of unclouded that wrote it, or a newer one",
            });
        }
        let card: Self = serde_json::from_str(text).map_err(malformed)?;
        card.validate()?;
        Ok(card)
    }

    /// Rejects cards whose parts contradict each other.
    fn validate(&self) -> Result<()> {
        let part = |e: Error| Error::Checkpoint {
            what: e.to_string(),
            hint: "the model card is damaged, or of another version",
        };
        self.architecture.validate().map_err(part)?;
        self.schedule.validate().map_err(part)?;
        self.task.validate().map_err(part)?;
        let wrong = |what: String| {
            Err(Error::Checkpoint {
                what,
                hint: "the model card and the network disagree",
            })
        };
        if self.bands.len() != self.architecture.bands {
            return wrong(format!(
                "expected {} band names, got {}",
                self.architecture.bands,
                self.bands.len()
            ));
        }
        let expected = self.conditioning.channels(self.bands.len());
        if self.architecture.conditioning_bands != expected {
            return wrong(format!(
                "expected {expected} conditioning bands, got {}",
                self.architecture.conditioning_bands
            ));
        }
        let classes = self.architecture.classes.unwrap_or(0);
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
        let Normalization::TileContrast {
            floor,
            fill_distance_px,
        } = self.normalization;
        if !(1..=4096).contains(&fill_distance_px) {
            return wrong(format!(
                "expected a fill distance of 1 to 4096 px, got {fill_distance_px}"
            ));
        }
        if !(floor.is_finite() && floor > 0.0) {
            return wrong(format!("expected a contrast floor above 0, got {floor}"));
        }
        if !(self.uncertainty_factor.is_finite() && self.uncertainty_factor > 0.0) {
            return wrong(format!(
                "expected an uncertainty factor above 0, got {}",
                self.uncertainty_factor
            ));
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
}

impl Model {
    /// Builds the network of a checkpoint on a device.
    ///
    /// # Errors
    /// [`Error::Checkpoint`] for anything wrong with the bytes.
    pub fn load(bytes: &[u8], device: &Device) -> Result<Self> {
        let (arrays, metadata) = params::from_bytes(bytes)?;
        if !metadata.contains_key(CARD_KEY) {
            foreign(arrays.keys())?;
        }
        let card = ModelCard::from_metadata(&metadata)?;
        let unet = params::assign(card.architecture.init(device)?, &arrays)?;
        let sha256 = Sha256::digest(bytes)
            .iter()
            .map(|b| format!("{b:02x}"))
            .collect();
        Ok(Self {
            card,
            unet,
            device: device.clone(),
            sha256,
        })
    }
}

/// Says whose weights these are, where their names tell.
fn foreign<'a>(mut names: impl Iterator<Item = &'a String> + Clone) -> Result<()> {
    let (what, hint) = if names.clone().any(|name| guided_diffusion::names(name)) {
        (
            "a state dict of guided-diffusion (ADM), which makes images from noise alone",
            "use `unclouded generate`, or `unclouded convert` for a diffusers folder",
        )
    } else if names.any(|name| name.starts_with("down_blocks.")) {
        (
            "the weights of a diffusers network, without its configuration",
            "name the folder with config.json instead of the file in it",
        )
    } else {
        return Ok(());
    };
    Err(Error::Checkpoint {
        what: format!("expected a checkpoint of this program, got {what}"),
        hint,
    })
}

/// Serialises weights and card as one checkpoint.
///
/// # Errors
/// [`Error::Checkpoint`] when the card contradicts itself.
pub fn to_bytes(card: &ModelCard, weights: &Arrays, storage: Storage) -> Result<Vec<u8>> {
    card.validate()?;
    let text = serde_json::to_string(card).map_err(|e| Error::Checkpoint {
        what: format!("model card cannot be written ({e})"),
        hint: "a metric may not be a finite number",
    })?;
    params::to_bytes(
        weights,
        HashMap::from([(CARD_KEY.to_owned(), text)]),
        storage,
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::models::bundled;

    fn bytes() -> Vec<u8> {
        bundled()[0].1.to_vec()
    }

    fn refused(bytes: &[u8]) -> String {
        match Model::load(bytes, &Device::flex()) {
            Ok(_) => panic!("accepted"),
            Err(error) => {
                assert!(matches!(
                    error,
                    Error::Checkpoint { .. } | Error::Setting { .. }
                ));
                assert!(error.hint().is_some());
                error.to_string()
            }
        }
    }

    /// The bundled checkpoint with another card.
    fn with_card(change: &dyn Fn(&mut ModelCard)) -> Vec<u8> {
        let (arrays, _) = params::from_bytes(&bytes()).unwrap();
        let mut card = ModelCard::read(&bytes()).unwrap();
        change(&mut card);
        let text = serde_json::to_string(&card).unwrap();
        let metadata = HashMap::from([(CARD_KEY.to_owned(), text)]);
        params::to_bytes(&arrays, metadata, Storage::F16).unwrap()
    }

    #[test]
    fn a_checkpoint_survives_the_way_out_and_back() {
        let model = Model::load(&bytes(), &Device::flex()).unwrap();
        let again = to_bytes(&model.card, &params::collect(&model.unet), Storage::F16).unwrap();
        let again = Model::load(&again, &Device::flex()).unwrap();
        assert_eq!(model.card, again.card);
        assert_eq!(params::collect(&model.unet), params::collect(&again.unet));
    }

    #[test]
    fn truncated_files_are_refused() {
        let whole = bytes();
        for length in [0, 7, 8, 100, whole.len() / 2, whole.len() - 1] {
            assert!(
                refused(&whole[..length]).contains("safetensors"),
                "{length} bytes"
            );
        }
    }

    #[test]
    fn another_architecture_or_card_is_refused() {
        let wider = with_card(&|card| card.architecture.base_channels = 64);
        assert!(refused(&wider).contains("expected shape"));
        let deeper = with_card(&|card| card.architecture.blocks_per_level = 2);
        assert!(refused(&deeper).contains("expected"));
        let newer = with_card(&|card| card.format = CARD_FORMAT + 1);
        assert!(refused(&newer).contains("card format"));
        let absurd = with_card(&|card| card.architecture.base_channels = 1 << 40);
        assert!(refused(&absurd).contains("base_channels"));
        let bands = with_card(&|card| card.bands.clear());
        assert!(refused(&bands).contains("band names"));
        let (arrays, _) = params::from_bytes(&bytes()).unwrap();
        let cardless = params::to_bytes(&arrays, HashMap::new(), Storage::F16).unwrap();
        assert!(refused(&cardless).contains("model card"));
        for (name, whose) in [
            ("input_blocks.0.0.weight", "guided-diffusion"),
            ("down_blocks.0.resnets.0.conv1.bias", "diffusers"),
        ] {
            let array = arrays.values().next().unwrap().clone();
            let other = Arrays::from([(name.to_owned(), array)]);
            let other = params::to_bytes(&other, HashMap::new(), Storage::F32).unwrap();
            assert!(refused(&other).contains(whose));
            let error = ModelCard::read(&other).expect_err("no card");
            assert!(error.to_string().contains(whose));
        }
    }

    #[test]
    fn weights_that_are_not_finite_are_refused() {
        let (mut arrays, _) = params::from_bytes(&bytes()).unwrap();
        let card = ModelCard::read(&bytes()).unwrap();
        if let Some(array) = arrays.values_mut().next() {
            array.values[0] = f32::NAN;
        }
        assert!(to_bytes(&card, &arrays, Storage::F16).is_err());
        assert!(refused(&to_bytes(&card, &arrays, Storage::F32).unwrap()).contains("NaN"));
    }
}
