//! Images out of noise: of anything, of a class, near an embedding, or from an image.
//!
//! Needs a network that is given nothing but noise and at most a class or a vector; one that is
//! also given a scene is for [`crate::restore`].

use std::ops::ControlFlow;

use burn::tensor::{Device, Int, Tensor, TensorData};

use crate::checkpoint::{Conditioning, Model};
use crate::diffusion::cold;
use crate::diffusion::denoiser::{Denoiser, LargeVariance, NoiseLevel};
use crate::diffusion::guidance::ClassifierFree;
use crate::diffusion::network::{Network, NetworkDenoiser};
use crate::diffusion::noise::{NoiseSource, SceneNoise};
use crate::diffusion::prediction::Prediction;
use crate::diffusion::sampler::{Options, Sampler, sample_with};
use crate::diffusion::threshold::{Threshold, Thresholded};
use crate::error::{Error, Result};
use crate::interop::diffusers::{DiffusersModel, Variance};
use crate::raster::{Raster, Window};
use crate::unet::diffusers::TimeEmbedding;

/// A network that makes images, and what is to be known of it.
pub struct Generator<'a> {
    /// The network.
    pub network: &'a dyn Network,
    /// What its output means.
    pub prediction: Prediction,
    /// Bands of an image.
    pub bands: usize,
    /// Sides of what the network sees are multiples of this.
    pub size_multiple: usize,
    /// How the estimate of the clean image is kept in range.
    pub threshold: Option<Threshold>,
    /// Whether `ddpm` takes beta for the variance of its steps, instead of the posterior's own.
    pub large_variance: bool,
    /// The degradation it undoes, and in how many steps; none makes images from noise.
    pub cold: Option<(cold::Kind, usize)>,
    /// Where it lives.
    pub device: &'a Device,
}

impl<'a> Generator<'a> {
    /// A checkpoint of ours.
    ///
    /// # Errors
    /// [`Error::Checkpoint`] for a network that is conditioned on a scene.
    pub fn of_checkpoint(model: &'a Model) -> Result<Self> {
        let card = &model.card;
        if card.conditioning != Conditioning::None {
            return Err(Error::Checkpoint {
                what: format!(
                    "expected a network that makes images from noise alone, got {}, which also \
                     sees a scene and its mask",
                    card.name
                ),
                hint: "this model fills scenes: use `unclouded restore`; for generation, train \
                       with conditioning = \"none\"",
            });
        }
        if let Some((cold::Kind::Mask, _)) = card.task.cold() {
            return Err(Error::Checkpoint {
                what: format!(
                    "expected a network that makes whole images, got {}, for {}",
                    card.name,
                    card.task.name()
                ),
                hint: "this model fills holes: use `unclouded restore`",
            });
        }
        // Both are powers of two.
        let multiple = card.architecture.size_multiple();
        Ok(Self {
            network: &model.unet,
            prediction: card.prediction,
            bands: card.bands.len(),
            size_multiple: match card.task.cold() {
                Some((kind, steps)) => multiple.max(kind.size_multiple(steps)),
                None => multiple,
            },
            threshold: None,
            large_variance: false,
            cold: card.task.cold(),
            device: &model.device,
        })
    }

    /// A diffusers model.
    ///
    /// # Errors
    /// [`Error::Checkpoint`] for a network with more inputs than outputs, or whose time is not the
    /// scheduler's.
    pub fn of_diffusers(
        model: &'a DiffusersModel,
        embedded: Option<&'a dyn Network>,
    ) -> Result<Self> {
        let config = &model.config;
        let learned = model.scheduler.variance == Variance::LearnedRange;
        if config.out_channels != config.in_channels * if learned { 2 } else { 1 } {
            return Err(Error::Checkpoint {
                what: format!(
                    "expected a network that makes images from noise alone, got one with {} \
                     channels in and {} out",
                    config.in_channels, config.out_channels
                ),
                hint: "extra channels in are a conditioning that cannot be made up here; twice as \
                       many out need variance_type learned_range in the scheduler",
            });
        }
        let unfit = |what: String| {
            Err(Error::Checkpoint {
                what,
                hint: "network and scheduler are of different models",
            })
        };
        let timesteps = model.scheduler.schedule.timesteps();
        match (config.time_embedding, config.num_train_timesteps) {
            // Its time is a sigma whose logarithm is taken, and its output the score.
            (TimeEmbedding::Fourier, _) => {
                return Err(Error::Checkpoint {
                    what: "time_embedding_type: expected positional or learned, got fourier".into(),
                    hint: "networks of score SDEs need a scheduler that is not built here",
                });
            }
            (TimeEmbedding::Learned, Some(rows)) if timesteps.is_none_or(|t| t > rows) => {
                return unfit(format!(
                    "num_train_timesteps: expected at most {rows} in the scheduler, as the \
                     network has rows, got {}",
                    timesteps.map_or("none".to_owned(), |t| t.to_string())
                ));
            }
            _ => {}
        }
        Ok(Self {
            network: embedded.unwrap_or(&model.network),
            prediction: model.scheduler.prediction,
            bands: config.in_channels,
            size_multiple: config.size_multiple(),
            threshold: model.scheduler.threshold,
            large_variance: model.scheduler.variance == Variance::FixedLarge,
            cold: None,
            device: &model.device,
        })
    }
}

