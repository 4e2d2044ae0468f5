//! One batch of tiles through the network: residuals in scene units.

use std::ops::ControlFlow;

use burn::tensor::{Tensor, TensorData};

use super::RestoreSettings;
use super::method::{self, Method};
use crate::diffusion::cold::{self, Degradation};
use crate::diffusion::denoiser::{NoiseLevel, NoiseSource, OnStep, proceed};
use crate::diffusion::noise::SceneNoise;
use crate::diffusion::repaint::Known;
use crate::diffusion::sampler::{Options, Walk};
use crate::error::{Error, Result};
use crate::model::denoiser::NetworkDenoiser;
use crate::model::{Conditioning, Model, Shown};
use crate::raster::turn::{OF_A_RECTANGLE, OF_A_SQUARE, Turn, inverse, turned};
use crate::raster::{Raster, Window};

/// A tile ready for the network.
#[derive(Debug, Clone)]
pub(super) struct Tile {
    /// Where it lies in the scene.
    pub window: Window,
    /// What the network is shown of it.
    pub shown: Shown,
}

/// What a batch of (tile, ensemble member) comes out as; every image is `[bands, height, width]` of
/// its tile's window, in scene units.
pub(super) struct Predicted {
    /// The residual to the smooth fill of every item.
    pub residuals: Vec<Vec<f32>>,
    /// Its standard deviation as the network says it; nothing where it says none.
    pub spreads: Vec<Vec<f32>>,
    /// The sampler's estimates after every step, as `[step][item]`, where they were to be kept.
    pub steps: Vec<Vec<Vec<f32>>>,
}

/// Fills a batch of (tile, ensemble member); with `keep_steps` the estimates of every step are kept.
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
) -> Result<Predicted> {
    let nothing = Predicted {
        residuals: Vec::new(),
        spreads: Vec::new(),
        steps: Vec::new(),
    };
    let Some((first, _)) = items.first() else {
        return Ok(nothing);
    };
    let tile = (first.window.height, first.window.width);
    if settings.method == Some(Method::Direct) {
        let batch = Batch::new(model, items, tile, member_turn);
        let (mean, spread) = batch.direct();
        proceed(on_step())?;
        let residuals = batch.changes(&read_finite(mean).await?);
        let steps = Vec::from_iter(keep_steps.then(|| residuals.clone()));
        let spreads = match spread {
            Some(spread) => batch.spreads(&read_finite(spread).await?),
            None => Vec::new(),
        };
        return Ok(Predicted {
            residuals,
            spreads,
            steps,
        });
    }
    let batch = Batch::new(model, items, tile, pair_turn);
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
    Ok(Predicted {
        residuals: batch.changes(&read_finite(solved).await?),
        steps,
        ..nothing
    })
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
    /// `turn_of` says how a member sees a tile of a size.
    fn new(
        model: &'a Model,
        items: &'a [(&'a Tile, u64)],
        tile: (usize, usize),
        turn_of: fn(u64, (usize, usize)) -> Turn,
    ) -> Self {
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
        let network = self.model.denoiser();
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

    /// The network's direct estimate of every item and its spread,
    /// `[batch, bands, height, width]` both.
    fn direct(&self) -> (Tensor<4>, Option<Tensor<4>>) {
        let card = &self.model.card;
        let bands = card.bands.len();
        let conditioning = self.stack(card.conditioning.channels(bands), |shown| {
            shown.channels(card.conditioning)
        });
        let network = NetworkDenoiser {
            conditioning: Some(conditioning),
            mask: Some(self.stack(1, Shown::hidden)),
            ..self.model.denoiser()
        };
        let size = [self.items.len(), bands, self.size.0, self.size.1];
        network.direct(size, &self.model.device)
    }

    /// Standard deviations in network units, `[batch, bands, height, width]`, as those of each
    /// tile, `[bands, height, width]` of its window in scene units.
    fn spreads(&self, values: &[f32]) -> Vec<Vec<f32>> {
        let (height, width) = self.size;
        let per_item = self.model.card.bands.len() * height * width;
        let items = values.chunks_exact(per_item).zip(&self.turns);
        let spread = |((values, turn), shown): ((&[f32], &Turn), &Shown)| {
            let upright = turned(values, height, width, inverse(*turn));
            let spread = Raster {
                data: upright.iter().map(|v| v * shown.norm.scale).collect(),
                ..shown.filled.clone()
            };
            spread.crop(Window::full(self.tile.0, self.tile.1)).data
        };
        items.zip(&self.shown).map(spread).collect()
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

async fn read_finite(tensor: Tensor<4>) -> Result<Vec<f32>> {
    let values = read(tensor).await?;
    match values.iter().all(|value| value.is_finite()) {
        true => Ok(values),
        false => Err(Error::Device("the network returned NaN or infinity".into())),
    }
}

/// How an ensemble member sees a tile of a size: each mirrored or turned in its own way. Their mean
/// is closer to that over all fills, since a network is never quite indifferent to the way up.
fn member_turn(sample: u64, size: (usize, usize)) -> Turn {
    let member = sample as usize;
    match size.0 == size.1 {
        true => OF_A_SQUARE[member % OF_A_SQUARE.len()],
        false => OF_A_RECTANGLE[member % OF_A_RECTANGLE.len()],
    }
}

/// As [`member_turn`] for members whose noise is antithetic in pairs, which share a turn.
fn pair_turn(sample: u64, size: (usize, usize)) -> Turn {
    member_turn(sample / 2, size)
}
