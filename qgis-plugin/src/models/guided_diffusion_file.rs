//! The flags of a state dict of guided-diffusion (ADM): NAME.safetensors has them in NAME.json.

use std::path::Path;

use crate::failure::{Failure, Result};

/// The text of the flags beside a file; none where there is none.
///
/// # Errors
/// Exit 2 if it cannot be read.
pub fn flags(file: &Path) -> Result<Option<String>> {
    let beside = file.with_extension("json");
    if !beside.exists() {
        return Ok(None);
    }
    let text = std::fs::read_to_string(&beside).map_err(|error| {
        Failure::usage(format!("model: cannot read {} ({error})", beside.display()))
            .hint("a JSON object with the flags of guided-diffusion's scripts")
    })?;
    Ok(Some(text))
}
