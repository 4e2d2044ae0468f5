//! The model that `generate` runs, wherever it comes from, and the arguments only it can judge.

use std::path::Path;

use burn::tensor::{Device, Tensor};
use npyz::{DType, NpyFile};
use unclouded_core::checkpoint::Model;
use unclouded_core::diffusion::cold;
use unclouded_core::diffusion::denoiser::NoiseLevel;
use unclouded_core::diffusion::network::Network;
use unclouded_core::diffusion::sampler::{Options, Sampler};
use unclouded_core::diffusion::schedule::Spacing;
use unclouded_core::generate::{Generator, Guidance};
use unclouded_core::interop::diffusers::DiffusersModel;
use unclouded_core::unet::diffusers::{ClassEmbedding, Embedded};

use crate::cli::GenerateArgs;
use crate::diffusers_folder;
use crate::failure::{Failure, Result};
use crate::guided_diffusion_file;
use crate::models::Checkpoint;

/// The model, wherever it comes from.
pub enum Maker {
    /// A checkpoint of ours.
    Own(Box<Model>),
    /// A diffusers folder or a state dict of guided-diffusion, and its name.
    Diffusers(Box<DiffusersModel>, String),
}

impl Maker {
    /// Loads it and says what is to be known about it.
    ///
    /// # Errors
    /// Exit 2 for a model that cannot be read, or that fills scenes instead.
    pub fn load(name: &str, device: &Device) -> Result<(Self, Vec<String>)> {
        let folder = Path::new(name);
        if folder.is_dir() {
            let (model, notes) = diffusers_folder::load(folder, device)?;
            let own = folder.file_name().unwrap_or(folder.as_os_str());
            let maker = Maker::Diffusers(Box::new(model), own.to_string_lossy().into_owned());
            maker.generator(None)?;
            return Ok((maker, notes));
        }
        let file = Checkpoint::find(Some(name))?;
        let (maker, notes) = match guided_diffusion_file::load(&file, device)? {
            Some((model, notes)) => {
                let own = folder.file_stem().unwrap_or(folder.as_os_str());
                let name = own.to_string_lossy().into_owned();
                (Maker::Diffusers(Box::new(model), name), notes)
            }
            None => (Maker::Own(Box::new(file.load(device)?)), Vec::new()),
        };
        maker.generator(None)?;
        Ok((maker, notes))
    }

