//! How far a run is, as the page shows it: steps, and the texture where one is drawn.

use js_sys::Object;
use unclouded_core::restore::Progress;
use wasm_bindgen::prelude::*;

use crate::outcome::set;

#[wasm_bindgen(typescript_custom_section)]
const TYPES: &str = r#"
/** How far the texture of a run is. */
export interface TextureProgress {
  /** Share of it that is drawn, 0 to 1. */
  drawn: number;
  /** Whether the next report comes when more of it is drawn, which takes seconds. */
  drawing: boolean;
}
"#;

/// The object [`TYPES`] calls `TextureProgress`; undefined where no texture is drawn.
pub fn texture(at: &Progress) -> JsValue {
    let textured = at.textured;
    if textured.total == 0 {
        return JsValue::UNDEFINED;
    }
    let object = Object::new();
    let drawn = textured.done as f64 / textured.total as f64;
    set(&object, "drawn", drawn);
    set(&object, "drawing", at.texturing);
    object.into()
}
