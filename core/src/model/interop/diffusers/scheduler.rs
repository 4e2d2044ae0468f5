//! A diffusers `scheduler_config.json` as our schedule, prediction and sampler, and back.

mod solver;
#[cfg(test)]
mod tests;
mod write;

use serde_json::{Value, json};

use crate::diffusion::denoiser::NoiseLevel;
use crate::diffusion::prediction::Prediction;
use crate::diffusion::sampler::{Options, Sampler};
use crate::diffusion::schedule::{Base, Schedule, Spacing};
use crate::diffusion::threshold::Threshold;
use crate::error::{Error, Hint, Result};
use crate::network::diffusers::{TimeEmbedding, UNet2DConfig};
pub use write::{feeds_plain_pipeline, write};

/// Steps where a scheduler is not made for all its timesteps, as in diffusers' own pipelines.
const USUAL_STEPS: usize = 50;

/// Variance of the steps of `ddpm`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Variance {
    /// The posterior's own (Ho et al. 2020, sect. 3.2).
    FixedSmall,
    /// beta, the largest there is.
    FixedLarge,
    /// What the network's second half of channels says (Nichol & Dhariwal 2021, eq. 15).
    LearnedRange,
}

/// What a scheduler's configuration says, in our words.
#[derive(Debug, Clone, PartialEq)]
pub struct Scheduler {
    /// The noise levels the network was trained at.
    pub schedule: Schedule,
    /// What its output means.
    pub prediction: Prediction,
    /// Which timesteps a short run visits.
    pub spacing: Spacing,
    /// Whether one timestep more is spaced, and the least of them left out.
    one_more: bool,
    /// Whether a run ends at the first timestep's level, instead of at the clean image.
    to_first: bool,
    /// The solver.
    pub sampler: Sampler,
    /// Steps where the user gives none.
    pub steps: usize,
    /// What the solver is told besides its levels.
    pub options: Options,
    /// Variance of `ddpm`'s steps.
    pub variance: Variance,
    /// How the estimate of the clean image is kept in range.
    pub threshold: Option<Threshold>,
    /// What is done in another way than diffusers would, for the user.
    pub notes: Vec<String>,
    /// The configuration as it was read.
    pub json: Value,
}

impl Scheduler {
    /// Reads a `scheduler_config.json`; without one, the defaults of `DDPMScheduler`.
    ///
    /// # Errors
    /// [`Error::Checkpoint`] naming the key, its value and what is supported.
    pub fn parse(text: Option<&str>) -> Result<Self> {
        let mut notes = Vec::new();
        let json: Value = match text {
            Some(text) => {
                serde_json::from_str(&finite(text)).map_err(|error| Error::Checkpoint {
                    what: format!("scheduler config: expected a JSON object, got {error}"),
                    hint: Hint::Advice("the file may be truncated; copy the folder again"),
                })?
            }
            None => {
                notes.push("no scheduler in the folder; taken as DDPM's with its defaults".into());
                json!({"_class_name": "DDPMScheduler"})
            }
        };
        let class = json["_class_name"].as_str().unwrap_or("DDPMScheduler");
        let class = class.replace("Parallel", "");
        if class.starts_with("EDM") {
            return edm(json.clone(), &class);
        }
        let (sampler, options) = solver::of(&class, &json, &mut notes)?;
        let schedule = schedule(&json, &class)?;
        schedule.validate()?;
        let prediction = prediction(&json)?;
        if matches!(schedule, Schedule::ZeroTerminalSnr { .. }) && prediction == Prediction::Eps {
            notes.push(
                "rescale_betas_zero_snr: of pure noise, a network that predicts the noise says \
                 nothing; the first step is made from an alpha of 2^-12"
                    .into(),
            );
        }
        let timesteps = schedule.timesteps().unwrap_or(USUAL_STEPS);
        solver::not_heeded(&class, &json, &mut notes);
        Ok(Self {
            prediction,
            spacing: spacing(&json, &class)?,
            one_more: solver::spaces_one_more(&class),
            to_first: ends_at_first(&json, &class),
            sampler,
            options: Options {
                schedule: Some(schedule),
                ..options
            },
            steps: match sampler {
                Sampler::Ddpm => timesteps,
                _ => USUAL_STEPS.min(timesteps),
            },
            variance: variance(&json)?,
            threshold: threshold(&json, &class)?,
            notes,
            schedule,
            json,
        })
    }

