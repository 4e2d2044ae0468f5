//! The arguments of `generate` turned into settings, values and files that fit the model.

use std::path::{Path, PathBuf};

use unclouded_core::diffusion::cold;
use unclouded_core::diffusion::sampler::Sampler;
use unclouded_core::generate::{GenerateSettings, Generator, Start};
use unclouded_core::model::{Architecture, Model, Space};
use unclouded_core::raster::normalize::TileNorm;
use unclouded_core::raster::{Mask, Raster};

use super::conditions;
use crate::cli::{GenerateArgs, ImageFormat};
use crate::commands::settings::{check_output, ending};
use crate::failure::{Failure, Result};
use crate::gdal_io::dtype::DataType;
use crate::gdal_io::generated::read_corner;
use crate::gdal_io::rgb;
use crate::gdal_io::scene::Scene;

/// More images than this are a typing error.
const MOST_IMAGES: usize = 10_000;
/// Larger images do not fit any memory.
const LARGEST_PX: usize = 4096;
/// Standard deviations between black and the mean, and between the mean and white, of an image
/// whose brightness nothing says.
const STRETCH: f32 = 2.5;

/// What is written, by the name that was given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Output {
    /// All images in one PNG.
    Grid(PathBuf),
    /// The only image.
    Tif(PathBuf),
    /// One file an image.
    Folder(PathBuf, ImageFormat),
}

impl Output {
    /// Checks what needs no model.
    ///
    /// # Errors
    /// Exit 2.
    pub fn check(args: &GenerateArgs) -> Result<Self> {
        range("--count", args.count, 1, MOST_IMAGES)?;
        range("--batch", args.batch, 1, MOST_IMAGES)?;
        let path = args.output.clone();
        let ends = path
            .extension()
            .map(|own| own.to_string_lossy().to_lowercase());
        let folder = path.is_dir() || path.to_string_lossy().ends_with('/');
        let output = match ends.as_deref() {
            _ if folder => Output::Folder(path, args.format),
            None => Output::Folder(path, args.format),
            Some("png") => Output::Grid(path),
            Some("tif" | "tiff") if args.count == 1 => Output::Tif(path),
            Some("tif" | "tiff") => {
                return Err(Failure::mismatch(
                    "--output",
                    format!("a folder or a .png for {} images", args.count),
                    path.display(),
                )
                .hint("a GeoTIFF holds one image: -o FOLDER --format tif writes one a file"));
            }
            Some(_) => {
                return ending(&path, &["png"], "grid as PNG").map(|()| Output::Grid(path));
            }
        };
        let inputs: Vec<&Path> = [&args.init, &args.like, &args.embedding]
            .into_iter()
            .flatten()
            .map(PathBuf::as_path)
            .collect();
        match &output {
            Output::Grid(path) | Output::Tif(path) => {
                check_output("--output", path, args.overwrite, &inputs)?;
            }
            Output::Folder(folder, _) if folder.is_dir() => {
                for index in 0..args.count {
                    check_output("--output", &output.file(index), args.overwrite, &inputs)?;
                }
            }
            Output::Folder(folder, _) => check_output("--output", folder, false, &inputs)?,
        }
        Ok(output)
    }

    /// The file of one image in a folder.
    pub fn file(&self, index: usize) -> PathBuf {
        match self {
            Output::Folder(folder, ImageFormat::Png) => folder.join(format!("{index:04}.png")),
            Output::Folder(folder, ImageFormat::Tif) => folder.join(format!("{index:04}.tif")),
            Output::Grid(path) | Output::Tif(path) => path.clone(),
        }
    }
}

/// Network units as the values of the output.
pub struct Values {
    /// Mean and contrast, or the fixed range of -1 to 1.
    norm: Option<TileNorm>,
    /// Black and white.
    pub range: (f32, f32),
}

impl Values {
    /// An image in the units of the output.
    pub fn of(&self, mut image: Raster) -> Raster {
        let (low, high) = self.range;
        match &self.norm {
            Some(norm) => norm.undo(&mut image),
            None => image
                .data
                .iter_mut()
                .for_each(|v| *v = low + (v.clamp(-1.0, 1.0) + 1.0) / 2.0 * (high - low)),
        }
        image
    }

    fn to_network(&self, mut image: Raster, valid: &Mask) -> Raster {
        let (low, high) = self.range;
        match &self.norm {
            Some(norm) => norm.apply(&mut image),
            None => image
                .data
                .iter_mut()
                .for_each(|v| *v = ((*v - low) / (high - low) * 2.0 - 1.0).clamp(-1.0, 1.0)),
        }
        let pixels = image.pixels();
        for (i, value) in image.data.iter_mut().enumerate() {
            // Nodata never enters the network as a value: the mean stands in.
            if !valid.data[i % pixels] {
                *value = 0.0;
            }
        }
        image
    }
}

/// Everything that is fixed before the first step.
pub struct Plan {
    /// For the core.
    pub settings: GenerateSettings,
    /// What values mean.
    pub values: Values,
    /// The type of a GeoTIFF.
    pub dtype: DataType,
    /// Names of the bands.
    pub names: Vec<String>,
    /// The scene whose place the images take.
    pub place: Option<Scene>,
}

