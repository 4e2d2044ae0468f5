//! `unclouded convert`: a model in the format of another program.

use std::path::Path;

use serde_json::json;
use unclouded_core::model::interop::{diffusers, onnx};

use crate::cli::ConvertArgs;
use crate::device::{self, DeviceChoice};
use crate::failure::{Failure, Result};
use crate::gdal_io::pending;
use crate::models::{Checkpoint, diffusers_folder};
use crate::progress::Reporter;

use super::settings::check_output;

/// What is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Format {
    Onnx,
    Diffusers,
}

/// Run the command.
///
/// # Errors
/// Exit 2 for a model that cannot be read or that the format cannot express, exit 1 if the disk
/// refuses.
pub fn run(args: &ConvertArgs, reporter: &mut Reporter) -> Result<()> {
    let format = format(&args.output)?;
    let source = Path::new(&args.model);
    match format {
        Format::Onnx => check_output("OUT", &args.output, args.overwrite, &[source])?,
        Format::Diffusers if args.output.exists() => return Err(pending::exists(&args.output)),
        Format::Diffusers => {}
    }
    let cpu = device::choose(DeviceChoice::Cpu)?.device;
    let checkpoint = Checkpoint::find(Some(&args.model))?;
    let model = checkpoint.load(&cpu)?;
    checkpoint.say_notes(&model, reporter);
    match format {
        Format::Onnx if model.card.architecture.unet().is_none() => {
            return Err(Failure::mismatch(
                "OUT",
                "a folder, for a model that comes from diffusers or guided-diffusion",
                args.output.display(),
            )
            .hint(
                "only this program's own network is written as ONNX; for others use their own tools",
            ));
        }
        Format::Onnx => pending::write(&args.output, args.overwrite, &onnx::export(&model)?)?,
        Format::Diffusers => diffusers_folder::write(&args.output, &diffusers::files(&model)?)?,
    }
    let text = format!("{}: written", args.output.display());
    reporter.done(&text, json!({"outputs": {"output": args.output}}));
    Ok(())
}

/// The format that a name asks for.
fn format(output: &Path) -> Result<Format> {
    // `Path` takes the end of `a.b/` for an ending.
    if output.to_string_lossy().ends_with(std::path::is_separator) {
        return Ok(Format::Diffusers);
    }
    let ending = output
        .extension()
        .map(|own| own.to_string_lossy().to_lowercase());
    match ending.as_deref() {
        Some("onnx") => Ok(Format::Onnx),
        None => Ok(Format::Diffusers),
        Some("safetensors") => Err(Failure::mismatch(
            "OUT",
            "NAME.onnx or a folder for diffusers",
            output.display(),
        )
        .hint(
            "checkpoints of this program come from `unclouded train`; a diffusers folder is used \
             as it is: unclouded generate FOLDER",
        )),
        Some(_) => Err(Failure::mismatch(
            "OUT",
            "NAME.onnx or a folder for diffusers",
            output.display(),
        )
        .hint("the ending says what is written; a folder has none")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_says_the_format() {
        assert_eq!(format(Path::new("a/b.ONNX")).ok(), Some(Format::Onnx));
        assert_eq!(format(Path::new("a.b/")).ok(), Some(Format::Diffusers));
        assert_eq!(format(Path::new("a.b/c")).ok(), Some(Format::Diffusers));
        for name in ["m.safetensors", "m.bin"] {
            let failure = format(Path::new(name)).expect_err(name);
            assert_eq!(failure.exit as u8, 2);
            assert!(failure.hint.is_some());
        }
    }
}
