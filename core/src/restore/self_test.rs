//! What the error would have been on this scene, method by method: visible ground is hidden under
//! the scene's own mask, moved, and filled from the rest.
//!
//! Held-out validation on the very scene, season and clouds at hand; the shapes and sizes of the
//! holes are those that matter. Where no method is named the best one here fills the scene.

use std::ops::ControlFlow;

use serde::Serialize;

use super::dates::{BLOCK_PX, Carried, Choice, MARGIN_PX, filled};
use super::{MemorySink, MemorySource, Reference, RestoreSettings, SceneSource};
use crate::error::Result;
use crate::model::Model;
use crate::raster::dates::features::Features;
use crate::raster::dates::{DateMethod, DatesModel, Ground, HALO_PX, Suggestion};
use crate::raster::random::bits_at;
use crate::raster::{Mask, Raster, Window};

/// Parts of a scene that are tested: more change the verdict little.
const TRIALS: usize = 4;
/// Parts that are looked at to find these.
const MOST_LOOKS: usize = 64;
/// Fewer hidden pixels than this tell nothing.
const LEAST_HIDDEN: usize = 100;
/// At the least this many times the hidden pixels stay visible.
const STAYS_VISIBLE: usize = 1;
/// Another method than regression is taken where it leaves less than this share of its squared
/// error, and of its absolute error: less may be chance, or a few odd pixels.
const CLEARLY_BETTER: (f64, f64) = (0.8, 0.9);
/// Rows that are predicted at once.
const STRIP_PX: usize = 64;
/// Names the order in which parts are looked at.
const ORDER_KEY: u64 = u64::from_be_bytes(*b"selftest");

/// How every method did on visible ground that was hidden from it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SelfTest {
    /// Pixels that were hidden.
    pub pixels: usize,
    /// The methods that could be tested.
    pub methods: Vec<Tested>,
}

/// How one method did.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Tested {
    /// Its name; `network` for the model without other dates.
    pub method: String,
    /// Root mean square error of every band, in the units of the scene.
    pub rmse: Vec<f64>,
    /// Its square over the variance of the hidden ground, mean over the bands the network restores
    /// and over the others.
    pub unexplained: (f64, f64),
    /// Mean absolute error over the standard deviation of the hidden ground, alike.
    pub missed: (f64, f64),
}

/// Visible ground that is hidden for a test.
struct Trial {
    window: Window,
    image: Raster,
    /// True = stays visible.
    visible: Mask,
    /// True = is hidden.
    hidden: Mask,
}

/// Sums over the trials.
struct Sums {
    squares: Vec<f64>,
    absolute: Vec<f64>,
    count: usize,
}

/// Tests the methods for other dates on a scene, and with `network` the model without them.
/// None where the mask leaves too little to hide.
///
/// # Errors
/// Whatever the source returns; with `network` as [`restore_async`](super::restore_async).
pub async fn self_test_async(
    source: &mut dyn SceneSource,
    model: &Model,
    settings: &RestoreSettings,
    network: bool,
) -> Result<Option<SelfTest>> {
    let (bands, references) = (source.bands(), source.references());
    let same_bands = references.iter().any(|other| other.bands == bands);
    let asked = |method: &DateMethod| !method.takes_values() || same_bands;
    let methods = DateMethod::ALL.into_iter().filter(asked);
    let mut by_dates: Vec<(DateMethod, Sums)> = match references.is_empty() {
        true => Vec::new(),
        false => methods.map(|method| (method, Sums::new(bands))).collect(),
    };
    let mut by_network = network.then(|| Sums::new(bands));
    let mut ground = Variance::new(bands);
    let mut blocks = blocks(source.size()).into_iter();
    for _ in 0..TRIALS {
        let Some(trial) = Trial::next(source, &mut blocks)? else {
            break;
        };
        ground.add(&trial);
        for (method, sums) in &mut by_dates {
            let fill = trial.by_dates(*method, source, model.card.normalization.reach_px())?;
            sums.add(&trial, &fill);
        }
        if let Some(sums) = &mut by_network {
            sums.add(&trial, &trial.by_network(model, settings).await?);
        }
    }
    if ground.count == 0 {
        return Ok(None);
    }
    let variance = ground.finish();
    let restored = &settings.model_bands;
    let named = by_dates.iter().map(|(method, sums)| (method.name(), sums));
    let named = named.chain(by_network.iter().map(|sums| ("network", sums)));
    Ok(Some(SelfTest {
        pixels: ground.count,
        methods: named
            .map(|(name, sums)| sums.tested(name, &variance, restored))
            .collect(),
    }))
}

/// The same, waiting for the device; for native faces.
///
/// # Errors
/// As [`self_test_async`].
#[cfg(not(target_family = "wasm"))]
pub fn self_test(
    source: &mut dyn SceneSource,
    model: &Model,
    settings: &RestoreSettings,
    network: bool,
) -> Result<Option<SelfTest>> {
    pollster::block_on(self_test_async(source, model, settings, network))
}

