//! Many outputs from many inputs: weighted ridge regression, with observations that do not fit
//! weighed down.

use super::super::cholesky;

/// An observation this many standard deviations off is weighed down (Huber 1964).
const HUBER: f32 = 1.0;

/// Observations, stored input after input: `values[i * count + n]` is input `i` of observation `n`.
#[derive(Debug, Clone, Default)]
pub struct Table {
    /// `[columns, count]`.
    pub values: Vec<f32>,
    /// Observations.
    pub count: usize,
}

impl Table {
    /// Number of columns.
    pub fn columns(&self) -> usize {
        self.values.len() / self.count.max(1)
    }

    /// One column.
    pub fn column(&self, column: usize) -> &[f32] {
        &self.values[column * self.count..][..self.count]
    }

    /// Some of the observations.
    pub fn select(&self, rows: &[usize]) -> Table {
        let column = |c| {
            let column = self.column(c);
            rows.iter().map(move |row| column[*row])
        };
        Table {
            values: (0..self.columns()).flat_map(column).collect(),
            count: rows.len(),
        }
    }

    /// The columns of another table after its own; both have the same observations.
    pub fn append(&mut self, other: &Table) {
        self.values.extend_from_slice(&other.values);
        self.count = other.count;
    }
}

/// Coefficients from inputs to outputs.
#[derive(Debug, Clone, PartialEq)]
pub struct Regression {
    /// `[outputs, inputs]`.
    beta: Vec<f32>,
    /// `[outputs]`.
    offset: Vec<f32>,
    /// Weighted standard deviation of what is left, `[outputs]`, units of the output.
    pub left: Vec<f32>,
    /// Variance left over the variance there was, mean over the outputs.
    pub unexplained: f32,
}

impl Regression {
    /// Ridge regression (Hoerl & Kennard 1970) of `y` on `x` in units of their own standard
    /// deviations, `ridge` relative to the variance of an input; once more with the observations
    /// that it misses weighed down, by all outputs together. None without observations or with
    /// outputs that do not vary.
    pub fn fit(x: &Table, y: &Table, weights: &[f32], ridge: f64) -> Option<Self> {
        let first = Self::weighted(x, y, weights, ridge)?;
        let misses = first.misses(x, y);
        let robust = weights.iter().zip(misses);
        let robust: Vec<f32> = robust
            .map(|(w, miss)| w * HUBER / miss.max(HUBER))
            .collect();
        Self::weighted(x, y, &robust, ridge)
    }

    fn weighted(x: &Table, y: &Table, weights: &[f32], ridge: f64) -> Option<Self> {
        let (inputs, outputs) = (x.columns(), y.columns());
        let total: f64 = weights.iter().map(|w| f64::from(*w)).sum();
        if total <= 0.0 || inputs == 0 {
            return None;
        }
        let roots: Vec<f32> = weights.iter().map(|w| w.sqrt()).collect();
        let x = Standard::new(x, weights, &roots, total);
        let y = Standard::new(y, weights, &roots, total);
        let correlations = products(&x.table, &x.table, total);
        let mut beta = products(&y.table, &x.table, total);
        let targets = beta.clone();
        cholesky::solve(&correlations, ridge + 1e-9, inputs, &mut beta);
        // Of standardised outputs: 1 - 2 b'g + b'Gb.
        let mut left = Vec::with_capacity(outputs);
        let mut shares = 0.0;
        for (b, g) in beta.chunks_exact(inputs).zip(targets.chunks_exact(inputs)) {
            let mut share = 1.0;
            for i in 0..inputs {
                let row = &correlations[i * inputs..][..inputs];
                let sum: f64 = row.iter().zip(b).map(|(r, b)| r * b).sum();
                share += b[i] * (sum - 2.0 * g[i]);
            }
            let share = share.clamp(1e-6, 1.0);
            shares += share;
            left.push((share.sqrt() * y.deviation[left.len()]) as f32);
        }
        let mut offset = Vec::with_capacity(outputs);
        for (o, b) in beta.chunks_exact_mut(inputs).enumerate() {
            let mut sum = y.mean[o];
            for (b, (scale, mean)) in b.iter_mut().zip(x.scale.iter().zip(&x.mean)) {
                *b *= y.scale[o] / scale;
                sum -= *b * mean;
            }
            offset.push(sum as f32);
        }
        Some(Self {
            beta: beta.iter().map(|b| *b as f32).collect(),
            offset,
            left,
            unexplained: (shares / outputs.max(1) as f64) as f32,
        })
    }

