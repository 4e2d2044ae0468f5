//! UniPC (Zhao et al. 2023): a predictor of any order, and a corrector that raises the order by
//! one with the network call the next step needs anyway.

use burn::tensor::Tensor;

use super::walk::Walk;
use crate::diffusion::denoiser::NoiseLevel;
use crate::diffusion::posterior::half_log_snr;
use crate::error::Result;

/// UniPC with `B(h) = h`.
pub fn unipc_bh1(walk: &mut Walk, x: Tensor<4>) -> Result<Tensor<4>> {
    unipc(walk, x, |h| h)
}

/// UniPC with `B(h) = e^h - 1`, the better one with few steps.
pub fn unipc_bh2(walk: &mut Walk, x: Tensor<4>) -> Result<Tensor<4>> {
    unipc(walk, x, f64::exp_m1)
}

/// A level that was visited, and the estimate there.
type Visited = (NoiseLevel, Tensor<4>);

fn unipc(walk: &mut Walk, mut x: Tensor<4>, scale: fn(f64) -> f64) -> Result<Tensor<4>> {
    let (steps, order) = (walk.step_count(), walk.options.unipc_order);
    let mut visited: Vec<Visited> = Vec::new(); // the newest first
    // Where the last step began, and the order it had.
    let mut last: Option<(Tensor<4>, usize)> = None;
    for (step, (now, next)) in walk.steps() {
        let denoised = walk.denoise(&x, now);
        if let Some((start, order)) = last.take() {
            x = unified(&start, &visited[..order], now, Some(&denoised), scale);
        }
        visited.insert(0, (now, denoised.clone()));
        visited.truncate(order);
        // The last steps are of lower order, and the very last one of first.
        let order = order.min(steps - step).min(visited.len());
        let predicted = unified(&x, &visited[..order], next, None, scale);
        last = Some((x, order));
        x = predicted;
        walk.done(step, &x, &denoised)?;
    }
    Ok(x)
}

/// One step from the newest of `visited` to `next`: the predictor UniP (eq. 8), or the corrector
/// UniC (eq. 3) where the estimate at `next` is given; for the x0 estimate (appendix A.2).
fn unified(
    x: &Tensor<4>,
    visited: &[Visited],
    next: NoiseLevel,
    arrived: Option<&Tensor<4>>,
    scale: fn(f64) -> f64,
) -> Tensor<4> {
    let (now, newest) = &visited[0];
    let start = half_log_snr(*now);
    let h = start - half_log_snr(next); // negative, as in the formulas for the x0 estimate
    let b = scale(h);
    let mut ratios = Vec::new();
    let mut slopes = Vec::new();
    for (level, estimate) in &visited[1..] {
        let ratio = (half_log_snr(*level) - start) / -h;
        slopes.push((estimate.clone() - newest.clone()) / ratio);
        ratios.push(ratio);
    }
    if let Some(arrived) = arrived {
        ratios.push(1.0);
        slopes.push(arrived.clone() - newest.clone());
    }
    let linear = x.clone() * (next.sigma / now.sigma) - newest.clone() * (next.alpha * h.exp_m1());
    let weights = weights(&ratios, h, b);
    slopes
        .into_iter()
        .zip(weights)
        .fold(linear, |sum, (slope, weight)| {
            sum - slope * (next.alpha * b * weight)
        })
}

/// The weights of the slopes: they make the step exact for polynomials (Zhao et al. 2023,
/// eq. 5). Predictor and corrector with one slope take 1/2, which is of the same order.
fn weights(ratios: &[f64], h: f64, b: f64) -> Vec<f64> {
    let n = ratios.len();
    if n == 1 {
        return vec![0.5];
    }
    let mut phi = h.exp_m1() / h - 1.0;
    let mut factorial = 1.0;
    let mut rows = Vec::with_capacity(n);
    for power in 0..n {
        let mut row: Vec<f64> = ratios.iter().map(|r| r.powi(power as i32)).collect();
        row.push(phi * factorial / b);
        rows.push(row);
        factorial *= power as f64 + 2.0;
        phi = phi / h - factorial.recip();
    }
    solve(rows)
}

/// Gaussian elimination with pivoting; each row ends with its right-hand side.
fn solve(mut rows: Vec<Vec<f64>>) -> Vec<f64> {
    let n = rows.len();
    for column in 0..n {
        let size = |row: &usize| rows[*row][column].abs();
        let pivot = (column..n).max_by(|a, b| size(a).total_cmp(&size(b)));
        rows.swap(column, pivot.unwrap_or(column));
        let (above, below) = rows.split_at_mut(column + 1);
        let pivot = &above[column];
        for row in below {
            let factor = row[column] / pivot[column];
            for (value, p) in row.iter_mut().zip(pivot).skip(column) {
                *value -= factor * p;
            }
        }
    }
    let mut solution = vec![0.0; n];
    for row in (0..n).rev() {
        let known: f64 = (row + 1..n).map(|k| rows[row][k] * solution[k]).sum();
        solution[row] = (rows[row][n] - known) / rows[row][row];
    }
    solution
}

#[cfg(test)]
mod tests {
    use super::solve;

    #[test]
    fn solves_with_a_zero_on_the_diagonal() {
        let rows = vec![
            vec![0.0, 2.0, 1.0, 7.0],
            vec![1.0, 1.0, 1.0, 6.0],
            vec![2.0, 0.0, -1.0, -1.0],
        ];
        let expected = [1.0, 2.0, 3.0];
        for (got, expected) in solve(rows).iter().zip(expected) {
            assert!((got - expected).abs() < 1e-12, "{got} {expected}");
        }
    }
}
