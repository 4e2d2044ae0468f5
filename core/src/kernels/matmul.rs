//! Matrix products, with a way around software GPUs.
//!
//! On Mesa's llvmpipe 22.3 the matrix product of burn's GPU backend crashes in the driver's
//! shader compiler (and on SwiftShader it returns zeros), while its other operations work. A
//! software GPU is for checking the GPU path, not for speed: there the product is a
//! broadcast multiplication and a sum. Native Vulkan is known by its device; in the browser,
//! which does not say what runs it, [`self_test`](super::self_test()) finds out.

use std::sync::atomic::{AtomicBool, Ordering};

use burn::backend::DispatchDevice;
use burn::tensor::{Device, Tensor};

/// Set when the self-test found burn's product wrong on the GPU of this process (a page has one).
static AVOIDED: AtomicBool = AtomicBool::new(false);

/// From now on no GPU of this process computes products with burn's kernels.
pub(super) fn avoid_burns_product() {
    AVOIDED.store(true, Ordering::Relaxed);
}

/// `x weight + bias` over the last dimension.
///
/// # Shapes
/// - `x`: `[batch, tokens, in]`, `weight`: `[in, out]`, `bias`: `[out]`
/// - output: `[batch, tokens, out]`
pub fn linear(x: Tensor<3>, weight: Tensor<2>, bias: Option<Tensor<1>>) -> Tensor<3> {
    let [batch, tokens, inputs] = x.dims();
    let [_, outputs] = weight.dims();
    let flat = x.reshape([1, batch * tokens, inputs]);
    let product = matmul(flat, weight.reshape([1, inputs, outputs]));
    let product = product.reshape([batch, tokens, outputs]);
    match bias {
        Some(bias) => product + bias.reshape([1, 1, outputs]),
        None => product,
    }
}

/// Batched matrix product.
///
/// # Shapes
/// - `a`: `[batch, rows, k]`, `b`: `[batch, k, cols]`, output: `[batch, rows, cols]`
pub fn matmul(a: Tensor<3>, b: Tensor<3>) -> Tensor<3> {
    let device = a.device();
    if software_gpu(&device) || (AVOIDED.load(Ordering::Relaxed) && !cpu(device)) {
        return by_broadcast(a, b);
    }
    a.matmul(b)
}

fn by_broadcast(a: Tensor<3>, b: Tensor<3>) -> Tensor<3> {
    let [batch, rows, k] = a.dims();
    let [_, _, cols] = b.dims();
    let product = a.reshape([batch, rows, k, 1]) * b.reshape([batch, 1, k, cols]);
    product.sum_dim(2).reshape([batch, rows, cols])
}

fn cpu(device: Device) -> bool {
    matches!(device.inner().as_dispatch(), DispatchDevice::Flex(_))
}

#[cfg(feature = "gpu")]
fn software_gpu(device: &Device) -> bool {
    device.clone().inner() == Device::vulkan(burn::tensor::DeviceKind::Cpu)
}

#[cfg(not(feature = "gpu"))]
fn software_gpu(_device: &Device) -> bool {
    false
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::tensor::{Distribution, Tolerance};

    #[test]
    fn the_way_around_is_a_matrix_product() {
        let device = Device::flex();
        let random = |shape| Tensor::<3>::random(shape, Distribution::Normal(0.0, 1.0), &device);
        let (a, b) = (random([2, 5, 7]), random([2, 7, 3]));
        let expected = a.clone().matmul(b.clone()).into_data();
        let tolerance = Tolerance::<f32>::absolute(1e-5);
        by_broadcast(a, b)
            .into_data()
            .assert_approx_eq::<f32>(&expected, tolerance);
    }
}
