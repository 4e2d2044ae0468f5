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

/// Tells from what was counted whether a texture is being drawn.
#[derive(Debug, Default)]
pub struct TextureMeter {
    /// What was sampled before the scene's own tiles: those of a coarser scale, not textured.
    coarser: u64,
}

impl TextureMeter {
    /// The object [`TYPES`] calls `TextureProgress`; undefined where no texture is drawn.
    pub fn report(&mut self, at: &Progress) -> JsValue {
        let textured = at.textured;
        if textured.total == 0 {
            return JsValue::UNDEFINED;
        }
        // As many pixels are read for the scene's own tiles as are textured.
        let read_before = at.read.total - textured.total;
        let read = at.read.done.saturating_sub(read_before);
        if read == 0 {
            self.coarser = at.sampled.done;
        }
        let sampled = u128::from(at.sampled.done - self.coarser);
        let to_sample = u128::from(at.sampled.total - self.coarser);
        // Tiles are read, then sampled, then textured: what was read has been sampled.
        let ready = sampled * u128::from(textured.total) >= u128::from(read) * to_sample;
        let object = Object::new();
        set(
            &object,
            "drawn",
            textured.done as f64 / textured.total as f64,
        );
        set(&object, "drawing", ready && read > textured.done);
        object.into()
    }
}
