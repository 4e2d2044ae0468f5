//! The command line as typed. Each command turns its arguments once into validated settings.

mod choices;
mod convert;
mod evaluate;
mod generate;
mod info;
mod mask;
mod run;
mod series;
mod train;

use std::path::PathBuf;

use chrono::NaiveDate;
use clap::{Args, Parser, Subcommand};

pub use self::convert::ConvertArgs;
pub use self::evaluate::EvaluateArgs;
pub use self::generate::{GenerateArgs, ImageFormat};
pub use self::info::{CapabilitiesArgs, InfoArgs};
pub use self::mask::MaskArgs;
pub use self::run::RunArgs;
pub use self::series::SeriesArgs;
pub use self::train::TrainArgs;
use crate::gdal_io::encoding::OffsetChoice;
use crate::gdal_io::format::Compress;
use crate::gdal_io::mask::request::MaskFrom;
use crate::progress::ProgressMode;

/// Removes clouds from satellite images with diffusion models
///
/// Clear pixels stay bit-identical; filled pixels are marked, and their uncertainty can be
/// written beside them. Works offline: the default model is inside the program.
#[derive(Debug, Parser)]
#[command(
    name = "unclouded",
    version,
    propagate_version = true,
    arg_required_else_help = true
)]
#[command(
    after_help = "Exit codes: 0 done, 1 failed, 2 bad usage or input, 130 interrupted.\n\
    `unclouded COMMAND --help` explains a command in full."
)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The commands; their arguments carry the help, short and long.
#[allow(missing_docs)]
#[derive(Debug, Subcommand)]
pub enum Command {
    Restore(Box<RestoreArgs>),
    Series(Box<SeriesArgs>),
    Mask(MaskArgs),
    Train(TrainArgs),
    Evaluate(EvaluateArgs),
    Generate(GenerateArgs),
    Convert(ConvertArgs),
    Info(InfoArgs),
    Capabilities(CapabilitiesArgs),
}

impl Command {
    /// How this command shows its progress.
    pub fn progress(&self) -> ProgressMode {
        match self {
            Command::Restore(args) => args.run.progress,
            Command::Series(args) => args.run.progress,
            Command::Mask(args) => args.progress,
            Command::Train(args) => args.progress,
            Command::Evaluate(args) => args.run.progress,
            Command::Generate(args) => args.progress,
            Command::Convert(_) | Command::Info(_) | Command::Capabilities(_) => ProgressMode::None,
        }
    }
}

const RESTORE_EXAMPLES: &str = "\
Examples:
  unclouded restore scene.tif -o clear.tif --mask clouds.tif
  unclouded restore L2A.tif -o clear.tif --mask SCL.tif --mask-from scl --dilate-m 80
  unclouded restore scene.tif -o clear.tif --mask-from auto
  unclouded restore scene.tif -o clear.tif --mask clouds.gpkg
  unclouded restore scene.tif -o clear.tif --mask clouds.tif --samples 8 \\
      --uncertainty std.tif --provenance filled.tif --preview look.png
  unclouded restore scene.tif -o clear.tif --mask clouds.tif --reference june.tif
  unclouded restore july.tif -o clear.tif --mask clouds.tif --reference season/ --self-test
  unclouded restore scene.tif -o clear.tif --mask clouds.tif --cog --resume
  unclouded restore june.tif july.tif -o filled/ --mask-from auto
  unclouded restore --batch scenes.csv --resume
  unclouded restore scene.tif -o clear.tif --mask clouds.tif --dry-run

Exit codes: 0 done, 1 failed, 2 bad usage or input, 130 interrupted. Of several scenes a failing
one does not stop the others: the exit code is 1 if any failed.";

/// Fill the masked pixels of a scene
///
/// Reads any raster GDAL reads and writes a GeoTIFF of the same size, data type, CRS, bands and
/// metadata in which only masked pixels differ. The output appears under its name only when it
/// is complete; inputs are never written to.
#[derive(Debug, Clone, Args)]
#[command(after_help = RESTORE_EXAMPLES)]
pub struct RestoreArgs {
    /// The scene with clouds (any raster GDAL reads), or several
    #[arg(value_name = "SCENE", required_unless_present = "batch")]
    pub scenes: Vec<PathBuf>,

    /// The filled scene to write (GeoTIFF); of several scenes, the folder to write to
    ///
    /// In a folder the filled scenes have the names of their scenes. --uncertainty, --provenance
    /// and --preview of several scenes name folders, too.
    #[arg(short, long, value_name = "OUT", required_unless_present = "batch")]
    pub output: Option<PathBuf>,

