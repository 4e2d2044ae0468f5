//! A Gaussian prior over images of 2 x 2 pixels: its denoiser, and its posterior given y, by
//! small dense matrices in f64.

use std::ops::ControlFlow;

use burn::tensor::{Device, Tensor, TensorData};

use super::super::LinearOperator;
use crate::diffusion::denoiser::{Denoiser, NoiseLevel, NoiseSource};
use crate::error::Result;
use crate::raster::random::gaussian_stream;

pub type Matrix = Vec<Vec<f64>>;

/// Pixels of an image.
pub const PIXELS: usize = 4;

pub fn product(a: &Matrix, b: &Matrix) -> Matrix {
    let cell = |row: &Vec<f64>, j: usize| row.iter().zip(b).map(|(x, other)| x * other[j]).sum();
    a.iter()
        .map(|row| (0..b[0].len()).map(|j| cell(row, j)).collect())
        .collect()
}

pub fn transposed(a: &Matrix) -> Matrix {
    (0..a[0].len())
        .map(|j| a.iter().map(|row| row[j]).collect())
        .collect()
}

/// `a + factor b`.
pub fn plus(a: &Matrix, factor: f64, b: &Matrix) -> Matrix {
    let rows = a.iter().zip(b);
    rows.map(|(a, b)| a.iter().zip(b).map(|(x, y)| x + factor * y).collect())
        .collect()
}

pub fn identity(n: usize) -> Matrix {
    (0..n)
        .map(|i| (0..n).map(|j| f64::from(u8::from(i == j))).collect())
        .collect()
}

/// Gauss and Jordan, for a positive definite matrix.
pub fn inverse(a: &Matrix) -> Matrix {
    let n = a.len();
    let (mut a, mut out) = (a.clone(), identity(n));
    for k in 0..n {
        let pivot = a[k][k];
        for j in 0..n {
            a[k][j] /= pivot;
            out[k][j] /= pivot;
        }
        for i in (0..n).filter(|i| *i != k) {
            let factor = a[i][k];
            for j in 0..n {
                a[i][j] -= factor * a[k][j];
                out[i][j] -= factor * out[k][j];
            }
        }
    }
    out
}

/// `N(mean, covariance)` over the pixels.
pub struct Gaussian {
    pub mean: Vec<f64>,
    pub covariance: Matrix,
}

impl Gaussian {
    /// Neighbours correlate by `rho`, each pixel has unit variance.
    pub fn new(rho: f64) -> Self {
        let distance = |i: usize, j: usize| (i / 2).abs_diff(j / 2) + (i % 2).abs_diff(j % 2);
        Gaussian {
            mean: vec![0.5, -0.2, 0.1, 0.3],
            covariance: (0..PIXELS)
                .map(|i| {
                    (0..PIXELS)
                        .map(|j| rho.powi(distance(i, j) as i32))
                        .collect()
                })
                .collect(),
        }
    }

    /// `p(x0 | y = A x0 + std n)` (with std 0 the limit, up to rounding).
    pub fn posterior(&self, a: &Matrix, y: &[f64], std: f64) -> Gaussian {
        let cross = product(&self.covariance, &transposed(a));
        let noise = identity(a.len());
        let scatter = plus(&product(a, &cross), std * std + 1e-12, &noise);
        let gain = product(&cross, &inverse(&scatter));
        let seen = product(a, &column(&self.mean));
        let off: Vec<f64> = y.iter().zip(&seen).map(|(y, s)| y - s[0]).collect();
        let shift = product(&gain, &column(&off));
        Gaussian {
            mean: self
                .mean
                .iter()
                .zip(&shift)
                .map(|(m, s)| m + s[0])
                .collect(),
            covariance: plus(&self.covariance, -1.0, &product(&gain, &transposed(&cross))),
        }
    }

    /// Standard deviation of every pixel.
    pub fn std(&self) -> Vec<f64> {
        (0..PIXELS)
            .map(|i| self.covariance[i][i].max(0.0).sqrt())
            .collect()
    }
}

fn column(values: &[f64]) -> Matrix {
    values.iter().map(|v| vec![*v]).collect()
}

/// A matrix for row vectors of pixels, `[PIXELS, n]`.
pub fn tensor(matrix: &Matrix) -> Tensor<2> {
    let values: Vec<f32> = matrix.iter().flatten().map(|v| *v as f32).collect();
    let shape = [matrix.len(), matrix[0].len()];
    Tensor::from_data(TensorData::new(values, shape), &Device::flex())
}

impl Denoiser for Gaussian {
    fn denoise(&self, x: Tensor<4>, level: NoiseLevel) -> Tensor<4> {
        let NoiseLevel { alpha, sigma, .. } = level;
        // E[x0 | x] = mean + alpha C (alpha² C + sigma²)⁻¹ (x - alpha mean), the matrix symmetric.
        let noise = plus(&identity(PIXELS), sigma * sigma - 1.0, &identity(PIXELS));
        let scatter = plus(&noise, alpha * alpha, &self.covariance);
        let gain = product(&self.covariance, &inverse(&scatter));
        let gain = plus(&gain, alpha - 1.0, &gain);
        let mean = tensor(&vec![self.mean.clone()]);
        let [batch, ..] = x.dims();
        let off = x.reshape([batch, PIXELS]) - mean.clone() * alpha;
        (off.matmul(tensor(&gain)) + mean).reshape([batch, 1, 2, 2])
    }
}

/// The matrix of an operator, by what it makes of unit images.
pub fn matrix(operator: &dyn LinearOperator) -> Matrix {
    let images = tensor(&identity(PIXELS)).reshape([PIXELS, 1, 2, 2]);
    transposed(&rows(operator.forward(images)))
}

/// One row of values for each image of a batch.
pub fn rows(x: Tensor<4>) -> Matrix {
    let [batch, ..] = x.dims();
    let values: Vec<f64> = x.into_data().iter::<f64>().collect();
    let each = values.len() / batch;
    values.chunks_exact(each).map(<[f64]>::to_vec).collect()
}

/// Independent noise for `batch` images.
pub struct Stream(pub usize);

impl NoiseSource for Stream {
    fn draw(&mut self, draw: usize, device: &Device) -> Tensor<4> {
        let values = gaussian_stream(&[11, draw as u64], self.0 * PIXELS);
        Tensor::from_data(TensorData::new(values, [self.0, 1, 2, 2]), device)
    }
}

/// Mean and standard deviation of every pixel over a batch.
pub fn moments(x: Result<Tensor<4>>) -> (Vec<f64>, Vec<f64>) {
    let all = transposed(&rows(x.expect("not interrupted")));
    let mean = |v: &Vec<f64>| v.iter().sum::<f64>() / v.len() as f64;
    let std = |v: &Vec<f64>| {
        let m = mean(v);
        (v.iter().map(|x| (x - m).powi(2)).sum::<f64>() / v.len() as f64).sqrt()
    };
    (
        all.iter().map(mean).collect(),
        all.iter().map(std).collect(),
    )
}

pub fn go_on(_: usize, _: &Tensor<4>, _: &Tensor<4>) -> ControlFlow<()> {
    ControlFlow::Continue(())
}
