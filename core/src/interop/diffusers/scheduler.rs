//! A diffusers `scheduler_config.json` as our schedule, prediction and sampler, and back.

use serde_json::{Value, json};

use crate::diffusion::prediction::Prediction;
use crate::diffusion::sampler::Sampler;
use crate::diffusion::schedule::{Schedule, Spacing};
use crate::error::{Error, Result};

/// Steps where a scheduler is not made for all its timesteps, as in diffusers' own pipelines.
const USUAL_STEPS: usize = 50;

/// What a scheduler's configuration says, in our words.
#[derive(Debug, Clone, PartialEq)]
pub struct Scheduler {
    /// The noise levels the network was trained at.
    pub schedule: Schedule,
    /// What its output means.
    pub prediction: Prediction,
    /// Which timesteps a short run visits.
    pub spacing: Spacing,
    /// The solver.
    pub sampler: Sampler,
    /// Steps where the user gives none.
    pub steps: usize,
    /// The estimate of the clean image is kept within plus and minus this.
    pub clip: Option<f64>,
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
            Some(text) => serde_json::from_str(text).map_err(|error| Error::Checkpoint {
                what: format!("scheduler config: expected a JSON object, got {error}"),
                hint: "the file may be truncated; copy the folder again",
            })?,
            None => {
                notes.push("no scheduler in the folder; taken as DDPM's with its defaults".into());
                json!({"_class_name": "DDPMScheduler"})
            }
        };
        let class = json["_class_name"].as_str().unwrap_or("DDPMScheduler");
        let class = class.trim_end_matches("Parallel").to_owned();
        if class.starts_with("EDM") {
            return edm(json.clone(), &class);
        }
        let preferred = sampler_name(&class)?;
        let sampler = preferred.parse().unwrap_or_else(|_| {
            notes.push(format!("{class} is not built here; ddim takes its place"));
            Sampler::Ddim
        });
        for (key, expected) in [
            ("trained_betas", Value::Null),
            ("rescale_betas_zero_snr", json!(false)),
            ("thresholding", json!(false)),
        ] {
            let value = &json[key];
            let set = !value.is_null() && *value != expected;
            if set {
                return Err(unsupported(key, value, &expected.to_string()));
            }
        }
        if json["variance_type"]
            .as_str()
            .is_some_and(|kind| kind.starts_with("learned"))
        {
            let expected = "fixed_small, fixed_large";
            return Err(unsupported(
                "variance_type",
                &json["variance_type"],
                expected,
            ));
        }
        if sampler == Sampler::Ddpm && json["variance_type"] == "fixed_large" {
            notes.push("variance_type fixed_large is sampled as fixed_small".into());
        }
        if json["steps_offset"]
            .as_u64()
            .is_some_and(|offset| offset > 0)
        {
            notes.push(format!(
                "steps_offset {} is taken as 0",
                json["steps_offset"]
            ));
        }
        let schedule = schedule(&json)?;
        schedule.validate()?;
        let timesteps = schedule.timesteps().unwrap_or(USUAL_STEPS);
        let clips = json["clip_sample"]
            .as_bool()
            .unwrap_or(matches!(class.as_str(), "DDPMScheduler" | "DDIMScheduler"));
        Ok(Self {
            prediction: prediction(&json)?,
            spacing: spacing(&json, &class)?,
            sampler,
            steps: match sampler {
                Sampler::Ddpm => timesteps,
                _ => USUAL_STEPS.min(timesteps),
            },
            clip: clips.then(|| json["clip_sample_range"].as_f64().unwrap_or(1.0)),
            notes,
            schedule,
            json,
        })
    }
}

