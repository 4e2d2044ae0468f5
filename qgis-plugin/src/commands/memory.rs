//! `--memory-mb`: what a run holds at once, and how it keeps within a bound.
//!
//! What is in memory does not grow with the area of a scene but for one bit a pixel of masks.
//! It has fixed parts (program, model, rows of blocks that are being written) and parts that can
//! be smaller: the batch of the network and GDAL's cache. The figures were measured as the peak
//! of the resident set on scenes of 1098 to 10980 pixels.

use unclouded_core::model::ModelCard;
use unclouded_core::raster::dates::{AT_ONCE, MOST_DATES, MOST_PIXELS as FITTED_PX};
use unclouded_core::restore::{
    RestoreSettings, Written, texture_bytes, tiles_in_flight, widest_segment_px,
};

use crate::failure::{Failure, Result};
use crate::gdal_io::scene::SceneInfo;

const MIB: usize = 1 << 20;
const FLOAT: usize = 4;
/// The program, GDAL with its drivers, threads.
const PROGRAM: usize = 60 * MIB;
/// GDAL's cache in MiB: too small reads blocks twice, more than the largest is of no use.
const CACHE_MIB: [usize; 4] = [128, 64, 32, 16];
/// Batches of the network, from the usual one down.
const BATCHES: [usize; 4] = [8, 4, 2, 1];
/// Maps of the base width that a pass of the network holds at once.
const MAPS: usize = 24;
/// Pixels a tile's surroundings reach over on either side, about.
const HALO_PX: usize = 180;
/// Side of the ground that a block of several dates is fitted to.
const FIT_PX: usize = 512;
/// Columns that are surveyed at once.
const SURVEY_COLS: usize = 4096;

/// How a run keeps within its bound.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MemoryPlan {
    /// Tiles times members that go through the network at once.
    pub batch: usize,
    /// GDAL's cache, bytes.
    pub cache_bytes: usize,
    /// The peak that is to be expected, bytes.
    pub peak_bytes: usize,
}

/// What the peak depends on.
#[derive(Debug, Clone, Copy)]
pub struct Load<'a> {
    /// The scene.
    pub scene: &'a SceneInfo,
    /// The model's card.
    pub card: &'a ModelCard,
    /// Bytes of the checkpoint.
    pub checkpoint_bytes: usize,
    /// Tile size, samples.
    pub settings: &'a RestoreSettings,
    /// Bands of each other date.
    pub reference_bands: &'a [usize],
    /// Whether the standard deviation is written.
    pub uncertainty: bool,
}

impl Load<'_> {
    /// The plan with the largest batch and cache that stays within `bound_mb` MiB.
    ///
    /// # Errors
    /// Exit 2 if none does, with the least bound that would be enough.
    pub fn plan(&self, bound_mb: usize) -> Result<MemoryPlan> {
        let plans = BATCHES.iter().flat_map(|batch| {
            CACHE_MIB.iter().map(|cache| MemoryPlan {
                batch: *batch,
                cache_bytes: cache * MIB,
                peak_bytes: self.peak(*batch) + cache * MIB,
            })
        });
        let fitting = plans
            .clone()
            .find(|plan| plan.peak_bytes <= bound_mb.saturating_mul(MIB));
        fitting.ok_or_else(|| {
            let least = plans.map(|plan| plan.peak_bytes).min().unwrap_or(0);
            let least = least.div_ceil(MIB);
            Failure::mismatch("--memory-mb", format!("at least {least}"), bound_mb).hint(format!(
                "--memory-mb {least}, or fewer --samples, or smaller tiles (--tile-px)"
            ))
        })
    }

    /// What several dates need on top: what they say of a view, or the ground that a block is
    /// fitted to, bytes.
    fn dates(&self, view_px: usize) -> usize {
        let by_dates = self.reference_bands.len() > 1 || self.settings.dates.is_some();
        if self.reference_bands.is_empty() || !by_dates {
            return 0;
        }
        let info = self.scene;
        let asked = self.reference_bands.len().min(MOST_DATES);
        let most = self.reference_bands.iter().max().copied().unwrap_or(0);
        let own = info.data_bands().len();
        let features = view_px * FLOAT * (asked * 2 * most + own);
        let block_px = FIT_PX.min(info.width) * FIT_PX.min(info.height);
        let samples =
            FITTED_PX * FLOAT * 2 * most * (self.reference_bands.len() + 3 * AT_ONCE * asked);
        let fit = block_px * (FLOAT * (own + 3 * most) + 24 + self.reference_bands.len());
        features.max(fit + samples)
    }

    /// All but GDAL's cache, bytes.
    fn peak(&self, batch: usize) -> usize {
        let (settings, info) = (self.settings, self.scene);
        let tile = settings.tile_px;
        let most = self.reference_bands.iter().max().copied().unwrap_or(0);
        let bands = info.data_bands().len() + most;
        let guides = settings.model_bands.len();
        let width = info.width;
        // A segment: image, smooth fill, summed areas in double precision, a few of the guides.
        let across = widest_segment_px(tile) + 2 * HALO_PX;
        let context = (tile + 2 * HALO_PX).min(info.height) * across.min(width);
        let view = context * FLOAT * (4 * bands + 8 + 4 * guides);
        // The rows that are finished, those that are being stored meanwhile, and the survey of a
        // strip of columns.
        let rows = 2 * tile.min(info.height) * width * (FLOAT * 2 * bands + 3);
        let survey_rows = (tile + 64).min(info.height);
        let survey = survey_rows * SURVEY_COLS.min(width) * (FLOAT * 4 * bands + 40);
        // What waits for the rest of a row of blocks.
        let deviations = if self.uncertainty { FLOAT } else { 0 };
        let block_rows = (256 + tile).min(info.height);
        let blocks = block_rows * width * (2 * bands * (info.dtype.bytes() + deviations) + 2);
        // Tiles in flight, their members, and the sums they are blended in.
        let planes = settings.planes() * guides;
        let flight = tiles_in_flight(tile) * tile * tile * FLOAT * (2 * planes + 5 * guides)
            + tile * (width / 4) * FLOAT * planes;
        let (base, stem) = self.card.architecture.first_level();
        let network = batch * (tile / stem).pow(2) * base * MAPS * FLOAT;
        let textures = match settings.written {
            Written::Texture => texture_bytes(tile, guides),
            Written::Mean | Written::Sample => 0,
        };
        let masks = info.width * info.height / 6;
        PROGRAM
            + 3 * self.checkpoint_bytes
            + (view + rows + self.dates(context)).max(survey)
            + blocks
            + flight
            + network
            + textures
            + masks
    }
}
