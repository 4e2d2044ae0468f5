//! How a network is told what is known of an image.

use serde::{Deserialize, Serialize};

/// How a network is conditioned.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Conditioning {
    /// Unconditional: holes are filled by summation.
    None,
    /// `[filled image, mask]` as extra input channels.
    Concat,
    /// As `concat`, then the detail of a guide (an image of another date, or a coarser
    /// estimate) and how far it is to be trusted.
    Guided,
}

impl Conditioning {
    /// Extra input channels of a network for images of `bands` bands.
    pub fn channels(self, bands: usize) -> usize {
        match self {
            Conditioning::None => 0,
            Conditioning::Concat => bands + 1,
            Conditioning::Guided => 2 * (bands + 1),
        }
    }
}
