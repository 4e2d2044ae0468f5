//! What the page asks for: a JavaScript object, turned once into the core's settings.

use serde::Deserialize;
use unclouded_core::checkpoint::ModelCard;
use unclouded_core::restore::{RestoreSettings, Written, usual_tile_px};
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
  /** "ddpm", "ddim", "dpmpp-2m" or "heun". */
  sampler?: string;
  /** Side of a tile, pixels. Default the model's, for a texture larger. */
  tilePx?: number;
  /** Overlap of neighbouring tiles, pixels. */
  overlapPx?: number;
  /** Tiles times members at once; the result does not depend on it. Default 1. */
  batch?: number;
  /** Full brightness in scene units: 255 for 8 bits, 2750 for Sentinel-2. */
  reflectanceScale?: number;
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
    reflectance_scale: Option<f32>,
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
    let defaults = &card.defaults;
    let written = match &asked.write {
        Some(word) => [Written::Mean, Written::Sample, Written::Texture]
            .into_iter()
            .find(|written| written.name() == word)
            .ok_or_else(|| {
                malformed(format!(
                    "write: expected mean, sample or texture, got {word}"
                ))
            })?,
        None => Written::default(),
    };
    let usual_px = usual_tile_px(written, defaults, Some(window_px));
    let tile_px = asked.tile_px.unwrap_or(usual_px);
    let sampler = match &asked.sampler {
        Some(name) => name.parse().map_err(from_core)?,
        None => defaults.sampler,
    };
    Ok(RestoreSettings {
        tile_px,
        // Another tile than the model's keeps the model's share of overlap.
        overlap_px: asked
            .overlap_px
            .unwrap_or(defaults.overlap_px * tile_px / defaults.tile_px),
        samples: asked.samples.unwrap_or(defaults.samples),
        written,
        steps: asked.steps.unwrap_or(defaults.steps),
        sampler,
        seed: asked.seed,
        batch: asked.batch.unwrap_or(1),
        model_bands: asked.model_bands,
        reflectance_scale: asked.reflectance_scale,
        ..RestoreSettings::default()
    })
}
