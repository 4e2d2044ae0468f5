//! The nearest patch for each of many, none taken too often.

use std::sync::{LockResult, Mutex, PoisonError};

use super::bank::Patches;
use crate::kernels::par;

/// How much a patch that is near to another place counts as near: the paper's alpha, per band
/// and in units of the contrast squared. Small values take every patch alike often, large ones
/// the nearest whatever it is.
const COMPLETENESS: f32 = 0.06;
/// Patches among which it is found out how near a key is to any: evenly spaced ones, if there are
/// more. It need not be known exactly.
const ASKED: usize = 4096;
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
    let apart = count.div_ceil(ASKED).max(1);
    par::for_each(tasks.div_ceil(apart), |task| {
        let mut own = vec![f32::INFINITY; keys.squares.len()];
        distances(queries, keys, task * apart, |_, first, distances| {
            for (own, distance) in own[first..].iter_mut().zip(distances) {
                *own = distance.min(*own);
            }
        });
        // The least of numbers does not depend on who comes first.
        for (least, own) in unlocked(least.lock()).iter_mut().zip(own) {
            *least = least.min(own);
        }
    });
    let least = unlocked(least.into_inner());
    let share: Vec<f32> = least.iter().map(|least| 1.0 / (alpha + least)).collect();
    let chosen = Mutex::new(vec![0usize; count]);
    par::for_each(tasks, |task| {
        let from = task * QUERIES;
        let mut best = vec![(f32::INFINITY, 0usize); QUERIES.min(count - from)];
        distances(queries, keys, task, |query, first, distances| {
            let share = &share[first..][..distances.len()];
            distances.iter_mut().zip(share).for_each(|(d, s)| *d *= s);
            let score = lowest(distances);
            if score < best[query].0 {
                let at = distances.iter().position(|other| *other == score);
                best[query] = (score, first + at.unwrap_or(0));
            }
        });
        let mut chosen = unlocked(chosen.lock());
        for (chosen, (_, key)) in chosen[from..].iter_mut().zip(best) {
            *chosen = key;
        }
    });
    unlocked(chosen.into_inner())
}

/// What a mutex guards, whether or not another task has panicked: that panic comes first.
fn unlocked<T>(guarded: LockResult<T>) -> T {
    guarded.unwrap_or_else(PoisonError::into_inner)
}

/// The lowest value, several at a time.
fn lowest(values: &[f32]) -> f32 {
    let (blocks, rest) = values.as_chunks::<LANES>();
    let mut lanes = [f32::INFINITY; LANES];
    for block in blocks {
        for (lane, value) in lanes.iter_mut().zip(block) {
            *lane = if value < lane { *value } else { *lane };
        }
    }
    lanes
        .iter()
        .chain(rest)
        .copied()
        .fold(f32::INFINITY, f32::min)
}

/// Values a patch has in each band.
const PATCH: f32 = (super::PATCH_PX * super::PATCH_PX) as f32;
/// Numbers compared at a time.
const LANES: usize = 16;

/// Calls `take(query of the task, first key, squared distances from there on)` for all queries of
/// a task and all keys, the keys of a query in order.
fn distances(
    queries: &Patches,
    keys: &Patches,
    task: usize,
    mut take: impl FnMut(usize, usize, &mut [f32]),
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
                let row = &mut products[query * squares.len()..][..squares.len()];
                for (value, other) in row.iter_mut().zip(squares) {
                    let distance = square + other - 2.0 * *value;
                    *value = if distance > 0.0 { distance } else { 0.0 };
                }
                take(query, block * KEYS, row);
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
