//! The hot operations of the U-Net, each with one entry point whatever the device.
//!
//! On the CPU (burn's flex backend, f32) they run kernels of our own, forward and backward;
//! everywhere else burn's operations. All are deterministic, whatever the number of threads.

mod activation;
#[cfg(feature = "autodiff")]
mod autodiff;
mod backend;
mod conv;
mod conv_run;
mod conv_strip;
mod conv_tile;
#[cfg(feature = "autodiff")]
mod conv_weight;
mod flex;
mod group_norm;
mod matmul;
pub(crate) mod par;
mod self_test;
mod simd;
mod stock;
#[cfg(all(test, feature = "autodiff"))]
mod tests;
mod upsample;
mod winograd;

use burn::backend::{Dispatch, DispatchDevice};
use burn::tensor::{DType, Device, Tensor};

pub use matmul::{linear, matmul};
pub use self_test::{SelfTest, self_test};

use backend::Kernels;
use conv::Geometry;
use group_norm::Norm;

/// Whether a tensor belongs to our kernels.
fn ours(device: Device, dtype: DType) -> bool {
    dtype == DType::F32 && matches!(device.inner().as_dispatch(), DispatchDevice::Flex(_))
}

/// 2-D convolution with a square kernel, groups 1, dilation 1.
///
/// # Shapes
/// - `x`: `[batch, in, height, width]`
/// - `weight`: `[out, in, k, k]`, `bias`: `[out]`
/// - output: `[batch, out, (height + 2 padding - k) / stride + 1, ...]`
pub fn conv2d(
    x: Tensor<4>,
    weight: Tensor<4>,
    bias: Option<Tensor<1>>,
    stride: usize,
    padding: usize,
) -> Tensor<4> {
    let geometry = Geometry { stride, padding };
    let bias_len = bias.as_ref().map(|bias| bias.dims()[0]);
    if !ours(x.device(), x.dtype()) || !geometry.supports(x.dims(), weight.dims(), bias_len) {
        return stock::conv2d(x, weight, bias, stride, padding);
    }
    let (x, weight) = (x.into_dispatch(), weight.into_dispatch());
    Tensor::from_dispatch(match bias {
        Some(bias) => Dispatch::unclouded_conv2d_bias(x, weight, bias.into_dispatch(), geometry),
        None => Dispatch::unclouded_conv2d(x, weight, geometry),
    })
}

/// Group normalisation (Wu & He 2018): zero mean and unit variance over the channels of a group
/// and all pixels, then `gamma` and `beta` a channel.
///
/// # Shapes
/// - `x` and output: `[batch, channels, height, width]`, channels a multiple of `groups`
/// - `gamma`, `beta`: `[channels]`
pub fn group_norm(
    x: Tensor<4>,
    gamma: Tensor<1>,
    beta: Tensor<1>,
    groups: usize,
    eps: f64,
) -> Tensor<4> {
    if !normable(&x, groups) {
        return stock::group_norm(x, gamma, beta, groups, eps);
    }
    normed(
        x,
        gamma,
        beta,
        Norm {
            groups,
            eps,
            silu: false,
        },
    )
}

/// `silu(group_norm(x))` in one pass; shapes as in [`group_norm`].
pub fn group_norm_silu(
    x: Tensor<4>,
    gamma: Tensor<1>,
    beta: Tensor<1>,
    groups: usize,
    eps: f64,
) -> Tensor<4> {
    if !normable(&x, groups) {
        return stock::group_norm_silu(x, gamma, beta, groups, eps);
    }
    normed(
        x,
        gamma,
        beta,
        Norm {
            groups,
            eps,
            silu: true,
        },
    )
}

/// `silu(group_norm(x) * (1 + scale) + shift)` in one pass.
///
/// # Shapes
/// As in [`group_norm`]; `scale`, `shift`: `[batch, channels]`.
pub fn group_norm_scale_shift_silu(
    x: Tensor<4>,
    gamma: Tensor<1>,
    beta: Tensor<1>,
    scale: Tensor<2>,
    shift: Tensor<2>,
    groups: usize,
    eps: f64,
) -> Tensor<4> {
    let [batch, channels, ..] = x.dims();
    let whole = scale.dims() == [batch, channels] && shift.dims() == [batch, channels];
    if !normable(&x, groups) || !whole {
        return stock::group_norm_scale_shift_silu(x, gamma, beta, scale, shift, groups, eps);
    }
    Tensor::from_dispatch(Dispatch::unclouded_group_norm_scale_shift(
        x.into_dispatch(),
        gamma.into_dispatch(),
        beta.into_dispatch(),
        scale.into_dispatch(),
        shift.into_dispatch(),
        Norm {
            groups,
            eps,
            silu: true,
        },
    ))
}

fn normable(x: &Tensor<4>, groups: usize) -> bool {
    let dims = x.dims();
    ours(x.device(), x.dtype())
        && groups > 0
        && dims[1].is_multiple_of(groups)
        && !dims.contains(&0)
}

fn normed(x: Tensor<4>, gamma: Tensor<1>, beta: Tensor<1>, norm: Norm) -> Tensor<4> {
    let (x, gamma, beta) = (
        x.into_dispatch(),
        gamma.into_dispatch(),
        beta.into_dispatch(),
    );
    Tensor::from_dispatch(Dispatch::unclouded_group_norm(x, gamma, beta, norm))
}

/// `x * sigmoid(x)`.
pub fn silu(x: Tensor<4>) -> Tensor<4> {
    if !ours(x.device(), x.dtype()) {
        return stock::silu(x);
    }
    Tensor::from_dispatch(Dispatch::unclouded_silu(x.into_dispatch()))
}

/// Nearest-neighbour upsampling by two.
///
/// # Shapes
/// - `x`: `[batch, channels, height, width]`, output `[batch, channels, 2 height, 2 width]`
pub fn upsample_nearest2(x: Tensor<4>) -> Tensor<4> {
    if !ours(x.device(), x.dtype()) || x.dims().contains(&0) {
        return stock::upsample_nearest2(x);
    }
    Tensor::from_dispatch(Dispatch::unclouded_upsample_nearest2(x.into_dispatch()))
}
