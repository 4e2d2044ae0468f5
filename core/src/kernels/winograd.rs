//! Winograd's F(2x2, 3x3) for 3x3 convolutions of stride 1 (Lavin & Gray 2016).
//!
//! Every 4x4 patch of the input, two pixels apart, is mapped to 16 values, `V = B' d B`; so is
//! every kernel, `U = G g G'`. Each of the 16 is then a plain matrix product over the channels,
//! `M = U V`, and `A' M A` gives 2x2 pixels: 16 products where the sum over taps takes 36. The
//! matrices hold 0, 1, -1 and 1/2 only, so the rounding error stays that of the direct sum.
// Counted loops over the small matrices read like the formulas.
#![allow(clippy::needless_range_loop)] // the index is a place in several arrays

use super::conv_run::Slide;
use super::conv_strip::Frame;
use super::conv_tile::{Spot, Strip, panel};
use super::par::{Shared, filled, for_each, threads, with_scratch};
use super::simd::{Kernel, MOST_LANES, Simd, dispatch};

/// f32 a task's two transformed arrays may take together.
const ROOM: usize = 192 * 1024;

/// Kernels transformed at a time.
const WIDTH: usize = 8;

/// Whether this is the faster way for the convolution.
pub(super) fn suits(slide: &Slide) -> bool {
    slide.taps.len() == 9
        && slide.kernel == 3
        && slide.frame.stride == 1
        && slide.channels >= 16
        && slide.outputs >= 16
        // Not asking for the batch: an image's result must not depend on its company.
        && slide.rows * slide.columns >= 64
}

/// Writes `[batch, outputs, rows, columns]` at `out`.
///
/// # Safety
/// As [`Slide::run`], and [`suits`] holds.
pub(super) unsafe fn run(slide: &Slide, out: *mut f32) {
    let kernels = transform_kernels(slide);
    let (high, wide) = (slide.rows.div_ceil(2), slide.columns.div_ceil(2));
    let most = (ROOM / (16 * (slide.channels + slide.outputs))).max(32);
    let mut rows = (most / wide).clamp(1, high);
    let bands = |rows: usize| slide.batch * high.div_ceil(rows);
    while bands(rows) < 2 * threads() && threads() > 1 && rows.div_ceil(2) * wide >= 32 {
        rows = rows.div_ceil(2);
    }
    rows = high.div_ceil(high.div_ceil(rows));
    let images = if rows < high {
        1
    } else {
        (most / (wide * high)).clamp(1, slide.batch)
    };
    let images = images.min(slide.batch.div_ceil(2 * threads())).max(1);

    let bands = high.div_ceil(rows);
    let groups = slide.batch.div_ceil(images);
    let frame = Frame {
        padding_right: 2 * wide + 2 - slide.frame.width - slide.frame.padding,
        stride: 2,
        ..slide.frame
    };
    let tiles = images * rows * wide;
    let patches = (2 * rows + 2) * frame.pitch() + MOST_LANES;
    let input_step = slide.channels * tiles + MOST_LANES;
    let output_step = slide.outputs * tiles + MOST_LANES;
    let room = patches + 16 * (input_step + output_step);
    let out = Shared(out);
    for_each(groups * bands, |task| {
        let (image, row) = (task / bands * images, task % bands * rows);
        with_scratch(room, |scratch| {
            let (patches, rest) = scratch.split_at_mut(patches);
            let (input, output) = rest.split_at_mut(16 * input_step);
            let job = Job {
                slide,
                frame,
                kernels: &kernels,
                patches: patches.as_mut_ptr(),
                input: input.as_mut_ptr(),
                input_step,
                output: output.as_mut_ptr(),
                output_step,
                image,
                images: images.min(slide.batch - image),
                row,
                rows: rows.min(high - row),
                wide,
                out,
            };
            // SAFETY: the scratch was made for these sizes, and every task writes a part of its own of
            // what the caller has room for.
            unsafe {
                dispatch(wide, Into(&job));
                dispatch(job.tiles(), Multiply(&job));
                dispatch(wide, Out(&job));
            }
        });
    });
}

