//! One image of an evaluation: its mask put over it, filled by every method, and scored.

use std::ops::ControlFlow;
use std::time::Instant;

use unclouded_core::metrics::{Scores, score_both};
use unclouded_core::model::{Model, ModelCard};
use unclouded_core::raster::{Mask, Raster, fill};
use unclouded_core::restore::{self as core, MemorySink, MemorySource, RestoreSettings};

use super::images::{Example, Images};
use super::masks::MaskSource;
use super::rival;
use crate::commands::restore::positions;
use crate::failure::{Failure, Result};
use crate::gdal_io::rgb::{self, BandChoice};
use crate::interrupt;

/// How far the inverse-distance baseline looks: the default of gdal_fillnodata.
const IDW_DISTANCE_PX: usize = 100;
/// The model, first among the methods.
pub const MODEL: &str = "unclouded";
/// The methods, in the order they are printed; the names are keys of the JSON. `fill` is what the
/// network starts from, without the network; `regression` needs a reference.
pub const METHODS: [&str; 5] = [MODEL, "fill", "regression", "idw", "mean"];
/// The methods where all of the image is drawn anew: the model, and what it is shown.
pub const REDRAWN: [&str; 2] = [MODEL, "shown"];

/// What the images of a run have in common.
pub struct Bench<'a> {
    /// The images.
    pub images: &'a Images,
    /// Images of another date, in the same order.
    pub references: Option<&'a Images>,
    /// Their masks.
    pub masks: &'a MaskSource,
    /// The methods that are compared, [`MODEL`] first.
    pub methods: &'a [&'static str],
    /// The model.
    pub model: &'a Model,
    /// Its card.
    pub card: &'a ModelCard,
    /// How it is run.
    pub settings: &'a RestoreSettings,
    /// The bands the user named (`--bands`).
    pub bands: Option<&'a [usize]>,
    /// Whether a single sample is wanted too.
    pub sample: bool,
}

/// An image, its mask, and what became of it.
pub struct Pair {
    /// The image.
    pub example: Example,
    /// What was hidden: masked pixels that hold data.
    pub hole: Mask,
    /// The bands that fed the model.
    pub bands: BandChoice,
    /// One a method, in the order of [`Bench::methods`].
    pub fills: Vec<Fill>,
    /// The first sample of the model, if it is wanted.
    pub sample: Option<Fill>,
    /// Stated standard deviation and absolute error of every filled value, with two samples or
    /// more.
    pub spread: Vec<(f32, f32)>,
}

/// What a method made of an image.
pub struct Fill {
    /// Which.
    pub method: &'static str,
    /// The image as it would lie in a file.
    pub stored: Raster,
    /// On the full image and in the hole.
    pub scores: (Scores, Scores),
    /// How long it took.
    pub seconds: f64,
}

