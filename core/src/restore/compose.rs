//! Puts blended residuals onto the smooth fill, inside the holes only.

use super::dates::Told;
use super::ensemble::moments;
use super::view::View;
use super::{FilledRows, Plan, RestoreSettings, SceneWindow, Written};
use crate::raster::blend::Blended;
use crate::raster::spectral::Transfer;
use crate::raster::{Mask, Raster, Window};

/// What is kept of a view until its tiles are computed.
pub(super) struct Part {
    /// Which part of the scene.
    pub window: Window,
    /// All bands, smoothly filled.
    smooth: Raster,
    /// True = masked and valid.
    holes: Mask,
    /// What other dates say of it by themselves.
    told: Option<Told>,
    /// What a coarser estimate changes about the restored bands, and its standard deviation.
    coarse: Option<(Raster, Raster)>,
}

impl Part {
    /// A part of a view by its place in the scene.
    pub fn new(view: &View, window: Window) -> Self {
        let local = window.relative_to(view.context);
        Self {
            window,
            smooth: view.smooth.crop(local),
            holes: view.holes.crop(local),
            told: view.told.as_ref().map(|told| told.crop(local)),
            coarse: view
                .coarse
                .as_ref()
                .map(|delta| (delta.change.crop(local), delta.std.crop(local))),
        }
    }
}

/// Rows of the scene as read, to be filled by [`compose`].
pub(super) fn as_read(window: Window, read: SceneWindow, spread: bool) -> FilledRows {
    let image = read.image;
    FilledRows {
        window,
        std: spread.then(|| Raster::new(image.bands, image.height, image.width)),
        image,
        filled: read.valid.and(&read.mask),
        valid: read.valid,
    }
}

/// Replaces the holes of a part by smooth fill + residual of the mean or of one member, with the
/// standard deviation over all. Where other dates are the fill ([`RestoreSettings::dates_alone`]),
/// the network has no say: the smooth fill is what they suggest, and they say how far it may err.
/// Where a texture is written, it follows the members in `blended`.
pub(super) fn compose(
    plan: &Plan,
    settings: &RestoreSettings,
    part: &Part,
    blended: &Blended,
    rows: &mut FilledRows,
) {
    let samples = settings.samples;
    let local = part.window.relative_to(rows.window);
    let (image, std) = (&mut rows.image, &mut rows.std);
    let (width, all) = (rows.window.width, rows.window.pixels());
    let pixels = part.window.pixels();
    let g = plan.restored.bands.len();
    let Transfer {
        others,
        beta,
        unexplained,
        ..
    } = &plan.survey.transfer;
    let (change, spread) = match &part.coarse {
        Some((change, spread)) => (Some(&change.data), Some(&spread.data)),
        None => (None, None),
    };
    for index in (0..pixels).filter(|index| part.holes.data[*index]) {
        let at = |i: usize| i * pixels + index;
        let (row, col) = (index / local.width, index % local.width);
        let to = (local.row + row) * width + local.col + col;
        let told = part.told.as_ref();
        if let Some(told) = told.filter(|told| plan.told_alone && told.observed.data[index]) {
            for band in 0..image.bands {
                let value = part.smooth.data[at(band)];
                let (low, high) = plan.survey.range[band];
                image.data[band * all + to] = match plan.taken[band] {
                    true => value,
                    false => value.clamp(low, high),
                };
                if let Some(std) = std {
                    std.data[band * all + to] = told.std.data[at(band)];
                }
            }
            continue;
        }
        let guide = |sample: usize, i: usize| {
            let change = change.map_or(0.0, |change| change[at(i)]);
            blended.values[(sample * g + i) * pixels + index] + change
        };
        let spread = |i: usize| spread.map_or(0.0, |spread| spread[at(i)]);
        // What the network says itself: its bands err together, mostly in brightness.
        let said = |i: usize| match settings.says_spread() {
            true => blended.values[(samples * g + i) * pixels + index] * plan.uncertainty_factor,
            false => 0.0,
        };
        let mut put = |band: usize, of: &dyn Fn(usize) -> f32, unknown: f32| {
            let (mean, variance) = moments(samples, of);
            let variance = variance * plan.uncertainty_factor.powi(2);
            let (low, high) = plan.survey.range[band];
            let residual = match settings.written {
                Written::Mean => mean,
                Written::Sample => of(0),
                Written::Texture => of(settings.planes()),
            };
            image.data[band * all + to] = (part.smooth.data[at(band)] + residual).clamp(low, high);
            if let Some(std) = std {
                std.data[band * all + to] = (variance + unknown).sqrt();
            }
        };
        for (i, &band) in plan.restored.bands.iter().enumerate() {
            let unknown = spread(i).powi(2) + said(i).powi(2);
            put(band, &|sample| guide(sample, i), unknown);
        }
        for (o, &band) in others.iter().enumerate() {
            let beta = &beta[o * g..][..g];
            let sum = |of: &dyn Fn(usize) -> f32| {
                let terms = beta.iter().enumerate();
                terms.map(|(i, b)| b * of(i)).sum::<f32>()
            };
            // The bands of a coarser estimate err together, too: deviations add up.
            let unknown = unexplained[o] + sum(&spread).powi(2) + sum(&said).powi(2);
            put(band, &|sample| sum(&|i| guide(sample, i)), unknown);
        }
    }
}
