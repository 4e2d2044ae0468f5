//! `unclouded restore`: fill the masked pixels of a scene.

use std::ops::ControlFlow;
use std::time::Instant;

use serde_json::json;
use unclouded_core::checkpoint::ModelCard;
use unclouded_core::provenance::Provenance;
use unclouded_core::restore::{self as core, RestoreSettings, Written};

use super::dry_run;
use super::settings::{RestorePaths, core_settings};
use crate::cli::{RestoreArgs, WriteChoice};
use crate::device::{self, Chosen};
use crate::failure::Result;
use crate::gdal_io::mask::MaskReader;
use crate::gdal_io::reference::ReferenceReader;
use crate::gdal_io::rgb::{self, BandChoice};
use crate::gdal_io::scene::Scene;
use crate::gdal_io::sink::{GdalSink, Targets};
use crate::gdal_io::source::{Coverage, GdalSource};
use crate::gdal_io::{preview, verify};
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
}

/// Run the command.
///
/// # Errors
/// Exit 2 for arguments and inputs that cannot be worked with, exit 1 when the work fails, 130
/// when it is interrupted. Nothing is written under a final name in any of these cases.
pub fn run(args: RestoreArgs, reporter: &mut Reporter) -> Result<()> {
    let started = Instant::now();
    let job = Job::prepare(&args, reporter)?;
    if args.dry_run {
        return dry_run::run(&job, reporter);
    }
    fill(&job, args.overwrite, started, reporter)
}

impl Job {
    /// Check everything that can be checked before the first tile, cheapest first.
    fn prepare(args: &RestoreArgs, reporter: &mut Reporter) -> Result<Self> {
        let paths = RestorePaths::check(args)?;
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
            Some(scene.info.dtype),
        )?;
        settings.written = match args.write {
            WriteChoice::Mean => Written::Mean,
            WriteChoice::Sample => Written::Sample,
        };
        let device = device::choose(args.run.device)?;
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
        let rows = info.height as u64;
        reporter.stage("mask", 2 * rows);
        let mask = MaskReader::prepare(&paths.mask, &scene, &mut |done| reporter.advance(done))?;
        for note in &mask.notes {
            reporter.info(note);
        }
        let coverage =
            GdalSource::new(&scene, &mask).coverage(|done| reporter.advance(rows + done))?;
        reporter.info(format!(
            "mask: {} of {} pixels to fill ({:.1} %)",
            coverage.fill,
            coverage.data,
            100.0 * coverage.fill as f64 / coverage.data as f64
        ));
        let reference = match &paths.reference {
            Some((path, clouds)) => Some(ReferenceReader::open(path, clouds.as_ref(), &scene)?),
            None => None,
        };
        for note in reference.iter().flat_map(ReferenceReader::notes) {
            reporter.info(note);
        }
        if coverage.masked_nodata > 0 {
            reporter.warning(format!(
                "{} marked pixels are nodata in the scene and stay nodata",
                coverage.masked_nodata
            ));
        }
        Ok(Job {
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
        })
    }

    fn provenance(&self, sha256: &str) -> Provenance {
        Provenance {
            version: env!("CARGO_PKG_VERSION").into(),
            checkpoint_name: self.card.name.clone(),
            checkpoint_sha256: sha256.into(),
            method: self.settings.method_for(&self.card).name().into(),
            sampler: self.settings.sampler.name().into(),
            steps: self.settings.steps,
            samples: self.settings.samples,
            written: self.settings.written.name().into(),
            seed: self.settings.seed,
            tile_px: self.settings.tile_px,
            overlap_px: self.settings.overlap_px,
            model_bands: self.bands.bands.clone(),
            filled_px: self.coverage.fill,
            device: self.device.kind.into(),
        }
    }
}

fn fill(job: &Job, overwrite: bool, started: Instant, reporter: &mut Reporter) -> Result<()> {
    let Job {
        paths,
        scene,
        mask,
        coverage,
        ..
    } = job;
    let model = job.checkpoint.load(&job.device.device)?;
    let tags = job.provenance(&model.sha256).tags();
    let targets = Targets {
        scene: &paths.output,
        uncertainty: paths.uncertainty.as_deref(),
        provenance: paths.provenance.as_deref(),
        overwrite,
    };
    let mut source = GdalSource::new(scene, mask).with_reference(job.reference.as_ref());
    let mut sink = GdalSink::create(scene, &targets, &tags)?.with_mask(mask);
    let mut bar = TileBar::new(reporter);
    let summary = core::restore(
        &mut source,
        &mut sink,
        &model,
        &job.settings,
        &mut |progress| bar.follow(progress),
    )?;
    let mut written = sink.finish()?;
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
    written.commit()?;

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

/// Shows the core's progress and passes the user's wish to stop on to it.
struct TileBar<'a> {
    reporter: &'a mut Reporter,
    begun: bool,
}

impl<'a> TileBar<'a> {
    fn new(reporter: &'a mut Reporter) -> Self {
        TileBar {
            reporter,
            begun: false,
        }
    }

    fn follow(&mut self, progress: core::Progress) -> ControlFlow<()> {
        if !self.begun {
            self.begun = true;
            self.reporter.stage("fill", progress.total as u64);
        }
        self.reporter.advance(progress.done as u64);
        if interrupt::requested() {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    }
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
