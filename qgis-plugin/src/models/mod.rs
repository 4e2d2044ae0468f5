//! Finding a model: inside the program, installed, or a file or folder of any format that is read.

pub mod diffusers_folder;
mod guided_diffusion_file;
pub mod registry;

use std::borrow::Cow;
use std::path::Path;

use burn::tensor::Device;
use unclouded_core::model::interop::diffusers::{self, FolderFiles};
use unclouded_core::model::interop::guided_diffusion;
use unclouded_core::model::{Model, ModelCard, sha256};

use crate::failure::{Failure, Result};
use crate::progress::Reporter;

/// A model's file and what the user calls it.
pub struct Checkpoint {
    /// The model's name, or its path.
    pub name: String,
    /// What the user should know about the choice of files.
    pub notes: Vec<String>,
    contents: Contents,
}

/// What was read.
enum Contents {
    /// A checkpoint of this program.
    Own(Cow<'static, [u8]>),
    /// A state dict of guided-diffusion, and its flags.
    GuidedDiffusion(Vec<u8>, Option<String>),
    /// A folder of diffusers.
    Diffusers(FolderFiles),
}

impl Checkpoint {
    /// Find `--model NAME|PATH`; the first bundled model without it.
    ///
    /// # Errors
    /// Exit 2 if there is no such model, or its files cannot be read.
    pub fn find(model: Option<&str>) -> Result<Self> {
        if let Some((name, bytes)) = registry::find(model)? {
            return Ok(Self::own(name, bytes));
        }
        let Some(path) = model else {
            return Err(
                Failure::mismatch("model", "a model inside the program", "none")
                    .hint("give a checkpoint with --model PATH"),
            );
        };
        if Path::new(path).is_dir() {
            let (files, notes) = diffusers_folder::read(Path::new(path))?;
            return Ok(Self {
                name: path.to_owned(),
                notes,
                contents: Contents::Diffusers(files),
            });
        }
        if !Path::new(path).exists() {
            return Err(Failure::mismatch(
                "model",
                format!(
                    "a model that is here ({}) or a checkpoint file",
                    registry::names().join(", ")
                ),
                format!("{path}, which is neither"),
            )
            .hint("check the spelling; `unclouded train` writes checkpoints"));
        }
        let bytes = std::fs::read(path)
            .map_err(|error| Failure::usage(format!("model: cannot read {path} ({error})")))?;
        refuse_pickle(path, &bytes)?;
        if guided_diffusion::is_file(&bytes) {
            let flags = guided_diffusion_file::flags(Path::new(path))?;
            return Ok(Self {
                name: path.to_owned(),
                notes: Vec::new(),
                contents: Contents::GuidedDiffusion(bytes, flags),
            });
        }
        Ok(Self::own(path.to_owned(), Cow::Owned(bytes)))
    }

    fn own(name: String, bytes: Cow<'static, [u8]>) -> Self {
        Self {
            name,
            notes: Vec::new(),
            contents: Contents::Own(bytes),
        }
    }

    /// The card, without the network; made up for a model that has none.
    ///
    /// # Errors
    /// Exit 2 if the file is not one this version knows.
    pub fn card(&self) -> Result<ModelCard> {
        let card = match &self.contents {
            Contents::Own(bytes) => ModelCard::read(bytes),
            Contents::GuidedDiffusion(bytes, flags) => {
                guided_diffusion::read_card(bytes, flags.as_deref(), &self.short_name())
            }
            Contents::Diffusers(files) => diffusers::read_card(files, &self.short_name()),
        };
        card.map_err(|error| self.named(error.into()))
    }

    /// The file of the weights.
    fn bytes(&self) -> &[u8] {
        match &self.contents {
            Contents::Own(bytes) => bytes,
            Contents::GuidedDiffusion(bytes, _) => bytes,
            Contents::Diffusers(files) => &files.weights,
        }
    }

    /// Size of the file of the weights, bytes.
    pub fn len(&self) -> usize {
        self.bytes().len()
    }

    /// Whether that file is empty.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// SHA-256 of the file of the weights, 64 hexadecimal digits.
    pub fn sha256(&self) -> String {
        sha256(self.bytes())
    }

    /// Card and network on a device.
    ///
    /// # Errors
    /// Exit 2 if the file is truncated, or its weights do not fit its architecture.
    pub fn load(&self, device: &Device) -> Result<Model> {
        let model = match &self.contents {
            Contents::Own(bytes) => Model::load(bytes, device),
            Contents::GuidedDiffusion(bytes, flags) => {
                guided_diffusion::load(bytes, flags.as_deref(), &self.short_name(), device)
            }
            Contents::Diffusers(files) => diffusers::load(files, &self.short_name(), device),
        };
        model.map_err(|error| self.named(error.into()))
    }

    /// Tells the user what is to be known about a model from elsewhere.
    pub fn say_notes(&self, model: &Model, reporter: &mut Reporter) {
        let foreign = model.foreign.iter();
        let notes = foreign.flat_map(|foreign| &foreign.scheduler.notes);
        self.notes
            .iter()
            .chain(notes)
            .for_each(|note| reporter.info(note));
    }

    /// The name of the file or folder, without its ending.
    fn short_name(&self) -> String {
        let path = Path::new(&self.name);
        let name = match path.is_dir() {
            true => path.file_name(),
            false => path.file_stem(),
        };
        name.unwrap_or(path.as_os_str())
            .to_string_lossy()
            .into_owned()
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
