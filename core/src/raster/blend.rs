//! Joining overlapping tiles into rows of a scene without seams.

use std::collections::VecDeque;

use super::{Mask, Window};

/// Weights along one side of a tile of `size_px` pixels: 1 in the middle, falling to both ends
/// over `overlap_px` pixels as a raised cosine, `w(i) = (1 - cos(pi (i + 1/2) / overlap)) / 2`
/// with `i` counted from the end. Never 0, symmetric, and the weights of two tiles that overlap
/// by exactly `overlap_px` add up to 1.
pub fn taper(size_px: usize, overlap_px: usize) -> Vec<f32> {
    (0..size_px)
        .map(|i| {
            let from_end = i.min(size_px - 1 - i) as f32 + 0.5;
            if from_end >= overlap_px as f32 {
                1.0
            } else {
                // sin^2(x / 2) = (1 - cos x) / 2, exact for small x.
                let half = 0.5 * std::f32::consts::PI * from_end / overlap_px as f32;
                half.sin().powi(2)
            }
        })
        .collect()
}

/// Rows of a scene that are complete.
#[derive(Debug, Clone, PartialEq)]
pub struct Blended {
    /// Which rows; as wide as the scene.
    pub window: Window,
    /// `[planes, height, width]` of the window; 0 where no tile was added.
    pub values: Vec<f32>,
    /// True where a tile was added, `[height, width]` of the window.
    pub covered: Mask,
}

/// Averages overlapping tiles with weights that fall towards the tiles' edges.
///
/// The value of a pixel is sum(weight * tile) / sum(weight) over the tiles that hold it, so tiles
/// that agree come out as they are, whatever their order (up to the rounding of f32). Only the
/// rows between the last ones taken and the last tile added are in memory, and of those only
/// the ones a tile reached.
///
/// A plane is one band of one ensemble member: samples are blended each for itself, since the
/// mean would be the same but their spread would not.
#[derive(Debug)]
pub struct Blender {
    planes: usize,
    width: usize,
    overlap_px: usize,
    /// Scene row of `rows[0]`.
    first_row: usize,
    rows: VecDeque<Row>,
}

/// Sums of one row in flight; empty until a tile reaches it.
#[derive(Debug, Default)]
struct Row {
    /// `[planes, width]` of weight * value.
    sums: Vec<f32>,
    /// `[width]` of weights.
    weights: Vec<f32>,
}

impl Blender {
    /// A blender for a scene of `width` columns, beginning at row 0. `planes` = samples * bands;
    /// `overlap_px` as in [`Tiling`](super::tiler::Tiling).
    pub fn new(planes: usize, width: usize, overlap_px: usize) -> Self {
        Blender {
            planes,
            width,
            overlap_px,
            first_row: 0,
            rows: VecDeque::new(),
        }
    }

    /// Adds a tile at `window` of the scene; `tile` is `[planes, height, width]` of the window.
    ///
    /// # Panics
    /// When `tile` has another size, or the window leaves the scene or reaches into rows already
    /// taken: an error of the calling code, not of its input.
    pub fn add(&mut self, window: Window, tile: &[f32]) {
        assert_eq!(tile.len(), self.planes * window.pixels(), "tile size");
        assert!(window.col_end() <= self.width, "tile leaves the scene");
        assert!(window.row >= self.first_row, "rows were already taken");
        let needed = window.row_end() - self.first_row;
        if self.rows.len() < needed {
            self.rows.resize_with(needed, Row::default);
        }
        let across = taper(window.width, self.overlap_px);
        let down = taper(window.height, self.overlap_px);
        let mut weights = vec![0.0; window.width];
        for (r, &row_weight) in down.iter().enumerate() {
            for (weight, &w) in weights.iter_mut().zip(&across) {
                *weight = w * row_weight;
            }
            let row = &mut self.rows[window.row + r - self.first_row];
            if row.sums.is_empty() {
                row.sums.resize(self.planes * self.width, 0.0);
                row.weights.resize(self.width, 0.0);
            }
            let totals = &mut row.weights[window.col..][..window.width];
            for (total, &weight) in totals.iter_mut().zip(&weights) {
                *total += weight;
            }
            for plane in 0..self.planes {
                let line = &tile[(plane * window.height + r) * window.width..][..window.width];
                let sums = &mut row.sums[plane * self.width + window.col..][..window.width];
                for ((sum, &weight), &value) in sums.iter_mut().zip(&weights).zip(line) {
                    *sum += weight * value;
                }
            }
        }
    }

    /// Takes the rows up to `row_end` (scene row, exclusive): no tile may touch them any more.
    /// Rows that no tile reached come out as zeros that are not covered.
    pub fn take_rows(&mut self, row_end: usize) -> Blended {
        let height = row_end.saturating_sub(self.first_row);
        let window = Window {
            row: self.first_row,
            col: 0,
            height,
            width: self.width,
        };
        let mut values = vec![0.0; self.planes * window.pixels()];
        let mut covered = Mask::new(height, self.width, false);
        for r in 0..height {
            let Some(row) = self.rows.pop_front() else {
                break;
            };
            if row.sums.is_empty() {
                continue;
            }
            let flags = &mut covered.data[r * self.width..][..self.width];
            for (flag, &weight) in flags.iter_mut().zip(&row.weights) {
                *flag = weight > 0.0;
            }
            for (plane, sums) in row.sums.chunks_exact(self.width).enumerate() {
                let line = &mut values[(plane * height + r) * self.width..][..self.width];
                for ((value, &sum), &weight) in line.iter_mut().zip(sums).zip(&row.weights) {
                    if weight > 0.0 {
                        *value = sum / weight;
                    }
                }
            }
        }
        self.first_row += height;
        Blended {
            window,
            values,
            covered,
        }
    }

