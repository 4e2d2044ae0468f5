//! The denoiser of a checkpoint as an ONNX file, for onnxruntime and whatever else reads those.
//!
//! The file holds what [`NetworkDenoiser`] computes: preconditioning, network, and the way back
//! to the x0 estimate. burn reads ONNX but does not write it, so the few messages that are needed
//! are written here.
//!
//! | input | shape | what |
//! | --- | --- | --- |
//! | `x` | `[batch, bands, height, width]` | the noisy image, in network units |
//! | `conditioning` | `[batch, conditioning_bands, height, width]` | only for a conditioned network, see [`channels`] |
//! | `sigma` | `[batch]` | EDM: noise of `x = x0 + sigma n` |
//! | `timestep` | `[batch]`, int64 | eps, x0 and v: `x = sqrt(abar_t) x0 + sqrt(1 - abar_t) n` |
//! | `class` | `[batch]`, int64 | only for a network with classes |
//!
//! The output `denoised` has the shape of `x`. Batch, height and width are free; sides must be
//! multiples of [`UNetConfig::size_multiple`].
//!
//! [`NetworkDenoiser`]: crate::model::denoiser::NetworkDenoiser
//! [`channels`]: crate::model::Shown::channels

mod graph;
mod layers;
mod proto;
#[cfg(test)]
mod tests;

use graph::{Attribute, Element, Graph, Size, Value};
use layers::Builder;

use crate::diffusion::prediction::Prediction;
use crate::error::{Error, Hint, Result};
use crate::model::{Conditioning, Model, ModelCard};
use crate::network::params::Arrays;
use crate::network::unet::UNetConfig;

/// The ONNX file of a model.
///
/// # Errors
/// [`Error::Checkpoint`] when weights and architecture do not fit, a network that predicts
/// eps, x0 or v has no timesteps, or the network is not our own.
pub fn export(model: &Model) -> Result<Vec<u8>> {
    denoiser(&model.card, &model.network.arrays(), &model.sha256)
}

fn denoiser(card: &ModelCard, weights: &Arrays, sha256: &str) -> Result<Vec<u8>> {
    let config = card.architecture.unet().ok_or_else(|| Error::Checkpoint {
        what: "expected this program's own network for ONNX, got one of diffusers' blocks".into(),
        hint: Hint::Advice("write a diffusers folder, and use the tools of its program"),
    })?;
    let image = |channels: usize| {
        [
            Size::Named("batch"),
            Size::Fixed(channels),
            Size::Named("height"),
            Size::Named("width"),
        ]
    };
    let batch = [Size::Named("batch")];
    let mut graph = Graph::default();
    let x = graph.input("x", Element::Float, &image(config.bands));
    let conditioned = config.conditioning_bands > 0;
    let conditioning = conditioned.then(|| {
        let shape = image(config.conditioning_bands);
        graph.input("conditioning", Element::Float, &shape)
    });
    let time = match card.prediction {
        Prediction::Edm { .. } => graph.input("sigma", Element::Float, &batch),
        _ => graph.input("timestep", Element::Int64, &batch),
    };
    let class = config
        .classes
        .map(|_| graph.input("class", Element::Int64, &batch));

    let mut builder = Builder { graph, weights };
    let mask = match (&conditioning, card.conditioning) {
        (Some(conditioning), Conditioning::Concat | Conditioning::Guided) => {
            Some(masked(&mut builder, conditioning, config.bands))
        }
        _ => None,
    };
    let x = hidden(&mut builder, &x, &mask);
    let s = scaling(&mut builder, card, &time)?;
    let mut input = builder.graph.node("Mul", &[&x, &s.c_in], &[]);
    if let Some(conditioning) = &conditioning {
        let axis = [Attribute::Int("axis", 1)];
        input = builder.graph.node("Concat", &[&input, conditioning], &axis);
    }
    let mut output = network(&mut builder, config, &input, &s.c_noise, class.as_deref())?;
    if config.outputs() > config.bands {
        // What the network says of a variance is not part of the denoiser.
        output = channels(&mut builder, &output, (0, config.bands));
    }
    let kept = builder.graph.node("Mul", &[&x, &s.c_skip], &[]);
    let added = builder.graph.node("Mul", &[&output, &s.c_out], &[]);
    let denoised = builder.graph.node("Add", &[&kept, &added], &[]);
    let denoised = hidden(&mut builder, &denoised, &mask);
    builder
        .graph
        .output("denoised", &denoised, &image(config.bands));

    let card_text = serde_json::to_string(card).map_err(|e| Error::Checkpoint {
        what: format!("model card cannot be written ({e})"),
        hint: Hint::Advice("a metric may not be a finite number"),
    })?;
    let about = [
        ("unclouded.model_card".to_owned(), card_text),
        ("unclouded.checkpoint_sha256".to_owned(), sha256.to_owned()),
    ];
    Ok(builder
        .graph
        .into_bytes(&card.name, env!("CARGO_PKG_VERSION"), &about))
}

/// The mask among the conditioning channels: 1 = fill.
fn masked(builder: &mut Builder, conditioning: &str, bands: usize) -> Value {
    channels(builder, conditioning, (bands, bands + 1))
}

/// The channels from the first of a range up to its second.
fn channels(builder: &mut Builder, x: &str, (from, to): (usize, usize)) -> Value {
    let [start, end, axes] = [from as i64, to as i64, 1].map(|n| builder.graph.ints(&[n]));
    builder.graph.node("Slice", &[x, &start, &end, &axes], &[])
}

