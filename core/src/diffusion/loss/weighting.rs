//! How much a noise level counts in the simple loss.

use serde::{Deserialize, Serialize};

use crate::diffusion::denoiser::NoiseLevel;
use crate::diffusion::prediction::Prediction;

/// Stored in a recipe as `"output"`, `"x0"`, `{ min-snr = { gamma = 5.0 } }` or
/// `{ score-matching = { power = 2.0 } }`.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Weighting {
    /// Every error of the network's own output counts the same.
    #[default]
    Output,
    /// Every error of the x0 estimate counts the same.
    X0,
    /// Errors of the x0 estimate count by the signal-to-noise ratio, at most `gamma` (Hang et al.
    /// 2023, eq. 6).
    MinSnr {
        /// The most a level counts; 5 in the paper.
        gamma: f64,
    },
    /// Denoising score matching (Vincent 2011): errors of the score count by sigma to the
    /// `power`. 2 is the weight of Song & Ermon 2019, eq. 6, and of Song et al. 2021b, under which
    /// every level costs about the same; 0 is the unweighted score matching.
    ScoreMatching {
        /// The exponent.
        power: f64,
    },
}

impl Weighting {
    /// Whether its number is in range.
    pub fn is_sound(&self) -> bool {
        match *self {
            Weighting::Output | Weighting::X0 => true,
            Weighting::MinSnr { gamma } => gamma.is_finite() && gamma > 0.0,
            Weighting::ScoreMatching { power } => (0.0..=8.0).contains(&power),
        }
    }

    /// The factor on the squared error of the network's own output.
    pub fn of_output(&self, prediction: &Prediction, level: NoiseLevel) -> f64 {
        // The x0 estimate errs c_out times as much as the output, and the score of x / alpha
        // 1 / sigma² times as much as the estimate.
        let sigma = level.relative_sigma();
        let of_estimate = match *self {
            Weighting::Output => return 1.0,
            Weighting::X0 => 1.0,
            Weighting::MinSnr { gamma } => sigma.powi(-2).min(gamma),
            Weighting::ScoreMatching { power } => sigma.powf(power - 4.0),
        };
        of_estimate * prediction.scaling(level).c_out.powi(2)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn level(snr: f64) -> NoiseLevel {
        let sigma = (snr + 1.0).sqrt().recip();
        NoiseLevel {
            alpha: (1.0 - sigma * sigma).sqrt(),
            sigma,
            timestep: 3.0,
        }
    }

    fn close(got: f64, expected: f64) {
        assert!((got / expected - 1.0).abs() < 1e-9, "{got}, {expected}");
    }

    #[test]
    fn min_snr_is_that_of_the_paper_for_every_prediction() {
        // Hang et al. 2023, sect. 3.4: min(SNR, g) for x0, / SNR for eps, / (SNR + 1) for v.
        let weighting = Weighting::MinSnr { gamma: 5.0 };
        for snr in [0.01, 1.0, 4.9, 5.1, 1000.0] {
            let least = f64::min(snr, 5.0);
            let of = |prediction| weighting.of_output(&prediction, level(snr));
            close(of(Prediction::X0), least);
            close(of(Prediction::Eps), least / snr);
            close(of(Prediction::V), least / (snr + 1.0));
        }
    }

    #[test]
    fn score_matching_by_the_variance_is_the_simple_loss_of_the_noise() {
        for sigma in [0.01, 1.0, 50.0] {
            let level = NoiseLevel {
                alpha: 1.0,
                sigma,
                timestep: 0.0,
            };
            let of = |power| Weighting::ScoreMatching { power }.of_output(&Prediction::Eps, level);
            close(of(2.0), 1.0);
            // The error of the score is that of the noise over sigma.
            close(of(0.0), sigma.powi(-2));
        }
    }
}
