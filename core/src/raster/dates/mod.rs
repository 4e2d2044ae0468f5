//! What the other dates of a place say about the ground that a mask hides.
//!
//! For a part of a scene the most useful dates are chosen by how well each of them alone explains
//! the visible ground, near the holes above all. The scene's bands then follow all bands of
//! several dates at once, by ridge regression ([`regression`]), once for all pixels and once for
//! each cluster of alike ones; the fill is the mean over nested sets of dates (the best three,
//! four, eight, twelve that show the pixel), since few dates follow the scene closely and many
//! average out what is odd about one. A date that disagrees with the others at a pixel has no say
//! there if the visible ground tells that it is mostly wrong where it disagrees: a cloud that was
//! not known to be one, rather than the only date that shows a harvested field.
//!
//! Means over sets of predictors are a plain form of stacking (Breiman 1996). The nearest
//! published relatives use one date (NSPI, Chen et al. 2011) or clusters of pixels and linear
//! regression (CLR); interpolation between the date before and the one after is the special case
//! of two dates with one coefficient each. [`DateMethod`] has these and other ways by name.

mod choose;
mod clusters;
pub mod features;
mod fitted;
mod method;
mod plain;
pub mod regression;

pub use self::choose::MOST_DATES;
pub use self::fitted::AT_ONCE;
pub use self::method::DateMethod;

use self::choose::{Sampled, choose};
use self::features::Features;
use self::fitted::Fitted;
use self::plain::Plain;
use self::regression::{Regression, Table};
use super::random::bits_at;
use super::summed_area::SummedArea;
use super::{Mask, Raster, Window};
use crate::error::Result;

/// Visible pixels that are fitted to at the most.
pub const MOST_PIXELS: usize = 16_000;
/// Fewer pixels than this that scene and date both show are no fit.
const LEAST_PIXELS: usize = 64;
/// Visible pixels within this distance (a square) of hidden ones count more.
const NEAR_PX: usize = 32;
/// Weight of a visible pixel far from every hole, beside 1 in the midst of them.
const FAR_WEIGHT: f32 = 0.05;
/// Names the plane of random bits that says which pixels are fitted to.
const SAMPLE_KEY: u64 = u64::from_be_bytes(*b"dates:at");
/// Pixels that are predicted at once.
const CHUNK: usize = 1024;
/// Days to a date of unknown time: farther than any.
const NOT_DATED: i32 = i32::MAX;

/// Pixels around a window that [`DatesModel::predict`] needs so that the cut does not show.
pub const HALO_PX: usize = features::RADIUS_PX;

/// A part of a scene with its holes.
#[derive(Debug, Clone, Copy)]
pub struct Ground<'a> {
    /// `[bands, height, width]` in scene units; unspecified where not visible.
    pub image: &'a Raster,
    /// True = the scene shows the ground.
    pub visible: &'a Mask,
    /// True = to be filled.
    pub holes: &'a Mask,
    /// Where in the scene it lies.
    pub window: Window,
}

/// How a part of a scene follows its other dates.
#[derive(Debug, Clone)]
pub struct DatesModel {
    /// The dates that are asked, the most useful first.
    pub dates: Vec<usize>,
    kind: Kind,
}

#[derive(Debug, Clone)]
enum Kind {
    Plain(Plain),
    Fitted(Fitted),
}

/// What the dates suggest.
#[derive(Debug, Clone)]
pub struct Suggestion {
    /// `[bands, height, width]` of the scene in its units; 0 where no date shows the ground.
    pub image: Raster,
    /// Standard deviation of its error, alike; what the fit to the visible ground leaves.
    pub std: Raster,
    /// True = some date shows the ground.
    pub observed: Mask,
    /// How many dates were asked, `[height, width]`.
    pub dates: Vec<u8>,
    /// Which of [`DatesModel::dates`] counts most, `[height, width]`.
    pub most: Vec<u8>,
}

impl Suggestion {
    /// None of these pixels is shown.
    pub fn nothing(bands: usize, height: usize, width: usize) -> Self {
        Self {
            image: Raster::new(bands, height, width),
            std: Raster::new(bands, height, width),
            observed: Mask::new(height, width, false),
            dates: vec![0; height * width],
            most: vec![0; height * width],
        }
    }
}

