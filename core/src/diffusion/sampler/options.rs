//! What some samplers can be told besides their levels.

use crate::diffusion::schedule::Schedule;
use crate::error::{Error, Hint, Key, Result};

/// Settings of single samplers; the defaults are those of the papers.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Options {
    /// Noise of `ddim`: 0 is deterministic, 1 as noisy as `ddpm`.
    pub eta: f64,
    /// Noise of the stochastic solvers (`euler-ancestral`, `dpmpp-2m-sde`, `dpmpp-3m-sde`):
    /// 0 to 1, 1 is the reverse diffusion itself.
    pub sde_eta: f64,
    /// What `heun-churn` adds.
    pub churn: Churn,
    /// Order of UniPC's predictor, 1 to 3; its corrector raises the order by one.
    pub unipc_order: usize,
    /// Step size of the Langevin corrector as a signal-to-noise ratio (Song et al. 2021b,
    /// algorithms 4 and 5, r).
    pub snr: f64,
    /// Langevin steps a level, of `annealed-langevin` (Song & Ermon 2020, T).
    pub langevin_steps: usize,
    /// Largest noise-free level of a consistency model (Song et al. 2023, epsilon), as the
    /// ratio of noise to signal.
    pub consistency_min: f64,
    /// What the levels are levels of, for a sampler that visits others between them (`pndm`);
    /// without it they are interpolated.
    pub schedule: Option<Schedule>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            eta: 0.0,
            sde_eta: 1.0,
            churn: Churn::default(),
            unipc_order: 2,
            snr: 0.16,
            langevin_steps: 5,
            consistency_min: 0.002,
            schedule: None,
        }
    }
}

/// Noise that is added before every step of `heun-churn` (Karras et al. 2022, algorithm 2).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Churn {
    /// S_churn: noise over the whole run; 0 adds none.
    pub amount: f64,
    /// S_tmin: the ratio of noise to signal below which none is added.
    pub min: f64,
    /// S_tmax: the ratio above which none is added.
    pub max: f64,
    /// S_noise: standard deviation of the noise, slightly above 1 against lost detail.
    pub noise: f64,
}

impl Default for Churn {
    /// The values of Karras et al. 2022, table 5, for ImageNet-64.
    fn default() -> Self {
        Self {
            amount: 40.0,
            min: 0.05,
            max: 50.0,
            noise: 1.003,
        }
    }
}

impl Options {
    /// Checks every range.
    ///
    /// # Errors
    /// [`Error::Setting`] naming the first field that is out of range.
    pub fn validate(&self) -> Result<()> {
        let fail = |key, expected: &str, got: String, advice| {
            Err(Error::Setting {
                key,
                expected: expected.into(),
                got,
                hint: Hint::Advice(advice),
            })
        };
        for (key, value) in [(Key::Eta, self.eta), (Key::Field("sde eta"), self.sde_eta)] {
            if !(0.0..=1.0).contains(&value) {
                let advice = "0 is deterministic, 1 adds as much noise as ddpm";
                return fail(key, "0 to 1", value.to_string(), advice);
            }
        }
        let churn = [self.churn.amount, self.churn.min, self.churn.noise];
        if churn.iter().any(|v| !(v.is_finite() && *v >= 0.0)) || self.churn.max.is_nan() {
            let got = format!("{:?}", self.churn);
            let advice = "an amount of 0 adds no noise";
            return fail(Key::Field("churn"), "0 or more", got, advice);
        }
        if !(1..=3).contains(&self.unipc_order) {
            let (key, got) = (Key::Field("order of unipc"), self.unipc_order.to_string());
            return fail(key, "1 to 3", got, "2 is stable everywhere");
        }
        if !(self.snr > 0.0 && self.snr < 1.0) {
            let (key, got) = (Key::Field("snr"), self.snr.to_string());
            return fail(key, "above 0, below 1", got, "0.16 suits most networks");
        }
        if !(1..=1000).contains(&self.langevin_steps) {
            let (key, got) = (
                Key::Field("langevin steps"),
                self.langevin_steps.to_string(),
            );
            return fail(key, "1 to 1000", got, "5 is usual");
        }
        if !(self.consistency_min.is_finite() && self.consistency_min >= 0.0) {
            let (key, got) = (
                Key::Field("consistency min"),
                self.consistency_min.to_string(),
            );
            return fail(key, "0 or more", got, "0.002 is usual");
        }
        Ok(())
    }
}