impl SelfTest {
    /// The best method for the bands the network restores and for the others; regression where
    /// none is clearly better.
    pub fn choice(&self) -> Choice {
        let best = |of: fn(&Tested) -> (f64, f64)| {
            let mut best = (DateMethod::Regression, (f64::INFINITY, f64::INFINITY));
            // Regression is asked first.
            for method in DateMethod::ALL {
                let tested = self.methods.iter().find(|t| t.method == method.name());
                let Some(left) = tested.map(of) else { continue };
                let better =
                    left.0 < best.1.0 * CLEARLY_BETTER.0 && left.1 < best.1.1 * CLEARLY_BETTER.1;
                if better {
                    best = (method, left);
                }
            }
            best.0
        };
        Choice {
            restored: best(|tested| (tested.unexplained.0, tested.missed.0)),
            others: best(|tested| (tested.unexplained.1, tested.missed.1)),
        }
    }
}

impl Sums {
    fn new(bands: usize) -> Self {
        Self {
            squares: vec![0.0; bands],
            absolute: vec![0.0; bands],
            count: 0,
        }
    }

    fn add(&mut self, trial: &Trial, fill: &Raster) {
        let hidden = || (0..trial.hidden.data.len()).filter(|i| trial.hidden.data[*i]);
        self.count += hidden().count();
        for band in 0..fill.bands {
            let (fill, truth) = (fill.band(band), trial.image.band(band));
            for i in hidden() {
                let error = f64::from(fill[i] - truth[i]);
                self.squares[band] += error * error;
                self.absolute[band] += error.abs();
            }
        }
    }

    /// `variance` is that of the hidden ground by band, `restored` the bands the network restores.
    fn tested(&self, method: &str, variance: &[f64], restored: &[usize]) -> Tested {
        let count = self.count.max(1) as f64;
        // The mean of a figure over a group of bands.
        let over = |of_model: bool, figure: &dyn Fn(usize) -> f64| {
            let group = (0..variance.len()).filter(|band| restored.contains(band) == of_model);
            let figures: Vec<f64> = group
                .filter(|band| variance[*band] > 0.0)
                .map(figure)
                .collect();
            figures.iter().sum::<f64>() / figures.len().max(1) as f64
        };
        let both = |figure: &dyn Fn(usize) -> f64| (over(true, figure), over(false, figure));
        Tested {
            method: method.to_owned(),
            unexplained: both(&|band| self.squares[band] / count / variance[band]),
            missed: both(&|band| self.absolute[band] / count / variance[band].sqrt()),
            rmse: self.squares.iter().map(|s| (s / count).sqrt()).collect(),
        }
    }
}

impl Trial {
    /// The next of some blocks whose mask can be moved over ground that is visible.
    fn next(
        source: &mut dyn SceneSource,
        blocks: &mut impl Iterator<Item = Window>,
    ) -> Result<Option<Self>> {
        let (height, width) = source.size();
        for core in blocks {
            let window = core.grow(MARGIN_PX, height, width);
            let read = source.read(window)?;
            let visible = read.valid.and_not(&read.mask);
            if let Some(hidden) = moved(&read.valid.and(&read.mask), &visible) {
                return Ok(Some(Trial {
                    window,
                    image: read.image,
                    visible: visible.and_not(&hidden),
                    hidden,
                }));
            }
        }
        Ok(None)
    }

    /// The image as a method fills it from other dates.
    fn by_dates(
        &self,
        method: DateMethod,
        source: &mut dyn SceneSource,
        reach_px: usize,
    ) -> Result<Raster> {
        let ground = Ground {
            image: &self.image,
            visible: &self.visible,
            holes: &self.hidden,
            window: self.window,
        };
        let days: Vec<Option<i32>> = source.references().iter().map(|other| other.days).collect();
        let model = DatesModel::fit(method, &ground, &days, |date| {
            let Reference { image, observed } = source.read_reference(date, self.window)?;
            Ok((image, observed))
        })?;
        let carried = Carried {
            targets: &self.hidden,
            known: &self.visible.or(&self.hidden),
            reach_px,
        };
        let suggestion = suggest(&model, source, self.window)?;
        let fill = filled(&self.image, &suggestion, &carried, |_| {
            method.takes_values()
        });
        let far = vec![0.0; self.image.bands];
        Ok(fill.map_or_else(|| carried.soft(&self.image, &far), |(fill, _)| fill))
    }

    /// The image as the network fills it without other dates.
    async fn by_network(&self, model: &Model, settings: &RestoreSettings) -> Result<Raster> {
        let valid = self.visible.or(&self.hidden);
        let mut source = MemorySource::new(&self.image, &self.hidden, &valid);
        let mut sink = MemorySink::new(&self.image);
        let settings = RestoreSettings {
            dates: None,
            ..settings.clone()
        };
        let mut go_on = |_| ControlFlow::Continue(());
        super::restore_async(&mut source, &mut sink, model, &settings, &mut go_on).await?;
        Ok(sink.image)
    }
}

