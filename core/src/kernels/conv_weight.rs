//! The gradients of a convolution's weight and bias: dot products over all pixels of the batch.
//!
//! `dW[o, c, tap] = sum over batch and pixels of dY[o, pixel] * X[c, pixel + tap]`: vectors run
//! along rows of pixels in both, so nothing is transposed; lanes are summed at the end of a
//! band that fits the first-level cache.
// Counted loops over the tile unroll into registers where iterator chains may not.
#![allow(clippy::needless_range_loop)] // the index is a place in several arrays

use super::conv_strip::Frame;
use super::par::{Shared, for_each, threads, with_scratch};
use super::simd::{Kernel, MOST_LANES, Simd, dispatch, lanes_and_rows};

/// f32 of output gradient a band holds: half of a common first-level cache.
const BAND: usize = 4096;
/// f32 of packed input a task holds: a quarter of a common second-level cache.
const PACKED: usize = 64 * 1024;

/// The weight gradient of a convolution over raw arrays.
pub(super) struct WeightGradient<'a> {
    pub batch: usize,
    pub channels: usize,
    /// `[batch, channels, frame.height, frame.width]`
    pub input: &'a [f32],
    pub frame: Frame,
    /// Side of the square kernel.
    pub kernel: usize,
    /// `[batch, outputs, rows, columns]`
    pub gradient: &'a [f32],
    pub outputs: usize,
    pub rows: usize,
    pub columns: usize,
}

/// How the pixels are cut into bands: some rows of an image, or several whole images.
#[derive(Clone, Copy)]
struct Bands {
    images: usize,
    rows: usize,
}

impl WeightGradient<'_> {
    /// Adds to `weight` (`[outputs, channels, kernel, kernel]`) and to `bias` (`[outputs]`),
    /// if wanted. The result does not depend on the number of threads.
    pub fn run(&self, weight: &mut [f32], bias: Option<&mut [f32]>) {
        assert_eq!(
            weight.len(),
            self.outputs * self.channels * self.kernel * self.kernel
        );
        assert!(bias.as_ref().is_none_or(|bias| bias.len() == self.outputs));
        assert_eq!(
            self.input.len(),
            self.batch * self.channels * self.frame.height * self.frame.width
        );
        assert_eq!(
            self.gradient.len(),
            self.batch * self.outputs * self.rows * self.columns
        );
        if weight.is_empty() || self.gradient.is_empty() {
            return;
        }
        let (lanes, tile) = lanes_and_rows(self.columns);
        let row = self.columns.next_multiple_of(lanes);
        let pixels = BAND / tile;
        let rows = (pixels / row).clamp(1, self.rows);
        let images = if rows < self.rows {
            1
        } else {
            (pixels / (row * rows)).clamp(1, self.batch)
        };
        let bands = Bands { images, rows };

        // A task takes some outputs and some channels over the whole batch. It packs every row
        // of its channels once and every row of its outputs once: few and square tasks are best.
        let wanted = if threads() > 1 { 4 * threads() } else { 1 };
        let plane = ((rows - 1) * self.frame.stride + self.kernel) * self.frame.pitch();
        let fit = (PACKED / (images * plane)).max(3);
        let (mut outputs, mut channels) = (self.outputs, self.channels.min(fit));
        while self.outputs.div_ceil(outputs) * self.channels.div_ceil(channels) < wanted {
            if outputs >= channels && outputs > tile {
                outputs = outputs.div_ceil(2);
            } else if channels > 3 {
                channels = channels.div_ceil(2);
            } else {
                break;
            }
        }
        let outputs = outputs.next_multiple_of(tile);
        // Whole columns of the tile where the kernel is 1x1 and channels are columns.
        let channels = channels.next_multiple_of(3);
        let (parts, splits) = (
            self.outputs.div_ceil(outputs),
            self.channels.div_ceil(channels),
        );

        let gradient_room = tile * images * rows * row;
        let room = gradient_room + channels * images * plane + 2 * MOST_LANES;
        let weight = Shared(weight.as_mut_ptr());
        let bias = Shared(bias.map_or(core::ptr::null_mut(), |bias| bias.as_mut_ptr()));
        for_each(parts * splits, |task| {
            let (part, split) = (task / splits, task % splits);
            let (first, first_channel) = (part * outputs, split * channels);
            with_scratch(room, |scratch| {
                let (gradient, input) = scratch.split_at_mut(gradient_room);
                // Lanes past the end of a row meet zeros of the gradient: they must be numbers.
                input.fill(0.0);
                let job = Job {
                    of: self,
                    bands,
                    gradient,
                    input,
                    weight,
                    bias: if split == 0 {
                        bias
                    } else {
                        Shared(core::ptr::null_mut())
                    },
                    outputs: first..(first + outputs).min(self.outputs),
                    channels: first_channel..(first_channel + channels).min(self.channels),
                };
                // SAFETY: the slices have the sizes asserted above, and every task writes a part of
                // its own.
                unsafe { dispatch(self.columns, job) };
            });
        });
    }
}

