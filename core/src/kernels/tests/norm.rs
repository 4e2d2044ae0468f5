//! Group norm, SiLU and upsampling: values and gradients against the stock path.

use burn::tensor::{Device, Tensor};

use super::super::{
    group_norm, group_norm_scale_shift_silu, group_norm_silu, silu, stock, upsample_nearest2,
};
use super::{Random, close, viewed};

const TOLERANCE: f32 = 3e-5;
const EPS: f64 = 1e-5;

/// Compares output and all gradients of two functions of the same inputs.
fn check(
    what: &str,
    four: &[Tensor<4>],
    one: &[Tensor<1>],
    two: &[Tensor<2>],
    seed: u64,
    ours: impl Fn(&[Tensor<4>], &[Tensor<1>], &[Tensor<2>]) -> Tensor<4>,
    theirs: impl Fn(&[Tensor<4>], &[Tensor<1>], &[Tensor<2>]) -> Tensor<4>,
) {
    type Op<'a> = &'a dyn Fn(&[Tensor<4>], &[Tensor<1>], &[Tensor<2>]) -> Tensor<4>;
    let run = |op: Op| {
        let four: Vec<_> = four
            .iter()
            .map(|t| t.clone().detach().require_grad())
            .collect();
        let one: Vec<_> = one
            .iter()
            .map(|t| t.clone().detach().require_grad())
            .collect();
        let two: Vec<_> = two
            .iter()
            .map(|t| t.clone().detach().require_grad())
            .collect();
        let y = op(&four, &one, &two);
        let mut random = Random(seed);
        let toward = viewed(&mut random, y.dims(), seed as usize % 7, &y.device());
        let grads = (y.clone() * toward).sum().backward();
        (
            y.inner(),
            four.iter()
                .map(|t| t.grad(&grads).expect("tracked"))
                .collect::<Vec<_>>(),
            one.iter()
                .map(|t| t.grad(&grads).expect("tracked"))
                .collect::<Vec<_>>(),
            two.iter()
                .map(|t| t.grad(&grads).expect("tracked"))
                .collect::<Vec<_>>(),
        )
    };
    let (a, b) = (run(&ours), run(&theirs));
    close(&format!("{what}: output"), a.0, b.0, TOLERANCE);
    for (n, (a, b)) in a.1.into_iter().zip(b.1).enumerate() {
        close(&format!("{what}: gradient of image {n}"), a, b, TOLERANCE);
    }
    for (n, (a, b)) in a.2.into_iter().zip(b.2).enumerate() {
        close(&format!("{what}: gradient of vector {n}"), a, b, TOLERANCE);
    }
    for (n, (a, b)) in a.3.into_iter().zip(b.3).enumerate() {
        close(&format!("{what}: gradient of matrix {n}"), a, b, TOLERANCE);
    }
}

#[test]
fn group_norms_agree_with_the_stock_path() {
    let device = Device::flex().autodiff();
    for seed in 0..60 {
        let mut random = Random(seed);
        let groups = random.range(1, 8);
        let channels = groups * random.range(1, 6);
        let shape = [
            random.range(1, 5),
            channels,
            random.range(2, 20),
            random.range(2, 20),
        ];
        let x = viewed(&mut random, shape, seed as usize % 7, &device) * 3.0 + 0.5;
        let x = if seed % 7 == 2 { x.swap_dims(2, 3) } else { x };
        let [gamma, beta] = [0, 1].map(|_| random.tensor([channels], &device) + 0.7);
        let both = random.tensor([shape[0], 2 * channels], &device);
        let scale = both.clone().slice([0..shape[0], 0..channels]);
        let shift = both.slice([0..shape[0], channels..2 * channels]);
        let what = format!("{shape:?} in {groups} groups, seed {seed}");
        let (x, vectors) = ([x], [gamma, beta]);
        check(
            &format!("norm of {what}"),
            &x,
            &vectors,
            &[],
            seed,
            |x, v, _| group_norm(x[0].clone(), v[0].clone(), v[1].clone(), groups, EPS),
            |x, v, _| stock::group_norm(x[0].clone(), v[0].clone(), v[1].clone(), groups, EPS),
        );
        check(
            &format!("norm and silu of {what}"),
            &x,
            &vectors,
            &[],
            seed,
            |x, v, _| group_norm_silu(x[0].clone(), v[0].clone(), v[1].clone(), groups, EPS),
            |x, v, _| stock::group_norm_silu(x[0].clone(), v[0].clone(), v[1].clone(), groups, EPS),
        );
        type Op =
            fn(Tensor<4>, Tensor<1>, Tensor<1>, Tensor<2>, Tensor<2>, usize, f64) -> Tensor<4>;
        let full = |op: Op| {
            move |x: &[Tensor<4>], v: &[Tensor<1>], m: &[Tensor<2>]| {
                let (x, gamma, beta) = (x[0].clone(), v[0].clone(), v[1].clone());
                op(x, gamma, beta, m[0].clone(), m[1].clone(), groups, EPS)
            }
        };
        check(
            &format!("norm, scale, shift and silu of {what}"),
            &x,
            &vectors,
            &[scale, shift],
            seed,
            full(group_norm_scale_shift_silu),
            full(stock::group_norm_scale_shift_silu),
        );
    }
}

#[test]
fn silu_and_upsampling_agree_with_the_stock_path() {
    let device = Device::flex().autodiff();
    for seed in 0..40 {
        let mut random = Random(seed);
        let shape = [0; 4].map(|_| random.range(1, 19));
        let x = [viewed(&mut random, shape, seed as usize % 7, &device) * 8.0];
        let what = format!("{shape:?}, seed {seed}");
        check(
            &format!("silu of {what}"),
            &x,
            &[],
            &[],
            seed,
            |x, _, _| silu(x[0].clone()),
            |x, _, _| stock::silu(x[0].clone()),
        );
        check(
            &format!("upsampling of {what}"),
            &x,
            &[],
            &[],
            seed,
            |x, _, _| upsample_nearest2(x[0].clone()),
            |x, _, _| stock::upsample_nearest2(x[0].clone()),
        );
    }
}

#[test]
fn silu_keeps_extremes_and_not_a_number() {
    let device = Device::flex();
    let values = [
        -1e30,
        -100.0,
        -88.0,
        -20.0,
        -0.0,
        1e-30,
        20.0,
        88.0,
        1e30,
        f32::NAN,
    ];
    let x = Tensor::<1>::from_floats(values, &device).reshape([1, 1, 1, 10]);
    let y = super::values(silu(x));
    for (x, y) in values.iter().zip(&y) {
        let expected = x / (1.0 + (-*x as f64).exp() as f32);
        if x.is_nan() {
            assert!(y.is_nan());
        } else {
            assert!(
                (y - expected).abs() <= 1e-6 * x.abs().max(1e-3),
                "{x}: {y}, {expected}"
            );
        }
    }
}

#[test]
fn a_large_offset_keeps_its_variance() {
    let device = Device::flex();
    let x = Random(3).tensor([2, 8, 33, 31], &device);
    let [gamma, beta] = [Tensor::<1>::ones([8], &device), Tensor::zeros([8], &device)];
    let near = group_norm(x.clone(), gamma.clone(), beta.clone(), 2, EPS);
    let far = group_norm(x + 500.0, gamma, beta, 2, EPS);
    close("offset", far, near, 2e-4);
}