impl Plan {
    /// Checks the arguments against the model and the inputs.
    ///
    /// # Errors
    /// Exit 2.
    pub fn new(args: &GenerateArgs, model: &Model, generator: &Generator) -> Result<Self> {
        let card = &model.card;
        let sampler = match &args.sampler {
            Some(name) => name.parse()?,
            None => card.defaults.sampler,
        };
        if let Some((kind, own)) = card.task.cold() {
            check_cold(args, kind, own)?;
        }
        let levels = generator.levels(args.steps.unwrap_or(card.defaults.steps))?;
        let class = conditions::class(model, args.class.as_deref())?;
        let vector = conditions::embedding(model, args.embedding.as_deref())?;
        let guidance = conditions::guidance(model, args)?;
        let names = card.bands.clone();

        let open = |path: &Option<PathBuf>, what| {
            path.as_ref()
                .map(|path| Scene::open(path, what))
                .transpose()
        };
        let init = open(&args.init, "image to start from")?;
        let like = open(&args.like, "scene")?;
        let size = match (args.size, &init) {
            (Some(size), _) => size,
            (None, Some(init)) => (init.info.height, init.info.width),
            (None, None) => usual_size(model),
        };
        range("--size", size.0, 1, LARGEST_PX)?;
        range("--size", size.1, 1, LARGEST_PX)?;

        let corner = |scene: &Scene| -> Result<(Raster, Mask)> {
            let bands = rgb::choose(&scene.info, None, &names)?.bands;
            read_corner(scene, &bands, size.0, size.1)
        };
        let pixels = init.as_ref().map(corner).transpose()?;
        let model_for_values = like.as_ref().or(init.as_ref());
        let dtype = model_for_values.map_or(DataType::U8, |scene| scene.info.dtype);
        let range = args
            .values
            .unwrap_or((0.0, card.brightness.of(dtype.stored()).unwrap_or(1.0)));
        let norm = match card.normalization {
            Space::FixedRange { .. } => None,
            Space::TileContrast { .. } => {
                let floor = 1e-6 * (range.1 - range.0);
                let seen = match (&pixels, &like) {
                    (Some(pixels), _) => Some(pixels.clone()),
                    (None, Some(like)) => Some(corner(like)?),
                    (None, None) => None,
                };
                let seen = seen.filter(|(_, valid)| valid.count() > 0);
                Some(match seen {
                    Some((image, valid)) => TileNorm::from_visible(&image, &valid, floor),
                    None => TileNorm {
                        mean: vec![(range.0 + range.1) / 2.0; names.len()],
                        scale: (range.1 - range.0) / (2.0 * STRETCH),
                    },
                })
            }
        };
        let values = Values { norm, range };
        let start = pixels.map(|(image, valid)| Start {
            image: values.to_network(image, &valid),
            strength: args.strength,
        });
        let settings = GenerateSettings {
            size,
            seed: args.seed,
            sampler,
            options: model.options(),
            levels,
            class,
            vector,
            guidance,
            start,
            whole: card.task.cold().is_some(),
            batch: args.batch,
        };
        settings.levels_run()?;
        Ok(Plan {
            settings,
            values,
            dtype,
            names,
            place: like.or(init),
        })
    }

    /// Fails where a PNG cannot hold the bands.
    ///
    /// # Errors
    /// Exit 2.
    pub fn check_output(&self, output: &Output) -> Result<()> {
        let png = matches!(
            output,
            Output::Grid(_) | Output::Folder(_, ImageFormat::Png)
        );
        match self.names.len() {
            1 | 3 => Ok(()),
            bands if png => Err(Failure::mismatch(
                "--output",
                "a GeoTIFF for this model",
                format!("a PNG for {bands} bands"),
            )
            .hint("a PNG holds one or three bands: -o NAME.tif, or -o FOLDER --format tif")),
            _ => Ok(()),
        }
    }
}

/// Height and width where the user names none: what the network was trained at.
fn usual_size(model: &Model) -> (usize, usize) {
    let side = model.card.defaults.tile_px;
    match &model.card.architecture {
        Architecture::UNet2D(config) => config.sample_size.unwrap_or((side, side)),
        Architecture::UNet(_) => (side, side),
    }
}

/// The name of the solver.
pub fn solver(model: &Model, sampler: Sampler) -> &'static str {
    match model.card.task.cold() {
        Some(_) => "cold diffusion",
        None => sampler.name(),
    }
}

/// A degradation is undone in its own steps, with the one sampler that does it.
fn check_cold(args: &GenerateArgs, kind: cold::Kind, steps: usize) -> Result<()> {
    let wrong = |what, expected: String, got: String| {
        Err(Failure::mismatch(what, expected, got).hint(format!(
            "the model undoes {} step by step, from the image of --init",
            kind.name()
        )))
    };
    match args {
        GenerateArgs { init: None, .. } => {
            wrong("--init", "the image to restore".into(), "none".into())
        }
        GenerateArgs {
            steps: Some(asked), ..
        } if *asked != steps => wrong("--steps", steps.to_string(), asked.to_string()),
        GenerateArgs {
            sampler: Some(name),
            ..
        } => wrong("--sampler", "none for this model".into(), name.clone()),
        _ => Ok(()),
    }
}

fn range(what: &str, value: usize, least: usize, most: usize) -> Result<()> {
    if (least..=most).contains(&value) {
        return Ok(());
    }
    let nearest = value.clamp(least, most);
    Err(Failure::mismatch(what, format!("{least} to {most}"), value)
        .hint(format!("the nearest it may be: {nearest}")))
}
