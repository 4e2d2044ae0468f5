//! The flags a network of guided-diffusion was trained with, as far as its arrays do not show
//! them.

use std::fmt::Display;

use serde::Deserialize;
use serde_json::{Value, json};

use super::layout::Layout;
use super::refused;
use crate::diffusion::sampler::Sampler;
use crate::error::Result;

/// Flags under the names of guided-diffusion's scripts. All may be left out; those that arrays
/// show as well must agree with them, those without effect on a finished network are ignored.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct File {
    image_size: Option<usize>,
    num_heads: Option<usize>,
    num_head_channels: Option<i64>,
    num_heads_upsample: Option<i64>,
    use_new_attention_order: Option<bool>,
    diffusion_steps: Option<usize>,
    noise_schedule: Option<String>,
    timestep_respacing: Option<Value>,
    predict_xstart: Option<bool>,
    rescale_timesteps: Option<bool>,
    clip_denoised: Option<bool>,
    sigma_small: Option<bool>,
    // Shown by the arrays.
    num_channels: Option<usize>,
    num_res_blocks: Option<usize>,
    class_cond: Option<bool>,
    learn_sigma: Option<bool>,
    resblock_updown: Option<bool>,
    use_scale_shift_norm: Option<bool>,
    channel_mult: Value,
    attention_resolutions: Value,
    // Of training, or of the machine.
    dropout: Value,
    use_checkpoint: Value,
    use_fp16: Value,
    use_kl: Value,
    rescale_learned_sigmas: Value,
}

/// What they say.
#[derive(Debug)]
pub(super) struct Flags {
    pub image_size: Option<usize>,
    /// Heads of every attention, where they have no common width.
    pub heads: usize,
    /// Width of every head.
    pub head_channels: Option<usize>,
    /// Whether q, k and v each hold all heads; else each head holds its q, k and v.
    pub joint_heads: bool,
    /// Solver and steps, where the flags name them.
    pub respacing: Option<(Sampler, usize)>,
    /// What the user should know.
    pub notes: Vec<String>,
    steps: usize,
    cosine: bool,
    predicts_image: bool,
    clips: bool,
    small_variance: bool,
}

impl Flags {
    /// Reads them and compares them with the arrays.
    ///
    /// # Errors
    /// [`Error::Checkpoint`](crate::Error::Checkpoint) naming the flag.
    pub(super) fn parse(text: Option<&str>, layout: &Layout) -> Result<Self> {
        let Some(text) = text else {
            return Err(refused(
                "expected the flags it was trained with, found none".into(),
                "put a JSON of the same name beside it, with at least {\"num_heads\": 4} or \
                 {\"num_head_channels\": 64}: the arrays do not show how many heads they hold",
            ));
        };
        let file: File = serde_json::from_str(text).map_err(|error| {
            refused(
                format!("its flags: {error}"),
                "a JSON object with the flags of guided-diffusion's scripts",
            )
        })?;
        for (flag, given, shown) in [
            ("learn_sigma", file.learn_sigma, layout.learned_variance()),
            ("class_cond", file.class_cond, layout.classes.is_some()),
            (
                "use_scale_shift_norm",
                file.use_scale_shift_norm,
                layout.scale_shift,
            ),
        ] {
            agrees(flag, given, shown)?;
        }
        if layout.channels.len() > 1 {
            agrees("resblock_updown", file.resblock_updown, layout.by_resnet)?;
        }
        agrees("num_channels", file.num_channels, layout.model_channels)?;
        agrees("num_res_blocks", file.num_res_blocks, layout.res_blocks)?;

        let mut notes = Vec::new();
        let positive = |n: Option<i64>| n.and_then(|n| usize::try_from(n).ok()).filter(|n| *n > 0);
        let head_channels = positive(file.num_head_channels);
        if head_channels.is_none() && file.num_heads.is_none() {
            notes.push("num_heads is taken as 4, the default of guided-diffusion".to_owned());
        }
        let heads = file.num_heads.unwrap_or(4);
        if heads == 0 {
            return Err(unsupported("num_heads", heads, "1 or more"));
        }
        if let Some(up) = positive(file.num_heads_upsample)
            && head_channels.is_none()
            && up != heads
        {
            return Err(unsupported(
                "num_heads_upsample",
                up,
                "as many as num_heads",
            ));
        }
        let steps = file.diffusion_steps.unwrap_or(1000);
        // Times of 0 to 1000 are what they are.
        if file.rescale_timesteps == Some(true) && steps != 1000 {
            return Err(unsupported(
                "rescale_timesteps",
                "true",
                "false where diffusion_steps is not 1000",
            ));
        }
        Ok(Self {
            image_size: file.image_size.filter(|side| (1..=4096).contains(side)),
            heads,
            head_channels,
            joint_heads: file.use_new_attention_order.unwrap_or(false),
            respacing: file
                .timestep_respacing
                .map(respacing)
                .transpose()?
                .flatten(),
            notes,
            steps,
            cosine: match file.noise_schedule.as_deref() {
                None | Some("linear") => false,
                Some("cosine") => true,
                Some(other) => {
                    return Err(unsupported("noise_schedule", other, "linear or cosine"));
                }
            },
            predicts_image: file.predict_xstart.unwrap_or(false),
            clips: file.clip_denoised.unwrap_or(true),
            small_variance: file.sigma_small.unwrap_or(false),
        })
    }

    /// The diffusion process as diffusers' `DDPMScheduler` describes it.
    pub(super) fn scheduler(&self, layout: &Layout) -> Value {
        // The betas are meant for 1000 steps and grow where there are fewer.
        let scale = 1000.0 / self.steps.max(1) as f64;
        json!({
            "_class_name": "DDPMScheduler",
            "beta_schedule": if self.cosine { "squaredcos_cap_v2" } else { "linear" },
            "beta_start": scale * 1e-4,
            "beta_end": scale * 0.02,
            "num_train_timesteps": self.steps,
            "prediction_type": if self.predicts_image { "sample" } else { "epsilon" },
            "variance_type": match (layout.learned_variance(), self.small_variance) {
                (true, _) => "learned_range",
                (false, true) => "fixed_small",
                (false, false) => "fixed_large",
            },
            "clip_sample": self.clips,
            "timestep_spacing": "linspace",
        })
    }
}

/// A number of steps, or `ddim` and a number.
fn respacing(value: Value) -> Result<Option<(Sampler, usize)>> {
    let text = match &value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    if text.is_empty() || text == "null" {
        return Ok(None);
    }
    let (sampler, steps) = match text.strip_prefix("ddim") {
        Some(steps) => (Sampler::Ddim, steps),
        None => (Sampler::Ddpm, text.as_str()),
    };
    match steps.parse() {
        Ok(steps) => Ok(Some((sampler, steps))),
        Err(_) => Err(unsupported(
            "timestep_respacing",
            text,
            "one number of steps, e.g. \"250\" or \"ddim25\"",
        )),
    }
}

fn agrees<T: PartialEq + Display>(flag: &str, given: Option<T>, shown: T) -> Result<()> {
    match given {
        Some(given) if given != shown => Err(refused(
            format!("{flag}: expected {shown}, as its arrays show, got {given}"),
            "the flags are of another network",
        )),
        _ => Ok(()),
    }
}

fn unsupported(flag: &str, got: impl Display, expected: &str) -> crate::Error {
    refused(
        format!("{flag}: expected {expected}, got {got}"),
        "the network uses a part of guided-diffusion that is not built here",
    )
}