    /// Rejects a network that is not one for making images with this scheduler.
    ///
    /// # Errors
    /// [`Error::Checkpoint`] for more inputs than outputs, or a time that is not the scheduler's.
    pub fn check_network(&self, config: &UNet2DConfig) -> Result<()> {
        let learned = self.variance == Variance::LearnedRange;
        if config.out_channels != config.in_channels * if learned { 2 } else { 1 } {
            return Err(Error::Checkpoint {
                what: format!(
                    "expected a network that makes images from noise alone, got one with {} \
                     channels in and {} out",
                    config.in_channels, config.out_channels
                ),
                hint: Hint::Advice(
                    "extra channels in are a conditioning that cannot be made up here; twice as \
                       many out need variance_type learned_range in the scheduler",
                ),
            });
        }
        let timesteps = self.schedule.timesteps();
        match (config.time_embedding, config.num_train_timesteps) {
            // Its time is a sigma whose logarithm is taken, and its output the score.
            (TimeEmbedding::Fourier, _) => Err(Error::Checkpoint {
                what: "time_embedding_type: expected positional or learned, got fourier".into(),
                hint: Hint::Advice(
                    "networks of score SDEs need a scheduler that is not built here",
                ),
            }),
            (TimeEmbedding::Learned, Some(rows)) if timesteps.is_none_or(|t| t > rows) => {
                Err(Error::Checkpoint {
                    what: format!(
                        "num_train_timesteps: expected at most {rows} in the scheduler, as the \
                         network has rows, got {}",
                        timesteps.map_or("none".to_owned(), |t| t.to_string())
                    ),
                    hint: Hint::Advice("network and scheduler are of different models"),
                })
            }
            _ => Ok(()),
        }
    }

    /// The levels that the scheduler visits in `steps` steps, from the noisiest to the end of the
    /// run.
    ///
    /// # Errors
    /// As [`Schedule::levels`].
    pub fn levels(&self, steps: usize) -> Result<Vec<NoiseLevel>> {
        let discrete = self.spacing != Spacing::Karras && self.spacing != Spacing::Trailing;
        let most = self.schedule.timesteps().unwrap_or(usize::MAX);
        let mut levels = if self.one_more && discrete && (1..most).contains(&steps) {
            let mut levels = self.schedule.levels(steps + 1, self.spacing)?;
            levels.remove(steps);
            levels
        } else {
            self.schedule.levels(steps, self.spacing)?
        };
        let first = self.schedule.training_levels().first().copied();
        if let (true, Some(first), [.., last, end]) = (self.to_first, first, levels.as_mut_slice())
        {
            // A run whose last timestep is the first of all ends there.
            match last.timestep > 0.0 {
                true => *end = first,
                false if steps > 1 => drop(levels.pop()),
                false => {}
            }
        }
        Ok(levels)
    }
}

/// Python writes infinity as no other JSON does, e.g. for `lambda_min_clipped`.
fn finite(text: &str) -> String {
    ["-Infinity", "Infinity", "NaN"]
        .iter()
        .fold(text.to_owned(), |text, word| text.replace(word, "null"))
}

/// `EDMEulerScheduler`, `EDMDPMSolverMultistepScheduler`: the preconditioning of Karras et al.
fn edm(json: Value, class: &str) -> Result<Scheduler> {
    if let Some(kind) = json["prediction_type"]
        .as_str()
        .filter(|kind| *kind != "epsilon")
    {
        return Err(unsupported(
            "prediction_type",
            &json!(kind),
            "epsilon, with an EDM scheduler",
        ));
    }
    if let Some(kind) = json["sigma_schedule"]
        .as_str()
        .filter(|kind| *kind != "karras")
    {
        return Err(unsupported("sigma_schedule", &json!(kind), "karras"));
    }
    let number = |key: &str, default: f64| json[key].as_f64().unwrap_or(default);
    let schedule = Schedule::Karras {
        sigma_min: number("sigma_min", 0.002),
        sigma_max: number("sigma_max", 80.0),
        rho: number("rho", 7.0),
    };
    schedule.validate()?;
    let sigma_data = number("sigma_data", 0.5);
    if !(sigma_data.is_finite() && sigma_data > 0.0) {
        return Err(unsupported(
            "sigma_data",
            &json["sigma_data"],
            "a number above 0",
        ));
    }
    let name = if class.contains("Euler") {
        "euler"
    } else {
        "dpmpp-2m"
    };
    Ok(Scheduler {
        schedule,
        prediction: Prediction::Edm { sigma_data },
        spacing: Spacing::Karras,
        one_more: false,
        to_first: false,
        options: Options::default(),
        sampler: name.parse().unwrap_or(Sampler::DpmSolverPp2m),
        steps: USUAL_STEPS,
        variance: Variance::FixedSmall,
        threshold: None,
        notes: Vec::new(),
        json,
    })
}

