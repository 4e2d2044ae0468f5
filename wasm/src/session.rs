//! One device and one model, and what a page does with them.

use std::ops::ControlFlow;

use burn::tensor::Device;
use js_sys::Function;
use unclouded_core::kernels::self_test;
use unclouded_core::model::Model;
use unclouded_core::restore::{MemorySource, Provenance, Quality, restore_async};
use wasm_bindgen::prelude::*;

use crate::failure::{failure, from_core};
use crate::input::Input;
use crate::options::settings;
use crate::outcome::PageSink;
use crate::progress::texture;
use crate::turns::taking_turns;

#[wasm_bindgen]
extern "C" {
    #[wasm_bindgen(js_namespace = console, js_name = error)]
    fn console_error(text: &str);
    /// The browser's own.
    #[wasm_bindgen(typescript_type = "AbortSignal")]
    pub type AbortSignal;
    #[wasm_bindgen(method, getter)]
    fn aborted(this: &AbortSignal) -> bool;
}

#[wasm_bindgen(typescript_custom_section)]
const TYPES: &str = r#"
/** A model as its card describes it. */
export interface LoadedModel {
  name: string; description: string; sha256: string;
  /** What its bands are, in order. */
  bands: string[];
  tilePx: number; overlapPx: number;
  /** What each level of quality means for it, the fastest first. */
  qualities: { name: string; method: string; steps: number; samples: number }[];
}
"#;

/// A device, and the model loaded onto it.
#[wasm_bindgen]
pub struct Session {
    device: Device,
    engine: &'static str,
    note: String,
    model: Option<Model>,
}

#[wasm_bindgen]
impl Session {
    /// Opens the device: "webgpu" or "cpu". A GPU must pass a self-test. A worker opens one GPU
    /// in its life; after a failure start a new worker.
    ///
    /// # Errors
    /// "device" when there is no such device or it computes wrong numbers.
    pub async fn create(
        #[wasm_bindgen(unchecked_param_type = "\"webgpu\" | \"cpu\"")] engine: String,
    ) -> Result<Session, JsValue> {
        // A panic is a bug: say where, before the engine stops.
        std::panic::set_hook(Box::new(|info| console_error(&info.to_string())));
        let session = |device, engine, note| Session {
            device,
            engine,
            note,
            model: None,
        };
        match engine.as_str() {
            "cpu" => Ok(session(Device::flex(), "cpu", String::new())),
            "webgpu" => {
                let device = Device::wgpu_options().init_async().await;
                let device = device.map_err(|e| failure("device", &e.to_string(), None))?;
                let report = self_test(&device).await.map_err(from_core)?;
                let note = if report.matmul {
                    String::new()
                } else {
                    "its matrix products were wrong in the self-test and go another way".into()
                };
                Ok(session(device, "webgpu", note))
            }
            other => Err(failure(
                "input",
                &format!("engine: expected webgpu or cpu, got {other}"),
                None,
            )),
        }
    }

    /// What the self-test found worth saying; mostly nothing.
    #[wasm_bindgen(getter)]
    pub fn note(&self) -> String {
        self.note.clone()
    }

    /// Builds the network of a checkpoint (the bytes of a .safetensors file).
    ///
    /// # Errors
    /// "checkpoint" for anything wrong with the bytes; the session keeps the model it had.
    #[wasm_bindgen(unchecked_return_type = "LoadedModel")]
    pub fn load(&mut self, checkpoint: &[u8]) -> Result<JsValue, JsValue> {
        let model = Model::load(checkpoint, &self.device).map_err(from_core)?;
        let card = &model.card;
        let about = serde_json::json!({
            "name": card.name,
            "description": card.description,
            "sha256": model.sha256,
            "bands": card.bands,
            "tilePx": card.defaults.tile_px,
            "overlapPx": card.defaults.overlap_px,
            "qualities": Quality::ALL.map(|level| {
                let effort = level.effort(card);
                serde_json::json!({
                    "name": level.name(),
                    "method": effort.method.name(),
                    "steps": effort.steps,
                    "samples": effort.samples,
                })
            }),
        });
        let about = js_sys::JSON::parse(&about.to_string())?;
        self.model = Some(model);
        Ok(about)
    }

    /// Fills the masked pixels of a window.
    ///
    /// `onProgress(done, total, texture)` is called after each sampler step and each part of a
    /// texture, `onPreview` with what a tile looks like after each step. An aborted `signal`
    /// ends the run after the batch that is being computed.
    ///
    /// # Errors
    /// "input", "interrupted", "device".
    #[wasm_bindgen(unchecked_return_type = "Restored")]
    pub async fn restore(
        &self,
        #[wasm_bindgen(unchecked_param_type = "SceneWindow")] window: JsValue,
        #[wasm_bindgen(unchecked_param_type = "RestoreOptions")] options: JsValue,
        #[wasm_bindgen(js_name = onProgress, unchecked_param_type = "(done: number, total: number, texture: TextureProgress | undefined) => void")]
        on_progress: Function,
        #[wasm_bindgen(js_name = onPreview, unchecked_param_type = "((preview: StepPreview) => void) | undefined")]
        on_preview: Option<Function>,
        #[wasm_bindgen(unchecked_param_type = "AbortSignal | undefined")] signal: Option<
            AbortSignal,
        >,
    ) -> Result<JsValue, JsValue> {
        let model = self
            .model
            .as_ref()
            .ok_or_else(|| failure("input", "no model is loaded", None))?;
        let Input {
            image,
            mask,
            valid,
            reference,
        } = Input::read(&window)?;
        let side = image.height.max(image.width);
        let settings = settings(&options, &model.card, side)?;
        let mut source = MemorySource::new(&image, &mask, &valid);
        if let Some((other, observed)) = &reference {
            source = source.with_reference(other, observed);
        }
        let mut sink = PageSink::new(&image, settings.has_spread(), on_preview);
        let mut progress = |at: unclouded_core::restore::Progress| {
            let (done, total) = (
                JsValue::from(at.done as f64),
                JsValue::from(at.total as f64),
            );
            // A page that throws in its callback misses a number, not the result.
            let _ = on_progress.call3(&JsValue::NULL, &done, &total, &texture(&at));
            match &signal {
                Some(signal) if signal.aborted() => ControlFlow::Break(()),
                _ => ControlFlow::Continue(()),
            }
        };
        let run = restore_async(&mut source, &mut sink, model, &settings, &mut progress);
        let summary = taking_turns(run).await.map_err(from_core)?;
        let bands = settings.model_bands.iter().map(|band| band + 1).collect();
        let how = Provenance::of(
            (&model.card, &model.sha256),
            &settings,
            bands,
            summary.filled_px as u64,
            format!("browser {}", self.engine),
        );
        Ok(sink.into_js(&summary, &how))
    }
}