/// The configuration for a model of ours.
///
/// # Errors
/// [`Error::Checkpoint`] for a pair of schedule and prediction that diffusers cannot express.
pub fn write(schedule: &Schedule, prediction: Prediction) -> Result<Value> {
    if let Prediction::Edm { sigma_data } = prediction {
        let Schedule::Karras {
            sigma_min,
            sigma_max,
            rho,
        } = *schedule
        else {
            return Err(Error::Checkpoint {
                what: "a diffusers scheduler for EDM needs the karras schedule".into(),
                hint: "the pair of schedule and prediction has no counterpart in diffusers",
            });
        };
        return Ok(json!({
            "_class_name": "EDMDPMSolverMultistepScheduler",
            "sigma_min": sigma_min, "sigma_max": sigma_max, "rho": rho,
            "sigma_data": sigma_data, "sigma_schedule": "karras",
            "prediction_type": "epsilon", "final_sigmas_type": "zero",
        }));
    }
    let kind = match prediction {
        Prediction::X0 => "sample",
        Prediction::V => "v_prediction",
        _ => "epsilon",
    };
    let mut json = json!({
        "_class_name": "DDPMScheduler",
        "prediction_type": kind,
        "timestep_spacing": "trailing",
        "variance_type": "fixed_small",
        "clip_sample": false,
    });
    let mut set = |name: &str, timesteps: usize, ends: Option<(f64, f64)>| {
        json["beta_schedule"] = json!(name);
        json["num_train_timesteps"] = json!(timesteps);
        if let Some((start, end)) = ends {
            json["beta_start"] = json!(start);
            json["beta_end"] = json!(end);
        }
    };
    match *schedule {
        Schedule::Linear {
            timesteps,
            beta_start: a,
            beta_end: b,
        } => {
            set("linear", timesteps, Some((a, b)));
        }
        Schedule::ScaledLinear {
            timesteps,
            beta_start: a,
            beta_end: b,
        } => {
            set("scaled_linear", timesteps, Some((a, b)));
        }
        Schedule::SigmoidBeta {
            timesteps,
            beta_start: a,
            beta_end: b,
        } => {
            set("sigmoid", timesteps, Some((a, b)));
        }
        Schedule::Cosine { timesteps } => set("squaredcos_cap_v2", timesteps, None),
        // What diffusers has no name for it takes as a list.
        other => match other.timesteps() {
            Some(timesteps) => {
                set("linear", timesteps, None);
                json["trained_betas"] = json!(other.betas());
            }
            None => {
                return Err(Error::Checkpoint {
                    what: "a schedule without timesteps needs a network that predicts EDM".into(),
                    hint: "the pair of schedule and prediction has no counterpart in diffusers",
                });
            }
        },
    }
    Ok(json)
}

/// Whether `DDPMPipeline` runs with this scheduler: it neither scales the network's input nor
/// starts from a sigma above 1.
pub fn feeds_plain_pipeline(class: &str) -> bool {
    ["DDPM", "DDIM", "PNDM", "DPMSolver", "UniPC", "DEIS"]
        .iter()
        .any(|family| class.starts_with(family))
}

/// Our name of the solver that a scheduler class is.
fn sampler_name(class: &str) -> Result<&'static str> {
    Ok(match class {
        "DDPMScheduler" => "ddpm",
        "DDIMScheduler" => "ddim",
        "PNDMScheduler" => "plms",
        "DPMSolverMultistepScheduler" => "dpmpp-2m",
        "DPMSolverSinglestepScheduler" => "dpmpp-2s",
        "HeunDiscreteScheduler" => "heun",
        "EulerDiscreteScheduler" => "euler",
        "EulerAncestralDiscreteScheduler" => "euler-ancestral",
        "LMSDiscreteScheduler" => "lms",
        "UniPCMultistepScheduler" => "unipc-bh2",
        "DEISMultistepScheduler" => "deis",
        "LCMScheduler" => "lcm",
        _ => {
            let known = "a discrete scheduler such as DDPMScheduler, DDIMScheduler, \
                         DPMSolverMultistepScheduler, or an EDM one";
            return Err(unsupported("_class_name", &json!(class), known));
        }
    })
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
        sampler: name.parse().unwrap_or(Sampler::DpmSolverPp2m),
        steps: USUAL_STEPS,
        clip: None,
        notes: Vec::new(),
        json,
    })
}

