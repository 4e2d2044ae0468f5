//! The main job: fill the masked pixels of a scene. The only file that knows the whole order.
//!
//! `survey (what is masked, value ranges, spectral fit) → for each row of tiles: read with a
//! halo → soft fill → normalise → condition → sample → blend → composite → sink`. A scene is
//! read by windows and never whole; memory depends on its width, not on its height.

mod io;
mod memory;
mod pause;
mod predict;
mod survey;
#[cfg(test)]
mod tests;

use std::ops::ControlFlow;

pub use io::{FilledRows, SceneSink, SceneSource, SceneWindow, StepPreview};
pub use memory::{MemorySink, MemorySource};

use crate::checkpoint::Model;
use crate::diffusion::sampler::Sampler;
use crate::diffusion::schedule::Spacing;
use crate::error::{Error, Result};
use crate::raster::blend::{Blended, Blender};
use crate::raster::normalize::TileNorm;
use crate::raster::spectral::Transfer;
use crate::raster::tiler::Tiling;
use crate::raster::{Mask, Raster, Window, fill, soften};
use pause::Pause;
use predict::{Tile, normalization, residuals, tile_norm};
use survey::Survey;

/// More ensemble members than this are a mistake.
const MAX_SAMPLES: usize = 1024;

/// How to fill; validated by [`restore`].
#[derive(Debug, Clone, PartialEq)]
pub struct RestoreSettings {
    /// Side of a tile, pixels.
    pub tile_px: usize,
    /// Overlap of neighbouring tiles, pixels.
    pub overlap_px: usize,
    /// Ensemble members; the fill is their mean.
    pub samples: usize,
    /// Steps of the sampler.
    pub steps: usize,
    /// The sampler.
    pub sampler: Sampler,
    /// Stochasticity of DDIM, 0 to 1.
    pub eta: f64,
    /// Key of the noise.
    pub seed: u64,
    /// Tiles times members that go through the network at once.
    pub batch: usize,
    /// Scene bands (from 0) that feed the model, in the order of its bands; a band may repeat.
    pub model_bands: Vec<usize>,
    /// Full brightness in scene units, for the smallest contrast: 255 for 8 bits, 2750 for
    /// Sentinel-2; by default the contrast of the whole scene.
    pub reflectance_scale: Option<f32>,
}

impl Default for RestoreSettings {
    fn default() -> Self {
        Self {
            tile_px: 64,
            overlap_px: 16,
            samples: 4,
            steps: 4,
            sampler: Sampler::DpmSolverPp2m,
            eta: 0.0,
            seed: 0,
            batch: 8,
            model_bands: vec![0, 1, 2],
            reflectance_scale: None,
        }
    }
}

/// How far a run is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// Units of work done.
    pub done: usize,
    /// All units: one for each sampler step of each batch.
    pub total: usize,
}

/// What a run did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Summary {
    /// Pixels that were filled.
    pub filled_px: usize,
    /// Pixels that hold data.
    pub valid_px: usize,
    /// Tiles that went through the network.
    pub tiles: usize,
}

/// Fills the masked pixels of `source` into `sink`, waiting for the device; for native faces.
///
/// # Errors
/// As [`restore_async`].
#[cfg(not(target_family = "wasm"))]
pub fn restore(
    source: &mut dyn SceneSource,
    sink: &mut dyn SceneSink,
    model: &Model,
    settings: &RestoreSettings,
    progress: &mut dyn FnMut(Progress) -> ControlFlow<()>,
) -> Result<Summary> {
    pollster::block_on(restore_async(source, sink, model, settings, progress))
}

