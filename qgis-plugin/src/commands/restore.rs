//! `unclouded restore`: fill the masked pixels of a scene.

use std::path::Path;
use std::time::{Instant, SystemTime};

mod bar;
mod other_date;

use serde_json::json;
use unclouded_core::checkpoint::ModelCard;
use unclouded_core::provenance::Provenance;
use unclouded_core::restore::{self as core, RestoreSettings};

use bar::Bar;
use other_date::useful;

use super::memory::{Load, MemoryPlan};
use super::settings::{RestorePaths, core_settings};
use super::{dry_run, run_key};
use crate::cli::RestoreArgs;
use crate::device::{self, Chosen};
use crate::failure::{Exit, Failure, Result};
use crate::gdal_io::background::{Background, Files};
use crate::gdal_io::format::Format;
use crate::gdal_io::journal::{Found, Journal};
use crate::gdal_io::mask::MaskReader;
use crate::gdal_io::reference::ReferenceReader;
use crate::gdal_io::rgb::{self, BandChoice};
use crate::gdal_io::scene::Scene;
use crate::gdal_io::sink::Targets;
use crate::gdal_io::source::{Coverage, GdalSource};
use crate::gdal_io::{self, pending, preview, verify};
use crate::interrupt;
use crate::models::Checkpoint;
use crate::progress::Reporter;

/// A request that was checked against its inputs: everything but the computing.
pub struct Job {
    /// The files.
    pub paths: RestorePaths,
    /// The scene, open.
    pub scene: Scene,
    /// The mask on the scene's grid.
    pub mask: MaskReader,
    /// An image of another date.
    pub reference: Option<ReferenceReader>,
    /// The model's file.
    pub checkpoint: Checkpoint,
    /// The model's card.
    pub card: ModelCard,
    /// Which bands feed the model.
    pub bands: BandChoice,
    /// Where to compute.
    pub device: Chosen,
    /// For the core.
    pub settings: RestoreSettings,
    /// How the mask covers the scene.
    pub coverage: Coverage,
    /// How the outputs are stored.
    pub format: Format,
    /// How the run keeps within its memory.
    pub memory: MemoryPlan,
}

/// How a run ended well.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Done {
    /// The scene was filled.
    Filled,
    /// There were no clouds: it was written as it is.
    Clear,
    /// It was said what would be done.
    Forecast,
    /// The output was there already.
    Complete,
}

impl Done {
    /// For the summary.
    pub fn word(self) -> &'static str {
        match self {
            Done::Filled => "filled",
            Done::Clear => "clear",
            Done::Forecast => "forecast",
            Done::Complete => "complete",
        }
    }
}

/// Fill one scene.
///
/// # Errors
/// Exit 2 for arguments and inputs that cannot be worked with, exit 1 when the work fails, 130
/// when it is interrupted. Nothing is written under a final name in any of these cases.
pub fn run(args: &RestoreArgs, reporter: &mut Reporter) -> Result<Done> {
    let started = Instant::now();
    let Some(job) = Job::prepare(args, reporter)? else {
        return Ok(Done::Complete);
    };
    if args.dry_run {
        dry_run::run(&job, reporter)?;
        return Ok(Done::Forecast);
    }
    let before = stamp(&job);
    fill(&job, args, started, reporter).map_err(|failure| {
        if failure.exit == Exit::Interrupted || stamp(&job) == before {
            return failure;
        }
        let what = "an input vanished or changed while it was read";
        Failure::failed(format!("{what}: {}", failure.message))
            .hint("run again when nothing writes to the scene and its mask")
    })?;
    Ok(match job.mask.is_clear() {
        true => Done::Clear,
        false => Done::Filled,
    })
}

/// Size and time of change of every file of the scene and its reference.
fn stamp(job: &Job) -> Vec<Option<(u64, SystemTime)>> {
    let reference = job
        .reference
        .as_ref()
        .map(|reference| &reference.scene().dataset);
    let datasets = [Some(&job.scene.dataset), reference];
    let files = datasets.into_iter().flatten().flat_map(gdal_io::file_list);
    files
        .map(|file| {
            let about = file.metadata().ok()?;
            Some((about.len(), about.modified().ok()?))
        })
        .collect()
}

