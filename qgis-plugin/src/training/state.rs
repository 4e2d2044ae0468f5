//! What a training run keeps on disk: the state to go on from, and the checkpoint to use.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use serde_json::Value;
use unclouded_core::network::params::{self, Arrays, Storage};

use crate::failure::{Failure, Result};
use crate::gdal_io::pending;

/// Everything a run needs to go on exactly where it stopped.
pub struct State {
    /// Steps done.
    pub step: u64,
    /// Seconds spent so far.
    pub seconds: f64,
    /// The weights being trained.
    pub weights: Arrays,
    /// The optimiser's state.
    pub optimizer: Arrays,
    /// What validation measured last.
    pub metrics: BTreeMap<String, f64>,
    /// Training losses since the last line of the log.
    pub unlogged: Losses,
    /// The recipe of the run; none in states of versions that kept none.
    pub recipe: Option<Value>,
}

/// Losses that are averaged when the next line of the log is due.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Losses {
    sum: f64,
    count: u32,
}

impl Losses {
    /// One more.
    pub fn add(&mut self, loss: f64) {
        self.sum += loss;
        self.count += 1;
    }

    /// Their mean; none of none.
    pub fn mean(self) -> Option<f64> {
        (self.count > 0).then(|| self.sum / f64::from(self.count))
    }
}

const WEIGHT: &str = "weights/";
const OPTIMIZER: &str = "optimizer/";
const RECIPE: &str = "unclouded.recipe";

impl State {
    /// The state before the first step.
    pub fn new(weights: Arrays) -> Self {
        Self {
            step: 0,
            seconds: 0.0,
            weights,
            optimizer: Arrays::new(),
            metrics: BTreeMap::new(),
            unlogged: Losses::default(),
            recipe: None,
        }
    }

    /// Writes the state; the old one stays until the new one is complete.
    pub fn save(self, path: &Path) -> Result<()> {
        let mut arrays = Arrays::new();
        for (prefix, part) in [(WEIGHT, self.weights), (OPTIMIZER, self.optimizer)] {
            arrays.extend(
                part.into_iter()
                    .map(|(name, a)| (format!("{prefix}{name}"), a)),
            );
        }
        let metadata = HashMap::from([
            ("unclouded.step".to_owned(), self.step.to_string()),
            ("unclouded.seconds".to_owned(), self.seconds.to_string()),
            (
                "unclouded.loss_sum".to_owned(),
                self.unlogged.sum.to_string(),
            ),
            (
                "unclouded.loss_count".to_owned(),
                self.unlogged.count.to_string(),
            ),
            (
                "unclouded.metrics".to_owned(),
                serde_json::json!(self.metrics).to_string(),
            ),
            (
                RECIPE.to_owned(),
                self.recipe.unwrap_or_default().to_string(),
            ),
        ]);
        pending::write(
            path,
            true,
            &params::to_bytes(&arrays, metadata, Storage::F32)?,
        )
    }

    /// Reads a state.
    ///
    /// # Errors
    /// Exit 2 when there is none at `path` or it cannot be read.
    pub fn load(path: &Path) -> Result<Self> {
        let hint = "start without --resume, or check [output] dir";
        let bytes = std::fs::read(path).map_err(|error| {
            Failure::mismatch(path.display(), "the state of an earlier run", error).hint(hint)
        })?;
        let (arrays, metadata) = params::from_bytes(&bytes)?;
        let number = |key: &str| metadata.get(key).and_then(|text| text.parse::<f64>().ok());
        let (Some(step), Some(seconds)) = (number("unclouded.step"), number("unclouded.seconds"))
        else {
            return Err(Failure::mismatch(
                path.display(),
                "the state of an earlier run",
                "a file without a step count",
            )
            .hint(hint));
        };
        let part = |prefix: &str| {
            let named = arrays.iter();
            let of_part = named.filter_map(|(name, a)| Some((name.strip_prefix(prefix)?, a)));
            of_part
                .map(|(name, a)| (name.to_owned(), a.clone()))
                .collect()
        };
        Ok(Self {
            step: step as u64,
            seconds,
            weights: part(WEIGHT),
            optimizer: part(OPTIMIZER),
            metrics: metadata
                .get("unclouded.metrics")
                .and_then(|text| serde_json::from_str(text).ok())
                .unwrap_or_default(),
            // States of earlier versions have none: the next line averages what it sees.
            unlogged: Losses {
                sum: number("unclouded.loss_sum").unwrap_or(0.0),
                count: number("unclouded.loss_count").unwrap_or(0.0) as u32,
            },
            recipe: metadata
                .get(RECIPE)
                .and_then(|text| serde_json::from_str(text).ok())
                .filter(|recipe: &Value| !recipe.is_null()),
        })
    }
}
