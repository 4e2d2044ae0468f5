//! `restore --dry-run`: how many tiles, how much memory, how long.

use std::cell::RefCell;
use std::ops::ControlFlow;
use std::path::Path;
use std::time::Instant;

use gdal::DriverManager;
use gdal::errors::GdalError;
use serde_json::json;
use unclouded_core::model::Model;
use unclouded_core::raster::{Mask, Raster, Window};
use unclouded_core::restore::{self as core, MemorySink, MemorySource, RestoreSettings};

use super::restore::Job;
use super::settings::effort;
use crate::failure::Result;
use crate::gdal_io::block_rows::BlockRows;
use crate::gdal_io::source::{GdalSource, read_native};
use crate::gdal_io::{STRIP_ROWS, unreadable, unwritable};
use crate::progress::Reporter;
use crate::{for_dtype, interrupt};

/// Where a strip is copied to.
const IN_MEMORY: &str = "/vsimem/unclouded-forecast.tif";
/// Tiles the network is timed on: one batch that fills the processor is typical enough.
const TIMED_TILES: usize = 4;

/// Print what the run would do, and measure one small fill to say how long it would take.
///
/// # Errors
/// As the run itself would give them, from reading the mask or loading the model.
pub fn run(job: &Job, reporter: &mut Reporter) -> Result<()> {
    if job.mask.is_clear() {
        reporter.done(
            "no clouds found: would write the scene as it is",
            json!({"dry_run": true, "pixels": job.coverage, "memory_bytes": job.memory.peak_bytes}),
        );
        return Ok(());
    }
    let settings = &job.settings;
    let info = &job.scene.info;
    let model = job.checkpoint.load(&job.device.device)?;
    reporter.stage("survey", info.height as u64);
    let began = Instant::now();
    let bar = RefCell::new(&mut *reporter);
    let watch = |row_end: usize| bar.borrow_mut().advance(row_end as u64);
    let mut source = GdalSource::new(&job.scene, &job.mask)
        .with_references(&job.references)
        .with_watch(&watch);
    let forecast = core::forecast(&mut source, &model, settings)?;
    let surveying = began.elapsed().as_secs_f64();
    let (tiles, all) = (forecast.tiles, forecast.tiles_of_scene);
    let per_tile = seconds_per_tile(job, &model)?;
    let copying = seconds_to_copy(job)?;
    let network = per_tile * (tiles + forecast.coarse_tiles) as f64;
    let seconds = network + surveying + copying;
    let bytes = job.memory.peak_bytes;
    let text = format!(
        "would fill {} of {} pixels\n\
         tiles: {tiles} of {all}{}, {} px with {} px overlap, {}\n\
         memory: about {} MB\n\
         time: about {} on this {} ({per_tile:.2} s a tile, {:.0} s to read and write the scene)\n\
         would write: {}",
        job.coverage.fill,
        job.coverage.data,
        match forecast.coarse_tiles {
            0 => String::new(),
            coarse => format!(" and {coarse} at coarser scales"),
        },
        settings.tile_px,
        settings.overlap_px,
        effort(settings),
        bytes.div_ceil(1_000_000),
        duration(seconds),
        job.device.kind,
        surveying + copying,
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
            "dry_run": true, "tiles": tiles, "tiles_of_scene": all,
            "coarse_tiles": forecast.coarse_tiles, "pixels": job.coverage,
            "memory_bytes": bytes, "seconds": seconds, "seconds_per_tile": per_tile,
        }),
    );
    Ok(())
}

/// Fill a made-up scene of a few tiles and measure.
fn seconds_per_tile(job: &Job, model: &Model) -> Result<f64> {
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
        core::restore(&mut source, &mut sink, model, &settings, &mut |_| {
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

/// Copy a strip of the scene in the way the outputs are stored, in memory, and measure: what it
/// takes to read, write and compare the whole scene once.
fn seconds_to_copy(job: &Job) -> Result<f64> {
    let info = &job.scene.info;
    let middle = (info.height / 2).saturating_sub(STRIP_ROWS / 2);
    let window = Window {
        row: middle,
        height: STRIP_ROWS.min(info.height),
        ..Window::full(info.height, info.width)
    };
    let path = Path::new(IN_MEMORY);
    let failed = |error: GdalError| unwritable(path, &error);
    let seconds = for_dtype!(info.dtype, T => {
        let began = Instant::now();
        let mut strips = Vec::new();
        for band in &info.bands {
            strips.push(read_native::<T>(&job.scene.dataset, band.number, window)
                .map_err(|error| unreadable("scene", &error))?);
        }
        let reading = began.elapsed().as_secs_f64();
        let began = Instant::now();
        let copy = || -> std::result::Result<(), GdalError> {
            let driver = DriverManager::get_driver_by_name("GTiff")?;
            let dataset = driver.create_with_band_type_with_options::<T, _>(
                path, window.width, window.height, strips.len(), &job.format.creation(info.dtype)?,
            )?;
            let mut rows = BlockRows::new(dataset, false)?;
            for (band, values) in (1..).zip(strips) {
                rows.put(band, values);
            }
            rows.advance(window.height)?;
            rows.into_dataset().close()
        };
        let outcome = copy();
        let _ = gdal::vsi::unlink_mem_file(path);
        outcome.map_err(failed)?;
        // Read for the copy, and twice for the comparison.
        began.elapsed().as_secs_f64() * if job.format.cog { 3.0 } else { 1.0 } + 3.0 * reading
    });
    Ok(seconds * info.height as f64 / window.height as f64)
}

fn duration(seconds: f64) -> String {
    match seconds {
        s if s < 90.0 => format!("{s:.0} s"),
        s if s < 5400.0 => format!("{:.0} min", s / 60.0),
        s => format!("{:.1} h", s / 3600.0),
    }
}
