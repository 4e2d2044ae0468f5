//! One batch of tiles through the network: residuals in scene units.

use std::ops::ControlFlow;

use burn::tensor::{Tensor, TensorData};

use super::RestoreSettings;
use super::method;
use crate::diffusion::cold::{self, Degradation};
use crate::diffusion::denoiser::{NoiseLevel, NoiseSource, OnStep};
use crate::diffusion::noise::SceneNoise;
use crate::diffusion::repaint::Known;
use crate::diffusion::sampler::{Options, Walk};
use crate::error::{Error, Result};
use crate::model::denoiser::NetworkDenoiser;
use crate::model::{Conditioning, Model, Shown};
use crate::raster::Window;
use crate::raster::turn::{OF_A_RECTANGLE, OF_A_SQUARE, Turn, inverse, turned};

/// A tile ready for the network.
#[derive(Debug, Clone)]
pub(super) struct Tile {
    /// Where it lies in the scene.
    pub window: Window,
    /// What the network is shown of it.
    pub shown: Shown,
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
    let batch = Batch::new(model, items, (first.window.height, first.window.width));
    let mut kept: Vec<Tensor<4>> = Vec::new();
    let mut follow = |_: usize, _: &Tensor<4>, denoised: &Tensor<4>| {
        if keep_steps {
            kept.push(denoised.clone());
        }
        on_step()
    };
    let solved = batch.solve(settings, levels, &mut follow)?;
    let mut steps = Vec::with_capacity(kept.len());
    for denoised in kept {
        steps.push(batch.changes(&read(denoised).await?));
    }
    let values = read(solved).await?;
    if values.iter().any(|value| !value.is_finite()) {
        return Err(Error::Device("the network returned NaN or infinity".into()));
    }
    Ok((batch.changes(&values), steps))
}

/// Tiles and members that go through the network together.
struct Batch<'a> {
    model: &'a Model,
    items: &'a [(&'a Tile, u64)],
    /// Height and width of the tiles.
    tile: (usize, usize),
    /// Height and width of what the network sees: a scene smaller than a tile, or an odd tile
    /// size, is mirrored up to what it takes.
    size: (usize, usize),
    /// What is shown of each item, in that size.
    shown: Vec<Shown>,
    /// How each item is turned.
    turns: Vec<Turn>,
}

impl<'a> Batch<'a> {
    fn new(model: &'a Model, items: &'a [(&'a Tile, u64)], tile: (usize, usize)) -> Self {
        let multiple = model.card.architecture.size_multiple();
        let size = (
            tile.0.next_multiple_of(multiple),
            tile.1.next_multiple_of(multiple),
        );
        let shown = items.iter().map(|(tile, _)| tile.shown.pad_reflect(size));
        Self {
            model,
            items,
            tile,
            size,
            shown: shown.collect(),
            turns: items.iter().map(|(_, s)| turn_of(*s, size)).collect(),
        }
    }

    /// Some channels of every item on the device, `[batch, channels, height, width]`.
    fn stack(&self, channels: usize, of: impl Fn(&Shown) -> Vec<f32>) -> Tensor<4> {
        let (height, width) = self.size;
        let turn = |(shown, turn): (&Shown, &Turn)| turned(&of(shown), height, width, *turn);
        let values: Vec<f32> = self.shown.iter().zip(&self.turns).flat_map(turn).collect();
        let shape = [self.items.len(), channels, height, width];
        Tensor::from_data(TensorData::new(values, shape), &self.model.device)
    }

    /// The network's clean image of every item, `[batch, bands, height, width]`.
    fn solve(
        &self,
        settings: &RestoreSettings,
        levels: &[NoiseLevel],
        follow: &mut OnStep,
    ) -> Result<Tensor<4>> {
        let card = &self.model.card;
        let bands = card.bands.len();
        let network = NetworkDenoiser::new(&*self.model.network, card.prediction);
        if let Some((_, steps)) = card.task.cold() {
            let depths = self.stack(1, |shown| cold::depths(&shown.unknown.data, self.size));
            let holes = cold::Growing::new(depths, steps);
            let hidden = holes.degrade(self.stack(bands, Shown::image), steps);
            return cold::restore(&network, &holes, hidden, follow);
        }
        let windows = self.items.iter().map(|(tile, s)| (*s, tile.window));
        let mut noise = SceneNoise {
            seed: settings.seed,
            bands,
            items: windows.collect(),
            size: self.size,
            turns: self.turns.clone(),
        };
        let start = levels.first().copied().unwrap_or(NoiseLevel::CLEAN);
        let x = noise.draw(0, &self.model.device) * start.sigma;
        let mask = self.stack(1, Shown::hidden);
        let options = Options {
            eta: settings.eta,
            ..self.model.options()
        };
        if card.conditioning == Conditioning::None {
            let image = self.stack(bands, Shown::image);
            let mut walk = Walk {
                options,
                ..Walk::new(&network, levels, &mut noise, follow)
            };
            return method::unconditional(settings, &mut walk, Known { image, mask }, x);
        }
        let conditioning = self.stack(card.conditioning.channels(bands), |shown| {
            shown.channels(card.conditioning)
        });
        let conditioned = NetworkDenoiser {
            conditioning: Some(conditioning),
            mask: Some(mask),
            ..network
        };
        let mut walk = Walk {
            options,
            ..Walk::new(&conditioned, levels, &mut noise, follow)
        };
        settings.sampler.run(&mut walk, x)
    }

    /// What the network's values change about each tile, `[bands, height, width]` of its window in
    /// scene units.
    fn changes(&self, values: &[f32]) -> Vec<Vec<f32>> {
        let (height, width) = self.size;
        let per_item = self.model.card.bands.len() * height * width;
        let conditioning = self.model.card.conditioning;
        let items = values.chunks_exact(per_item).zip(&self.turns);
        let change = |((values, turn), shown): ((&[f32], &Turn), &Shown)| {
            let upright = turned(values, height, width, inverse(*turn));
            let change = shown.change(upright, conditioning);
            change.crop(Window::full(self.tile.0, self.tile.1)).data
        };
        items.zip(&self.shown).map(change).collect()
    }
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
