//! Every operator is what its matrix says.

use burn::tensor::{Device, Tensor};

use super::super::{BlockMean, Blur, Decomposed, LinearOperator, Visible};
use super::gaussian::*;

/// Two dense measurements, solved by conjugate gradients.
pub struct Dense;

impl Dense {
    fn matrix() -> Matrix {
        vec![vec![0.7, -0.2, 0.4, 0.1], vec![0.1, 0.5, -0.6, 0.3]]
    }
}

impl LinearOperator for Dense {
    fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        let [batch, ..] = x.dims();
        let x = x.reshape([batch, PIXELS]);
        x.matmul(tensor(&transposed(&Self::matrix())))
            .reshape([batch, 1, 1, 2])
    }

    fn adjoint(&self, y: Tensor<4>) -> Tensor<4> {
        let [batch, ..] = y.dims();
        let y = y.reshape([batch, 2]);
        y.matmul(tensor(&Self::matrix())).reshape([batch, 1, 2, 2])
    }
}

pub fn visible() -> Visible {
    let visible = tensor(&vec![vec![1.0, 0.0, 1.0, 0.0]]).reshape([1, 1, 2, 2]);
    Visible { visible }
}

pub fn decomposed() -> [(&'static str, Box<dyn Decomposed>); 3] {
    let device = Device::flex();
    [
        ("visible", Box::new(visible())),
        ("block mean", Box::new(BlockMean::new(2, (2, 2), &device))),
        ("blur", Box::new(Blur::new(0.6, (2, 2), &device))),
    ]
}

#[track_caller]
pub fn close(what: &str, got: &Matrix, expected: &Matrix, tolerance: f64) {
    assert_eq!(
        (got.len(), got[0].len()),
        (expected.len(), expected[0].len()),
        "{what}"
    );
    for (got, expected) in got.iter().flatten().zip(expected.iter().flatten()) {
        assert!(
            (got - expected).abs() < tolerance,
            "{what}: expected {expected}, got {got}"
        );
    }
}

/// What an operator's function makes of unit measurements, as a matrix.
fn by_units(units: Tensor<4>, f: &dyn Fn(Tensor<4>) -> Tensor<4>) -> Matrix {
    transposed(&rows(f(units)))
}

#[test]
fn adjoint_and_inverses_are_those_of_the_matrix() {
    let all = decomposed();
    let dense: (&str, &dyn LinearOperator) = ("dense", &Dense);
    let others = all
        .iter()
        .map(|(name, a)| (*name, &**a as &dyn LinearOperator));
    for (name, operator) in others.chain([dense]) {
        let a = matrix(operator);
        let images = tensor(&identity(PIXELS)).reshape([PIXELS, 1, 2, 2]);
        // Every measurement an image can give.
        let range = operator.forward(images.clone());
        let adjoint = by_units(range.clone(), &|y| operator.adjoint(y));
        close(name, &adjoint, &product(&transposed(&a), &a), 1e-5);
        let gram = product(&a, &transposed(&a));
        let whole = plus(&plus(&gram, 0.7 - 1.0, &gram), 0.3, &identity(gram.len()));
        let solved = by_units(range.clone(), &|y| operator.solve(y, 0.7, 0.3));
        close(name, &product(&whole, &solved), &a, 1e-4);
        let inverted = by_units(range, &|y| operator.pseudo_inverse(y));
        close(name, &product(&a, &inverted), &a, 1e-4);
        close(name, &transposed(&inverted), &inverted, 1e-4); // A⁺ A is a projection
    }
}

#[test]
fn the_spectrum_is_a_singular_value_decomposition() {
    for (name, a) in decomposed() {
        let images = tensor(&identity(PIXELS)).reshape([PIXELS, 1, 2, 2]);
        let v = rows(a.to_spectrum(images.clone()));
        close(name, &product(&v, &transposed(&v)), &identity(PIXELS), 1e-5);
        let back = rows(a.to_image(a.to_spectrum(images.clone())));
        close(name, &back, &identity(PIXELS), 1e-5);
        let measured = rows(a.measured(a.forward(images.clone())));
        let scaled = rows(a.to_spectrum(images) * a.singular_values());
        close(name, &measured, &scaled, 1e-5);
    }
}

/// A larger blur against the sum it stands for: the heat of a point spreads to both sides and
/// is reflected at the edges.
#[test]
fn a_blur_spreads_a_point_as_a_gaussian() {
    let n = 31;
    let blur = Blur::new(2.0, (n, n), &Device::flex());
    let mut point = vec![vec![0.0; n * n]];
    point[0][15 * n + 15] = 1.0;
    let spread = rows(blur.forward(tensor(&point).reshape([1, 1, n, n])));
    let density = |d: f64| (-d * d / 8.0).exp() / (std::f64::consts::TAU * 4.0).sqrt();
    for (i, value) in spread[0].iter().enumerate() {
        let (row, col) = (i / n, i % n);
        let expected = density(row as f64 - 15.0) * density(col as f64 - 15.0);
        assert!(
            (value - expected).abs() < 1e-5,
            "{row} {col}: {value} {expected}"
        );
    }
}
