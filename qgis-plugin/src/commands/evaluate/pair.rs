//! One image of an evaluation: its mask put over it, filled by every method, and scored.

use std::ops::ControlFlow;
use std::time::Instant;

use unclouded_core::metrics::{IndexError, Scores, ndvi_error, psnr_of_bands, score_both};
use unclouded_core::model::{Model, ModelCard};
use unclouded_core::raster::dates::DateMethod;
use unclouded_core::raster::{Mask, Raster, fill};
use unclouded_core::restore::{self as core, Choice, MemorySink, MemorySource, RestoreSettings};

use super::cases::{Case, Cases, Other};
use super::images::Example;
use super::rival;
use crate::commands::restore::positions;
use crate::failure::{Failure, Result};
use crate::gdal_io::rgb::{self, BandChoice};
use crate::gdal_io::roles;
use crate::interrupt;

/// How far the inverse-distance baseline looks: the default of gdal_fillnodata.
const IDW_DISTANCE_PX: usize = 100;
/// The model, first among the methods.
pub const MODEL: &str = "unclouded";
/// What the network starts from, without the network.
const FILL: &str = "fill";
/// The model without other dates, where there are some.
const NETWORK: &str = "network";
/// Linear regression on one date in windows of 41 pixels, band by band.
const LOCAL: &str = "local";
/// The methods where all of the image is drawn anew: the model, and what it is shown.
pub const REDRAWN: [&str; 2] = [MODEL, "shown"];

/// The methods, in the order they are printed, [`MODEL`] first; the names are keys of the JSON.
pub fn methods(redraws: bool, dates: Dates) -> Vec<&'static str> {
    if redraws {
        return REDRAWN.to_vec();
    }
    let by_dates = |wanted: &dyn Fn(DateMethod) -> bool| -> Vec<&'static str> {
        let methods = DateMethod::ALL.into_iter().filter(|method| wanted(*method));
        methods.map(DateMethod::name).collect()
    };
    let of_dates = match dates {
        Dates::None => vec![],
        // Between one date and none there is nothing to interpolate.
        Dates::One { same_bands } => {
            let usable = |method: DateMethod| match method {
                DateMethod::Interpolate | DateMethod::Median => false,
                method => same_bands || !method.takes_values(),
            };
            [&by_dates(&usable)[..], &[LOCAL][..]].concat()
        }
        Dates::Several => [&by_dates(&|_| true)[..], &[NETWORK][..]].concat(),
    };
    [&[MODEL][..], &of_dates, &[FILL, "idw", "mean"]].concat()
}

/// How many other dates there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dates {
    /// None.
    None,
    /// One for each image, with its bands or others.
    One {
        /// Whether it has the bands of the image.
        same_bands: bool,
    },
    /// A series.
    Several,
}

/// What the images of a run have in common.
pub struct Bench<'a> {
    /// The images with their masks and other dates.
    pub cases: &'a dyn Cases,
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
    /// The bands of NDVI, from 0, where it has them.
    red_nir: Option<(usize, usize)>,
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
    /// PSNR of the bands the model restores in the hole, dB.
    pub model_psnr_db: f64,
    /// How far NDVI is off in the hole, where the image has the bands for it.
    pub ndvi: Option<IndexError>,
    /// How long it took.
    pub seconds: f64,
}

impl Bench<'_> {
    /// Fill and score an image; none if its mask hides nothing.
    ///
    /// # Errors
    /// Exit 2 if image, mask and reference cannot be worked with, exit 1 when the work fails.
    pub fn pair(&self, index: usize) -> Result<Option<Pair>> {
        let Case {
            example,
            mask,
            others,
        } = self.cases.read(index)?;
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
        let hidden = match redraws {
            true => self.shown(&example),
            false => hide(&example.image, &mask),
        };
        let roles = roles::choose(&example.info).ok();
        let mut pair = Pair {
            red_nir: roles.and_then(|(roles, _)| Some((roles.red, roles.nir?))),
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
                let sink = self.restore(&pair, &hidden, &others, &mask, &settings)?;
                (sink.image, Some((sink.std, sink.sample)))
            } else if redraws {
                (hidden.clone(), None)
            } else if *method == NETWORK {
                let sink = self.restore(&pair, &hidden, &[], &mask, &settings)?;
                (sink.image, None)
            } else if let Ok(dates) = method.parse::<DateMethod>() {
                let settings = RestoreSettings {
                    dates: Some(Choice::all(dates)),
                    ..settings.clone()
                };
                let sink = self.restore(&pair, &hidden, &others, &mask, &settings)?;
                (sink.image, None)
            } else {
                let valid = &pair.example.valid;
                (
                    classical(method, &hidden, others.first(), &mask, valid),
                    None,
                )
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
        others: &[Other],
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
        for other in others {
            source = source.with_date(&other.image, &other.observed, other.days);
        }
        // As the command restores: with several dates by what does best on visible ground.
        let choose = others.len() > 1 && settings.dates.is_none();
        let test = match choose && settings.method == Some(core::Method::Direct) {
            true => core::self_test(&mut source, self.model, settings, false)?,
            false => None,
        };
        let settings = &RestoreSettings {
            dates: settings.dates.or(test.map(|test| test.choice())),
            ..settings.clone()
        };
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
    reference: Option<&Other>,
    mask: &Mask,
    valid: &Mask,
) -> Raster {
    // Where the search finds nothing gdal_fillnodata leaves a hole; the mean stands in.
    let smooth = || fill::smooth(hidden, mask, valid, IDW_DISTANCE_PX);
    match (method, reference) {
        (FILL, _) => fill::soft(hidden, mask, valid, IDW_DISTANCE_PX),
        ("mean", _) => fill::mean(hidden, mask, valid),
        (LOCAL, Some(other)) => {
            let (hole, visible) = (valid.and(mask), valid.and_not(mask));
            let (other, seen) = (&other.image, &other.observed);
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
        let of_model = positions(&self.bands.bands, &example.info.data_bands());
        Fill {
            method,
            model_psnr_db: psnr_of_bands(&truth, &prediction, &of_model, hole, range),
            ndvi: self
                .red_nir
                .and_then(|bands| ndvi_error(&truth, &prediction, bands, hole)),
            scores: score_both(&truth, &prediction, hole, valid, range),
            stored,
            seconds,
        }
    }
}
