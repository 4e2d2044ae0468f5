//! Coarse to fine: holes wider than the network's view are first filled in a smaller image.
//!
//! Deep inside a wide hole the smooth fill knows nothing but a colour. A pixel of an image
//! shrunk by [`FACTOR`] covers more ground, so that the same network sees across the hole there;
//! what it finds replaces the smooth fill at full size, the more the farther from the rim.

use std::collections::VecDeque;

use super::soften::distances;
use super::{Mask, Raster, Window};

/// How much smaller the next coarser image is.
pub const FACTOR: usize = 4;

/// Pixels from the rim at which the coarse estimate begins to count, and where it counts fully.
const RAMP_PX: (f32, f32) = (6.0, 16.0);

/// Whether any hole pixel is so deep that a coarse estimate counts there.
pub fn is_deep(distance_px: f32) -> bool {
    distance_px > RAMP_PX.1
}

/// How much a coarse estimate counts, `[height, width]` in 0..=1: by the distance of every
/// unknown pixel to the nearest known one, 0 where known. Without a known pixel, 1.
pub fn weight(unknown: &Mask) -> Vec<f32> {
    distances(&unknown.invert())
        .into_iter()
        .map(|d| {
            let t = ((d - RAMP_PX.0) / (RAMP_PX.1 - RAMP_PX.0)).clamp(0.0, 1.0);
            t * t * (3.0 - 2.0 * t)
        })
        .collect()
}

/// What an estimate changes about a fill: `weight * (estimate - filled)`.
pub fn delta(estimate: &Raster, filled: &Raster, weight: &[f32]) -> Raster {
    let mut out = estimate.clone();
    for band in 0..out.bands {
        let filled = filled.band(band).iter().zip(weight);
        for (value, (fill, w)) in out.band_mut(band).iter_mut().zip(filled) {
            *value = w * (*value - fill);
        }
    }
    out
}

/// An image in the making that is [`FACTOR`] times smaller than the scene. It is made row by
/// row: only rows whose pixels have not all been added are in memory.
#[derive(Debug, Clone)]
pub struct Shrunk {
    bands: usize,
    /// Height and width of the scene.
    scene: (usize, usize),
    /// Row of the small image that is the first in `rows`.
    first: usize,
    rows: VecDeque<Sums>,
}

/// One row of the small image in the making.
#[derive(Debug, Clone)]
struct Sums {
    /// `[bands, columns]`: sums of the visible pixels of each block.
    image: Vec<f32>,
    /// Visible and valid pixels of each block.
    visible: Vec<u16>,
    valid: Vec<u16>,
}

/// Rows of a shrunken scene: image, holes, data.
#[derive(Debug, Clone, PartialEq)]
pub struct Small {
    /// Means of the visible pixels of each block; 0 without one.
    pub image: Raster,
    /// True = fill: data, of which less than half is visible.
    pub mask: Mask,
    /// True = the block holds data.
    pub valid: Mask,
}

impl Shrunk {
    /// For a scene of `bands` bands and `height` x `width` pixels.
    pub fn new(bands: usize, height: usize, width: usize) -> Self {
        Self {
            bands,
            scene: (height, width),
            first: 0,
            rows: VecDeque::new(),
        }
    }

    /// Height and width of the small image.
    pub fn size(&self) -> (usize, usize) {
        (self.scene.0.div_ceil(FACTOR), self.scene.1.div_ceil(FACTOR))
    }

    /// Adds the pixels of `core` (scene coordinates), a part of the scene that is given inside
    /// `window`. Each pixel of the scene is to be added once, and none above the rows taken.
    pub fn add(
        &mut self,
        image: &Raster,
        visible: &Mask,
        valid: &Mask,
        window: Window,
        core: Window,
    ) {
        let cols = self.size().1;
        let needed = (core.row_end().div_ceil(FACTOR)).saturating_sub(self.first);
        let empty = || Sums {
            image: vec![0.0; self.bands * cols],
            visible: vec![0; cols],
            valid: vec![0; cols],
        };
        if self.rows.len() < needed {
            self.rows.resize_with(needed, empty);
        }
        for row in core.row..core.row_end() {
            let sums = &mut self.rows[row / FACTOR - self.first];
            for col in core.col..core.col_end() {
                let block = col / FACTOR;
                let (r, c) = (row - window.row, col - window.col);
                sums.valid[block] += u16::from(valid.at(r, c));
                if visible.at(r, c) {
                    sums.visible[block] += 1;
                    for band in 0..image.bands {
                        sums.image[band * cols + block] += image.at(band, r, c);
                    }
                }
            }
        }
    }

