//! Diffusions in continuous time (Song et al. 2021b): `dx = f(t) x dt + g(t) dw` for t from 0 to
//! 1, with the noise level of every t in closed form.

use super::denoiser::NoiseLevel;

/// A forward diffusion.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Sde {
    /// Variance preserving: `dx = -beta x / 2 dt + sqrt(beta) dw`, beta linear in t (eq. 11).
    Vp {
        /// beta at t = 0, per unit of time: 0.1 in the paper.
        beta_min: f64,
        /// beta at t = 1: 20 in the paper.
        beta_max: f64,
    },
    /// sub-VP: the same drift and less noise, `g² = beta (1 - alpha⁴)` (eq. 12).
    SubVp {
        /// As of the VP-SDE.
        beta_min: f64,
        /// As of the VP-SDE.
        beta_max: f64,
    },
    /// Variance exploding: `sigma = sigma_min (sigma_max / sigma_min)^t` (eq. 9, appendix C).
    Ve {
        /// sigma at t = 0: 0.01 in the paper.
        sigma_min: f64,
        /// sigma at t = 1: 50 in the paper for 32x32 images.
        sigma_max: f64,
    },
}

impl Sde {
    /// The smallest t of training and sampling: below it the score is no longer finite in
    /// practice (appendix C).
    pub fn smallest_time(&self) -> f64 {
        match self {
            Sde::Vp { .. } | Sde::SubVp { .. } => 1e-3,
            Sde::Ve { .. } => 1e-5,
        }
    }

    /// alpha and sigma of `x(t) = alpha x0 + sigma n` (eq. 29); its timestep is t itself.
    pub fn level(&self, t: f64) -> NoiseLevel {
        let alpha = |low: f64, high: f64| (-0.25 * t * t * (high - low) - 0.5 * t * low).exp();
        let (alpha, sigma) = match *self {
            Sde::Vp { beta_min, beta_max } => {
                let alpha = alpha(beta_min, beta_max);
                (alpha, (1.0 - alpha * alpha).sqrt())
            }
            Sde::SubVp { beta_min, beta_max } => {
                let alpha = alpha(beta_min, beta_max);
                (alpha, 1.0 - alpha * alpha)
            }
            Sde::Ve {
                sigma_min,
                sigma_max,
            } => (1.0, sigma_min * (sigma_max / sigma_min).powf(t)),
        };
        NoiseLevel {
            alpha,
            sigma,
            timestep: t,
        }
    }

    /// f(t), the factor on x of the drift.
    pub fn drift(&self, t: f64) -> f64 {
        match *self {
            Sde::Vp { beta_min, beta_max } | Sde::SubVp { beta_min, beta_max } => {
                -0.5 * (beta_min + t * (beta_max - beta_min))
            }
            Sde::Ve { .. } => 0.0,
        }
    }

    /// g(t), the standard deviation of the noise per square root of time.
    pub fn diffusion(&self, t: f64) -> f64 {
        let level = self.level(t);
        let beta = -2.0 * self.drift(t);
        match *self {
            Sde::Vp { .. } => beta.sqrt(),
            Sde::SubVp { .. } => (beta * (1.0 - level.alpha.powi(4))).sqrt(),
            Sde::Ve {
                sigma_min,
                sigma_max,
            } => level.sigma * (2.0 * (sigma_max / sigma_min).ln()).sqrt(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [Sde; 3] = [
        Sde::Vp {
            beta_min: 0.1,
            beta_max: 20.0,
        },
        Sde::SubVp {
            beta_min: 0.1,
            beta_max: 20.0,
        },
        Sde::Ve {
            sigma_min: 0.01,
            sigma_max: 50.0,
        },
    ];

    #[test]
    fn levels_follow_from_drift_and_diffusion() {
        // d alpha / dt = f alpha and d sigma² / dt = 2 f sigma² + g².
        let h = 1e-5;
        for sde in ALL {
            for t in [0.1, 0.5, 0.9] {
                let (a, b, c) = (sde.level(t - h), sde.level(t), sde.level(t + h));
                let rate = |a: f64, c: f64| (c - a) / (2.0 * h);
                let (f, g) = (sde.drift(t), sde.diffusion(t));
                let close = |got: f64, expected: f64| {
                    let size = 1.0 + expected.abs();
                    assert!((got - expected).abs() < 1e-5 * size, "{sde:?} at {t}");
                };
                close(rate(a.alpha, c.alpha), f * b.alpha);
                let variance = rate(a.sigma.powi(2), c.sigma.powi(2));
                close(variance, 2.0 * f * b.sigma.powi(2) + g * g);
            }
        }
    }
}
