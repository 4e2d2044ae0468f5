//! `unclouded evaluate`: the model and the classical fills against the truth under masks.

mod images;
mod masks;
mod pair;
mod plot;
mod report;
mod rival;
mod save;
mod uncertainty;

use self::images::Images;
use self::masks::MaskSource;
use self::pair::{Bench, METHODS, REDRAWN};
use self::plot::Strip;
use self::report::{Method, Report};
use self::save::Folders;
use self::uncertainty::Uncertainty;
use unclouded_core::restore::{RestoreSettings, Subject};

use super::settings::{check_output, check_write, ending, wish};
use crate::cli::EvaluateArgs;
use crate::device;
use crate::failure::{Exit, Failure, Result};
use crate::gdal_io::pending::PendingFile;
use crate::interrupt;
use crate::models::Checkpoint;
use crate::progress::Reporter;

/// Run the command. An image that cannot be worked with is reported and left out; the others are
/// scored all the same.
///
/// # Errors
/// Exit 2 for arguments that cannot be worked with and if no image can, exit 1 when the work
/// fails or, after everything else is done, when some images were left out, 130 when it is
/// interrupted.
pub fn run(args: EvaluateArgs, reporter: &mut Reporter) -> Result<()> {
    let wish = wish(&args.run, 1)?;
    let mut inputs = vec![args.clear.as_path()];
    inputs.extend(args.masks.as_deref());
    inputs.extend(args.reference.as_deref());
    if let Some(path) = &args.json {
        check_output("--json", path, true, &inputs)?;
    }
    if let Some(path) = &args.plot {
        check_output("--plot", path, true, &inputs)?;
        ending(path, &["png"], "PNG")?;
    }
    let images = Images::find(&args.clear, args.limit)?;
    let references = match &args.reference {
        Some(path) => Some(images.partners(path)?),
        None => None,
    };
    let checkpoint = Checkpoint::find(args.run.model.as_deref())?;
    let card = checkpoint.card()?;
    let masks = MaskSource::of(args.masks.as_deref(), card.task, &images, args.run.seed)?;
    let (own, all) = (args.save.as_deref(), args.save_all.as_deref());
    let folders = Folders::prepare(own, all, &images, &inputs)?;
    let device = device::choose(args.run.device)?;
    let model = checkpoint.load(&device.device)?;
    check_write(&args.run, usize::from(args.reference.is_some()))?;
    let settings = RestoreSettings::resolve(&card, &wish, &Subject::default())?;
    if args.plot.is_some() && !settings.has_spread() {
        return Err(Failure::mismatch("--plot", "at least 2 --samples", "1")
            .hint("the picture is about the spread of several samples; try --samples 8"));
    }
    let mut report = Report::new(&args, &card, &model.sha256, &settings, &device);
    reporter.start("evaluate", report.header());
    reporter.info(device.describe());

    let names: Vec<&'static str> = match card.task.redraws() {
        true => REDRAWN.to_vec(),
        false => (METHODS.into_iter())
            .filter(|name| *name != "regression" || args.reference.is_some())
            .collect(),
    };
    let bench = Bench {
        images: &images,
        references: references.as_ref(),
        masks: &masks,
        methods: &names,
        model: &model,
        card: &card,
        settings: &settings,
        bands: args.bands.as_deref(),
        sample: args.save_all.is_some() || args.plot.is_some(),
    };
    let mut methods: Vec<Method> = names.iter().map(|_| Method::default()).collect();
    let mut uncertainty = Uncertainty::default();
    let mut strip = (args.plot.as_ref()).map(|_| Strip::new(images.len(), names.len()));
    let mut first_failure = None;
    reporter.stage("evaluate", images.len() as u64);
    for index in 0..images.len() {
        interrupt::check()?;
        match bench.pair(index) {
            Ok(Some(pair)) => {
                if report.images == 0 {
                    let bands = &pair.bands;
                    reporter.info(format!("model bands: {:?} ({})", bands.bands, bands.reason));
                }
                folders.write(&pair)?;
                uncertainty.add(&pair.spread);
                if let Some(strip) = &mut strip {
                    strip.offer(index, &pair);
                }
                for (method, fill) in methods.iter_mut().zip(pair.fills) {
                    method.add(&fill);
                }
                report.images += 1;
            }
            Ok(None) => report.skipped += 1,
            Err(failure) if failure.exit == Exit::Usage => {
                let name = images.files()[index].display().to_string();
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
        images.len(),
        failure.message
    ))
    .hint("the scores are those of the others"))
}