    /// Takes the rows of the small image that lie above `row_end` of the scene, up to which
    /// every pixel was added: the first of them, and their values.
    pub fn take(&mut self, row_end: usize) -> (usize, Small) {
        let (height, cols) = self.size();
        let end = match row_end >= self.scene.0 {
            true => height,
            false => row_end / FACTOR,
        };
        let (first, count) = (self.first, end.saturating_sub(self.first));
        let mut small = Small {
            image: Raster::new(self.bands, count, cols),
            mask: Mask::new(count, cols, false),
            valid: Mask::new(count, cols, false),
        };
        for (row, sums) in self.rows.drain(..count.min(self.rows.len())).enumerate() {
            for col in 0..cols {
                let (seen, all) = (sums.visible[col], sums.valid[col]);
                small.valid.data[row * cols + col] = all > 0;
                small.mask.data[row * cols + col] = all > 0 && 2 * seen < all;
                for band in 0..self.bands {
                    let mean = sums.image[band * cols + col] / f32::from(seen.max(1));
                    small.image.band_mut(band)[row * cols + col] = mean;
                }
            }
        }
        self.first += count;
        (first, small)
    }
}

/// Means of blocks of `factor` by `factor` pixels; the last ones may be cut off.
pub fn block_means(image: &Raster, factor: usize) -> Raster {
    let (rows, cols) = (image.height.div_ceil(factor), image.width.div_ceil(factor));
    let mut small = Raster::new(image.bands, rows, cols);
    for band in 0..image.bands {
        let mut counts = vec![0.0f32; rows * cols];
        let places = small.band_mut(band);
        for (i, value) in image.band(band).iter().enumerate() {
            let block = i / image.width / factor * cols + i % image.width / factor;
            places[block] += value;
            counts[block] += 1.0;
        }
        let blocks = places.iter_mut().zip(counts);
        blocks.for_each(|(sum, count)| *sum /= count);
    }
    small
}

/// Where along an axis of `size` pixels, each `factor` of the scene's wide, the scene's pixels lie:
/// the small pixels before and after, and how far from the first to the second.
fn taps(first: usize, count: usize, size: usize, factor: usize) -> Vec<(usize, usize, f32)> {
    let tap = |i: usize| {
        let at = ((i as f32 + 0.5) / factor as f32 - 0.5).clamp(0.0, (size - 1) as f32);
        let low = at as usize;
        (low, (low + 1).min(size - 1), at - low as f32)
    };
    (first..first + count).map(tap).collect()
}

/// The part of a small image of `size` (height, width) that [`enlarge`] needs for a window of
/// the scene.
pub fn needed(window: Window, size: (usize, usize)) -> Window {
    let span = |first: usize, count: usize, size: usize| {
        let ends = taps(first, 1, size, FACTOR).into_iter();
        let ends = ends.chain(taps(first + count.max(1) - 1, 1, size, FACTOR));
        let ends: Vec<_> = ends.collect();
        (ends[0].0, ends[1].1 + 1 - ends[0].0)
    };
    let (row, height) = span(window.row, window.height, size.0);
    let (col, width) = span(window.col, window.width, size.1);
    Window {
        row,
        col,
        height,
        width,
    }
}

/// A window of the scene from an image of `size` (height, width) that is [`FACTOR`] times
/// smaller, linear between block centres; `part` holds what is [`needed`] of it.
pub fn enlarge(part: &Raster, size: (usize, usize), window: Window) -> Raster {
    let rows = taps(window.row, window.height, size.0, FACTOR);
    let cols = taps(window.col, window.width, size.1, FACTOR);
    between(part, needed(window, size), &rows, &cols)
}

/// An image of `height` x `width` from the whole of one `factor` times smaller, as [`enlarge`].
pub fn enlarge_by(small: &Raster, factor: usize, (height, width): (usize, usize)) -> Raster {
    let rows = taps(0, height, small.height, factor);
    let cols = taps(0, width, small.width, factor);
    between(small, Window::full(small.height, small.width), &rows, &cols)
}

