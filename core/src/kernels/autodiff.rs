//! The kernels' backward passes, registered with burn's autodiff.

use burn::backend::autodiff::checkpoint::{base::Checkpointer, strategy::CheckpointStrategy};
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, Flex};

use super::backend::Kernels;
use super::conv::{self, Geometry};
use super::flex::{self, NormTensors, contiguous, dims4};
use super::group_norm::Norm;

type Flat = FloatTensor<Flex>;

/// `N` is 3 with a bias, 2 without.
#[derive(Debug)]
struct ConvBackward<const N: usize>;

impl<const N: usize> Backward<Flex, N> for ConvBackward<N> {
    type State = (Flat, Flat, Geometry);

    fn backward(self, ops: Ops<Self::State, N>, grads: &mut Gradients, _: &mut Checkpointer) {
        let gradient = contiguous(grads.consume::<Flex>(&ops.node));
        let (x, weight, geometry) = ops.state;
        let [of_x, of_weight] = [0, 1].map(|i| ops.parents[i].as_ref());
        let of_bias = ops.parents.get(2).and_then(Option::as_ref);
        let (shape, kernel) = (dims4(&x), dims4(&weight)[2]);
        if let Some(node) = of_x {
            let value = conv::input_gradient(&gradient, weight, shape, geometry);
            grads.register::<Flex>(node.id, value);
        }
        if of_weight.is_some() || of_bias.is_some() {
            let (weight, bias) =
                conv::weight_gradient(&gradient, x, kernel, of_bias.is_some(), geometry);
            if let Some(node) = of_weight {
                grads.register::<Flex>(node.id, weight);
            }
            if let (Some(node), Some(bias)) = (of_bias, bias) {
                grads.register::<Flex>(node.id, bias);
            }
        }
    }
}

/// `N` is 3, with scale and shift 5.
#[derive(Debug)]
struct NormBackward<const N: usize>;

impl<const N: usize> Backward<Flex, N> for NormBackward<N> {
    type State = (NormTensors, Vec<[f32; 2]>, Norm);

    fn backward(self, ops: Ops<Self::State, N>, grads: &mut Gradients, _: &mut Checkpointer) {
        let gradient = contiguous(grads.consume::<Flex>(&ops.node));
        let (tensors, moments, norm) = ops.state;
        let all = tensors.backward(norm, &moments, &gradient);
        for (node, gradient) in ops.parents.iter().zip(all) {
            if let Some(node) = node {
                grads.register::<Flex>(node.id, gradient);
            }
        }
    }
}

#[derive(Debug)]
struct SiluBackward;

impl Backward<Flex, 1> for SiluBackward {
    type State = Flat;

    fn backward(self, ops: Ops<Flat, 1>, grads: &mut Gradients, _: &mut Checkpointer) {
        let gradient = contiguous(grads.consume::<Flex>(&ops.node));
        if let [Some(node)] = &ops.parents {
            grads.register::<Flex>(node.id, flex::silu_gradient(&ops.state, &gradient));
        }
    }
}

#[derive(Debug)]
struct UpsampleBackward;

impl Backward<Flex, 1> for UpsampleBackward {
    type State = ();

    fn backward(self, ops: Ops<(), 1>, grads: &mut Gradients, _: &mut Checkpointer) {
        let gradient = contiguous(grads.consume::<Flex>(&ops.node));
        if let [Some(node)] = &ops.parents {
            grads.register::<Flex>(node.id, flex::upsample_nearest2_gradient(&gradient));
        }
    }
}

impl<C: CheckpointStrategy> Kernels for Autodiff<Flex, C> {
    fn unclouded_conv2d_bias(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        geometry: Geometry,
    ) -> FloatTensor<Self> {
        let nodes = [x.node(), weight.node(), bias.node()];
        let (x, weight) = (x.into_primitive(), weight.into_primitive());
        let bias = bias.into_primitive();
        match ConvBackward::<3>
            .prepare::<C>(nodes)
            .compute_bound()
            .stateful()
        {
            OpsKind::Tracked(prep) => {
                let (x, weight) = (contiguous(x), contiguous(weight));
                let out = conv::forward(x.clone(), weight.clone(), Some(bias), geometry);
                prep.finish((x, weight, geometry), out)
            }
            OpsKind::UnTracked(prep) => prep.finish(conv::forward(x, weight, Some(bias), geometry)),
        }
    }

    fn unclouded_conv2d(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        geometry: Geometry,
    ) -> FloatTensor<Self> {
        let nodes = [x.node(), weight.node()];
        let (x, weight) = (x.into_primitive(), weight.into_primitive());
        match ConvBackward::<2>
            .prepare::<C>(nodes)
            .compute_bound()
            .stateful()
        {
            OpsKind::Tracked(prep) => {
                let (x, weight) = (contiguous(x), contiguous(weight));
                let out = conv::forward(x.clone(), weight.clone(), None, geometry);
                prep.finish((x, weight, geometry), out)
            }
            OpsKind::UnTracked(prep) => prep.finish(conv::forward(x, weight, None, geometry)),
        }
    }
    fn unclouded_group_norm(
        x: FloatTensor<Self>,
        gamma: FloatTensor<Self>,
        beta: FloatTensor<Self>,
        norm: Norm,
    ) -> FloatTensor<Self> {
        let nodes = [x.node(), gamma.node(), beta.node()];
        let [x, gamma, beta] = [x, gamma, beta].map(|t| t.into_primitive());
        let tensors = NormTensors::new(x, gamma, beta, None);
        let (out, moments) = tensors.forward(norm);
        match NormBackward::<3>
            .prepare::<C>(nodes)
            .compute_bound()
            .stateful()
        {
            OpsKind::Tracked(prep) => prep.finish((tensors, moments, norm), out),
            OpsKind::UnTracked(prep) => prep.finish(out),
        }
    }

    fn unclouded_group_norm_scale_shift(
        x: FloatTensor<Self>,
        gamma: FloatTensor<Self>,
        beta: FloatTensor<Self>,
        scale: FloatTensor<Self>,
        shift: FloatTensor<Self>,
        norm: Norm,
    ) -> FloatTensor<Self> {
        let nodes = [
            x.node(),
            gamma.node(),
            beta.node(),
            scale.node(),
            shift.node(),
        ];
        let [x, gamma, beta, scale, shift] =
            [x, gamma, beta, scale, shift].map(|t| t.into_primitive());
        let tensors = NormTensors::new(x, gamma, beta, Some((scale, shift)));
        let (out, moments) = tensors.forward(norm);
        match NormBackward::<5>
            .prepare::<C>(nodes)
            .compute_bound()
            .stateful()
        {
            OpsKind::Tracked(prep) => prep.finish((tensors, moments, norm), out),
            OpsKind::UnTracked(prep) => prep.finish(out),
        }
    }

    fn unclouded_silu(x: FloatTensor<Self>) -> FloatTensor<Self> {
        let node = x.node();
        let x = contiguous(x.into_primitive());
        let out = flex::silu(&x);
        match SiluBackward.prepare::<C>([node]).compute_bound().stateful() {
            OpsKind::Tracked(prep) => prep.finish(x, out),
            OpsKind::UnTracked(prep) => prep.finish(out),
        }
    }

    fn unclouded_upsample_nearest2(x: FloatTensor<Self>) -> FloatTensor<Self> {
        let node = x.node();
        let out = flex::upsample_nearest2(&contiguous(x.into_primitive()));
        UpsampleBackward
            .prepare::<C>([node])
            .compute_bound()
            .stateless(out)
    }
}