fn schedule(json: &Value) -> Result<Schedule> {
    let number = |key: &str, default: f64| json[key].as_f64().unwrap_or(default);
    let timesteps = match &json["num_train_timesteps"] {
        Value::Null => 1000,
        value => value
            .as_u64()
            .map(|n| n as usize)
            .ok_or_else(|| unsupported("num_train_timesteps", value, "a whole number"))?,
    };
    let (beta_start, beta_end) = (number("beta_start", 1e-4), number("beta_end", 0.02));
    match json["beta_schedule"].as_str().unwrap_or("linear") {
        "linear" => Ok(Schedule::Linear {
            timesteps,
            beta_start,
            beta_end,
        }),
        "scaled_linear" => Ok(Schedule::ScaledLinear {
            timesteps,
            beta_start,
            beta_end,
        }),
        "sigmoid" => Ok(Schedule::SigmoidBeta {
            timesteps,
            beta_start,
            beta_end,
        }),
        "squaredcos_cap_v2" => Ok(Schedule::Cosine { timesteps }),
        other => Err(unsupported(
            "beta_schedule",
            &json!(other),
            "linear, scaled_linear, squaredcos_cap_v2, sigmoid",
        )),
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
        hint: "the model uses a part of diffusers that is not built here",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ddpm_as_its_pipeline_writes_it() {
        let text = r#"{"_class_name": "DDPMScheduler", "beta_schedule": "squaredcos_cap_v2",
            "clip_sample": true, "clip_sample_range": 1.5, "num_train_timesteps": 500,
            "prediction_type": "v_prediction", "timestep_spacing": "leading"}"#;
        let s = Scheduler::parse(Some(text)).unwrap();
        assert_eq!(s.schedule, Schedule::Cosine { timesteps: 500 });
        assert_eq!((s.prediction, s.spacing), (Prediction::V, Spacing::Leading));
        assert_eq!(
            (s.sampler, s.steps, s.clip),
            (Sampler::Ddpm, 500, Some(1.5))
        );
        assert!(s.notes.is_empty());
    }

    #[test]
    fn ours_survive_the_way_out_and_back() {
        for (schedule, prediction) in [
            (
                Schedule::Linear {
                    timesteps: 1000,
                    beta_start: 1e-4,
                    beta_end: 0.02,
                },
                Prediction::Eps,
            ),
            (Schedule::Cosine { timesteps: 200 }, Prediction::X0),
            (
                Schedule::Karras {
                    sigma_min: 0.02,
                    sigma_max: 20.0,
                    rho: 7.0,
                },
                Prediction::Edm { sigma_data: 0.9 },
            ),
        ] {
            let text = write(&schedule, prediction).unwrap().to_string();
            let again = Scheduler::parse(Some(&text)).unwrap();
            assert_eq!((again.schedule, again.prediction), (schedule, prediction));
        }
        let listed = write(
            &Schedule::SigmoidAlphaBar { timesteps: 10 },
            Prediction::Eps,
        )
        .unwrap();
        assert_eq!(listed["trained_betas"].as_array().unwrap().len(), 10);
        let karras = Schedule::Karras {
            sigma_min: 0.02,
            sigma_max: 20.0,
            rho: 7.0,
        };
        assert!(write(&karras, Prediction::Eps).is_err());
    }

    #[test]
    fn what_is_not_supported_is_named() {
        for (text, words) in [
            (
                r#"{"_class_name": "ScoreSdeVeScheduler"}"#,
                ["_class_name", "ScoreSdeVe"],
            ),
            (
                r#"{"beta_schedule": "laplace"}"#,
                ["beta_schedule", "laplace"],
            ),
            (r#"{"thresholding": true}"#, ["thresholding", "true"]),
            (r#"{"trained_betas": [0.1]}"#, ["trained_betas", "0.1"]),
            (
                r#"{"variance_type": "learned_range"}"#,
                ["variance_type", "learned_range"],
            ),
            ("{", ["JSON", "scheduler"]),
        ] {
            let error = Scheduler::parse(Some(text)).expect_err(text).to_string();
            assert!(words.iter().all(|word| error.contains(word)), "{error}");
        }
    }
}
