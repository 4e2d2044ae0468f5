//! Whether settings fit the scene, its other dates and the model: everything that can be said before
//! the first pixel is read.

use super::dates::Choice;
use super::io::OtherDate;
use super::method::Method;
use super::settings::{MOST_SAMPLES, MOST_TURNS, RestoreSettings, range};
use crate::diffusion::cold;
use crate::error::{Error, Hint, Key, Result};
use crate::model::{Architecture, Model};
use crate::raster::dates::DateMethod;

/// Whether settings fit a scene of `bands` bands and the model.
///
/// # Errors
/// [`Error::Setting`] and [`Error::Mismatch`].
pub(super) fn settings(settings: &RestoreSettings, bands: usize, model: &Model) -> Result<()> {
    let setting = |key, expected: String, got: String, advice| {
        Err(Error::Setting {
            key,
            expected,
            got,
            hint: Hint::Advice(advice),
        })
    };
    range(Key::Samples, Some(settings.samples), (1, MOST_SAMPLES))?;
    if let Some(scale) = settings.reflectance_scale
        && !(scale.is_finite() && scale > 0.0)
    {
        let advice = "255 for 8 bits, 2750 for Sentinel-2";
        return setting(Key::Brightness, "above 0".into(), scale.to_string(), advice);
    }
    if !(0.0..=1.0).contains(&settings.eta) {
        let got = settings.eta.to_string();
        return setting(Key::Eta, "0 to 1".into(), got, "0 is deterministic");
    }
    let method = settings.method_for(&model.card);
    method.check(&model.card)?;
    if method == Method::Direct {
        range(Key::Samples, Some(settings.samples), (1, MOST_TURNS))?;
        range(Key::Steps, Some(settings.steps), (1, 1))?;
    }
    if let Some((_, steps)) = model.card.task.cold()
        && steps != settings.steps
    {
        let advice = "a degradation is undone in as many steps as it has";
        let (expected, got) = (steps.to_string(), settings.steps.to_string());
        return setting(Key::Steps, expected, got, advice);
    }
    if settings.batch == 0 {
        let advice = "8 suits most machines";
        return setting(Key::Batch, "at least 1".into(), "0".into(), advice);
    }
    let of_model = &model.card.bands;
    if settings.model_bands.len() != of_model.len() {
        return Err(Error::Setting {
            key: Key::ModelBands,
            expected: format!("{} ({})", of_model.len(), of_model.join(", ")),
            got: settings.model_bands.len().to_string(),
            hint: Hint::NameBands,
        });
    }
    if let Some(band) = settings.model_bands.iter().find(|band| **band >= bands) {
        let (expected, got) = (format!("numbers from 1 to {bands}"), (band + 1).to_string());
        return setting(Key::ModelBands, expected, got, "band numbers count from 1");
    }
    Ok(())
}

/// Whether the method for other dates fits them.
///
/// # Errors
/// [`Error::Setting`].
pub(super) fn dates(
    settings: &RestoreSettings,
    bands: usize,
    references: &[OtherDate],
) -> Result<()> {
    let Some(Choice { restored, others }) = settings.dates else {
        return Ok(());
    };
    let fail = |method: DateMethod, expected: &str, got: String| {
        Err(Error::Setting {
            key: Key::Method,
            expected: format!("{expected} for {}", method.name()),
            got,
            hint: Hint::Advice("clr and regression take other dates of any bands and sensor"),
        })
    };
    for method in [restored, others] {
        if references.is_empty() {
            return fail(method, "another date", "none that tells something".into());
        }
        if method.takes_values() && references.iter().all(|other| other.bands != bands) {
            let got = "dates with other bands only".into();
            return fail(method, "a date with the bands of the scene", got);
        }
    }
    Ok(())
}

/// Whether the model is one that fills holes.
///
/// # Errors
/// [`Error::Setting`].
pub(super) fn fills(model: &Model) -> Result<()> {
    let card = &model.card;
    let cold = card.task.cold();
    if let Some((kind, _)) = cold.filter(|(kind, _)| *kind != cold::Kind::Mask) {
        return Err(Error::Setting {
            key: Key::Model,
            expected: "one that fills holes".into(),
            got: format!("{}, which undoes {}", card.name, kind.name()),
            hint: Hint::GenerateFromDegraded,
        });
    }
    let architecture = &card.architecture;
    if let (Architecture::UNet2D(config), Some(foreign)) = (architecture, &model.foreign) {
        foreign.scheduler.check_network(config)?;
    }
    if architecture.needs_class() || architecture.vector_len().is_some() {
        return Err(Error::Setting {
            key: Key::Model,
            expected: "one that needs neither a class nor a vector".into(),
            got: format!("{}, which does", card.name),
            hint: Hint::Generate,
        });
    }
    match card.task.redraws() {
        false => Ok(()),
        true => Err(Error::Setting {
            key: Key::Model,
            expected: "one that fills holes".into(),
            got: format!("{}, for {}", card.name, card.task.name()),
            hint: Hint::Evaluate,
        }),
    }
}
