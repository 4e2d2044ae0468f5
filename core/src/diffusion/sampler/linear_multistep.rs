//! Linear multistep methods, which reuse the slopes of earlier steps.

use std::collections::VecDeque;

use burn::tensor::Tensor;

use super::walk::Walk;
use crate::diffusion::denoiser::NoiseLevel;
use crate::diffusion::posterior::noise_in;
use crate::error::Result;

/// Slopes that are kept: both methods are of fourth order.
const KEPT: usize = 4;

/// Adams-Bashforth with unequal steps over `sigma / alpha` (k-diffusion's `sample_lms`): the
/// polynomial through the last four slopes is integrated exactly. The first steps are of the
/// order their history allows.
pub fn lms(walk: &mut Walk, mut x: Tensor<4>) -> Result<Tensor<4>> {
    let sigmas: Vec<f64> = walk.levels.iter().map(NoiseLevel::relative_sigma).collect();
    let mut slopes: VecDeque<Tensor<4>> = VecDeque::new(); // the newest first
    for (step, (now, next)) in walk.steps() {
        let denoised = walk.denoise(&x, now);
        let scaled = x / now.alpha;
        slopes.push_front((scaled.clone() - denoised.clone()) / sigmas[step]);
        slopes.truncate(KEPT);
        let nodes: Vec<f64> = (0..slopes.len()).map(|k| sigmas[step - k]).collect();
        let weights = adams_bashforth(&nodes, sigmas[step + 1]);
        let moved = slopes
            .iter()
            .zip(weights)
            .fold(scaled, |sum, (slope, weight)| sum + slope.clone() * weight);
        x = moved * next.alpha;
        walk.done(step, &x, &denoised)?;
    }
    Ok(x)
}

/// The weights of slopes at `nodes` in the integral from `nodes[0]` to `end` of the polynomial
/// through them.
fn adams_bashforth(nodes: &[f64], end: f64) -> Vec<f64> {
    let start = nodes[0];
    // In units of the step, where the numbers are of one size.
    let length = end - start;
    let at: Vec<f64> = nodes.iter().map(|node| (node - start) / length).collect();
    let weight = |j: usize| {
        // Coefficients of the Lagrange polynomial of node j, the constant first.
        let mut polynomial = vec![1.0];
        for (k, node) in at.iter().enumerate().filter(|(k, _)| *k != j) {
            let scale = (at[j] - at[k]).recip();
            let mut product = vec![0.0; polynomial.len() + 1];
            for (power, c) in polynomial.iter().enumerate() {
                product[power] -= c * node * scale;
                product[power + 1] += c * scale;
            }
            polynomial = product;
        }
        let terms = polynomial.iter().enumerate();
        length * terms.map(|(p, c)| c / (p as f64 + 1.0)).sum::<f64>()
    };
    (0..nodes.len()).map(weight).collect()
}

/// Pseudo linear multistep method of PNDM (Liu et al. 2022, eq. 9 and 12): the noise estimates of
/// the last four steps, weighted as Adams and Bashforth do for equal steps, go through DDIM's
/// step. The first step is redone with the mean of two estimates, which costs one call; the next
/// two use what history there is (`skip_prk_steps` of diffusers).
///
/// Made for evenly spaced timesteps.
pub fn plms(walk: &mut Walk, mut x: Tensor<4>) -> Result<Tensor<4>> {
    let mut history = History::default();
    for (step, (now, next)) in walk.steps() {
        let denoised = walk.denoise(&x, now);
        let mut noise = history.weighted(noise_in(&x, &denoised, now));
        if step == 0 && next.sigma > 0.0 {
            let trial = transfer(&x, &noise, now, next);
            let again = walk.denoise(&trial, next);
            noise = (noise + noise_in(&trial, &again, next)) * 0.5;
        }
        x = transfer(&x, &noise, now, next);
        walk.done(step, &x, &denoised)?;
    }
    Ok(x)
}

