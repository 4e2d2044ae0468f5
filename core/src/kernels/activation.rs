//! SiLU, `x * sigmoid(x)` (Elfwing et al. 2017), on vectors and over whole tensors.

use super::par::{Shared, filled, for_each};
use super::simd::{Kernel, MOST_LANES, Simd, dispatch};

/// f32 a task takes.
const CHUNK: usize = 16 * 1024;

/// `e^x`, to 2 units in the last place, for x in -87..88 and clamped to it.
///
/// Range reduction to `2^k * e^r` with |r| <= ln(2)/2 and a polynomial of degree 6 (minimax
/// coefficients of the Cephes library's expf, Moshier).
#[inline(always)]
unsafe fn exp<S: Simd>(x: S::V) -> S::V {
    // SAFETY: by this function's contract: the instruction set is there, pointers have room.
    unsafe {
        let x = S::min(S::max(x, S::splat(-87.0)), S::splat(88.0));
        // Adding and taking away 1.5 * 2^23 rounds to the nearest integer.
        let magic = S::splat(12_582_912.0);
        let scaled = S::mul_add(x, S::splat(core::f32::consts::LOG2_E), magic);
        let k = S::sub(scaled, magic);
        // ln 2 in two parts, the first with few enough bits that k * part is exact.
        let r = S::mul_add(k, S::splat(-0.693_359_4), x);
        let r = S::mul_add(k, S::splat(2.121_944_4e-4), r);
        let mut p = S::splat(1.987_569_1e-4);
        for c in [1.398_2e-3, 8.333_452e-3, 4.166_579_6e-2, 0.166_666_65, 0.5] {
            p = S::mul_add(p, r, S::splat(c));
        }
        let e = S::add(S::mul_add(S::mul(p, r), r, r), S::splat(1.0));
        S::mul(e, S::pow2(k))
    }
}

/// `1 / (1 + e^-x)`.
#[inline(always)]
unsafe fn sigmoid<S: Simd>(x: S::V) -> S::V {
    // SAFETY: by this function's contract: the instruction set is there, pointers have room.
    unsafe {
        let e = exp::<S>(S::sub(S::splat(0.0), x));
        S::div(S::splat(1.0), S::add(S::splat(1.0), e))
    }
}

/// `x * sigmoid(x)`.
#[inline(always)]
pub(super) unsafe fn silu<S: Simd>(x: S::V) -> S::V {
    // SAFETY: by this function's contract: the instruction set is there, pointers have room.
    unsafe { S::mul(x, sigmoid::<S>(x)) }
}

/// Derivative of [`silu`]: `s + x s (1 - s)` with `s = sigmoid(x)`.
#[inline(always)]
#[cfg(feature = "autodiff")]
pub(super) unsafe fn silu_slope<S: Simd>(x: S::V) -> S::V {
    // SAFETY: by this function's contract: the instruction set is there, pointers have room.
    unsafe {
        let s = sigmoid::<S>(x);
        S::mul(s, S::mul_add(x, S::sub(S::splat(1.0), s), S::splat(1.0)))
    }
}

/// Loads the first `count` values, the other lanes zero.
#[inline(always)]
pub(super) unsafe fn load_part<S: Simd>(from: *const f32, count: usize) -> S::V {
    // SAFETY: by this function's contract: the instruction set is there, pointers have room.
    unsafe {
        let mut buffer = [0.0f32; MOST_LANES];
        for (i, slot) in buffer.iter_mut().enumerate().take(count) {
            *slot = *from.add(i);
        }
        S::load(buffer.as_ptr())
    }
}

/// Stores the first `count` lanes.
#[inline(always)]
pub(super) unsafe fn store_part<S: Simd>(to: *mut f32, v: S::V, count: usize) {
    // SAFETY: by this function's contract: the instruction set is there, pointers have room.
    unsafe {
        let mut buffer = [0.0f32; MOST_LANES];
        S::store(buffer.as_mut_ptr(), v);
        for (i, value) in buffer.iter().enumerate().take(count) {
            *to.add(i) = *value;
        }
    }
}

struct Forward {
    x: *const f32,
    out: *mut f32,
    len: usize,
}

impl Kernel for Forward {
    #[inline(always)]
    unsafe fn run<S: Simd>(self) {
        // SAFETY: by this function's contract: the instruction set is there, pointers have room.
        unsafe {
            let Self { x, out, len } = self;
            let mut i = 0;
            while i + S::LANES <= len {
                S::store(out.add(i), silu::<S>(S::load(x.add(i))));
                i += S::LANES;
            }
            let v = silu::<S>(load_part::<S>(x.add(i), len - i));
            store_part::<S>(out.add(i), v, len - i);
        }
    }
}

#[cfg(feature = "autodiff")]
struct Backward {
    x: *const f32,
    gradient: *const f32,
    out: *mut f32,
    len: usize,
}

#[cfg(feature = "autodiff")]
impl Kernel for Backward {
    #[inline(always)]
    unsafe fn run<S: Simd>(self) {
        // SAFETY: by this function's contract: the instruction set is there, pointers have room.
        unsafe {
            let Self {
                x,
                gradient,
                out,
                len,
            } = self;
            let mut i = 0;
            while i + S::LANES <= len {
                let slope = silu_slope::<S>(S::load(x.add(i)));
                S::store(out.add(i), S::mul(S::load(gradient.add(i)), slope));
                i += S::LANES;
            }
            let slope = silu_slope::<S>(load_part::<S>(x.add(i), len - i));
            let v = S::mul(load_part::<S>(gradient.add(i), len - i), slope);
            store_part::<S>(out.add(i), v, len - i);
        }
    }
}

/// SiLU of every value.
pub(super) fn forward(x: &[f32]) -> Vec<f32> {
    // SAFETY: the tasks write every element.
    unsafe {
        filled(x.len(), |out| {
            let out = Shared(out);
            for_each(x.len().div_ceil(CHUNK), |task| {
                let part = &x[task * CHUNK..x.len().min((task + 1) * CHUNK)];
                let out = out.at(task * CHUNK);
                dispatch(
                    usize::MAX,
                    Forward {
                        x: part.as_ptr(),
                        out,
                        len: part.len(),
                    },
                );
            });
        })
    }
}

/// The gradient of `x` from that of `silu(x)`.
#[cfg(feature = "autodiff")]
pub(super) fn backward(x: &[f32], gradient: &[f32]) -> Vec<f32> {
    assert_eq!(x.len(), gradient.len());
    // SAFETY: the tasks write every element.
    unsafe {
        filled(x.len(), |out| {
            let out = Shared(out);
            for_each(x.len().div_ceil(CHUNK), |task| {
                let start = task * CHUNK;
                let part = &x[start..x.len().min(start + CHUNK)];
                let gradient = gradient[start..].as_ptr();
                let out = out.at(start);
                let job = Backward {
                    x: part.as_ptr(),
                    gradient,
                    out,
                    len: part.len(),
                };
                dispatch(usize::MAX, job);
            });
        })
    }
}