/// Classifier-free guidance towards the class.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Guidance {
    /// w of Ho & Salimans 2022: 0 is plain conditional sampling.
    pub weight: f64,
    /// The label that means "any class"; none for a network that can do without a label.
    pub null_class: Option<usize>,
}

/// Where a run starts instead of from noise alone (SDEdit, Meng et al. 2022).
#[derive(Debug, Clone, PartialEq)]
pub struct Start {
    /// An image in network units, of the size that is generated.
    pub image: Raster,
    /// Share of the steps that are run, above 0 to 1: small values stay near the image.
    pub strength: f64,
}

/// How images are made.
#[derive(Debug, Clone)]
pub struct GenerateSettings {
    /// Height and width of an image, pixels; any, the network sees the next multiple it can take.
    pub size: (usize, usize),
    /// Seed of the noise; image i of a seed is the same whatever the count and the batch.
    pub seed: u64,
    /// The solver.
    pub sampler: Sampler,
    /// What it is told besides the levels.
    pub options: Options,
    /// The noise levels of a whole run, ending with the clean image.
    pub levels: Vec<NoiseLevel>,
    /// The class of all images.
    pub class: Option<usize>,
    /// How strongly it is insisted on.
    pub guidance: Option<Guidance>,
    /// What the images start from.
    pub start: Option<Start>,
    /// Whether all levels are run whatever the start's strength: cold diffusion.
    pub whole: bool,
    /// Images that go through the network at once.
    pub batch: usize,
}

impl GenerateSettings {
    /// The levels that are run: all of them, or with a start the last
    /// `floor(strength * steps)` steps, at least one (as diffusers' img2img pipelines).
    ///
    /// # Errors
    /// [`Error::Setting`] for a strength outside 0 to 1, or 0.
    pub fn levels_run(&self) -> Result<&[NoiseLevel]> {
        let Some(Start { strength, .. }) = self.start.as_ref().filter(|_| !self.whole) else {
            return Ok(&self.levels);
        };
        let strength = *strength;
        if !(strength > 0.0 && strength <= 1.0) {
            return Err(Error::Setting {
                what: "strength",
                expected: "above 0, at most 1".into(),
                got: strength.to_string(),
                hint: "0.3 keeps most of the image, 0.8 little of it",
            });
        }
        let steps = self.levels.len().saturating_sub(1);
        let run = ((strength * steps as f64) as usize).clamp(1, steps.max(1));
        Ok(&self.levels[steps.saturating_sub(run)..])
    }
}

/// Makes images `0..count` of a seed and hands them over one by one, in network units.
///
/// `on_step` is called after every step of every batch with the number of images it moved.
///
/// # Errors
/// [`Error::Setting`] for a strength out of range, [`Error::Mismatch`] for a start of another
/// size, [`Error::Device`] when a result is not finite, [`Error::Interrupted`] when `on_step`
/// breaks off, and whatever `on_image` returns.
pub fn generate(
    generator: &Generator,
    settings: &GenerateSettings,
    count: usize,
    on_step: &mut dyn FnMut(usize) -> ControlFlow<()>,
    on_image: &mut dyn FnMut(usize, Raster) -> Result<()>,
) -> Result<()> {
    let levels = settings.levels_run()?;
    let (height, width) = settings.size;
    let multiple = generator.size_multiple;
    let size = (
        height.next_multiple_of(multiple),
        width.next_multiple_of(multiple),
    );
    let start = match &settings.start {
        Some(start) => Some(known(start, generator.bands, settings.size, size)?),
        None => None,
    };
    let mut first = 0;
    while first < count {
        let batch = settings.batch.max(1).min(count - first);
        let values = images(
            generator, settings, levels, first, batch, size, &start, on_step,
        )?;
        let per_image = generator.bands * size.0 * size.1;
        for (i, values) in values.chunks_exact(per_image).enumerate() {
            let image = Raster::from_vec(generator.bands, size.0, size.1, values.to_vec())?;
            on_image(first + i, image.crop(Window::full(height, width)))?;
        }
        first += batch;
    }
    Ok(())
}

