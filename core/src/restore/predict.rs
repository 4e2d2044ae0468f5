//! One batch of tiles through the network: residuals in scene units.

use std::ops::ControlFlow;

use burn::tensor::{Tensor, TensorData};

use super::RestoreSettings;
use super::method;
use crate::checkpoint::{Conditioning, Model, Normalization};
use crate::diffusion::cold::{self, Degradation};
use crate::diffusion::conditioning;
use crate::diffusion::denoiser::NoiseLevel;
use crate::diffusion::network::NetworkDenoiser;
use crate::diffusion::noise::{NoiseSource, SceneNoise};
use crate::diffusion::repaint::Known;
use crate::diffusion::sampler::{Options, sample_with};
use crate::error::{Error, Result};
use crate::raster::guide::Guide;
use crate::raster::normalize::TileNorm;
use crate::raster::turn::{OF_A_RECTANGLE, OF_A_SQUARE, Turn, inverse, turned};
use crate::raster::{Mask, Raster, Window};

/// A tile ready for the network.
#[derive(Debug, Clone)]
pub(super) struct Tile {
    /// Where it lies in the scene.
    pub window: Window,
    /// Model bands, smoothly filled, in scene units.
    pub filled: Raster,
    /// True = not observed: masked or nodata.
    pub unknown: Mask,
    /// What a guided network is told besides.
    pub guide: Option<Guide>,
    /// Mean and contrast of what is visible.
    pub norm: TileNorm,
}

/// Residuals to the smooth fill for a batch of (tile, ensemble member), each
/// `[bands, height, width]` of its window in scene units.
///
/// With `keep_steps` also the sampler's estimates after every step, as `[step][item]`, in the same
/// form; else no steps.
///
/// All tiles have one size. The result does not depend on how work is divided into batches,
/// up to the rounding of the device.
///
/// # Errors
/// [`Error::Interrupted`] when `on_step` breaks off; [`Error::Device`] when the result cannot
/// be read back.
pub(super) async fn residuals(
    model: &Model,
    settings: &RestoreSettings,
    levels: &[NoiseLevel],
    items: &[(&Tile, u64)],
    keep_steps: bool,
    on_step: &mut dyn FnMut() -> ControlFlow<()>,
) -> Result<(Vec<Vec<f32>>, Vec<Vec<Vec<f32>>>)> {
    let Some((first, _)) = items.first() else {
        return Ok((Vec::new(), Vec::new()));
    };
    let (height, width) = (first.window.height, first.window.width);
    let multiple = model.card.architecture.size_multiple();
    // A scene smaller than a tile, or an odd tile size, is mirrored up to what the network takes.
    let size = (
        height.next_multiple_of(multiple),
        width.next_multiple_of(multiple),
    );
    let (batch, bands) = (items.len(), first.filled.bands);
    let device = &model.device;
    let turns: Vec<Turn> = items.iter().map(|(_, s)| turn_of(*s, size)).collect();
    let stack = |channels: usize, of: &dyn Fn(&Tile) -> Vec<f32>| {
        let values: Vec<f32> = items
            .iter()
            .zip(&turns)
            .flat_map(|((tile, _), turn)| turned(&of(tile), size.0, size.1, *turn))
            .collect();
        Tensor::<4>::from_data(
            TensorData::new(values, [batch, channels, size.0, size.1]),
            device,
        )
    };
    let padded = |tile: &Tile| {
        (
            tile.filled.pad_reflect(size.0, size.1),
            tile.unknown.pad_reflect(size.0, size.1),
        )
    };
    let mask = stack(1, &|tile| {
        padded(tile)
            .1
            .data
            .iter()
            .map(|m| f32::from(u8::from(*m)))
            .collect()
    });
    let mut noise = SceneNoise {
        seed: settings.seed,
        bands,
        items: items
            .iter()
            .map(|(tile, sample)| (*sample, tile.window))
            .collect(),
        size,
        turns: turns.clone(),
    };
    let start = levels.first().copied().unwrap_or(NoiseLevel::CLEAN);
    let x = noise.draw(0, device) * start.sigma;
    let network = |conditioning, mask| NetworkDenoiser {
        unet: &model.unet,
        prediction: model.card.prediction,
        conditioning,
        mask,
        class: None,
    };
    let mut kept: Vec<Tensor<4>> = Vec::new();
    let mut follow = |_: usize, _: &Tensor<4>, denoised: &Tensor<4>| {
        if keep_steps {
            kept.push(denoised.clone());
        }
        on_step()
    };
    let scaled = |tile: &Tile| {
        let mut filled = padded(tile).0;
        tile.norm.apply(&mut filled);
        filled.data
    };
    let card = &model.card;
    let options = Options {
        eta: settings.eta,
        schedule: Some(card.schedule),
        ..Options::default()
    };
    let conditional = card.conditioning != Conditioning::None;
    let solved = if conditional {
        let channels = card.conditioning.channels(bands);
        let conditioning = stack(channels, &|tile| {
            let (filled, unknown) = padded(tile);
            let guide = tile.guide.as_ref().map(|guide| guide.pad_reflect(size));
            conditioning::channels(
                card.conditioning,
                &filled,
                &unknown,
                guide.as_ref(),
                &tile.norm,
            )
        });
        sample_with(
            settings.sampler,
            &network(Some(conditioning), Some(mask)),
            x,
            levels,
            options,
            &mut noise,
            &mut follow,
        )?
    } else if let Some((_, steps)) = card.task.cold() {
        let depths = stack(1, &|tile| cold::depths(&padded(tile).1.data, size));
        let holes = cold::Growing::new(depths, steps);
        let hidden = holes.degrade(stack(bands, &scaled), steps);
        cold::restore(&network(None, None), &holes, hidden, &mut follow)?
    } else {
        let image = stack(bands, &scaled);
        method::unconditional(
            settings,
            options,
            &network(None, None),
            Known { image, mask },
            x,
            levels,
            &mut noise,
            &mut follow,
        )?
    };
    let per_item = bands * size.0 * size.1;
    let unpacked = |values: &[f32]| {
        let residual = |(i, (tile, _)): (usize, &(&Tile, u64))| {
            let data = &values[i * per_item..][..per_item];
            let data = turned(data, size.0, size.1, inverse(turns[i]));
            let mut image = Raster {
                bands,
                height: size.0,
                width: size.1,
                data,
            };
            if !conditional {
                let filled = scaled(tile);
                image
                    .data
                    .iter_mut()
                    .zip(&filled)
                    .for_each(|(value, fill)| *value -= fill);
            }
            image
                .data
                .iter_mut()
                .for_each(|value| *value *= tile.norm.scale);
            image.crop(Window::full(height, width)).data
        };
        items.iter().enumerate().map(residual).collect::<Vec<_>>()
    };
    let mut steps = Vec::with_capacity(kept.len());
    for denoised in kept {
        steps.push(unpacked(&read(denoised).await?));
    }
    let values = read(solved).await?;
    if values.iter().any(|value| !value.is_finite()) {
        return Err(Error::Device("the network returned NaN or infinity".into()));
    }
    Ok((unpacked(&values), steps))
}

