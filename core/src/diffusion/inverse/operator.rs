//! Linear measurements of an image: what is visible, means of blocks, a blur, or anything that is
//! given as a function and its adjoint.

use std::f64::consts::PI;

use burn::tensor::{Device, Tensor, TensorData};

use super::total;

/// Singular values below this count as zero where a method divides by them: what a blur leaves of
/// the finest detail is lost in rounding (Kawar et al. 2022, appendix, cut their blurs off at it).
const NEGLIGIBLE: f64 = 3e-2;

/// Iterations of the conjugate gradients behind [`LinearOperator::solve`].
const ITERATIONS: usize = 32;

/// A linear map A of images, each of the batch for itself.
///
/// # Shapes
/// - x: `[batch, bands, height, width]`
/// - y: whatever A makes of it, four-dimensional, the batch first
pub trait LinearOperator {
    /// `A x`.
    fn forward(&self, x: Tensor<4>) -> Tensor<4>;

    /// `Aᵀ y`.
    fn adjoint(&self, y: Tensor<4>) -> Tensor<4>;

    /// `(a A Aᵀ + b)⁻¹ y` for y in the range of A, `a` above 0, `b` not below.
    ///
    /// Unless an operator knows better, by conjugate gradients on the device, without reading
    /// anything back; exact where A Aᵀ has at most as many distinct eigenvalues as iterations.
    fn solve(&self, y: Tensor<4>, a: f64, b: f64) -> Tensor<4> {
        let apply = |y: Tensor<4>| self.forward(self.adjoint(y.clone())) * a + y * b;
        conjugate_gradients(&apply, y)
    }

    /// `A⁺ y`, the smallest x that A maps to y.
    fn pseudo_inverse(&self, y: Tensor<4>) -> Tensor<4> {
        self.adjoint(self.solve(y, 1.0, 0.0))
    }
}

/// A map whose singular value decomposition `A = U S Vᵀ` is at hand.
pub trait Decomposed: LinearOperator {
    /// S in the layout of [`to_spectrum`](Self::to_spectrum), each dimension as long or 1; 0 for
    /// what A loses.
    fn singular_values(&self) -> Tensor<4>;

    /// `Vᵀ x`, shaped like x.
    fn to_spectrum(&self, x: Tensor<4>) -> Tensor<4>;

    /// `V x`, shaped like x.
    fn to_image(&self, x: Tensor<4>) -> Tensor<4>;

    /// `Uᵀ y` in the layout of the singular values, 0 where they are.
    fn measured(&self, y: Tensor<4>) -> Tensor<4>;
}

/// Inpainting: hidden pixels are measured as 0.
pub struct Visible {
    /// 1 = visible, 0 = hidden, `[batch, 1, height, width]`.
    pub visible: Tensor<4>,
}

impl LinearOperator for Visible {
    fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        x * self.visible.clone()
    }

    fn adjoint(&self, y: Tensor<4>) -> Tensor<4> {
        y * self.visible.clone()
    }

    fn solve(&self, y: Tensor<4>, a: f64, b: f64) -> Tensor<4> {
        y / (a + b)
    }
}

impl Decomposed for Visible {
    fn singular_values(&self) -> Tensor<4> {
        self.visible.clone()
    }

    fn to_spectrum(&self, x: Tensor<4>) -> Tensor<4> {
        x
    }

    fn to_image(&self, x: Tensor<4>) -> Tensor<4> {
        x
    }

    fn measured(&self, y: Tensor<4>) -> Tensor<4> {
        y * self.visible.clone()
    }
}

/// Super-resolution: the mean of every block of pixels,
/// `[batch, bands, height, width] -> [batch, bands, height / factor, width / factor]`.
pub struct BlockMean {
    factor: usize,
    /// A reflection that exchanges the first unit vector and the constant one, `[f², f²]`: an
    /// orthonormal basis of a block whose first member is its mean.
    basis: Tensor<2>,
    /// 1 at the first pixel of every block, `[1, 1, height, width]`.
    first: Tensor<4>,
}

