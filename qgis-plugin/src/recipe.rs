//! The recipe of a training run, `unclouded train config.toml`: read and validated once.

mod diffusion;
mod validate;

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use unclouded_core::model::task::Task;
use unclouded_core::network::unet::UNetConfig;

use crate::dataset::file_problem;
use crate::dataset::holdout::Holdout;
use crate::failure::{Failure, Result};

pub use diffusion::DiffusionConfig;

/// A whole recipe. Relative paths have been resolved against the folder of the recipe.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrainConfig {
    /// Which images are learnt from.
    pub data: DataConfig,
    /// Where the holes come from.
    #[serde(default)]
    pub masks: MaskConfig,
    /// How tiles are varied.
    #[serde(default)]
    pub augment: AugmentConfig,
    /// What the network is told besides the tile.
    #[serde(default)]
    pub hints: HintConfig,
    /// What a conditional network is to make of what it is shown.
    #[serde(default)]
    pub task: Task,
    /// The network's architecture.
    #[serde(default)]
    pub model: UNetConfig,
    /// Objective, schedule and noise levels.
    #[serde(default)]
    pub diffusion: DiffusionConfig,
    /// Optimiser and bookkeeping.
    pub train: StepConfig,
    /// Where results go.
    pub output: OutputConfig,
}

/// `[data]`: tiles, their bands, the holdout rule and the licence that goes into the card.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DataConfig {
    /// Folders (searched recursively), .tar or .tar.gz files, or single images.
    pub sources: Vec<PathBuf>,
    /// 1-based bands in the order the model sees them; absent: all bands of the files.
    #[serde(default)]
    pub bands: Option<Vec<usize>>,
    /// Names of those bands for the model card, e.g. `["B04", "B03", "B02"]`.
    #[serde(default)]
    pub band_names: Vec<String>,
    /// Side of a training tile (px). Larger images give random crops.
    #[serde(default = "default_tile_px")]
    pub tile_px: usize,
    /// Modulus of the holdout rule on the index at the end of a file name.
    #[serde(default = "default_validate_every")]
    pub validate_every: u64,
    /// Remainder that is kept for validation.
    #[serde(default = "default_validate_remainder")]
    pub validate_remainder: u64,
    /// Remainders that are neither trained nor validated on.
    #[serde(default)]
    pub exclude_remainders: Vec<u64>,
    /// The value that counts as fully bright, in the files' units; absent: 255 for 8-bit
    /// files, 10000 for 16-bit files (Sentinel-2 reflectance), 1 for floats.
    #[serde(default)]
    pub reflectance_scale: Option<f32>,
    /// Use at most this many images for training, evenly spaced over the sorted names.
    #[serde(default)]
    pub limit: Option<usize>,
    /// Whether the folder of an image is its class, told to the network.
    #[serde(default)]
    pub class_folders: bool,
    /// Short name of the data for the model card.
    #[serde(default)]
    pub name: String,
    /// Licence of the data.
    #[serde(default)]
    pub licence: String,
    /// Who is to be credited.
    #[serde(default)]
    pub attribution: String,
}

impl DataConfig {
    /// The holdout rule.
    pub fn holdout(&self) -> Holdout {
        Holdout {
            validate_every: self.validate_every,
            validate_remainder: self.validate_remainder,
            exclude_remainders: self.exclude_remainders.clone(),
        }
    }
}

/// `[masks]`: real mask frames and procedural ones.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct MaskConfig {
    /// `.npy` files of uint8 or bool 0/1 frames, `[N, H, W]` or `[N, H, W, 1]`.
    pub files: Vec<PathBuf>,
    /// Share of procedural masks, 0..=1; without files all masks are procedural.
    pub noise_fraction: f32,
    /// Smallest masked share of a tile, above 0.
    pub min_cover: f32,
    /// Largest masked share of a tile, below 1.
    pub max_cover: f32,
}

impl Default for MaskConfig {
    fn default() -> Self {
        Self {
            files: Vec::new(),
            noise_fraction: 0.5,
            min_cover: 0.02,
            max_cover: 0.9,
        }
    }
}

/// `[augment]`: how training tiles are varied; validation tiles never are.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AugmentConfig {
    /// Mirror tiles.
    pub flips: bool,
    /// Turn tiles by multiples of 90 degrees.
    pub rotations: bool,
    /// Probability that a tile meets another one and, where both are without nodata and of like
    /// contrast, is joined with it along a line.
    pub mosaic: f32,
    /// Probability that the bands are put into another order.
    pub band_permutation: f32,
    /// Probability that every band becomes a random mix of all bands.
    pub band_mix: f32,
    /// Probability that one band is repeated in all bands.
    pub band_repeat: f32,
    /// Gains are drawn log-uniformly between 1/(1+j) and 1+j, for the tile and for each band.
    pub gain_jitter: f32,
    /// Gamma is drawn log-uniformly between 1/(1+j) and 1+j, for the tile.
    pub gamma_jitter: f32,
}

impl Default for AugmentConfig {
    fn default() -> Self {
        Self {
            flips: true,
            rotations: true,
            mosaic: 0.0,
            band_permutation: 0.0,
            band_mix: 0.0,
            band_repeat: 0.0,
            gain_jitter: 0.0,
            gamma_jitter: 0.0,
        }
    }
}

/// `[hints]`: shares of the training examples that come with a self-made guide; for
/// `conditioning = "guided"`.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct HintConfig {
    /// Share with an image of another date.
    pub reference: f32,
    /// Share with a coarser estimate.
    pub coarse: f32,
}

