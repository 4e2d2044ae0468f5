//! `unclouded generate`: images out of noise.

mod conditions;
mod plan;

use std::fs;
use std::ops::ControlFlow;
use std::time::Instant;

use serde_json::json;
use unclouded_core::generate::{GenerateSettings, Generator, generate};
use unclouded_core::model::Model;
use unclouded_core::raster::Raster;

use self::plan::{Output, Plan, solver};
use crate::cli::{GenerateArgs, ImageFormat};
use crate::device::{self, Chosen};
use crate::failure::{Failure, Result};
use crate::gdal_io::generated::{Picture, write_png, write_tif};
use crate::gdal_io::pending::PendingFile;
use crate::gdal_io::writer::Tag;
use crate::interrupt;
use crate::models::Checkpoint;
use crate::progress::Reporter;

/// Run the command.
///
/// # Errors
/// Exit 2 for arguments and inputs that cannot be worked with, exit 1 when the work fails, 130
/// when it is interrupted. Nothing is written under a final name in any of these cases.
pub fn run(args: &GenerateArgs, reporter: &mut Reporter) -> Result<()> {
    let started = Instant::now();
    let output = Output::check(args)?;
    let device = device::choose(args.device)?;
    let checkpoint = Checkpoint::find(Some(&args.model))?;
    let model = checkpoint.load(&device.device)?;
    let generator = Generator::new(&model)?;
    checkpoint.say_notes(&model, reporter);
    let plan = Plan::new(args, &model, &generator)?;
    plan.check_output(&output)?;
    let settings = &plan.settings;
    let steps = settings.levels_run()?.len().saturating_sub(1);
    reporter.start(
        "generate",
        json!({
            "device": device, "model": {"name": args.model, "bands": plan.names},
            "sampler": solver(&model, settings.sampler), "steps": steps, "seed": settings.seed,
            "count": args.count, "height": settings.size.0, "width": settings.size.1,
        }),
    );
    reporter.info(device.describe());
    reporter.info(format!(
        "images: {} of {} x {} px (height x width), {} in {steps} steps, seed {}",
        args.count,
        settings.size.0,
        settings.size.1,
        solver(&model, settings.sampler),
        settings.seed
    ));

    let tags = |image: Option<usize>| tags(args, &plan, &model, &device, steps, image);
    let made_folder = match &output {
        Output::Folder(folder, _) if !folder.exists() => {
            fs::create_dir(folder).map_err(|error| {
                Failure::failed(format!("cannot make {} ({error})", folder.display()))
            })?;
            Some(folder)
        }
        _ => None,
    };
    let made = make(&generator, settings, &plan, args, &output, &tags, reporter);
    let files = match made {
        Ok(files) => files,
        Err(failure) => {
            // Empty, since nothing got its name yet.
            let _ = made_folder.map(fs::remove_dir);
            return Err(failure);
        }
    };
    interrupt::check()?;
    let paths: Vec<_> = files.iter().map(|file| file.target().to_owned()).collect();
    for file in files {
        file.commit()?;
    }
    let seconds = started.elapsed().as_secs_f64();
    let text = format!(
        "{}: {} {}, every pixel generated, {seconds:.1} s",
        args.output.display(),
        args.count,
        if args.count == 1 { "image" } else { "images" },
    );
    reporter.done(
        &text,
        json!({"outputs": paths, "images": args.count, "seconds": seconds}),
    );
    Ok(())
}

/// Computes the images and writes them under temporary names.
fn make(
    generator: &Generator,
    settings: &GenerateSettings,
    plan: &Plan,
    args: &GenerateArgs,
    output: &Output,
    tags: &dyn Fn(Option<usize>) -> Vec<Tag>,
    reporter: &mut Reporter,
) -> Result<Vec<PendingFile>> {
    let steps = settings.levels_run()?.len().saturating_sub(1);
    reporter.stage("generate", (args.count * steps) as u64);
    let mut moved = 0;
    let mut files = Vec::new();
    let mut pictures = Vec::new();
    let mut keep = |index: usize, image: Raster| -> Result<()> {
        let image = plan.values.of(image);
        let (low, high) = plan.values.range;
        let overwrite = args.overwrite;
        match output {
            Output::Grid(_) => pictures.push(Picture::new(&image, low, high)),
            Output::Tif(path) => {
                files.push(plan.write_tif(path, overwrite, &image, &tags(Some(index)))?);
            }
            Output::Folder(_, format) => {
                let path = output.file(index);
                let tags = tags(Some(index));
                files.push(match format {
                    ImageFormat::Tif => plan.write_tif(&path, overwrite, &image, &tags)?,
                    ImageFormat::Png => {
                        write_png(&path, overwrite, &Picture::new(&image, low, high), &tags)?
                    }
                });
            }
        }
        Ok(())
    };
    generate(
        generator,
        settings,
        args.count,
        &mut |images| {
            moved += images;
            reporter.advance(moved as u64);
            match interrupt::requested() {
                true => ControlFlow::Break(()),
                false => ControlFlow::Continue(()),
            }
        },
        &mut |index, image| keep(index, image).map_err(Into::into),
    )?;
    if let Output::Grid(path) = output {
        let grid = Picture::grid(&pictures);
        files.push(write_png(path, args.overwrite, &grid, &tags(None))?);
    }
    Ok(files)
}

impl Plan {
    fn write_tif(
        &self,
        path: &std::path::Path,
        overwrite: bool,
        image: &Raster,
        tags: &[Tag],
    ) -> Result<PendingFile> {
        let place = self.place.as_ref();
        write_tif(path, overwrite, image, self.dtype, &self.names, place, tags)
    }
}

/// What makes an image again, and that no pixel of it was observed.
fn tags(
    args: &GenerateArgs,
    plan: &Plan,
    model: &Model,
    device: &Chosen,
    steps: usize,
    image: Option<usize>,
) -> Vec<Tag> {
    let settings = &plan.settings;
    let file = |path: &std::path::Path| {
        let name = path.file_name().unwrap_or(path.as_os_str());
        name.to_string_lossy().into_owned()
    };
    let mut tags = vec![
        ("CONTENT", "generated: no pixel was observed".to_owned()),
        ("VERSION", env!("CARGO_PKG_VERSION").to_owned()),
        ("CHECKPOINT", model.card.name.clone()),
        ("CHECKPOINT_SHA256", model.sha256.clone()),
        ("SAMPLER", solver(model, settings.sampler).to_owned()),
        ("STEPS", steps.to_string()),
        ("SEED", settings.seed.to_string()),
        ("DEVICE", device.kind.to_owned()),
    ];
    match image {
        Some(index) => tags.push(("IMAGE", index.to_string())),
        None => tags.push(("IMAGES", args.count.to_string())),
    }
    if let Some(class) = settings.class {
        tags.push(("CLASS", class.to_string()));
    }
    if let Some(guidance) = settings.guidance {
        tags.push(("GUIDANCE", guidance.weight.to_string()));
    }
    if let Some(path) = &args.embedding {
        tags.push(("EMBEDDING", file(path)));
    }
    if let Some(path) = &args.init {
        tags.push(("INIT", file(path)));
        if !settings.whole {
            tags.push(("STRENGTH", args.strength.to_string()));
        }
    }
    tags.into_iter()
        .map(|(key, value)| (format!("UNCLOUDED_{key}"), value))
        .collect()
}
