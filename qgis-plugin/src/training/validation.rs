//! How good the averaged weights are on images that are never trained on.

use burn::tensor::{Device, Tensor};
use std::collections::BTreeMap;
use std::ops::ControlFlow;

use unclouded_core::diffusion::denoiser::{Denoiser, NoiseLevel};
use unclouded_core::diffusion::loss::{self, LossBatch};
use unclouded_core::diffusion::noise::SceneNoise;
use unclouded_core::diffusion::sampler::{Options, sample_with};
use unclouded_core::diffusion::schedule::Spacing;
use unclouded_core::metrics;
use unclouded_core::model::Conditioning;
use unclouded_core::model::denoiser::NetworkDenoiser;
use unclouded_core::model::example::{Hint, Prepared};
use unclouded_core::network::unet::UNet;
use unclouded_core::raster::{Raster, Window};

use super::batches::{self, Stream};
use crate::dataset::{BatchBuilder, Example};
use crate::failure::Result;
use crate::recipe::TrainConfig;

/// Examples a validation batch.
const BATCH: usize = 16;
/// Rows of the picture grid.
const GRID_ROWS: usize = 6;

/// What a validation pass measured.
pub struct Validation {
    /// Mean of the training objective.
    pub loss: f64,
    /// In-mask PSNR by kind of hint; empty for unconditional networks.
    pub psnr: BTreeMap<&'static str, Psnr>,
    /// Rows of pictures: masked, fill, one sample, estimate, truth.
    pub grid: Vec<Vec<Raster>>,
}

/// In-mask PSNR over the examples of one kind, dB.
#[derive(Debug, Clone, Copy, Default)]
pub struct Psnr {
    /// Examples.
    pub count: usize,
    /// Mean of the direct estimate; without one, of one step from the noisiest level.
    pub one_step_db: f64,
    /// Mean of the fill it starts from.
    pub fill_db: f64,
}

impl Psnr {
    fn add(&mut self, one_step_db: f64, fill_db: f64) {
        self.count += 1;
        let share = 1.0 / self.count as f64;
        self.one_step_db += share * (one_step_db - self.one_step_db);
        self.fill_db += share * (fill_db - self.fill_db);
    }
}

/// Scores `unet` on the recipe's validation examples.
pub fn run(
    unet: &UNet,
    config: &TrainConfig,
    builder: &BatchBuilder,
    device: &Device,
) -> Result<Validation> {
    let total = config.train.validate_tiles;
    let trained = batches::training_levels(&config.diffusion, config.task);
    let (mut loss, mut seen) = (0.0, 0);
    let mut psnr: BTreeMap<&'static str, Psnr> = BTreeMap::new();
    let mut grid = Vec::new();
    for start in (0..total).step_by(BATCH) {
        crate::interrupt::check()?;
        let examples = builder.validation(start, BATCH, total).examples;
        let prepared = batches::prepare(&examples, &config.diffusion, config.task);
        let key = (config.train.seed, Stream::Validation, start as u64);
        let Some(batch) =
            batches::to_device(&prepared, &config.diffusion, config.task, key, device)
        else {
            break;
        };
        let objective = config.diffusion.objective();
        let value = loss::training(unet, &objective, &trained, batch.clone());
        // A mean over its examples: the last batch, which may be smaller, counts for its own.
        loss += f64::from(value.into_scalar::<f32>()) * examples.len() as f64;
        seen += examples.len();
        if config.diffusion.conditioning != Conditioning::None {
            let (mean, sample) = estimate(unet, config, &batch)?;
            for (i, (example, p)) in examples.iter().zip(&prepared).enumerate() {
                let range = example.reflectance_scale;
                let mean = compose(p, &mean, i);
                let counted = match config.task.redraws() {
                    true => &example.valid,
                    false => &example.mask,
                };
                let score = |image: &Raster| {
                    metrics::score_masked(&example.image, image, counted, range).psnr_db
                };
                let kind = psnr.entry(kind(&example.hint)).or_default();
                kind.add(score(&mean), score(&p.filled));
                if grid.len() < GRID_ROWS {
                    grid.push(row(example, p, compose(p, &sample, i), mean));
                }
            }
        }
    }
    Ok(Validation {
        loss: loss / seen.max(1) as f64,
        psnr,
        grid,
    })
}

/// The name of a kind of hint in the metrics of a model card.
fn kind(hint: &Hint) -> &'static str {
    match hint {
        Hint::None => "alone",
        Hint::Reference(..) => "reference",
        Hint::Coarse(_) => "coarse",
    }
}

/// The mean over all fills, as the direct estimate or nearly so as one step from the noisiest
/// level, and one sample.
fn estimate(unet: &UNet, config: &TrainConfig, batch: &LossBatch) -> Result<(Vec<f32>, Vec<f32>)> {
    let denoiser = NetworkDenoiser {
        network: unet,
        prediction: config.diffusion.prediction,
        conditioning: batch.conditioning.clone(),
        mask: Some(batch.mask.clone()),
        class: batch.class.clone(),
        vector: None,
        spread: config.model.spread,
    };
    let [items, bands, height, width] = batch.clean.dims();
    let steps = config.diffusion.defaults.steps;
    let levels = config.diffusion.schedule.levels(steps, Spacing::Trailing)?;
    let first = levels.first().copied().unwrap_or(NoiseLevel::CLEAN);
    let x = batch.noise.clone() * first.sigma;
    let mean = match config.diffusion.direct > 0.0 {
        true => denoiser.direct(batch.clean.dims(), &batch.clean.device()).0,
        // An antithetic pair, as the ensemble of a restoration: what is left of the noise cancels.
        false => {
            let pair =
                denoiser.denoise(x.clone(), first) + denoiser.denoise(x.clone().neg(), first);
            pair * 0.5
        }
    };
    let window = Window {
        row: 0,
        col: 0,
        height,
        width,
    };
    let mut noise = SceneNoise {
        seed: config.train.seed,
        bands,
        items: (0..items as u64).map(|i| (i, window)).collect(),
        size: (height, width),
        turns: vec![0; items],
    };
    let sampler = config.diffusion.defaults.sampler;
    let options = Options {
        schedule: Some(config.diffusion.schedule),
        ..Options::default()
    };
    let sample = sample_with(
        sampler,
        &denoiser,
        x,
        &levels,
        options,
        &mut noise,
        &mut |_, _, _| ControlFlow::Continue(()),
    )?;
    let host = |t: Tensor<4>| t.into_data().iter::<f32>().collect();
    Ok((host(mean), host(sample)))
}

/// The image of batch item `i`: the fill plus the predicted residual, in input units.
fn compose(p: &Prepared, residual: &[f32], i: usize) -> Raster {
    let mut image = p.filled.clone();
    let size = image.data.len();
    for (value, r) in image.data.iter_mut().zip(&residual[i * size..][..size]) {
        *value += r * p.norm.scale;
    }
    image
}

fn row(example: &Example, p: &Prepared, sample: Raster, mean: Raster) -> Vec<Raster> {
    let mut masked = example.image.clone();
    let pixels = masked.height * masked.width;
    for (i, value) in masked.data.iter_mut().enumerate() {
        if example.mask.data[i % pixels] {
            *value = example.reflectance_scale;
        }
    }
    vec![
        masked,
        p.filled.clone(),
        sample,
        mean,
        example.image.clone(),
    ]
}
