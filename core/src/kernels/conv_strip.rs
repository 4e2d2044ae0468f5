//! Packing rows of an image into a zero-padded strip.

use super::simd::{Simd, prefetch};

/// The planes of a `[batch, channels, height, width]` tensor's last two axes, and the padding
/// and stride a convolution puts on them.
#[derive(Clone, Copy)]
pub(super) struct Frame {
    pub height: usize,
    pub width: usize,
    /// Zeros above and left of the image.
    pub padding: usize,
    /// Zeros right of it.
    pub padding_right: usize,
    /// 1, or 2: then even and odd columns are kept apart, so that taps stay contiguous.
    pub stride: usize,
}

impl Frame {
    /// Width of a padded row.
    pub fn pitch(&self) -> usize {
        self.width + self.padding + self.padding_right
    }

    /// Offset of column `kx` of the kernel from the first pixel of a row.
    pub fn column(&self, kx: usize) -> usize {
        if self.stride == 1 {
            kx
        } else {
            (kx % 2) * self.pitch().div_ceil(2) + kx / 2
        }
    }

    /// Writes `rows` padded rows of one plane; row 0 is padded row `first`.
    ///
    /// # Safety
    /// `plane` holds `height * width` f32, `to` has room for `rows * pitch()`.
    #[inline(always)]
    pub unsafe fn pack<S: Simd>(
        &self,
        plane: *const f32,
        first: usize,
        rows: usize,
        mut to: *mut f32,
    ) {
        // SAFETY: by this function's contract: the instruction set is there, pointers have room.
        unsafe {
            let pitch = self.pitch();
            for row in first..first + rows {
                if row < self.padding || row >= self.padding + self.height {
                    zero(to, pitch);
                } else {
                    let from = plane.add((row - self.padding) * self.width);
                    if self.stride == 1 {
                        zero(to, self.padding);
                        copy(from, to.add(self.padding), self.width);
                        zero(to.add(self.padding + self.width), self.padding_right);
                    } else {
                        self.pack_apart::<S>(from, to);
                    }
                }
                to = to.add(pitch);
            }
        }
    }

    /// Asks for the part of a plane that [`pack`](Self::pack) would read.
    #[inline(always)]
    pub fn prefetch(&self, plane: *const f32, first: usize, rows: usize) {
        let from = first.saturating_sub(self.padding);
        let to = (first + rows).saturating_sub(self.padding).min(self.height);
        prefetch(
            plane.wrapping_add(from * self.width),
            to.saturating_sub(from) * self.width,
        );
    }

    #[inline(always)]
    unsafe fn pack_apart<S: Simd>(&self, from: *const f32, to: *mut f32) {
        // SAFETY: by this function's contract: the instruction set is there, pointers have room.
        unsafe {
            let half = self.pitch().div_ceil(2);
            let place = |x: usize| (x % 2) * half + x / 2;
            for x in 0..self.padding {
                *to.add(place(x)) = 0.0;
            }
            for x in 0..self.padding_right {
                *to.add(place(self.padding + self.width + x)) = 0.0;
            }
            // The image's even columns go to one contiguous run, the odd ones to another.
            let even = to.add(place(self.padding));
            let odd = to.add(place(self.padding + 1));
            let mut x = 0;
            while x + 2 * S::LANES <= self.width {
                let pair = S::deinterleave(S::load(from.add(x)), S::load(from.add(x + S::LANES)));
                S::store(even.add(x / 2), pair.0);
                S::store(odd.add(x / 2), pair.1);
                x += 2 * S::LANES;
            }
            while x < self.width {
                *(if x % 2 == 0 { even } else { odd }).add(x / 2) = *from.add(x);
                x += 1;
            }
        }
    }
}

/// Copies a short row without the cost of a call.
#[inline(always)]
unsafe fn copy(from: *const f32, to: *mut f32, len: usize) {
    // SAFETY: by this function's contract: the instruction set is there, pointers have room.
    unsafe {
        let whole = len & !7;
        let mut x = 0;
        while x < whole {
            let eight = from.add(x).cast::<[f32; 8]>().read_unaligned();
            to.add(x).cast::<[f32; 8]>().write_unaligned(eight);
            x += 8;
        }
        while x < len {
            *to.add(x) = *from.add(x);
            x += 1;
        }
    }
}

/// Clears a short row without the cost of a call.
#[inline(always)]
unsafe fn zero(to: *mut f32, len: usize) {
    // SAFETY: by this function's contract: the instruction set is there, pointers have room.
    unsafe {
        let whole = len & !7;
        let mut x = 0;
        while x < whole {
            to.add(x).cast::<[f32; 8]>().write_unaligned([0.0; 8]);
            x += 8;
        }
        while x < len {
            // Volatile, since the compiler makes a call of memset of the loop otherwise, which
            // takes longer than the few values.
            to.add(x).write_volatile(0.0);
            x += 1;
        }
    }
}
