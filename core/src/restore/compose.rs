//! Puts blended residuals onto the smooth fill, inside the holes only.

use super::view::View;
use super::{FilledRows, Plan, RestoreSettings, Written};
use crate::raster::blend::Blended;
use crate::raster::spectral::Transfer;
use crate::raster::{Raster, Window};

/// Finished rows: the scene as read, its holes replaced by smooth fill + residual of the mean or
/// of one member, with the standard deviation over all.
pub(super) fn compose(
    plan: &Plan,
    settings: &RestoreSettings,
    view: &View,
    rows: Window,
    blended: &Blended,
) -> FilledRows {
    let samples = settings.samples;
    let local = rows.relative_to(view.context);
    let mut image = view.image.crop(local);
    let smooth = view.smooth.crop(local);
    let filled = view.holes.crop(local);
    let coarse = view
        .coarse
        .as_ref()
        .map(|delta| (delta.change.crop(local), delta.std.crop(local)));
    let mut std = (samples > 1).then(|| Raster::new(image.bands, image.height, image.width));
    let pixels = rows.pixels();
    let g = plan.guides.bands.len();
    let Transfer {
        others,
        beta,
        unexplained,
        ..
    } = &plan.survey.transfer;
    for index in (0..pixels).filter(|index| filled.data[*index]) {
        let at = |i: usize| i * pixels + index;
        let (change, spread) = match &coarse {
            Some((change, spread)) => (Some(&change.data), Some(&spread.data)),
            None => (None, None),
        };
        let guide = |sample: usize, i: usize| {
            let change = change.map_or(0.0, |change| change[at(i)]);
            blended.values[(sample * g + i) * pixels + index] + change
        };
        let spread = |i: usize| spread.map_or(0.0, |spread| spread[at(i)]);
        let mut put = |band: usize, of: &dyn Fn(usize) -> f32, unknown: f32| {
            let (mean, variance) = moments(samples, of);
            let variance = variance * plan.uncertainty_factor.powi(2);
            let (low, high) = plan.survey.range[band];
            let residual = match settings.written {
                Written::Mean => mean,
                Written::Sample => of(0),
            };
            image.data[at(band)] = (smooth.data[at(band)] + residual).clamp(low, high);
            if let Some(std) = &mut std {
                std.data[at(band)] = (variance + unknown).sqrt();
            }
        };
        for (i, &band) in plan.guides.bands.iter().enumerate() {
            put(band, &|sample| guide(sample, i), spread(i).powi(2));
        }
        for (o, &band) in others.iter().enumerate() {
            let beta = &beta[o * g..][..g];
            let sum = |of: &dyn Fn(usize) -> f32| {
                let terms = beta.iter().enumerate();
                terms.map(|(i, b)| b * of(i)).sum::<f32>()
            };
            // The bands of a coarser estimate err together: its deviations add up.
            let unknown = unexplained[o] + sum(&spread).powi(2);
            put(band, &|sample| sum(&|i| guide(sample, i)), unknown);
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

/// Mean and variance over the ensemble. Antithetic members fix the mean rather than estimate
/// it, so no degree of freedom is lost: the divisor is n.
fn moments(samples: usize, of: &dyn Fn(usize) -> f32) -> (f32, f32) {
    let n = samples as f32;
    let mean = (0..samples).map(of).sum::<f32>() / n;
    let variance = (0..samples).map(|s| (of(s) - mean).powi(2)).sum::<f32>() / n;
    (mean, variance)
}
