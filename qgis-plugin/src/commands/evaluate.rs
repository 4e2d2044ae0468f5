//! `unclouded evaluate`: the model and the classical fills against the truth under masks.

mod images;
mod masks;
mod report;

use std::ops::ControlFlow;
use std::time::Instant;

use unclouded_core::checkpoint::Model;
use unclouded_core::metrics::{Scores, score_both};
use unclouded_core::raster::{Mask, Raster, fill};
use unclouded_core::restore::{self as core, MemorySink, MemorySource, RestoreSettings};

use self::images::{Example, Images};
use self::masks::MaskSource;
use self::report::{Method, Report};
use super::restore::positions;
use super::settings::{check_output, check_run, core_settings, reflectance_scale};
use crate::cli::EvaluateArgs;
use crate::device;
use crate::failure::{Failure, Result};
use crate::gdal_io::pending::PendingFile;
use crate::gdal_io::rgb;
use crate::interrupt;
use crate::models::Checkpoint;
use crate::progress::Reporter;

/// How far the inverse-distance baseline looks: the default of gdal_fillnodata.
const IDW_DISTANCE_PX: usize = 100;
/// The methods, in the order they are printed; the names are keys of the JSON.
const METHODS: [&str; 3] = ["unclouded", "idw", "mean"];

/// Run the command.
///
/// # Errors
/// Exit 2 for arguments and inputs that cannot be worked with, exit 1 when the work fails, 130
/// when it is interrupted.
pub fn run(args: EvaluateArgs, reporter: &mut Reporter) -> Result<()> {
    check_run(&args.run)?;
    if let Some(path) = &args.json {
        check_output("--json", path, true, &[&args.clear, &args.masks])?;
    }
    let images = Images::find(&args.clear, args.limit)?;
    let masks = MaskSource::open(&args.masks, &images, args.run.seed)?;
    if let Some(folder) = &args.save {
        images::prepare_folder(folder, &[&args.clear, &args.masks])?;
    }
    let checkpoint = Checkpoint::find(args.run.model.as_deref())?;
    let card = checkpoint.card()?;
    let device = device::choose(args.run.device)?;
    let model = checkpoint.load(&device.device)?;
    let settings = core_settings(&args.run, &card, Vec::new(), 1, None)?;
    let mut report = Report::new(&args, &card, &model.sha256, &settings, &device);
    reporter.start("evaluate", report.header());
    reporter.info(device.describe());

    let mut methods = METHODS.map(|_| Method::default());
    reporter.stage("evaluate", images.len() as u64);
    for index in 0..images.len() {
        interrupt::check()?;
        let example = images.read(index)?;
        let mask = masks.draw(index, &example)?;
        let hole = mask.and(&example.valid);
        if !hole.any() {
            report.skipped += 1;
        } else if hole.count() == example.valid.count() {
            return Err(Failure::mismatch(
                format!("mask of {}", example.name),
                "some clear pixels",
                "a mask over the whole image",
            )
            .hint("a fill is estimated from clear pixels; leave this image out"));
        } else {
            let choice = rgb::choose(&example.info, args.bands.as_deref(), &card.bands)?;
            if report.images == 0 {
                reporter.info(format!(
                    "model bands: {:?} ({})",
                    choice.bands, choice.reason
                ));
            }
            let model_bands = positions(&choice.bands, &example.info.data_bands());
            let settings = RestoreSettings {
                model_bands,
                reflectance_scale: reflectance_scale(example.info.dtype),
                ..settings.clone()
            };
            for (position, method) in methods.iter_mut().enumerate() {
                let started = Instant::now();
                let filled = predict(METHODS[position], &example, &mask, &model, &settings)?;
                method.seconds += started.elapsed().as_secs_f64();
                let stored = example.as_stored(filled, &hole)?;
                let (full, masked) = score(&example, &stored, &hole);
                method.full.push(full);
                method.masked.push(masked);
                if position == 0
                    && let Some(folder) = &args.save
                {
                    example.save(folder, &stored)?;
                }
            }
            report.images += 1;
        }
        reporter.advance(index as u64 + 1);
    }
    if report.images == 0 {
        return Err(Failure::mismatch(
            "masks",
            "at least one that hides something",
            "empty ones only",
        )
        .hint("a mask pixel that is not 0 is hidden"));
    }
    report.finish(METHODS, &methods);
    let json = report.json();
    if let Some(path) = &args.json {
        let file = PendingFile::new(path, true)?;
        std::fs::write(file.path(), format!("{json:#}\n")).map_err(|error| {
            Failure::failed(format!("cannot write {} ({error})", path.display()))
        })?;
        file.commit()?;
    }
    reporter.done(&report.table(METHODS, &methods), json);
    Ok(())
}

/// One method's fill of an image, in its units.
fn predict(
    method: &str,
    example: &Example,
    mask: &Mask,
    model: &Model,
    settings: &RestoreSettings,
) -> Result<Raster> {
    let Example { image, valid, .. } = example;
    // What is hidden is taken away, so that no method can see it.
    let mut hidden = image.clone();
    for band in 0..hidden.bands {
        for (value, masked) in hidden.band_mut(band).iter_mut().zip(&mask.data) {
            if *masked {
                *value = 0.0;
            }
        }
    }
    Ok(match method {
        // Where the search finds nothing gdal_fillnodata leaves a hole; the mean stands in.
        "idw" => fill::smooth(&hidden, mask, valid, IDW_DISTANCE_PX),
        "mean" => fill::mean(&hidden, mask, valid),
        _ => {
            let mut source = MemorySource::new(&hidden, mask, valid);
            let mut sink = MemorySink::new(&hidden);
            core::restore(&mut source, &mut sink, model, settings, &mut |_| {
                if interrupt::requested() {
                    ControlFlow::Break(())
                } else {
                    ControlFlow::Continue(())
                }
            })?;
            sink.image
        }
    })
}

/// Scores on the full image and in the hole, in the units the figures are published in.
fn score(example: &Example, prediction: &Raster, hole: &Mask) -> (Scores, Scores) {
    let (truth, range) = example.for_scoring(&example.image);
    let (prediction, _) = example.for_scoring(prediction);
    let all_valid = example.valid.count() == example.valid.data.len();
    let valid = (!all_valid).then_some(&example.valid);
    score_both(&truth, &prediction, hole, valid, range)
}
