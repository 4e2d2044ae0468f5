//! Nearest-neighbour upsampling by two, and its gradient (the sum of the four copies).

use super::par::{Shared, for_each};

/// Planes a task takes.
const PLANES: usize = 8;

/// `planes` images of `height x width` become `2 height x 2 width`.
pub(super) fn forward(x: &[f32], width: usize, plane: usize) -> Vec<f32> {
    each_part(x.len(), 4 * x.len(), 4, plane, |from, out| {
        for (row, out) in x[from]
            .chunks_exact(width)
            .zip(out.chunks_exact_mut(4 * width))
        {
            let (first, second) = out.split_at_mut(2 * width);
            for (value, pair) in row.iter().zip(first.as_chunks_mut::<2>().0) {
                *pair = [*value; 2];
            }
            second.copy_from_slice(first);
        }
    })
}

/// The gradient of the input, whose rows are `width` wide, from that of the output.
#[cfg(feature = "autodiff")]
pub(super) fn backward(gradient: &[f32], width: usize, plane: usize) -> Vec<f32> {
    each_part(
        gradient.len() / 4,
        gradient.len() / 4,
        1,
        plane,
        |from, out| {
            let rows = gradient[4 * from.start..4 * from.end].chunks_exact(4 * width);
            for (rows, out) in rows.zip(out.chunks_exact_mut(width)) {
                let (first, second) = rows.split_at(2 * width);
                let pairs = first
                    .as_chunks::<2>()
                    .0
                    .iter()
                    .zip(second.as_chunks::<2>().0);
                for (slot, (a, b)) in out.iter_mut().zip(pairs) {
                    *slot = (a[0] + a[1]) + (b[0] + b[1]);
                }
            }
        },
    )
}

/// Splits `len` values into parts of whole planes; part `a..b` writes `growth * (a..b)`.
fn each_part(
    len: usize,
    out_len: usize,
    growth: usize,
    plane: usize,
    task: impl Fn(core::ops::Range<usize>, &mut [f32]) + Send + Sync,
) -> Vec<f32> {
    let mut out = vec![0.0f32; out_len];
    let part = PLANES * plane;
    let shared = Shared(out.as_mut_ptr());
    for_each(len.div_ceil(part.max(1)), |index| {
        let range = index * part..len.min((index + 1) * part);
        // SAFETY: the parts are disjoint and inside `out`.
        let out = unsafe {
            core::slice::from_raw_parts_mut(shared.at(growth * range.start), growth * range.len())
        };
        task(range, out);
    });
    out
}
