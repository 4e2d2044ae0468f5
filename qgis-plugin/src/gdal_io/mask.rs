//! The mask raster: does it lie on the scene's grid, which pixels does it mark, does it make sense.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use gdal::Dataset;
use unclouded_core::raster::{Mask, Window};

use super::scene::{Scene, crs_name, geotransform};
use super::{open_raster, unreadable};
use crate::failure::{Failure, Result};

/// How far apart the corners of scene and mask may lie, in pixels of the scene.
const GRID_TOLERANCE_PX: f64 = 0.05;
/// Values of a wrong mask that a message names at most.
const VALUES_SHOWN: usize = 12;

/// A mask raster on the grid of a scene.
pub struct MaskReader {
    dataset: Dataset,
    path: PathBuf,
    values: Vec<f64>,
    dilate_px: usize,
    height: usize,
    width: usize,
}

impl MaskReader {
    /// Open a mask: pixels of its first band with one of `values` are to be filled, and so is
    /// what lies within `dilate_px` of them.
    ///
    /// # Errors
    /// Exit 2 if it cannot be opened, or differs from the scene in size, or (where both are
    /// georeferenced) in CRS or position.
    pub fn open(path: &Path, scene: &Scene, values: &[f64], dilate_px: usize) -> Result<Self> {
        let dataset = open_raster(path, "mask")?;
        same_grid(&dataset, scene)?;
        Ok(MaskReader {
            dataset,
            path: path.to_owned(),
            values: values.to_vec(),
            dilate_px,
            height: scene.info.height,
            width: scene.info.width,
        })
    }

    /// Which pixels of a window to fill.
    ///
    /// # Errors
    /// Exit 2 if the file cannot be read.
    pub fn read(&self, window: Window) -> Result<Mask> {
        let around = window.grow(self.dilate_px, self.height, self.width);
        let marked = self.marked(around, &self.values_at(around)?);
        if self.dilate_px == 0 {
            return Ok(marked);
        }
        Ok(marked
            .dilate(self.dilate_px)
            .crop(window.relative_to(around)))
    }

    /// Check that the marked values occur. Reads the whole mask once.
    ///
    /// # Errors
    /// Exit 2 for a mask that marks nothing.
    pub fn check_values(&self) -> Result<()> {
        let mut found: BTreeMap<u64, (f64, u64)> = BTreeMap::new();
        for window in super::source::strips(self.height, self.width) {
            crate::interrupt::check()?;
            for value in self.values_at(window)? {
                if self.values.contains(&value) {
                    return Ok(());
                }
                // A float mask may hold as many values as pixels; a few make the point.
                if found.len() < 4 * VALUES_SHOWN || found.contains_key(&value.to_bits()) {
                    found.entry(value.to_bits()).or_insert((value, 0)).1 += 1;
                }
            }
        }
        Err(self.nothing_marked(found))
    }

    fn nothing_marked(&self, found: BTreeMap<u64, (f64, u64)>) -> Failure {
        let mut counts: Vec<(f64, u64)> = found.into_values().collect();
        counts.sort_by(|a, b| a.0.total_cmp(&b.0));
        let expected = format!(
            "a pixel with value {}",
            self.values
                .iter()
                .map(f64::to_string)
                .collect::<Vec<_>>()
                .join(" or ")
        );
        let name = self.path.display();
        if let [(only, count)] = counts[..]
            && only == 0.0
        {
            return Failure::mismatch(
                format!("empty mask {name}"),
                expected,
                format!("0 in all {count} pixels"),
            )
            .hint("nothing is marked, so there is nothing to fill; is it the right file?");
        }
        let shown: Vec<String> = counts
            .iter()
            .take(VALUES_SHOWN)
            .map(|(value, count)| format!("{value} ({count} px)"))
            .collect();
        let more = if counts.len() > VALUES_SHOWN {
            ", ..."
        } else {
            ""
        };
        Failure::mismatch(
            format!("mask values that never occur in {name}"),
            expected,
            format!("{}{more}", shown.join(", ")),
        )
        .hint("name the values that mean \"fill\" with --mask-values, e.g. --mask-values 255")
    }

