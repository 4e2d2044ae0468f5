//! Arguments turned once into validated settings: after this, nothing can be a typing error.

use std::path::{Path, PathBuf};

use unclouded_core::model::ModelCard;
use unclouded_core::raster::dates::DateMethod;
use unclouded_core::restore::{Method, RestoreSettings, Subject, Wish, Written};

use super::references;
use crate::cli::{RestoreArgs, RunArgs};
use crate::failure::{Failure, Result};
use crate::gdal_io::journal::Journal;
use crate::gdal_io::mask::growth::Growth;
use crate::gdal_io::mask::request::{MaskRequest, Whose};
use crate::gdal_io::pending;
use crate::gdal_io::scene::SceneInfo;

/// The files of a restore run: inputs that exist, outputs that may be written.
#[derive(Debug, Clone)]
pub struct RestorePaths {
    /// The cloudy scene.
    pub scene: PathBuf,
    /// The mask that was asked for.
    pub mask: MaskRequest,
    /// Images of other dates, and their clouds where something was said of them.
    pub references: Vec<(PathBuf, Option<MaskRequest>)>,
    /// The filled scene.
    pub output: PathBuf,
    /// The standard deviation.
    pub uncertainty: Option<PathBuf>,
    /// What every pixel is.
    pub provenance: Option<PathBuf>,
    /// The picture.
    pub preview: Option<PathBuf>,
}

impl RestorePaths {
    /// Check the paths and the settings that need no file to be opened.
    ///
    /// # Errors
    /// Exit 2, before anything is read.
    pub fn check(args: &RestoreArgs) -> Result<Self> {
        check_write(&args.run, args.reference.len())?;
        let mask = MaskRequest {
            whose: Whose::Scene,
            path: args.mask.clone(),
            from: args.mask_from,
            values: args.mask_values.clone(),
            growth: Growth::of(args.dilate_px, args.dilate_m),
            min_area_px: args.min_area_px,
            extent: args.extent,
        };
        mask.check()?;
        let references = other_dates(args)?;
        for clouds in references.iter().filter_map(|(_, clouds)| clouds.as_ref()) {
            clouds.check()?;
        }
        wish(&args.run, 1)?;
        let (Some(scene), Some(output)) = (args.scenes.first(), &args.output) else {
            return Err(Failure::mismatch(
                "restore",
                "a scene and --output",
                "neither",
            ));
        };
        let paths = RestorePaths {
            scene: scene.clone(),
            mask,
            references,
            output: output.clone(),
            uncertainty: args.uncertainty.clone(),
            provenance: args.provenance.clone(),
            preview: args.preview.clone(),
        };
        let tifs = [
            Some(&paths.output),
            paths.uncertainty.as_ref(),
            paths.provenance.as_ref(),
        ];
        for path in tifs.into_iter().flatten() {
            ending(path, &["tif", "tiff"], "GeoTIFF")?;
        }
        if let Some(path) = &paths.preview {
            ending(path, &["png"], "PNG")?;
        }
        let outputs = paths.outputs();
        // An output that exists may be the complete one, or belong to the run that is resumed.
        let resumed = args.resume && Journal::was_committing(&paths.output);
        let mut inputs = paths.mask.inputs();
        inputs.push(paths.scene.clone());
        for (reference, clouds) in &paths.references {
            inputs.push(reference.clone());
            inputs.extend(clouds.iter().flat_map(MaskRequest::inputs));
        }
        let inputs: Vec<&Path> = inputs.iter().map(PathBuf::as_path).collect();
        for (position, (name, path)) in outputs.iter().enumerate() {
            // Beside a complete output the others are complete, too.
            let complete = args.resume && (*name == "--output" || paths.output.exists());
            let may_exist = args.overwrite || resumed || complete;
            check_output(name, path, may_exist, &inputs)?;
            let others = &outputs[..position];
            if let Some((other, _)) = others.iter().find(|(_, known)| place(known) == place(path)) {
                return Err(Failure::mismatch(
                    name,
                    format!("another file than that of {other}"),
                    path.display(),
                )
                .hint("every output needs a name of its own"));
            }
        }
        Ok(paths)
    }

    /// Every output with the option that names it.
    pub fn outputs(&self) -> Vec<(&'static str, &Path)> {
        [
            ("--output", Some(&self.output)),
            ("--uncertainty", self.uncertainty.as_ref()),
            ("--provenance", self.provenance.as_ref()),
            ("--preview", self.preview.as_ref()),
        ]
        .into_iter()
        .filter_map(|(name, path)| Some((name, path?.as_path())))
        .collect()
    }
}

