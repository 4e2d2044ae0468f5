//! Which of our samplers a scheduler class is, and what of its configuration is not heeded.

use serde_json::{Value, json};

use super::unsupported;
use crate::diffusion::sampler::{Options, Sampler};
use crate::error::Result;

/// The solver of a class with its settings. What it does in another way is noted.
///
/// # Errors
/// [`Error::Checkpoint`](crate::Error::Checkpoint) for a class of another kind.
pub(super) fn of(class: &str, json: &Value, notes: &mut Vec<String>) -> Result<(Sampler, Options)> {
    let mut options = Options::default();
    let order = json["solver_order"].as_u64().unwrap_or(2);
    let sampler = match class {
        "DDPMScheduler" => Sampler::Ddpm,
        "DDIMScheduler" => Sampler::Ddim,
        "PNDMScheduler" if json["skip_prk_steps"] == true => Sampler::Plms,
        "PNDMScheduler" => Sampler::Pndm,
        "DPMSolverMultistepScheduler" => multistep(json, order, notes),
        "DPMSolverSinglestepScheduler" => match order {
            1 => Sampler::DpmSolverPp1s,
            2 => Sampler::DpmSolverPp2s,
            _ => {
                notes.push(format!("solver_order {order} is taken as 2"));
                Sampler::DpmSolverPp2s
            }
        },
        "HeunDiscreteScheduler" => Sampler::Heun,
        "EulerDiscreteScheduler" => Sampler::Euler,
        "EulerAncestralDiscreteScheduler" => Sampler::EulerAncestral,
        "LMSDiscreteScheduler" => Sampler::Lms,
        "UniPCMultistepScheduler" => {
            options.unipc_order = order.clamp(1, 3) as usize;
            match json["solver_type"].as_str() {
                Some("bh1") => Sampler::UniPcBh1,
                _ => Sampler::UniPcBh2,
            }
        }
        "LCMScheduler" => {
            notes.push("LCMScheduler spaces timesteps in its own way; taken as leading".into());
            Sampler::Lcm
        }
        "DEISMultistepScheduler" => {
            notes.push(format!("{class} is not built here; ddim takes its place"));
            Sampler::Ddim
        }
        _ => {
            let known = "a discrete scheduler such as DDPMScheduler, DDIMScheduler, \
                         DPMSolverMultistepScheduler, or an EDM one";
            return Err(unsupported("_class_name", &json!(class), known));
        }
    };
    Ok((sampler, options))
}

fn multistep(json: &Value, order: u64, notes: &mut Vec<String>) -> Sampler {
    let kind = json["algorithm_type"].as_str().unwrap_or("dpmsolver++");
    if !kind.ends_with("++") {
        notes.push(format!("algorithm_type {kind} is taken as {kind}++"));
    }
    match (kind.starts_with("sde-"), order) {
        (false, 1) => Sampler::DpmSolverPp1s,
        (false, 3) => Sampler::DpmSolverPp3m,
        (false, _) => Sampler::DpmSolverPp2m,
        // Of first order it is the reverse diffusion itself.
        (true, 1) => Sampler::Ddpm,
        (true, 3) => {
            notes.push("solver_order 3 of sde-dpmsolver++ is taken as k-diffusion has it".into());
            Sampler::DpmSolverPp3mSde
        }
        (true, _) => Sampler::DpmSolverPp2mSde,
    }
}

/// Whether a class spaces one timestep more than it takes steps, and leaves out the least.
pub(super) fn spaces_one_more(class: &str) -> bool {
    ["DPMSolver", "UniPC", "DEIS"]
        .iter()
        .any(|family| class.starts_with(family))
}

/// Notes every key whose value would change what diffusers computes, but nothing here.
pub(super) fn not_heeded(class: &str, json: &Value, notes: &mut Vec<String>) {
    // Key and the value that changes nothing.
    let one = match class {
        "DPMSolverMultistepScheduler" | "DPMSolverSinglestepScheduler" => json!("midpoint"),
        _ => json["solver_type"].clone(),
    };
    let clips = json["clip_sample"] != false || json["thresholding"] == true;
    if class == "DDIMScheduler" && clips {
        notes.push(
            "DDIMScheduler: the noise of a step follows from the clipped image, as with \
             use_clipped_model_output"
                .into(),
        );
    }
    if class == "PNDMScheduler" && json["prediction_type"] == "v_prediction" {
        let way = "diffusers mixes velocities of several timesteps, here it is noise that is mixed";
        notes.push(format!("PNDMScheduler with v_prediction: {way}"));
    }
    let between = ["EulerDiscrete", "EulerAncestral", "Heun", "LMS"];
    let linspace = matches!(json["timestep_spacing"].as_str(), None | Some("linspace"));
    if linspace && between.iter().any(|family| class.starts_with(family)) {
        notes.push(format!(
            "timestep_spacing linspace of {class} is rounded to whole timesteps"
        ));
    }
    for (key, neutral) in [
        ("steps_offset", json!(0)),
        ("solver_type", one),
        ("euler_at_final", json!(false)),
        ("use_exponential_sigmas", json!(false)),
        ("use_beta_sigmas", json!(false)),
        ("use_lu_lambdas", json!(false)),
        ("use_flow_sigmas", json!(false)),
        ("predict_x0", json!(true)),
        ("disable_corrector", json!([])),
        ("solver_p", Value::Null),
        ("interpolation_type", json!("linear")),
        ("timestep_type", json!("discrete")),
        ("sigma_min", Value::Null),
        ("sigma_max", Value::Null),
    ] {
        let value = &json[key];
        if !value.is_null() && *value != neutral {
            notes.push(format!("{key} = {value} of {class} is not heeded"));
        }
    }
}
