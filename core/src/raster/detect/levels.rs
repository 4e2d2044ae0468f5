//! What the ground looks like in each part of a scene: histograms on a coarse grid of cells,
//! blended over neighbouring cells and interpolated, so that no edge of a cell shows.

use super::pixel::{Roles, dark_slots, for_each_valid, hot, is_snow, median3, value};
use super::{Settings, Walk};
use crate::error::Result;
use crate::raster::bits::BitMask;
use crate::raster::{Mask, Raster};

/// Side of a cell, pixels.
const CELL_PX: usize = 256;
/// Bins of a histogram.
const BINS: usize = 512;
/// So close to a cloud nothing is clear.
const NEAR_PX: usize = 3;
/// A level from fewer pixels is none.
const LEAST_PX: u64 = 200;

/// Which quantity a histogram counts, and over what range.
#[derive(Debug, Clone, Copy)]
struct Axis {
    low: f32,
    high: f32,
}

/// Haze-optimised transform.
const HOT_AXIS: Axis = Axis {
    low: -0.4,
    high: 0.6,
};
/// Reflectance.
const REFLECTANCE_AXIS: Axis = Axis {
    low: 0.0,
    high: 1.0,
};
/// The cirrus band, which is dark but for high clouds.
const CIRRUS_AXIS: Axis = Axis {
    low: 0.0,
    high: 0.25,
};

impl Axis {
    fn bin(&self, value: f32) -> usize {
        let share = (value - self.low) / (self.high - self.low);
        // The cast saturates, and makes 0 of NaN.
        ((share * BINS as f32) as usize).min(BINS - 1)
    }

    fn value(&self, bin: f64) -> f32 {
        self.low + (self.high - self.low) * (bin / BINS as f64) as f32
    }
}

/// Histograms of one quantity on a grid of cells.
struct Histograms {
    axis: Axis,
    rows: usize,
    cols: usize,
    counts: Vec<u32>,
}

impl Histograms {
    fn new(axis: Axis, (height, width): (usize, usize)) -> Self {
        let (rows, cols) = (height.div_ceil(CELL_PX), width.div_ceil(CELL_PX));
        Histograms {
            axis,
            rows,
            cols,
            counts: vec![0; rows * cols * BINS],
        }
    }

    fn add(&mut self, row: usize, col: usize, value: f32) {
        let cell = (row / CELL_PX) * self.cols + col / CELL_PX;
        self.counts[cell * BINS + self.axis.bin(value)] += 1;
    }

    /// Counts of a cell and the eight around it; of the whole scene where they hold too little.
    fn around(&self, row: usize, col: usize) -> Vec<u64> {
        let sum = |rows: std::ops::Range<usize>, cols: std::ops::Range<usize>| {
            let mut sum = vec![0_u64; BINS];
            for r in rows {
                for c in cols.clone() {
                    let cell = &self.counts[(r * self.cols + c) * BINS..][..BINS];
                    sum.iter_mut()
                        .zip(cell)
                        .for_each(|(sum, count)| *sum += u64::from(*count));
                }
            }
            sum
        };
        let near = sum(
            row.saturating_sub(1)..(row + 2).min(self.rows),
            col.saturating_sub(1)..(col + 2).min(self.cols),
        );
        if near.iter().sum::<u64>() >= LEAST_PX {
            return near;
        }
        sum(0..self.rows, 0..self.cols)
    }

    /// A level for every cell; `None` where the whole scene has too few pixels.
    fn levels(&self, level: impl Fn(&[u64]) -> f64) -> Levels {
        let mut values = Vec::with_capacity(self.rows * self.cols);
        for row in 0..self.rows {
            for col in 0..self.cols {
                let counts = self.around(row, col);
                let enough = counts.iter().sum::<u64>() >= LEAST_PX;
                values.push(enough.then(|| self.axis.value(level(&counts))));
            }
        }
        Levels {
            rows: self.rows,
            cols: self.cols,
            values,
        }
    }
}

/// The bin, with a fraction, below which a share of the counts lies.
fn quantile(counts: &[u64], share: f64) -> f64 {
    let target = share * counts.iter().sum::<u64>() as f64;
    let mut below = 0.0;
    for (bin, &count) in counts.iter().enumerate() {
        let count = count as f64;
        if below + count >= target && count > 0.0 {
            return bin as f64 + (target - below) / count;
        }
        below += count;
    }
    counts.len() as f64
}

/// A value for every cell of a scene, interpolated between their centres.
pub(super) struct Levels {
    rows: usize,
    cols: usize,
    values: Vec<Option<f32>>,
}

impl Levels {
    /// The level at a pixel; `None` where nothing is known.
    pub fn at(&self, row: usize, col: usize) -> Option<f32> {
        let axis = |place: usize, cells: usize| {
            let at = ((place as f32 + 0.5) / CELL_PX as f32 - 0.5).clamp(0.0, (cells - 1) as f32);
            let first = at as usize;
            (first, (first + 1).min(cells - 1), at - first as f32)
        };
        let (top, bottom, down) = axis(row, self.rows);
        let (left, right, across) = axis(col, self.cols);
        let (mut sum, mut weight) = (0.0, 0.0);
        for (r, c, w) in [
            (top, left, (1.0 - down) * (1.0 - across)),
            (top, right, (1.0 - down) * across),
            (bottom, left, down * (1.0 - across)),
            (bottom, right, down * across),
        ] {
            if let Some(value) = self.values[r * self.cols + c] {
                sum += value * w;
                weight += w;
            }
        }
        (weight > 0.0).then(|| sum / weight)
    }
}

