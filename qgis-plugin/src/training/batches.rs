//! From examples in input units to tensors in network units.

use burn::tensor::{Device, Int, Tensor, TensorData};
use unclouded_core::checkpoint::Conditioning;
use unclouded_core::diffusion::conditioning::{self, Preparation, Prepared};
use unclouded_core::diffusion::denoiser::NoiseLevel;
use unclouded_core::diffusion::loss::LossBatch;
use unclouded_core::diffusion::noise::gaussian_stream;
use unclouded_core::diffusion::task::Task;

use crate::dataset::Example;
use crate::train_config::DiffusionConfig;

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
        let floor = config.contrast_floor * example.reflectance_scale;
        let prepared = match config.conditioning {
            Conditioning::None => {
                conditioning::prepare_unconditional(&example.image, &example.valid, floor)
            }
            conditioning => conditioning::prepare(
                &example.image,
                &example.mask,
                &example.valid,
                &example.hint,
                &Preparation {
                    task,
                    conditioning,
                    max_distance_px: config.fill_distance_px,
                    floor,
                },
            ),
        };
        Prepared {
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
    let trained = config.schedule.training_levels();
    let levels: Vec<NoiseLevel> = gaussian_stream(&[seed, stream as u64, step, 1], batch)
        .into_iter()
        .map(|normal| config.noise.level(&trained, normal))
        .collect();
    Some(LossBatch {
        clean: stack(&|p| &p.clean, bands),
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

/// `[batch]`; none without classes.
fn labels(prepared: &[Prepared], device: &Device) -> Option<Tensor<1, Int>> {
    let labels: Option<Vec<i32>> = prepared.iter().map(|p| p.class).collect();
    labels.map(|labels| {
        let count = labels.len();
        Tensor::from_data(TensorData::new(labels, [count]), device)
    })
}
