//! The arguments of `unclouded evaluate`.

use std::path::PathBuf;

use clap::Args;

use super::RunArgs;

const EVALUATE_EXAMPLES: &str = "\
Examples:
  unclouded evaluate --clear tiles/ --masks masks/ --json scores.json
  unclouded evaluate --clear tiles/ --masks clouds.npy --seed 1 --samples 4
  unclouded evaluate --series season/ --limit 6 --json scores.json
  unclouded evaluate --clear clear.tif --masks clouds.tif --save predictions/
  unclouded evaluate --clear tiles/ --masks clouds.npy --model free.safetensors --method ddnm
  unclouded evaluate --clear tiles/ --masks masks/ --save-all compared/ --plot uncertainty.png";

/// Score a model and the classical fills on clear images under masks
///
/// Hides what lies under the mask, fills it, and compares with the truth: the model, the
/// inverse-distance fill (as gdal_fillnodata) and the mean fill. A mask pixel that is not 0 is
/// hidden, unless it is nodata. Images under an empty mask are skipped and counted; images that
/// cannot be used are reported and left out, and the exit code is then 1 (2 if none can). 8-bit
/// images are scored on 0..255, 16-bit ones as Sentinel-2 reflectance (clipped to 0..10000, divided by 10000).
#[derive(Debug, Args)]
#[command(after_help = EVALUATE_EXAMPLES)]
pub struct EvaluateArgs {
    /// A clear image or a folder of them (png, tif, jpg)
    #[arg(long, value_name = "DIR|FILE", required_unless_present = "series")]
    pub clear: Option<PathBuf>,

    /// Images of one place at many dates: a folder, files or a quoted pattern; in place of --clear
    ///
    /// Cases are made of them: the clouds of one date (as the detector finds them) over the clear
    /// ground of another, with all the other dates given as they are, clouds and all. --limit says
    /// how many, 6 by default. The table has every method for several dates, and the model without them.
    #[arg(
        long,
        value_name = "DIR|FILE",
        num_args = 1..,
        conflicts_with_all = ["clear", "masks", "reference"]
    )]
    pub series: Vec<PathBuf>,

    /// A folder of masks NAME.png or NAME.tif, one mask, or a stack FILE.npy to draw from
    ///
    /// A stack is uint8 [frames, height, width] or [frames, height, width, 1]. For each image a
    /// frame, a crop and flips are drawn with --seed so that 5 to 70 % is covered. Only models
    /// for super-resolution or colourisation go without: all of the image is drawn and scored.
    #[arg(long, value_name = "DIR|FILE")]
    pub masks: Option<PathBuf>,

    /// An image of another date, or a folder of them with the names of the clear images
    ///
    /// The table then has the methods that fill from it, and a classical rival, local: linear
    /// regression in windows of 41 pixels.
    #[arg(long, value_name = "DIR|FILE")]
    pub reference: Option<PathBuf>,

    /// How and where to compute.
    #[command(flatten)]
    pub run: RunArgs,

    /// Bands for the model's inputs, counted from 1, e.g. 3,2,1 for red, green, blue
    #[arg(
        long,
        value_name = "R,G,B",
        value_delimiter = ',',
        help_heading = "Model"
    )]
    pub bands: Option<Vec<usize>>,

    /// Use the first N images only
    #[arg(long, value_name = "N")]
    pub limit: Option<usize>,

    /// Write the scores as JSON
    #[arg(long, value_name = "OUT.json")]
    pub json: Option<PathBuf>,

    /// Draw how good the uncertainty is, and some of the fills
    ///
    /// A calibration curve (share of errors inside central intervals), the error over the stated
    /// standard deviation, and up to five examples beside the classical fills and the truth.
    /// Needs at least two samples.
    #[arg(long, value_name = "P.png")]
    pub plot: Option<PathBuf>,

    /// Write the predictions as images into this folder
    #[arg(long, value_name = "DIR")]
    pub save: Option<PathBuf>,

    /// Write all that is compared into this folder: DIR/METHOD/NAME for every method
    ///
    /// Besides the methods there are DIR/sample (a single sample of the model), DIR/truth and
    /// DIR/mask (255 where hidden). 8-bit images of one or three bands become PNG, others
    /// GeoTIFF.
    #[arg(long, value_name = "DIR")]
    pub save_all: Option<PathBuf>,
}