impl BlockMean {
    /// For images of this height and width, multiples of `factor`, which is at least 1.
    pub fn new(factor: usize, (height, width): (usize, usize), device: &Device) -> Self {
        let n = factor * factor;
        let constant = 1.0 / factor as f64;
        // Householder: I - 2 v vᵀ / (vᵀ v) with v = e1 - u.
        let v = |i: usize| if i == 0 { 1.0 - constant } else { -constant };
        let norm: f64 = (0..n).map(|i| v(i) * v(i)).sum();
        let entry = |i: usize, j: usize| {
            let one = if i == j { 1.0 } else { 0.0 };
            match norm > 0.0 {
                true => one - 2.0 * v(i) * v(j) / norm,
                false => one,
            }
        };
        let basis: Vec<f32> = (0..n * n).map(|k| entry(k / n, k % n) as f32).collect();
        let first: Vec<f32> = (0..height * width)
            .map(|k| {
                let corner =
                    (k / width).is_multiple_of(factor) && (k % width).is_multiple_of(factor);
                f32::from(u8::from(corner))
            })
            .collect();
        BlockMean {
            factor,
            basis: Tensor::from_data(TensorData::new(basis, [n, n]), device),
            first: Tensor::from_data(TensorData::new(first, [1, 1, height, width]), device),
        }
    }

    /// The pixels of each block by `basis`; its own inverse.
    fn rotate(&self, x: Tensor<4>) -> Tensor<4> {
        let [b, c, h, w] = x.dims();
        let f = self.factor;
        let (rows, cols) = (h / f, w / f);
        let blocks = x
            .reshape([b, c, rows, f, cols, f])
            .permute([0, 1, 2, 4, 3, 5])
            .reshape([b * c * rows * cols, f * f]);
        blocks
            .matmul(self.basis.clone())
            .reshape([b, c, rows, cols, f, f])
            .permute([0, 1, 2, 4, 3, 5])
            .reshape([b, c, h, w])
    }

    /// Every value repeated over its block.
    fn spread(&self, y: Tensor<4>) -> Tensor<4> {
        let [b, c, rows, cols] = y.dims();
        let f = self.factor;
        y.reshape([b, c, rows, 1, cols, 1])
            .expand([b, c, rows, f, cols, f])
            .reshape([b, c, rows * f, cols * f])
    }
}

impl LinearOperator for BlockMean {
    fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        let [b, c, h, w] = x.dims();
        let f = self.factor;
        x.reshape([b, c, h / f, f, w / f, f])
            .mean_dim(3)
            .mean_dim(5)
            .reshape([b, c, h / f, w / f])
    }

    fn adjoint(&self, y: Tensor<4>) -> Tensor<4> {
        self.spread(y) / (self.factor * self.factor) as f64
    }

    fn solve(&self, y: Tensor<4>, a: f64, b: f64) -> Tensor<4> {
        y / (a / (self.factor * self.factor) as f64 + b)
    }
}

impl Decomposed for BlockMean {
    fn singular_values(&self) -> Tensor<4> {
        self.first.clone() / self.factor as f64
    }

    fn to_spectrum(&self, x: Tensor<4>) -> Tensor<4> {
        self.rotate(x)
    }

    fn to_image(&self, x: Tensor<4>) -> Tensor<4> {
        self.rotate(x)
    }

    fn measured(&self, y: Tensor<4>) -> Tensor<4> {
        self.spread(y) * self.first.clone()
    }
}

/// Deblurring: a Gaussian blur with mirrored edges, diagonal in the cosine transform:
/// `exp(-std² w² / 2)` at `w = pi k / length`, along rows and columns.
pub struct Blur {
    /// The orthonormal cosine transform (DCT-II) of columns, `[height, height]`.
    rows: Tensor<4>,
    /// The same of rows.
    cols: Tensor<4>,
    /// What the blur leaves of each frequency, `[1, 1, height, width]`.
    kept: Tensor<4>,
}