/// Values between pixels, see [`taps`]; `part` begins at `origin`.
fn between(
    part: &Raster,
    origin: Window,
    rows: &[(usize, usize, f32)],
    cols: &[(usize, usize, f32)],
) -> Raster {
    let mut out = Raster::new(part.bands, rows.len(), cols.len());
    for band in 0..part.bands {
        let plane = part.band(band);
        let lines = out.band_mut(band).chunks_exact_mut(cols.len().max(1));
        for (line, &(top, bottom, v)) in lines.zip(rows) {
            let top = &plane[(top - origin.row) * part.width..];
            let bottom = &plane[(bottom - origin.row) * part.width..];
            for (value, &(left, right, u)) in line.iter_mut().zip(cols) {
                let (left, right) = (left - origin.col, right - origin.col);
                let above = top[left] + u * (top[right] - top[left]);
                let below = bottom[left] + u * (bottom[right] - bottom[left]);
                *value = above + v * (below - above);
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weight_grows_inwards_and_is_zero_at_the_rim() {
        let hole = Mask::from_fn(60, 60, |r, c| (5..55).contains(&r) && (5..55).contains(&c));
        let weight = weight(&hole);
        assert!((0..60).all(|i| weight[i] == 0.0));
        assert_eq!(weight[5 * 60 + 30], 0.0);
        assert_eq!(weight[30 * 60 + 30], 1.0);
        assert!((5..29).all(|r| weight[r * 60 + 30] <= weight[(r + 1) * 60 + 30]));
    }

    #[test]
    fn a_linear_image_survives_shrinking_and_enlarging() {
        let (height, width) = (40, 52);
        let value = |r: usize, c: usize| 3.0 * r as f32 - 2.0 * c as f32 + 100.0;
        let data = (0..height * width).map(|i| value(i / width, i % width));
        let image = Raster::from_vec(1, height, width, data.collect()).unwrap();
        let all = Mask::new(height, width, true);
        let whole = Window::full(height, width);
        let mut shrunk = Shrunk::new(1, height, width);
        // In parts that do not end with a block.
        let part = |row, col, height, width| Window {
            row,
            col,
            height,
            width,
        };
        for core in [part(0, 0, 30, 17), part(0, 17, 30, 35)] {
            shrunk.add(&image, &all, &all, whole, core);
        }
        let (first, upper) = shrunk.take(30);
        assert_eq!((first, upper.image.height), (0, 7));
        shrunk.add(&image, &all, &all, whole, part(30, 0, 10, 52));
        let (first, lower) = shrunk.take(40);
        assert_eq!((first, lower.image.height), (7, 3));
        let mut small = Small {
            image: Raster::new(1, 10, 13),
            mask: Mask::new(10, 13, false),
            valid: Mask::new(10, 13, true),
        };
        small.image.paste(0, 0, &upper.image);
        small.image.paste(7, 0, &lower.image);
        assert_eq!(upper.valid.count() + lower.valid.count(), 130);
        assert!(!upper.mask.any() && !lower.mask.any());
        let inner = Window {
            row: 6,
            col: 9,
            height: 20,
            width: 30,
        };
        let part = small.image.crop(needed(inner, (10, 13)));
        let back = enlarge(&part, (10, 13), inner);
        for (i, got) in back.data.iter().enumerate() {
            let expected = value(6 + i / 30, 9 + i % 30);
            assert!((got - expected).abs() < 1e-3, "{i}: {got} {expected}");
        }
    }

    #[test]
    fn a_block_is_a_hole_when_less_than_half_of_its_data_is_visible() {
        let (image, valid) = (Raster::new(1, 4, 12), Mask::from_fn(4, 12, |_, c| c < 8));
        let visible = Mask::from_fn(4, 12, |r, c| c < 4 && r < 2);
        let whole = Window::full(4, 12);
        let mut shrunk = Shrunk::new(1, 4, 12);
        shrunk.add(&image, &visible, &valid, whole, whole);
        let (_, small) = shrunk.take(4);
        assert_eq!(small.mask.data, [false, true, false]);
        assert_eq!(small.valid.data, [true, true, false]);
    }
}