    /// The outputs of observations, `[outputs, count]`.
    pub fn predict(&self, x: &Table) -> Table {
        let (inputs, outputs) = (x.columns(), self.offset.len());
        let mut values = vec![0.0; outputs * x.count];
        for (column, offset) in values.chunks_exact_mut(x.count.max(1)).zip(&self.offset) {
            column.fill(*offset);
        }
        multiply(
            &self.beta,
            (inputs, 1),
            &x.values,
            (x.count, 1),
            &mut values,
            (outputs, inputs, x.count),
        );
        Table {
            values,
            count: x.count,
        }
    }

    /// By how many standard deviations each observation is missed, over all outputs.
    fn misses(&self, x: &Table, y: &Table) -> Vec<f32> {
        let predicted = self.predict(x);
        let mut sums = vec![0.0f32; x.count];
        let varying = self
            .left
            .iter()
            .enumerate()
            .filter(|(_, left)| **left > 0.0);
        for (o, left) in varying {
            let pairs = predicted.column(o).iter().zip(y.column(o));
            for (sum, (p, y)) in sums.iter_mut().zip(pairs) {
                *sum += ((p - y) / left).powi(2);
            }
        }
        let share = 1.0 / self.left.len().max(1) as f32;
        sums.iter().map(|sum| (sum * share).sqrt()).collect()
    }
}

/// A table in units of its own standard deviations, times the roots of the weights.
struct Standard {
    table: Table,
    mean: Vec<f64>,
    /// Its standard deviation, but 1 where it does not vary: then it is all 0 whatever it is
    /// divided by.
    scale: Vec<f64>,
    /// Its standard deviation.
    deviation: Vec<f64>,
}

impl Standard {
    fn new(table: &Table, weights: &[f32], roots: &[f32], total: f64) -> Self {
        let (mut mean, mut scale, mut deviation) = (Vec::new(), Vec::new(), Vec::new());
        let mut values = Vec::with_capacity(table.values.len());
        for column in table.values.chunks_exact(table.count.max(1)) {
            let weighted = |of: &dyn Fn(f64) -> f64| -> f64 {
                let pairs = column.iter().zip(weights);
                pairs.map(|(v, w)| of(f64::from(*v)) * f64::from(*w)).sum()
            };
            let m = weighted(&|v| v) / total;
            let s = (weighted(&|v| (v - m).powi(2)) / total).sqrt();
            // What rounding leaves of a constant is not a signal.
            let varies = s > 1e-6 * m.abs();
            let per_unit = if varies { 1.0 / s } else { 0.0 };
            let scaled = column.iter().zip(roots);
            values.extend(scaled.map(|(v, r)| ((f64::from(*v) - m) * per_unit) as f32 * r));
            mean.push(m);
            scale.push(if varies { s } else { 1.0 });
            deviation.push(if varies { s } else { 0.0 });
        }
        Self {
            table: Table {
                values,
                count: table.count,
            },
            mean,
            scale,
            deviation,
        }
    }
}

/// Observations that are summed in single precision before they go into a double.
const BLOCK: usize = 2048;

/// Sums over the observations of every column of `a` times every column of `b`, divided by
/// `total`: `[columns of a, columns of b]`.
fn products(a: &Table, b: &Table, total: f64) -> Vec<f64> {
    let (m, n) = (a.columns(), b.columns());
    let mut sums = vec![0.0f64; m * n];
    let mut part = vec![0.0f32; m * n];
    for start in (0..a.count).step_by(BLOCK) {
        let k = BLOCK.min(a.count - start);
        part.fill(0.0);
        multiply(
            &a.values[start..],
            (a.count, 1),
            &b.values[start..],
            (1, b.count),
            &mut part,
            (m, k, n),
        );
        let terms = sums.iter_mut().zip(&part);
        terms.for_each(|(sum, part)| *sum += f64::from(*part) / total);
    }
    sums
}

