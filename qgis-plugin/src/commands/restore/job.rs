//! A request turned once into a checked job: everything but the computing.

use std::path::Path;

use serde_json::json;
use unclouded_core::model::ModelCard;
use unclouded_core::restore::{Provenance, RestoreSettings};

use super::other_dates;
use crate::cli::RestoreArgs;
use crate::commands::memory::{Load, MemoryPlan};
use crate::commands::settings::{RestorePaths, subject, wish};
use crate::device::{self, Chosen};
use crate::failure::{Failure, Result};
use crate::gdal_io::format::Format;
use crate::gdal_io::journal::Journal;
use crate::gdal_io::mask::MaskReader;
use crate::gdal_io::reference::ReferenceReader;
use crate::gdal_io::rgb::{self, BandChoice};
use crate::gdal_io::scene::{Scene, SceneInfo};
use crate::gdal_io::source::{Coverage, GdalSource};
use crate::gdal_io::{self, pending};
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
    /// Images of other dates.
    pub references: Vec<ReferenceReader>,
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
    /// Above this standard deviation a fill is not written, scene units.
    pub max_uncertainty: Option<f32>,
    /// How the run keeps within its memory.
    pub memory: MemoryPlan,
}

impl Job {
    /// Check everything that can be checked before the first tile, cheapest first; `None` if the
    /// output is complete already.
    pub(super) fn prepare(args: &RestoreArgs, reporter: &mut Reporter) -> Result<Option<Self>> {
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
        let needs_spread = paths.uncertainty.is_some() || args.max_uncertainty.is_some();
        let least_samples = if needs_spread { 4 } else { 1 };
        let model_bands = positions(&bands.bands, &scene.data_bands());
        let subject = subject(&card, &scene.info, model_bands);
        let wish = wish(&args.run, least_samples)?;
        let mut settings = RestoreSettings::resolve(&card, &wish, &subject)?;
        if needs_spread && !settings.has_spread() {
            let option = match args.max_uncertainty {
                Some(_) => "--max-uncertainty",
                None => "--uncertainty",
            };
            return Err(Failure::mismatch(option, "at least 2 --samples", "1")
                .hint("the uncertainty is the spread of several samples; try --samples 8"));
        }
        let device = device::choose(args.run.device)?;
        let most = usize::from(args.max_references).min(paths.references.len());
        let mut reference_bands = vec![0; most];
        if let Some((path, _)) = paths.references.first() {
            reference_bands.fill(Scene::open(path, "reference")?.data_bands().len());
        }
        let load = Load {
            scene: &scene.info,
            card: &card,
            checkpoint_bytes: checkpoint.len(),
            settings: &settings,
            reference_bands: &reference_bands,
            uncertainty: paths.uncertainty.is_some(),
        };
        let memory = load.plan(args.memory_mb)?;
        settings.batch = memory.batch;
        gdal_io::set_cache_bytes(memory.cache_bytes);
        let choice = Choice {
            scene: &scene.info,
            checkpoint: &checkpoint,
            card: &card,
            bands: &bands,
            device: &device,
            settings: &settings,
        };
        choice.announce(reporter);
        if args.resume && !args.overwrite && paths.output.exists() {
            let sha256 = checkpoint.sha256();
            let expected = provenance((&card, &sha256), &settings, &bands, 0, &device);
            if !is_output_of(&paths.output, &scene, &expected) {
                return Err(pending::exists(&paths.output));
            }
            if let Some((name, path)) = paths.outputs().iter().find(|(_, path)| !path.exists()) {
                let expected = format!("{} beside the complete output", path.display());
                return Err(Failure::mismatch(name, expected, "none")
                    .hint("it was not asked for then; --overwrite computes all of it anew"));
            }
            complete(&paths, reporter);
            return Ok(None);
        }
        let (mask, coverage) = masked(&paths, &scene, reporter)?;
        let references = match mask.is_clear() {
            true => Vec::new(),
            false => other_dates::find(args, &paths, (&scene, &mask), reporter)?,
        };
        if coverage.masked_nodata > 0 {
            reporter.warning(format!(
                "{} marked pixels are nodata in the scene and stay nodata",
                coverage.masked_nodata
            ));
        }
        Ok(Some(Job {
            format,
            max_uncertainty: args.max_uncertainty,
            memory,
            paths,
            scene,
            mask,
            references,
            checkpoint,
            card,
            bands,
            device,
            settings,
            coverage,
        }))
    }

    pub(super) fn provenance(&self, sha256: &str) -> Provenance {
        provenance(
            (&self.card, sha256),
            &self.settings,
            &self.bands,
            self.coverage.fill,
            &self.device,
        )
    }
}

/// What was decided before the mask is read.
struct Choice<'a> {
    scene: &'a SceneInfo,
    checkpoint: &'a Checkpoint,
    card: &'a ModelCard,
    bands: &'a BandChoice,
    device: &'a Chosen,
    settings: &'a RestoreSettings,
}

impl Choice<'_> {
    /// Tells people and programs.
    fn announce(&self, reporter: &mut Reporter) {
        let (card, settings, info) = (self.card, self.settings, self.scene);
        reporter.start(
            "restore",
            json!({
                "scene": info, "device": self.device,
                "model": {"name": self.checkpoint.name, "bands": card.bands},
                "bands": {"numbers": self.bands.bands, "reason": self.bands.reason},
                "method": settings.method_for(card).name(),
                "sampler": settings.sampler.name(), "steps": settings.steps,
                "samples": settings.samples, "seed": settings.seed,
                "tile_px": settings.tile_px, "overlap_px": settings.overlap_px,
            }),
        );
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
        reporter.info(self.device.describe());
        reporter.info(format!(
            "model: {}, {} from bands {} ({})",
            self.checkpoint.name,
            card.bands.join(" "),
            list(&self.bands.bands),
            self.bands.reason
        ));
        for note in &self.checkpoint.notes {
            reporter.info(note);
        }
        if !info.encoding.reason.is_empty() {
            reporter.info(format!("values: {}", info.encoding.reason));
        }
    }
}

/// The mask on the scene's grid, and how it covers the scene.
fn masked(
    paths: &RestorePaths,
    scene: &Scene,
    reporter: &mut Reporter,
) -> Result<(MaskReader, Coverage)> {
    let rows = scene.info.height as u64;
    reporter.stage("mask", 2 * rows);
    let mask = MaskReader::prepare(&paths.mask, scene, &mut |done| reporter.advance(done))?;
    for note in &mask.notes {
        reporter.info(note);
    }
    let coverage = GdalSource::new(scene, &mask).coverage(|done| reporter.advance(rows + done))?;
    if mask.is_clear() {
        reporter.info("mask: no clouds found, so the scene is written as it is");
    }
    reporter.info(format!(
        "mask: {} of {} pixels to fill ({:.1} %)",
        coverage.fill,
        coverage.data,
        100.0 * coverage.fill as f64 / coverage.data as f64
    ));
    Ok((mask, coverage))
}

fn provenance(
    model: (&ModelCard, &str),
    settings: &RestoreSettings,
    bands: &BandChoice,
    filled_px: u64,
    device: &Chosen,
) -> Provenance {
    let (bands, device) = (bands.bands.clone(), device.kind.to_owned());
    Provenance::of(model, settings, bands, filled_px, device)
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
