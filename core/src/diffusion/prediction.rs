//! What a network predicts, and the scalars that turn it into the x0 estimate.
//!
//! Whatever is predicted, the estimate is `x0 = c_skip x + c_out F(c_in x, c_noise)`
//! (Karras et al. 2022, eq. 7).

use burn::tensor::Tensor;
use serde::{Deserialize, Serialize};

use super::denoiser::NoiseLevel;

/// What an EDM network is told at infinite noise: ln(sigma) / 4 of a level far above those that
/// schedules begin with, and no farther than the network's features of it are smooth.
const INFINITE_NOISE: f64 = 2.0;

/// What the network's output F means; stored in the model card as `"eps"`, `"x0"`, `"v"` or
/// `{"edm": {"sigma_data": 0.5}}`.
///
/// With `x = alpha x0 + sigma n`, brought to `alpha² + sigma² = 1` for the first three.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Prediction {
    /// The noise n (Ho et al. 2020).
    Eps,
    /// The clean image.
    X0,
    /// `v = alpha n - sigma x0` (Salimans & Ho 2022).
    V,
    /// The preconditioned residual of Karras et al. 2022, table 1.
    Edm {
        /// Standard deviation of clean images; above 0.
        sigma_data: f64,
    },
}

/// The scalars of one noise level, see [`Prediction::scaling`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Scaling {
    /// Factor on the noisy image that enters the network.
    pub c_in: f64,
    /// Factor on the noisy image in the estimate.
    pub c_skip: f64,
    /// Factor on the network's output in the estimate.
    pub c_out: f64,
    /// What the network is told as its time.
    pub c_noise: f64,
}

impl Prediction {
    /// The scalars at `level`, so that `x0 = c_skip x + c_out F(c_in x, c_noise)`.
    ///
    /// On a variance-preserving level a network that predicts eps, x0 or v sees x itself and
    /// the timestep. EDM sees `x / alpha` in its own scaling and a quarter of the logarithm of
    /// `sigma / alpha`, at [infinite noise](NoiseLevel::INFINITE) too, which the others do not
    /// know. `level.alpha` and `level.sigma` must be above 0: nothing is left to predict of a
    /// clean image.
    pub fn scaling(&self, level: NoiseLevel) -> Scaling {
        let NoiseLevel {
            alpha,
            sigma,
            timestep,
        } = level;
        let norm = alpha.hypot(sigma);
        match *self {
            Prediction::Eps => Scaling {
                c_in: 1.0 / norm,
                c_skip: 1.0 / alpha,
                c_out: -sigma / alpha,
                c_noise: timestep,
            },
            Prediction::X0 => Scaling {
                c_in: 1.0 / norm,
                c_skip: 0.0,
                c_out: 1.0,
                c_noise: timestep,
            },
            Prediction::V => Scaling {
                c_in: 1.0 / norm,
                c_skip: alpha / (norm * norm),
                c_out: -sigma / norm,
                c_noise: timestep,
            },
            Prediction::Edm { sigma_data } if sigma.is_infinite() => Scaling {
                c_in: 0.0,
                c_skip: 0.0,
                c_out: sigma_data,
                c_noise: INFINITE_NOISE,
            },
            Prediction::Edm { sigma_data } => {
                let sigma = level.relative_sigma();
                let norm = sigma.hypot(sigma_data);
                Scaling {
                    c_in: 1.0 / (alpha * norm),
                    c_skip: sigma_data * sigma_data / (alpha * norm * norm),
                    c_out: sigma * sigma_data / norm,
                    c_noise: sigma.ln() / 4.0,
                }
            }
        }
    }

    /// What the network is trained to output, as the factors `(a, b)` of `a x0 + b n`.
    pub fn target(&self, level: NoiseLevel) -> (f64, f64) {
        let norm = level.alpha.hypot(level.sigma);
        match *self {
            Prediction::Eps => (0.0, 1.0),
            Prediction::X0 => (1.0, 0.0),
            Prediction::V => (-level.sigma / norm, level.alpha / norm),
            Prediction::Edm { sigma_data } if level.sigma.is_infinite() => (1.0 / sigma_data, 0.0),
            Prediction::Edm { sigma_data } => {
                // (x0 - c_skip x) / c_out with x = x0 + sigma n
                let sigma = level.relative_sigma();
                let norm = sigma.hypot(sigma_data);
                (sigma / (sigma_data * norm), -sigma_data / norm)
            }
        }
    }

    /// The weight at which the squared error of the x0 estimate equals the squared error of
    /// the network's own output, `1 / c_out²`: the signal-to-noise ratio for eps, lambda of
    /// Karras et al. 2022, table 1, for EDM.
    pub fn weight(&self, level: NoiseLevel) -> f64 {
        self.scaling(level).c_out.powi(-2)
    }
}

