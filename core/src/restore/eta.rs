//! How long a run will go on, from how long each kind of work has taken so far.
//!
//! Reading, sampling, texturing and copying are timed one by one: a scene may begin with a coarse pass that
//! writes nothing, with clear rows that are only copied, or with its only clouds, so that the time
//! a step or a row took on average says little about the ones that follow. What has not happened
//! yet counts with what it is expected to cost. Tiles of a coarser scale come from a scratch: where
//! copying costs far more than the network, reading looks too cheap until the scene's own tiles are
//! read.

use super::progress::{Progress, Share};

/// What is expected before it was measured, in seconds.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Expected {
    /// To read a finished row and to write it, for each pixel, as the mean of both.
    pub copied_px: f64,
    /// What comes after the last row: to close the files, to compare them.
    pub after: f64,
}

/// Times a run by its own clock.
#[derive(Debug, Clone)]
pub struct Eta {
    expected: Expected,
    began: Option<f64>,
    now: f64,
    at: Progress,
    /// Seconds spent on each of the [`shares`].
    spent: [f64; KINDS],
    fraction: f64,
}

impl Eta {
    /// Before the first report.
    pub fn new(expected: Expected) -> Self {
        Eta {
            expected,
            began: None,
            now: 0.0,
            at: Progress::default(),
            spent: [0.0; KINDS],
            fraction: 0.0,
        }
    }

    /// A report came at `now`, in seconds on any clock; the time since the last one was spent on
    /// what it counts and the last did not.
    pub fn observe(&mut self, now: f64, at: Progress) {
        let began = *self.began.get_or_insert(now);
        let since = now - if now > began { self.now } else { now };
        for (kind, (before, after)) in shares(&self.at).into_iter().zip(shares(&at)).enumerate() {
            if after.done > before.done {
                self.spent[kind] += since;
            }
        }
        (self.now, self.at) = (now, at);
        let left = self.left().map(|left| left - self.expected.after);
        let reached = match left {
            Some(left) if left > 0.0 => (now - began) / (now - began + left),
            Some(_) => 1.0,
            None => 0.0,
        };
        self.fraction = self.fraction.max(reached);
    }

    /// Seconds until the run ends; `None` until the network was timed.
    pub fn left(&self) -> Option<f64> {
        let mut left = self.expected.after;
        for (kind, share) in shares(&self.at).into_iter().enumerate() {
            let todo = share.total.saturating_sub(share.done) as f64;
            if todo == 0.0 {
                continue;
            }
            left += todo
                * match (share.done, kind) {
                    (0, COPIED) => self.expected.copied_px,
                    (0, _) => return None,
                    (done, _) => self.spent[kind] / done as f64,
                };
        }
        Some(left)
    }

    /// Which part of the time from the first report to the last row has passed, 0 to 1; never
    /// less than before.
    pub fn fraction(&self) -> f64 {
        self.fraction
    }
}

/// Place of what [`Progress::copied`] counts.
const COPIED: usize = 3;
/// Kinds of work.
const KINDS: usize = 4;

fn shares(at: &Progress) -> [Share; KINDS] {
    [at.read, at.sampled, at.textured, at.copied]
}
