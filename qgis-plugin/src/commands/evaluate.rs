//! `unclouded evaluate`: the model and the classical fills against the truth under masks.

mod images;
mod masks;
mod report;
mod rival;
mod uncertainty;

use std::ops::ControlFlow;
use std::path::Path;
use std::time::Instant;

use unclouded_core::checkpoint::Model;
use unclouded_core::metrics::{Scores, score_both};
use unclouded_core::raster::{Mask, Raster, fill};
use unclouded_core::restore::{self as core, MemorySink, MemorySource, RestoreSettings};

use self::images::{Example, Images};
use self::masks::MaskSource;
use self::report::{Method, Report};
use self::uncertainty::Uncertainty;
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
/// The methods, in the order they are printed; the names are keys of the JSON. `fill` is what the
/// network starts from, without the network; `regression` needs a reference.
const METHODS: [&str; 5] = ["unclouded", "fill", "regression", "idw", "mean"];
/// The methods where all of the image is drawn anew: the model, and what it is shown.
const REDRAWN: [&str; 2] = ["unclouded", "shown"];

/// Run the command.
///
/// # Errors
/// Exit 2 for arguments and inputs that cannot be worked with, exit 1 when the work fails, 130
/// when it is interrupted.
pub fn run(args: EvaluateArgs, reporter: &mut Reporter) -> Result<()> {
    check_run(&args.run)?;
    if let Some(path) = &args.json {
        check_output("--json", path, true, &inputs(&args))?;
    }
    let images = Images::find(&args.clear, args.limit)?;
    let references = match &args.reference {
        Some(path) => Some(images.partners(path)?),
        None => None,
    };
    let checkpoint = Checkpoint::find(args.run.model.as_deref())?;
    let card = checkpoint.card()?;
    let masks = MaskSource::of(args.masks.as_deref(), card.task, &images, args.run.seed)?;
    if let Some(folder) = &args.save {
        images::prepare_folder(folder, &inputs(&args))?;
    }
    let device = device::choose(args.run.device)?;
    let model = checkpoint.load(&device.device)?;
    let settings = core_settings(&args.run, &card, Vec::new(), 1, None)?;
    let mut report = Report::new(&args, &card, &model.sha256, &settings, &device);
    reporter.start("evaluate", report.header());
    reporter.info(device.describe());

    let redraws = card.task.redraws();
    let names: Vec<&'static str> = match redraws {
        true => REDRAWN.to_vec(),
        false => (METHODS.into_iter())
            .filter(|name| *name != "regression" || args.reference.is_some())
            .collect(),
    };
    let mut methods: Vec<Method> = names.iter().map(|_| Method::default()).collect();
    let mut uncertainty = Uncertainty::default();
    reporter.stage("evaluate", images.len() as u64);
    for index in 0..images.len() {
        interrupt::check()?;
        let example = images.read(index)?;
        let mask = masks.draw(index, &example)?;
        let hole = mask.and(&example.valid);
        if !hole.any() {
            report.skipped += 1;
        } else if !redraws && hole.count() == example.valid.count() {
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
            let reference = match &references {
                Some(references) => Some(example.partner(references.read(index)?)?),
                None => None,
            };
            for (name, method) in names.iter().zip(&mut methods) {
                let started = Instant::now();
                let (filled, std) =
                    predict(name, &example, reference.as_ref(), &mask, &model, &settings)?;
                method.seconds += started.elapsed().as_secs_f64();
                let stored = example.as_stored(filled, &hole)?;
                if let Some(std) = std {
                    uncertainty.add(&spread_and_error(&example, &stored, &std, &hole));
                }
                let (full, masked) = score(&example, &stored, &hole);
                method.full.push(full);
                method.masked.push(masked);
                if *name == METHODS[0]
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
    report.finish(&names, &methods, uncertainty.figures());
    let json = report.json();
    if let Some(path) = &args.json {
        let file = PendingFile::new(path, true)?;
        std::fs::write(file.path(), format!("{json:#}\n")).map_err(|error| {
            Failure::failed(format!("cannot write {} ({error})", path.display()))
        })?;
        file.commit()?;
    }
    reporter.done(&report.table(&names, &methods), json);
    Ok(())
}

/// The inputs that no output may replace.
fn inputs(args: &EvaluateArgs) -> Vec<&Path> {
    let masks = args.masks.as_deref();
    std::iter::once(args.clear.as_path()).chain(masks).collect()
}

/// One method's fill of an image, in its units, and the standard deviation it states.
fn predict(
    method: &str,
    example: &Example,
    reference: Option<&Example>,
    mask: &Mask,
    model: &Model,
    settings: &RestoreSettings,
) -> Result<(Raster, Option<Raster>)> {
    let Example { image, valid, .. } = example;
    let mut go_on = |_| match interrupt::requested() {
        true => ControlFlow::Break(()),
        false => ControlFlow::Continue(()),
    };
    if model.card.task.redraws() {
        // Nodata is filled first: it must not reach the network as a value.
        let everywhere = Mask::new(image.height, image.width, true);
        let whole = match valid.data.contains(&false) {
            true => fill::smooth(image, &valid.invert(), &everywhere, IDW_DISTANCE_PX),
            false => image.clone(),
        };
        let shown = model.card.task.shown(&whole);
        return match method {
            "unclouded" => Ok(core::redraw(&shown, valid, model, settings, &mut go_on)?),
            _ => Ok((shown, None)),
        };
    }
    // What is hidden is taken away, so that no method can see it.
    let mut hidden = image.clone();
    for band in 0..hidden.bands {
        for (value, masked) in hidden.band_mut(band).iter_mut().zip(&mask.data) {
            if *masked {
                *value = 0.0;
            }
        }
    }
    let smooth = || fill::smooth(&hidden, mask, valid, IDW_DISTANCE_PX);
    let plain = match method {
        // Where the search finds nothing gdal_fillnodata leaves a hole; the mean stands in.
        "idw" => smooth(),
        "fill" => fill::soft(&hidden, mask, valid, IDW_DISTANCE_PX),
        "mean" => fill::mean(&hidden, mask, valid),
        "regression" => match reference {
            Some(other) => {
                let (hole, visible) = (valid.and(mask), valid.and_not(mask));
                let (other, seen) = (&other.image, &other.valid);
                rival::local_regression(&hidden, &hole, &visible, other, seen, &smooth())
            }
            None => smooth(),
        },
        _ => {
            let mut source = MemorySource::new(&hidden, mask, valid);
            if let Some(other) = reference {
                source = source.with_reference(&other.image, &other.valid);
            }
            let mut sink = MemorySink::new(&hidden);
            core::restore(&mut source, &mut sink, model, settings, &mut go_on)?;
            let std = (settings.samples > 1).then_some(sink.std);
            return Ok((sink.image, std));
        }
    };
    Ok((plain, None))
}

/// Stated standard deviation and absolute error of every filled value.
fn spread_and_error(
    example: &Example,
    stored: &Raster,
    std: &Raster,
    hole: &Mask,
) -> Vec<(f32, f32)> {
    let pixels = hole.data.len();
    (0..stored.data.len())
        .filter(|at| hole.data[at % pixels])
        .map(|at| {
            (
                std.data[at],
                (stored.data[at] - example.image.data[at]).abs(),
            )
        })
        .collect()
}

/// Scores on the full image and in the hole, in the units the figures are published in.
fn score(example: &Example, prediction: &Raster, hole: &Mask) -> (Scores, Scores) {
    let (truth, range) = example.for_scoring(&example.image);
    let (prediction, _) = example.for_scoring(prediction);
    let all_valid = example.valid.count() == example.valid.data.len();
    let valid = (!all_valid).then_some(&example.valid);
    score_both(&truth, &prediction, hole, valid, range)
}
