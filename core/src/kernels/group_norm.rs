//! Group normalisation (Wu & He 2018) with an optional scale-shift and SiLU behind it, fused.
//!
//! With `xh = (x - mean) / sqrt(var + eps)` over the channels of a group and all pixels:
//! `z = (xh gamma + beta) (1 + scale) + shift`, `y = z` or `silu(z)`. That is one affine map a
//! channel, so the forward pass reads a group three times while it is in the cache, and the
//! backward pass twice.

#[cfg(feature = "autodiff")]
use super::activation::silu_slope;
use super::activation::{load_part, silu, store_part};
use super::par::{Shared, filled, for_each};
use super::simd::{Kernel, Simd, dispatch};

/// Settings of the operation.
#[derive(Clone, Copy, Debug)]
pub(super) struct Norm {
    pub groups: usize,
    pub eps: f64,
    /// SiLU at the end.
    pub silu: bool,
}

/// The tensors of one call, contiguous.
#[derive(Clone, Copy)]
pub(super) struct Inputs<'a> {
    /// `[batch, channels, pixels]`
    pub x: &'a [f32],
    /// `[channels]`
    pub gamma: &'a [f32],
    /// `[channels]`
    pub beta: &'a [f32],
    /// `[batch, channels]` each
    pub scale_shift: Option<(&'a [f32], &'a [f32])>,
    pub batch: usize,
    pub channels: usize,
    pub pixels: usize,
}

/// The gradients of [`Inputs`].
#[cfg(feature = "autodiff")]
pub(super) struct Gradients {
    pub x: Vec<f32>,
    pub gamma: Vec<f32>,
    pub beta: Vec<f32>,
    pub scale_shift: Option<(Vec<f32>, Vec<f32>)>,
}

impl Inputs<'_> {
    /// Factor and offset from the normalised value to `z`, of a channel of an image.
    fn modulation(&self, image: usize, channel: usize) -> (f32, f32) {
        let (gamma, beta) = (self.gamma[channel], self.beta[channel]);
        match self.scale_shift {
            Some((scale, shift)) => {
                let at = image * self.channels + channel;
                let factor = 1.0 + scale[at];
                (gamma * factor, beta * factor + shift[at])
            }
            None => (gamma, beta),
        }
    }

    fn check(&self, norm: Norm) {
        let planes = self.batch * self.channels;
        assert_eq!(self.x.len(), planes * self.pixels);
        assert_eq!(
            (self.gamma.len(), self.beta.len()),
            (self.channels, self.channels)
        );
        assert_eq!(self.channels % norm.groups, 0);
        if let Some((scale, shift)) = self.scale_shift {
            assert_eq!((scale.len(), shift.len()), (planes, planes));
        }
    }
}

/// Returns the output and, for the backward pass, mean and 1/std of every group of every image.
pub(super) fn forward(inputs: &Inputs, norm: Norm) -> (Vec<f32>, Vec<[f32; 2]>) {
    inputs.check(norm);
    let groups = inputs.batch * norm.groups;
    let mut moments = vec![[0.0; 2]; groups];
    let kept = Shared(moments.as_mut_ptr());
    // SAFETY: every task writes its own group, of moments and of the output.
    let out = unsafe {
        filled(inputs.x.len(), |out| {
            let out = Shared(out);
            for_each(groups, |group| {
                let moments = kept.at(group);
                dispatch(
                    usize::MAX,
                    Forward {
                        inputs,
                        norm,
                        group,
                        moments,
                        out,
                    },
                );
            });
        })
    };
    (out, moments)
}

/// The gradients from that of the output and the moments that [`forward`] returned.
#[cfg(feature = "autodiff")]
pub(super) fn backward(
    inputs: &Inputs,
    norm: Norm,
    moments: &[[f32; 2]],
    gradient: &[f32],
) -> Gradients {
    inputs.check(norm);
    let (batch, channels) = (inputs.batch, inputs.channels);
    assert_eq!(gradient.len(), inputs.x.len());
    assert_eq!(moments.len(), batch * norm.groups);
    // Sums over the pixels of dz and of dz * xh.
    let mut sums = vec![[0.0f32; 2]; batch * channels];
    let kept = Shared(sums.as_mut_ptr());
    // SAFETY: every task writes its own group.
    let x = unsafe {
        filled(inputs.x.len(), |out| {
            let out = Shared(out);
            for_each(batch * norm.groups, |group| {
                let moments = moments[group];
                let job = Backward {
                    inputs,
                    norm,
                    group,
                    moments,
                    gradient,
                    sums: kept,
                    out,
                };
                dispatch(usize::MAX, job);
            });
        })
    };
    let (mut gamma, mut beta) = (vec![0.0; channels], vec![0.0; channels]);
    let mut scale_shift = inputs
        .scale_shift
        .map(|_| (vec![0.0; sums.len()], vec![0.0; sums.len()]));
    for (at, [offset, factor]) in sums.into_iter().enumerate() {
        let channel = at % channels;
        let mut modulation = 1.0;
        if let (Some((scale, _)), Some((to_scale, to_shift))) =
            (inputs.scale_shift, &mut scale_shift)
        {
            modulation += scale[at];
            to_scale[at] = inputs.gamma[channel] * factor + inputs.beta[channel] * offset;
            to_shift[at] = offset;
        }
        gamma[channel] += factor * modulation;
        beta[channel] += offset * modulation;
    }
    Gradients {
        x,
        gamma,
        beta,
        scale_shift,
    }
}