    /// The model with the vector it is conditioned on.
    pub fn embedded(&self, vector: Option<Tensor<1>>) -> Option<Embedded<'_>> {
        match (self, vector) {
            (Maker::Diffusers(model, _), Some(vector)) => Some(Embedded {
                unet: &model.network,
                vector,
            }),
            _ => None,
        }
    }

    /// For the core.
    ///
    /// # Errors
    /// Exit 2 for a model that is given a scene as well.
    pub fn generator<'a>(&'a self, embedded: Option<&'a dyn Network>) -> Result<Generator<'a>> {
        Ok(match self {
            Maker::Own(model) => Generator::of_checkpoint(model)?,
            Maker::Diffusers(model, _) => Generator::of_diffusers(model, embedded)?,
        })
    }

    /// Name and SHA-256.
    pub fn identity(&self) -> (String, String) {
        match self {
            Maker::Own(model) => (model.card.name.clone(), model.sha256.clone()),
            Maker::Diffusers(model, name) => (name.clone(), model.sha256.clone()),
        }
    }

    /// The noise levels of a run of `steps` steps.
    ///
    /// # Errors
    /// Exit 2 for more steps than the model was trained with, or none.
    pub(super) fn levels(&self, steps: usize) -> Result<Vec<NoiseLevel>> {
        Ok(match self {
            Maker::Own(model) => match model.card.task.cold() {
                Some((_, steps)) => (0..=steps).rev().map(cold::level).collect(),
                None => model.card.schedule.levels(steps, Spacing::default())?,
            },
            Maker::Diffusers(model, _) => model.scheduler.levels(steps)?,
        })
    }

    /// The degradation the model undoes, and in how many steps.
    pub(super) fn cold(&self) -> Option<(cold::Kind, usize)> {
        match self {
            Maker::Own(model) => model.card.task.cold(),
            Maker::Diffusers(..) => None,
        }
    }

    /// Name of the solver.
    pub(super) fn solver(&self, sampler: Sampler) -> &'static str {
        match self.cold() {
            Some(_) => "cold diffusion",
            None => sampler.name(),
        }
    }

    /// What the solver is told besides.
    pub(super) fn options(&self) -> Options {
        match self {
            Maker::Own(model) => Options {
                schedule: Some(model.card.schedule),
                ..Options::default()
            },
            Maker::Diffusers(model, _) => model.scheduler.options,
        }
    }

    /// Solver and steps where the user names none.
    pub(super) fn defaults(&self) -> (Sampler, usize) {
        match self {
            Maker::Own(model) => (model.card.defaults.sampler, model.card.defaults.steps),
            Maker::Diffusers(model, _) => (model.scheduler.sampler, model.scheduler.steps),
        }
    }

    /// Height and width where the user names none.
    pub(super) fn size(&self) -> (usize, usize) {
        match self {
            Maker::Own(model) => (model.card.defaults.tile_px, model.card.defaults.tile_px),
            Maker::Diffusers(model, _) => model.config.sample_size.unwrap_or((64, 64)),
        }
    }

    /// Names of the bands; of a diffusers model only red, green and blue are known.
    pub(super) fn names(&self) -> Vec<String> {
        match self {
            Maker::Own(model) => model.card.bands.clone(),
            Maker::Diffusers(model, _) if model.config.in_channels == 3 => {
                ["B04", "B03", "B02"].map(str::to_owned).to_vec()
            }
            Maker::Diffusers(model, _) => {
                let name = |band: usize| format!("band {}", band + 1);
                (0..model.config.in_channels).map(name).collect()
            }
        }
    }

    /// The number of a class, as asked.
    ///
    /// # Errors
    /// Exit 2 for a class the model does not know, or none where it needs one.
    pub(super) fn class(&self, asked: Option<&str>) -> Result<Option<usize>> {
        let (classes, needed) = match self {
            Maker::Own(model) => (model.card.architecture.classes, false),
            Maker::Diffusers(model, _) => match model.config.class_embedding {
                Some(ClassEmbedding::Table(n)) => (Some(n), true),
                Some(ClassEmbedding::Timestep) => (Some(usize::MAX), true),
                Some(ClassEmbedding::Identity) | None => (None, false),
            },
        };
        let (count, asked) = match (classes, asked) {
            (None, None) => return Ok(None),
            (None, Some(asked)) => {
                return Err(
                    Failure::mismatch("--class", "no class for this model", asked)
                        .hint("the model was trained without classes"),
                );
            }
            (Some(_), None) if !needed => return Ok(None),
            (Some(count), None) => {
                return Err(Failure::mismatch(
                    "--class",
                    format!("a class, 0 to {}", count.saturating_sub(1)),
                    "none",
                )
                .hint("the model makes images of a class only: add --class N"));
            }
            (Some(count), Some(asked)) => (count, asked),
        };
        let named = match self {
            Maker::Diffusers(model, _) => model
                .labels
                .iter()
                .find(|(_, name)| name.eq_ignore_ascii_case(asked))
                .map(|(number, _)| *number),
            Maker::Own(_) => None,
        };
        let number = named.or_else(|| asked.parse().ok());
        match number.filter(|number| *number < count) {
            Some(number) => Ok(Some(number)),
            None => Err(Failure::mismatch(
                "--class",
                format!("a number from 0 to {} or a name the model knows", count - 1),
                asked,
            )
            .hint(match self {
                Maker::Diffusers(model, _) if !model.labels.is_empty() => {
                    let names: Vec<&str> = model.labels.values().map(String::as_str).collect();
                    format!("it knows {}", names.join(", "))
                }
                _ => "this model's classes have numbers only".to_owned(),
            })),
        }
    }

    /// Guidance towards the class, as asked.
    ///
    /// # Errors
    /// Exit 2 for a weight out of range, or a label of "any class" that is missing or unknown.
    pub(super) fn guidance(&self, args: &GenerateArgs) -> Result<Option<Guidance>> {
        let Some(weight) = args.guidance else {
            return Ok(None);
        };
        if !weight.is_finite() || weight.abs() > 1000.0 {
            return Err(
                Failure::mismatch("--guidance", "a number up to 1000", weight)
                    .hint("1 to 4 are usual"),
            );
        }
        // Our own network can do without a label; one of diffusers needs one that means "any".
        let (known, needed) = match self {
            Maker::Own(model) => (model.card.architecture.classes.unwrap_or(0), false),
            Maker::Diffusers(model, _) => match model.config.class_embedding {
                Some(ClassEmbedding::Table(n)) => (n, true),
                _ => (usize::MAX, true),
            },
        };
        let fits = args.null_class.map_or(!needed, |null| null < known);
        if !fits {
            let got = args
                .null_class
                .map_or("none".to_owned(), |null| null.to_string());
            return Err(Failure::mismatch(
                "--null-class",
                "the class that means \"any\" to the model, for --guidance",
                got,
            )
            .hint("where a model was trained with one, it is usually the last"));
        }
        Ok(Some(Guidance {
            weight,
            null_class: args.null_class,
        }))
    }

    /// The vector the model is conditioned on, as asked.
    ///
    /// # Errors
    /// Exit 2 if there is one too many or too few, or it is of another length.
    pub(super) fn embedding(&self, path: Option<&Path>) -> Result<Option<Vec<f32>>> {
        let wanted = match self {
            Maker::Diffusers(model, _) => (model.config.class_embedding
                == Some(ClassEmbedding::Identity))
            .then(|| model.config.embedding_dim()),
            Maker::Own(_) => None,
        };
        match (wanted, path) {
            (None, None) => Ok(None),
            (None, Some(path)) => {
                Err(
                    Failure::mismatch("--embedding", "no vector for this model", path.display())
                        .hint("only models with class_embed_type = \"identity\" take one"),
                )
            }
            (Some(length), None) => Err(Failure::mismatch(
                "--embedding",
                format!("a vector of {length} numbers"),
                "none",
            )
            .hint("the model is conditioned on a vector: --embedding V.npy")),
            (Some(length), Some(path)) => {
                let vector = read_vector(path)?;
                if vector.len() != length || vector.iter().any(|v| !v.is_finite()) {
                    let got = format!("{} in {}", vector.len(), path.display());
                    let wanted = format!("{length} finite numbers");
                    return Err(Failure::mismatch("--embedding", wanted, got)
                        .hint("the vector has the size of the model's time embedding"));
                }
                Ok(Some(vector))
            }
        }
    }
}

fn read_vector(path: &Path) -> Result<Vec<f32>> {
    let broken = |got: String| {
        Failure::mismatch(
            "--embedding",
            "a one-dimensional .npy of float32 or float64",
            format!("{} ({got})", path.display()),
        )
        .hint("numpy.save(\"V.npy\", vector.astype(\"float32\"))")
    };
    let bytes = std::fs::read(path).map_err(|error| broken(error.to_string()))?;
    let file = NpyFile::new(bytes.as_slice()).map_err(|error| broken(error.to_string()))?;
    if file.shape().len() != 1 {
        return Err(broken(format!("shape {:?}", file.shape())));
    }
    let kind = match file.dtype() {
        DType::Plain(kind) => kind.to_string(),
        other => return Err(broken(format!("{other:?}"))),
    };
    let read = match kind.as_str() {
        "<f4" => file.into_vec::<f32>(),
        "<f8" => file
            .into_vec::<f64>()
            .map(|values| values.into_iter().map(|v| v as f32).collect()),
        other => return Err(broken(other.to_owned())),
    };
    read.map_err(|error| broken(error.to_string()))
}
