//! Our schedule and prediction as a diffusers `scheduler_config.json`.

use serde_json::{Value, json};

use crate::diffusion::prediction::Prediction;
use crate::diffusion::schedule::Schedule;
use crate::error::{Error, Hint, Result};

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
                hint: Hint::Advice(
                    "the pair of schedule and prediction has no counterpart in diffusers",
                ),
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
                    hint: Hint::Advice(
                        "the pair of schedule and prediction has no counterpart in diffusers",
                    ),
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