/// Fills the masked pixels of `source` into `sink`.
///
/// The result is a function of scene, mask, checkpoint and settings (without `batch`): the
/// noise is keyed to places of the scene. Filled values stay within the range of the band's
/// visible values. Bands the model does not know follow the ones it restored
/// ([`spectral`](crate::raster::spectral)).
///
/// # Errors
/// [`Error::Setting`] and [`Error::Mismatch`] for settings that do not fit scene or model,
/// [`Error::NothingMasked`], [`Error::NothingVisible`], [`Error::Interrupted`] when `progress`
/// breaks off, [`Error::Device`], and whatever source and sink return.
pub async fn restore_async(
    source: &mut dyn SceneSource,
    sink: &mut dyn SceneSink,
    model: &Model,
    settings: &RestoreSettings,
    progress: &mut dyn FnMut(Progress) -> ControlFlow<()>,
) -> Result<Summary> {
    let (height, width) = source.size();
    check(settings, source.bands(), model)?;
    let tiling = Tiling::new(height, width, settings.tile_px, settings.overlap_px)?;
    let levels = model
        .card
        .schedule
        .levels(settings.steps, Spacing::default())?;
    let guides = Guides::new(&settings.model_bands);
    let survey = Survey::run(source, &tiling, &guides.bands)?;
    let (reach_px, floor) = normalization(model);
    // Without a full brightness the scene's own contrast sets the floor: neither its unit nor an
    // outlier matters.
    let full = settings.reflectance_scale.unwrap_or(survey.contrast);
    let floor = (floor * full).max(f32::MIN_POSITIVE / f32::EPSILON);
    let composer = Composer {
        survey: &survey,
        guides: &guides,
        samples: settings.samples,
    };
    let mut blender = Blender::new(
        settings.samples * guides.bands.len(),
        width,
        settings.overlap_px,
    );
    let steps = levels.len() - 1;
    let mut meter = Meter {
        done: 0,
        total: survey.batches(settings.samples, settings.batch) * steps,
        report: progress,
    };
    let mut summary = Summary {
        valid_px: survey.valid_px,
        filled_px: survey.masked_px,
        tiles: 0,
    };
    for row in 0..tiling.rows() {
        let band = tiling.band(row);
        let filled = band.grow(soften::REACH_PX, height, width);
        let context = filled.grow(reach_px, height, width);
        let view = View::read(
            source,
            context,
            filled,
            reach_px,
            &survey,
            &settings.model_bands,
        )?;
        let tiles: Vec<Tile> = tiling
            .tiles_in_row_touching(row, &view.holes.crop(band.relative_to(context)))
            .into_iter()
            .map(|window| view.tile(window, reach_px, floor))
            .collect();
        summary.tiles += tiles.len();
        let mut ensembles: Vec<Vec<f32>> = vec![Vec::new(); tiles.len()];
        let jobs: Vec<(usize, u64)> = (0..tiles.len())
            .flat_map(|tile| (0..settings.samples as u64).map(move |sample| (tile, sample)))
            .collect();
        for batch in jobs.chunks(settings.batch) {
            let items: Vec<(&Tile, u64)> = batch.iter().map(|&(t, s)| (&tiles[t], s)).collect();
            let keep_steps = sink.wants_previews() && batch.iter().any(|(_, sample)| *sample == 0);
            let (predicted, estimates) =
                residuals(model, settings, &levels, &items, keep_steps, &mut || {
                    meter.step()
                })
                .await?;
            for (step, estimate) in estimates.iter().enumerate() {
                let first_members = items.iter().zip(estimate).filter(|((_, s), _)| *s == 0);
                for ((tile, _), residual) in first_members {
                    sink.preview(guides.preview(tile, residual, (step, estimates.len())));
                }
            }
            Pause::new().await;
            for (&(tile, _), residual) in batch.iter().zip(&predicted) {
                let pixels = tiles[tile].window.pixels();
                ensembles[tile].extend(guides.fold(residual, pixels));
            }
        }
        for (tile, planes) in tiles.iter().zip(&ensembles) {
            blender.add(tile.window, planes);
        }
        let finished = tiling.finished(row);
        let blended = blender.take_rows(finished.row_end());
        sink.write(composer.compose(&view, finished, &blended))?;
    }
    Ok(summary)
}

