//! Values of other dates as they are: the nearest one, between two, the median.

use super::choose::median;
use super::features::Features;
use super::regression::Table;
use super::{DateMethod, NOT_DATED, Suggestion};

/// What a plain method knows of the dates it asks, the nearest in time first.
#[derive(Debug, Clone)]
pub(super) struct Plain {
    method: DateMethod,
    /// Days from the scene to each of them.
    days: Vec<Option<i32>>,
    /// How far it misses the visible ground, by band: root mean square, scene units.
    left: Vec<f32>,
}

impl Plain {
    pub fn new(method: DateMethod, days: Vec<Option<i32>>) -> Self {
        Self {
            method,
            days,
            left: Vec::new(),
        }
    }

    /// Measures how far it misses the scene at some pixels; `dates` has the values of each date
    /// there, and which it shows.
    pub fn measure(&mut self, scene: &Table, weights: &[f32], dates: &[(Table, Vec<bool>)]) {
        let mut sums = vec![0.0f64; scene.columns()];
        let mut total = 0.0f64;
        let mut out = vec![0.0f32; scene.columns()];
        for (n, weight) in weights.iter().enumerate() {
            let shown = |i: usize| dates[i].1[n];
            let value = |i: usize, band: usize| dates[i].0.column(band)[n];
            if self.at(&shown, &value, &mut out).is_none() {
                continue;
            }
            total += f64::from(*weight);
            for (band, sum) in sums.iter_mut().enumerate() {
                let off = f64::from(out[band] - scene.column(band)[n]);
                *sum += f64::from(*weight) * off * off;
            }
        }
        let root = |sum: f64| (sum / total.max(f64::MIN_POSITIVE)).sqrt() as f32;
        self.left = sums.into_iter().map(root).collect();
    }

    /// One pixel into `out`, by band; the date that counts most and how many count, if any shows
    /// it.
    fn at(
        &self,
        shown: &dyn Fn(usize) -> bool,
        value: &dyn Fn(usize, usize) -> f32,
        out: &mut [f32],
    ) -> Option<(usize, usize)> {
        let mut nearest = (0..self.days.len()).filter(|i| shown(*i));
        let first = nearest.next()?;
        let count = match self.method {
            DateMethod::Median => {
                let shown: Vec<usize> = std::iter::once(first).chain(nearest).collect();
                let mut values = Vec::with_capacity(shown.len());
                for (band, out) in out.iter_mut().enumerate() {
                    values.clear();
                    values.extend(shown.iter().map(|i| value(*i, band)));
                    *out = median(&mut values);
                }
                shown.len()
            }
            DateMethod::Interpolate => {
                let side = |i: usize| self.days[i].map(|days| days > 0);
                // None of an unknown time is before or after.
                let second = side(first).and_then(|late| nearest.find(|i| side(*i) == Some(!late)));
                let far = |i: usize| self.days[i].unwrap_or(NOT_DATED).unsigned_abs() as f32;
                let weight = match second {
                    Some(second) => far(first) / (far(first) + far(second)).max(1.0),
                    None => 0.0,
                };
                for (band, out) in out.iter_mut().enumerate() {
                    let other = second.map_or(0.0, |second| weight * value(second, band));
                    *out = (1.0 - weight) * value(first, band) + other;
                }
                1 + usize::from(second.is_some())
            }
            _ => {
                let bands = out.iter_mut().enumerate();
                bands.for_each(|(band, out)| *out = value(first, band));
                1
            }
        };
        Some((first, count))
    }

    /// As [`DatesModel::predict`](super::DatesModel::predict).
    pub fn predict(
        &self,
        dates: &[Features],
        bands: usize,
        (height, width): (usize, usize),
    ) -> Suggestion {
        let mut suggestion = Suggestion::nothing(bands, height, width);
        let mut out = vec![0.0; bands];
        for pixel in 0..height * width {
            let shown = |i: usize| dates[i].observed.data[pixel];
            let value = |i: usize, band: usize| dates[i].value(band, pixel);
            let Some((most, count)) = self.at(&shown, &value, &mut out) else {
                continue;
            };
            for (band, value) in out.iter().enumerate() {
                suggestion.image.band_mut(band)[pixel] = *value;
                suggestion.std.band_mut(band)[pixel] = self.left[band];
            }
            suggestion.observed.data[pixel] = true;
            suggestion.most[pixel] = most as u8;
            suggestion.dates[pixel] = count as u8;
        }
        suggestion
    }
}