    /// Bytes held for the rows in flight.
    pub fn memory_bytes(&self) -> usize {
        let floats = |row: &Row| row.sums.len() + row.weights.len();
        self.rows.iter().map(floats).sum::<usize>() * size_of::<f32>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::raster::{Raster, tiler::Tiling};
    use proptest::prelude::*;

    /// Blends all tiles of `tiling`, taking rows as soon as they are finished.
    fn blend(tiling: &Tiling, planes: usize, tile: impl Fn(Window) -> Vec<f32>) -> Raster {
        let mut blender = Blender::new(planes, tiling.width, tiling.overlap_px);
        let mut out = Raster::new(planes, tiling.height, tiling.width);
        for row in 0..tiling.rows() {
            for window in tiling.tiles_in_row(row) {
                blender.add(window, &tile(window));
            }
            let rows = blender.take_rows(tiling.finished(row).row_end());
            assert_eq!(rows.covered.count(), rows.window.pixels());
            let (height, width) = (rows.window.height, rows.window.width);
            let part = Raster::from_vec(planes, height, width, rows.values).unwrap();
            out.paste(rows.window.row, 0, &part);
        }
        assert_eq!(blender.memory_bytes(), 0);
        out
    }

    fn scene(planes: usize, height: usize, width: usize) -> Raster {
        let values = (0..planes * height * width).map(|i| ((i * 7919) % 1000) as f32);
        Raster::from_vec(planes, height, width, values.collect()).unwrap()
    }

    #[test]
    fn tapers_of_neighbours_add_up_to_one() {
        let weights = taper(64, 16);
        for i in 0..16 {
            assert!((weights[i] + weights[48 + i] - 1.0).abs() < 1e-6);
        }
        assert!(weights[16..48].iter().all(|&w| w == 1.0));
        assert!(weights.iter().all(|&w| w > 0.0));
        assert_eq!(taper(3, 0), [1.0; 3]);
        assert!(taper(5, 400).iter().all(|&w| w > 0.0));
    }

    #[test]
    fn a_step_between_tiles_becomes_a_slope() {
        // Two tiles that disagree by 1: no step between neighbours exceeds pi / (2 overlap).
        let tiling = Tiling::new(1, 112, 64, 16).unwrap();
        let out = blend(&tiling, 1, |window| {
            vec![if window.col == 0 { 0.0 } else { 1.0 }; window.pixels()]
        });
        let steps = out.data.windows(2).map(|pair| (pair[1] - pair[0]).abs());
        let steepest = steps.fold(0.0, f32::max);
        assert!(steepest < std::f32::consts::PI / 32.0 + 1e-5, "{steepest}");
    }

    #[test]
    fn rows_without_tiles_are_not_covered() {
        let mut blender = Blender::new(1, 4, 1);
        let window = Window {
            row: 2,
            col: 1,
            height: 2,
            width: 2,
        };
        blender.add(window, &[5.0; 4]);
        let rows = blender.take_rows(6);
        assert_eq!(rows.covered.count(), 4);
        assert_eq!(rows.values[..8], [0.0; 8]);
        assert_eq!(rows.values[8..12], [0.0, 5.0, 5.0, 0.0]);
        assert_eq!(blender.take_rows(6).window.height, 0);
    }

    proptest! {
        #[test]
        fn tiles_that_agree_come_out_as_they_are(
            height in 1usize..50, width in 1usize..50, tile_px in 1usize..24, overlap in 0usize..24,
        ) {
            let tiling = Tiling::new(height, width, tile_px, overlap % tile_px).unwrap();
            let truth = scene(2, height, width);
            let out = blend(&tiling, 2, |window| truth.crop(window).data);
            for (a, b) in out.data.iter().zip(&truth.data) {
                // Up to 144 tiles share a pixel here, each adding its rounding.
                prop_assert!((a - b).abs() <= 1e-5 * b.abs());
            }
        }

        #[test]
        fn order_does_not_matter(
            height in 1usize..40, width in 1usize..40, overlap_px in 0usize..12,
            keys in prop::collection::vec(any::<u32>(), 2000),
        ) {
            let tiling = Tiling::new(height, width, 12, overlap_px).unwrap();
            // Tiles that disagree: each has its own numbers.
            let tile = |window: Window| -> Vec<f32> {
                let key = window.row * 31 + window.col * 17;
                (0..window.pixels()).map(|i| ((i * 13 + key) % 101) as f32).collect()
            };
            let mut tiles: Vec<_> = tiling.tiles().enumerate().collect();
            let mut results = Vec::new();
            for _ in 0..2 {
                let mut blender = Blender::new(1, width, overlap_px);
                for &(_, window) in &tiles {
                    blender.add(window, &tile(window));
                }
                results.push(blender.take_rows(height).values);
                tiles.sort_by_key(|&(i, _)| keys[i % keys.len()]);
            }
            for (a, b) in results[0].iter().zip(&results[1]) {
                prop_assert!((a - b).abs() <= 1e-4, "{} {}", a, b);
            }
        }
    }
}