/// Adds the product of `a` (m by k) and `b` (k by n) to `out` (m by n, row by row); strides are
/// (of a row, of a column).
fn multiply(
    a: &[f32],
    a_strides: (usize, usize),
    b: &[f32],
    b_strides: (usize, usize),
    out: &mut [f32],
    (m, k, n): (usize, usize, usize),
) {
    if m * k * n == 0 {
        return;
    }
    let last =
        |(row, col): (usize, usize), rows: usize, cols: usize| (rows - 1) * row + (cols - 1) * col;
    assert!(
        out.len() >= m * n && a.len() > last(a_strides, m, k) && b.len() > last(b_strides, k, n)
    );
    // SAFETY: the assertion holds every element that is read or written inside its slice.
    unsafe {
        gemm::gemm(
            m,
            n,
            k,
            out.as_mut_ptr(),
            1,
            n as isize,
            true,
            a.as_ptr(),
            a_strides.1 as isize,
            a_strides.0 as isize,
            b.as_ptr(),
            b_strides.1 as isize,
            b_strides.0 as isize,
            1.0,
            1.0,
            false,
            false,
            false,
            gemm::Parallelism::None,
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::raster::random::gaussian_stream;

    fn table(columns: &[Vec<f32>]) -> Table {
        Table {
            values: columns.concat(),
            count: columns[0].len(),
        }
    }

    #[test]
    fn a_linear_relation_is_found() {
        let x: Vec<Vec<f32>> = (0..3).map(|k| gaussian_stream(&[1, k], 5000)).collect();
        let y = |a: f32, b: f32| {
            (0..5000)
                .map(|i| 1000.0 + a * x[0][i] + b * x[2][i])
                .collect()
        };
        let (x, y) = (table(&x), table(&[y(30.0, -2.0), y(0.0, 7.0)]));
        let fit = Regression::fit(&x, &y, &vec![1.0; 5000], 0.0).unwrap();
        let out = fit.predict(&x);
        let worst = out.values.iter().zip(&y.values).map(|(a, b)| (a - b).abs());
        assert!(worst.fold(0.0, f32::max) < 0.05);
        assert!(fit.unexplained < 1e-4, "{}", fit.unexplained);
    }

    #[test]
    fn what_does_not_fit_has_little_say() {
        let x = gaussian_stream(&[7], 2000);
        let mut y: Vec<f32> = x.iter().map(|x| 3.0 * x).collect();
        // One in ten is cloud.
        y.iter_mut().step_by(10).for_each(|y| *y += 40.0);
        let (x, y) = (table(&[x]), table(&[y]));
        let error = |fit: Regression| {
            let out = fit.predict(&x);
            (0..2000)
                .map(|i| (out.values[i] - 3.0 * x.values[i]).abs())
                .sum::<f32>()
                / 2000.0
        };
        let weights = vec![1.0; 2000];
        let plain = error(Regression::weighted(&x, &y, &weights, 0.0).unwrap());
        let robust = error(Regression::fit(&x, &y, &weights, 0.0).unwrap());
        assert!(robust < 0.6 * plain, "{robust} {plain}");
    }

    #[test]
    fn constants_and_nothing_do_no_harm() {
        let flat = table(&[vec![5.0; 10], vec![2.0; 10]]);
        let fit = Regression::fit(&flat, &flat, &[1.0; 10], 0.01).unwrap();
        let out = fit.predict(&flat);
        assert!((0..10).all(|i| (out.column(0)[i] - 5.0).abs() < 1e-5));
        assert!(Regression::fit(&flat, &flat, &[0.0; 10], 0.01).is_none());
        assert!(Regression::fit(&Table::default(), &Table::default(), &[], 0.01).is_none());
    }
}
