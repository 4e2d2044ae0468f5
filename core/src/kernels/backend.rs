//! The kernels as an extension of burn's backends: which ones exist, and their flex side.

use burn::backend::tensor::FloatTensor;
use burn::backend::{Backend, Flex, backend_extension};

use super::conv::{self, Geometry};
use super::flex::{self, NormTensors, contiguous};
use super::group_norm::Norm;

/// Operations of our own. Called only for f32 tensors on flex, checked in `mod.rs`.
#[backend_extension(Flex, Autodiff: cfg(feature = "autodiff"))]
pub(super) trait Kernels: Backend {
    /// Convolution with a bias.
    fn unclouded_conv2d_bias(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        geometry: Geometry,
    ) -> FloatTensor<Self>;

    /// Convolution without a bias.
    fn unclouded_conv2d(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        geometry: Geometry,
    ) -> FloatTensor<Self>;

    /// Group norm, with SiLU if `norm` says so.
    fn unclouded_group_norm(
        x: FloatTensor<Self>,
        gamma: FloatTensor<Self>,
        beta: FloatTensor<Self>,
        norm: Norm,
    ) -> FloatTensor<Self>;

    /// Group norm with scale and shift of every image and channel.
    fn unclouded_group_norm_scale_shift(
        x: FloatTensor<Self>,
        gamma: FloatTensor<Self>,
        beta: FloatTensor<Self>,
        scale: FloatTensor<Self>,
        shift: FloatTensor<Self>,
        norm: Norm,
    ) -> FloatTensor<Self>;

    /// SiLU of a four-dimensional tensor.
    fn unclouded_silu(x: FloatTensor<Self>) -> FloatTensor<Self>;

    /// Nearest-neighbour upsampling by two.
    fn unclouded_upsample_nearest2(x: FloatTensor<Self>) -> FloatTensor<Self>;
}

impl Kernels for Flex {
    fn unclouded_conv2d_bias(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        geometry: Geometry,
    ) -> FloatTensor<Self> {
        conv::forward(x, weight, Some(bias), geometry)
    }

    fn unclouded_conv2d(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        geometry: Geometry,
    ) -> FloatTensor<Self> {
        conv::forward(x, weight, None, geometry)
    }
    fn unclouded_group_norm(
        x: FloatTensor<Self>,
        gamma: FloatTensor<Self>,
        beta: FloatTensor<Self>,
        norm: Norm,
    ) -> FloatTensor<Self> {
        NormTensors::new(x, gamma, beta, None).forward(norm).0
    }

    fn unclouded_group_norm_scale_shift(
        x: FloatTensor<Self>,
        gamma: FloatTensor<Self>,
        beta: FloatTensor<Self>,
        scale: FloatTensor<Self>,
        shift: FloatTensor<Self>,
        norm: Norm,
    ) -> FloatTensor<Self> {
        NormTensors::new(x, gamma, beta, Some((scale, shift)))
            .forward(norm)
            .0
    }

    fn unclouded_silu(x: FloatTensor<Self>) -> FloatTensor<Self> {
        flex::silu(&contiguous(x))
    }

    fn unclouded_upsample_nearest2(x: FloatTensor<Self>) -> FloatTensor<Self> {
        flex::upsample_nearest2(&contiguous(x))
    }
}
