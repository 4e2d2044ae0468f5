//! Folders of the Python library diffusers: a `UNet2DModel` with its scheduler.

mod export;
mod scheduler;
pub(super) mod weights;

use std::collections::{BTreeMap, HashMap};

use burn::tensor::Device;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::error::{Error, Result};
use crate::params::{self, Storage};
use crate::unet::diffusers::{UNet2D, UNet2DConfig};

pub use export::export;
pub use scheduler::{Scheduler, Variance};

/// The files of a folder that are read.
#[derive(Debug, Clone, Default)]
pub struct FolderFiles {
    /// `unet/config.json`.
    pub config: String,
    /// `unet/diffusion_pytorch_model.safetensors`.
    pub weights: Vec<u8>,
    /// `scheduler/scheduler_config.json`; the folder of a network alone has none.
    pub scheduler: Option<String>,
    /// `model_index.json` of a pipeline.
    pub index: Option<String>,
}

/// A file of a folder to be written: its path inside the folder, and its bytes.
pub type NewFile = (String, Vec<u8>);

/// A diffusers model on a device, or one of the same blocks from elsewhere.
#[derive(Debug)]
pub struct DiffusersModel {
    /// The network's configuration.
    pub config: UNet2DConfig,
    /// The network.
    pub network: UNet2D,
    /// Noise levels and what the network predicts.
    pub scheduler: Scheduler,
    /// Names of the classes by number, from the key `id2label` of the index.
    pub labels: BTreeMap<usize, String>,
    /// Where it lives.
    pub device: Device,
    /// SHA-256 of the file of weights, hexadecimal.
    pub sha256: String,
}

impl DiffusersModel {
    /// Builds the network of a folder on a device.
    ///
    /// # Errors
    /// [`Error::Checkpoint`] for anything wrong with the files, or not supported here.
    pub fn load(files: &FolderFiles, device: &Device) -> Result<Self> {
        let config = UNet2DConfig::parse(&files.config)?;
        let scheduler = Scheduler::parse(files.scheduler.as_deref())?;
        let (arrays, _) = params::from_bytes(&files.weights)?;
        let fresh = config.init(device);
        let arrays = weights::from_file(&params::shapes(&fresh), arrays)?;
        let network = params::assign(fresh, &arrays)?;
        Ok(Self {
            network,
            scheduler,
            labels: labels(files.index.as_deref())?,
            device: device.clone(),
            sha256: Sha256::digest(&files.weights)
                .iter()
                .map(|b| format!("{b:02x}"))
                .collect(),
            config,
        })
    }

    /// The folder that diffusers reads, as files; lossless.
    ///
    /// # Errors
    /// [`Error::Checkpoint`] when the arrays cannot be written, or diffusers has no network like
    /// this one.
    pub fn files(&self) -> Result<Vec<NewFile>> {
        self.config.expressible()?;
        folder(
            &self.config,
            &weights::to_file(params::collect(&self.network)),
            &self.scheduler.json,
            &self.labels,
        )
    }
}

/// The files of a pipeline's folder. `weights` are in the file's own layout.
fn folder(
    config: &UNet2DConfig,
    weights: &params::Arrays,
    scheduler: &Value,
    labels: &BTreeMap<usize, String>,
) -> Result<Vec<NewFile>> {
    let text = |value: &Value| format!("{value:#}\n").into_bytes();
    // diffusers refuses files that do not say which framework's arrays they hold.
    let metadata = HashMap::from([("format".to_owned(), "pt".to_owned())]);
    let mut files = vec![
        ("unet/config.json".to_owned(), text(&config.to_json())),
        (
            "unet/diffusion_pytorch_model.safetensors".to_owned(),
            params::to_bytes(weights, metadata, Storage::F32)?,
        ),
        (
            "scheduler/scheduler_config.json".to_owned(),
            text(scheduler),
        ),
    ];
    let class = scheduler["_class_name"].as_str().unwrap_or("DDPMScheduler");
    if scheduler::feeds_plain_pipeline(class) {
        let mut index = json!({
            "_class_name": "DDPMPipeline",
            "scheduler": ["diffusers", class],
            "unet": ["diffusers", "UNet2DModel"],
        });
        if !labels.is_empty() {
            index["id2label"] = json!(labels);
        }
        files.push(("model_index.json".to_owned(), text(&index)));
    }
    Ok(files)
}

/// `{"id2label": {"0": "AnnualCrop", ...}}`, as pipelines with classes write it.
fn labels(index: Option<&str>) -> Result<BTreeMap<usize, String>> {
    let Some(index) = index else {
        return Ok(BTreeMap::new());
    };
    let index: Value = serde_json::from_str(index).map_err(|error| Error::Checkpoint {
        what: format!("model_index.json: expected a JSON object, got {error}"),
        hint: "the file may be truncated; copy the folder again",
    })?;
    let labels = index["id2label"].as_object().into_iter().flatten();
    Ok(labels
        .filter_map(|(number, name)| Some((number.parse().ok()?, name.as_str()?.to_owned())))
        .collect())
}