struct Forward<'a> {
    inputs: &'a Inputs<'a>,
    norm: Norm,
    group: usize,
    moments: *mut [f32; 2],
    out: Shared<f32>,
}

impl Kernel for Forward<'_> {
    #[inline(always)]
    unsafe fn run<S: Simd>(self) {
        // SAFETY: by this function's contract: the instruction set is there, pointers have room.
        unsafe {
            let (inputs, norm) = (self.inputs, self.norm);
            let (pixels, width) = (inputs.pixels, inputs.channels / norm.groups);
            let start = self.group * width * pixels;
            let len = width * pixels;
            let x = inputs.x.as_ptr().add(start);
            let mean = (total::<S, false>(x, len, 0.0) / len as f64) as f32;
            let variance = total::<S, true>(x, len, mean) / len as f64;
            let factor = (1.0 / (variance + norm.eps).sqrt()) as f32;
            *self.moments = [mean, factor];
            for c in 0..width {
                let channel = self.group % norm.groups * width + c;
                let (gamma, beta) = inputs.modulation(self.group / norm.groups, channel);
                let a = gamma * factor;
                let b = beta - mean * a;
                let (x, out) = (x.add(c * pixels), self.out.at(start + c * pixels));
                if norm.silu {
                    affine::<S, true>(x, out, pixels, a, b);
                } else {
                    affine::<S, false>(x, out, pixels, a, b);
                }
            }
        }
    }
}

/// The sum of `x`, or with `SQUARE` of `(x - mean)^2`; blocks in f32, their sum in f64.
#[inline(always)]
unsafe fn total<S: Simd, const SQUARE: bool>(x: *const f32, len: usize, mean: f32) -> f64 {
    // SAFETY: by this function's contract: the instruction set is there, pointers have room.
    unsafe {
        const WAYS: usize = 4;
        let shift = S::splat(mean);
        let mut sum = 0.0f64;
        let mut i = 0;
        while i + WAYS * S::LANES <= len {
            let end = (i + 64 * WAYS * S::LANES).min(len);
            let mut ways = [S::splat(0.0); WAYS];
            while i + WAYS * S::LANES <= end {
                for (n, way) in ways.iter_mut().enumerate() {
                    let v = S::load(x.add(i + n * S::LANES));
                    if SQUARE {
                        let v = S::sub(v, shift);
                        *way = S::mul_add(v, v, *way);
                    } else {
                        *way = S::add(*way, v);
                    }
                }
                i += WAYS * S::LANES;
            }
            let both = S::add(S::add(ways[0], ways[1]), S::add(ways[2], ways[3]));
            sum += S::sum(both) as f64;
        }
        while i < len {
            let v = *x.add(i);
            sum += if SQUARE {
                ((v - mean) * (v - mean)) as f64
            } else {
                v as f64
            };
            i += 1;
        }
        sum
    }
}

/// `out = x a + b`, with `SILU` its SiLU.
#[inline(always)]
unsafe fn affine<S: Simd, const SILU: bool>(
    x: *const f32,
    out: *mut f32,
    len: usize,
    a: f32,
    b: f32,
) {
    // SAFETY: by this function's contract: the instruction set is there, pointers have room.
    unsafe {
        let (a, b) = (S::splat(a), S::splat(b));
        let mut i = 0;
        while i < len {
            let count = S::LANES.min(len - i);
            let whole = count == S::LANES;
            let v = if whole {
                S::load(x.add(i))
            } else {
                load_part::<S>(x.add(i), count)
            };
            let z = S::mul_add(v, a, b);
            let y = if SILU { silu::<S>(z) } else { z };
            if whole {
                S::store(out.add(i), y);
            } else {
                store_part::<S>(out.add(i), y, count);
            }
            i += S::LANES;
        }
    }
}

#[cfg(feature = "autodiff")]
struct Backward<'a> {
    inputs: &'a Inputs<'a>,
    norm: Norm,
    group: usize,
    moments: [f32; 2],
    gradient: &'a [f32],
    sums: Shared<[f32; 2]>,
    out: Shared<f32>,
}

