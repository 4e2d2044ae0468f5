//! Training data: tiles in memory, masks, augmentation and reproducible batches.
//!
//! `[data] → tiles (load, decode, holdout) → batch (+ masks, augment, keyed by rng) →
//! prefetch → training`. Every batch is a pure function of (recipe, seed, step).

use std::path::Path;

use crate::failure::Failure;

pub mod augment;
pub mod batch;
pub mod decode;
pub mod hint;
pub mod holdout;
pub mod load;
pub mod masks;
pub mod mosaic;
pub mod noise_mask;
pub mod prefetch;
pub mod rng;
pub mod tiles;

pub use batch::{BatchBuilder, Example, TrainingBatch};
pub use masks::MaskPool;
pub use prefetch::Prefetch;
pub use tiles::Tiles;

/// A failure about a file that is not what it should be (exit 2).
pub(crate) fn file_problem(
    path: &Path,
    expected: &str,
    got: impl std::fmt::Display,
    hint: &str,
) -> Failure {
    Failure::mismatch(path.display(), expected, got).hint(hint)
}

#[cfg(test)]
mod tests;