/// `U = G g G'` of every kernel: `[16, outputs, channels]`.
fn transform_kernels(slide: &Slide) -> Vec<f32> {
    let (outputs, channels) = (slide.outputs, slide.channels);
    // SAFETY: every task writes its output channel in all 16 matrices.
    unsafe {
        filled(16 * outputs * channels, |to| {
            let to = Shared(to);
            for_each(outputs, |o| {
                let kernels = &slide.weight[o * channels * 9..(o + 1) * channels * 9];
                // Several kernels at a time, for the sake of vectors.
                for (block, kernels) in kernels.chunks(9 * WIDTH).enumerate() {
                    let count = kernels.len() / 9;
                    let mut g = [[[0.0f32; WIDTH]; 3]; 3];
                    for (tap, &(y, x)) in slide.taps.iter().enumerate() {
                        for (lane, kernel) in kernels.as_chunks::<9>().0.iter().enumerate() {
                            g[y][x][lane] = kernel[tap];
                        }
                    }
                    let columns = [0, 1, 2].map(|x| three_to_four(g[0][x], g[1][x], g[2][x]));
                    for y in 0..4 {
                        let row = three_to_four(columns[0][y], columns[1][y], columns[2][y]);
                        for (x, values) in row.iter().enumerate() {
                            let at = ((4 * y + x) * outputs + o) * channels + block * WIDTH;
                            for (lane, value) in values.iter().enumerate().take(count) {
                                *to.at(at + lane) = *value;
                            }
                        }
                    }
                }
            });
        })
    }
}

/// One side of `G`: `a`, `(a + b + c) / 2`, `(a - b + c) / 2`, `c`.
#[inline(always)]
fn three_to_four<const N: usize>(a: [f32; N], b: [f32; N], c: [f32; N]) -> [[f32; N]; 4] {
    let half = |sign: f32| core::array::from_fn(|i| 0.5 * (a[i] + sign * b[i] + c[i]));
    [a, half(1.0), half(-1.0), c]
}

/// Some whole images, or a band of tile rows of one.
struct Job<'a> {
    slide: &'a Slide<'a>,
    /// The input's frame, even and odd columns apart.
    frame: Frame,
    kernels: &'a [f32],
    patches: *mut f32,
    /// `V`: 16 matrices `[channels, tiles]`, `input_step` apart.
    input: *mut f32,
    input_step: usize,
    /// `M`: 16 matrices `[outputs, tiles]`, `output_step` apart.
    output: *mut f32,
    output_step: usize,
    image: usize,
    images: usize,
    row: usize,
    rows: usize,
    wide: usize,
    out: Shared<f32>,
}

/// The three steps of a job; the second has wider rows, so perhaps other vectors.
struct Into<'a>(&'a Job<'a>);
struct Multiply<'a>(&'a Job<'a>);
struct Out<'a>(&'a Job<'a>);

impl Kernel for Into<'_> {
    #[inline(always)]
    unsafe fn run<S: Simd>(self) {
        // SAFETY: by this function's contract: the instruction set is there, pointers have room.
        unsafe {
            self.0.transform_input::<S>();
        }
    }
}

impl Kernel for Out<'_> {
    #[inline(always)]
    unsafe fn run<S: Simd>(self) {
        // SAFETY: by this function's contract: the instruction set is there, pointers have room.
        unsafe {
            self.0.transform_output::<S>();
        }
    }
}

impl Kernel for Multiply<'_> {
    #[inline(always)]
    unsafe fn run<S: Simd>(self) {
        // SAFETY: by this function's contract: the instruction set is there, pointers have room.
        unsafe {
            let job = self.0;
            let tiles = job.tiles();
            let Slide {
                channels, outputs, ..
            } = *job.slide;
            let spots: Vec<Spot> = (0..tiles)
                .step_by(S::LANES)
                .map(|t| Spot {
                    input: t,
                    output: t,
                    lanes: S::LANES.min(tiles - t),
                })
                .collect();
            for part in 0..16 {
                let strip = Strip {
                    input: job.input.add(part * job.input_step),
                    plane: tiles,
                    channels,
                    taps: &[0],
                    weight: job.kernels.as_ptr().add(part * outputs * channels),
                    weight_stride: channels,
                    bias: core::ptr::null(),
                    accumulate: false,
                    output: job.output.add(part * job.output_step),
                    output_plane: tiles,
                };
                panel::<S>(&strip, outputs, &spots);
            }
        }
    }
}

