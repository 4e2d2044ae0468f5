//! `unclouded restore`: fill the masked pixels of a scene.

use std::path::Path;
use std::time::{Instant, SystemTime};

mod bar;
mod job;
mod other_dates;
mod self_test;

use serde_json::json;
use unclouded_core::restore as core;

use bar::Bar;
pub use job::{Job, positions};

use super::{dry_run, run_key};
use crate::cli::RestoreArgs;
use crate::failure::{Exit, Failure, Result};
use crate::gdal_io::background::{Background, Files};
use crate::gdal_io::journal::{Found, Journal};
use crate::gdal_io::scene::Scene;
use crate::gdal_io::sink::Targets;
use crate::gdal_io::source::GdalSource;
use crate::gdal_io::{self, pending, preview, verify};
use crate::interrupt;
use crate::progress::Reporter;

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
    let Some(mut job) = Job::prepare(args, reporter)? else {
        return Ok(Done::Complete);
    };
    if args.dry_run {
        dry_run::run(&job, reporter)?;
        return Ok(Done::Forecast);
    }
    let before = stamp(&job);
    fill(&mut job, args, started, reporter).map_err(|failure| {
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

/// Size and time of change of every file of the scene and its other dates.
fn stamp(job: &Job) -> Vec<Option<(u64, SystemTime)>> {
    let references = job
        .references
        .iter()
        .map(|reference| &reference.scene().dataset);
    let datasets = std::iter::once(&job.scene.dataset).chain(references);
    let files = datasets.flat_map(gdal_io::file_list);
    files
        .map(|file| {
            let about = file.metadata().ok()?;
            Some((about.len(), about.modified().ok()?))
        })
        .collect()
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

fn fill(
    job: &mut Job,
    args: &RestoreArgs,
    started: Instant,
    reporter: &mut Reporter,
) -> Result<()> {
    let model = job.checkpoint.load(&job.device.device)?;
    let test = self_test::run(job, &model, args.self_test.is_some(), reporter)?;
    if let (Some(to), Some(test)) = (&args.self_test, &test) {
        reporter.info(self_test::table(test, &job.settings.model_bands));
        if let Some(path) = to {
            self_test::write(path, test)?;
        }
    }
    let job = &*job;
    let Job {
        paths,
        scene,
        mask,
        coverage,
        ..
    } = job;
    let mut tags = job.provenance(&model.sha256).tags();
    tags.extend(
        test.as_ref()
            .map(|test| ("UNCLOUDED_SELF_TEST".into(), json!(test).to_string())),
    );
    let mut journal = journal(job, &model.sha256, args, reporter)?;
    let overwrite = args.overwrite || journal.committing();
    let targets = Targets {
        scene: &paths.output,
        uncertainty: paths.uncertainty.as_deref(),
        provenance: paths.provenance.as_deref(),
        overwrite,
        format: job.format,
        max_uncertainty: job.max_uncertainty,
    };
    let rows = scene.info.height as u64;
    reporter.stage("survey", rows);
    let folder = folder(&paths.output);
    let bar = Bar::new(reporter, &job.format);
    let watch = |row_end: usize| bar.surveyed(row_end);
    let mut source = GdalSource::new(scene, mask)
        .with_references(&job.references)
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
    let left_px = written.left_px;
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
        coverage.fill - left_px,
        verified.changed,
        verified.clear
    );
    if left_px > 0 {
        text +=
            &format!("\n{left_px} pixels left: their fill would be more uncertain than asked for");
    }
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
            "clear_pixels_changed": verified.changed, "left_pixels": left_px, "seconds": seconds,
            "tiles": summary.tiles, "provenance": job.provenance(&model.sha256),
            "self_test": test,
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn alpha_does_not_count_as_a_band_of_the_core() {
        assert_eq!(positions(&[4, 3, 2], &[2, 3, 4]), [2, 1, 0]);
    }
}