fn check(settings: &RestoreSettings, bands: usize, model: &Model) -> Result<()> {
    let setting = |what, expected: &str, got: usize, hint| {
        Err(Error::Setting {
            what,
            expected: expected.into(),
            got: got.to_string(),
            hint,
        })
    };
    if !(1..=MAX_SAMPLES).contains(&settings.samples) {
        return setting(
            "samples",
            "1 to 1024",
            settings.samples,
            "4 to 16 samples are usual",
        );
    }
    if settings
        .reflectance_scale
        .is_some_and(|scale| !(scale.is_finite() && scale > 0.0))
    {
        return setting(
            "reflectance scale",
            "above 0",
            0,
            "255 for 8 bits, 2750 for Sentinel-2",
        );
    }
    if !(0.0..=1.0).contains(&settings.eta) {
        return Err(Error::Setting {
            what: "eta",
            expected: "0 to 1".into(),
            got: settings.eta.to_string(),
            hint: "0 is deterministic",
        });
    }
    if settings.batch == 0 {
        return setting("batch", "at least 1", 0, "8 suits most machines");
    }
    if settings.model_bands.len() != model.card.bands.len() {
        return Err(Error::Mismatch {
            what: "bands for the model",
            expected: format!(
                "{} ({})",
                model.card.bands.len(),
                model.card.bands.join(", ")
            ),
            got: settings.model_bands.len().to_string(),
            hint: "name one scene band for each band of the model, e.g. --bands 3,2,1",
        });
    }
    if let Some(band) = settings.model_bands.iter().find(|band| **band >= bands) {
        return Err(Error::Mismatch {
            what: "bands for the model",
            expected: format!("numbers from 1 to {bands}"),
            got: (band + 1).to_string(),
            hint: "band numbers count from 1",
        });
    }
    Ok(())
}

/// The scene bands the model restores, each once, and which of its outputs they are.
struct Guides {
    bands: Vec<usize>,
    /// For each of `bands`, the model's bands it feeds.
    slots: Vec<Vec<usize>>,
}

impl Guides {
    fn new(model_bands: &[usize]) -> Self {
        let mut bands: Vec<usize> = Vec::new();
        let mut slots: Vec<Vec<usize>> = Vec::new();
        for (slot, band) in model_bands.iter().enumerate() {
            match bands.iter().position(|known| known == band) {
                Some(at) => slots[at].push(slot),
                None => {
                    bands.push(*band);
                    slots.push(vec![slot]);
                }
            }
        }
        Self { bands, slots }
    }

    /// `[model bands, pixels]` to `[guides, pixels]`: a band that feeds several of the model's
    /// gets their mean.
    fn fold(&self, residual: &[f32], pixels: usize) -> Vec<f32> {
        let plane = |slots: &Vec<usize>| {
            let share = 1.0 / slots.len() as f32;
            let value =
                |i: usize| slots.iter().map(|s| residual[s * pixels + i]).sum::<f32>() * share;
            (0..pixels).map(value).collect::<Vec<_>>()
        };
        self.slots.iter().flat_map(plane).collect()
    }

    /// The estimate of a step (of how many): the smooth fill and the residual to it.
    fn preview(&self, tile: &Tile, residual: &[f32], (step, steps): (usize, usize)) -> StepPreview {
        let Window { height, width, .. } = tile.window;
        let slots: Vec<usize> = self.slots.iter().map(|slots| slots[0]).collect();
        let mut image = tile.filled.select_bands(&slots);
        let residual = self.fold(residual, height * width);
        image
            .data
            .iter_mut()
            .zip(&residual)
            .for_each(|(value, change)| *value += change);
        StepPreview {
            window: tile.window,
            step,
            steps,
            bands: self.bands.clone(),
            image,
        }
    }
}

/// A row of tiles with its surroundings, its holes smoothly filled.
struct View {
    /// What was read.
    context: Window,
    /// All bands as read.
    image: Raster,
    /// All bands, softly filled in and around the row of tiles.
    smooth: Raster,
    /// The model's bands of `smooth`.
    guides: Raster,
    /// Mean and contrast of the whole scene, for the model's bands.
    scene_norm: TileNorm,
    /// True = observed.
    visible: Mask,
    /// True = masked and valid.
    holes: Mask,
    /// True = data.
    valid: Mask,
}

