//! The register tile of the convolution: `M` output channels times `N` vectors of pixels.
//!
//! No im2col: the input is a zero-padded strip, so a kernel tap is a constant offset, and the
//! tile runs over (channel, tap) with one load a vector and one broadcast a weight.
// Counted loops over the tile unroll into registers where iterator chains may not.
#![allow(clippy::needless_range_loop)] // the index is a place in several arrays

use core::mem::MaybeUninit;

use super::simd::{MOST_LANES, Simd};

/// One vector of output pixels.
#[derive(Clone, Copy, Default)]
pub(super) struct Spot {
    /// Offset of its first pixel's top left tap in a channel of the strip.
    pub input: usize,
    /// Offset in a channel of the output.
    pub output: usize,
    /// Pixels of it that exist; the other lanes are computed and dropped.
    pub lanes: usize,
}

/// What all tiles of one strip share. Offsets and strides are in f32.
pub(super) struct Strip<'a> {
    /// The padded input, `[channels, plane]`, with at least a vector of slack at its end.
    pub input: *const f32,
    /// Stride between input channels.
    pub plane: usize,
    /// Input channels.
    pub channels: usize,
    /// Offset of every kernel tap.
    pub taps: &'a [usize],
    /// Weight of the first output channel, first input channel of the strip.
    pub weight: *const f32,
    /// Stride between output channels of the weight; (channel, tap) lie contiguous.
    pub weight_stride: usize,
    /// Value the first output channel starts from and so on; null for zero.
    pub bias: *const f32,
    /// Add to what the output holds (later chunks of the input channels).
    pub accumulate: bool,
    /// First output channel.
    pub output: *mut f32,
    /// Stride between output channels.
    pub output_plane: usize,
}

/// Computes `rows` output channels at all `spots`.
///
/// # Safety
/// The pointers of `strip` cover what its fields and `spots` describe.
#[inline(always)]
pub(super) unsafe fn panel<S: Simd>(strip: &Strip, rows: usize, spots: &[Spot]) {
    // SAFETY: by this function's contract: the instruction set is there, pointers have room.
    unsafe {
        let mut row = 0;
        while S::TILE >= 8 && rows - row >= 8 {
            columns::<S, 8>(strip, row, spots);
            row += 8;
        }
        while rows - row >= 4 {
            columns::<S, 4>(strip, row, spots);
            row += 4;
        }
        while rows - row >= 2 {
            columns::<S, 2>(strip, row, spots);
            row += 2;
        }
        if rows > row {
            columns::<S, 1>(strip, row, spots);
        }
    }
}

#[inline(always)]
unsafe fn columns<S: Simd, const M: usize>(strip: &Strip, row: usize, spots: &[Spot]) {
    // SAFETY: by this function's contract: the instruction set is there, pointers have room.
    unsafe {
        let (threes, rest) = spots.as_chunks::<3>();
        // Three left and one more are better done as two and two.
        let threes = match (threes.split_last(), rest.len()) {
            (Some((last, before)), 1) => {
                tile::<S, M, 2>(strip, row, &[last[0], last[1]]);
                tile::<S, M, 2>(strip, row, &[last[2], rest[0]]);
                before
            }
            (_, 2) => {
                tile::<S, M, 2>(strip, row, &[rest[0], rest[1]]);
                threes
            }
            (_, 1) => {
                tile::<S, M, 1>(strip, row, &[rest[0]]);
                threes
            }
            _ => threes,
        };
        for spots in threes {
            tile::<S, M, 3>(strip, row, spots);
        }
    }
}

#[inline(always)]
unsafe fn tile<S: Simd, const M: usize, const N: usize>(s: &Strip, row: usize, spots: &[Spot; N]) {
    // SAFETY: by this function's contract: the instruction set is there, pointers have room.
    unsafe {
        let mut sums = [[S::splat(0.0); N]; M];
        let mut input = [s.input; N];
        for n in 0..N {
            input[n] = s.input.add(spots[n].input);
        }
        let stride = s.weight_stride;
        let mut weight = s.weight.add(row * stride);
        for _ in 0..s.channels {
            for &tap in s.taps {
                let mut x = [S::splat(0.0); N];
                for n in 0..N {
                    x[n] = S::load(input[n].add(tap));
                }
                for m in 0..M {
                    let w = S::splat(*weight.add(m * stride));
                    for n in 0..N {
                        sums[m][n] = S::mul_add(w, x[n], sums[m][n]);
                    }
                }
                weight = weight.add(1);
            }
            for pointer in &mut input {
                *pointer = pointer.add(s.plane);
            }
        }
        // Through memory, so that the rest needs no unrolling and the sums stay in registers above.
        let mut kept = [[MaybeUninit::<[f32; MOST_LANES]>::uninit(); N]; M];
        for m in 0..M {
            for n in 0..N {
                S::store(kept[m][n].as_mut_ptr().cast(), sums[m][n]);
            }
        }
        for (m, kept) in kept.iter().enumerate() {
            let start = S::splat(if s.bias.is_null() {
                0.0
            } else {
                *s.bias.add(row + m)
            });
            let out = s.output.add((row + m) * s.output_plane);
            for (kept, spot) in kept.iter().zip(spots) {
                let sum = S::add(S::load(kept.as_ptr().cast()), start);
                put::<S>(sum, out.add(spot.output), spot.lanes, s.accumulate);
            }
        }
    }
}

/// Writes or adds the first `lanes` of a vector.
#[inline(always)]
unsafe fn put<S: Simd>(sum: S::V, at: *mut f32, lanes: usize, accumulate: bool) {
    // SAFETY: by this function's contract: the instruction set is there, pointers have room.
    unsafe {
        if lanes == S::LANES {
            S::store(
                at,
                if accumulate {
                    S::add(sum, S::load(at))
                } else {
                    sum
                },
            );
            return;
        }
        let mut buffer = [0.0f32; MOST_LANES];
        S::store(buffer.as_mut_ptr(), sum);
        for (lane, value) in buffer.iter().enumerate().take(lanes) {
            *at.add(lane) = if accumulate {
                *at.add(lane) + value
            } else {
                *value
            };
        }
    }
}