/// The images of other dates with what was said of their clouds.
fn other_dates(args: &RestoreArgs) -> Result<Vec<(PathBuf, Option<MaskRequest>)>> {
    let masks = &args.reference_mask;
    let clouds = |path: Option<&PathBuf>| {
        let said = path.is_some() || args.reference_mask_from.is_some();
        said.then(|| MaskRequest {
            whose: Whose::Reference,
            path: path.cloned(),
            from: args.reference_mask_from,
            values: args.reference_mask_values.clone(),
            ..MaskRequest::default()
        })
    };
    if masks.is_empty() {
        let files = references::expand("--reference", &args.reference)?;
        return Ok(files.into_iter().map(|file| (file, clouds(None))).collect());
    }
    // Masks go with the files in the order in which both are named: not with those of a folder.
    let mut pairs = Vec::new();
    for (name, mask) in args.reference.iter().zip(masks) {
        match &references::expand("--reference", std::slice::from_ref(name))?[..] {
            [one] => pairs.push((one.clone(), clouds(Some(mask)))),
            more => {
                let got = format!("{} with {} of them", name.display(), more.len());
                return Err(Failure::mismatch(
                    "--reference",
                    "one file for each --reference-mask",
                    got,
                )
                .hint(
                    "name every file, or leave out --reference-mask: clouds are looked for then",
                ));
            }
        }
    }
    if masks.len() != args.reference.len() {
        let expected = format!("{}, one for each --reference", args.reference.len());
        return Err(Failure::mismatch("--reference-mask", expected, masks.len())
            .hint("in the order of the references; without any, clouds are looked for in several dates"));
    }
    pairs.sort_by(|a, b| a.0.cmp(&b.0));
    Ok(pairs)
}

/// The folder as the system sees it, and the name in it: equal for two ways to write one file.
fn place(path: &Path) -> (Option<PathBuf>, Option<std::ffi::OsString>) {
    let folder = path
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty());
    let folder = folder.unwrap_or(Path::new(".")).canonicalize().ok();
    (folder, path.file_name().map(ToOwned::to_owned))
}

/// What the arguments that `restore` and `evaluate` share ask for, with `least` samples at the least
/// where their number is left out.
///
/// # Errors
/// Exit 2 for a number out of its range, an unknown sampler or method.
pub fn wish(run: &RunArgs, least: usize) -> Result<Wish> {
    let (method, dates) = ways(run.method.as_deref())?;
    let wish = Wish {
        quality: run.quality.map(Into::into),
        steps: run.steps,
        samples: run.samples,
        least_samples: least,
        sampler: run.sampler.as_deref().map(str::parse).transpose()?,
        method,
        dates,
        written: run.write.into(),
        tile_px: run.tile_px,
        overlap_px: run.overlap_px,
        seed: run.seed,
    };
    wish.check()?;
    Ok(wish)
}

/// What is chosen where nothing is.
const AUTO: &str = "auto";

/// What `--method` names: how the network fills, or how the ground follows from other dates.
fn ways(name: Option<&str>) -> Result<(Option<Method>, Option<DateMethod>)> {
    let Some(name) = name.filter(|name| *name != AUTO) else {
        return Ok((None, None));
    };
    if let Ok(dates) = name.parse::<DateMethod>() {
        return Ok((None, Some(dates)));
    }
    match name.parse::<Method>() {
        Ok(method) => Ok((Some(method), None)),
        Err(_) => {
            let dates = DateMethod::ALL.map(DateMethod::name);
            let all = [&[AUTO][..], &dates, &Method::ALL.map(Method::name)].concat();
            let expected = format!("one of {}", all.join(", "));
            Err(Failure::mismatch("--method", expected, name)
                .hint("leave it out: what suits the model and the other dates is taken"))
        }
    }
}

/// How much work a tile is, in words.
pub fn effort(settings: &RestoreSettings) -> String {
    let RestoreSettings { samples, steps, .. } = *settings;
    match settings.method {
        Some(Method::Direct) => format!("{samples} direct estimate{}", plural(samples)),
        _ => format!(
            "{samples} sample{} of {steps} step{} ({})",
            plural(samples),
            plural(steps),
            settings.sampler.name()
        ),
    }
}

fn plural(count: usize) -> &'static str {
    match count {
        1 => "",
        _ => "s",
    }
}

