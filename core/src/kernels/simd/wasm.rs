//! Vectors of WebAssembly.

use super::Simd;
use core::arch::wasm32::*;

/// 4 lanes; the engine maps them on 16 or 32 registers.
#[derive(Clone, Copy)]
pub struct Simd128;

impl Simd for Simd128 {
    type V = v128;
    const LANES: usize = 4;
    const TILE: usize = 4;

    #[inline(always)]
    unsafe fn splat(value: f32) -> v128 {
        f32x4_splat(value)
    }
    #[inline(always)]
    unsafe fn load(from: *const f32) -> v128 {
        // SAFETY: the caller's pointer has room for a vector.
        unsafe { v128_load(from.cast()) }
    }
    #[inline(always)]
    unsafe fn store(to: *mut f32, v: v128) {
        // SAFETY: as above.
        unsafe { v128_store(to.cast(), v) }
    }
    #[inline(always)]
    unsafe fn add(a: v128, b: v128) -> v128 {
        f32x4_add(a, b)
    }
    #[inline(always)]
    unsafe fn sub(a: v128, b: v128) -> v128 {
        f32x4_sub(a, b)
    }
    #[inline(always)]
    unsafe fn mul(a: v128, b: v128) -> v128 {
        f32x4_mul(a, b)
    }
    #[inline(always)]
    unsafe fn div(a: v128, b: v128) -> v128 {
        f32x4_div(a, b)
    }
    #[inline(always)]
    unsafe fn min(a: v128, b: v128) -> v128 {
        f32x4_pmin(a, b)
    }
    #[inline(always)]
    unsafe fn max(a: v128, b: v128) -> v128 {
        f32x4_pmax(a, b)
    }
    #[inline(always)]
    unsafe fn mul_add(a: v128, b: v128, c: v128) -> v128 {
        f32x4_add(f32x4_mul(a, b), c)
    }
    #[inline(always)]
    unsafe fn pow2(k: v128) -> v128 {
        let bits = i32x4_add(i32x4_trunc_sat_f32x4(k), i32x4_splat(127));
        i32x4_shl(bits, 23)
    }
    #[inline(always)]
    unsafe fn interleave(a: v128, b: v128) -> (v128, v128) {
        (
            i32x4_shuffle::<0, 4, 1, 5>(a, b),
            i32x4_shuffle::<2, 6, 3, 7>(a, b),
        )
    }
    #[inline(always)]
    unsafe fn deinterleave(a: v128, b: v128) -> (v128, v128) {
        (
            i32x4_shuffle::<0, 2, 4, 6>(a, b),
            i32x4_shuffle::<1, 3, 5, 7>(a, b),
        )
    }
    #[inline(always)]
    unsafe fn sum(v: v128) -> f32 {
        (f32x4_extract_lane::<0>(v) + f32x4_extract_lane::<1>(v))
            + (f32x4_extract_lane::<2>(v) + f32x4_extract_lane::<3>(v))
    }
}