/// What a model suggests for a window, computed strip by strip: dates are many and wide.
fn suggest(model: &DatesModel, source: &mut dyn SceneSource, window: Window) -> Result<Suggestion> {
    let ((height, width), bands) = (source.size(), source.bands());
    let mut all = Suggestion::nothing(bands, window.height, window.width);
    for row in (0..window.height).step_by(STRIP_PX) {
        let strip = Window {
            row: window.row + row,
            height: STRIP_PX.min(window.height - row),
            ..window
        };
        let outer = strip.grow(HALO_PX, height, width);
        let mut dates = Vec::with_capacity(model.dates.len());
        for date in &model.dates {
            let Reference { image, observed } = source.read_reference(*date, outer)?;
            dates.push(Features::new(&image, &observed).crop(strip.relative_to(outer)));
        }
        let part = model.predict(&dates, bands);
        let to = row * window.width..row * window.width + part.observed.data.len();
        for band in 0..bands {
            let (values, std) = (part.image.band(band), part.std.band(band));
            all.image.band_mut(band)[to.clone()].copy_from_slice(values);
            all.std.band_mut(band)[to.clone()].copy_from_slice(std);
        }
        all.observed.data[to].copy_from_slice(&part.observed.data);
    }
    Ok(all)
}

/// Parts of a scene in an order that chance might have made, the same every time.
fn blocks((height, width): (usize, usize)) -> Vec<Window> {
    let key = [ORDER_KEY];
    let order = bits_at(&key);
    let (rows, cols) = (height.div_ceil(BLOCK_PX), width.div_ceil(BLOCK_PX));
    let mut blocks: Vec<(usize, usize)> = (0..rows)
        .flat_map(|row| (0..cols).map(move |col| (row, col)))
        .collect();
    blocks.sort_by_key(|(row, col)| order(*row, *col));
    blocks.truncate(MOST_LOOKS);
    let window = |(row, col): (usize, usize)| Window {
        row: row * BLOCK_PX,
        col: col * BLOCK_PX,
        height: BLOCK_PX.min(height - row * BLOCK_PX),
        width: BLOCK_PX.min(width - col * BLOCK_PX),
    };
    blocks.into_iter().map(window).collect()
}

/// Holes moved so that they hide visible ground: by half of the image down, across or both, as it
/// hides most and leaves enough to fill from.
fn moved(holes: &Mask, visible: &Mask) -> Option<Mask> {
    let (height, width) = (holes.height, holes.width);
    let by = |(down, across): (usize, usize)| {
        Mask::from_fn(height, width, |row, col| {
            visible.at(row, col) && holes.at((row + down) % height, (col + across) % width)
        })
    };
    let ways = [
        (height / 2, width / 2),
        (height / 2, 0),
        (0, width / 2),
        (height / 4, width / 4),
    ];
    let seen = visible.count();
    let sound = |hidden: &Mask| {
        let count = hidden.count();
        count >= LEAST_HIDDEN && (STAYS_VISIBLE + 1) * count <= seen
    };
    let found = ways.into_iter().map(by).filter(sound);
    // The first of those that hide as much.
    found.rev().max_by_key(Mask::count)
}

/// Variance of the hidden ground by band, in the making.
struct Variance {
    sums: Vec<(f64, f64)>,
    count: usize,
}

impl Variance {
    fn new(bands: usize) -> Self {
        Self {
            sums: vec![(0.0, 0.0); bands],
            count: 0,
        }
    }

    fn add(&mut self, trial: &Trial) {
        self.count += trial.hidden.count();
        for (band, (sum, squares)) in self.sums.iter_mut().enumerate() {
            let values = trial.image.band(band).iter().zip(&trial.hidden.data);
            for (value, _) in values.filter(|(_, hidden)| **hidden) {
                *sum += f64::from(*value);
                *squares += f64::from(*value).powi(2);
            }
        }
    }

    fn finish(&self) -> Vec<f64> {
        let n = self.count.max(1) as f64;
        let of = |(sum, squares): &(f64, f64)| (squares / n - (sum / n).powi(2)).max(0.0);
        self.sums.iter().map(of).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moved_mask_hides_visible_ground_only() {
        let holes = Mask::from_fn(40, 60, |r, c| r < 15 && c < 25);
        let hidden = moved(&holes, &holes.invert()).unwrap();
        assert_eq!(hidden.count(), 15 * 25);
        assert!(!hidden.and(&holes).any());
        // Half of the ground at the most, and something.
        assert!(moved(&Mask::new(40, 60, true), &Mask::new(40, 60, false)).is_none());
        assert!(moved(&Mask::new(40, 60, false), &Mask::new(40, 60, true)).is_none());
    }

    #[test]
    fn another_method_than_regression_must_be_clearly_better() {
        let tested = |method: DateMethod, left: f64| Tested {
            method: method.name().into(),
            rmse: vec![],
            unexplained: (left, 1.0 - left),
            missed: (left, 1.0 - left),
        };
        let test = SelfTest {
            pixels: 1,
            methods: vec![
                tested(DateMethod::Regression, 0.5),
                tested(DateMethod::Clr, 0.495),
                tested(DateMethod::Copy, 0.8),
            ],
        };
        let choice = test.choice();
        assert_eq!(choice.restored, DateMethod::Regression);
        assert_eq!(choice.others, DateMethod::Copy);
    }
}
