//! Finding a model: one that is inside the program, or a checkpoint file.

use std::borrow::Cow;
use std::path::Path;

use burn::tensor::Device;
use sha2::{Digest, Sha256};
use unclouded_core::checkpoint::{Model, ModelCard};
use unclouded_core::models::bundled;

use crate::failure::{Failure, Result};

/// The bytes of a checkpoint and what the user calls it.
pub struct Checkpoint {
    /// The bundled model's name, or the path.
    pub name: String,
    /// The file.
    pub bytes: Cow<'static, [u8]>,
}

impl Checkpoint {
    /// Find `--model NAME|PATH`; the first bundled model without it.
    ///
    /// # Errors
    /// Exit 2 if there is no such model.
    pub fn find(model: Option<&str>) -> Result<Self> {
        let models = bundled();
        let found = match model {
            None => models.first(),
            Some(name) => models.iter().find(|(known, _)| *known == name),
        };
        if let Some((name, bytes)) = found {
            return Ok(Checkpoint {
                name: (*name).to_owned(),
                bytes: Cow::Borrowed(*bytes),
            });
        }
        let known: Vec<&str> = models.iter().map(|(name, _)| *name).collect();
        let known = if known.is_empty() {
            "none".to_owned()
        } else {
            known.join(", ")
        };
        let Some(path) = model else {
            return Err(
                Failure::mismatch("model", "a model inside the program", "none")
                    .hint("give a checkpoint with --model PATH"),
            );
        };
        if !Path::new(path).exists() {
            return Err(Failure::mismatch(
                "model",
                format!("a bundled model ({known}) or a checkpoint file"),
                format!("{path}, which is neither"),
            )
            .hint("check the spelling; `unclouded train` writes checkpoints"));
        }
        let bytes = std::fs::read(path)
            .map_err(|error| Failure::usage(format!("model: cannot read {path} ({error})")))?;
        refuse_pickle(path, &bytes)?;
        Ok(Checkpoint {
            name: path.to_owned(),
            bytes: Cow::Owned(bytes),
        })
    }

    /// The card, without the weights.
    ///
    /// # Errors
    /// Exit 2 if the file is not a checkpoint this version knows.
    pub fn card(&self) -> Result<ModelCard> {
        ModelCard::read(&self.bytes).map_err(|error| self.named(error.into()))
    }

    /// SHA-256 of the file, 64 hexadecimal digits.
    pub fn sha256(&self) -> String {
        let digest = Sha256::digest(&self.bytes);
        digest.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// Card and weights on a device.
    ///
    /// # Errors
    /// Exit 2 if the file is truncated, or its weights do not fit its architecture.
    pub fn load(&self, device: &Device) -> Result<Model> {
        Model::load(&self.bytes, device).map_err(|error| self.named(error.into()))
    }

    fn named(&self, mut failure: Failure) -> Failure {
        failure.message = format!("model {}: {}", self.name, failure.message);
        failure
    }
}

/// Refuses what `torch.save` writes, a ZIP archive with a pickle or a bare one: reading it can run
/// code.
fn refuse_pickle(path: &str, bytes: &[u8]) -> Result<()> {
    if !(bytes.starts_with(b"PK\x03\x04") || bytes.starts_with(b"\x80\x02")) {
        return Ok(());
    }
    let new = Path::new(path).with_extension("safetensors");
    Err(Failure::mismatch(
        "model",
        "weights as .safetensors",
        format!("{path}, a Python pickle, which can run code"),
    )
    .hint(format!(
        "save it anew in Python:\n  import torch, safetensors.torch as s\n  \
         s.save_file(torch.load({path:?}, map_location=\"cpu\", weights_only=True), {:?})",
        new.display().to_string()
    )))
}