impl Blur {
    /// A blur of standard deviation `std_px` above 0 for images of this height and width.
    pub fn new(std_px: f64, (height, width): (usize, usize), device: &Device) -> Self {
        let factor =
            |n: usize, k: usize| (-(std_px * PI * k as f64 / n as f64).powi(2) / 2.0).exp();
        let kept: Vec<f32> = (0..height * width)
            .map(|i| (factor(height, i / width) * factor(width, i % width)) as f32)
            .collect();
        Blur {
            rows: cosines(height, device),
            cols: cosines(width, device),
            kept: Tensor::from_data(TensorData::new(kept, [1, 1, height, width]), device),
        }
    }

    fn filter(&self, x: Tensor<4>, factors: Tensor<4>) -> Tensor<4> {
        self.to_image(self.to_spectrum(x) * factors)
    }
}

/// The orthonormal DCT-II of `n` values, frequencies by rows, `[1, 1, n, n]`.
fn cosines(n: usize, device: &Device) -> Tensor<4> {
    let entry = |k: usize, i: usize| {
        let norm = if k == 0 { 1.0 } else { 2.0 } / n as f64;
        norm.sqrt() * (PI * k as f64 * (i as f64 + 0.5) / n as f64).cos()
    };
    let values: Vec<f32> = (0..n * n).map(|at| entry(at / n, at % n) as f32).collect();
    Tensor::from_data(TensorData::new(values, [1, 1, n, n]), device)
}

/// 1 where the value is not negligible.
fn counts(values: Tensor<4>) -> Tensor<4> {
    values.greater_elem(NEGLIGIBLE).float()
}

impl LinearOperator for Blur {
    fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        self.filter(x, self.kept.clone())
    }

    fn adjoint(&self, y: Tensor<4>) -> Tensor<4> {
        self.forward(y)
    }

    /// As the trait says, over the frequencies that are not negligible.
    fn solve(&self, y: Tensor<4>, a: f64, b: f64) -> Tensor<4> {
        let factors = (self.kept.clone().square() * a + b).recip() * counts(self.kept.clone());
        self.filter(y, factors)
    }
}

impl Decomposed for Blur {
    fn singular_values(&self) -> Tensor<4> {
        self.kept.clone() * counts(self.kept.clone())
    }

    fn to_spectrum(&self, x: Tensor<4>) -> Tensor<4> {
        self.rows
            .clone()
            .matmul(x)
            .matmul(self.cols.clone().swap_dims(2, 3))
    }

    fn to_image(&self, x: Tensor<4>) -> Tensor<4> {
        self.rows
            .clone()
            .swap_dims(2, 3)
            .matmul(x)
            .matmul(self.cols.clone())
    }

    fn measured(&self, y: Tensor<4>) -> Tensor<4> {
        self.to_spectrum(y) * counts(self.kept.clone())
    }
}

/// The solution of `apply(x) = y` for a symmetric positive map (Hestenes & Stiefel 1952), each
/// image of the batch for itself; converged ones stay as they are.
fn conjugate_gradients(apply: &dyn Fn(Tensor<4>) -> Tensor<4>, y: Tensor<4>) -> Tensor<4> {
    let square = |v: &Tensor<4>| total(v.clone().square());
    let share = |part: Tensor<4>, whole: Tensor<4>| part / (whole + f32::MIN_POSITIVE);
    let mut x = y.zeros_like();
    let (mut residual, mut direction) = (y.clone(), y);
    let mut size = square(&residual);
    for _ in 0..ITERATIONS {
        let applied = apply(direction.clone());
        let step = share(size.clone(), total(direction.clone() * applied.clone()));
        x = x + direction.clone() * step.clone();
        residual = residual - applied * step;
        let next = square(&residual);
        direction = residual.clone() + direction * share(next.clone(), size);
        size = next;
    }
    x
}
