//! Symmetric positive systems of equations, small enough to be solved directly.

/// Solves `(a + lift I) x = b` for each row of `b`, in place: `a` `[n, n]` symmetric, `b`
/// `[systems, n]`. A pivot is never below `lift`, so that equal unknowns stay solvable.
pub(super) fn solve(a: &[f64], lift: f64, n: usize, b: &mut [f64]) {
    // The lower triangle of the factor.
    let mut lower = vec![0.0; n * n];
    for i in 0..n {
        for j in 0..=i {
            let dot: f64 = (0..j).map(|k| lower[i * n + k] * lower[j * n + k]).sum();
            let value = a[i * n + j] - dot;
            lower[i * n + j] = if i == j {
                (value + lift).max(lift).sqrt()
            } else {
                value / lower[j * n + j]
            };
        }
    }
    for x in b.chunks_exact_mut(n) {
        for i in 0..n {
            let dot: f64 = (0..i).map(|k| lower[i * n + k] * x[k]).sum();
            x[i] = (x[i] - dot) / lower[i * n + i];
        }
        for i in (0..n).rev() {
            let dot: f64 = (i + 1..n).map(|k| lower[k * n + i] * x[k]).sum();
            x[i] = (x[i] - dot) / lower[i * n + i];
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn the_solution_solves(
            values in prop::collection::vec(-2f64..2.0, 36), b in prop::collection::vec(-5f64..5.0, 12),
        ) {
            // V V' is symmetric and, with a lift, positive.
            let at = |i: usize, j: usize| -> f64 { (0..6).map(|k| values[i * 6 + k] * values[j * 6 + k]).sum() };
            let a: Vec<f64> = (0..36).map(|k| at(k / 6, k % 6)).collect();
            let mut x = b.clone();
            solve(&a, 0.1, 6, &mut x);
            for (x, b) in x.chunks(6).zip(b.chunks(6)) {
                for i in 0..6 {
                    let left: f64 = (0..6).map(|j| a[i * 6 + j] * x[j]).sum::<f64>() + 0.1 * x[i];
                    prop_assert!((left - b[i]).abs() < 1e-6, "{left} {}", b[i]);
                }
            }
        }
    }
}
