//! Convolution on the CPU over burn's flex tensors: forward pass and all gradients.

use burn::backend::flex::FlexTensor;

use super::conv_run::Slide;
use super::conv_strip::Frame;
#[cfg(feature = "autodiff")]
use super::conv_weight::WeightGradient;
use super::flex::{contiguous, dims4, tensor, values};
use super::par::filled;
#[cfg(feature = "autodiff")]
use super::par::{Shared, for_each};
use super::winograd;

/// Stride and padding, the same for rows and columns.
#[derive(Clone, Copy, Debug)]
pub(super) struct Geometry {
    pub stride: usize,
    pub padding: usize,
}

impl Geometry {
    /// Whether the kernels here can do it. They trust the sizes: what does not fit goes no farther.
    pub fn supports(&self, x: [usize; 4], weight: [usize; 4], bias: Option<usize>) -> bool {
        let [_, channels, height, width] = x;
        let [outputs, inputs, k, k2] = weight;
        let padded = height.min(width) + 2 * self.padding;
        matches!(self.stride, 1 | 2)
            && k == k2
            && matches!(k, 1 | 3)
            && self.padding < k
            && inputs == channels
            && padded >= k
            && x.iter().all(|n| *n > 0)
            && outputs > 0
            && bias.is_none_or(|length| length == outputs)
    }

    fn size(&self, size: usize, kernel: usize) -> usize {
        (size + 2 * self.padding - kernel) / self.stride + 1
    }

    fn frame(&self, x: [usize; 4]) -> Frame {
        Frame {
            height: x[2],
            width: x[3],
            padding: self.padding,
            padding_right: self.padding,
            stride: self.stride,
        }
    }
}

fn square(kernel: usize) -> Vec<(usize, usize)> {
    (0..kernel * kernel)
        .map(|tap| (tap / kernel, tap % kernel))
        .collect()
}

/// `y = x * weight + bias`.
///
/// # Shapes
/// `x`: `[batch, in, height, width]`, `weight`: `[out, in, k, k]`, `bias`: `[out]`.
pub(super) fn forward(
    x: FlexTensor,
    weight: FlexTensor,
    bias: Option<FlexTensor>,
    geometry: Geometry,
) -> FlexTensor {
    let (x, weight, bias) = (contiguous(x), contiguous(weight), bias.map(contiguous));
    let (shape, [outputs, channels, kernel, _]) = (dims4(&x), dims4(&weight));
    let [batch, _, height, width] = shape;
    let (rows, columns) = (geometry.size(height, kernel), geometry.size(width, kernel));
    let slide = Slide {
        batch,
        channels,
        input: values(&x),
        frame: geometry.frame(shape),
        kernel,
        taps: &square(kernel),
        weight: values(&weight),
        bias: bias.as_ref().map(values),
        outputs,
        rows,
        columns,
    };
    // SAFETY: the slide writes every output.
    let out = unsafe { filled(batch * outputs * rows * columns, |out| run(&slide, out)) };
    tensor(out, [batch, outputs, rows, columns])
}

/// Runs a slide the faster way.
///
/// # Safety
/// As [`Slide::run`].
unsafe fn run(slide: &Slide, out: *mut f32) {
    // SAFETY: the caller's promise; Winograd's trusts the sizes that are checked here.
    unsafe {
        if winograd::suits(slide) {
            slide.check();
            winograd::run(slide, out)
        } else {
            slide.run(out)
        }
    }
}

/// The gradient of `x` (whose shape is `shape`) from that of the output.
#[cfg(feature = "autodiff")]
pub(super) fn input_gradient(
    gradient: &FlexTensor,
    weight: FlexTensor,
    shape: [usize; 4],
    geometry: Geometry,
) -> FlexTensor {
    let weight = contiguous(weight);
    let [batch, channels, height, width] = shape;
    let kernel = dims4(&weight)[2];
    let len = batch * channels * height * width;
    if geometry.stride == 1 {
        let phase = Phase::new(geometry, kernel, [0, 0], [height, width]);
        // SAFETY: the slide writes every value.
        let out = unsafe { filled(len, |out| phase.run(gradient, &weight, out)) };
        return tensor(out, shape);
    }
    let mut out = vec![0.0f32; len];
    for (py, px) in square(geometry.stride) {
        if py >= height || px >= width {
            continue;
        }
        let size = [(height - py).div_ceil(2), (width - px).div_ceil(2)];
        let phase = Phase::new(geometry, kernel, [py, px], size);
        if phase.taps.is_empty() {
            continue;
        }
        let planes = batch * channels;
        // SAFETY: the slide writes every value.
        let part = unsafe {
            filled(planes * size[0] * size[1], |out| {
                phase.run(gradient, &weight, out)
            })
        };
        let shared = Shared(out.as_mut_ptr());
        for_each(planes, |plane| {
            let from = &part[plane * size[0] * size[1]..];
            for (row, values) in from.chunks_exact(size[1]).take(size[0]).enumerate() {
                let start = (plane * height + 2 * row + py) * width + px;
                for (column, value) in values.iter().enumerate() {
                    // SAFETY: inside this task's own plane.
                    unsafe { *shared.at(start + 2 * column) = *value };
                }
            }
        });
    }
    tensor(out, shape)
}

