//! Words of the command line that stand for choices of the core.

use unclouded_core::restore::{Quality, Written};

/// What is written of the samples (`--write`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum WriteChoice {
    /// Their mean
    #[default]
    Mean,
    /// The first of them
    Sample,
    /// Their mean, drawn anew from pieces of the visible ground
    Texture,
}

impl From<WriteChoice> for Written {
    fn from(choice: WriteChoice) -> Self {
        match choice {
            WriteChoice::Mean => Written::Mean,
            WriteChoice::Sample => Written::Sample,
            WriteChoice::Texture => Written::Texture,
        }
    }
}

/// How much computing goes into a fill (`--quality`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum QualityChoice {
    /// One call of the network: half the time
    Fast,
    /// The mean of two calls, the tile turned between them
    Balanced,
    /// The mean of eight calls, every way a tile can be turned: three times the time
    Best,
}

impl From<QualityChoice> for Quality {
    fn from(choice: QualityChoice) -> Self {
        match choice {
            QualityChoice::Fast => Quality::Fast,
            QualityChoice::Balanced => Quality::Balanced,
            QualityChoice::Best => Quality::Best,
        }
    }
}
