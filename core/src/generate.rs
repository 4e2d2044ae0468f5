//! Images out of noise: of anything, of a class, near an embedding, or from an image.
//!
//! Needs a network that is given nothing but noise and at most a class or a vector; one that is
//! also given a scene is for [`crate::restore`].

use std::ops::ControlFlow;

use burn::tensor::{Int, Tensor, TensorData};

use crate::diffusion::cold;
use crate::diffusion::denoiser::{Denoiser, LargeVariance, NoiseLevel, NoiseSource};
use crate::diffusion::guidance::ClassifierFree;
use crate::diffusion::noise::SceneNoise;
use crate::diffusion::sampler::img2img::{noised, walked};
use crate::diffusion::sampler::{Options, Sampler, sample_with};
use crate::diffusion::threshold::{Threshold, Thresholded};
use crate::error::{Error, Hint, Key, Result};
use crate::model::denoiser::NetworkDenoiser;
use crate::model::interop::diffusers::Variance;
use crate::model::{Architecture, Conditioning, Model};
use crate::raster::{Raster, Window};

/// A model that makes images.
pub struct Generator<'a> {
    model: &'a Model,
    /// Sides of what the network sees are multiples of this.
    size_multiple: usize,
}

impl<'a> Generator<'a> {
    /// # Errors
    /// [`Error::Checkpoint`] for a network that is conditioned on a scene, that has more inputs
    /// than outputs, or whose time is not its scheduler's.
    pub fn new(model: &'a Model) -> Result<Self> {
        let card = &model.card;
        if card.conditioning != Conditioning::None {
            return Err(Error::Checkpoint {
                what: format!(
                    "expected a network that makes images from noise alone, got {}, which also \
                     sees a scene and its mask",
                    card.name
                ),
                hint: Hint::Restore,
            });
        }
        if let Some((cold::Kind::Mask, _)) = card.task.cold() {
            return Err(Error::Checkpoint {
                what: format!(
                    "expected a network that makes whole images, got {}, for {}",
                    card.name,
                    card.task.name()
                ),
                hint: Hint::Restore,
            });
        }
        if let (Architecture::UNet2D(config), Some(foreign)) = (&card.architecture, &model.foreign)
        {
            foreign.scheduler.check_network(config)?;
        }
        // Both are powers of two.
        let multiple = card.architecture.size_multiple();
        Ok(Self {
            model,
            size_multiple: match card.task.cold() {
                Some((kind, steps)) => multiple.max(kind.size_multiple(steps)),
                None => multiple,
            },
        })
    }

    /// The noise levels of a run of `steps` steps; of a model that undoes a degradation always
    /// all of its steps.
    ///
    /// # Errors
    /// As [`Model::levels`].
    pub fn levels(&self, steps: usize) -> Result<Vec<NoiseLevel>> {
        match self.model.card.task.cold() {
            Some((_, steps)) => Ok((0..=steps).rev().map(cold::level).collect()),
            None => self.model.levels(steps),
        }
    }

    /// How the estimate of the clean image is kept in range.
    fn threshold(&self) -> Option<Threshold> {
        self.model.foreign.as_ref()?.scheduler.threshold
    }

    /// Whether `ddpm` takes beta for the variance of its steps, instead of the posterior's own.
    fn large_variance(&self) -> bool {
        let foreign = self.model.foreign.as_ref();
        foreign.is_some_and(|foreign| foreign.scheduler.variance == Variance::FixedLarge)
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
    /// The vector that all images are conditioned on.
    pub vector: Option<Vec<f32>>,
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
    /// The levels that are run: all of them, or with a start [the last of them](walked).
    ///
    /// # Errors
    /// [`Error::Setting`] for a strength outside 0 to 1, or 0.
    pub fn levels_run(&self) -> Result<&[NoiseLevel]> {
        let Some(Start { strength, .. }) = self.start.as_ref().filter(|_| !self.whole) else {
            return Ok(&self.levels);
        };
        walked(&self.levels, *strength)
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
        Some(start) => Some(known(
            start,
            generator.model.card.bands.len(),
            settings.size,
            size,
        )?),
        None => None,
    };
    let mut first = 0;
    while first < count {
        let batch = settings.batch.max(1).min(count - first);
        let values = images(
            generator, settings, levels, first, batch, size, &start, on_step,
        )?;
        let per_image = generator.model.card.bands.len() * size.0 * size.1;
        for (i, values) in values.chunks_exact(per_image).enumerate() {
            let image = Raster::from_vec(
                generator.model.card.bands.len(),
                size.0,
                size.1,
                values.to_vec(),
            )?;
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
            hint: Hint::Advice("the model's bands, and the size that is generated"),
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
    let model = generator.model;
    let (device, bands) = (&model.device, model.card.bands.len());
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
    let fresh = noise.draw(0, device);
    let x = match start {
        Some(image) => {
            let values = TensorData::new(image.data.clone(), [1, bands, size.0, size.1]);
            noised(Tensor::from_data(values, device), fresh, level)
        }
        None => fresh * level.sigma,
    };
    let vector = settings.vector.as_ref().map(|vector| {
        let data = TensorData::new(vector.clone(), [vector.len()]);
        Tensor::<1>::from_data(data, device)
    });
    let network = |class: Option<usize>| NetworkDenoiser {
        class: class.map(|class| Tensor::<1, Int>::full([batch], class as i64, device)),
        vector: vector.clone(),
        ..model.denoiser()
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
    let clipped = generator.threshold().map(|threshold| Thresholded {
        inner: denoiser,
        threshold,
    });
    let denoiser: &dyn Denoiser = match &clipped {
        Some(clipped) => clipped,
        None => denoiser,
    };
    let large = LargeVariance(denoiser);
    let denoiser = match generator.large_variance() {
        true => &large,
        false => denoiser,
    };
    if let Some((kind, steps)) = model.card.task.cold() {
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
        key: Key::Init,
        expected: format!("an image for a model that undoes {}", kind.name()),
        got: "none".into(),
        hint: Hint::Advice(
            "such a model makes nothing from noise: name the image it is to restore",
        ),
    }
}

#[cfg(test)]
mod tests;
