//! `unclouded evaluate`: the model and the classical fills against the truth under masks.

mod cases;
mod images;
mod masks;
mod pair;
mod plot;
mod report;
mod rival;
mod save;
mod series;
mod uncertainty;

use self::cases::{Cases, Masked};
use self::images::Images;
use self::masks::MaskSource;
use self::pair::{Bench, Dates};
use self::plot::Strip;
use self::report::{Method, Report};
use self::save::Folders;
use self::series::Series;
use self::uncertainty::Uncertainty;
use std::path::{Path, PathBuf};

use unclouded_core::restore::{RestoreSettings, Subject};

use super::settings::{check_output, check_write, ending, wish};
use crate::cli::EvaluateArgs;
use crate::device;
use crate::failure::{Exit, Failure, Result};
use crate::gdal_io::pending::PendingFile;
use crate::interrupt;
use crate::models::Checkpoint;
use crate::progress::Reporter;

/// Cases that are made of a series unless told otherwise.
const CASES: usize = 6;

/// Run the command. An image that cannot be worked with is reported and left out; the others are
/// scored all the same.
///
/// # Errors
/// Exit 2 for arguments that cannot be worked with and if no image can, exit 1 when the work
/// fails or, after everything else is done, when some images were left out, 130 when it is
/// interrupted.
pub fn run(args: EvaluateArgs, reporter: &mut Reporter) -> Result<()> {
    let wish = wish(&args.run, 1)?;
    let named = [&args.clear, &args.masks, &args.reference];
    let mut inputs: Vec<&Path> = named.into_iter().flatten().map(PathBuf::as_path).collect();
    inputs.extend(args.series.iter().map(PathBuf::as_path));
    if let Some(path) = &args.json {
        check_output("--json", path, true, &inputs)?;
    }
    if let Some(path) = &args.plot {
        check_output("--plot", path, true, &inputs)?;
        ending(path, &["png"], "PNG")?;
    }
    let checkpoint = Checkpoint::find(args.run.model.as_deref())?;
    let card = checkpoint.card()?;
    let series = match args.series.is_empty() {
        true => None,
        false => Some(Series::read(
            &args.series,
            args.limit.unwrap_or(CASES),
            reporter,
        )?),
    };
    let (images, masks);
    let masked;
    let cases: &dyn Cases = match (&series, &args.clear) {
        (Some(series), _) => series,
        (None, Some(clear)) => {
            images = Images::find(clear, args.limit)?;
            let references = args.reference.as_ref();
            let references = references.map(|path| images.partners(path)).transpose()?;
            masks = MaskSource::of(args.masks.as_deref(), card.task, &images, args.run.seed)?;
            masked = Masked {
                images: &images,
                masks: &masks,
                references,
            };
            &masked
        }
        (None, None) => {
            return Err(Failure::mismatch(
                "evaluate",
                "--clear or --series",
                "neither",
            ));
        }
    };
    let count = cases.names().len();
    let (own, all) = (args.save.as_deref(), args.save_all.as_deref());
    let folders = Folders::prepare(own, all, &cases.names(), &inputs)?;
    let device = device::choose(args.run.device)?;
    let model = checkpoint.load(&device.device)?;
    check_write(&args.run, usize::from(cases.dates() != Dates::None))?;
    let settings = RestoreSettings::resolve(&card, &wish, &Subject::default())?;
    if args.plot.is_some() && !settings.has_spread() {
        return Err(Failure::mismatch("--plot", "at least 2 --samples", "1")
            .hint("the picture is about the spread of several samples; try --samples 8"));
    }
    let mut report = Report::new(&args, &card, &model.sha256, &settings, &device);
    reporter.start("evaluate", report.header());
    reporter.info(device.describe());

    let names = pair::methods(card.task.redraws(), cases.dates());
    let bench = Bench {
        cases,
        methods: &names,
        model: &model,
        card: &card,
        settings: &settings,
        bands: args.bands.as_deref(),
        sample: args.save_all.is_some() || args.plot.is_some(),
    };
    let mut methods: Vec<Method> = names.iter().map(|_| Method::default()).collect();
    let mut uncertainty = Uncertainty::default();
    let mut strip = (args.plot.as_ref()).map(|_| Strip::new(count, names.len()));
    let mut first_failure = None;
    reporter.stage("evaluate", count as u64);
    for index in 0..count {
        interrupt::check()?;
        match bench.pair(index) {
            Ok(Some(pair)) => {
                if report.images == 0 {
                    let bands = &pair.bands;
                    reporter.info(format!("model bands: {:?} ({})", bands.bands, bands.reason));
                }
                folders.write(&pair)?;
                let cover = pair.hole.count() as f64 / pair.example.valid.count().max(1) as f64;
                uncertainty.add(&pair.spread);
                if let Some(strip) = &mut strip {
                    strip.offer(index, &pair);
                }
                for (method, fill) in methods.iter_mut().zip(pair.fills) {
                    method.add(&fill);
                }
                report.scored(cover);
            }
            Ok(None) => report.skipped += 1,
            Err(failure) if failure.exit == Exit::Usage => {
                let name = cases.label(index);
                reporter.warning(format!("{name} is left out: {}", failure.message));
                report.failed.push((name, failure.message.clone()));
                first_failure.get_or_insert(failure);
            }
            Err(failure) => return Err(failure),
        }
        reporter.advance(index as u64 + 1);
    }
    if report.images == 0 {
        return Err(first_failure.unwrap_or_else(|| {
            Failure::mismatch(
                "masks",
                "at least one that hides something",
                "empty ones only",
            )
            .hint("a mask pixel that is not 0 is hidden")
        }));
    }
    let figures = uncertainty.figures();
    if let (Some(path), Some(strip)) = (&args.plot, &strip) {
        match &figures {
            Some(figures) => plot::write(path, &report.title(), figures, strip)?,
            None => reporter.warning("no --plot: the samples do not differ anywhere"),
        }
    }
    report.finish(&names, &methods, figures);
    let json = report.json();
    if let Some(path) = &args.json {
        let file = PendingFile::new(path, true)?;
        std::fs::write(file.path(), format!("{json:#}\n")).map_err(|error| {
            Failure::failed(format!("cannot write {} ({error})", path.display()))
        })?;
        file.commit()?;
    }
    let table = report.table(&names, &methods);
    let Some(failure) = first_failure else {
        reporter.done(&table, json);
        return Ok(());
    };
    reporter.partial(&table, json);
    Err(Failure::failed(format!(
        "{} of {} images could not be used, the first because of: {}",
        report.failed.len(),
        count,
        failure.message
    ))
    .hint("the scores are those of the others"))
}
