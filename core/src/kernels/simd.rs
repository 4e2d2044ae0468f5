//! Vectors of f32 for the CPU kernels: one trait, one type per instruction set, chosen at run time.

/// A vector of `LANES` f32 of one instruction set.
///
/// # Safety
/// Every method needs the instruction set it stands for; [`dispatch`] guarantees that.
/// Pointers are unaligned.
pub(super) trait Simd: Copy {
    type V: Copy;
    /// f32 a vector.
    const LANES: usize;
    /// Rows of accumulators a register tile may hold, beside three columns.
    const TILE: usize;

    unsafe fn splat(value: f32) -> Self::V;
    unsafe fn load(from: *const f32) -> Self::V;
    unsafe fn store(to: *mut f32, v: Self::V);
    unsafe fn add(a: Self::V, b: Self::V) -> Self::V;
    unsafe fn sub(a: Self::V, b: Self::V) -> Self::V;
    unsafe fn mul(a: Self::V, b: Self::V) -> Self::V;
    unsafe fn div(a: Self::V, b: Self::V) -> Self::V;
    unsafe fn min(a: Self::V, b: Self::V) -> Self::V;
    unsafe fn max(a: Self::V, b: Self::V) -> Self::V;
    /// `a * b + c`.
    unsafe fn mul_add(a: Self::V, b: Self::V, c: Self::V) -> Self::V;
    /// `2^k` for integral `k` in -126..=127 held in f32.
    unsafe fn pow2(k: Self::V) -> Self::V;
    /// `a0 b0 a1 b1 ...`: the first and the second half.
    unsafe fn interleave(a: Self::V, b: Self::V) -> (Self::V, Self::V);
    /// Every other value of `a b`: those at even and those at odd places.
    unsafe fn deinterleave(a: Self::V, b: Self::V) -> (Self::V, Self::V);
    /// Sum of the lanes, in a fixed order.
    unsafe fn sum(v: Self::V) -> f32;
}

/// Work that runs with the best instruction set; `run` must be `#[inline(always)]`, as must all
/// it calls with vectors.
pub(super) trait Kernel {
    /// # Safety
    /// The processor has the instructions of `S`, and the pointers the work was given have room for
    /// what it reads and writes.
    unsafe fn run<S: Simd>(self);
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use super::{Kernel, Simd};
    use core::arch::x86_64::*;

    /// 8 lanes, 16 registers.
    #[derive(Clone, Copy)]
    pub struct Avx2;
    /// 8 lanes, 32 registers.
    #[derive(Clone, Copy)]
    pub struct Avx512Half;
    /// 16 lanes, 32 registers.
    #[derive(Clone, Copy)]
    pub struct Avx512;

