//! From examples in input units to tensors in network units.

use burn::tensor::{Device, Int, Tensor, TensorData};
use unclouded_core::diffusion::cold;
use unclouded_core::diffusion::denoiser::NoiseLevel;
use unclouded_core::diffusion::loss::LossBatch;
use unclouded_core::model::example::{self, Preparation, Prepared};
use unclouded_core::model::task::Task;
use unclouded_core::raster::random::gaussian_stream;

use crate::dataset::Example;
use crate::recipe::DiffusionConfig;

/// Keeps the noise of training and validation apart.
#[derive(Debug, Clone, Copy)]
pub enum Stream {
    /// Noise of a training step.
    Train = 1,
    /// Noise of a validation batch.
    Validation = 2,
}

/// Brings examples into network units: fill, contrast, residual.
pub fn prepare(examples: &[Example], config: &DiffusionConfig, task: Task) -> Vec<Prepared> {
    let one = |example: &Example| {
        let prepared = example::prepare(
            &example.image,
            &example.mask,
            &example.valid,
            &example.hint,
            &Preparation {
                task,
                conditioning: config.conditioning,
                space: config.space(),
                full: example.reflectance_scale,
            },
        );
        let depths = match task.cold() {
            Some((cold::Kind::Mask, _)) => {
                let unknown = example.mask.or(&example.valid.invert());
                cold::depths(&unknown.data, (unknown.height, unknown.width))
            }
            _ => Vec::new(),
        };
        Prepared {
            depths,
            class: example.class,
            ..prepared
        }
    };
    examples.iter().map(one).collect()
}

/// Puts prepared examples and their noise, keyed by `(seed, stream, step)`, on the device.
pub fn to_device(
    prepared: &[Prepared],
    config: &DiffusionConfig,
    task: Task,
    key: (u64, Stream, u64),
    device: &Device,
) -> Option<LossBatch> {
    let first = prepared.first()?;
    let (bands, height, width) = first.size;
    let batch = prepared.len();
    let stack = |part: &dyn Fn(&Prepared) -> &[f32], channels: usize| {
        let values: Vec<f32> = prepared
            .iter()
            .flat_map(|p| part(p).iter().copied())
            .collect();
        Tensor::<4>::from_data(
            TensorData::new(values, [batch, channels, height, width]),
            device,
        )
    };
    let channels = first.conditioning.len() / (height * width);
    let (seed, stream, step) = key;
    let noise = gaussian_stream(
        &[seed, stream as u64, step, 0],
        batch * bands * height * width,
    );
    let trained = training_levels(config, task);
    let levels: Vec<NoiseLevel> = gaussian_stream(&[seed, stream as u64, step, 1], batch)
        .into_iter()
        .enumerate()
        .map(|(item, normal)| match item < shown_nothing(batch, config) {
            true => NoiseLevel::INFINITE,
            false => config.noise.level(&trained, normal),
        })
        .collect();
    let clean = stack(&|p| &p.clean, bands);
    let degraded = task.cold().map(|(kind, steps)| {
        let depths = (kind == cold::Kind::Mask).then(|| stack(&|p| &p.depths, 1));
        let at: Vec<usize> = levels.iter().map(|l| l.timestep as usize).collect();
        kind.degraded(steps, &clean, depths.as_ref(), &at)
    });
    Some(LossBatch {
        clean,
        degraded,
        noise: Tensor::from_data(
            TensorData::new(noise, [batch, bands, height, width]),
            device,
        ),
        mask: stack(&|p| &p.mask, 1),
        conditioning: (channels > 0).then(|| stack(&|p| &p.conditioning, channels)),
        levels,
        class: labels(prepared, device),
    })
}

/// How many items of a batch learn the direct estimate: always as many, so that one batch weighs
/// like another.
fn shown_nothing(batch: usize, config: &DiffusionConfig) -> usize {
    (batch as f32 * config.direct).round() as usize
}

/// The levels a network is trained at: of the schedule, or the steps of its degradation.
pub fn training_levels(config: &DiffusionConfig, task: Task) -> Vec<NoiseLevel> {
    match task.cold() {
        Some((_, steps)) => cold::training_levels(steps),
        None => config.schedule.training_levels(),
    }
}

/// `[batch]`; none without classes.
fn labels(prepared: &[Prepared], device: &Device) -> Option<Tensor<1, Int>> {
    let labels: Option<Vec<i32>> = prepared.iter().map(|p| p.class).collect();
    labels.map(|labels| {
        let count = labels.len();
        Tensor::from_data(TensorData::new(labels, [count]), device)
    })
}
