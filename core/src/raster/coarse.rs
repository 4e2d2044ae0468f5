//! Coarse to fine: holes wider than the network's view are first filled in a smaller image.
//!
//! Deep inside a wide hole the smooth fill knows nothing but a colour. A pixel of an image
//! shrunk by [`FACTOR`] covers more ground, so that the same network sees across the hole there;
//! what it finds replaces the smooth fill at full size, the more the farther from the rim.

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

/// An image in the making that is [`FACTOR`] times smaller than the scene.
#[derive(Debug, Clone)]
pub struct Shrunk {
    /// Sums, then means, of the visible pixels of each block.
    image: Raster,
    /// Visible and valid pixels of each block.
    visible: Vec<u16>,
    valid: Vec<u16>,
}

/// A shrunken scene: image, holes, data.
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
    /// Room for a scene of `bands` bands and `height` x `width` pixels.
    pub fn new(bands: usize, height: usize, width: usize) -> Self {
        let (rows, cols) = (height.div_ceil(FACTOR), width.div_ceil(FACTOR));
        Self {
            image: Raster::new(bands, rows, cols),
            visible: vec![0; rows * cols],
            valid: vec![0; rows * cols],
        }
    }

    /// Adds the pixels of `core` (scene coordinates), a part of the scene that is given inside
    /// `window`. Each pixel of the scene is to be added once.
    pub fn add(
        &mut self,
        image: &Raster,
        visible: &Mask,
        valid: &Mask,
        window: Window,
        core: Window,
    ) {
        let cols = self.image.width;
        for row in core.row..core.row_end() {
            for col in core.col..core.col_end() {
                let block = row / FACTOR * cols + col / FACTOR;
                let (r, c) = (row - window.row, col - window.col);
                self.valid[block] += u16::from(valid.at(r, c));
                if visible.at(r, c) {
                    self.visible[block] += 1;
                    for band in 0..image.bands {
                        self.image.band_mut(band)[block] += image.at(band, r, c);
                    }
                }
            }
        }
    }

    /// The small scene.
    pub fn finish(mut self) -> Small {
        let (height, width) = (self.image.height, self.image.width);
        for band in 0..self.image.bands {
            for (value, count) in self.image.band_mut(band).iter_mut().zip(&self.visible) {
                *value /= f32::from((*count).max(1));
            }
        }
        let valid: Vec<bool> = self.valid.iter().map(|n| *n > 0).collect();
        let hidden = self.visible.iter().zip(&self.valid);
        let mask = hidden
            .map(|(seen, all)| *all > 0 && 2 * seen < *all)
            .collect();
        Small {
            image: self.image,
            mask: Mask {
                height,
                width,
                data: mask,
            },
            valid: Mask {
                height,
                width,
                data: valid,
            },
        }
    }
}

/// A window of the scene from an image [`FACTOR`] times smaller, linear between block centres.
pub fn enlarge(small: &Raster, window: Window) -> Raster {
    enlarge_by(small, FACTOR, window)
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

/// As [`enlarge`], from an image `factor` times smaller.
pub fn enlarge_by(small: &Raster, factor: usize, window: Window) -> Raster {
    let taps = |first: usize, count: usize, size: usize| -> Vec<(usize, usize, f32)> {
        let tap = |i: usize| {
            let at = ((i as f32 + 0.5) / factor as f32 - 0.5).clamp(0.0, (size - 1) as f32);
            let low = at as usize;
            (low, (low + 1).min(size - 1), at - low as f32)
        };
        (first..first + count).map(tap).collect()
    };
    let rows = taps(window.row, window.height, small.height);
    let cols = taps(window.col, window.width, small.width);
    let mut out = Raster::new(small.bands, window.height, window.width);
    for band in 0..small.bands {
        let plane = small.band(band);
        let lines = out.band_mut(band).chunks_exact_mut(window.width.max(1));
        for (line, &(top, bottom, v)) in lines.zip(&rows) {
            let (top, bottom) = (&plane[top * small.width..], &plane[bottom * small.width..]);
            for (value, &(left, right, u)) in line.iter_mut().zip(&cols) {
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
        shrunk.add(&image, &all, &all, whole, whole);
        let small = shrunk.finish();
        assert!(!small.mask.any() && small.valid.count() == 130);
        let inner = Window {
            row: 6,
            col: 9,
            height: 20,
            width: 30,
        };
        let back = enlarge(&small.image, inner);
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
        let small = shrunk.finish();
        assert_eq!(small.mask.data, [false, true, false]);
        assert_eq!(small.valid.data, [true, true, false]);
    }
}