impl HintConfig {
    /// Whether any example has a hint.
    pub fn any(&self) -> bool {
        self.reference > 0.0 || self.coarse > 0.0
    }

    /// The hint of a validation example, always of the same kind: half of them have none, the
    /// others what the recipe trains on, in turn.
    pub fn only(&self, item: usize) -> Self {
        let share = |wanted: bool, share: f32| f32::from(u8::from(wanted && share > 0.0));
        Self {
            reference: share(item % 4 == 1, self.reference),
            coarse: share(item % 4 == 3, self.coarse),
        }
    }
}

/// `[train]`: optimiser, EMA and bookkeeping.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StepConfig {
    /// Optimiser steps of the whole run.
    pub steps: u64,
    /// Tiles a step.
    #[serde(default = "default_batch")]
    pub batch: usize,
    /// Largest learning rate, reached after the warm-up.
    #[serde(default = "default_learning_rate")]
    pub learning_rate: f64,
    /// Steps of linear warm-up.
    #[serde(default = "default_warmup_steps")]
    pub warmup_steps: u64,
    /// Learning rate at the end of the cosine.
    #[serde(default)]
    pub min_learning_rate: f64,
    /// AdamW weight decay.
    #[serde(default)]
    pub weight_decay: f64,
    /// Largest gradient norm; 0 switches clipping off.
    #[serde(default = "default_grad_clip")]
    pub grad_clip: f64,
    /// Decay of the moving average of the weights, warmed up as (1 + n) / (10 + n).
    #[serde(default = "default_ema_decay")]
    pub ema_decay: f64,
    /// Checkpoint whose weights the run starts from; bands and other channels it lacks start at
    /// zero.
    #[serde(default)]
    pub init: Option<PathBuf>,
    /// Seed of weights, tile order, masks, augmentation and noise.
    #[serde(default)]
    pub seed: u64,
    /// Steps between lines of the log.
    #[serde(default = "default_log_every")]
    pub log_every: u64,
    /// Steps between validations.
    #[serde(default = "default_validate_every_steps")]
    pub validate_every_steps: u64,
    /// Tiles in the validation loss.
    #[serde(default = "default_validate_tiles")]
    pub validate_tiles: usize,
    /// Steps between checkpoints.
    #[serde(default = "default_checkpoint_every")]
    pub checkpoint_every: u64,
    /// Minutes after which a checkpoint is written at the latest; 0 leaves it to the steps.
    #[serde(default = "default_checkpoint_minutes")]
    pub checkpoint_minutes: f64,
}

/// `[output]`: where results go and what the model is called.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OutputConfig {
    /// Folder for checkpoints, log, plot and grids; created when missing.
    pub dir: PathBuf,
    /// Name of the model: letters, digits, `-`, `_` and `.`.
    pub name: String,
    /// One sentence for the model card.
    #[serde(default)]
    pub description: String,
}

fn default_tile_px() -> usize {
    64
}
fn default_validate_every() -> u64 {
    10
}
fn default_validate_remainder() -> u64 {
    1
}
fn default_batch() -> usize {
    16
}
fn default_learning_rate() -> f64 {
    3e-4
}
fn default_warmup_steps() -> u64 {
    200
}
fn default_grad_clip() -> f64 {
    1.0
}
fn default_ema_decay() -> f64 {
    0.9999
}
fn default_log_every() -> u64 {
    20
}
fn default_validate_every_steps() -> u64 {
    500
}
fn default_validate_tiles() -> usize {
    64
}
fn default_checkpoint_every() -> u64 {
    500
}
fn default_checkpoint_minutes() -> f64 {
    10.0
}

impl TrainConfig {
    /// Reads, resolves and validates a recipe.
    ///
    /// # Errors
    /// The file cannot be read, is not TOML, has an unknown or missing field, or a value is
    /// out of range. Whether the sources exist is checked too; whether they hold usable
    /// tiles shows when they are loaded.
    pub fn load(path: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(path).map_err(|error| {
            file_problem(path, "a readable recipe (.toml)", error, "check the path")
        })?;
        let folder = path.parent().unwrap_or(Path::new("."));
        let config = Self::parse(&text, folder).map_err(|mut error| {
            error.message = format!("{}: {}", path.display(), error.message);
            error
        })?;
        for source in config
            .data
            .sources
            .iter()
            .chain(&config.masks.files)
            .chain(&config.train.init)
        {
            if !source.exists() {
                return Err(file_problem(
                    source,
                    "a folder or file",
                    "nothing there",
                    "relative paths in a recipe are relative to the folder of the recipe",
                ));
            }
        }
        Ok(config)
    }

    /// Parses and validates a recipe whose relative paths are relative to `folder`.
    ///
    /// # Errors
    /// As [`TrainConfig::load`], without looking at the disk.
    pub fn parse(text: &str, folder: &Path) -> Result<Self> {
        let mut config: Self = toml::from_str(text).map_err(|error| {
            Failure::mismatch(
                "recipe",
                "the sections [data], [masks], [augment], [hints], [task], [model], [diffusion], [train], [output]",
                error.to_string().trim(),
            )
            .hint("compare with a recipe that lies beside a bundled model")
        })?;
        let outputs = std::iter::once(&mut config.output.dir);
        let inputs = config
            .data
            .sources
            .iter_mut()
            .chain(&mut config.masks.files)
            .chain(&mut config.train.init);
        for path in inputs.chain(outputs) {
            // An absolute path replaces the folder.
            *path = folder.join(&*path);
        }
        config.validate()?;
        Ok(config)
    }
}

#[cfg(test)]
mod tests;
