//! Clusters of pixels that look alike at other dates, each with a regression of its own: what one
//! line cannot follow, such as water beside fields, several can.

use super::regression::{Regression, Table};

/// Clusters at the most.
const CLUSTERS: usize = 6;
/// Fewer observations than this are no cluster.
const LEAST_PIXELS: usize = 400;
/// Observations that the centres are found with.
const MOST_PIXELS: usize = 4000;
/// Iterations of k-means: the centres hardly move after these.
const ITERATIONS: usize = 12;

/// A linear regression for each cluster of pixels.
#[derive(Debug, Clone)]
pub struct Clustered {
    /// Mean and 1 / standard deviation of every input.
    units: Vec<(f32, f32)>,
    /// Centres in these units, `[clusters, inputs]`.
    centres: Vec<f32>,
    /// One for each centre.
    each: Vec<Regression>,
    /// As [`Regression::left`], over all clusters.
    pub left: Vec<f32>,
}

impl Clustered {
    /// Clusters the observations by their inputs (k-means, Lloyd 1982) and fits each of them with
    /// [`Regression::fit`], which see; `ridge_of` says the ridge for so many observations.
    pub fn fit(
        x: &Table,
        y: &Table,
        weights: &[f32],
        ridge_of: impl Fn(usize) -> f64,
    ) -> Option<Self> {
        let whole = Regression::fit(x, y, weights, ridge_of(x.count))?;
        let units = units(x);
        let mut found = Self {
            centres: centres(x, &units),
            units,
            each: Vec::new(),
            left: vec![0.0; y.columns()],
        };
        let clusters = found.assign(x);
        let total: f32 = weights.iter().sum();
        for cluster in 0..found.centres.len() / x.columns().max(1) {
            let rows: Vec<usize> = (0..x.count).filter(|n| clusters[*n] == cluster).collect();
            let own: Vec<f32> = rows.iter().map(|n| weights[*n]).collect();
            let fit = match rows.len() < LEAST_PIXELS {
                true => None,
                false => {
                    let ridge = ridge_of(rows.len());
                    Regression::fit(&x.select(&rows), &y.select(&rows), &own, ridge)
                }
            };
            let fit = fit.unwrap_or_else(|| whole.clone());
            let share = own.iter().sum::<f32>() / total.max(f32::MIN_POSITIVE);
            for (sum, left) in found.left.iter_mut().zip(&fit.left) {
                *sum += share * left * left;
            }
            found.each.push(fit);
        }
        found.left.iter_mut().for_each(|left| *left = left.sqrt());
        Some(found)
    }

    /// The outputs of observations, `[outputs, count]`.
    pub fn predict(&self, x: &Table) -> Table {
        let clusters = self.assign(x);
        let mut values = vec![0.0; self.left.len() * x.count];
        for (cluster, regression) in self.each.iter().enumerate() {
            let rows: Vec<usize> = (0..x.count).filter(|n| clusters[*n] == cluster).collect();
            let part = regression.predict(&x.select(&rows));
            for output in 0..self.left.len() {
                for (row, value) in rows.iter().zip(part.column(output)) {
                    values[output * x.count + row] = *value;
                }
            }
        }
        Table {
            values,
            count: x.count,
        }
    }

    /// The cluster of each observation.
    fn assign(&self, x: &Table) -> Vec<usize> {
        nearest(&standard(x, &self.units), &self.centres, x.columns())
    }
}

/// Mean and 1 / standard deviation of every column; 0 for one that does not vary.
fn units(x: &Table) -> Vec<(f32, f32)> {
    let n = x.count.max(1) as f64;
    let column = |c| {
        let column = x.column(c);
        let mean = column.iter().map(|v| f64::from(*v)).sum::<f64>() / n;
        let squares = column.iter().map(|v| (f64::from(*v) - mean).powi(2));
        let deviation = (squares.sum::<f64>() / n).sqrt();
        let varies = deviation > 1e-6 * mean.abs();
        (
            mean as f32,
            if varies {
                (1.0 / deviation) as f32
            } else {
                0.0
            },
        )
    };
    (0..x.columns()).map(column).collect()
}

/// Row by row in these units, `[count, columns]`.
fn standard(x: &Table, units: &[(f32, f32)]) -> Vec<f32> {
    let mut rows = vec![0.0; x.values.len()];
    for (c, (mean, per_unit)) in units.iter().enumerate() {
        for (n, value) in x.column(c).iter().enumerate() {
            rows[n * units.len() + c] = (value - mean) * per_unit;
        }
    }
    rows
}