/// PNDM whole (Liu et al. 2022, algorithm 2): the first three steps are of the pseudo Runge-Kutta
/// method (eq. 13: two estimates midway, one at the end, weighted as Simpson does), which costs
/// three calls each, the others as in [`plms`] with a full history. A step to the clean image,
/// where no estimate can be made at its end, always is one of the latter.
///
/// Made for evenly spaced timesteps; midway lies where
/// [`Options::schedule`](super::Options::schedule) says.
pub fn pndm(walk: &mut Walk, mut x: Tensor<4>) -> Result<Tensor<4>> {
    const WARM_UP: usize = KEPT - 1;
    let mut history = History::default();
    for (step, (now, next)) in walk.steps() {
        let denoised = walk.denoise(&x, now);
        let first = noise_in(&x, &denoised, now);
        let mut noise = history.weighted(first.clone());
        if step < WARM_UP && next.sigma > 0.0 {
            let middle = midway(walk, now, next);
            let estimate = |noise: &Tensor<4>, at: NoiseLevel| {
                let trial = transfer(&x, noise, now, at);
                let denoised = walk.denoise(&trial, at);
                noise_in(&trial, &denoised, at)
            };
            let second = estimate(&first, middle);
            let third = estimate(&second, middle);
            let fourth = estimate(&third, next);
            noise = (first + (second + third) * 2.0 + fourth) / 6.0;
        }
        x = transfer(&x, &noise, now, next);
        walk.done(step, &x, &denoised)?;
    }
    Ok(x)
}

/// The level half a step on: of the schedule's own, the first timestep that is not before it;
/// without one the geometric mean of both.
fn midway(walk: &Walk, now: NoiseLevel, next: NoiseLevel) -> NoiseLevel {
    let timestep = (now.timestep + next.timestep) / 2.0;
    let own = walk.options.schedule.and_then(|schedule| {
        let levels = schedule.training_levels();
        levels.get(timestep as usize).copied()
    });
    own.unwrap_or(NoiseLevel {
        alpha: (now.alpha * next.alpha).sqrt(),
        sigma: (now.sigma * next.sigma).sqrt(),
        timestep,
    })
}

/// The noise estimates of the last steps, the newest first.
#[derive(Default)]
struct History(VecDeque<Tensor<4>>);

impl History {
    /// Takes a step's estimate and weights all of them.
    fn weighted(&mut self, newest: Tensor<4>) -> Tensor<4> {
        const WEIGHTS: [&[f64]; KEPT] = [
            &[1.0],
            &[3.0 / 2.0, -1.0 / 2.0],
            &[23.0 / 12.0, -16.0 / 12.0, 5.0 / 12.0],
            &[55.0 / 24.0, -59.0 / 24.0, 37.0 / 24.0, -9.0 / 24.0],
        ];
        let zero = newest.zeros_like();
        self.0.push_front(newest);
        self.0.truncate(KEPT);
        let weighted = self.0.iter().zip(WEIGHTS[self.0.len() - 1]);
        weighted.fold(zero, |sum, (noise, weight)| sum + noise.clone() * *weight)
    }
}

/// DDIM's step with a given noise (Liu et al. 2022, eq. 11).
fn transfer(x: &Tensor<4>, noise: &Tensor<4>, now: NoiseLevel, next: NoiseLevel) -> Tensor<4> {
    let ratio = next.alpha / now.alpha;
    x.clone() * ratio + noise.clone() * (next.sigma - now.sigma * ratio)
}

#[cfg(test)]
mod tests {
    use super::adams_bashforth;

    #[test]
    fn equal_steps_have_the_weights_of_the_textbooks() {
        let close = |got: Vec<f64>, expected: &[f64]| {
            assert_eq!(got.len(), expected.len());
            for (a, b) in got.iter().zip(expected) {
                assert!((a - b).abs() < 1e-12, "{got:?}");
            }
        };
        close(adams_bashforth(&[5.0], 5.5), &[0.5]);
        close(adams_bashforth(&[2.0, 3.0], 1.0), &[-1.5, 0.5]);
        let fourth = [55.0, -59.0, 37.0, -9.0].map(|w: f64| w / 24.0);
        close(adams_bashforth(&[0.0, -1.0, -2.0, -3.0], 1.0), &fourth);
    }
}