/// What the ground looks like before it is known where the clouds are.
pub(super) struct Ground {
    /// The clear-sky level of the haze-optimised transform.
    pub hot: Levels,
    /// What the cirrus band shows where the sky is clearest; 0 without that band.
    pub cirrus: f32,
    /// Part of the scene that is snow, 0 to 1.
    pub snow: f64,
    /// Values times this are as bright as reflectance usually is.
    pub gain: f32,
}

/// The share of pixels that are taken for clear when the clear-sky level is sought: its middle
/// is the median of the lower 60 %.
const CLEAR_SHARE: f64 = 0.6;
/// The share of pixels under the clearest sky (Fmask 4, which subtracts this percentile).
const CLEAREST_SHARE: f64 = 0.02;
/// A usual clear-sky value of blue at the top of the atmosphere, for pictures without a scale.
const USUAL_BLUE: f32 = 0.10;

pub(super) fn ground(walk: &mut Walk, roles: &Roles, settings: &Settings) -> Result<Ground> {
    let slots = roles.slots();
    let size = walk.size();
    let mut hots = Histograms::new(HOT_AXIS, size);
    let [mut blues, mut cirri] = [(); 2].map(|()| vec![0_u64; BINS]);
    let (mut snow, mut data) = (0_u64, 0_u64);
    walk.windows(1, &mut |window, around, image: &Raster, valid: &Mask| {
        let hot = median3(window, around, valid, |at| hot(image, at));
        for_each_valid(window, around, valid, |index, at| {
            let row = window.row + index / window.width;
            let col = window.col + index % window.width;
            hots.add(row, col, hot[index]);
            blues[REFLECTANCE_AXIS.bin(image.band(0)[at])] += 1;
            if let Some(slot) = slots.cirrus {
                cirri[CIRRUS_AXIS.bin(image.band(slot)[at])] += 1;
            }
            snow += u64::from(is_snow(image, &slots, at));
            data += 1;
        });
    })?;
    let gain = if settings.calibrated {
        1.0
    } else {
        let typical = REFLECTANCE_AXIS.value(quantile(&blues, CLEAR_SHARE / 2.0));
        // A picture is stretched, seldom by more than four and never darkened.
        (USUAL_BLUE / typical.max(0.01)).clamp(0.25, 1.0)
    };
    Ok(Ground {
        hot: hots.levels(|counts| quantile(counts, CLEAR_SHARE / 2.0)),
        cirrus: match slots.cirrus {
            Some(_) if data > 0 => CIRRUS_AXIS.value(quantile(&cirri, CLEAREST_SHARE)),
            _ => 0.0,
        },
        snow: snow as f64 / data.max(1) as f64,
        gain,
    })
}

/// How bright the clear ground is: medians of near infrared and both short-wave infrared bands,
/// or of the visible bands' sum where there is none of them.
pub(super) fn brightness(walk: &mut Walk, roles: &Roles, clouded: &BitMask) -> Result<Vec<Levels>> {
    let slots = dark_slots(&roles.slots());
    let size = walk.size();
    let mut counts: Vec<Histograms> = slots
        .iter()
        .map(|_| Histograms::new(REFLECTANCE_AXIS, size))
        .collect();
    let (height, width) = size;
    walk.windows(0, &mut |window, around, image: &Raster, valid: &Mask| {
        // The edge of a cloud is thinner than what was found of it.
        let near = window.grow(NEAR_PX, height, width);
        let clouded = clouded.read(near).dilate(NEAR_PX);
        let clouded = clouded.crop(window.relative_to(near));
        for_each_valid(window, around, valid, |index, at| {
            if clouded.data[index] {
                return;
            }
            let row = window.row + index / window.width;
            let col = window.col + index % window.width;
            for (slot, counts) in slots.iter().zip(&mut counts) {
                counts.add(row, col, value(image, *slot, at));
            }
        });
    })?;
    let levels = counts
        .iter()
        .map(|counts| counts.levels(|of| quantile(of, 0.5)));
    Ok(levels.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_of_counts() {
        let mut counts = vec![0; BINS];
        counts[10] = 100;
        counts[20] = 100;
        assert!((quantile(&counts, 0.25) - 10.5).abs() < 1e-9);
        assert!((quantile(&counts, 0.75) - 20.5).abs() < 1e-9);
    }

    #[test]
    fn levels_are_interpolated_and_gaps_take_the_scene() {
        let mut counts = Histograms::new(REFLECTANCE_AXIS, (CELL_PX, 8 * CELL_PX));
        for _ in 0..1000 {
            counts.add(0, 0, 0.2);
            counts.add(0, 7 * CELL_PX, 0.6);
        }
        let levels = counts.levels(|of| quantile(of, 0.5));
        let left = levels.at(0, 0).expect("known");
        let right = levels.at(0, 8 * CELL_PX - 1).expect("known");
        assert!((left - 0.2).abs() < 0.003 && (right - 0.6).abs() < 0.003);
        // Between them steps are small.
        let line: Vec<f32> = (0..8 * CELL_PX)
            .filter_map(|col| levels.at(0, col))
            .collect();
        assert!(line.windows(2).all(|pair| (pair[1] - pair[0]).abs() < 0.01));
        let empty = Histograms::new(REFLECTANCE_AXIS, (10, 10));
        assert_eq!(empty.levels(|of| quantile(of, 0.5)).at(3, 3), None);
    }
}
