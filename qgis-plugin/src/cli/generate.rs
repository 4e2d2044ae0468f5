//! The arguments of `unclouded generate`.

use std::path::PathBuf;

use clap::Args;

use crate::device::DeviceChoice;
use crate::progress::ProgressMode;

const EXAMPLES: &str = "\
Examples:
  unclouded generate model.safetensors -o grid.png --count 16 --seed 7
  unclouded generate google-ddpm-cat-256/ -o cats/ --count 4 --steps 50 --sampler ddim
  unclouded generate model.safetensors -o forest.tif --class 1 --guidance 2 --like scene.tif
  unclouded generate model.safetensors -o varied.tif --init scene.tif --strength 0.4";

/// Make images with an unconditional or class-conditioned model
///
/// The model is a checkpoint trained with conditioning = "none", a folder of the Python library
/// diffusers (UNet2DModel or DDPMPipeline), or a state dict of guided-diffusion (ADM) as
/// NAME.safetensors, with the flags it was trained with in NAME.json, such as
/// {"num_head_channels": 64}. Image i of a seed is the same whatever the count. Every pixel is
/// invented; the outputs' metadata say so.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct GenerateArgs {
    /// A checkpoint file, a diffusers folder, or a state dict of guided-diffusion
    #[arg(value_name = "MODEL")]
    pub model: String,

    /// What to write: a grid NAME.png, one GeoTIFF NAME.tif, or a folder of single images
    #[arg(short, long, value_name = "OUT")]
    pub output: PathBuf,

    /// How many images
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub count: usize,

    /// Format of the images in a folder
    #[arg(long, value_enum, value_name = "F", default_value_t)]
    pub format: ImageFormat,

    /// Replace outputs that exist
    #[arg(long)]
    pub overwrite: bool,

    /// Height and width of an image, pixels [default: the model's]
    #[arg(long, value_name = "HxW", value_parser = size, help_heading = "Image")]
    pub size: Option<(usize, usize)>,

    /// Class of the images: its number, or its name where the model knows names
    #[arg(long, value_name = "NAME|N", help_heading = "Image")]
    pub class: Option<String>,

    /// Insist on the class: weight of classifier-free guidance, 0 = none
    #[arg(
        long,
        value_name = "W",
        requires = "class",
        allow_negative_numbers = true,
        help_heading = "Image"
    )]
    pub guidance: Option<f64>,

    /// The class that means "any" to the model, for --guidance with a diffusers model
    #[arg(long, value_name = "N", requires = "guidance", help_heading = "Image")]
    pub null_class: Option<usize>,

    /// A vector the model is conditioned on, such as a place's embedding (.npy, one-dimensional)
    #[arg(long, value_name = "V.npy", help_heading = "Image")]
    pub embedding: Option<PathBuf>,

    /// Start from this image instead of from noise alone; with a cold-diffusion model, the blurred
    /// or coarse image to restore
    #[arg(long, value_name = "IMAGE", help_heading = "Image")]
    pub init: Option<PathBuf>,

    /// Share of the steps that are run from --init: 0.3 keeps most of it, 0.8 little
    #[arg(
        long,
        value_name = "S",
        default_value_t = 0.5,
        requires = "init",
        help_heading = "Image"
    )]
    pub strength: f64,

    /// Take place, data type and brightness from this scene: the images lie at its upper left
    #[arg(long, value_name = "SCENE", help_heading = "Image")]
    pub like: Option<PathBuf>,

    /// Values of black and white [default: 0 and 255, 2750 for 16 bits, 1 for floats]
    #[arg(
        long,
        value_name = "LOW,HIGH",
        value_parser = values,
        allow_hyphen_values = true,
        help_heading = "Image"
    )]
    pub values: Option<(f32, f32)>,

    /// How to walk from noise to image [default: the model's]
    #[arg(long, value_name = "S", help_heading = "Computing")]
    pub sampler: Option<String>,

    /// Steps of the sampler [default: the model's]
    #[arg(long, value_name = "N", help_heading = "Computing")]
    pub steps: Option<usize>,

    /// Seed of the noise; the same seed gives the same images
    #[arg(
        long,
        value_name = "N",
        default_value_t = 0,
        help_heading = "Computing"
    )]
    pub seed: u64,

    /// Images that are computed at once; changes memory and time only
    #[arg(
        long,
        value_name = "N",
        default_value_t = 4,
        help_heading = "Computing"
    )]
    pub batch: usize,

    /// Where to compute: auto, cpu, gpu, gpu:1
    #[arg(
        long,
        value_name = "D",
        default_value = "auto",
        help_heading = "Computing"
    )]
    pub device: DeviceChoice,

    /// How to show progress
    #[arg(
        long,
        value_enum,
        value_name = "P",
        default_value_t,
        help_heading = "Computing"
    )]
    pub progress: ProgressMode,
}

/// Format of single images (`--format`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum ImageFormat {
    /// 8 bits, one or three bands
    #[default]
    Png,
    /// GeoTIFF, any data type and number of bands
    Tif,
}

fn size(text: &str) -> Result<(usize, usize), String> {
    let pair = text.split_once(['x', 'X', ',']).unwrap_or((text, text));
    match (pair.0.trim().parse(), pair.1.trim().parse()) {
        (Ok(height), Ok(width)) => Ok((height, width)),
        _ => Err("expected HEIGHTxWIDTH, e.g. 64x96".to_owned()),
    }
}

fn values(text: &str) -> Result<(f32, f32), String> {
    let pair = text
        .split_once(',')
        .map(|(low, high)| (low.trim().parse(), high.trim().parse()));
    match pair {
        Some((Ok(low), Ok(high))) if f32::is_finite(low) && f32::is_finite(high) && low < high => {
            Ok((low, high))
        }
        _ => Err("expected two increasing numbers: LOW,HIGH".to_owned()),
    }
}