/// The output of a network with learned variance in its two halves: what it predicts, and where
/// in its range the variance lies. One without has only the first.
///
/// # Shapes
/// - `output`: `[batch, bands, height, width]` or `[batch, 2 * bands, height, width]`
pub fn split_variance(output: Tensor<4>, bands: usize) -> (Tensor<4>, Option<Tensor<4>>) {
    if output.dims()[1] == bands {
        return (output, None);
    }
    let predicted = output.clone().narrow(1, 0, bands);
    (predicted, Some(output.narrow(1, bands, bands)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [Prediction; 4] = [
        Prediction::Eps,
        Prediction::X0,
        Prediction::V,
        Prediction::Edm { sigma_data: 0.5 },
    ];

    fn levels() -> Vec<NoiseLevel> {
        let vp = |angle: f64| NoiseLevel {
            alpha: angle.cos(),
            sigma: angle.sin(),
            timestep: 7.0,
        };
        let ve = |sigma: f64| NoiseLevel {
            alpha: 1.0,
            sigma,
            timestep: 0.0,
        };
        [0.01, 0.4, 1.0, 1.56]
            .map(vp)
            .into_iter()
            .chain([0.002, 0.5, 1.0, 80.0].map(ve))
            .collect()
    }

    fn close(got: f64, expected: f64) {
        assert!(
            (got - expected).abs() < 1e-9 * (1.0 + expected.abs()),
            "{expected}, got {got}"
        );
    }

    #[test]
    fn a_perfect_network_gives_back_the_clean_image() {
        let (x0, n) = (0.3, -1.2);
        for prediction in ALL {
            for level in levels() {
                let x = level.alpha * x0 + level.sigma * n;
                let (a, b) = prediction.target(level);
                let s = prediction.scaling(level);
                close(s.c_skip * x + s.c_out * (a * x0 + b * n), x0);
            }
        }
    }

    #[test]
    fn a_variance_preserving_network_sees_x_itself() {
        let level = NoiseLevel {
            alpha: 0.6,
            sigma: 0.8,
            timestep: 321.0,
        };
        for prediction in [Prediction::Eps, Prediction::X0, Prediction::V] {
            let s = prediction.scaling(level);
            close(s.c_in, 1.0);
            assert_eq!(s.c_noise, 321.0);
        }
        // v = alpha n - sigma x0; x0 = alpha x - sigma v; n = sigma x + alpha v.
        assert_eq!(Prediction::V.target(level), (-0.8, 0.6));
        let (x0, n) = (0.25, 0.75);
        let (x, v) = (0.6 * x0 + 0.8 * n, 0.6 * n - 0.8 * x0);
        close(0.6 * x - 0.8 * v, x0);
        close(0.8 * x + 0.6 * v, n);
        let s = Prediction::V.scaling(level);
        close(s.c_skip, 0.6);
        close(s.c_out, -0.8);
    }

    #[test]
    fn edm_keeps_unit_variance_on_both_sides_of_the_network() {
        let sigma_data = 0.5;
        let edm = Prediction::Edm { sigma_data };
        for level in levels() {
            let s = edm.scaling(level);
            let variance = (level.alpha * sigma_data).powi(2) + level.sigma * level.sigma;
            close(s.c_in * s.c_in * variance, 1.0);
            let (a, b) = edm.target(level);
            close((a * sigma_data).powi(2) + b * b, 1.0);
        }
        // Table 1 at sigma = sigma_data: c_skip 1/2, c_out sigma_data / sqrt 2.
        let s = edm.scaling(NoiseLevel {
            alpha: 1.0,
            sigma: 0.5,
            timestep: 0.0,
        });
        close(s.c_skip, 0.5);
        close(s.c_out, 0.5 / 2f64.sqrt());
        close(s.c_in, 2f64.sqrt());
        close(s.c_noise, 0.5f64.ln() / 4.0);
    }

    #[test]
    fn edm_ignores_the_scale_of_x() {
        let edm = Prediction::Edm { sigma_data: 1.0 };
        let ve = edm.scaling(NoiseLevel {
            alpha: 1.0,
            sigma: 2.0,
            timestep: 0.0,
        });
        let scaled = edm.scaling(NoiseLevel {
            alpha: 0.25,
            sigma: 0.5,
            timestep: 9.0,
        });
        close(scaled.c_in * 0.25, ve.c_in);
        close(scaled.c_skip * 0.25, ve.c_skip);
        close(scaled.c_out, ve.c_out);
        close(scaled.c_noise, ve.c_noise);
    }

    #[test]
    fn weights_of_the_literature() {
        for level in levels() {
            let (alpha, sigma) = (level.alpha, level.sigma);
            let snr = (alpha / sigma).powi(2);
            close(Prediction::Eps.weight(level), snr);
            close(Prediction::X0.weight(level), 1.0);
            close(Prediction::V.weight(level), snr + 1.0);
            let (s, d) = (sigma / alpha, 0.5);
            let lambda = (s * s + d * d) / (s * d).powi(2);
            close(Prediction::Edm { sigma_data: d }.weight(level), lambda);
        }
    }

    #[test]
    fn cards_name_predictions_in_kebab_case() {
        let names: Vec<String> = ALL
            .iter()
            .map(|p| serde_json::to_string(p).expect("json"))
            .collect();
        assert_eq!(
            names,
            [
                r#""eps""#,
                r#""x0""#,
                r#""v""#,
                r#"{"edm":{"sigma_data":0.5}}"#
            ]
        );
        for (name, prediction) in names.iter().zip(ALL) {
            assert_eq!(
                serde_json::from_str::<Prediction>(name).expect("json"),
                prediction
            );
        }
    }
}