impl Job {
    /// Check everything that can be checked before the first tile, cheapest first; `None` if the
    /// output is complete already.
    fn prepare(args: &RestoreArgs, reporter: &mut Reporter) -> Result<Option<Self>> {
        let paths = RestorePaths::check(args)?;
        let format = Format {
            cog: args.cog,
            compress: args.compress,
            overviews: args.overviews,
        };
        format.check()?;
        let scene = Scene::open_with(&paths.scene, "scene", args.offset)?;
        let checkpoint = Checkpoint::find(args.run.model.as_deref())?;
        let card = checkpoint.card()?;
        let bands = rgb::choose(&scene.info, args.bands.as_deref(), &card.bands)?;
        let least_samples = if paths.uncertainty.is_some() { 4 } else { 1 };
        let model_bands = positions(&bands.bands, &scene.data_bands());
        let mut settings = core_settings(
            &args.run,
            &card,
            model_bands,
            least_samples,
            Some(&scene.info),
        )?;
        let device = device::choose(args.run.device)?;
        let reference_bands = match &paths.reference {
            Some((path, _)) => Scene::open(path, "reference")?.data_bands().len(),
            None => 0,
        };
        let load = Load {
            scene: &scene.info,
            card: &card,
            checkpoint_bytes: checkpoint.bytes.len(),
            settings: &settings,
            reference_bands,
            uncertainty: paths.uncertainty.is_some(),
        };
        let memory = load.plan(args.memory_mb)?;
        settings.batch = memory.batch;
        gdal_io::set_cache_bytes(memory.cache_bytes);
        reporter.start(
            "restore",
            json!({
                "scene": scene.info, "device": device,
                "model": {"name": checkpoint.name, "bands": card.bands},
                "bands": {"numbers": bands.bands, "reason": bands.reason},
                "method": settings.method_for(&card).name(),
                "sampler": settings.sampler.name(), "steps": settings.steps,
                "samples": settings.samples, "seed": settings.seed,
                "tile_px": settings.tile_px, "overlap_px": settings.overlap_px,
            }),
        );
        let info = &scene.info;
        reporter.info(format!(
            "scene: {} x {} px, {} {} of {}",
            info.width,
            info.height,
            info.bands.len(),
            if info.bands.len() == 1 {
                "band"
            } else {
                "bands"
            },
            info.dtype.name()
        ));
        reporter.info(device.describe());
        reporter.info(format!(
            "model: {}, {} from bands {} ({})",
            checkpoint.name,
            card.bands.join(" "),
            list(&bands.bands),
            bands.reason
        ));
        if !info.encoding.reason.is_empty() {
            reporter.info(format!("values: {}", info.encoding.reason));
        }
        if args.resume && !args.overwrite && paths.output.exists() {
            let expected = provenance(&card, &checkpoint.sha256(), &settings, &bands, 0, &device);
            if !is_output_of(&paths.output, &scene, &expected) {
                return Err(pending::exists(&paths.output));
            }
            complete(&paths, reporter);
            return Ok(None);
        }
        let rows = info.height as u64;
        reporter.stage("mask", 2 * rows);
        let mask = MaskReader::prepare(&paths.mask, &scene, &mut |done| reporter.advance(done))?;
        for note in &mask.notes {
            reporter.info(note);
        }
        let coverage =
            GdalSource::new(&scene, &mask).coverage(|done| reporter.advance(rows + done))?;
        if mask.is_clear() {
            reporter.info("mask: no clouds found, so the scene is written as it is");
        }
        reporter.info(format!(
            "mask: {} of {} pixels to fill ({:.1} %)",
            coverage.fill,
            coverage.data,
            100.0 * coverage.fill as f64 / coverage.data as f64
        ));
        let reference = match paths.reference.as_ref().filter(|_| !mask.is_clear()) {
            Some((path, clouds)) => Some(ReferenceReader::open(path, clouds.as_ref(), &scene)?),
            None => None,
        };
        for note in reference.iter().flat_map(ReferenceReader::notes) {
            reporter.info(note);
        }
        let reference = match reference {
            Some(reference) => useful(reference, &scene, &mask, reporter)?,
            None => None,
        };
        if coverage.masked_nodata > 0 {
            reporter.warning(format!(
                "{} marked pixels are nodata in the scene and stay nodata",
                coverage.masked_nodata
            ));
        }
        Ok(Some(Job {
            format,
            memory,
            paths,
            scene,
            mask,
            reference,
            checkpoint,
            card,
            bands,
            device,
            settings,
            coverage,
        }))
    }