async fn read(tensor: Tensor<4>) -> Result<Vec<f32>> {
    let data = tensor.into_data_async().await;
    let data = data.map_err(|error| Error::Device(error.to_string()))?;
    Ok(data.iter::<f32>().collect())
}

/// How an ensemble member sees the scene: each pair of antithetic members mirrored or turned in
/// its own way. Their mean is closer to that over all fills, since a network is never quite
/// indifferent to the way up.
fn turn_of(sample: u64, size: (usize, usize)) -> Turn {
    let pair = (sample / 2) as usize;
    match size.0 == size.1 {
        true => OF_A_SQUARE[pair % OF_A_SQUARE.len()],
        false => OF_A_RECTANGLE[pair % OF_A_RECTANGLE.len()],
    }
}

/// Mean and contrast of a tile: of its own visible pixels, of its surroundings when too few of
/// its own are visible to tell, and `far`, the scene's, when nothing is visible for miles.
pub(super) fn tile_norm(
    context: &Raster,
    visible: &Mask,
    tile: Window,
    reach_px: usize,
    floor: f32,
    far: TileNorm,
) -> TileNorm {
    const ENOUGH: usize = 64;
    for window in [tile, tile.grow(reach_px, context.height, context.width)] {
        let seen = visible.crop(window);
        if seen.count() >= ENOUGH.min(tile.pixels() / 20 + 1) {
            return TileNorm::from_visible(&context.crop(window), &seen, floor);
        }
    }
    far
}

/// Search radius of the smooth fill and smallest contrast, from the model card.
pub(super) fn normalization(model: &Model) -> (usize, f32) {
    match model.card.normalization {
        Normalization::TileContrast {
            fill_distance_px,
            floor,
        } => (fill_distance_px, floor),
    }
}
