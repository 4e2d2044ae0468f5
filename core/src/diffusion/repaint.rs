//! RePaint: an unconditional denoiser fills a hole by going down, and up and down again
//! (Lugmayr et al. 2022).

use burn::tensor::Tensor;
use serde::{Deserialize, Serialize};

use super::posterior::added;
use super::sampler::Walk;
use crate::error::Result;

/// How often, and how far, a run goes back up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resampling {
    /// j: levels between two places of return, and of each way back up; at least 1.
    pub jump_length: usize,
    /// r: how often every part is walked; 1 never goes back.
    pub jump_samples: usize,
}

impl Default for Resampling {
    /// The paper's.
    fn default() -> Self {
        Resampling {
            jump_length: 10,
            jump_samples: 10,
        }
    }
}

/// A move between neighbouring levels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Move {
    /// One step towards the clean image: a call of the network.
    Denoise,
    /// One step of the diffusion back: fresh noise.
    Renoise,
}

impl Resampling {
    /// The moves of a run over `steps` steps (sect. 4.2): having come down to every `jump_length`th
    /// level above the clean image for the first time, up by `jump_length` and down again,
    /// `jump_samples - 1` times.
    pub fn moves(self, steps: usize) -> Vec<Move> {
        let length = self.jump_length.max(1);
        // Steps still to go after which the run goes back, and how often.
        let mut returns = vec![0; steps + 1];
        for place in (0..steps.saturating_sub(length)).step_by(length) {
            returns[place] = self.jump_samples.saturating_sub(1);
        }
        let mut moves = Vec::new();
        let mut left = steps;
        while left > 0 {
            left -= 1;
            moves.push(Move::Denoise);
            if returns[left] > 0 {
                returns[left] -= 1;
                moves.extend(std::iter::repeat_n(Move::Renoise, length));
                left += length;
            }
        }
        moves
    }

    /// Calls of the network in a run over `steps` steps.
    pub fn calls(self, steps: usize) -> usize {
        let moves = self.moves(steps);
        moves.iter().filter(|m| **m == Move::Denoise).count()
    }
}

/// What is known of the image.
pub struct Known {
    /// `[batch, bands, height, width]`; anything where masked.
    pub image: Tensor<4>,
    /// 1 = fill, `[batch, 1, height, width]`.
    pub mask: Tensor<4>,
}

/// RePaint (algorithm 1): a step draws the hole from the model (DDIM's step with `eta`, 1 in the
/// paper: ancestral) and the rest from the known image at the level reached; a move up adds the
/// noise between two levels to both.
///
/// # Shapes
/// - `x`: `[batch, bands, height, width]` at `levels[0]`, its sigma times noise draw 0; move i
///   asks for draw i + 1
/// - output: the same, at the last level
///
/// `on_step` is called after every call of the network, with its number from 0.
///
/// # Errors
/// [`Error::Interrupted`](crate::Error::Interrupted) when `on_step` breaks off.
pub fn repaint(
    walk: &mut Walk,
    known: &Known,
    mut x: Tensor<4>,
    resampling: Resampling,
    eta: f64,
) -> Result<Tensor<4>> {
    let visible = known.mask.clone().neg() + 1.0;
    let (mut at, mut calls) = (0, 0);
    let levels = walk.levels;
    let moves = resampling.moves(walk.step_count());
    for (number, direction) in moves.into_iter().enumerate() {
        let now = levels[at];
        match direction {
            Move::Renoise => {
                at -= 1;
                let ratio = levels[at].alpha / now.alpha;
                let added = added(levels[at], now);
                let fresh = walk.draw(number + 1, &x);
                x = x * ratio + fresh * added.max(0.0).sqrt();
            }
            Move::Denoise => {
                at += 1;
                let next = levels[at];
                let denoised = walk.denoise(&x, now);
                let ratio = now.alpha / next.alpha * next.sigma / now.sigma;
                let variance = eta * eta * (next.sigma.powi(2) - (ratio * next.sigma).powi(2));
                let kept = (next.sigma.powi(2) - variance).max(0.0).sqrt() / now.sigma;
                let mut hole = x * kept + denoised.clone() * (next.alpha - kept * now.alpha);
                let mut rest = known.image.clone() * next.alpha;
                if next.sigma > 0.0 {
                    // One draw serves both: a pixel is either hole or known.
                    let fresh = walk.draw(number + 1, &hole);
                    hole = hole + fresh.clone() * variance.max(0.0).sqrt();
                    rest = rest + fresh * next.sigma;
                }
                x = hole * known.mask.clone() + rest * visible.clone();
                walk.done(calls, &x, &denoised)?;
                calls += 1;
            }
        }
    }
    Ok(x)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The numbers of moves the paper's settings amount to.
    #[test]
    fn moves_as_in_the_paper() {
        let moves = Resampling::default().moves(250);
        let count = |wanted| moves.iter().filter(|m| **m == wanted).count();
        assert_eq!((count(Move::Denoise), count(Move::Renoise)), (2410, 2160));
        assert_eq!(Resampling::default().calls(250), 2410);
    }

    #[test]
    fn every_walk_ends_at_the_clean_image() {
        for (steps, jump_length, jump_samples) in [
            (1, 1, 3),
            (7, 2, 4),
            (10, 10, 10),
            (12, 5, 1),
            (5, 0, 2),
            (0, 3, 3),
        ] {
            let resampling = Resampling {
                jump_length,
                jump_samples,
            };
            let mut left = steps as i64;
            for direction in resampling.moves(steps) {
                left += match direction {
                    Move::Denoise => -1,
                    Move::Renoise => 1,
                };
                assert!((0..=steps as i64).contains(&left), "{resampling:?}");
            }
            assert_eq!(left, 0, "{resampling:?}");
        }
    }
}
