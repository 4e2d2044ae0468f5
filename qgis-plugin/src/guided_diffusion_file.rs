//! State dicts of guided-diffusion (ADM) on the disk: NAME.safetensors, its flags in NAME.json.

use std::path::Path;

use burn::tensor::Device;
use unclouded_core::interop::diffusers::DiffusersModel;
use unclouded_core::interop::guided_diffusion;

use crate::failure::{Failure, Result};
use crate::models::Checkpoint;

/// Builds the network of a file that is one; none for other files. Also returned is what the user
/// should know.
///
/// # Errors
/// Exit 2 when the file or its flags are damaged, or describe what is not supported.
pub fn load(file: &Checkpoint, device: &Device) -> Result<Option<(DiffusersModel, Vec<String>)>> {
    if !guided_diffusion::is_file(&file.bytes) {
        return Ok(None);
    }
    let beside = Path::new(&file.name).with_extension("json");
    let flags = match beside.exists() {
        true => Some(std::fs::read_to_string(&beside).map_err(|error| {
            Failure::usage(format!("model: cannot read {} ({error})", beside.display()))
                .hint("a JSON object with the flags of guided-diffusion's scripts")
        })?),
        false => None,
    };
    let model = guided_diffusion::load(&file.bytes, flags.as_deref(), device).map_err(|error| {
        let mut failure = Failure::from(error);
        failure.message = format!("model {}: {}", file.name, failure.message);
        failure
    })?;
    let notes = model.scheduler.notes.clone();
    Ok(Some((model, notes)))
}