/// The pixels of the input whose row and column have one remainder modulo the stride: among
/// them the input gradient is a convolution of stride 1 with some of the taps.
#[cfg(feature = "autodiff")]
struct Phase {
    size: [usize; 2],
    /// Tap of the weight, and where it lies in this phase's kernel.
    taps: Vec<((usize, usize), (usize, usize))>,
    padding: usize,
    /// Side of this phase's kernel.
    kernel: usize,
}

#[cfg(feature = "autodiff")]
impl Phase {
    fn new(geometry: Geometry, kernel: usize, phase: [usize; 2], size: [usize; 2]) -> Self {
        let Geometry { stride, padding } = geometry;
        // Input row i * stride + phase meets output row i + shift through tap k.
        let shifts = |phase: usize| -> Vec<(usize, isize)> {
            let at = |tap| (phase + padding) as isize - tap as isize;
            (0..kernel)
                .filter(|&tap| at(tap) % stride as isize == 0)
                .map(|tap| (tap, at(tap) / stride as isize))
                .collect()
        };
        let (rows, columns) = (shifts(phase[0]), shifts(phase[1]));
        let all = || rows.iter().chain(&columns).map(|(_, shift)| *shift);
        let least = all().min().unwrap_or(0).min(0);
        let most = all().max().unwrap_or(0).max(0);
        let place = |shift: isize| (shift - least) as usize;
        let taps = (rows.iter())
            .flat_map(|&(ky, y)| {
                columns
                    .iter()
                    .map(move |&(kx, x)| ((ky, kx), (place(y), place(x))))
            })
            .collect();
        Self {
            size,
            taps,
            padding: place(0),
            kernel: place(most) + 1,
        }
    }

    /// Writes `[batch, channels, size]` at `out`.
    ///
    /// # Safety
    /// `out` has room for it.
    unsafe fn run(&self, gradient: &FlexTensor, weight: &FlexTensor, out: *mut f32) {
        let [outputs, channels, k, _] = dims4(weight);
        let [batch, _, height, width] = dims4(gradient);
        let count = self.taps.len();
        let from = values(weight);
        // SAFETY: every task writes the whole of its input channel.
        let turned = unsafe {
            filled(channels * outputs * count, |to| {
                let to = Shared(to);
                for_each(channels, |c| {
                    for o in 0..outputs {
                        let from = &from[(o * channels + c) * k * k..];
                        for (t, ((ky, kx), _)) in self.taps.iter().enumerate() {
                            *to.at((c * outputs + o) * count + t) = from[ky * k + kx];
                        }
                    }
                });
            })
        };
        let taps: Vec<_> = self.taps.iter().map(|(_, place)| *place).collect();
        let reach = self.size[1] + self.kernel - 1;
        let slide = Slide {
            batch,
            channels: outputs,
            input: values(gradient),
            frame: Frame {
                height,
                width,
                padding: self.padding,
                padding_right: reach.saturating_sub(width + self.padding),
                stride: 1,
            },
            kernel: self.kernel,
            taps: &taps,
            weight: &turned,
            bias: None,
            outputs: channels,
            rows: self.size[0],
            columns: self.size[1],
        };
        // SAFETY: the caller's.
        unsafe { run(&slide, out) }
    }
}

/// The gradients of the weight (whose kernel side is `kernel`) and, if wanted, of the bias.
#[cfg(feature = "autodiff")]
pub(super) fn weight_gradient(
    gradient: &FlexTensor,
    x: FlexTensor,
    kernel: usize,
    bias: bool,
    geometry: Geometry,
) -> (FlexTensor, Option<FlexTensor>) {
    let x = contiguous(x);
    let (shape, [_, outputs, rows, columns]) = (dims4(&x), dims4(gradient));
    let channels = shape[1];
    let mut weight = vec![0.0; outputs * channels * kernel * kernel];
    let mut bias = bias.then(|| vec![0.0; outputs]);
    WeightGradient {
        batch: shape[0],
        channels,
        input: values(&x),
        frame: geometry.frame(shape),
        kernel,
        gradient: values(gradient),
        outputs,
        rows,
        columns,
    }
    .run(&mut weight, bias.as_deref_mut());
    (
        tensor(weight, [outputs, channels, kernel, kernel]),
        bias.map(|bias| tensor(bias, [outputs])),
    )
}