/// Zero where the residual is known to be zero.
fn hidden(builder: &mut Builder, x: &str, mask: &Option<Value>) -> Value {
    match mask {
        Some(mask) => builder.graph.node("Mul", &[x, mask], &[]),
        None => x.to_owned(),
    }
}

/// The values of [`Prediction::scaling`] in the graph; all but `c_noise` as `[batch, 1, 1, 1]`.
struct Scaling {
    c_in: Value,
    c_skip: Value,
    c_out: Value,
    c_noise: Value,
}

fn scaling(builder: &mut Builder, card: &ModelCard, time: &str) -> Result<Scaling> {
    if let Prediction::Edm { sigma_data } = card.prediction {
        return Ok(edm(builder, sigma_data, time));
    }
    let levels = card.schedule.training_levels();
    if levels.is_empty() {
        return Err(Error::Checkpoint {
            what: "a network that predicts eps, x0 or v needs a schedule with timesteps".into(),
            hint: Hint::Advice("the model card's prediction and schedule disagree"),
        });
    }
    // One row a timestep, made with the same arithmetic as in use.
    let scalings: Vec<_> = levels
        .iter()
        .map(|level| card.prediction.scaling(*level))
        .collect();
    let mut table = |name: &str, of: &dyn Fn(usize) -> f64| {
        let values: Vec<f32> = (0..levels.len()).map(|i| of(i) as f32).collect();
        let table = builder.graph.floats(name, &[levels.len()], &values);
        let axis = [Attribute::Int("axis", 0)];
        let row = builder.graph.node("Gather", &[&table, time], &axis);
        builder.reshape(&row, &[-1, 1, 1, 1])
    };
    Ok(Scaling {
        c_in: table("c_in", &|i| scalings[i].c_in),
        c_skip: table("c_skip", &|i| scalings[i].c_skip),
        c_out: table("c_out", &|i| scalings[i].c_out),
        c_noise: builder.graph.node(
            "Cast",
            &[time],
            &[Attribute::Int("to", Element::Float as i64)],
        ),
    })
}

/// Table 1 of Karras et al. 2022.
fn edm(builder: &mut Builder, sigma_data: f64, sigma: &str) -> Scaling {
    let column = builder.reshape(sigma, &[-1, 1, 1, 1]);
    let g = &mut builder.graph;
    let data = g.scalar(sigma_data);
    let data_squared = g.scalar(sigma_data * sigma_data);
    let (one, quarter) = (g.scalar(1.0), g.scalar(0.25));
    let squared = g.node("Mul", &[&column, &column], &[]);
    let sum = g.node("Add", &[&squared, &data_squared], &[]);
    let norm = g.node("Sqrt", &[&sum], &[]);
    let product = g.node("Mul", &[&column, &data], &[]);
    let log = g.node("Log", &[sigma], &[]);
    Scaling {
        c_in: g.node("Div", &[&one, &norm], &[]),
        c_skip: g.node("Div", &[&data_squared, &sum], &[]),
        c_out: g.node("Div", &[&product, &norm], &[]),
        c_noise: g.node("Mul", &[&log, &quarter], &[]),
    }
}

/// The counterpart of `UNet::forward`.
fn network(
    builder: &mut Builder,
    config: &UNetConfig,
    x: &str,
    c_noise: &str,
    class: Option<&str>,
) -> Result<Value> {
    let levels = config.multipliers.len();
    let axis = [Attribute::Int("axis", 1)];
    let embedding = builder.embedding(config.base_channels, c_noise, class)?;
    let channels = config.bands + config.conditioning_bands;
    let x = builder.unshuffle(x, channels, config.stem);
    let mut h = builder.conv("conv_in", &x, 1)?;
    let mut skips = vec![h.clone()];
    let stage = |builder: &mut Builder, path: &str, level: usize, h: &str| -> Result<Value> {
        let h = builder.res_block(&format!("{path}.res"), h, &embedding)?;
        match config.attention_levels.contains(&level) {
            true => builder.attention(&format!("{path}.attention"), &h, config.heads),
            false => Ok(h),
        }
    };
    for level in 0..levels {
        for block in 0..config.blocks_per_level {
            h = stage(builder, &format!("down.{level}.blocks.{block}"), level, &h)?;
            skips.push(h.clone());
        }
        if level + 1 < levels {
            h = builder.conv(&format!("down.{level}.halve"), &h, 2)?;
            skips.push(h.clone());
        }
    }
    h = builder.res_block("mid1", &h, &embedding)?;
    if config.middle_attention {
        h = builder.attention("mid_attention", &h, config.heads)?;
    }
    h = builder.res_block("mid2", &h, &embedding)?;
    for (up, level) in (0..levels).rev().enumerate() {
        for block in 0..=config.blocks_per_level {
            if let Some(skip) = skips.pop() {
                h = builder.graph.node("Concat", &[&h, &skip], &axis);
            }
            h = stage(builder, &format!("up.{up}.blocks.{block}"), level, &h)?;
        }
        if level > 0 {
            h = builder.double(&h);
            h = builder.conv(&format!("up.{up}.double"), &h, 1)?;
        }
    }
    h = builder.group_norm("norm_out", &h)?;
    h = builder.silu(&h);
    h = builder.conv("conv_out", &h, 1)?;
    Ok(builder.shuffle(&h, config.stem))
}