/// A range of output channels against a range of input channels, over the whole batch.
struct Job<'a> {
    of: &'a WeightGradient<'a>,
    bands: Bands,
    gradient: &'a mut [f32],
    input: &'a mut [f32],
    weight: Shared<f32>,
    bias: Shared<f32>,
    outputs: core::ops::Range<usize>,
    channels: core::ops::Range<usize>,
}

impl Kernel for Job<'_> {
    #[inline(always)]
    unsafe fn run<S: Simd>(mut self) {
        // SAFETY: by this function's contract: the instruction set is there, pointers have room.
        unsafe {
            for image in (0..self.of.batch).step_by(self.bands.images) {
                let images = self.bands.images.min(self.of.batch - image);
                for row in (0..self.of.rows).step_by(self.bands.rows) {
                    let rows = self.bands.rows.min(self.of.rows - row);
                    self.band::<S>(image, images, row, rows);
                }
            }
        }
    }
}

impl Job<'_> {
    #[inline(always)]
    unsafe fn band<S: Simd>(&mut self, image: usize, images: usize, row: usize, rows: usize) {
        // SAFETY: by this function's contract: the instruction set is there, pointers have room.
        unsafe {
            let of = self.of;
            let pitch = of.frame.pitch();
            let strip_rows = (rows - 1) * of.frame.stride + of.kernel;
            let plane = strip_rows * pitch;
            let image_plane = of.frame.height * of.frame.width;
            let input = self.input.as_mut_ptr();
            let first = row * of.frame.stride;
            for i in 0..images {
                for (c, channel) in self.channels.clone().enumerate() {
                    let from = ((image + i) * of.channels + channel) * image_plane;
                    let from = of.input.as_ptr().add(from);
                    of.frame
                        .prefetch(from.wrapping_add(image_plane), first, strip_rows);
                    of.frame.pack::<S>(
                        from,
                        first,
                        strip_rows,
                        input.add((c * images + i) * plane),
                    );
                }
            }

            let vectors = of.columns.div_ceil(S::LANES);
            let length = images * rows * vectors * S::LANES;
            let taps = of.kernel * of.kernel;
            let row_step = of.frame.stride * pitch;
            let mut run = Run {
                gradient: self.gradient.as_ptr(),
                length,
                images,
                image_step: plane,
                rows,
                row_step,
                vectors,
                vector_step: S::LANES,
                weight: core::ptr::null_mut(),
                weight_stride: of.channels * taps,
            };
            if vectors == 1 {
                // One long inner loop instead of many of one turn.
                (run.rows, run.vectors, run.vector_step) = (1, rows, row_step);
            }
            let mut offsets = [0; 9];
            for (tap, offset) in offsets.iter_mut().enumerate().take(taps) {
                *offset = (tap / of.kernel) * pitch + of.frame.column(tap % of.kernel);
            }
            let channel_step = images * plane;
            let mut output = self.outputs.start;
            while output < self.outputs.end {
                let count = S::TILE.min(self.outputs.end - output);
                self.pack_gradient::<S>(image, images, row, rows, output, count);
                run.weight = self
                    .weight
                    .at((output * of.channels + self.channels.start) * taps);
                if taps == 9 {
                    for c in 0..self.channels.len() {
                        let x = input.add(c * channel_step).cast_const();
                        for tap in [0, 3, 6] {
                            let x = [0, 1, 2].map(|n| x.add(offsets[tap + n]));
                            rows_of::<S, 3>(&run, count, x, c * 9 + tap);
                        }
                    }
                } else {
                    let whole = self.channels.len() / 3 * 3;
                    for c in (0..whole).step_by(3) {
                        let x = [0, 1, 2].map(|n| input.add((c + n) * channel_step).cast_const());
                        rows_of::<S, 3>(&run, count, x, c);
                    }
                    for c in whole..self.channels.len() {
                        rows_of::<S, 1>(&run, count, [input.add(c * channel_step)], c);
                    }
                }
                output += count;
            }
        }
    }

    /// Copies the gradient of the band so that rows fill whole vectors, and sums it for the bias.
    #[inline(always)]
    unsafe fn pack_gradient<S: Simd>(
        &mut self,
        image: usize,
        images: usize,
        row: usize,
        rows: usize,
        output: usize,
        count: usize,
    ) {
        // SAFETY: by this function's contract: the instruction set is there, pointers have room.
        unsafe {
            let of = self.of;
            let width = of.columns.next_multiple_of(S::LANES);
            for m in 0..count {
                let mut to = self.gradient.as_mut_ptr().add(m * images * rows * width);
                let mut total = S::splat(0.0);
                for i in 0..images {
                    let from = ((image + i) * of.outputs + output + m) * of.rows + row;
                    let mut from = of.gradient.as_ptr().add(from * of.columns);
                    for _ in 0..rows {
                        let whole = of.columns / S::LANES * S::LANES;
                        let mut x = 0;
                        while x < whole {
                            let v = S::load(from.add(x));
                            S::store(to.add(x), v);
                            total = S::add(total, v);
                            x += S::LANES;
                        }
                        if whole < of.columns {
                            S::store(to.add(whole), S::splat(0.0));
                            for x in whole..of.columns {
                                *to.add(x) = *from.add(x);
                            }
                            total = S::add(total, S::load(to.add(whole)));
                        }
                        from = from.add(of.columns);
                        to = to.add(width);
                    }
                }
                if !self.bias.0.is_null() {
                    *self.bias.at(output + m) += S::sum(total);
                }
            }
        }
    }
}