    fn provenance(&self, sha256: &str) -> Provenance {
        let filled = self.coverage.fill;
        let (card, settings) = (&self.card, &self.settings);
        provenance(card, sha256, settings, &self.bands, filled, &self.device)
    }
}

fn provenance(
    card: &ModelCard,
    sha256: &str,
    settings: &RestoreSettings,
    bands: &BandChoice,
    filled_px: u64,
    device: &Chosen,
) -> Provenance {
    Provenance {
        version: env!("CARGO_PKG_VERSION").into(),
        checkpoint_name: card.name.clone(),
        checkpoint_sha256: sha256.into(),
        method: settings.method_for(card).name().into(),
        sampler: settings.sampler.name().into(),
        steps: settings.steps,
        samples: settings.samples,
        written: settings.written.name().into(),
        seed: settings.seed,
        tile_px: settings.tile_px,
        overlap_px: settings.overlap_px,
        model_bands: bands.bands.clone(),
        filled_px,
        device: device.kind.into(),
    }
}

/// Whether a file was filled from a scene of this shape in this way. An output has its name only
/// when it is complete.
fn is_output_of(path: &Path, scene: &Scene, expected: &Provenance) -> bool {
    use gdal::Metadata;
    let Ok(output) = Scene::open_written(path) else {
        return false;
    };
    let shape = |scene: &Scene| {
        let info = &scene.info;
        (info.width, info.height, info.bands.len(), info.dtype)
    };
    let said_elsewhere = ["UNCLOUDED_FILLED_PX", "UNCLOUDED_DEVICE"];
    let same = |(key, value): &(String, String)| {
        said_elsewhere.contains(&key.as_str())
            || output.dataset.metadata_item(key, "").as_ref() == Some(value)
    };
    shape(scene) == shape(&output) && expected.tags().iter().all(same)
}

/// Says that there is nothing to do, and removes what a run left that was stopped at its end.
fn complete(paths: &RestorePaths, reporter: &mut Reporter) {
    let _ = std::fs::remove_file(Journal::path(&paths.output));
    let text = format!("{}: complete already", paths.output.display());
    let outputs = json!({"output": paths.output});
    reporter.done(&text, json!({"outputs": outputs, "complete": true}));
}

/// Opens the journal and says what it holds.
fn journal(job: &Job, sha256: &str, args: &RestoreArgs, reporter: &Reporter) -> Result<Journal> {
    let outputs: Vec<&Path> = job
        .paths
        .outputs()
        .into_iter()
        .map(|(_, path)| path)
        .collect();
    let key = run_key::key(job, sha256)?;
    let (journal, found) = Journal::open(&outputs, &key, args.resume)?;
    match found {
        Found::Nothing => {}
        Found::Rows(rows) => reporter.info(format!(
            "resume: {rows} of {} rows are finished",
            job.scene.info.height
        )),
        Found::Other => reporter.info(
            "resume: the interrupted run had other inputs or settings, or was of another version; \
             starting anew",
        ),
        Found::Unwanted => reporter.info(
            "an interrupted run of this output is dropped; --resume would have gone on with it",
        ),
    }
    if !args.overwrite && !journal.committing() {
        // Let through before, for the sake of a run that turns out to be another one.
        if let Some(output) = outputs.iter().find(|output| output.exists()) {
            return Err(pending::exists(output));
        }
    }
    Ok(journal)
}