    macro_rules! eight_lanes {
        ($name:ident, $tile:expr) => {
            impl Simd for $name {
                type V = __m256;
                const LANES: usize = 8;
                const TILE: usize = $tile;

                #[inline(always)]
                unsafe fn splat(value: f32) -> __m256 {
                    // SAFETY: by this function's contract: the instruction set is there, pointers have room.
                    unsafe { _mm256_set1_ps(value) }
                }
                #[inline(always)]
                unsafe fn load(from: *const f32) -> __m256 {
                    // SAFETY: by this function's contract: the instruction set is there, pointers have room.
                    unsafe { _mm256_loadu_ps(from) }
                }
                #[inline(always)]
                unsafe fn store(to: *mut f32, v: __m256) {
                    // SAFETY: by this function's contract: the instruction set is there, pointers have room.
                    unsafe { _mm256_storeu_ps(to, v) }
                }
                #[inline(always)]
                unsafe fn add(a: __m256, b: __m256) -> __m256 {
                    // SAFETY: by this function's contract: the instruction set is there, pointers have room.
                    unsafe { _mm256_add_ps(a, b) }
                }
                #[inline(always)]
                unsafe fn sub(a: __m256, b: __m256) -> __m256 {
                    // SAFETY: by this function's contract: the instruction set is there, pointers have room.
                    unsafe { _mm256_sub_ps(a, b) }
                }
                #[inline(always)]
                unsafe fn mul(a: __m256, b: __m256) -> __m256 {
                    // SAFETY: by this function's contract: the instruction set is there, pointers have room.
                    unsafe { _mm256_mul_ps(a, b) }
                }
                #[inline(always)]
                unsafe fn div(a: __m256, b: __m256) -> __m256 {
                    // SAFETY: by this function's contract: the instruction set is there, pointers have room.
                    unsafe { _mm256_div_ps(a, b) }
                }
                #[inline(always)]
                unsafe fn min(a: __m256, b: __m256) -> __m256 {
                    // SAFETY: by this function's contract: the instruction set is there, pointers have room.
                    unsafe { _mm256_min_ps(a, b) }
                }
                #[inline(always)]
                unsafe fn max(a: __m256, b: __m256) -> __m256 {
                    // SAFETY: by this function's contract: the instruction set is there, pointers have room.
                    unsafe { _mm256_max_ps(a, b) }
                }
                #[inline(always)]
                unsafe fn mul_add(a: __m256, b: __m256, c: __m256) -> __m256 {
                    // SAFETY: by this function's contract: the instruction set is there, pointers have room.
                    unsafe { _mm256_fmadd_ps(a, b, c) }
                }
                #[inline(always)]
                unsafe fn pow2(k: __m256) -> __m256 {
                    // SAFETY: by this function's contract: the instruction set is there, pointers have room.
                    unsafe {
                        let bits = _mm256_add_epi32(_mm256_cvtps_epi32(k), _mm256_set1_epi32(127));
                        _mm256_castsi256_ps(_mm256_slli_epi32::<23>(bits))
                    }
                }
                #[inline(always)]
                unsafe fn interleave(a: __m256, b: __m256) -> (__m256, __m256) {
                    // SAFETY: by this function's contract: the instruction set is there, pointers have room.
                    unsafe {
                        let (low, high) = (_mm256_unpacklo_ps(a, b), _mm256_unpackhi_ps(a, b));
                        (
                            _mm256_permute2f128_ps::<0x20>(low, high),
                            _mm256_permute2f128_ps::<0x31>(low, high),
                        )
                    }
                }
                #[inline(always)]
                unsafe fn deinterleave(a: __m256, b: __m256) -> (__m256, __m256) {
                    // SAFETY: by this function's contract: the instruction set is there, pointers have room.
                    unsafe {
                        let (even, odd) = (
                            _mm256_shuffle_ps::<0x88>(a, b),
                            _mm256_shuffle_ps::<0xDD>(a, b),
                        );
                        let even = _mm256_permute4x64_pd::<0xD8>(_mm256_castps_pd(even));
                        let odd = _mm256_permute4x64_pd::<0xD8>(_mm256_castps_pd(odd));
                        (_mm256_castpd_ps(even), _mm256_castpd_ps(odd))
                    }
                }
                #[inline(always)]
                unsafe fn sum(v: __m256) -> f32 {
                    // SAFETY: by this function's contract: the instruction set is there, pointers have room.
                    unsafe {
                        let v =
                            _mm_add_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps::<1>(v));
                        let v = _mm_add_ps(v, _mm_movehl_ps(v, v));
                        _mm_cvtss_f32(_mm_add_ss(v, _mm_movehdup_ps(v)))
                    }
                }
            }
        };
    }
    eight_lanes!(Avx2, 4);
    eight_lanes!(Avx512Half, 8);

    impl Simd for Avx512 {
        type V = __m512;
        const LANES: usize = 16;
        const TILE: usize = 8;

        #[inline(always)]
        unsafe fn splat(value: f32) -> __m512 {
            // SAFETY: by this function's contract: the instruction set is there, pointers have room.
            unsafe { _mm512_set1_ps(value) }
        }
        #[inline(always)]
        unsafe fn load(from: *const f32) -> __m512 {
            // SAFETY: by this function's contract: the instruction set is there, pointers have room.
            unsafe { _mm512_loadu_ps(from) }
        }
        #[inline(always)]
        unsafe fn store(to: *mut f32, v: __m512) {
            // SAFETY: by this function's contract: the instruction set is there, pointers have room.
            unsafe { _mm512_storeu_ps(to, v) }
        }
        #[inline(always)]
        unsafe fn add(a: __m512, b: __m512) -> __m512 {
            // SAFETY: by this function's contract: the instruction set is there, pointers have room.
            unsafe { _mm512_add_ps(a, b) }
        }
        #[inline(always)]
        unsafe fn sub(a: __m512, b: __m512) -> __m512 {
            // SAFETY: by this function's contract: the instruction set is there, pointers have room.
            unsafe { _mm512_sub_ps(a, b) }
        }
        #[inline(always)]
        unsafe fn mul(a: __m512, b: __m512) -> __m512 {
            // SAFETY: by this function's contract: the instruction set is there, pointers have room.
            unsafe { _mm512_mul_ps(a, b) }
        }
        #[inline(always)]
        unsafe fn div(a: __m512, b: __m512) -> __m512 {
            // SAFETY: by this function's contract: the instruction set is there, pointers have room.
            unsafe { _mm512_div_ps(a, b) }
        }
        #[inline(always)]
        unsafe fn min(a: __m512, b: __m512) -> __m512 {
            // SAFETY: by this function's contract: the instruction set is there, pointers have room.
            unsafe { _mm512_min_ps(a, b) }
        }
        #[inline(always)]
        unsafe fn max(a: __m512, b: __m512) -> __m512 {
            // SAFETY: by this function's contract: the instruction set is there, pointers have room.
            unsafe { _mm512_max_ps(a, b) }
        }
        #[inline(always)]
        unsafe fn mul_add(a: __m512, b: __m512, c: __m512) -> __m512 {
            // SAFETY: by this function's contract: the instruction set is there, pointers have room.
            unsafe { _mm512_fmadd_ps(a, b, c) }
        }
        #[inline(always)]
        unsafe fn pow2(k: __m512) -> __m512 {
            // SAFETY: by this function's contract: the instruction set is there, pointers have room.
            unsafe {
                let bits = _mm512_add_epi32(_mm512_cvtps_epi32(k), _mm512_set1_epi32(127));
                _mm512_castsi512_ps(_mm512_slli_epi32::<23>(bits))
            }
        }
        #[inline(always)]
        unsafe fn interleave(a: __m512, b: __m512) -> (__m512, __m512) {
            // SAFETY: by this function's contract: the instruction set is there, pointers have room.
            unsafe {
                let first =
                    _mm512_setr_epi32(0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
                let second = _mm512_add_epi32(first, _mm512_set1_epi32(8));
                (
                    _mm512_permutex2var_ps(a, first, b),
                    _mm512_permutex2var_ps(a, second, b),
                )
            }
        }
        #[inline(always)]
        unsafe fn deinterleave(a: __m512, b: __m512) -> (__m512, __m512) {
            // SAFETY: by this function's contract: the instruction set is there, pointers have room.
            unsafe {
                let even =
                    _mm512_setr_epi32(0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30);
                let odd = _mm512_add_epi32(even, _mm512_set1_epi32(1));
                (
                    _mm512_permutex2var_ps(a, even, b),
                    _mm512_permutex2var_ps(a, odd, b),
                )
            }
        }
        #[inline(always)]
        unsafe fn sum(v: __m512) -> f32 {
            // SAFETY: by this function's contract: the instruction set is there, pointers have room.
            unsafe {
                let low = _mm512_castps512_ps256(v);
                let high = _mm256_castpd_ps(_mm512_extractf64x4_pd::<1>(_mm512_castps_pd(v)));
                Avx2::sum(_mm256_add_ps(low, high))
            }
        }
    }

    #[target_feature(enable = "avx2,fma")]
    pub unsafe fn run_avx2<K: Kernel>(kernel: K) {
        // SAFETY: by this function's contract: the instruction set is there, pointers have room.
        unsafe { kernel.run::<Avx2>() }
    }

    #[target_feature(enable = "avx2,fma,avx512f,avx512vl")]
    pub unsafe fn run_avx512_half<K: Kernel>(kernel: K) {
        // SAFETY: by this function's contract: the instruction set is there, pointers have room.
        unsafe { kernel.run::<Avx512Half>() }
    }

    #[target_feature(enable = "avx2,fma,avx512f,avx512vl")]
    pub unsafe fn run_avx512<K: Kernel>(kernel: K) {
        // SAFETY: by this function's contract: the instruction set is there, pointers have room.
        unsafe { kernel.run::<Avx512>() }
    }

    pub fn has_avx512() -> bool {
        is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("avx512vl") && has_avx2()
    }

    pub fn has_avx2() -> bool {
        is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma")
    }
}

