//! A scene whose bands lie in files of their own: one virtual raster in memory.
//!
//! The finest band sets the grid. The values of coarser ones are repeated (nearest neighbour), so
//! that every pixel still holds a measured value, whatever window is read.

use std::path::{Path, PathBuf};

use gdal::errors::GdalError;
use gdal::programs::raster::{BuildVRTOptions, build_vrt};
use gdal::{Dataset, Metadata};

use super::{open_raster, reason};
use crate::failure::{Failure, Result};

/// A virtual raster that exists as long as this does.
#[derive(Debug)]
pub struct Stack {
    path: PathBuf,
    names: Vec<String>,
    coarser: Vec<String>,
}

impl Stack {
    /// Stacks `bands`, files and what their bands are called, under the name `path`, which lies in
    /// `/vsimem/`.
    ///
    /// # Errors
    /// Exit 2 if a file cannot be opened, holds several bands or has another CRS.
    pub fn new(path: &Path, bands: &[(&Path, &str)]) -> Result<Self> {
        let mut files = Vec::new();
        for (file, name) in bands {
            let dataset = open_raster(file, &format!("band {name}"))?;
            let count = dataset.raster_count();
            if count != 1 {
                return Err(Failure::mismatch(
                    format!("band {name} in {}", file.display()),
                    "a file with one band",
                    count,
                )
                .hint("a raster with all bands is named alone: --asset KEY"));
            }
            files.push(dataset);
        }
        let stack = Stack {
            path: path.to_owned(),
            names: bands.iter().map(|(_, name)| (*name).to_owned()).collect(),
            coarser: coarser(&files, bands),
        };
        let failed = |why: String| {
            Failure::mismatch(
                format!("bands of {}", path.display()),
                "files that cover one place in one CRS",
                why,
            )
            .hint("do they belong to one scene? --asset KEY+KEY chooses some of them")
        };
        let built = build(path, &files, bands).map_err(|error| failed(reason(&error)))?;
        // GDAL leaves out what does not fit, with no more than a warning.
        if built != bands.len() {
            return Err(failed(format!("{built} of {} that do", bands.len())));
        }
        Ok(stack)
    }

    /// For the log.
    pub fn describe(&self) -> String {
        let mut text = format!(
            "scene: {} files: {}",
            self.names.len(),
            self.names.join(", ")
        );
        if !self.coarser.is_empty() {
            text += &format!(" (coarser, values repeated: {})", self.coarser.join(", "));
        }
        text
    }
}

impl Drop for Stack {
    fn drop(&mut self) {
        // It is in memory and ends with the program at the latest.
        let _ = gdal::vsi::unlink_mem_file(&self.path);
    }
}

/// Names of the bands whose pixels are larger than the smallest.
fn coarser(files: &[Dataset], bands: &[(&Path, &str)]) -> Vec<String> {
    let size = |file: &Dataset| {
        file.geo_transform()
            .map_or(1.0, |[_, a, _, _, b, _]| a.hypot(b))
    };
    let finest = files.iter().map(size).fold(f64::INFINITY, f64::min);
    let coarse = files
        .iter()
        .zip(bands)
        .filter(|(file, _)| size(file) > 1.001 * finest);
    coarse.map(|(_, (_, name))| (*name).to_owned()).collect()
}

/// Writes the virtual raster; returns how many bands it has.
fn build(
    path: &Path,
    files: &[Dataset],
    bands: &[(&Path, &str)],
) -> std::result::Result<usize, GdalError> {
    let words = ["-separate", "-resolution", "highest", "-r", "nearest"];
    let options = BuildVRTOptions::new(words)?;
    let stack = build_vrt(Some(path), files, Some(options))?;
    let count = stack.raster_count();
    for (number, (file, (_, name))) in (1..=count).zip(files.iter().zip(bands)) {
        let from = file.rasterband(1)?;
        let mut to = stack.rasterband(number)?;
        to.set_description(name)?;
        if let Some(scale) = from.scale() {
            to.set_scale(scale)?;
        }
        if let Some(offset) = from.offset() {
            to.set_offset(offset)?;
        }
        if from.no_data_value() != to.no_data_value() {
            to.set_no_data_value(from.no_data_value())?;
        }
    }
    stack.close()?;
    Ok(count)
}
