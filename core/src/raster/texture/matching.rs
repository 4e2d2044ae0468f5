//! The nearest patch for each of many, none taken too often.

use std::sync::Mutex;

use super::bank::Patches;
use crate::kernels::par;

/// How much a patch that is near to another place counts as near: the paper's alpha, per band
/// and in units of the contrast squared. Small values take every patch alike often, large ones
/// the nearest whatever it is.
const COMPLETENESS: f32 = 0.06;
/// Patches that one task looks up, and that it compares them with at once.
const QUERIES: usize = 128;
const KEYS: usize = 1024;

/// For each query the key with the least `distance / (alpha + least distance of that key to any
/// query)`; distances are squared, means over the bands.
pub fn nearest(queries: &Patches, keys: &Patches) -> Vec<usize> {
    let count = queries.squares.len();
    let alpha = COMPLETENESS * (queries.dims as f32 / PATCH);
    let tasks = count.div_ceil(QUERIES);
    let least = Mutex::new(vec![f32::INFINITY; keys.squares.len()]);
    par::for_each(tasks, |task| {
        let mut own = vec![f32::INFINITY; keys.squares.len()];
        distances(queries, keys, task, |_, key, distance| {
            own[key] = own[key].min(distance);
        });
        // The least of numbers does not depend on who comes first.
        let mut least = least
            .lock()
            .unwrap_or_else(|poisoned| poisoned.into_inner());
        for (least, own) in least.iter_mut().zip(own) {
            *least = least.min(own);
        }
    });
    let least = least
        .into_inner()
        .unwrap_or_else(|poisoned| poisoned.into_inner());
    let share: Vec<f32> = least.iter().map(|least| 1.0 / (alpha + least)).collect();
    let chosen = Mutex::new(vec![0usize; count]);
    par::for_each(tasks, |task| {
        let first = task * QUERIES;
        let mut best = vec![(f32::INFINITY, 0usize); QUERIES.min(count - first)];
        distances(queries, keys, task, |query, key, distance| {
            let score = distance * share[key];
            if score < best[query].0 {
                best[query] = (score, key);
            }
        });
        let mut chosen = chosen
            .lock()
            .unwrap_or_else(|poisoned| poisoned.into_inner());
        for (chosen, (_, key)) in chosen[first..].iter_mut().zip(best) {
            *chosen = key;
        }
    });
    chosen
        .into_inner()
        .unwrap_or_else(|poisoned| poisoned.into_inner())
}

/// Values a patch has in each band.
const PATCH: f32 = (super::PATCH_PX * super::PATCH_PX) as f32;

/// Calls `take(query of the task, key, squared distance)` for all pairs of a task, the keys of a
/// query in order.
fn distances(
    queries: &Patches,
    keys: &Patches,
    task: usize,
    mut take: impl FnMut(usize, usize, f32),
) {
    let dims = queries.dims;
    let first = task * QUERIES;
    let own = &queries.squares[first..queries.squares.len().min(first + QUERIES)];
    let values = &queries.values[first * dims..][..own.len() * dims];
    par::with_scratch(QUERIES * KEYS, |products| {
        for (block, squares) in keys.squares.chunks(KEYS).enumerate() {
            let others = &keys.values[block * KEYS * dims..][..squares.len() * dims];
            multiply(values, others, dims, products);
            for (query, square) in own.iter().enumerate() {
                let products = &products[query * squares.len()..][..squares.len()];
                for (key, (other, product)) in squares.iter().zip(products).enumerate() {
                    let distance = (square + other - 2.0 * product).max(0.0);
                    take(query, block * KEYS + key, distance);
                }
            }
        }
    });
}

/// `products[i, j] = a[i] . b[j]` of vectors of `dims` values, `[rows of a, rows of b]`.
fn multiply(a: &[f32], b: &[f32], dims: usize, products: &mut [f32]) {
    let (m, n) = (a.len() / dims, b.len() / dims);
    assert!(a.len() == m * dims && b.len() == n * dims && products.len() >= m * n);
    let (stride, across) = (dims as isize, n as isize);
    // SAFETY: `a` is m x dims, `b` is n x dims read as its transpose, `products` has room for
    // m x n, all row by row, as asserted above; it is written and not read.
    unsafe {
        gemm::gemm(
            m,
            n,
            dims,
            products.as_mut_ptr(),
            1,
            across,
            false,
            a.as_ptr(),
            1,
            stride,
            b.as_ptr(),
            stride,
            1,
            0.0,
            1.0,
            false,
            false,
            false,
            gemm::Parallelism::None,
        );
    }
}
