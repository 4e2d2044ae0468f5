//! Sliding a kernel over a batch: splits the work into tasks and feeds them to the tile.
//!
//! Forward pass and input gradient are the same walk with other weights, taps and padding.

use super::conv_strip::Frame;
use super::conv_tile::{Spot, Strip, panel};
use super::par::{Shared, for_each, threads, with_scratch};
use super::simd::{Kernel, MOST_LANES, Simd, dispatch, lanes_and_rows};

/// Input channels a strip holds; the sums of further chunks are added to the output.
const CHUNK: usize = 32;
/// f32 a strip may take: a quarter of a common second-level cache.
const STRIP: usize = 64 * 1024;

/// A convolution over raw arrays. Strides and offsets are in f32.
pub(super) struct Slide<'a> {
    pub batch: usize,
    pub channels: usize,
    /// `[batch, channels, frame.height, frame.width]`
    pub input: &'a [f32],
    pub frame: Frame,
    /// Padded rows and columns the kernel covers.
    pub kernel: usize,
    /// Position (row, column) of every tap inside the kernel.
    pub taps: &'a [(usize, usize)],
    /// `[outputs, channels, taps]`
    pub weight: &'a [f32],
    pub bias: Option<&'a [f32]>,
    pub outputs: usize,
    /// Output rows and columns.
    pub rows: usize,
    pub columns: usize,
}

impl Slide<'_> {
    /// Panics where the slices are not of the sizes the geometry says: what follows trusts them.
    pub fn check(&self) {
        assert_eq!(
            self.input.len(),
            self.batch * self.channels * self.frame.height * self.frame.width
        );
        assert_eq!(
            self.weight.len(),
            self.outputs * self.channels * self.taps.len()
        );
        assert!(self.bias.is_none_or(|bias| bias.len() == self.outputs));
    }

    /// Writes `[batch, outputs, rows, columns]` at `out`.
    ///
    /// # Safety
    /// The slices have the sizes given; `out` has room for the result.
    pub unsafe fn run(&self, out: *mut f32) {
        self.check();
        let (lanes, tile) = lanes_and_rows(self.columns);
        let (rows, parts) = self.split(lanes, tile);
        let bands = self.rows.div_ceil(rows);
        let width = self.outputs.div_ceil(parts).next_multiple_of(tile);
        let parts = self.outputs.div_ceil(width);
        let pitch = self.frame.pitch();
        let taps: Vec<usize> = (self.taps.iter())
            .map(|&(ky, kx)| ky * pitch + self.frame.column(kx))
            .collect();
        let room = self.channels.min(CHUNK) * self.strip_rows(rows) * pitch + 2 * MOST_LANES;
        let out = Shared(out);
        for_each(self.batch * bands * parts, |task| {
            let (image, rest) = (task / (bands * parts), task % (bands * parts));
            let (band, part) = (rest / parts, rest % parts);
            let first = band * rows;
            let first_output = part * width;
            with_scratch(room, |scratch| {
                let job = Job {
                    slide: self,
                    taps: &taps,
                    scratch,
                    out,
                    image,
                    first,
                    rows: rows.min(self.rows - first),
                    first_output,
                    outputs: width.min(self.outputs - first_output),
                };
                // SAFETY: the slices have the sizes asserted above, and every task writes a part of
                // its own of what the caller has room for.
                unsafe { dispatch(self.columns, job) };
            });
        });
    }

    /// Padded rows that `rows` output rows need.
    fn strip_rows(&self, rows: usize) -> usize {
        (rows - 1) * self.frame.stride + self.kernel
    }

    /// Rows of output a task takes, and parts the output channels are split into.
    fn split(&self, lanes: usize, tile: usize) -> (usize, usize) {
        let chunk = self.channels.min(CHUNK) * self.frame.pitch();
        let fit = (STRIP / chunk).saturating_sub(self.kernel) / self.frame.stride + 1;
        let mut rows = fit.min(self.rows);
        // Small batches: cut finer, so that no processor waits; but leave whole tiles.
        let wanted = if threads() > 1 { 4 * threads() } else { 1 };
        let bands = |rows: usize| self.batch * self.rows.div_ceil(rows);
        let vectors = self.columns.div_ceil(lanes);
        while bands(rows) < wanted && rows.div_ceil(2) * vectors >= 12 {
            rows = rows.div_ceil(2);
        }
        rows = self.rows.div_ceil(self.rows.div_ceil(rows));
        let parts = wanted
            .div_ceil(bands(rows))
            .min(self.outputs.div_ceil(tile));
        (rows, parts)
    }
}

/// One image, a band of its rows, a part of the output channels.
struct Job<'a> {
    slide: &'a Slide<'a>,
    taps: &'a [usize],
    scratch: &'a mut [f32],
    out: Shared<f32>,
    image: usize,
    first: usize,
    rows: usize,
    first_output: usize,
    outputs: usize,
}

impl Kernel for Job<'_> {
    #[inline(always)]
    unsafe fn run<S: Simd>(self) {
        // SAFETY: by this function's contract: the instruction set is there, pointers have room.
        unsafe {
            let Slide {
                frame,
                channels,
                columns,
                ..
            } = *self.slide;
            let strip_rows = self.slide.strip_rows(self.rows);
            let plane = strip_rows * frame.pitch();
            let vectors = columns.div_ceil(S::LANES);
            let mut spots = Vec::with_capacity(self.rows * vectors);
            for row in 0..self.rows {
                for vector in 0..vectors {
                    let x = vector * S::LANES;
                    spots.push(Spot {
                        input: row * frame.stride * frame.pitch() + x,
                        output: row * columns + x,
                        lanes: S::LANES.min(columns - x),
                    });
                }
            }
            let output_plane = self.slide.rows * columns;
            let output =
                self.out.at(
                    (self.image * self.slide.outputs + self.first_output) * output_plane
                        + self.first * columns,
                );
            let bias = match self.slide.bias {
                Some(bias) => bias.as_ptr().add(self.first_output),
                None => core::ptr::null(),
            };
            let taps = self.taps.len();
            let weight = self
                .slide
                .weight
                .as_ptr()
                .add(self.first_output * channels * taps);
            let image_plane = frame.height * frame.width;
            let image = self
                .slide
                .input
                .as_ptr()
                .add(self.image * channels * image_plane);
            let input = self.scratch.as_mut_ptr();
            for chunk in (0..channels).step_by(CHUNK) {
                let count = CHUNK.min(channels - chunk);
                let first = self.first * frame.stride;
                for c in 0..count {
                    let from = image.wrapping_add((chunk + c) * image_plane);
                    frame.prefetch(from.wrapping_add(image_plane), first, strip_rows);
                    frame.pack::<S>(from, first, strip_rows, input.add(c * plane));
                }
                let strip = Strip {
                    input,
                    plane,
                    channels: count,
                    taps: self.taps,
                    weight: weight.add(chunk * taps),
                    weight_stride: channels * taps,
                    bias: if chunk == 0 { bias } else { core::ptr::null() },
                    accumulate: chunk > 0,
                    output,
                    output_plane,
                };
                panel::<S>(&strip, self.outputs, &spots);
            }
        }
    }
}
