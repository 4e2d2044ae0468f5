//! DPM-Solver++ for the reverse diffusion instead of the ODE: fresh noise in every step.

use burn::tensor::Tensor;

use super::dpm_solver::{differences, phis};
use super::walk::Walk;
use crate::diffusion::posterior::half_log_snr;
use crate::error::Result;

/// SDE-DPM-Solver++ 2M, midpoint (Lu et al. 2022b, eq. 19, as in k-diffusion and diffusers).
pub fn dpmpp_2m_sde(walk: &mut Walk, x: Tensor<4>) -> Result<Tensor<4>> {
    multistep(walk, x, 2)
}

/// SDE-DPM-Solver++ 3M (k-diffusion's `sample_dpmpp_3m_sde`; the third-order formula of diffusers
/// 0.42 has the sign of its last term wrong).
pub fn dpmpp_3m_sde(walk: &mut Walk, x: Tensor<4>) -> Result<Tensor<4>> {
    multistep(walk, x, 3)
}

fn multistep(walk: &mut Walk, mut x: Tensor<4>, order: usize) -> Result<Tensor<4>> {
    let eta = walk.options.sde_eta;
    // The estimates of the last two steps and the lengths of those steps, the newest first.
    let mut history: Vec<(Tensor<4>, f64)> = Vec::new();
    for (step, (now, next)) in walk.steps() {
        let denoised = walk.denoise(&x, now);
        let length = half_log_snr(next) - half_log_snr(now);
        if next.sigma == 0.0 {
            x = denoised.clone() * next.alpha;
            walk.done(step, &x, &denoised)?;
            continue;
        }
        let (phi_1, phi_2, phi_3) = phis(length * (1.0 + eta));
        x = x * (next.sigma / now.sigma * (-eta * length).exp())
            + denoised.clone() * (next.alpha * phi_1);
        x = match history.as_slice() {
            [(one, length_one), (two, length_two), ..] if order == 3 => {
                let [slope, bend] = differences(
                    [&denoised, one, two],
                    [length_one / length, length_two / length],
                );
                x + slope * (next.alpha * phi_2) - bend * (next.alpha * phi_3)
            }
            [(one, length_one), ..] => {
                let slope = (denoised.clone() - one.clone()) * (length / length_one);
                let weight = match order {
                    2 => 0.5 * phi_1,
                    _ => phi_2,
                };
                x + slope * (next.alpha * weight)
            }
            [] => x,
        };
        if eta > 0.0 {
            let std = next.sigma * (-(-2.0 * eta * length).exp_m1()).sqrt();
            x = x.clone() + walk.draw(step + 1, &x) * std;
        }
        walk.done(step, &x, &denoised)?;
        history.insert(0, (denoised, length));
        history.truncate(2);
    }
    Ok(x)
}
