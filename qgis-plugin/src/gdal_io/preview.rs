//! A picture for the eye: the scene before on the left, after on the right.

use std::path::Path;

use image::{Rgb, RgbImage};
use unclouded_core::raster::{Mask, Window};

use super::mask::MaskReader;
use super::pending::PendingFile;
use super::scene::Scene;
use super::source::GdalSource;
use super::{STRIP_ROWS, unreadable};
use crate::failure::{Failure, Result};

/// A half of the picture is at most this wide and high.
const LARGEST_PX: usize = 1200;
/// A smaller half is enlarged by a whole factor up to this.
const SMALLEST_PX: usize = 480;
/// Width of the white bar between the halves.
const GAP_PX: u32 = 8;
/// The stretch leaves out this share of the clear pixels at either end.
const TAIL: f64 = 0.02;

/// Write a picture of three bands (counted from 1) of the scene and of the file that fills it.
///
/// Both halves share one stretch, from the 2nd to the 98th percentile of the clear pixels, so
/// that clouds do not darken everything else. Nodata is grey.
///
/// # Errors
/// Exit 2 if the scene cannot be read, exit 1 if the picture cannot be written.
pub fn write(
    target: &Path,
    overwrite: bool,
    scene: &Scene,
    mask: &MaskReader,
    filled: &Path,
    rgb: [usize; 3],
) -> Result<PendingFile> {
    let after = Scene::open_written(filled)?;
    let grid = Grid::new(scene.info.height, scene.info.width);
    let (masked, valid) = flags(scene, mask, &grid)?;
    let mut halves = [Vec::new(), Vec::new()];
    for band in rgb {
        let before = sampled(scene, band, &grid)?;
        let after = sampled(&after, band, &grid)?;
        let (low, high) = stretch(&before, &valid.and_not(&masked));
        for (half, values) in halves.iter_mut().zip([before, after]) {
            half.push(
                values
                    .iter()
                    .map(|value| to_byte(*value, low, high))
                    .collect::<Vec<u8>>(),
            );
        }
    }
    let picture = side_by_side(&halves, &valid, &grid);
    let file = PendingFile::new(target, overwrite)?;
    picture
        .save_with_format(file.path(), image::ImageFormat::Png)
        .map_err(|error| {
            Failure::failed(format!("cannot write {} ({error})", target.display()))
                .hint("is there room on the disk, and may you write there?")
        })?;
    Ok(file)
}

/// Which scene pixels the picture shows.
struct Grid {
    rows: Vec<usize>,
    cols: Vec<usize>,
    enlarge: usize,
}

impl Grid {
    fn new(height: usize, width: usize) -> Self {
        let every = height.max(width).div_ceil(LARGEST_PX);
        let enlarge = (SMALLEST_PX / height.max(width)).max(1);
        Grid {
            rows: (0..height).step_by(every).collect(),
            cols: (0..width).step_by(every).collect(),
            enlarge,
        }
    }

    fn pick<T: Copy>(&self, width: usize, first_row: usize, strip: &[T], out: &mut Vec<T>) {
        let last_row = first_row + strip.len() / width;
        for row in self
            .rows
            .iter()
            .filter(|row| (first_row..last_row).contains(*row))
        {
            out.extend(
                self.cols
                    .iter()
                    .map(|col| strip[(row - first_row) * width + col]),
            );
        }
    }
}

fn sampled(scene: &Scene, band: usize, grid: &Grid) -> Result<Vec<f32>> {
    let broken = |error| unreadable("scene", &error);
    let band = scene.dataset.rasterband(band).map_err(broken)?;
    let (height, width) = (scene.info.height, scene.info.width);
    let mut out = Vec::new();
    for window in super::source::strips(height, width) {
        // (cols, rows)
        let size = (window.width, window.height);
        let strip = band
            .read_as::<f32>((0, window.row as isize), size, size, None)
            .map_err(broken)?;
        grid.pick(width, window.row, strip.data(), &mut out);
    }
    Ok(out)
}

fn flags(scene: &Scene, mask: &MaskReader, grid: &Grid) -> Result<(Mask, Mask)> {
    let source = GdalSource::new(scene, mask);
    let (mut masked, mut valid) = (Vec::new(), Vec::new());
    let (height, width) = (scene.info.height, scene.info.width);
    for row in (0..height).step_by(STRIP_ROWS) {
        let window = Window {
            row,
            col: 0,
            height: STRIP_ROWS.min(height - row),
            width,
        };
        let strip = mask.read(window)?;
        grid.pick(
            width,
            row,
            &source.validity(window, &strip)?.data,
            &mut valid,
        );
        grid.pick(width, row, &strip.data, &mut masked);
    }
    let (height, width) = (grid.rows.len(), grid.cols.len());
    Ok((
        Mask {
            height,
            width,
            data: masked,
        },
        Mask {
            height,
            width,
            data: valid,
        },
    ))
}

/// The range of values that becomes black to white.
fn stretch(values: &[f32], clear: &Mask) -> (f32, f32) {
    let mut seen: Vec<f32> = values
        .iter()
        .zip(&clear.data)
        .filter(|(value, clear)| **clear && value.is_finite())
        .map(|(value, _)| *value)
        .collect();
    seen.sort_by(f32::total_cmp);
    let at = |share: f64| {
        let index = (share * seen.len().saturating_sub(1) as f64).round() as usize;
        seen.get(index).copied().unwrap_or(0.0)
    };
    let (low, high) = (at(TAIL), at(1.0 - TAIL));
    if high > low {
        (low, high)
    } else {
        (low, low + 1.0)
    }
}

fn to_byte(value: f32, low: f32, high: f32) -> u8 {
    // The cast saturates, and makes 0 of NaN.
    ((value - low) / (high - low) * 255.0).round() as u8
}

fn side_by_side(halves: &[Vec<Vec<u8>>; 2], valid: &Mask, grid: &Grid) -> RgbImage {
    let (rows, cols) = (grid.rows.len(), grid.cols.len());
    let (width, height) = ((cols * grid.enlarge) as u32, (rows * grid.enlarge) as u32);
    RgbImage::from_fn(2 * width + GAP_PX, height, |x, y| {
        let (half, x) = match x {
            x if x < width => (0, x),
            x if x < width + GAP_PX => return Rgb([255; 3]),
            x => (1, x - width - GAP_PX),
        };
        let index = (y as usize / grid.enlarge) * cols + x as usize / grid.enlarge;
        if !valid.data[index] {
            return Rgb([128; 3]);
        }
        let band = |number: usize| halves[half][number][index];
        Rgb([band(0), band(1), band(2)])
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn large_scenes_are_thinned_and_small_ones_enlarged() {
        let grid = Grid::new(5000, 3000);
        assert_eq!(
            (grid.rows.len(), grid.cols.len(), grid.enlarge),
            (1000, 600, 1)
        );
        let grid = Grid::new(60, 100);
        assert_eq!(
            (grid.rows.len(), grid.cols.len(), grid.enlarge),
            (60, 100, 4)
        );
    }

    #[test]
    fn the_stretch_sees_clear_pixels_only() {
        let values: Vec<f32> = (0..=100)
            .map(|value| value as f32)
            .chain([9000.0])
            .collect();
        let mut clear = vec![true; 102];
        clear[101] = false;
        let clear = Mask {
            height: 1,
            width: 102,
            data: clear,
        };
        assert_eq!(stretch(&values, &clear), (2.0, 98.0));
        assert_eq!(to_byte(9000.0, 2.0, 98.0), 255);
        assert_eq!(to_byte(f32::NAN, 2.0, 98.0), 0);
    }
}
