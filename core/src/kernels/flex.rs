//! Between burn's flex tensors and the plain slices the kernels work on.

use burn::backend::flex::FlexTensor;
use burn::tensor::TensorData;

use super::group_norm::{self, Inputs, Norm};
use super::{activation, upsample};

/// The dimensions of a four-dimensional tensor.
pub(super) fn dims4(tensor: &FlexTensor) -> [usize; 4] {
    let shape = tensor.layout().shape();
    core::array::from_fn(|axis| shape[axis])
}

/// The tensor with its values in one piece, in row-major order.
pub(super) fn contiguous(tensor: FlexTensor) -> FlexTensor {
    if tensor.is_contiguous() {
        tensor
    } else {
        tensor.to_contiguous()
    }
}

/// The values of a [`contiguous`] tensor.
pub(super) fn values(tensor: &FlexTensor) -> &[f32] {
    // The kernels are entered with contiguous f32 only: see `mod.rs` and `contiguous`.
    tensor.as_slice().expect("contiguous f32")
}

/// A tensor of `values`.
pub(super) fn tensor<const D: usize>(values: Vec<f32>, shape: [usize; D]) -> FlexTensor {
    FlexTensor::from_data(TensorData::new(values, shape))
}

/// The tensors a group norm reads; all [`contiguous`].
#[derive(Clone, Debug)]
pub(super) struct NormTensors {
    pub x: FlexTensor,
    pub gamma: FlexTensor,
    pub beta: FlexTensor,
    pub scale_shift: Option<(FlexTensor, FlexTensor)>,
}

impl NormTensors {
    /// Makes all of them contiguous.
    pub fn new(
        x: FlexTensor,
        gamma: FlexTensor,
        beta: FlexTensor,
        scale_shift: Option<(FlexTensor, FlexTensor)>,
    ) -> Self {
        Self {
            x: contiguous(x),
            gamma: contiguous(gamma),
            beta: contiguous(beta),
            scale_shift: scale_shift.map(|(a, b)| (contiguous(a), contiguous(b))),
        }
    }

    fn inputs(&self) -> Inputs<'_> {
        let [batch, channels, height, width] = dims4(&self.x);
        Inputs {
            x: values(&self.x),
            gamma: values(&self.gamma),
            beta: values(&self.beta),
            scale_shift: self
                .scale_shift
                .as_ref()
                .map(|(a, b)| (values(a), values(b))),
            batch,
            channels,
            pixels: height * width,
        }
    }

    /// The output, and the moments the backward pass needs.
    pub fn forward(&self, norm: Norm) -> (FlexTensor, Vec<[f32; 2]>) {
        let (out, moments) = group_norm::forward(&self.inputs(), norm);
        (tensor(out, dims4(&self.x)), moments)
    }

    /// The gradients of x, gamma, beta and, if there, scale and shift.
    #[cfg(feature = "autodiff")]
    pub fn backward(
        &self,
        norm: Norm,
        moments: &[[f32; 2]],
        gradient: &FlexTensor,
    ) -> Vec<FlexTensor> {
        let shape = dims4(&self.x);
        let [batch, channels, ..] = shape;
        let all = group_norm::backward(&self.inputs(), norm, moments, values(gradient));
        let mut out = vec![
            tensor(all.x, shape),
            tensor(all.gamma, [channels]),
            tensor(all.beta, [channels]),
        ];
        if let Some((scale, shift)) = all.scale_shift {
            out.push(tensor(scale, [batch, channels]));
            out.push(tensor(shift, [batch, channels]));
        }
        out
    }
}

/// SiLU of a tensor.
pub(super) fn silu(x: &FlexTensor) -> FlexTensor {
    tensor(activation::forward(values(x)), dims4(x))
}

/// The gradient of [`silu`]'s input.
#[cfg(feature = "autodiff")]
pub(super) fn silu_gradient(x: &FlexTensor, gradient: &FlexTensor) -> FlexTensor {
    tensor(activation::backward(values(x), values(gradient)), dims4(x))
}

/// Nearest-neighbour upsampling by two.
pub(super) fn upsample_nearest2(x: &FlexTensor) -> FlexTensor {
    let [b, c, h, w] = dims4(x);
    tensor(upsample::forward(values(x), w, h * w), [b, c, 2 * h, 2 * w])
}

/// The gradient of [`upsample_nearest2`]'s input.
#[cfg(feature = "autodiff")]
pub(super) fn upsample_nearest2_gradient(gradient: &FlexTensor) -> FlexTensor {
    let [b, c, h, w] = dims4(gradient);
    let (h, w) = (h / 2, w / 2);
    tensor(upsample::backward(values(gradient), w, h * w), [b, c, h, w])
}