/// Centres of [`CLUSTERS`] clusters, or of fewer where there is too little to divide. They start
/// at even ranks of brightness, so that chance has no part in them.
fn centres(x: &Table, units: &[(f32, f32)]) -> Vec<f32> {
    let columns = x.columns();
    let step = x.count.div_ceil(MOST_PIXELS).max(1);
    let some: Vec<usize> = (0..x.count).step_by(step).collect();
    let rows = standard(&x.select(&some), units);
    let count = CLUSTERS.min(x.count / LEAST_PIXELS).max(1);
    let brightness = |n: usize| rows[n * columns..][..columns].iter().sum::<f32>();
    let mut ranked: Vec<usize> = (0..some.len()).collect();
    ranked.sort_by(|a, b| brightness(*a).total_cmp(&brightness(*b)).then(a.cmp(b)));
    let start = |k: usize| ranked[(2 * k + 1) * ranked.len() / (2 * count)];
    let mut centres: Vec<f32> = (0..count)
        .flat_map(|k| rows[start(k) * columns..][..columns].iter().copied())
        .collect();
    for _ in 0..ITERATIONS {
        let clusters = nearest(&rows, &centres, columns);
        let mut sums = vec![0.0f64; centres.len()];
        let mut counts = vec![0usize; count];
        for (row, cluster) in rows.chunks_exact(columns).zip(&clusters) {
            counts[*cluster] += 1;
            let sums = &mut sums[cluster * columns..][..columns];
            sums.iter_mut()
                .zip(row)
                .for_each(|(sum, v)| *sum += f64::from(*v));
        }
        for (k, size) in counts.iter().enumerate().filter(|(_, size)| **size > 0) {
            let sums = &sums[k * columns..][..columns];
            let centre = centres[k * columns..][..columns].iter_mut();
            centre
                .zip(sums)
                .for_each(|(c, sum)| *c = (sum / *size as f64) as f32);
        }
    }
    centres
}

/// The nearest centre of each row.
fn nearest(rows: &[f32], centres: &[f32], columns: usize) -> Vec<usize> {
    let distance = |row: &[f32], centre: &[f32]| -> f32 {
        row.iter().zip(centre).map(|(a, b)| (a - b).powi(2)).sum()
    };
    let nearest = |row: &[f32]| {
        let mut best = (f32::INFINITY, 0);
        for (k, centre) in centres.chunks_exact(columns).enumerate() {
            let d = distance(row, centre);
            if d < best.0 {
                best = (d, k);
            }
        }
        best.1
    };
    rows.chunks_exact(columns.max(1)).map(nearest).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::raster::random::gaussian_stream;

    #[test]
    fn two_kinds_of_ground_follow_two_lines() {
        let noise = gaussian_stream(&[5], 4000);
        let x: Vec<f32> = (0..4000)
            .map(|i| noise[i] + if i % 2 == 0 { 20.0 } else { -20.0 })
            .collect();
        let y: Vec<f32> = (0..4000)
            .map(|i| match i % 2 {
                0 => 3.0 * x[i],
                _ => 500.0 - 2.0 * x[i],
            })
            .collect();
        let (x, y) = (
            Table {
                values: x,
                count: 4000,
            },
            Table {
                values: y,
                count: 4000,
            },
        );
        let error = |out: Table| {
            let pairs = out.values.iter().zip(&y.values);
            pairs.map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
        };
        let weights = vec![1.0; 4000];
        let clustered = Clustered::fit(&x, &y, &weights, |_| 1e-6).unwrap();
        let one = Regression::fit(&x, &y, &weights, 1e-6).unwrap();
        assert!(error(clustered.predict(&x)) < 0.1);
        assert!(error(one.predict(&x)) > 1.0);
        assert!(clustered.left[0] < 0.1);
    }

    #[test]
    fn too_little_is_one_cluster_and_constants_do_no_harm() {
        let x = Table {
            values: vec![7.0; 30],
            count: 30,
        };
        let clustered = Clustered::fit(&x, &x, &[1.0; 30], |_| 1e-3).unwrap();
        assert_eq!(clustered.each.len(), 1);
        assert!((clustered.predict(&x).values[3] - 7.0).abs() < 1e-4);
        assert!(Clustered::fit(&x, &x, &[0.0; 30], |_| 1e-3).is_none());
    }
}