    /// Fill the scenes of a list: a CSV file, or a STAC ItemCollection (JSON)
    ///
    /// The CSV has a header line with the columns scene and output, and may have mask, reference,
    /// reference_mask (several divided by ;) and date; what a line leaves empty comes from the
    /// options. Without the column output, and for STAC items, -o names the folder. Paths are
    /// relative to the list.
    #[arg(
        long,
        value_name = "LIST",
        conflicts_with = "scenes",
        help_heading = "Several scenes"
    )]
    pub batch: Option<PathBuf>,

    /// Asset of a STAC item that is the scene; of several names the first an item has
    ///
    /// KEY+KEY+KEY are bands in files of their own, in this order; the finest sets the grid, the
    /// values of coarser ones are repeated. Without a name all assets with one band of the ground
    /// each are taken, by their wavelength.
    #[arg(
        long,
        value_name = "KEY,KEY+KEY",
        value_delimiter = ',',
        requires = "batch",
        help_heading = "Several scenes"
    )]
    pub asset: Vec<String>,

    /// Asset of a STAC item that is the mask [default: scl with --mask-from scl, qa_pixel with
    /// --mask-from qa-pixel]
    #[arg(
        long,
        value_name = "KEY,KEY",
        value_delimiter = ',',
        requires = "batch",
        help_heading = "Several scenes"
    )]
    pub mask_asset: Vec<String>,

    /// Where to fill: a raster, or polygons (GeoPackage, GeoJSON, Shapefile)
    ///
    /// Of a raster the first band is read; pixels whose value is one of --mask-values are filled
    /// (255, if it holds only 0 and 255).
    /// A raster on another grid or in another CRS is warped to the scene (nearest neighbour).
    /// Polygons are reprojected; a pixel is filled when its centre lies inside one. Choose a
    /// layer of several as QGIS writes it: FILE|layername=NAME.
    #[arg(long, value_name = "M", help_heading = "Mask")]
    pub mask: Option<PathBuf>,

    /// How to get the mask
    ///
    /// scl and qa-pixel say how to read the raster given by --mask; without --mask the band,
    /// subdataset or file of that name that comes with the scene is used.
    #[arg(long, value_enum, value_name = "HOW", help_heading = "Mask")]
    pub mask_from: Option<MaskFrom>,

    /// Values of the mask that mean "fill" [default: 1, or 3,8,9,10 with --mask-from scl]
    ///
    /// For the scene classification (SCL) of Sentinel-2 L2A: 3 is cloud shadow, 8 and 9 cloud,
    /// 10 thin cirrus.
    #[arg(
        long,
        value_name = "V,V",
        value_delimiter = ',',
        allow_negative_numbers = true,
        help_heading = "Mask"
    )]
    pub mask_values: Vec<f64>,

    /// Grow the mask by this many pixels
    #[arg(
        long,
        value_name = "N",
        conflicts_with = "dilate_m",
        help_heading = "Mask"
    )]
    pub dilate_px: Option<usize>,

    /// Grow the mask by this many metres [default: 40, and 0 for a raster of values]
    ///
    /// Cloud edges and thin haze reach farther than most masks say, and what is left of them is
    /// continued into the fill. Polygons, detected clouds, SCL and QA_PIXEL grow by 40 m unless
    /// told otherwise; a raster of values is taken as it is.
    #[arg(long, value_name = "M", help_heading = "Mask")]
    pub dilate_m: Option<f64>,

    /// Drop groups of fewer masked pixels, before growing
    #[arg(long, value_name = "N", default_value_t = 0, help_heading = "Mask")]
    pub min_area_px: u64,

    /// Fill only inside this rectangle, in the CRS of the scene
    ///
    /// Masked pixels outside stay as they are, and nothing is filled from them.
    #[arg(
        long,
        value_name = "XMIN,YMIN,XMAX,YMAX",
        value_parser = extent,
        allow_hyphen_values = true,
        help_heading = "Mask"
    )]
    pub extent: Option<[f64; 4]>,

    /// What to add to Sentinel-2's values: auto, or a number such as -1000
    ///
    /// Since processing baseline 04.00 the products hold 1000 too much. auto finds that in the
    /// metadata. The output keeps the encoding of the input.
    #[arg(
        long,
        value_name = "N",
        default_value = "auto",
        allow_negative_numbers = true,
        help_heading = "Computing"
    )]
    pub offset: OffsetChoice,

    /// Image of another date of the same place; again for more, or a folder, or a quoted pattern
    ///
    /// Any bands of any sensor: each band of the scene is fitted to them where both show the
    /// ground, and follows them under the clouds. Another grid or CRS is brought onto the
    /// scene's. Of several dates those are asked that explain the visible ground best, and clouds
    /// are looked for in each; the scene itself among them is left out.
    #[arg(long, value_name = "REF.tif|DIR|'*.tif'", help_heading = "Other dates")]
    pub reference: Vec<PathBuf>,

    /// Raster or polygons that say where the reference has clouds; of several, in their order
    #[arg(
        long,
        value_name = "M",
        requires = "reference",
        help_heading = "Other dates"
    )]
    pub reference_mask: Vec<PathBuf>,

    /// Ask no more than so many other dates, the nearest in time first
    #[arg(
        long,
        value_name = "N",
        default_value_t = 12,
        value_parser = clap::value_parser!(u16).range(1..=100),
        requires = "reference",
        help_heading = "Other dates"
    )]
    pub max_references: u16,

    /// Ask no date farther away than so many days
    #[arg(
        long,
        value_name = "N",
        requires = "reference",
        help_heading = "Other dates"
    )]
    pub max_days: Option<u32>,

    /// Ask no date after the scene's, as who fills it when it arrives must do
    #[arg(long, requires = "reference", help_heading = "Other dates")]
    pub no_future: bool,

    /// Show what the error would have been on this scene, by method; in a file too, if one is named
    ///
    /// Visible ground is hidden under the scene's own mask, moved, and filled from the rest. The
    /// table has the root mean square error in the units of the scene (of the bands the model
    /// knows, and of the others) and the share of the variance that is left. With several
    /// --reference the best method there fills the scene, unless --method names one.
    #[arg(
        long,
        value_name = "OUT.json",
        num_args = 0..=1,
        require_equals = true,
        help_heading = "Other dates"
    )]
    pub self_test: Option<Option<PathBuf>>,

    /// When the scene was taken [default: from its name, else its metadata]
    #[arg(long, value_name = "YYYY-MM-DD", help_heading = "Other dates")]
    pub date: Option<NaiveDate>,

    /// How to find the clouds of the reference
    ///
    /// auto detects them in the reference; scl and qa-pixel say how to read --reference-mask.
    #[arg(
        long,
        value_enum,
        value_name = "HOW",
        requires = "reference",
        help_heading = "Other dates"
    )]
    pub reference_mask_from: Option<MaskFrom>,

    /// Values of the reference's mask that mean "cloud" [default: 1]
    #[arg(
        long,
        value_name = "V,V",
        value_delimiter = ',',
        requires = "reference_mask",
        allow_negative_numbers = true,
        help_heading = "Other dates"
    )]
    pub reference_mask_values: Vec<f64>,

    /// How and where to compute.
    #[command(flatten)]
    pub run: RunArgs,

    /// Bands for the model's inputs, counted from 1, e.g. 3,2,1 for red, green, blue
    ///
    /// Guessed from band descriptions, colour interpretation and band count when absent. Every
    /// band of the scene is filled, also those the model does not know.
    #[arg(
        long,
        value_name = "R,G,B",
        value_delimiter = ',',
        help_heading = "Model"
    )]
    pub bands: Option<Vec<usize>>,

    /// Also write the standard deviation of the fill, in the scene's units
    #[arg(long, value_name = "U.tif", help_heading = "More outputs")]
    pub uncertainty: Option<PathBuf>,

    /// Leave pixels whose standard deviation would be above this in any band, in the scene's units
    ///
    /// They become nodata where the scene has such a value, else they stay as they were; the
    /// provenance says which they are (3).
    #[arg(long, value_name = "U", value_parser = positive, help_heading = "More outputs")]
    pub max_uncertainty: Option<f32>,

    /// Also write which pixels are nodata (0), observed (1) and filled (2)
    #[arg(long, value_name = "P.tif", help_heading = "More outputs")]
    pub provenance: Option<PathBuf>,

    /// Also write a picture: before on the left, after on the right
    #[arg(long, value_name = "P.png", help_heading = "More outputs")]
    pub preview: Option<PathBuf>,

    /// Write cloud-optimised GeoTIFFs
    #[arg(long, help_heading = "Storage")]
    pub cog: bool,

    /// How to compress the GeoTIFFs
    #[arg(
        long,
        value_enum,
        value_name = "C",
        default_value_t,
        help_heading = "Storage"
    )]
    pub compress: Compress,

    /// Put overviews into the GeoTIFFs; --cog always does
    #[arg(long, help_heading = "Storage")]
    pub overviews: bool,

    /// Keep within this much memory, MiB
    ///
    /// The batch of the network, GDAL's cache and what is read ahead follow it. If it is too
    /// little for the tiles and samples asked for, the least that is enough is said.
    #[arg(
        long,
        value_name = "N",
        default_value_t = 1024,
        help_heading = "Computing"
    )]
    pub memory_mb: usize,

    /// Go on where an interrupted run of this output stopped
    ///
    /// Finished rows are kept in a hidden file beside the output until it is complete. The result
    /// is the same to the byte. Other inputs or settings start anew; an output that is complete
    /// is left as it is.
    #[arg(long)]
    pub resume: bool,

    /// Replace outputs that exist
    #[arg(long)]
    pub overwrite: bool,

    /// Say what would be done, with memory and time, and write nothing
    #[arg(long)]
    pub dry_run: bool,
}

/// A number above 0.
fn positive(text: &str) -> Result<f32, String> {
    let number = text.parse::<f32>().ok();
    number
        .filter(|number| number.is_finite() && *number > 0.0)
        .ok_or_else(|| "expected a number above 0".to_owned())
}

/// Four numbers after one option.
fn extent(text: &str) -> Result<[f64; 4], String> {
    let numbers: Result<Vec<f64>, _> = text.split(',').map(|part| part.trim().parse()).collect();
    numbers
        .ok()
        .and_then(|numbers| <[f64; 4]>::try_from(numbers).ok())
        .ok_or_else(|| "expected four numbers: XMIN,YMIN,XMAX,YMAX".to_owned())
}

#[cfg(test)]
mod tests;
