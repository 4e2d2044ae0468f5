//! The same operations out of burn's own, for every device but the CPU, and as the tests' reference.

use burn::tensor::{Tensor, activation, module, ops::ConvOptions};

/// See [`super::conv2d`].
pub(super) fn conv2d(
    x: Tensor<4>,
    weight: Tensor<4>,
    bias: Option<Tensor<1>>,
    stride: usize,
    padding: usize,
) -> Tensor<4> {
    let options = ConvOptions::new([stride; 2], [padding; 2], [1; 2], 1);
    module::conv2d(x, weight, bias, options)
}

/// See [`super::group_norm`].
pub(super) fn group_norm(
    x: Tensor<4>,
    gamma: Tensor<1>,
    beta: Tensor<1>,
    groups: usize,
    eps: f64,
) -> Tensor<4> {
    let [b, c, h, w] = x.dims();
    let x = x.reshape([b, groups, c / groups * h * w]);
    let mean = x.clone().mean_dim(2);
    let x = x - mean;
    let var = x.clone().square().mean_dim(2);
    let x = (x / (var + eps).sqrt()).reshape([b, c, h, w]);
    x * gamma.reshape([1, c, 1, 1]) + beta.reshape([1, c, 1, 1])
}

/// See [`super::group_norm_silu`].
pub(super) fn group_norm_silu(
    x: Tensor<4>,
    gamma: Tensor<1>,
    beta: Tensor<1>,
    groups: usize,
    eps: f64,
) -> Tensor<4> {
    silu(group_norm(x, gamma, beta, groups, eps))
}

/// See [`super::group_norm_scale_shift_silu`].
pub(super) fn group_norm_scale_shift_silu(
    x: Tensor<4>,
    gamma: Tensor<1>,
    beta: Tensor<1>,
    scale: Tensor<2>,
    shift: Tensor<2>,
    groups: usize,
    eps: f64,
) -> Tensor<4> {
    let [b, c, _, _] = x.dims();
    let x = group_norm(x, gamma, beta, groups, eps);
    silu(x * (scale.reshape([b, c, 1, 1]) + 1.0) + shift.reshape([b, c, 1, 1]))
}

/// See [`super::silu`].
pub(super) fn silu(x: Tensor<4>) -> Tensor<4> {
    activation::silu(x)
}

/// See [`super::upsample_nearest2`].
pub(super) fn upsample_nearest2(x: Tensor<4>) -> Tensor<4> {
    let [b, c, h, w] = x.dims();
    x.reshape([b, c, h, 1, w, 1])
        .repeat(&[1, 1, 1, 2, 1, 2])
        .reshape([b, c, 2 * h, 2 * w])
}
