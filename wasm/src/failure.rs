//! The core's errors as JavaScript errors: the sentence, a hint, and what kind it is.

use js_sys::Reflect;
use unclouded_core::{Error, Hint, Key};
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

/// An error of the core in the page's words.
pub fn from_core(error: Error) -> JsValue {
    let kind = match error {
        Error::Interrupted => "interrupted",
        Error::Checkpoint { .. } => "checkpoint",
        Error::Device(_) => "device",
        Error::Io(_) => "failed",
        _ => "input",
    };
    let message = match &error {
        Error::Setting {
            key, expected, got, ..
        } => format!("{}: expected {expected}, got {got}", setting(*key)),
        other => other.to_string(),
    };
    failure(kind, &message, error.hint().map(hint).as_deref())
}

/// What the page calls a setting.
fn setting(key: Key) -> &'static str {
    match key {
        Key::ModelBands => "Bands for the model",
        Key::Samples => "Samples",
        Key::Steps => "Steps",
        Key::Write => "Write",
        Key::Quality => "Quality",
        Key::Model => "Model",
        other => other.name(),
    }
}

/// What to do about an error on the page.
fn hint(hint: Hint) -> String {
    match hint {
        Hint::UseCpu => "choose the CPU engine".into(),
        Hint::NameBands => "choose one band of the scene for each band of the model".into(),
        Hint::Generate | Hint::GenerateFromDegraded | Hint::Evaluate => {
            "the page fills scenes: choose a model that does, or the one it comes with".into()
        }
        Hint::Train | Hint::NameFolder => "choose a checkpoint of this software".into(),
        other => other.to_string(),
    }
}
