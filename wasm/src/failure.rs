//! The core's errors as JavaScript errors: the sentence, a hint, and what kind it is.

use js_sys::Reflect;
use unclouded_core::Error;
use wasm_bindgen::prelude::*;

#[wasm_bindgen(typescript_custom_section)]
const TYPES: &str = r#"
/** What every function of a session throws. */
export interface SessionError extends Error {
  /** "interrupted", "input" (settings, scene, mask), "checkpoint", "device" or "failed". */
  kind: string;
  /** What to do about it, where there is something to say. */
  hint?: string;
}
"#;

/// An error of this face.
pub fn failure(kind: &str, message: &str, hint: Option<&str>) -> JsValue {
    let error = js_sys::Error::new(message);
    // Setting a property of a fresh object cannot fail.
    let _ = Reflect::set(&error, &"kind".into(), &kind.into());
    if let Some(hint) = hint {
        let _ = Reflect::set(&error, &"hint".into(), &hint.into());
    }
    error.into()
}

/// An error of the core. Hints that name options of the command line are left to that face.
pub fn from_core(error: Error) -> JsValue {
    let kind = match error {
        Error::Interrupted => "interrupted",
        Error::Checkpoint { .. } => "checkpoint",
        Error::Device(_) => "device",
        Error::Io(_) => "failed",
        _ => "input",
    };
    let hint = error.hint().filter(|hint| !hint.contains("--"));
    failure(kind, &error.to_string(), hint)
}
