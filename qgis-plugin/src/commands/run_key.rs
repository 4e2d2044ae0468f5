//! What the result of a run depends on, in one number: rows of another key are of no use to it.

use std::path::Path;

use gdal::Dataset;
use serde_json::json;
use sha2::{Digest, Sha256};
use unclouded_core::raster::Mask;

use super::restore::Job;
use crate::failure::Result;
use crate::for_dtype;
use crate::gdal_io::journal::Key;
use crate::gdal_io::scene::Scene;
use crate::gdal_io::source::{read_native, strips};
use crate::gdal_io::{file_list, unreadable};

/// The key of a job: version, files of the scene and its other dates, pixels of the masks, model,
/// settings, storage.
///
/// # Errors
/// Exit 2 if the scene cannot be read.
pub fn key(job: &Job, checkpoint_sha256: &str) -> Result<Key> {
    let mut hash = Sha256::new();
    let info = &job.scene.info;
    let words = json!({
        "version": env!("CARGO_PKG_VERSION"),
        "checkpoint": checkpoint_sha256,
        "settings": job.settings,
        "format": job.format,
        "bands": job.bands.bands,
        "shift": info.encoding.shift,
        "uncertainty": job.paths.uncertainty.is_some(),
        "max_uncertainty": job.max_uncertainty,
        "device": job.device.kind,
    });
    hash.update(words.to_string());
    add_scene(&mut hash, &job.scene)?;
    for window in strips(info.height, info.width) {
        add_mask(&mut hash, &job.mask.read(window)?);
        if let Some(left_out) = job.mask.left_out(window) {
            add_mask(&mut hash, &left_out);
        }
    }
    for reference in &job.references {
        add_scene(&mut hash, reference.scene())?;
        hash.update(format!("{:?}", reference.days()));
        for window in strips(info.height, info.width) {
            add_mask(&mut hash, &reference.clouds(window)?);
        }
    }
    Ok(hash.finalize().into())
}

fn add_mask(hash: &mut Sha256, mask: &Mask) {
    let bytes: Vec<u8> = mask.data.iter().map(|flag| u8::from(*flag)).collect();
    hash.update(bytes);
}

/// Files by name, size and time of change; what is no file (inside an archive, far away) by its
/// pixels.
fn add_scene(hash: &mut Sha256, scene: &Scene) -> Result<()> {
    let info = &scene.info;
    hash.update(format!("{:?} {} {}", info.path, info.width, info.height));
    let files = file_list(&scene.dataset);
    let known: Option<Vec<String>> = files.iter().map(|file| described(file)).collect();
    match known.filter(|known| !known.is_empty()) {
        Some(known) => {
            for words in known {
                hash.update(words);
            }
            Ok(())
        }
        None => add_pixels(hash, scene, &scene.dataset),
    }
}

fn described(file: &Path) -> Option<String> {
    let about = file.metadata().ok()?;
    let changed = about.modified().ok()?;
    Some(format!(
        "{:?} {} {changed:?}",
        file.canonicalize().ok()?,
        about.len()
    ))
}

fn add_pixels(hash: &mut Sha256, scene: &Scene, dataset: &Dataset) -> Result<()> {
    for window in strips(scene.info.height, scene.info.width) {
        crate::interrupt::check()?;
        for band in &scene.info.bands {
            for_dtype!(scene.info.dtype, T => {
                let values = read_native::<T>(dataset, band.number, window)
                    .map_err(|error| unreadable("scene", &error))?;
                let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_ne_bytes()).collect();
                hash.update(bytes);
            });
        }
    }
    Ok(())
}
