//! The arguments of `unclouded info` and `unclouded capabilities`.

use clap::Args;

/// Tell a program what this one can do
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  unclouded capabilities --json")]
pub struct CapabilitiesArgs {
    /// Print JSON instead of text
    #[arg(long)]
    pub json: bool,
}

/// Describe a model or a scene, or list the models that are here
///
/// A model is installed by laying NAME.safetensors into a folder `models` beside the program or
/// into that of the user; without an argument both are named. A NAME.sha256 beside it, as
/// sha256sum writes it, is checked whenever the model is used.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  unclouded info\n  unclouded info scene.tif\n  unclouded info model.safetensors --json"
)]
pub struct InfoArgs {
    /// The name of a model that is here, a model's file or folder, a raster, or auto, cpu, gpu or
    /// gpu:1 for what would compute on this machine
    #[arg(value_name = "MODEL|SCENE|DEVICE")]
    pub what: Option<String>,

    /// Print JSON
    #[arg(long)]
    pub json: bool,
}
