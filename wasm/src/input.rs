//! The window a page gives: a JavaScript object, copied once into the core's rasters.

use js_sys::{Float32Array, Reflect, Uint8Array};
use unclouded_core::raster::{Mask, Raster};
use wasm_bindgen::prelude::*;

use crate::failure::{failure, from_core};

#[wasm_bindgen(typescript_custom_section)]
const TYPES: &str = r#"
/** A part of a scene, in memory. */
export interface SceneWindow {
  /** [bands, height, width] in scene units; finite where visible. */
  image: Float32Array;
  /** [height, width], 1 = fill. */
  mask: Uint8Array;
  /** [height, width], 1 = data, 0 = nodata, which is neither read nor filled. */
  valid: Uint8Array;
  bands: number; height: number; width: number;
}
"#;

/// [`TYPES`] in the core's words.
pub struct Input {
    pub image: Raster,
    pub mask: Mask,
    pub valid: Mask,
}

impl Input {
    /// Copies the arrays of a window.
    ///
    /// # Errors
    /// "input" when a property is missing, of another type, or of another length than the sizes
    /// say.
    pub fn read(window: &JsValue) -> Result<Self, JsValue> {
        let size = |name| {
            let value = get(window, name)?.as_f64();
            let whole = value.filter(|v| v.fract() == 0.0 && (1.0..=1e6).contains(v));
            whole
                .map(|v| v as usize)
                .ok_or_else(|| wrong(name, "a whole number from 1"))
        };
        let (bands, height, width) = (size("bands")?, size("height")?, size("width")?);
        let image: Float32Array = array(window, "image", "a Float32Array")?;
        let flags = |name| -> Result<Mask, JsValue> {
            let bytes: Uint8Array = array(window, name, "a Uint8Array")?;
            let flags = bytes.to_vec().into_iter().map(|byte| byte != 0).collect();
            Mask::from_vec(height, width, flags).map_err(from_core)
        };
        Ok(Input {
            image: Raster::from_vec(bands, height, width, image.to_vec()).map_err(from_core)?,
            mask: flags("mask")?,
            valid: flags("valid")?,
        })
    }
}

fn get(window: &JsValue, name: &str) -> Result<JsValue, JsValue> {
    Reflect::get(window, &name.into()).map_err(|_| wrong(name, "a property of an object"))
}

fn array<T: JsCast>(window: &JsValue, name: &str, expected: &str) -> Result<T, JsValue> {
    get(window, name)?
        .dyn_into()
        .map_err(|_| wrong(name, expected))
}

fn wrong(name: &str, expected: &str) -> JsValue {
    failure("input", &format!("{name}: expected {expected}"), None)
}
