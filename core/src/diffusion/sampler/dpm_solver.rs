//! DPM-Solver++: exponential integrators for the x0 estimate, in half the log of the
//! signal-to-noise ratio as their time.

use burn::tensor::Tensor;

use super::walk::Walk;
use crate::diffusion::denoiser::NoiseLevel;
use crate::diffusion::posterior::half_log_snr;
use crate::error::Result;

/// Runs of fewer steps end with steps of lower order (the rule `lower_order_final` of diffusers).
const SHORT: usize = 15;

/// DPM-Solver++ of first order (Lu et al. 2022b, eq. 8), the same as DDIM without noise.
pub fn dpmpp_1s(walk: &mut Walk, x: Tensor<4>) -> Result<Tensor<4>> {
    singlestep(walk, x, 1)
}

/// DPM-Solver++ 2S (Lu et al. 2022b, algorithm 1): levels are taken in pairs, the first of each
/// pair being the second's intermediate point; one network call a level.
pub fn dpmpp_2s(walk: &mut Walk, x: Tensor<4>) -> Result<Tensor<4>> {
    singlestep(walk, x, 2)
}

/// DPM-Solver++ 2M (Lu et al. 2022b, algorithm 2, midpoint). The first step and the last are of
/// first order: the last to the clean image always, to another level in runs of fewer than 15
/// steps.
pub fn dpmpp_2m(walk: &mut Walk, x: Tensor<4>) -> Result<Tensor<4>> {
    multistep(walk, x, 2)
}

/// DPM-Solver++ 3M (Lu et al. 2022b, appendix B) as diffusers and k-diffusion
/// have it: the second difference counts half of what third order needs, so that it converges at
/// second order, with a smaller error than 2M. The first steps are of the order their history
/// allows, and so are the last ones of short runs.
pub fn dpmpp_3m(walk: &mut Walk, x: Tensor<4>) -> Result<Tensor<4>> {
    multistep(walk, x, 3)
}

/// The step of first order: exact where the estimate does not change on the way.
fn first(x: &Tensor<4>, ahead: Tensor<4>, from: NoiseLevel, to: NoiseLevel) -> Tensor<4> {
    let length = half_log_snr(to) - half_log_snr(from); // infinite to the clean image
    x.clone() * (to.sigma / from.sigma) - ahead * (to.alpha * (-length).exp_m1())
}

fn singlestep(walk: &mut Walk, mut x: Tensor<4>, order: usize) -> Result<Tensor<4>> {
    let steps = walk.step_count();
    // Where the present pair began: x, its level and its estimate.
    let mut begun: Option<(Tensor<4>, NoiseLevel, Tensor<4>)> = None;
    for (step, (now, next)) in walk.steps() {
        let denoised = walk.denoise(&x, now);
        let low_order = step + 1 == steps && (next.sigma == 0.0 || steps.is_multiple_of(2));
        x = match begun.take() {
            Some((start, from, estimate)) if !low_order => {
                let (whole, part) = (
                    half_log_snr(next) - half_log_snr(from),
                    half_log_snr(now) - half_log_snr(from),
                );
                let change = (denoised.clone() - estimate.clone()) * (0.5 * whole / part);
                first(&start, estimate + change, from, next)
            }
            _ => {
                let moved = first(&x, denoised.clone(), now, next);
                // The second step of a pair is made from the first one's beginning.
                begun = (order == 2).then(|| (x, now, denoised.clone()));
                moved
            }
        };
        walk.done(step, &x, &denoised)?;
    }
    Ok(x)
}

fn multistep(walk: &mut Walk, mut x: Tensor<4>, order: usize) -> Result<Tensor<4>> {
    let steps = walk.step_count();
    // The estimates of the last two steps and the lengths of those steps, the newest first.
    let mut history: Vec<(Tensor<4>, f64)> = Vec::new();
    for (step, (now, next)) in walk.steps() {
        let denoised = walk.denoise(&x, now);
        let length = half_log_snr(next) - half_log_snr(now);
        let left = steps - step;
        let most = match left {
            1 if next.sigma == 0.0 || steps < SHORT => 1,
            2 if steps < SHORT => 2,
            _ => order,
        };
        let usable = most.min(history.len() + 1);
        x = match (usable, history.as_slice()) {
            (3, [(one, length_one), (two, length_two), ..]) => {
                let [slope, bend] = differences(
                    [&denoised, one, two],
                    [length_one / length, length_two / length],
                );
                let (phi_1, phi_2, phi_3) = phis(length);
                x * (next.sigma / now.sigma)
                    + denoised.clone() * (next.alpha * phi_1)
                    + slope * (next.alpha * phi_2)
                    - bend * (next.alpha * phi_3)
            }
            (2, [(one, length_one), ..]) => {
                let change = (denoised.clone() - one.clone()) * (0.5 * length / length_one);
                first(&x, denoised.clone() + change, now, next)
            }
            _ => first(&x, denoised.clone(), now, next),
        };
        walk.done(step, &x, &denoised)?;
        history.insert(0, (denoised, length));
        history.truncate(2);
    }
    Ok(x)
}

/// First and second derivative over the coming step of the polynomial through three estimates,
/// the newest first; `ratios` are the lengths of the earlier steps relative to the coming one.
pub(super) fn differences(estimates: [&Tensor<4>; 3], ratios: [f64; 2]) -> [Tensor<4>; 2] {
    let [r0, r1] = ratios;
    let newer = (estimates[0].clone() - estimates[1].clone()) / r0;
    let older = (estimates[1].clone() - estimates[2].clone()) / r1;
    let change = newer.clone() - older;
    [
        newer + change.clone() * (r0 / (r0 + r1)),
        change / (r0 + r1),
    ]
}

/// The exponential integrator's weights of estimate, slope and bend over a step of `length`:
/// `1 - e^-h`, `(e^-h - 1)/h + 1` and `(e^-h - 1 + h)/h² - 1/2`.
pub(super) fn phis(length: f64) -> (f64, f64, f64) {
    let phi_1 = -(-length).exp_m1();
    let phi_2 = 1.0 - phi_1 / length;
    (phi_1, phi_2, phi_2 / length - 0.5)
}
