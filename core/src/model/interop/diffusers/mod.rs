//! Folders of the Python library diffusers: a `UNet2DModel` with its scheduler.

mod export;
mod scheduler;
pub(super) mod weights;

use std::collections::{BTreeMap, HashMap};

use burn::tensor::Device;
use serde_json::{Value, json};

use crate::error::{Error, Hint, Result};
use crate::model::task::Task;
use crate::model::{
    Architecture, Brightness, CARD_FORMAT, Conditioning, Defaults, Model, ModelCard, Space,
    Training, sha256,
};
use crate::network::diffusers::UNet2DConfig;
use crate::network::params::{self, Storage};

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

/// What a model from elsewhere says besides its card.
#[derive(Debug, Clone)]
pub struct Foreign {
    /// Noise levels, and how they are walked.
    pub scheduler: Scheduler,
    /// Names of the classes by number, from the key `id2label` of the index.
    pub labels: BTreeMap<usize, String>,
}

/// Builds the network of a folder called `name` on a device.
///
/// # Errors
/// [`Error::Checkpoint`] for anything wrong with the files, or not supported here.
pub fn load(files: &FolderFiles, name: &str, device: &Device) -> Result<Model> {
    let config = UNet2DConfig::parse(&files.config)?;
    let scheduler = Scheduler::parse(files.scheduler.as_deref())?;
    let (arrays, _) = params::from_bytes(&files.weights)?;
    let fresh = config.init(device);
    let arrays = weights::from_file(&params::shapes(&fresh), arrays)?;
    let network = params::assign(fresh, &arrays)?;
    let foreign = Foreign {
        scheduler,
        labels: labels(files.index.as_deref())?,
    };
    Ok(Model {
        card: made_up_card(name, config, &foreign.scheduler),
        network: Box::new(network),
        foreign: Some(Box::new(foreign)),
        device: device.clone(),
        sha256: sha256(&files.weights),
    })
}

/// The card of a folder called `name`, without its weights.
///
/// # Errors
/// As [`load`].
pub fn read_card(files: &FolderFiles, name: &str) -> Result<ModelCard> {
    let config = UNet2DConfig::parse(&files.config)?;
    let scheduler = Scheduler::parse(files.scheduler.as_deref())?;
    Ok(made_up_card(name, config, &scheduler))
}

/// A card for a model that has none: unconditional, black to full brightness as -1..1, as such
/// networks have them.
pub(super) fn made_up_card(name: &str, config: UNet2DConfig, scheduler: &Scheduler) -> ModelCard {
    let side = config
        .sample_size
        .map_or(64, |(height, width)| height.min(width));
    let bands = match config.in_channels {
        3 => ["B04", "B03", "B02"].map(str::to_owned).to_vec(),
        bands => (1..=bands).map(|band| format!("band {band}")).collect(),
    };
    ModelCard {
        format: CARD_FORMAT,
        name: name.to_owned(),
        description: "A model of another program; this card was made up for it.".into(),
        version: env!("CARGO_PKG_VERSION").into(),
        bands,
        conditioning: Conditioning::None,
        task: Task::default(),
        classes: Vec::new(),
        normalization: Space::FixedRange {
            low: 0.0,
            high: 1.0,
            fill_distance_px: 64,
        },
        brightness: Brightness {
            floats: Some(1.0),
            ..Brightness::default()
        },
        prediction: scheduler.prediction,
        schedule: scheduler.schedule,
        defaults: Defaults {
            sampler: scheduler.sampler,
            steps: scheduler.steps,
            samples: 1,
            tile_px: side,
            overlap_px: side / 4,
        },
        uncertainty_factor: 1.0,
        direct_factor: None,
        training: Training::default(),
        metrics: BTreeMap::new(),
        architecture: Architecture::UNet2D(Box::new(config)),
    }
}

/// A model as the folder that diffusers reads: one that comes from elsewhere as it is, lossless,
/// one of ours where diffusers has the same network.
///
/// # Errors
/// [`Error::Checkpoint`] naming the first part that diffusers has no counterpart for.
pub fn files(model: &Model) -> Result<Vec<NewFile>> {
    match (&model.card.architecture, &model.foreign) {
        (Architecture::UNet2D(config), Some(foreign)) => {
            config.expressible()?;
            folder(
                config,
                &weights::to_file(model.network.arrays()),
                &foreign.scheduler.json,
                &foreign.labels,
            )
        }
        (Architecture::UNet(config), _) => export::export(model, config),
        (Architecture::UNet2D(_), None) => Err(Error::Checkpoint {
            what: "expected a network with its scheduler, got one without".into(),
            hint: Hint::Advice("load it from the folder or the file it came in"),
        }),
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
        hint: Hint::Advice("the file may be truncated; copy the folder again"),
    })?;
    let labels = index["id2label"].as_object().into_iter().flatten();
    Ok(labels
        .filter_map(|(number, name)| Some((number.parse().ok()?, name.as_str()?.to_owned())))
        .collect())
}
