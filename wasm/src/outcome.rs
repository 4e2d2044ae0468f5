//! What a run gives to the page: previews while it runs, the filled window at its end.

use js_sys::{Array, Float32Array, Function, Object, Reflect, Uint8Array};
use unclouded_core::raster::{Mask, Raster};
use unclouded_core::restore::provenance::{self, Provenance};
use unclouded_core::restore::{FilledRows, SceneSink, StepPreview, Summary};
use wasm_bindgen::prelude::*;

#[wasm_bindgen(typescript_custom_section)]
const TYPES: &str = r#"
/** What the sampler believes of one tile after a step. */
export interface StepPreview {
  row: number; col: number; height: number; width: number;
  /** Sampler step, from 0, and how many there are. */
  step: number; steps: number;
  /** The scene bands shown, from 0. */
  bands: number[];
  /** [bands, height, width] in scene units. */
  image: Float32Array;
}

/** A filled window. */
export interface Restored {
  /** [bands, height, width] in scene units: filled where masked, as given elsewhere. */
  image: Float32Array;
  /** Standard deviation of the samples, 0 where not filled; with two samples or more. */
  std?: Float32Array;
  /** [height, width]: 0 nodata, 1 observed, 2 filled. */
  provenance: Uint8Array;
  filledPx: number; validPx: number; tiles: number;
  /** Metadata for the output file: enough to do it again. */
  tags: [string, string][];
}
"#;

/// Collects the rows of a run and hands previews on.
pub struct PageSink {
    image: Raster,
    std: Option<Raster>,
    filled: Mask,
    valid: Mask,
    on_preview: Option<Function>,
}

impl PageSink {
    /// Room for a window like this one; `std` with two samples or more.
    pub fn new(like: &Raster, std: bool, on_preview: Option<Function>) -> Self {
        let room = || Raster::new(like.bands, like.height, like.width);
        PageSink {
            image: room(),
            std: std.then(room),
            filled: Mask::new(like.height, like.width, false),
            valid: Mask::new(like.height, like.width, false),
            on_preview,
        }
    }

    /// The object [`TYPES`] calls Restored.
    pub fn into_js(self, summary: &Summary, how: &Provenance) -> JsValue {
        let object = Object::new();
        let classes = provenance::classify(&self.filled, &self.valid);
        set(&object, "image", Float32Array::from(&self.image.data[..]));
        if let Some(std) = &self.std {
            set(&object, "std", Float32Array::from(&std.data[..]));
        }
        set(&object, "provenance", Uint8Array::from(&classes[..]));
        set(&object, "filledPx", summary.filled_px as f64);
        set(&object, "validPx", summary.valid_px as f64);
        set(&object, "tiles", summary.tiles as f64);
        let pair = |(key, value): (String, String)| Array::of2(&key.into(), &value.into());
        set(
            &object,
            "tags",
            how.tags().into_iter().map(pair).collect::<Array>(),
        );
        object.into()
    }
}

impl SceneSink for PageSink {
    fn write(&mut self, rows: FilledRows) -> unclouded_core::Result<()> {
        let (row, col) = (rows.window.row, rows.window.col);
        self.image.paste(row, col, &rows.image);
        if let (Some(all), Some(part)) = (&mut self.std, &rows.std) {
            all.paste(row, col, part);
        }
        let (start, length) = (row * self.filled.width, rows.filled.data.len());
        self.filled.data[start..][..length].copy_from_slice(&rows.filled.data);
        self.valid.data[start..][..length].copy_from_slice(&rows.valid.data);
        Ok(())
    }

    fn wants_previews(&self) -> bool {
        self.on_preview.is_some()
    }

    fn preview(&mut self, preview: StepPreview) {
        let Some(callback) = &self.on_preview else {
            return;
        };
        let object = Object::new();
        for (key, value) in [
            ("row", preview.window.row),
            ("col", preview.window.col),
            ("height", preview.window.height),
            ("width", preview.window.width),
            ("step", preview.step),
            ("steps", preview.steps),
        ] {
            set(&object, key, value as f64);
        }
        let bands = preview.bands.iter().map(|band| JsValue::from(*band as f64));
        set(&object, "bands", bands.collect::<Array>());
        set(
            &object,
            "image",
            Float32Array::from(&preview.image.data[..]),
        );
        // A page that throws in its callback misses a picture, not the result.
        let _ = callback.call1(&JsValue::NULL, &object);
    }
}

/// Sets a property of an object made here.
pub fn set(object: &Object, key: &str, value: impl Into<JsValue>) {
    // Setting a property of a fresh object cannot fail.
    let _ = Reflect::set(object, &key.into(), &value.into());
}