mod portable;
#[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
mod wasm;

/// Runs `kernel` with vectors that suit rows of `width` f32.
///
/// # Safety
/// The pointers the kernel was given have room for what it reads and writes.
pub(super) unsafe fn dispatch<K: Kernel>(width: usize, kernel: K) {
    #[cfg(target_arch = "x86_64")]
    {
        // SAFETY: the instruction sets were detected; the rest is the caller's promise.
        unsafe {
            if x86::has_avx512() {
                // Half-empty vectors cost as much as full ones.
                return if width.div_ceil(8).is_multiple_of(2) || width > 64 {
                    x86::run_avx512(kernel)
                } else {
                    x86::run_avx512_half(kernel)
                };
            }
            if x86::has_avx2() {
                return x86::run_avx2(kernel);
            }
        }
    }
    let _ = width;
    #[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
    // SAFETY: simd128 is a target feature of the whole build; the rest is the caller's promise.
    unsafe {
        kernel.run::<wasm::Simd128>()
    };
    #[cfg(not(all(target_arch = "wasm32", target_feature = "simd128")))]
    // SAFETY: plain Rust; the rest is the caller's promise.
    unsafe {
        kernel.run::<portable::Portable>()
    };
}

/// f32 a vector and rows of a register tile, as [`dispatch`] chooses for rows of `width`.
pub(super) fn lanes_and_rows(width: usize) -> (usize, usize) {
    struct Ask<'a>(&'a mut (usize, usize));
    impl Kernel for Ask<'_> {
        #[inline(always)]
        unsafe fn run<S: Simd>(self) {
            *self.0 = (S::LANES, S::TILE);
        }
    }
    let mut answer = (1, 1);
    // SAFETY: no pointers.
    unsafe { dispatch(width, Ask(&mut answer)) };
    answer
}

/// The most lanes any vector has: slack that arrays read by whole vectors need at their end.
pub(super) const MOST_LANES: usize = 16;

/// Asks for memory that will be read soon.
#[inline(always)]
pub(super) fn prefetch(from: *const f32, len: usize) {
    #[cfg(target_arch = "x86_64")]
    for line in (0..len).step_by(16) {
        // SAFETY: a hint; any address will do.
        unsafe {
            use core::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
            _mm_prefetch::<_MM_HINT_T0>(from.wrapping_add(line).cast());
        }
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = (from, len);
}
