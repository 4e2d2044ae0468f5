//! Matrix products, with a way around software GPUs.
//!
//! On Mesa's llvmpipe 22.3 the matrix product of burn's GPU backend crashes in the driver's
//! shader compiler (and on SwiftShader it returns zeros), while its other operations work. A
//! software GPU is for checking the GPU path, not for speed: there the product is a
//! broadcast multiplication and a sum.

use burn::tensor::{Device, Tensor};

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
    if !software_gpu(&a.device()) {
        return a.matmul(b);
    }
    by_broadcast(a, b)
}

fn by_broadcast(a: Tensor<3>, b: Tensor<3>) -> Tensor<3> {
    let [batch, rows, k] = a.dims();
    let [_, _, cols] = b.dims();
    let product = a.reshape([batch, rows, k, 1]) * b.reshape([batch, 1, k, cols]);
    product.sum_dim(2).reshape([batch, rows, cols])
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
