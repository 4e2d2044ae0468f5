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

/// A part of a scene that is complete.
#[derive(Debug, Clone, PartialEq)]
pub struct Blended {
    /// Which part.
    pub window: Window,
    /// `[planes, height, width]` of the window; 0 where no tile was added.
    pub values: Vec<f32>,
    /// True where a tile was added, `[height, width]` of the window.
    pub covered: Mask,
}

/// Columns whose sums are allocated together.
const CHUNK_COLS: usize = 256;

/// Averages overlapping tiles with weights that fall towards the tiles' edges.
///
/// The value of a pixel is sum(weight * tile) / sum(weight) over the tiles that hold it, so tiles
/// that agree come out as they are, whatever their order (up to the rounding of f32). Only the
/// rows between the last ones dropped and the last tile added are in memory, and of those only
/// the columns near which a tile was added.
///
/// A plane is one band of one ensemble member: each sample is blended on its own, since the
/// mean would be the same but their spread would not.
#[derive(Debug)]
pub struct Blender {
    planes: usize,
    width: usize,
    overlap_px: usize,
    /// Scene row of `rows[0]`.
    first_row: usize,
    /// Rows in flight, each in chunks of columns; empty until a tile reaches it.
    rows: VecDeque<Vec<Option<Chunk>>>,
}

/// Sums of [`CHUNK_COLS`] columns of one row.
#[derive(Debug)]
struct Chunk {
    /// `[planes, CHUNK_COLS]` of weight * value.
    sums: Vec<f32>,
    /// `[CHUNK_COLS]` of weights.
    weights: Vec<f32>,
}

/// The chunks that columns `from..to` lie in: chunk, first column inside it, how many of them.
fn chunks(from: usize, to: usize) -> impl Iterator<Item = (usize, usize, usize)> {
    (from / CHUNK_COLS..to.div_ceil(CHUNK_COLS)).map(move |chunk| {
        let start = from.max(chunk * CHUNK_COLS);
        let end = to.min((chunk + 1) * CHUNK_COLS);
        (chunk, start - chunk * CHUNK_COLS, end - start)
    })
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
    /// dropped: an error of the calling code, not of its input.
    pub fn add(&mut self, window: Window, tile: &[f32]) {
        assert_eq!(tile.len(), self.planes * window.pixels(), "tile size");
        assert!(window.col_end() <= self.width, "tile leaves the scene");
        assert!(window.row >= self.first_row, "rows were already dropped");
        let needed = window.row_end() - self.first_row;
        if self.rows.len() < needed {
            self.rows.resize_with(needed, Vec::new);
        }
        let across = taper(window.width, self.overlap_px);
        let down = taper(window.height, self.overlap_px);
        let planes = self.planes;
        for (r, &row_weight) in down.iter().enumerate() {
            let row = &mut self.rows[window.row + r - self.first_row];
            if row.is_empty() {
                row.resize_with(self.width.div_ceil(CHUNK_COLS), || None);
            }
            for (chunk, first, count) in chunks(window.col, window.col_end()) {
                let at = chunk * CHUNK_COLS + first - window.col;
                let across = &across[at..][..count];
                let chunk = row[chunk].get_or_insert_with(|| Chunk {
                    sums: vec![0.0; planes * CHUNK_COLS],
                    weights: vec![0.0; CHUNK_COLS],
                });
                for (total, &w) in chunk.weights[first..].iter_mut().zip(across) {
                    *total += w * row_weight;
                }
                for plane in 0..planes {
                    let line = &tile[(plane * window.height + r) * window.width + at..][..count];
                    let sums = &mut chunk.sums[plane * CHUNK_COLS + first..][..count];
                    for ((sum, &w), &value) in sums.iter_mut().zip(across).zip(line) {
                        *sum += w * row_weight * value;
                    }
                }
            }
        }
    }

    /// The blended values of a part of the rows in flight that no further tile will touch. What
    /// no tile reached comes out as zeros that are not covered.
    pub fn read(&self, window: Window) -> Blended {
        let mut values = vec![0.0; self.planes * window.pixels()];
        let mut covered = Mask::new(window.height, window.width, false);
        for r in 0..window.height {
            let at = (window.row + r).checked_sub(self.first_row);
            let Some(row) = at
                .and_then(|at| self.rows.get(at))
                .filter(|row| !row.is_empty())
            else {
                continue;
            };
            for (chunk, first, count) in chunks(window.col, window.col_end()) {
                let Some(part) = &row[chunk] else { continue };
                let at = chunk * CHUNK_COLS + first - window.col;
                let weights = &part.weights[first..][..count];
                let flags = &mut covered.data[r * window.width + at..][..count];
                for (flag, &weight) in flags.iter_mut().zip(weights) {
                    *flag = weight > 0.0;
                }
                for plane in 0..self.planes {
                    let sums = &part.sums[plane * CHUNK_COLS + first..][..count];
                    let line = (plane * window.height + r) * window.width + at;
                    let line = &mut values[line..][..count];
                    for ((value, &sum), &weight) in line.iter_mut().zip(sums).zip(weights) {
                        if weight > 0.0 {
                            *value = sum / weight;
                        }
                    }
                }
            }
        }
        Blended {
            window,
            values,
            covered,
        }
    }

    /// Forgets the rows up to `row_end` (scene row, exclusive): no tile may touch them any more.
    pub fn drop_rows(&mut self, row_end: usize) {
        let count = row_end.saturating_sub(self.first_row);
        self.rows.drain(..count.min(self.rows.len()));
        self.first_row += count;
    }

    /// Bytes held for the rows in flight.
    pub fn memory_bytes(&self) -> usize {
        let floats = |chunk: &Chunk| chunk.sums.len() + chunk.weights.len();
        let chunks = self.rows.iter().flatten().flatten();
        chunks.map(floats).sum::<usize>() * size_of::<f32>()
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
            let finished = tiling.finished(row);
            // In two parts, as a scene that is computed part by part.
            let left = finished.width / 3;
            for (col, width) in [(0, left), (left, finished.width - left)] {
                let part = Window {
                    col,
                    width,
                    ..finished
                };
                let part = blender.read(part);
                assert_eq!(part.covered.count(), part.window.pixels());
                let (height, width) = (part.window.height, part.window.width);
                let values = Raster::from_vec(planes, height, width, part.values).unwrap();
                out.paste(part.window.row, col, &values);
            }
            blender.drop_rows(finished.row_end());
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
        let rows = blender.read(Window::full(6, 4));
        assert_eq!(rows.covered.count(), 4);
        assert_eq!(rows.values[..8], [0.0; 8]);
        assert_eq!(rows.values[8..12], [0.0, 5.0, 5.0, 0.0]);
        blender.drop_rows(6);
        assert_eq!(blender.memory_bytes(), 0);
    }

    #[test]
    fn memory_follows_the_tiles_and_not_the_width() {
        let tile = |col| Window {
            row: 0,
            col,
            height: 16,
            width: 16,
        };
        let held = |width: usize| {
            let mut blender = Blender::new(3, width, 4);
            for col in [10, 250, width - 16] {
                blender.add(tile(col), &[5.0; 3 * 256]);
                assert_eq!(blender.read(tile(col)).covered.count(), 256);
            }
            blender.memory_bytes()
        };
        assert_eq!(held(2_000), held(2_000_000));
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
                results.push(blender.read(Window::full(height, width)).values);
                tiles.sort_by_key(|&(i, _)| keys[i % keys.len()]);
            }
            for (a, b) in results[0].iter().zip(&results[1]) {
                prop_assert!((a - b).abs() <= 1e-4, "{} {}", a, b);
            }
        }
    }
}
