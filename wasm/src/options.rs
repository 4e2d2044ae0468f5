//! What the page asks for: a JavaScript object, turned once into the core's settings.

use std::str::FromStr;

use serde::Deserialize;
use unclouded_core::Error;
use unclouded_core::model::{ModelCard, Stored};
use unclouded_core::restore::{RestoreSettings, Subject, Wish};
use wasm_bindgen::prelude::*;

use crate::failure::{failure, from_core};

#[wasm_bindgen(typescript_custom_section)]
const TYPES: &str = r#"
/** How to fill; what is left out is as the model's card says. */
export interface RestoreOptions {
  /** Scene bands, from 0, that feed the model, one for each of its bands. */
  modelBands: number[];
  /** Key of the noise, a whole number. Default 0. */
  seed?: number;
  /** Steps of the sampler. */
  steps?: number;
  /** Ensemble members. */
  samples?: number;
  /** What the fill is: their mean (the default), the first of them, or the mean drawn anew from
   * pieces of the visible ground, for the eye. */
  write?: "mean" | "sample" | "texture";
  /** Any of the core's samplers by name, e.g. "dpmpp-2m", "heun", "ddim". */
  sampler?: string;
  /** How much time it may take: "fast", "balanced" or "best"; steps and samples
   * go before it. */
  quality?: string;
  /** Side of a tile, pixels. Default the model's, for a texture larger. */
  tilePx?: number;
  /** Overlap of neighbouring tiles, pixels. */
  overlapPx?: number;
  /** Tiles times members at once; the result does not depend on it. Default 1. */
  batch?: number;
  /** How the scene stores its values, e.g. "uint16"; the model's card knows what counts as fully
   * bright in it. */
  stored?: string;
}
"#;

/// [`TYPES`] as it comes.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Options {
    model_bands: Vec<usize>,
    #[serde(default)]
    seed: u64,
    steps: Option<usize>,
    samples: Option<usize>,
    write: Option<String>,
    sampler: Option<String>,
    tile_px: Option<usize>,
    overlap_px: Option<usize>,
    batch: Option<usize>,
    stored: Option<String>,
    quality: Option<String>,
}

/// The settings of a run with this model on a window whose larger side has so many pixels.
///
/// # Errors
/// An "input" error for an object of another form, an unknown sampler or an unknown word for what
/// is written; ranges are the core's affair.
pub fn settings(
    options: &JsValue,
    card: &ModelCard,
    window_px: usize,
) -> Result<RestoreSettings, JsValue> {
    let malformed = |what: String| failure("input", &format!("options: {what}"), None);
    let text = js_sys::JSON::stringify(options)
        .ok()
        .and_then(|text| text.as_string())
        .ok_or_else(|| malformed("expected an object".into()))?;
    let asked: Options = serde_json::from_str(&text).map_err(|e| malformed(e.to_string()))?;
    let wish = Wish {
        quality: parsed(&asked.quality)?,
        steps: asked.steps,
        samples: asked.samples,
        sampler: parsed(&asked.sampler)?,
        written: parsed(&asked.write)?.unwrap_or_default(),
        tile_px: asked.tile_px,
        overlap_px: asked.overlap_px,
        seed: asked.seed,
        ..Wish::default()
    };
    let subject = Subject {
        model_bands: asked.model_bands,
        side_px: Some(window_px),
        brightness: card.brightness.of(match asked.stored.as_deref() {
            Some("uint8") => Stored::EightBits,
            Some("uint16" | "int16") => Stored::SixteenBits,
            _ => Stored::Other,
        }),
    };
    let settings = RestoreSettings::resolve(card, &wish, &subject).map_err(from_core)?;
    Ok(RestoreSettings {
        batch: asked.batch.unwrap_or(1),
        ..settings
    })
}

/// What a word stands for in the core.
fn parsed<T: FromStr<Err = Error>>(word: &Option<String>) -> Result<Option<T>, JsValue> {
    let word = word.as_deref();
    word.map(str::parse).transpose().map_err(from_core)
}
