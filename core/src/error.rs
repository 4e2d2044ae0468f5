//! The one error type of the core: every variant says what, expected and got, and a hint.
//!
//! The core knows neither options nor commands: a setting is a [`Key`] and a hint a [`Hint`], and
//! each face has its own words for them. `Display` gives words that hold in every face.

use std::fmt;

/// A setting, whatever a face calls it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Key {
    /// Tiles times members at once.
    Batch,
    /// Full brightness in scene units.
    Brightness,
    /// Stochasticity of DDIM.
    Eta,
    /// The image that a generation starts from.
    Init,
    /// How holes are filled.
    Method,
    /// The model.
    Model,
    /// Scene bands that feed the model.
    ModelBands,
    /// Overlap of neighbouring tiles.
    OverlapPx,
    /// A level of quality.
    Quality,
    /// The sampler.
    Sampler,
    /// Ensemble members.
    Samples,
    /// Steps of the sampler.
    Steps,
    /// How far from its start a generation goes.
    Strength,
    /// Side of a tile.
    TilePx,
    /// Which image of an ensemble is written.
    Write,
    /// A number of a recipe, a card or a sampler, by its name there.
    Field(&'static str),
}

impl Key {
    /// The setting in words that hold in every face.
    pub fn name(self) -> &'static str {
        match self {
            Key::Batch => "batch",
            Key::Brightness => "full brightness",
            Key::Eta => "eta",
            Key::Init => "image to start from",
            Key::Method => "method",
            Key::Model => "model",
            Key::ModelBands => "bands for the model",
            Key::OverlapPx => "overlap of the tiles",
            Key::Quality => "quality",
            Key::Sampler => "sampler",
            Key::Samples => "samples",
            Key::Steps => "steps",
            Key::Strength => "strength",
            Key::TilePx => "side of the tiles",
            Key::Write => "what is written",
            Key::Field(name) => name,
        }
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What to do about an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Hint {
    /// A sentence that holds in every face.
    Advice(&'static str),
    /// Not to give a setting, so that the model decides.
    LeaveOut(Key),
    /// The nearest value a setting may have.
    Nearest(Key, usize),
    /// To compute on the processor.
    UseCpu,
    /// To name one scene band for each band of the model.
    NameBands,
    /// To fill a scene with this model.
    Restore,
    /// To make images with this model.
    Generate,
    /// To make images with this model, starting from a degraded one.
    GenerateFromDegraded,
    /// To score this model, which draws whole images anew.
    Evaluate,
    /// To train a model, which gives it a card.
    Train,
    /// To name the folder the file is in.
    NameFolder,
}

impl fmt::Display for Hint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Hint::Advice(sentence) => sentence,
            Hint::LeaveOut(key) => {
                return write!(f, "do not set {key}: the model knows what it was made for");
            }
            Hint::Nearest(_, value) => return write!(f, "the nearest it may be: {value}"),
            Hint::UseCpu => "compute on the processor instead",
            Hint::NameBands => "name one scene band for each band of the model",
            Hint::Restore => "this model fills holes in scenes",
            Hint::Generate => "this model makes images",
            Hint::GenerateFromDegraded => "this model makes images from degraded ones",
            Hint::Evaluate => "this model draws whole images anew",
            Hint::Train => "only a checkpoint that was trained with this software has one",
            Hint::NameFolder => "name the folder with its config.json instead of the file in it",
        })
    }
}

/// Everything that can go wrong in the core.
///
/// `Display` is the sentence for the user; [`Error::hint`] is what to do about it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Two arrays that must agree in size do not.
    #[error("{what}: expected {expected}, got {got}")]
    Mismatch {
        /// What does not fit, e.g. "mask size".
        what: &'static str,
        /// What was expected, e.g. "256x256".
        expected: String,
        /// What was found.
        got: String,
        /// What to do about it.
        hint: Hint,
    },
    /// A setting is outside its range.
    #[error("{key} must be {expected}, got {got}")]
    Setting {
        /// Which.
        key: Key,
        /// The allowed range.
        expected: String,
        /// What was given.
        got: String,
        /// What to do about it.
        hint: Hint,
    },
    /// The mask selects no pixel that holds data.
    #[error("empty mask: none of the {valid} valid pixels of the scene is masked")]
    NothingMasked {
        /// How many pixels hold data.
        valid: usize,
    },
    /// The scene has no visible pixel to fill from.
    #[error("no visible pixel: all {masked} valid pixels of the scene are masked")]
    NothingVisible {
        /// How many valid pixels are masked.
        masked: usize,
    },
    /// A checkpoint cannot be read or does not describe a model this version knows.
    #[error("checkpoint: {what}")]
    Checkpoint {
        /// What is wrong with it.
        what: String,
        /// What to do about it.
        hint: Hint,
    },
    /// The caller's progress callback asked to stop.
    #[error("interrupted")]
    Interrupted,
    /// The device failed while computing.
    #[error("device: {0}")]
    Device(String),
    /// Reading from the scene or writing to the sink failed (the face's own error).
    #[error("{0}")]
    Io(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl Error {
    /// What the user can do about it, where there is something to say.
    pub fn hint(&self) -> Option<Hint> {
        match self {
            Error::Mismatch { hint, .. }
            | Error::Setting { hint, .. }
            | Error::Checkpoint { hint, .. } => Some(*hint),
            Error::NothingMasked { .. } => Some(Hint::Advice(
                "there is nothing to fill; check the mask's values",
            )),
            Error::NothingVisible { .. } => Some(Hint::Advice(
                "a fill is estimated from the clear pixels around the hole; use a larger scene or a smaller mask",
            )),
            Error::Device(_) => Some(Hint::UseCpu),
            Error::Interrupted | Error::Io(_) => None,
        }
    }
}

/// The core's result.
pub type Result<T> = std::result::Result<T, Error>;