fn schedule(json: &Value, class: &str) -> Result<Schedule> {
    let number = |key: &str, default: f64| json[key].as_f64().unwrap_or(default);
    let timesteps = match &json["num_train_timesteps"] {
        Value::Null => 1000,
        value => value
            .as_u64()
            .map(|n| n as usize)
            .ok_or_else(|| unsupported("num_train_timesteps", value, "a whole number"))?,
    };
    let of_latents = matches!(class, "HeunDiscreteScheduler" | "LCMScheduler");
    let (start, end) = if of_latents {
        (0.00085, 0.012)
    } else {
        (1e-4, 0.02)
    };
    let kind = if class == "LCMScheduler" {
        "scaled_linear"
    } else {
        "linear"
    };
    let (beta_start, beta_end) = (number("beta_start", start), number("beta_end", end));
    if !json["trained_betas"].is_null() {
        return Err(unsupported("trained_betas", &json["trained_betas"], "null"));
    }
    let (schedule, base) = match json["beta_schedule"].as_str().unwrap_or(kind) {
        "linear" => (
            Schedule::Linear {
                timesteps,
                beta_start,
                beta_end,
            },
            Base::Linear,
        ),
        "scaled_linear" => (
            Schedule::ScaledLinear {
                timesteps,
                beta_start,
                beta_end,
            },
            Base::ScaledLinear,
        ),
        "sigmoid" => (
            Schedule::SigmoidBeta {
                timesteps,
                beta_start,
                beta_end,
            },
            Base::SigmoidBeta,
        ),
        "squaredcos_cap_v2" => (Schedule::Cosine { timesteps }, Base::Cosine),
        other => {
            return Err(unsupported(
                "beta_schedule",
                &json!(other),
                "linear, scaled_linear, squaredcos_cap_v2, sigmoid",
            ));
        }
    };
    if json["rescale_betas_zero_snr"] != true {
        return Ok(schedule);
    }
    if base.schedule(timesteps) != schedule {
        return Err(unsupported(
            "beta_start, beta_end",
            &json!([beta_start, beta_end]),
            "with rescale_betas_zero_snr those of the schedule's paper",
        ));
    }
    Ok(Schedule::ZeroTerminalSnr { timesteps, base })
}

/// `thresholding`, else `clip_sample`, of the classes that know them.
fn threshold(json: &Value, class: &str) -> Result<Option<Threshold>> {
    let (clips, by_itself, by_quantile) = match class {
        "DDPMScheduler" | "DDIMScheduler" => (true, true, true),
        "LCMScheduler" => (true, false, true),
        "HeunDiscreteScheduler" => (true, false, false),
        _ => (
            false,
            false,
            class.starts_with("DPMSolver") || class.starts_with("UniPC"),
        ),
    };
    let number = |key: &str, default: f64, least: f64, most: f64| {
        let value = json[key].as_f64().unwrap_or(default);
        match value >= least && value <= most {
            true => Ok(value),
            false => Err(unsupported(key, &json[key], &format!("{least} to {most}"))),
        }
    };
    if by_quantile && json["thresholding"] == true {
        return Ok(Some(Threshold::Dynamic {
            quantile: number("dynamic_thresholding_ratio", 0.995, 0.0, 1.0)?,
            most: number("sample_max_value", 1.0, 1.0, 1e6)?,
        }));
    }
    if clips && json["clip_sample"].as_bool().unwrap_or(by_itself) {
        let range = number("clip_sample_range", 1.0, 1e-6, 1e6)?;
        return Ok(Some(Threshold::Static { range }));
    }
    Ok(None)
}

/// Whether the last step leads to the first timestep's level instead of to the clean image.
fn ends_at_first(json: &Value, class: &str) -> bool {
    match class {
        "DDIMScheduler" => json["set_alpha_to_one"] == false,
        "PNDMScheduler" => json["set_alpha_to_one"] != true,
        _ => json["final_sigmas_type"] == "sigma_min",
    }
}

fn prediction(json: &Value) -> Result<Prediction> {
    match json["prediction_type"].as_str().unwrap_or("epsilon") {
        "epsilon" => Ok(Prediction::Eps),
        "sample" => Ok(Prediction::X0),
        "v_prediction" => Ok(Prediction::V),
        other => Err(unsupported(
            "prediction_type",
            &json!(other),
            "epsilon, sample, v_prediction",
        )),
    }
}

fn variance(json: &Value) -> Result<Variance> {
    match json["variance_type"].as_str().unwrap_or("fixed_small") {
        "fixed_small" | "fixed_small_log" => Ok(Variance::FixedSmall),
        "fixed_large" | "fixed_large_log" => Ok(Variance::FixedLarge),
        "learned_range" => Ok(Variance::LearnedRange),
        other => Err(unsupported(
            "variance_type",
            &json!(other),
            "fixed_small, fixed_large, learned_range",
        )),
    }
}

fn spacing(json: &Value, class: &str) -> Result<Spacing> {
    if json["use_karras_sigmas"] == true {
        return Ok(Spacing::Karras);
    }
    let default = match class {
        "DDPMScheduler" | "DDIMScheduler" | "PNDMScheduler" | "LCMScheduler" => "leading",
        _ => "linspace",
    };
    match json["timestep_spacing"].as_str().unwrap_or(default) {
        "leading" => Ok(Spacing::Leading),
        "linspace" => Ok(Spacing::Linspace),
        "trailing" => Ok(Spacing::Trailing),
        other => Err(unsupported(
            "timestep_spacing",
            &json!(other),
            "leading, linspace, trailing",
        )),
    }
}

fn unsupported(key: &str, value: &Value, supported: &str) -> Error {
    Error::Checkpoint {
        what: format!("scheduler config: {key}: expected {supported}, got {value}"),
        hint: Hint::Advice("the model uses a part of diffusers that is not built here"),
    }
}
