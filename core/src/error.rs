//! The one error type of the core: every variant says what, expected/got, and a hint.

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
        hint: &'static str,
    },
    /// A setting is outside its range.
    #[error("{what} must be {expected}, got {got}")]
    Setting {
        /// The name of the setting, as the user typed it.
        what: &'static str,
        /// The allowed range.
        expected: String,
        /// What was given.
        got: String,
        /// What to do about it.
        hint: &'static str,
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
        hint: &'static str,
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
    pub fn hint(&self) -> Option<&str> {
        match self {
            Error::Mismatch { hint, .. }
            | Error::Setting { hint, .. }
            | Error::Checkpoint { hint, .. } => Some(hint),
            Error::NothingMasked { .. } => {
                Some("there is nothing to fill; check the mask's values")
            }
            Error::NothingVisible { .. } => Some(
                "a fill is estimated from the clear pixels around the hole; use a larger scene or a smaller mask",
            ),
            Error::Device(_) => Some("try --device cpu"),
            Error::Interrupted | Error::Io(_) => None,
        }
    }
}

/// The core's result.
pub type Result<T> = std::result::Result<T, Error>;
