//! The arguments that `restore` and `evaluate` share.

use clap::Args;
use unclouded_core::diffusion::sampler::Sampler;

use super::choices::{QualityChoice, WriteChoice};
use crate::device::DeviceChoice;
use crate::progress::ProgressMode;

/// What `restore` and `evaluate` share.
#[derive(Debug, Clone, Args)]
pub struct RunArgs {
    /// The name of a model that is here (`unclouded info` lists them), a checkpoint, a folder of
    /// diffusers or a state dict of guided-diffusion
    #[arg(long, value_name = "NAME|PATH", help_heading = "Model")]
    pub model: Option<String>,

    /// Take the mean of the samples, one of them, or the mean textured with the scene's ground
    ///
    /// The mean is closest to the truth, and smooth where little is known. A sample is what the
    /// network makes of it; a texture is drawn from pieces of the visible ground around the hole
    /// and looks like the scene. Both are farther from the truth than the mean. A texture takes
    /// tiles of 256 pixels unless told otherwise, and no --reference.
    #[arg(
        long,
        value_enum,
        value_name = "W",
        default_value_t,
        help_heading = "Model"
    )]
    pub write: WriteChoice,

    /// How much computing goes into a fill [default: balanced]
    ///
    /// Of a model without a direct estimate fast is 4 samples of 1 step, and balanced what its card
    /// says. --steps, --sampler, --write sample and more than 8 --samples mean samples of the
    /// diffusion, whatever the quality.
    #[arg(long, value_enum, value_name = "Q", help_heading = "Model")]
    pub quality: Option<QualityChoice>,

    /// How to walk from noise to image
    #[arg(long, value_name = "S", long_help = samplers(), help_heading = "Model")]
    pub sampler: Option<String>,

    /// How to fill [default: auto]
    ///
    /// From other dates (--reference): regression, the mean over linear regressions on the best
    /// two, four and eight of them; clr, one for each cluster of alike pixels; interpolate between
    /// the dates before and after; the median of all; copy, the nearest date. auto tests all of
    /// them on visible ground of the scene and takes the best.
    ///
    /// By the network: direct takes one call of a model that learnt it, which estimates the mean of
    /// all fills and how far that may err; --samples turned tiles are averaged, at most 8. concat
    /// draws samples from models trained to see the scene. The others fill with an unconditional
    /// model: sum and ddnm replace the visible pixels at every step, repaint also walks back and
    /// forth (better, and several times slower), dps follows the gradient of the misfit (two to
    /// three times slower a step, of which it needs hundreds). repaint and dps have their own
    /// sampler. cold is for models trained to undo a mask.
    #[arg(long, value_name = "M", help_heading = "Model")]
    pub method: Option<String>,

    /// Steps of the sampler
    ///
    /// A few are enough; more add texture and lose accuracy.
    #[arg(long, value_name = "N", help_heading = "Model")]
    pub steps: Option<usize>,

    /// Take this many fills; their mean is written
    ///
    /// More lower the error and take proportionally longer.
    #[arg(long, value_name = "N", help_heading = "Model")]
    pub samples: Option<usize>,

    /// Seed of the noise; the same seed gives the same output
    #[arg(long, value_name = "N", default_value_t = 0, help_heading = "Model")]
    pub seed: u64,

    /// Side of the tiles the model sees
    #[arg(long, value_name = "N", help_heading = "Computing")]
    pub tile_px: Option<usize>,

    /// How far neighbouring tiles overlap
    #[arg(long, value_name = "N", help_heading = "Computing")]
    pub overlap_px: Option<usize>,

    /// Where to compute: auto, cpu, gpu, gpu:1
    ///
    /// auto takes the first hardware GPU, else the processor. A software GPU is used only when
    /// asked for with gpu.
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

/// The long help of `--sampler`.
fn samplers() -> String {
    format!(
        "How to walk from noise to image; by default as the model says\n\n{}\n\n\
         annealed-langevin needs a hundred --steps or more, reverse-diffusion and \
         predictor-corrector were made for as many; the others are good with a few.",
        Sampler::listing()
    )
}
