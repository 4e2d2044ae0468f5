//! The arguments of `unclouded convert`.

use std::path::PathBuf;

use clap::Args;

const EXAMPLES: &str = "\
Examples:
  unclouded convert model.safetensors model.onnx
  unclouded convert model.safetensors folder/
  unclouded convert google-ddpm-cat-256/ copy/";

/// Convert a model for other programs
///
/// Reads a checkpoint, a bundled model's name, a folder of the Python library diffusers
/// (UNet2DModel or DDPMPipeline), or a state dict of guided-diffusion (ADM) as .safetensors with
/// its flags in a .json of the same name. Writes an ONNX file with the denoiser, or a diffusers
/// folder where the network is one that diffusers knows.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct ConvertArgs {
    /// A bundled model's name, a checkpoint file, a diffusers folder, or a state dict of
    /// guided-diffusion
    #[arg(value_name = "NAME|PATH")]
    pub model: String,

    /// What to write: NAME.onnx, or a new folder for diffusers
    #[arg(value_name = "OUT")]
    pub output: PathBuf,

    /// Replace a file that exists
    #[arg(long)]
    pub overwrite: bool,
}