impl DatesModel {
    /// Fits a part of a scene to its other dates, each of which `read` reads once, in the same
    /// window: its image in its own bands and units, and where it shows the ground. `days` has
    /// the days from the scene to each of them, where they are known.
    ///
    /// The order of the dates does not matter, but for those that are equally good.
    ///
    /// # Errors
    /// Whatever `read` returns.
    pub fn fit(
        method: DateMethod,
        ground: &Ground,
        days: &[Option<i32>],
        mut read: impl FnMut(usize) -> Result<(Raster, Mask)>,
    ) -> Result<Self> {
        let (pixels, weights) = sample(ground);
        let scene = Table {
            values: (0..ground.image.bands)
                .flat_map(|band| pixels.iter().map(move |p| ground.image.band(band)[*p]))
                .collect(),
            count: pixels.len(),
        };
        let hidden: Vec<usize> = (0..ground.holes.data.len())
            .filter(|i| ground.holes.data[*i])
            .collect();
        if method.takes_values() {
            return Self::fit_plain(method, (&pixels, &weights, &hidden), &scene, days, read);
        }
        let mut sampled = Vec::new();
        for date in 0..days.len() {
            let (image, observed) = read(date)?;
            let holes: Vec<bool> = hidden.iter().map(|i| observed.data[*i]).collect();
            if !hidden.is_empty() && !holes.iter().any(|seen| *seen) {
                continue;
            }
            let features = Features::new(&image, &observed);
            let observed: Vec<bool> = pixels.iter().map(|p| observed.data[*p]).collect();
            let features = features.at(&pixels);
            let alone = fit_alone(&features, &scene, &weights, &observed);
            sampled.extend(alone.map(|alone| Sampled {
                date,
                features,
                observed,
                alone,
                holes,
            }));
        }
        let merit = |date: &Sampled| {
            let seen = date
                .observed
                .iter()
                .chain(&date.holes)
                .filter(|seen| **seen)
                .count();
            let share = seen as f32 / (date.observed.len() + date.holes.len()) as f32;
            date.alone.unexplained / share.powi(2)
        };
        sampled.sort_by(|a, b| merit(a).total_cmp(&merit(b)));
        let chosen = choose(sampled, fitted::most_dates(method), hidden.len());
        Ok(Self {
            dates: chosen.iter().map(|date| date.date).collect(),
            kind: Kind::Fitted(Fitted::fit(method, chosen, &scene, &weights, hidden.len())),
        })
    }

    /// Looks at the dates that have the scene's bands, from the nearest in time on.
    fn fit_plain(
        method: DateMethod,
        (pixels, weights, hidden): (&[usize], &[f32], &[usize]),
        scene: &Table,
        days: &[Option<i32>],
        mut read: impl FnMut(usize) -> Result<(Raster, Mask)>,
    ) -> Result<Self> {
        let far = |date: &usize| days[*date].map_or(u32::MAX, i32::unsigned_abs);
        let mut nearest: Vec<usize> = (0..days.len()).collect();
        nearest.sort_by_key(|date| (far(date), *date));
        let (mut dates, mut shown) = (Vec::new(), Vec::new());
        for date in nearest {
            let (image, observed) = read(date)?;
            let shows = hidden.is_empty() || hidden.iter().any(|i| observed.data[*i]);
            if image.bands != scene.columns() || !shows {
                continue;
            }
            let bands = (0..image.bands).flat_map(|band| {
                pixels
                    .iter()
                    .map(|p| image.band(band)[*p])
                    .collect::<Vec<_>>()
            });
            let values = Table {
                values: bands.collect(),
                count: pixels.len(),
            };
            shown.push((values, pixels.iter().map(|p| observed.data[*p]).collect()));
            dates.push(date);
            if dates.len() == MOST_DATES {
                break;
            }
        }
        let mut plain = Plain::new(method, dates.iter().map(|date| days[*date]).collect());
        plain.measure(scene, weights, &shown);
        Ok(Self {
            dates,
            kind: Kind::Plain(plain),
        })
    }

    /// What the dates suggest for a window: `dates` has each of [`dates`](Self::dates) there, in
    /// that order, with [`HALO_PX`] around it inside the scene or what the scene has of them.
    pub fn predict(&self, dates: &[Features], bands: usize) -> Suggestion {
        let Some(first) = dates.first() else {
            return Suggestion::nothing(bands, 0, 0);
        };
        let size = (first.observed.height, first.observed.width);
        match &self.kind {
            Kind::Plain(plain) => plain.predict(dates, bands, size),
            Kind::Fitted(fitted) => fitted.predict(dates, bands, size),
        }
    }
}

/// The scene from one date alone; none with too few pixels that both show.
fn fit_alone(
    features: &Table,
    scene: &Table,
    weights: &[f32],
    observed: &[bool],
) -> Option<Regression> {
    let rows: Vec<usize> = (0..scene.count).filter(|n| observed[*n]).collect();
    if rows.len() < LEAST_PIXELS {
        return None;
    }
    let weights: Vec<f32> = rows.iter().map(|n| weights[*n]).collect();
    let ridge = fitted::ridge(features.columns(), rows.len());
    Regression::fit(
        &features.select(&rows),
        &scene.select(&rows),
        &weights,
        ridge,
    )
}

/// The visible pixels that are fitted to, and their weights. Which they are depends on the place
/// in the scene alone.
fn sample(ground: &Ground) -> (Vec<usize>, Vec<f32>) {
    let (height, width) = (ground.visible.height, ground.visible.width);
    let visible = ground.visible.count();
    let keep = (MOST_PIXELS as f64 / visible.max(1) as f64).min(1.0);
    let threshold = (keep * u64::MAX as f64) as u64;
    let key = [SAMPLE_KEY];
    let bits = bits_at(&key);
    let pixels: Vec<usize> = (0..height * width)
        .filter(|i| {
            let (row, col) = (ground.window.row + i / width, ground.window.col + i % width);
            ground.visible.data[*i] && bits(row, col) <= threshold
        })
        .collect();
    let holes = SummedArea::new(height, width, |i| f64::from(u8::from(ground.holes.data[i])));
    let area = ((2 * NEAR_PX + 1) as f64).powi(2);
    let weight = |i: &usize| {
        let near = holes.square(i / width, i % width, NEAR_PX) / area;
        FAR_WEIGHT + near as f32
    };
    let weights = pixels.iter().map(weight).collect();
    (pixels, weights)
}

#[cfg(test)]
mod tests;