impl Bench<'_> {
    /// Fill and score an image; none if its mask hides nothing.
    ///
    /// # Errors
    /// Exit 2 if image, mask and reference cannot be worked with, exit 1 when the work fails.
    pub fn pair(&self, index: usize) -> Result<Option<Pair>> {
        let example = self.images.read(index)?;
        let mask = self.masks.draw(index, &example)?;
        let hole = mask.and(&example.valid);
        if !hole.any() {
            return Ok(None);
        }
        let redraws = self.card.task.redraws();
        if !redraws && hole.count() == example.valid.count() {
            return Err(Failure::mismatch(
                format!("mask of {}", example.name),
                "some clear pixels",
                "a mask over all pixels with data",
            )
            .hint("a fill is estimated from clear pixels; leave this image out"));
        }
        let bands = rgb::choose(&example.info, self.bands, &self.card.bands)?;
        let settings = RestoreSettings {
            model_bands: positions(&bands.bands, &example.info.data_bands()),
            reflectance_scale: self.card.brightness.of(example.info.dtype.stored()),
            ..self.settings.clone()
        };
        let reference = match self.references {
            Some(references) => Some(example.partner(references.read(index)?)?),
            None => None,
        };
        let hidden = match redraws {
            true => self.shown(&example),
            false => hide(&example.image, &mask),
        };
        let mut pair = Pair {
            example,
            hole,
            bands,
            fills: Vec::with_capacity(self.methods.len()),
            sample: None,
            spread: Vec::new(),
        };
        for method in self.methods {
            let started = Instant::now();
            let (filled, more) = if *method == MODEL {
                let sink = self.restore(&pair, &hidden, reference.as_ref(), &mask, &settings)?;
                (sink.image, Some((sink.std, sink.sample)))
            } else if redraws {
                (hidden.clone(), None)
            } else {
                let valid = &pair.example.valid;
                let filled = classical(method, &hidden, reference.as_ref(), &mask, valid);
                (filled, None)
            };
            let seconds = started.elapsed().as_secs_f64();
            let stored = pair.example.as_stored(&filled, &pair.hole)?;
            if let Some((std, sample)) = more {
                if settings.has_spread() {
                    pair.spread = spread_and_error(&pair.example.image, &stored, &std, &pair.hole);
                }
                if let Some(sample) = sample {
                    let stored = pair.example.as_stored(&sample, &pair.hole)?;
                    pair.sample = Some(pair.score("sample", stored, seconds));
                }
            }
            pair.fills.push(pair.score(method, stored, seconds));
        }
        Ok(Some(pair))
    }

    /// What a model that draws all of an image is shown of it.
    fn shown(&self, example: &Example) -> Raster {
        let Example { image, valid, .. } = example;
        // Nodata is filled first: it must not reach the network as a value.
        let everywhere = Mask::new(image.height, image.width, true);
        let whole = match valid.data.contains(&false) {
            true => fill::smooth(image, &valid.invert(), &everywhere, IDW_DISTANCE_PX),
            false => image.clone(),
        };
        self.card.task.shown(&whole)
    }

    /// What the model makes of an image, in its units.
    fn restore(
        &self,
        pair: &Pair,
        hidden: &Raster,
        reference: Option<&Example>,
        mask: &Mask,
        settings: &RestoreSettings,
    ) -> Result<MemorySink> {
        let mut go_on = |_| match interrupt::requested() {
            true => ControlFlow::Break(()),
            false => ControlFlow::Continue(()),
        };
        let valid = &pair.example.valid;
        if self.card.task.redraws() {
            let (image, std) = core::redraw(hidden, valid, self.model, settings, &mut go_on)?;
            let mut sink = MemorySink::new(hidden);
            sink.image = image;
            sink.std = std.unwrap_or(sink.std);
            return Ok(sink);
        }
        let mut source = MemorySource::new(hidden, mask, valid);
        if let Some(other) = reference {
            source = source.with_reference(&other.image, &other.valid);
        }
        let mut sink = MemorySink::new(hidden);
        if self.sample {
            sink = sink.with_sample();
        }
        core::restore(&mut source, &mut sink, self.model, settings, &mut go_on)?;
        Ok(sink)
    }
}

/// Takes away what is hidden, so that no method can see it.
fn hide(image: &Raster, mask: &Mask) -> Raster {
    let mut hidden = image.clone();
    for band in 0..hidden.bands {
        for (value, masked) in hidden.band_mut(band).iter_mut().zip(&mask.data) {
            if *masked {
                *value = 0.0;
            }
        }
    }
    hidden
}

/// A classical method's fill of an image, in its units.
fn classical(
    method: &str,
    hidden: &Raster,
    reference: Option<&Example>,
    mask: &Mask,
    valid: &Mask,
) -> Raster {
    // Where the search finds nothing gdal_fillnodata leaves a hole; the mean stands in.
    let smooth = || fill::smooth(hidden, mask, valid, IDW_DISTANCE_PX);
    match (method, reference) {
        ("fill", _) => fill::soft(hidden, mask, valid, IDW_DISTANCE_PX),
        ("mean", _) => fill::mean(hidden, mask, valid),
        ("regression", Some(other)) => {
            let (hole, visible) = (valid.and(mask), valid.and_not(mask));
            let (other, seen) = (&other.image, &other.valid);
            rival::local_regression(hidden, &hole, &visible, other, seen, &smooth())
        }
        _ => smooth(),
    }
}

/// Stated standard deviation and absolute error of every filled value.
fn spread_and_error(truth: &Raster, stored: &Raster, std: &Raster, hole: &Mask) -> Vec<(f32, f32)> {
    let pixels = hole.data.len();
    (0..stored.data.len())
        .filter(|at| hole.data[at % pixels])
        .map(|at| (std.data[at], (stored.data[at] - truth.data[at]).abs()))
        .collect()
}

impl Pair {
    /// Scores on the full image and in the hole, in the units the figures are published in.
    fn score(&self, method: &'static str, stored: Raster, seconds: f64) -> Fill {
        let Pair { example, hole, .. } = self;
        let (truth, range) = example.for_scoring(&example.image);
        let (prediction, _) = example.for_scoring(&stored);
        let all_valid = example.valid.count() == example.valid.data.len();
        let valid = (!all_valid).then_some(&example.valid);
        Fill {
            method,
            scores: score_both(&truth, &prediction, hole, valid, range),
            stored,
            seconds,
        }
    }
}
