//! Fills as the values a scene stores: the rounding of the command line.

use js_sys::{
    Float32Array, Float64Array, Int8Array, Int16Array, Int32Array, Uint8Array, Uint16Array,
    Uint32Array,
};
use unclouded_core::raster::stored::StoredValue;
use wasm_bindgen::prelude::*;

use crate::failure::failure;

/// The stored values nearest to a fill, never nodata, in an array of the scene's own type:
/// `kind` is "uint8", "int8", "uint16", "int16", "uint32", "int32", "float32" or "float64".
///
/// # Errors
/// "input" for another kind.
#[wasm_bindgen(js_name = toStored, unchecked_return_type = "ArrayLike<number>")]
pub fn to_stored(kind: &str, fill: &[f32], nodata: Option<f64>) -> Result<JsValue, JsValue> {
    Ok(match kind {
        "uint8" => Uint8Array::from(&stored::<u8>(fill, nodata)[..]).into(),
        "int8" => Int8Array::from(&stored::<i8>(fill, nodata)[..]).into(),
        "uint16" => Uint16Array::from(&stored::<u16>(fill, nodata)[..]).into(),
        "int16" => Int16Array::from(&stored::<i16>(fill, nodata)[..]).into(),
        "uint32" => Uint32Array::from(&stored::<u32>(fill, nodata)[..]).into(),
        "int32" => Int32Array::from(&stored::<i32>(fill, nodata)[..]).into(),
        "float32" => Float32Array::from(&stored::<f32>(fill, nodata)[..]).into(),
        "float64" => Float64Array::from(&stored::<f64>(fill, nodata)[..]).into(),
        other => {
            let message = format!("stored: expected a type of pixels, got {other}");
            return Err(failure("input", &message, None));
        }
    })
}

fn stored<T: StoredValue>(fill: &[f32], nodata: Option<f64>) -> Vec<T> {
    let nodata = nodata.and_then(T::nodata);
    // What is not finite was never filled.
    let value = |value: &f32| match value.is_finite() {
        true => T::from_fill(f64::from(*value), nodata),
        false => T::default(),
    };
    fill.iter().map(value).collect()
}
