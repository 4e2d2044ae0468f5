//! A whole image drawn anew from what a task shows of it: super-resolution, colourisation.

use std::ops::ControlFlow;

use super::ensemble::moments;
use super::predict::{Predicted, Tile, residuals};
use super::{Progress, RestoreSettings, check};
use crate::error::{Error, Hint, Key, Result};
use crate::model::{Model, Shown};
use crate::raster::blend::Blender;
use crate::raster::normalize::TileNorm;
use crate::raster::tiler::Tiling;
use crate::raster::{Mask, Raster, Window};

/// What a model for [redrawing](crate::model::task::Task::redraws) makes of what it is shown,
/// an image of the size of the outcome: the mean of the samples, and their standard deviation
/// with two or more. Bands the model does not know stay as shown; so does what is not valid.
///
/// # Errors
/// [`Error::Setting`] and [`Error::Mismatch`] for settings or a model that do not fit,
/// [`Error::Interrupted`] when `progress` breaks off, [`Error::Device`].
pub async fn redraw_async(
    shown: &Raster,
    valid: &Mask,
    model: &Model,
    how: &RestoreSettings,
    progress: &mut dyn FnMut(Progress) -> ControlFlow<()>,
) -> Result<(Raster, Option<Raster>)> {
    check::settings(how, shown.bands, model)?;
    if !model.card.task.redraws() {
        return Err(Error::Setting {
            key: Key::Model,
            expected: "one that draws whole images anew".into(),
            got: format!("{}, for {}", model.card.name, model.card.task.name()),
            hint: Hint::Restore,
        });
    }
    let (height, width) = (shown.height, shown.width);
    let tiling = Tiling::new(height, width, how.tile_px, how.overlap_px)?;
    let levels = model.levels(how.steps)?;
    let space = model.card.normalization;
    let own = TileNorm::from_visible(shown, valid, f32::MIN_POSITIVE);
    let full = how.reflectance_scale.unwrap_or(own.scale);
    let known = shown.select_bands(&how.model_bands);
    let tile = |window: Window| Tile {
        window,
        shown: Shown {
            filled: known.crop(window),
            unknown: Mask::new(window.height, window.width, true),
            guide: None,
            norm: space.tile_norm(&known, valid, window, full, own.clone()),
        },
    };
    let everywhere = Mask::new(height, width, true);
    let tiles: Vec<Tile> = (0..tiling.rows())
        .flat_map(|row| tiling.tiles_in_row_touching(row, &everywhere.crop(tiling.band(row))))
        .map(tile)
        .collect();
    let jobs: Vec<(usize, u64)> = (0..tiles.len())
        .flat_map(|tile| (0..how.samples as u64).map(move |sample| (tile, sample)))
        .collect();
    let total = jobs.len().div_ceil(how.batch) * how.reports(&model.card, &levels);
    let mut done = 0;
    let mut outcomes: Vec<Vec<f32>> = vec![Vec::new(); tiles.len()];
    for batch in jobs.chunks(how.batch) {
        let items: Vec<(&Tile, u64)> = batch.iter().map(|&(t, s)| (&tiles[t], s)).collect();
        let Predicted {
            residuals: predicted,
            ..
        } = residuals(model, how, &levels, &items, false, &mut || {
            done += 1;
            progress(Progress {
                done,
                total,
                ..Progress::default()
            })
        })
        .await?;
        for (&(tile, _), residual) in batch.iter().zip(predicted) {
            outcomes[tile].extend(residual);
        }
    }
    let bands = known.bands;
    let mut blender = Blender::new(how.samples * bands, width, how.overlap_px);
    for (tile, planes) in tiles.iter().zip(&outcomes) {
        blender.add(tile.window, planes);
    }
    let residual = blender.read(Window::full(height, width)).values;
    let mut mean = shown.clone();
    let mut std = Raster::new(shown.bands, height, width);
    let pixels = height * width;
    for (slot, &band) in how.model_bands.iter().enumerate() {
        for i in (0..pixels).filter(|i| valid.data[*i]) {
            let member = |s: usize| residual[(s * bands + slot) * pixels + i];
            let (average, variance) = moments(how.samples, &member);
            let variance = variance * model.card.uncertainty_factor.powi(2);
            mean.band_mut(band)[i] = known.band(slot)[i] + average;
            std.band_mut(band)[i] = variance.sqrt();
        }
    }
    Ok((mean, (how.samples > 1).then_some(std)))
}

/// As [`redraw_async`], waiting for the device; for native faces.
///
/// # Errors
/// As [`redraw_async`].
#[cfg(not(target_family = "wasm"))]
pub fn redraw(
    shown: &Raster,
    valid: &Mask,
    model: &Model,
    how: &RestoreSettings,
    progress: &mut dyn FnMut(Progress) -> ControlFlow<()>,
) -> Result<(Raster, Option<Raster>)> {
    pollster::block_on(redraw_async(shown, valid, model, how, progress))
}