fn fill(job: &Job, args: &RestoreArgs, started: Instant, reporter: &mut Reporter) -> Result<()> {
    let Job {
        paths,
        scene,
        mask,
        coverage,
        ..
    } = job;
    let model = job.checkpoint.load(&job.device.device)?;
    let tags = job.provenance(&model.sha256).tags();
    let mut journal = journal(job, &model.sha256, args, reporter)?;
    let overwrite = args.overwrite || journal.committing();
    let targets = Targets {
        scene: &paths.output,
        uncertainty: paths.uncertainty.as_deref(),
        provenance: paths.provenance.as_deref(),
        overwrite,
        format: job.format,
    };
    let rows = scene.info.height as u64;
    reporter.stage("survey", rows);
    let folder = folder(&paths.output);
    let bar = Bar::new(reporter, &job.format);
    let watch = |row_end: usize| bar.surveyed(row_end);
    let mut source = GdalSource::new(scene, mask)
        .with_reference(job.reference.as_ref())
        .with_scratch(folder)
        .with_watch(&watch);
    let open = || Scene::open_with(&paths.scene, "scene", args.offset);
    let files = Files {
        open: &open,
        targets,
        tags: &tags,
        mask,
        journal: &mut journal,
    };
    let (summary, mut written) = std::thread::scope(|scope| {
        let mut sink = Background::start(scope, files)?;
        let outcome = match mask.is_clear() {
            true => core::pass_through(&mut source, &mut sink, &job.settings),
            false => core::restore(
                &mut source,
                &mut sink,
                &model,
                &job.settings,
                &mut |progress| bar.follow(progress),
            ),
        };
        sink.finish(outcome.map_err(Failure::from))
    })?;
    let temporary = written.scene.path().to_owned();
    reporter.stage("verify", scene.info.height as u64);
    let verified = verify::verify(scene, mask, *coverage, &temporary, |rows| {
        reporter.advance(rows)
    })?;
    if let Some(target) = &paths.preview {
        let rgb = [0, 1, 2].map(|band| *job.bands.bands.get(band).unwrap_or(&job.bands.bands[0]));
        written.more.push(preview::write(
            target, overwrite, scene, mask, &temporary, rgb,
        )?);
    }
    interrupt::check()?;
    journal.commit()?;
    written.commit()?;
    journal.finish();

    let seconds = started.elapsed().as_secs_f64();
    let mut text = format!(
        "{}: {} pixels filled, {} of {} clear pixels changed, {seconds:.1} s",
        paths.output.display(),
        coverage.fill,
        verified.changed,
        verified.clear
    );
    let mut outputs = serde_json::Map::new();
    for (name, path) in paths.outputs() {
        outputs.insert(name.trim_start_matches("--").into(), json!(path));
        if name != "--output" {
            text += &format!("\n{}: {}", path.display(), name.trim_start_matches("--"));
        }
    }
    reporter.done(
        &text,
        json!({
            "outputs": outputs, "pixels": coverage, "clear_pixels": verified.clear,
            "clear_pixels_changed": verified.changed, "seconds": seconds,
            "tiles": summary.tiles, "provenance": job.provenance(&model.sha256),
        }),
    );
    Ok(())
}

/// The folder of a file.
fn folder(path: &Path) -> &Path {
    path.parent()
        .filter(|folder| !folder.as_os_str().is_empty())
        .unwrap_or(Path::new("."))
}

/// From band numbers (from 1, alpha included) to the core's (from 0, without alpha).
pub fn positions(numbers: &[usize], data: &[usize]) -> Vec<usize> {
    // `rgb::choose` takes none but data bands.
    numbers
        .iter()
        .filter_map(|number| data.iter().position(|band| band == number))
        .collect()
}

fn list(numbers: &[usize]) -> String {
    numbers
        .iter()
        .map(usize::to_string)
        .collect::<Vec<_>>()
        .join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn alpha_does_not_count_as_a_band_of_the_core() {
        assert_eq!(positions(&[4, 3, 2], &[2, 3, 4]), [2, 1, 0]);
    }
}
