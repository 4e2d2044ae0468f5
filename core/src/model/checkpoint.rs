//! A checkpoint is one .safetensors file: the weights, and the model card in its metadata.

use std::collections::HashMap;

use burn::tensor::Device;
use serde::Deserialize;
use sha2::{Digest, Sha256};

use super::Model;
use super::card::{CARD_FORMAT, ModelCard};
use super::interop::guided_diffusion;
use crate::error::{Error, Hint, Result};
use crate::network::params::{self, Arrays, Storage};

/// Key of the card in the file's metadata.
const CARD_KEY: &str = "unclouded.model_card";

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
            hint: Hint::Train,
        })?;
        #[derive(Deserialize)]
        struct Probe {
            format: u32,
        }
        let malformed = |e: serde_json::Error| Error::Checkpoint {
            what: format!("malformed model card ({e})"),
            hint: Hint::Advice(
                "the file was written by another version; train or download it again",
            ),
        };
        let probe: Probe = serde_json::from_str(text).map_err(malformed)?;
        if probe.format != CARD_FORMAT {
            return Err(Error::Checkpoint {
                what: format!("expected card format {CARD_FORMAT}, got {}", probe.format),
                hint: Hint::Advice("use the version that wrote it, or a newer one"),
            });
        }
        let card: Self = serde_json::from_str(text).map_err(malformed)?;
        card.validate()?;
        Ok(card)
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
        let network = card.architecture.build(&arrays, device)?;
        Ok(Self {
            card,
            network,
            foreign: None,
            device: device.clone(),
            sha256: sha256(bytes),
        })
    }
}

/// Says whose weights these are, where their names tell.
fn foreign<'a>(mut names: impl Iterator<Item = &'a String> + Clone) -> Result<()> {
    let (what, hint) = if names.clone().any(|name| guided_diffusion::names(name)) {
        (
            "a state dict of guided-diffusion (ADM), which makes images from noise alone",
            Hint::Generate,
        )
    } else if names.any(|name| name.starts_with("down_blocks.")) {
        (
            "the weights of a diffusers network, without its configuration",
            Hint::NameFolder,
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
        hint: Hint::Advice("a metric may not be a finite number"),
    })?;
    params::to_bytes(
        weights,
        HashMap::from([(CARD_KEY.to_owned(), text)]),
        storage,
    )
}

/// SHA-256 of a file, 64 hexadecimal digits.
pub fn sha256(bytes: &[u8]) -> String {
    let digest = Sha256::digest(bytes);
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::bundled;
    use crate::network::unet::UNetConfig;

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
        let again = to_bytes(&model.card, &model.network.arrays(), Storage::F16).unwrap();
        let again = Model::load(&again, &Device::flex()).unwrap();
        assert_eq!(model.card, again.card);
        assert_eq!(model.network.arrays(), again.network.arrays());
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

    /// The bundled checkpoint with another network in its card.
    fn with_network(change: fn(&mut UNetConfig)) -> Vec<u8> {
        with_card(&|card| {
            let mut config = card.architecture.unet().unwrap().clone();
            change(&mut config);
            card.architecture = config.into();
        })
    }

    /// JSON writes such a number as null: the checkpoint would be written and never read again.
    #[test]
    fn a_metric_that_is_no_number_is_refused_before_it_is_written() {
        let (arrays, _) = params::from_bytes(&bytes()).unwrap();
        for value in [f64::NAN, f64::INFINITY] {
            let mut card = ModelCard::read(&bytes()).unwrap();
            card.metrics.insert("val_loss".into(), value);
            let error = to_bytes(&card, &arrays, Storage::F16).expect_err("no number");
            assert!(error.to_string().contains("val_loss"), "{error}");
        }
    }

    #[test]
    fn another_architecture_or_card_is_refused() {
        let wider = with_network(|config| config.base_channels = 64);
        assert!(refused(&wider).contains("expected shape"));
        let deeper = with_network(|config| config.blocks_per_level = 2);
        assert!(refused(&deeper).contains("expected"));
        let newer = with_card(&|card| card.format = CARD_FORMAT + 1);
        assert!(refused(&newer).contains("card format"));
        let absurd = with_network(|config| config.base_channels = 1 << 40);
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
