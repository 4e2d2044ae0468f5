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
  /** The same place at another date, on the same pixels. */
  reference?: {
    /** [bands, height, width] in its own units; finite where observed. */
    image: Float32Array;
    /** [height, width], 1 = ground without clouds. */
    observed: Uint8Array;
    bands: number;
  };
}
"#;

/// [`TYPES`] in the core's words.
pub struct Input {
    pub image: Raster,
    pub mask: Mask,
    pub valid: Mask,
    /// Another date, and where it shows the ground.
    pub reference: Option<(Raster, Mask)>,
}

impl Input {
    /// Copies the arrays of a window.
    ///
    /// # Errors
    /// "input" when a property is missing, of another type, or of another length than the sizes
    /// say.
    pub fn read(window: &JsValue) -> Result<Self, JsValue> {
        let (height, width) = (size(window, "height")?, size(window, "width")?);
        let other = get(window, "reference")?;
        let reference = match other.is_undefined() || other.is_null() {
            true => None,
            false => Some((
                image(&other, height, width)?,
                flags(&other, "observed", height, width)?,
            )),
        };
        Ok(Input {
            image: image(window, height, width)?,
            mask: flags(window, "mask", height, width)?,
            valid: flags(window, "valid", height, width)?,
            reference,
        })
    }
}

/// A whole number from 1.
pub fn size(window: &JsValue, name: &str) -> Result<usize, JsValue> {
    let value = get(window, name)?.as_f64();
    let whole = value.filter(|v| v.fract() == 0.0 && (1.0..=1e6).contains(v));
    whole
        .map(|v| v as usize)
        .ok_or_else(|| wrong(name, "a whole number from 1"))
}

/// The property `image`, as many bands as the property `bands` says.
pub fn image(window: &JsValue, height: usize, width: usize) -> Result<Raster, JsValue> {
    let values: Float32Array = array(window, "image", "a Float32Array")?;
    Raster::from_vec(size(window, "bands")?, height, width, values.to_vec()).map_err(from_core)
}

/// A property with a flag a pixel.
pub fn flags(window: &JsValue, name: &str, height: usize, width: usize) -> Result<Mask, JsValue> {
    let bytes: Uint8Array = array(window, name, "a Uint8Array")?;
    let flags = bytes.to_vec().into_iter().map(|byte| byte != 0).collect();
    Mask::from_vec(height, width, flags).map_err(from_core)
}

/// A property of an object.
pub fn get(window: &JsValue, name: &str) -> Result<JsValue, JsValue> {
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
