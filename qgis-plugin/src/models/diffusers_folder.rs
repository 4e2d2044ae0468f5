//! Folders of the Python library diffusers on the disk: which files count, and writing new ones.

use std::fs;
use std::path::{Path, PathBuf};

use unclouded_core::model::interop::diffusers::{FolderFiles, NewFile};

use crate::failure::{Failure, Result};

/// Folders of a network inside a pipeline's; the moving average comes first.
const NETWORKS: [&str; 3] = ["unet_ema", "ema_unet", "unet"];

/// Reads the folder of a `DDPMPipeline` or of a `UNet2DModel` alone.
///
/// Also returned is what the user should know about the choice of files.
///
/// # Errors
/// Exit 2 when a file is missing or cannot be read.
pub fn read(folder: &Path) -> Result<(FolderFiles, Vec<String>)> {
    let mut notes = Vec::new();
    let candidates: Vec<PathBuf> = NETWORKS
        .iter()
        .map(|name| folder.join(name))
        .filter(|network| network.join("config.json").exists())
        .collect();
    let network = match candidates.first() {
        Some(network) => network.clone(),
        None if folder.join("config.json").exists() => folder.to_owned(),
        None => {
            return Err(Failure::mismatch(
                format!("model {}", folder.display()),
                "a diffusers folder with unet/config.json or config.json",
                "none of them",
            )
            .hint("name the folder that save_pretrained wrote"));
        }
    };
    if candidates.len() > 1 {
        notes.push(format!(
            "weights: the moving average in {}",
            network.display()
        ));
    }
    let weights = weights(&network)?;
    // The folder of a network alone often lies beside its scheduler's.
    let scheduler = [
        folder.join("scheduler/scheduler_config.json"),
        folder.join("scheduler_config.json"),
        folder.join("../scheduler/scheduler_config.json"),
    ];
    let files = FolderFiles {
        config: text(&network.join("config.json"))?,
        weights: fs::read(&weights).map_err(|error| unreadable(&weights, &error))?,
        scheduler: optional(scheduler.iter().find(|path| path.exists()))?,
        index: optional(Some(&folder.join("model_index.json")).filter(|path| path.exists()))?,
    };
    Ok((files, notes))
}

/// The file of weights of a network's folder.
fn weights(network: &Path) -> Result<PathBuf> {
    let usual = network.join("diffusion_pytorch_model.safetensors");
    if usual.exists() {
        return Ok(usual);
    }
    let entries = fs::read_dir(network).map_err(|error| unreadable(network, &error))?;
    let mut names: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    names.sort();
    let ends = |ending: &str| {
        names
            .iter()
            .filter(|path| path.to_string_lossy().ends_with(ending))
            .collect::<Vec<_>>()
    };
    let what = format!("model {}", network.display());
    match (ends(".safetensors").as_slice(), ends(".bin").first()) {
        ([one], _) => Ok((*one).clone()),
        ([first, ..], _) => Err(Failure::mismatch(
            what,
            "one .safetensors file",
            format!("several, e.g. {}", first.display()),
        )
        .hint("weights in pieces or in variants: keep the one to use in a folder of its own")),
        ([], Some(pickle)) => Err(Failure::mismatch(
            what,
            "weights as .safetensors",
            format!("{}, a Python pickle, which can run code", pickle.display()),
        )
        .hint(
            "convert it in Python: UNet2DModel.from_pretrained(FOLDER).save_pretrained(NEW, \
             safe_serialization=True)",
        )),
        ([], None) => Err(Failure::mismatch(what, "weights as .safetensors", "none")
            .hint("is the download complete? Git LFS leaves short text files")),
    }
}

/// Writes a new folder under a temporary name and renames it when it is complete.
///
/// # Errors
/// Exit 2 if something of that name exists, exit 1 if the disk refuses.
pub fn write(target: &Path, files: &[NewFile]) -> Result<()> {
    let failed = |error: std::io::Error| {
        Failure::failed(format!("cannot write {} ({error})", target.display()))
            .hint("is there room on the disk, and may you write there?")
    };
    let parent = match target.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let temporary = tempfile::Builder::new()
        .prefix(".unclouded-")
        .tempdir_in(parent)
        .map_err(failed)?;
    // Inside, since a temporary folder is closed to others.
    let inside = temporary.path().join("folder");
    for (name, bytes) in files {
        let path = inside.join(name);
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder).map_err(failed)?;
        }
        fs::write(&path, bytes).map_err(failed)?;
        fs::File::open(&path)
            .and_then(|file| file.sync_all())
            .map_err(failed)?;
    }
    crate::interrupt::check()?;
    if target.exists() {
        return Err(crate::gdal_io::pending::exists(target));
    }
    fs::rename(&inside, target).map_err(failed)
}

fn text(path: &Path) -> Result<String> {
    fs::read_to_string(path).map_err(|error| unreadable(path, &error))
}

fn optional(path: Option<&PathBuf>) -> Result<Option<String>> {
    path.map(|path| text(path)).transpose()
}

fn unreadable(path: &Path, error: &std::io::Error) -> Failure {
    Failure::usage(format!("model: cannot read {} ({error})", path.display()))
        .hint("the file may be damaged or not yours to read")
}