    fn marked(&self, window: Window, values: &[f64]) -> Mask {
        Mask {
            height: window.height,
            width: window.width,
            data: values
                .iter()
                .map(|value| self.values.contains(value))
                .collect(),
        }
    }

    fn values_at(&self, window: Window) -> Result<Vec<f64>> {
        let damaged = |error| unreadable("mask", &error);
        let band = self.dataset.rasterband(1).map_err(damaged)?;
        // (cols, rows)
        let size = (window.width, window.height);
        let buffer = band
            .read_as::<f64>((window.col as isize, window.row as isize), size, size, None)
            .map_err(damaged)?;
        Ok(buffer.into_shape_and_vec().1)
    }
}

/// Fails unless the mask's pixels are the scene's pixels.
fn same_grid(mask: &Dataset, scene: &Scene) -> Result<()> {
    let info = &scene.info;
    let (width, height) = mask.raster_size();
    if (width, height) != (info.width, info.height) {
        return Err(Failure::mismatch(
            "mask size",
            format!(
                "{} x {} px as the scene (width x height)",
                info.width, info.height
            ),
            format!("{width} x {height}"),
        )
        .hint("bring it onto the scene's grid with gdalwarp -r near, or make the mask again"));
    }
    if let (Ok(own), Ok(scene_crs)) = (mask.spatial_ref(), scene.dataset.spatial_ref()) {
        let (name, scene_name) = (crs_name(&own), crs_name(&scene_crs));
        if own != scene_crs && name != scene_name {
            return Err(Failure::mismatch("mask CRS", scene_name, name)
                .hint("reproject the mask onto the scene's grid with gdalwarp -r near -t_srs"));
        }
    }
    let (Some(own), Some(theirs)) = (geotransform(mask), info.geotransform) else {
        return Ok(());
    };
    let apart_px = corner_distance_px(own, theirs, width as f64, height as f64);
    // Written so that NaN, from a hostile geotransform, is a mismatch.
    if apart_px <= GRID_TOLERANCE_PX {
        return Ok(());
    }
    let show = |numbers: [f64; 6]| {
        format!(
            "origin ({}, {}) and pixels of {} x {}",
            numbers[0], numbers[3], numbers[1], numbers[5]
        )
    };
    Err(Failure::mismatch("mask position", show(theirs), show(own))
        .hint("the mask has the scene's size but lies elsewhere; warp it with gdalwarp -te"))
}

/// The largest distance of corresponding corners, in pixels of `b`.
fn corner_distance_px(a: [f64; 6], b: [f64; 6], width: f64, height: f64) -> f64 {
    let pixel = b[1].abs().max(b[2].abs()).min(b[4].abs().max(b[5].abs()));
    let at = |numbers: [f64; 6], col: f64, row: f64| {
        (
            numbers[0] + col * numbers[1] + row * numbers[2],
            numbers[3] + col * numbers[4] + row * numbers[5],
        )
    };
    let mut largest = 0.0_f64;
    for (col, row) in [(0.0, 0.0), (width, 0.0), (0.0, height), (width, height)] {
        let (one, other) = (at(a, col, row), at(b, col, row));
        let distance = (one.0 - other.0).hypot(one.1 - other.1) / pixel;
        if distance.is_nan() {
            return f64::NAN;
        }
        largest = largest.max(distance);
    }
    largest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn corners_are_compared_in_pixels() {
        let scene = [500_000.0, 10.0, 0.0, 4_000_000.0, 0.0, -10.0];
        let mut mask = scene;
        assert_eq!(corner_distance_px(mask, scene, 100.0, 100.0), 0.0);
        mask[0] += 5.0;
        assert!((corner_distance_px(mask, scene, 100.0, 100.0) - 0.5).abs() < 1e-9);
        mask[1] = f64::NAN;
        assert!(corner_distance_px(mask, scene, 100.0, 100.0).is_nan());
    }
}
