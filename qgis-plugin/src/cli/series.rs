//! The arguments of `unclouded series`.

use std::path::PathBuf;

use chrono::NaiveDate;
use clap::Args;

use super::{RestoreArgs, RunArgs, positive};
use crate::gdal_io::encoding::OffsetChoice;
use crate::gdal_io::format::Compress;
use crate::gdal_io::mask::request::MaskFrom;

const SERIES_EXAMPLES: &str = "\
Examples:
  unclouded series season/ -o filled/
  unclouded series season/ -o filled/ --every 10d --from 2018-04-01 --to 2018-09-30
  unclouded series 'L2A/*.tif' -o filled/ --mask-from scl --uncertainty --provenance
  unclouded series items.json -o filled/ --asset blue+green+red+nir

Run it again to go on where it was stopped, or after new dates have come in: what is complete is left
as it is; --overwrite fills everything anew.";

/// Fill every date of a place from the others
///
/// Finds the clouds of each date once (OUT/masks, to be looked at and corrected), and fills it from
/// the observed pixels of the others, never from filled ones. Every output keeps its own grid, data
/// type and metadata. With --every a gap-free stack at even intervals is written too (OUT/even),
/// linear in time between the filled dates and marked as such.
#[derive(Debug, Args)]
#[command(after_help = SERIES_EXAMPLES)]
pub struct SeriesArgs {
    /// The dates: a folder, files, a quoted pattern, or a list (CSV, STAC ItemCollection) as of
    /// `restore --batch`
    #[arg(value_name = "DIR|FILE|LIST", required = true)]
    pub scenes: Vec<PathBuf>,

    /// The folder to write to; it is made if it is not there
    #[arg(short, long, value_name = "OUT")]
    pub output: PathBuf,

    /// Asset of a STAC item that is the scene, as of `restore --asset`
    #[arg(long, value_name = "KEY,KEY+KEY", value_delimiter = ',')]
    pub asset: Vec<String>,

    /// How to find the clouds
    #[arg(
        long,
        value_enum,
        value_name = "HOW",
        default_value = "auto",
        help_heading = "Masks"
    )]
    pub mask_from: MaskFrom,

    /// Grow the masks by this many pixels
    #[arg(
        long,
        value_name = "N",
        conflicts_with = "dilate_m",
        help_heading = "Masks"
    )]
    pub dilate_px: Option<usize>,

    /// Grow the masks by this many metres [default: 40]
    #[arg(long, value_name = "M", help_heading = "Masks")]
    pub dilate_m: Option<f64>,

    /// Fill a date from no more than so many others, the nearest in time first
    #[arg(
        long,
        value_name = "N",
        default_value_t = 12,
        value_parser = clap::value_parser!(u16).range(1..=100)
    )]
    pub max_references: u16,

    /// Fill from no date farther away than so many days
    #[arg(long, value_name = "N")]
    pub max_days: Option<u32>,

    /// Fill from earlier dates only
    #[arg(long)]
    pub no_future: bool,

    /// Also write a stack without gaps, a date every so many days
    #[arg(long, value_name = "Nd", value_parser = days, help_heading = "Even dates")]
    pub every: Option<u32>,

    /// First date of the stack [default: the first date of the series]
    #[arg(
        long,
        value_name = "YYYY-MM-DD",
        requires = "every",
        help_heading = "Even dates"
    )]
    pub from: Option<NaiveDate>,

    /// Last date of the stack [default: the last date of the series]
    #[arg(
        long,
        value_name = "YYYY-MM-DD",
        requires = "every",
        help_heading = "Even dates"
    )]
    pub to: Option<NaiveDate>,

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

    /// Also write the standard deviation of each fill: OUT/NAME_uncertainty.tif
    #[arg(long, help_heading = "More outputs")]
    pub uncertainty: bool,

    /// Leave pixels whose standard deviation would be above this, as of `restore`
    #[arg(long, value_name = "U", value_parser = positive, help_heading = "More outputs")]
    pub max_uncertainty: Option<f32>,

    /// Also write which pixels were filled: OUT/NAME_provenance.tif
    #[arg(long, help_heading = "More outputs")]
    pub provenance: bool,

    /// How to compress the GeoTIFFs
    #[arg(
        long,
        value_enum,
        value_name = "C",
        default_value_t,
        help_heading = "Storage"
    )]
    pub compress: Compress,

    /// Keep within this much memory, MiB
    #[arg(
        long,
        value_name = "N",
        default_value_t = 1024,
        help_heading = "Computing"
    )]
    pub memory_mb: usize,

    /// Fill all dates anew, under the masks that are there; delete one to find its clouds anew
    #[arg(long)]
    pub overwrite: bool,
}

/// A number of days: 10d or 10.
fn days(text: &str) -> Result<u32, String> {
    let number = text.trim().trim_end_matches('d').parse();
    number
        .ok()
        .filter(|days| *days > 0)
        .ok_or_else(|| "expected a number of days, e.g. 10d".to_owned())
}

impl SeriesArgs {
    /// What the fills of all dates have in common; scene, masks and output are still to come.
    pub fn restore(&self) -> RestoreArgs {
        RestoreArgs {
            scenes: Vec::new(),
            output: None,
            batch: None,
            asset: self.asset.clone(),
            mask_asset: Vec::new(),
            mask: None,
            mask_from: None,
            mask_values: Vec::new(),
            dilate_px: None,
            dilate_m: None,
            min_area_px: 0,
            extent: None,
            offset: OffsetChoice::default(),
            reference: Vec::new(),
            reference_mask: Vec::new(),
            max_references: self.max_references,
            max_days: self.max_days,
            no_future: self.no_future,
            self_test: None,
            date: None,
            reference_mask_from: None,
            reference_mask_values: Vec::new(),
            run: self.run.clone(),
            bands: self.bands.clone(),
            uncertainty: None,
            max_uncertainty: self.max_uncertainty,
            provenance: None,
            preview: None,
            cog: false,
            compress: self.compress,
            overviews: false,
            memory_mb: self.memory_mb,
            resume: !self.overwrite,
            overwrite: self.overwrite,
            dry_run: false,
        }
    }
}
