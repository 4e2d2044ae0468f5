//! The arguments of `unclouded mask`.

use std::path::PathBuf;

use clap::Args;

use crate::gdal_io::encoding::OffsetChoice;
use crate::gdal_io::mask::request::MaskFrom;
use crate::progress::ProgressMode;

const MASK_EXAMPLES: &str = "\
Examples:
  unclouded mask scene.tif -o clouds.tif
  unclouded mask L2A.tif -o clouds.tif --from scl --mask SCL.tif --dilate-m 80
  unclouded mask LC08_SR.vrt -o clouds.tif --from qa-pixel --min-area-px 10";

/// Write a mask of clouds and shadows
///
/// A GeoTIFF on the grid of the scene: 1 fill, 0 clear. Look at it, correct it, and give it to
/// `restore --mask`.
#[derive(Debug, Args)]
#[command(after_help = MASK_EXAMPLES)]
pub struct MaskArgs {
    /// The scene with clouds (any raster GDAL reads)
    pub scene: PathBuf,

    /// The mask to write (GeoTIFF)
    #[arg(short, long, value_name = "MASK.tif")]
    pub output: PathBuf,

    /// How to get the mask [default: auto, unless --mask is given]
    ///
    /// scl and qa-pixel say how to read the raster given by --mask; without --mask the band,
    /// subdataset or file of that name that comes with the scene is used.
    #[arg(long, value_enum, value_name = "HOW")]
    pub from: Option<MaskFrom>,

    /// The classification, any mask raster, or polygons
    #[arg(long, value_name = "M")]
    pub mask: Option<PathBuf>,

    /// Values of the raster that mean "fill" [default: 1, or 3,8,9,10 with --from scl]
    #[arg(
        long,
        value_name = "V,V",
        value_delimiter = ',',
        allow_negative_numbers = true
    )]
    pub mask_values: Vec<f64>,

    /// Grow the mask by this many pixels
    #[arg(long, value_name = "N", conflicts_with = "dilate_m")]
    pub dilate_px: Option<usize>,

    /// Grow the mask by this many metres [default: 40, and 0 for a raster of values]
    ///
    /// Around a shadow grows shadow.
    #[arg(long, value_name = "M")]
    pub dilate_m: Option<f64>,

    /// Drop groups of fewer masked pixels, before growing
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub min_area_px: u64,

    /// Write 2 instead of 1 for pixels in shadow (with --from auto)
    #[arg(long)]
    pub classes: bool,

    /// What to add to Sentinel-2's values: auto, or a number such as -1000
    #[arg(
        long,
        value_name = "N",
        default_value = "auto",
        allow_negative_numbers = true
    )]
    pub offset: OffsetChoice,

    /// Replace the output if it exists
    #[arg(long)]
    pub overwrite: bool,

    /// How to show progress
    #[arg(long, value_enum, value_name = "P", default_value_t)]
    pub progress: ProgressMode,
}
