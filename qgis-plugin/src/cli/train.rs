//! The arguments of `unclouded train`.

use std::path::PathBuf;

use clap::Args;

use crate::device::DeviceChoice;
use crate::progress::ProgressMode;

/// Train a model from a recipe
///
/// The recipe says which tiles, which network, which schedule and how long. Ctrl-C saves the
/// state and stops; --resume goes on from there.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  unclouded train recipe.toml --resume")]
pub struct TrainArgs {
    /// The recipe
    #[arg(value_name = "CONFIG.toml")]
    pub config: PathBuf,

    /// Go on from the state saved last
    ///
    /// The recipe has to be the one the run was begun with, but for `[output]`, the number of steps
    /// and how often is logged, validated and saved.
    #[arg(long)]
    pub resume: bool,

    /// Go on with --resume although the recipe is another
    #[arg(long, requires = "resume")]
    pub force: bool,

    /// Where to compute: auto, cpu, gpu, gpu:1
    #[arg(long, value_name = "D", default_value = "auto")]
    pub device: DeviceChoice,

    /// How to show progress
    #[arg(long, value_enum, value_name = "P", default_value_t)]
    pub progress: ProgressMode,
}
