//! `restore --dry-run`: how many tiles, how much memory, how long.

use std::ops::ControlFlow;
use std::time::Instant;

use serde_json::json;
use unclouded_core::raster::tiler::Tiling;
use unclouded_core::raster::{Mask, Raster};
use unclouded_core::restore::{self as core, MemorySink, MemorySource, RestoreSettings};

use super::restore::Job;
use crate::failure::Result;
use crate::interrupt;
use crate::progress::Reporter;

/// Bytes of an f32.
const FLOAT: usize = 4;
/// Tiles the network is timed on: one batch that fills the processor is typical enough.
const TIMED_TILES: usize = 4;

/// Print what the run would do, and measure one small fill to say how long it would take.
///
/// # Errors
/// As the run itself would give them, from reading the mask or loading the model.
pub fn run(job: &Job, reporter: &mut Reporter) -> Result<()> {
    let settings = &job.settings;
    let info = &job.scene.info;
    let tiling = Tiling::new(
        info.height,
        info.width,
        settings.tile_px,
        settings.overlap_px,
    )?;
    let (mut tiles, mut all) = (0, 0);
    for row in 0..tiling.rows() {
        interrupt::check()?;
        let mask = job.mask.read(tiling.band(row))?;
        tiles += tiling.tiles_in_row_touching(row, &mask).len();
        all += tiling.tiles_in_row(row).len();
    }
    let per_tile = seconds_per_tile(job)?;
    let seconds = per_tile * tiles as f64;
    let bytes = memory_bytes(job);
    let text = format!(
        "would fill {} of {} pixels\n\
         tiles: {tiles} of {all}, {} px with {} px overlap, {} samples of {} steps ({})\n\
         memory: about {} MB\n\
         time: about {} on this {} ({per_tile:.2} s a tile)\n\
         would write: {}",
        job.coverage.fill,
        job.coverage.data,
        settings.tile_px,
        settings.overlap_px,
        settings.samples,
        settings.steps,
        settings.sampler.name(),
        bytes.div_ceil(1_000_000),
        duration(seconds),
        job.device.kind,
        job.paths
            .outputs()
            .iter()
            .map(|(_, path)| path.display().to_string())
            .collect::<Vec<_>>()
            .join(", "),
    );
    reporter.done(
        &text,
        json!({
            "dry_run": true, "tiles": tiles, "tiles_of_scene": all, "pixels": job.coverage,
            "memory_bytes": bytes, "seconds": seconds, "seconds_per_tile": per_tile,
        }),
    );
    Ok(())
}

/// Fill a made-up scene of a few tiles and measure.
fn seconds_per_tile(job: &Job) -> Result<f64> {
    let model = job.checkpoint.load(&job.device.device)?;
    let side = job.settings.tile_px;
    let (height, width) = (side, side * TIMED_TILES);
    let bands = job.scene.data_bands().len();
    // Any values do: the network takes as long for a plain gradient.
    let values = (0..bands * height * width)
        .map(|index| (index % 251) as f32)
        .collect();
    let image = Raster::from_vec(bands, height, width, values)?;
    let hole = Mask::from_fn(height, width, |row, col| {
        (side / 4..3 * side / 4).contains(&row) && (side / 4..3 * side / 4).contains(&(col % side))
    });
    let valid = Mask::new(height, width, true);
    let settings = RestoreSettings {
        overlap_px: 0,
        ..job.settings.clone()
    };
    // The first run pays for start-up (threads, compiled GPU kernels) and is not measured.
    let mut seconds = 0.0;
    for _ in 0..2 {
        let started = Instant::now();
        let mut source = MemorySource::new(&image, &hole, &valid);
        let mut sink = MemorySink::new(&image);
        core::restore(&mut source, &mut sink, &model, &settings, &mut |_| {
            if interrupt::requested() {
                ControlFlow::Break(())
            } else {
                ControlFlow::Continue(())
            }
        })?;
        seconds = started.elapsed().as_secs_f64();
    }
    Ok(seconds / TIMED_TILES as f64)
}

/// What a run holds at once, roughly: the model, a row of tiles with its samples, and GDAL's
/// copies of the strips being read and written.
fn memory_bytes(job: &Job) -> usize {
    let settings = &job.settings;
    let info = &job.scene.info;
    let bands = job.scene.data_bands().len();
    let row = info.width * settings.tile_px.min(info.height);
    let model_bands = settings.model_bands.len();
    // Image, fill, sum and weight planes a band; one plane a sample for the model's bands.
    let in_flight = row * FLOAT * (4 * bands + (settings.samples + 2) * model_bands);
    // Activations of a batch: the widest level keeps some 16 maps of the network's channels.
    let channels = job.card.architecture.base_channels * 16;
    let batch = settings.batch.max(1) * settings.tile_px * settings.tile_px * channels * FLOAT;
    let stem = job.card.architecture.stem.max(1);
    let strips = 4 * info.width * crate::gdal_io::STRIP_ROWS * bands * info.dtype.bytes();
    2 * job.checkpoint.bytes.len() + in_flight + batch / (stem * stem) + strips
}

fn duration(seconds: f64) -> String {
    match seconds {
        s if s < 90.0 => format!("{s:.0} s"),
        s if s < 5400.0 => format!("{:.0} min", s / 60.0),
        s => format!("{:.1} h", s / 3600.0),
    }
}