/// A packed band and where its sums go.
struct Run {
    gradient: *const f32,
    /// f32 an output channel of the gradient has in this band.
    length: usize,
    images: usize,
    image_step: usize,
    rows: usize,
    row_step: usize,
    vectors: usize,
    vector_step: usize,
    weight: *mut f32,
    weight_stride: usize,
}

#[inline(always)]
unsafe fn rows_of<S: Simd, const N: usize>(
    run: &Run,
    outputs: usize,
    input: [*const f32; N],
    column: usize,
) {
    // SAFETY: by this function's contract: the instruction set is there, pointers have room.
    unsafe {
        let mut row = 0;
        while S::TILE >= 8 && outputs - row >= 8 {
            tile::<S, 8, N>(run, row, input, column);
            row += 8;
        }
        while outputs - row >= 4 {
            tile::<S, 4, N>(run, row, input, column);
            row += 4;
        }
        while outputs - row >= 2 {
            tile::<S, 2, N>(run, row, input, column);
            row += 2;
        }
        if outputs > row {
            tile::<S, 1, N>(run, row, input, column);
        }
    }
}

#[inline(always)]
unsafe fn tile<S: Simd, const M: usize, const N: usize>(
    run: &Run,
    row: usize,
    input: [*const f32; N],
    column: usize,
) {
    // SAFETY: by this function's contract: the instruction set is there, pointers have room.
    unsafe {
        let mut sums = [[S::splat(0.0); N]; M];
        let length = run.length;
        let mut gradient = run.gradient.add(row * length);
        for image in 0..run.images {
            for y in 0..run.rows {
                let start = image * run.image_step + y * run.row_step;
                for vector in 0..run.vectors {
                    let mut x = [S::splat(0.0); N];
                    for n in 0..N {
                        x[n] = S::load(input[n].add(start + vector * run.vector_step));
                    }
                    for m in 0..M {
                        let g = S::load(gradient.add(m * length));
                        for n in 0..N {
                            sums[m][n] = S::mul_add(g, x[n], sums[m][n]);
                        }
                    }
                    gradient = gradient.add(S::LANES);
                }
            }
        }
        for m in 0..M {
            let weight = run.weight.add((row + m) * run.weight_stride + column);
            for n in 0..N {
                *weight.add(n) += S::sum(sums[m][n]);
            }
        }
    }
}