/// What settings depend on of a scene, whose bands `model_bands` (from 0) feed the model.
pub fn subject(card: &ModelCard, scene: &SceneInfo, model_bands: Vec<usize>) -> Subject {
    Subject {
        model_bands,
        side_px: Some(scene.width.max(scene.height)),
        brightness: card.brightness.of(scene.dtype.stored()),
    }
}

/// Fails where a texture is asked for and there is a reference.
///
/// # Errors
/// Exit 2.
pub fn check_write(run: &RunArgs, references: usize) -> Result<()> {
    Ok(Written::from(run.write).check(references)?)
}

/// Fails unless a name ends in one of `endings`.
///
/// # Errors
/// Exit 2.
pub fn ending(path: &Path, endings: &[&str], format: &str) -> Result<()> {
    let own = path
        .extension()
        .map(|own| own.to_string_lossy().to_lowercase());
    if own.as_deref().is_some_and(|own| endings.contains(&own)) {
        return Ok(());
    }
    Err(Failure::mismatch(
        "output",
        format!("a name ending in .{} ({format})", endings[0]),
        path.display(),
    )
    .hint(format!(
        "this output is always a {format}: {}",
        path.with_extension(endings[0]).display()
    )))
}

/// Check that an output may be written: its folder exists, it is no input, and it is new or may
/// be replaced.
///
/// # Errors
/// Exit 2.
pub fn check_output(name: &str, path: &Path, overwrite: bool, inputs: &[&Path]) -> Result<()> {
    let folder = path
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty());
    if let Some(folder) = folder
        && !folder.is_dir()
    {
        return Err(
            Failure::mismatch(name, "a file in a folder that exists", path.display()).hint(
                format!("make the folder first: mkdir -p {}", folder.display()),
            ),
        );
    }
    if path.is_dir() {
        return Err(Failure::mismatch(
            name,
            "a file name",
            format!("the folder {}", path.display()),
        )
        .hint("add the name of the file to write"));
    }
    let own = path.canonicalize().ok();
    if own.is_some() && inputs.iter().any(|input| input.canonicalize().ok() == own) {
        return Err(
            Failure::mismatch(name, "another file than the inputs", path.display())
                .hint("inputs are never written to"),
        );
    }
    if !overwrite && path.exists() {
        return Err(pending::exists(path));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::cli::{Cli, Command};

    fn check(words: &[&str]) -> Result<RestorePaths> {
        let words = ["unclouded", "restore", "scene.tif", "--mask", "mask.tif"]
            .iter()
            .chain(words);
        match Cli::try_parse_from(words).map(|cli| cli.command) {
            Ok(Command::Restore(args)) => RestorePaths::check(&args),
            other => panic!("restore is not understood: {other:?}"),
        }
    }

    #[test]
    fn sound_arguments_pass() {
        let paths = check(&[
            "-o",
            "new.tif",
            "--uncertainty",
            "u.tif",
            "--preview",
            "p.png",
        ]);
        assert!(paths.is_ok_and(|paths| paths.outputs().len() == 3));
    }

    #[test]
    fn unsound_arguments_are_named() {
        for (words, named) in [
            (&["-o", "new.jpg"][..], ".tif"),
            (&["-o", "no/such/folder/new.tif"], "--output"),
            (
                &["-o", "new.tif", "--provenance", "new.tif"],
                "--provenance",
            ),
            (
                &["-o", "new.tif", "--provenance", "./new.tif"],
                "--provenance",
            ),
            (&["-o", "new.tif", "--preview", "p.tif"], ".png"),
            (&["-o", "new.tif", "--steps", "0"], "--steps"),
            (&["-o", "new.tif", "--samples", "0"], "--samples"),
            (&["-o", "new.tif", "--sampler", "magic"], "sampler"),
            (&["-o", "new.tif", "--method", "magic"], "method"),
            (
                &["-o", "new.tif", "--tile-px", "64", "--overlap-px", "64"],
                "--overlap-px",
            ),
            (&["-o", "new.tif", "--tile-px", "0"], "--tile-px"),
        ] {
            let failure = check(words).expect_err("unsound");
            assert_eq!(failure.exit as u8, 2);
            assert!(
                failure.message.contains(named),
                "{words:?}: {}",
                failure.message
            );
            assert!(failure.hint.is_some(), "{words:?}: no hint");
        }
    }

    #[test]
    fn outputs_neither_replace_nor_hit_inputs() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let old = folder.path().join("old.tif");
        std::fs::write(&old, "old").expect("written");
        assert!(check_output("--output", &old, false, &[]).is_err());
        assert!(check_output("--output", &old, true, &[]).is_ok());
        assert!(check_output("--output", &old, true, &[&old]).is_err());
    }
}