impl View {
    /// Reads `context` and fills the holes of `filled`, a part of it.
    fn read(
        source: &mut dyn SceneSource,
        context: Window,
        filled: Window,
        reach_px: usize,
        survey: &Survey,
        bands: &[usize],
    ) -> Result<Self> {
        let SceneWindow { image, mask, valid } = source.read(context)?;
        let visible = valid.and_not(&mask);
        let holes = valid.and(&mask);
        // Nodata is filled like a hole, as in training: the network never sees its value. What
        // lies farther out is neither filled nor filled from.
        let targets = Mask::from_fn(context.height, context.width, |row, col| {
            !visible.at(row, col) && filled.contains(context.row + row, context.col + col)
        });
        let smooth = fill::soft_towards(
            &image,
            &targets,
            &visible.or(&targets),
            reach_px,
            &survey.mean,
        );
        let scene_norm = TileNorm {
            mean: bands.iter().map(|band| survey.mean[*band]).collect(),
            scale: survey.contrast,
        };
        let guides = smooth.select_bands(bands);
        Ok(Self {
            context,
            image,
            smooth,
            guides,
            scene_norm,
            visible,
            holes,
            valid,
        })
    }

    fn tile(&self, window: Window, reach_px: usize, floor: f32) -> Tile {
        let local = window.relative_to(self.context);
        let far = TileNorm {
            scale: self.scene_norm.scale.max(floor),
            ..self.scene_norm.clone()
        };
        Tile {
            window,
            filled: self.guides.crop(local),
            unknown: self.visible.crop(local).invert(),
            norm: tile_norm(&self.guides, &self.visible, local, reach_px, floor, far),
        }
    }
}

/// Puts blended residuals onto the smooth fill, inside the holes only.
struct Composer<'a> {
    survey: &'a Survey,
    guides: &'a Guides,
    samples: usize,
}

impl Composer<'_> {
    fn compose(&self, view: &View, rows: Window, blended: &Blended) -> FilledRows {
        let local = rows.relative_to(view.context);
        let mut image = view.image.crop(local);
        let smooth = view.smooth.crop(local);
        let filled = view.holes.crop(local);
        let mut std =
            (self.samples > 1).then(|| Raster::new(image.bands, image.height, image.width));
        let pixels = rows.pixels();
        let g = self.guides.bands.len();
        let Transfer {
            others,
            beta,
            unexplained,
            ..
        } = &self.survey.transfer;
        for index in (0..pixels).filter(|index| filled.data[*index]) {
            let guide = |sample: usize, i: usize| blended.values[(sample * g + i) * pixels + index];
            let mut put = |band: usize, of: &dyn Fn(usize) -> f32, unknown: f32| {
                let (mean, variance) = moments(self.samples, of);
                let at = band * pixels + index;
                let (low, high) = self.survey.range[band];
                image.data[at] = (smooth.data[at] + mean).clamp(low, high);
                if let Some(std) = &mut std {
                    std.data[at] = (variance + unknown).sqrt();
                }
            };
            for (i, &band) in self.guides.bands.iter().enumerate() {
                put(band, &|sample| guide(sample, i), 0.0);
            }
            for (o, &band) in others.iter().enumerate() {
                let beta = &beta[o * g..][..g];
                let of = |sample: usize| {
                    beta.iter()
                        .enumerate()
                        .map(|(i, b)| b * guide(sample, i))
                        .sum::<f32>()
                };
                put(band, &of, unexplained[o]);
            }
        }
        FilledRows {
            window: rows,
            image,
            std,
            filled,
            valid: view.valid.crop(local),
        }
    }
}

/// Mean and variance over the ensemble. Antithetic members fix the mean rather than estimate
/// it, so no degree of freedom is lost: the divisor is n.
fn moments(samples: usize, of: &dyn Fn(usize) -> f32) -> (f32, f32) {
    let n = samples as f32;
    let mean = (0..samples).map(of).sum::<f32>() / n;
    let variance = (0..samples).map(|s| (of(s) - mean).powi(2)).sum::<f32>() / n;
    (mean, variance)
}

/// Counts sampler steps and passes the caller's wish to stop on.
struct Meter<'a> {
    done: usize,
    total: usize,
    report: &'a mut dyn FnMut(Progress) -> ControlFlow<()>,
}

impl Meter<'_> {
    fn step(&mut self) -> ControlFlow<()> {
        self.done += 1;
        (self.report)(Progress {
            done: self.done,
            total: self.total.max(self.done),
        })
    }
}