impl Job<'_> {
    fn tiles(&self) -> usize {
        self.images * self.rows * self.wide
    }

    /// Tiles lie dense; what a vector writes past the end of a row, the next row overwrites.
    #[inline(always)]
    unsafe fn transform_input<S: Simd>(&self) {
        // SAFETY: by this function's contract: the instruction set is there, pointers have room.
        unsafe {
            let tiles = self.tiles();
            let Slide {
                channels, input, ..
            } = *self.slide;
            let image_plane = self.frame.height * self.frame.width;
            let pitch = self.frame.pitch();
            let odd = pitch.div_ceil(2);
            for c in 0..channels {
                for i in 0..self.images {
                    let from = ((self.image + i) * channels + c) * image_plane;
                    let from = input.as_ptr().add(from);
                    let (first, count) = (2 * self.row, 2 * self.rows + 2);
                    self.frame
                        .prefetch(from.wrapping_add(image_plane), first, count);
                    self.frame.pack::<S>(from, first, count, self.patches);
                    for row in 0..self.rows {
                        let patch = self.patches.add(2 * row * pitch).cast_const();
                        let to = self
                            .input
                            .add(c * tiles + (i * self.rows + row) * self.wide);
                        for x in (0..self.wide).step_by(S::LANES) {
                            let mut rows = [[S::splat(0.0); 4]; 4];
                            for (y, row) in rows.iter_mut().enumerate() {
                                let at = patch.add(y * pitch + x);
                                let d = [at, at.add(odd), at.add(1), at.add(odd + 1)];
                                *row = patch_side::<S>(d.map(|at| S::load(at)));
                            }
                            for n in 0..4 {
                                let column = patch_side::<S>(rows.map(|row| row[n]));
                                for (y, v) in column.into_iter().enumerate() {
                                    S::store(to.add((4 * y + n) * self.input_step + x), v);
                                }
                            }
                        }
                    }
                }
            }
        }
    }

    #[inline(always)]
    unsafe fn transform_output<S: Simd>(&self) {
        // SAFETY: by this function's contract: the instruction set is there, pointers have room.
        unsafe {
            let tiles = self.tiles();
            let Slide {
                outputs,
                rows,
                columns,
                bias,
                ..
            } = *self.slide;
            for o in 0..outputs {
                let bias = S::splat(bias.map_or(0.0, |bias| bias[o]));
                for i in 0..self.images {
                    let plane = ((self.image + i) * outputs + o) * rows * columns;
                    for row in 0..self.rows {
                        let y = 2 * (self.row + row);
                        let from = self
                            .output
                            .add(o * tiles + (i * self.rows + row) * self.wide);
                        for x in (0..self.wide).step_by(S::LANES) {
                            let mut halves = [[S::splat(0.0); 4]; 2];
                            for n in 0..4 {
                                let m = [0, 1, 2, 3]
                                    .map(|y| S::load(from.add((4 * y + n) * self.output_step + x)));
                                [halves[0][n], halves[1][n]] = result_side::<S>(m);
                            }
                            for (dy, half) in halves.into_iter().enumerate() {
                                if y + dy >= rows {
                                    continue;
                                }
                                let [even, odd] = result_side::<S>(half);
                                let pair = S::interleave(S::add(even, bias), S::add(odd, bias));
                                let to = self.out.at(plane + (y + dy) * columns);
                                put::<S>(to, 2 * x, columns, pair.0);
                                put::<S>(to, 2 * x + S::LANES, columns, pair.1);
                            }
                        }
                    }
                }
            }
        }
    }
}

/// One side of `B'`.
#[inline(always)]
unsafe fn patch_side<S: Simd>([a, b, c, d]: [S::V; 4]) -> [S::V; 4] {
    // SAFETY: by this function's contract: the instruction set is there, pointers have room.
    unsafe { [S::sub(a, c), S::add(b, c), S::sub(c, b), S::sub(b, d)] }
}

/// One side of `A'`.
#[inline(always)]
unsafe fn result_side<S: Simd>([a, b, c, d]: [S::V; 4]) -> [S::V; 2] {
    // SAFETY: by this function's contract: the instruction set is there, pointers have room.
    unsafe { [S::add(S::add(a, b), c), S::sub(S::sub(b, c), d)] }
}

/// Writes what of a vector at column `x` lies inside the row.
#[inline(always)]
unsafe fn put<S: Simd>(row: *mut f32, x: usize, columns: usize, v: S::V) {
    // SAFETY: by this function's contract: the instruction set is there, pointers have room.
    unsafe {
        if x + S::LANES <= columns {
            S::store(row.add(x), v);
        } else if x < columns {
            super::activation::store_part::<S>(row.add(x), v, columns - x);
        }
    }
}