#[cfg(feature = "autodiff")]
impl Kernel for Backward<'_> {
    #[inline(always)]
    unsafe fn run<S: Simd>(self) {
        // SAFETY: by this function's contract: the instruction set is there, pointers have room.
        unsafe {
            let (inputs, norm) = (self.inputs, self.norm);
            let (pixels, width) = (inputs.pixels, inputs.channels / norm.groups);
            let start = self.group * width * pixels;
            let [mean, factor] = self.moments;
            let x = inputs.x.as_ptr().add(start);
            let gradient = self.gradient.as_ptr().add(start);
            let out = self.out.at(start);
            let image = self.group / norm.groups;
            let first = self.group % norm.groups * width;

            // Means over the group of d = dL/dxh and of d * xh.
            let (mut of_d, mut of_dx) = (0.0f64, 0.0f64);
            for c in 0..width {
                let (gamma, beta) = inputs.modulation(image, first + c);
                let at = c * pixels;
                let affine = [gamma * factor, beta - mean * gamma * factor];
                let sums = if norm.silu {
                    slopes::<S, true>(x.add(at), gradient.add(at), out.add(at), pixels, affine)
                } else {
                    slopes::<S, false>(x.add(at), gradient.add(at), out.add(at), pixels, affine)
                };
                // Sum of dz * xh from that of dz * x.
                let sums = [sums[0], (sums[1] - mean as f64 * sums[0]) * factor as f64];
                *self.sums.at(image * inputs.channels + first + c) = sums.map(|s| s as f32);
                of_d += gamma as f64 * sums[0];
                of_dx += gamma as f64 * sums[1];
            }
            let len = (width * pixels) as f64;
            let (of_d, of_dx) = (of_d / len, of_dx / len);

            // dx = factor (d - mean(d) - xh mean(d xh))
            let slope = factor as f64 * factor as f64 * of_dx;
            let constant = slope * mean as f64 - factor as f64 * of_d;
            for c in 0..width {
                let (gamma, _) = inputs.modulation(image, first + c);
                let at = c * pixels;
                let dz = if norm.silu {
                    out.add(at).cast_const()
                } else {
                    gradient.add(at)
                };
                let [a, b, d] = [gamma * factor, -slope as f32, constant as f32];
                combine::<S>(dz, x.add(at), out.add(at), pixels, [a, b, d]);
            }
        }
    }
}

/// Sums of `dz` and `dz x`; with `SILU` (`dz = gradient silu'(x a + b)`) also writes `dz`.
#[inline(always)]
#[cfg(feature = "autodiff")]
unsafe fn slopes<S: Simd, const SILU: bool>(
    x: *const f32,
    gradient: *const f32,
    out: *mut f32,
    len: usize,
    [a, b]: [f32; 2],
) -> [f64; 2] {
    // SAFETY: by this function's contract: the instruction set is there, pointers have room.
    unsafe {
        let (a, b) = (S::splat(a), S::splat(b));
        let mut sums = [0.0f64; 2];
        let mut i = 0;
        while i < len {
            let end = (i + 64 * S::LANES).min(len);
            let mut ways = [S::splat(0.0); 2];
            while i < end {
                let count = S::LANES.min(end - i);
                let whole = count == S::LANES;
                let (v, g) = if whole {
                    (S::load(x.add(i)), S::load(gradient.add(i)))
                } else {
                    (
                        load_part::<S>(x.add(i), count),
                        load_part::<S>(gradient.add(i), count),
                    )
                };
                let mut dz = g;
                if SILU {
                    dz = S::mul(g, silu_slope::<S>(S::mul_add(v, a, b)));
                    if whole {
                        S::store(out.add(i), dz);
                    } else {
                        store_part::<S>(out.add(i), dz, count);
                    }
                }
                ways[0] = S::add(ways[0], dz);
                ways[1] = S::mul_add(dz, v, ways[1]);
                i += S::LANES;
            }
            sums[0] += S::sum(ways[0]) as f64;
            sums[1] += S::sum(ways[1]) as f64;
        }
        sums
    }
}

/// `out = dz a + x b + d`.
#[inline(always)]
#[cfg(feature = "autodiff")]
unsafe fn combine<S: Simd>(
    dz: *const f32,
    x: *const f32,
    out: *mut f32,
    len: usize,
    factors: [f32; 3],
) {
    // SAFETY: by this function's contract: the instruction set is there, pointers have room.
    unsafe {
        let [a, b, d] = factors.map(|f| S::splat(f));
        let mut i = 0;
        while i + S::LANES <= len {
            let sum = S::mul_add(S::load(x.add(i)), b, d);
            S::store(out.add(i), S::mul_add(S::load(dz.add(i)), a, sum));
            i += S::LANES;
        }
        while i < len {
            *out.add(i) = *dz.add(i) * factors[0] + (*x.add(i) * factors[1] + factors[2]);
            i += 1;
        }
    }
}