/// The start in the size the network sees, mirrored at the edges.
fn known(
    start: &Start,
    bands: usize,
    wanted: (usize, usize),
    size: (usize, usize),
) -> Result<Raster> {
    let image = &start.image;
    if (image.bands, image.height, image.width) != (bands, wanted.0, wanted.1) {
        return Err(Error::Mismatch {
            what: "image to start from",
            expected: format!("{bands} bands of {}x{}", wanted.0, wanted.1),
            got: format!("{} bands of {}x{}", image.bands, image.height, image.width),
            hint: "the model's bands, and the size that is generated",
        });
    }
    Ok(image.pad_reflect(size.0, size.1))
}

#[allow(clippy::too_many_arguments)] // one batch of one run
fn images(
    generator: &Generator,
    settings: &GenerateSettings,
    levels: &[NoiseLevel],
    first: usize,
    batch: usize,
    size: (usize, usize),
    start: &Option<Raster>,
    on_step: &mut dyn FnMut(usize) -> ControlFlow<()>,
) -> Result<Vec<f32>> {
    let (device, bands) = (generator.device, generator.bands);
    let mut noise = SceneNoise {
        seed: settings.seed,
        bands,
        // Even members only: a pair of antithetic ones would be an image and its negative.
        items: (first..first + batch)
            .map(|image| (2 * image as u64, Window::full(size.0, size.1)))
            .collect(),
        size,
        turns: vec![0; batch],
    };
    let level = levels.first().copied().unwrap_or(NoiseLevel::CLEAN);
    let mut x = noise.draw(0, device) * level.sigma;
    if let Some(image) = start {
        let values = TensorData::new(image.data.clone(), [1, bands, size.0, size.1]);
        x = x + Tensor::from_data(values, device) * level.alpha;
    }
    let network = |class: Option<usize>| NetworkDenoiser {
        unet: generator.network,
        prediction: generator.prediction,
        conditioning: None,
        mask: None,
        class: class.map(|class| Tensor::<1, Int>::full([batch], class as i64, device)),
    };
    let conditional = network(settings.class);
    let free = settings
        .guidance
        .map(|guidance| network(guidance.null_class));
    let guided = match (&free, settings.guidance) {
        (Some(free), Some(guidance)) => Some(ClassifierFree {
            conditional: &conditional,
            unconditional: free,
            weight: guidance.weight,
            rescale: 0.0,
        }),
        _ => None,
    };
    let denoiser: &dyn Denoiser = match &guided {
        Some(guided) => guided,
        None => &conditional,
    };
    // Ho et al. 2020; `clip_sample` and `thresholding` of diffusers.
    let clipped = generator.threshold.map(|threshold| Thresholded {
        inner: denoiser,
        threshold,
    });
    let denoiser: &dyn Denoiser = match &clipped {
        Some(clipped) => clipped,
        None => denoiser,
    };
    let large = LargeVariance(denoiser);
    let denoiser = match generator.large_variance {
        true => &large,
        false => denoiser,
    };
    if let Some((kind, steps)) = generator.cold {
        let image = start.as_ref().map(|image| image.data.repeat(batch));
        let values = image.ok_or_else(|| no_start(kind))?;
        let data = TensorData::new(values, [batch, bands, size.0, size.1]);
        return restored(
            kind,
            steps,
            &conditional,
            Tensor::from_data(data, device),
            &mut || on_step(batch),
        );
    }
    let solved = sample_with(
        settings.sampler,
        denoiser,
        x,
        levels,
        settings.options,
        &mut noise,
        &mut |_, _, _| on_step(batch),
    )?;
    read(solved)
}

fn read(image: Tensor<4>) -> Result<Vec<f32>> {
    let data = image.try_into_data();
    let data = data.map_err(|error| Error::Device(error.to_string()))?;
    let values: Vec<f32> = data.iter::<f32>().collect();
    if values.iter().any(|value| !value.is_finite()) {
        return Err(Error::Device("the network returned NaN or infinity".into()));
    }
    Ok(values)
}

/// A degraded image restored. Of one that is not as coarse as the degradation leaves it, the
/// means of its blocks are taken.
fn restored(
    kind: cold::Kind,
    steps: usize,
    denoiser: &dyn Denoiser,
    x: Tensor<4>,
    on_step: &mut dyn FnMut() -> ControlFlow<()>,
) -> Result<Vec<f32>> {
    let [_, _, height, width] = x.dims();
    let degradation = kind.of(steps, (height, width), None, &x.device());
    let x = match kind {
        cold::Kind::Downsample => degradation.degrade(x, steps),
        cold::Kind::Blur | cold::Kind::Mask => x,
    };
    read(cold::restore(
        denoiser,
        degradation.as_ref(),
        x,
        &mut |_, _, _| on_step(),
    )?)
}

fn no_start(kind: cold::Kind) -> Error {
    Error::Setting {
        what: "--init",
        expected: format!("an image for a model that undoes {}", kind.name()),
        got: "none".into(),
        hint: "such a model makes nothing from noise: name the image it is to restore",
    }
}

#[cfg(test)]
mod tests;
