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
    /// 2 samples of 1 step: to look at
    Preview,
    /// 2 samples of 2 steps: a third of the time, no useful uncertainty
    Fast,
    /// 4 samples of 1 step: a third of the time
    Standard,
    /// What the model's card says, usually 6 samples of 3 steps
    Balanced,
    /// 16 samples of 6 steps: five times the time
    Best,
}

impl From<QualityChoice> for Quality {
    fn from(choice: QualityChoice) -> Self {
        match choice {
            QualityChoice::Preview => Quality::Preview,
            QualityChoice::Fast => Quality::Fast,
            QualityChoice::Standard => Quality::Standard,
            QualityChoice::Balanced => Quality::Balanced,
            QualityChoice::Best => Quality::Best,
        }
    }
}
