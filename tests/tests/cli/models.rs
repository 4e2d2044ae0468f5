//! Small models with random weights for the end-to-end tests: checkpoints, diffusers folders and
//! state dicts of guided-diffusion.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use burn::tensor::Device;
use serde_json::{Value, json};
use unclouded_core::diffusion::prediction::Prediction;
use unclouded_core::diffusion::schedule::Schedule;
use unclouded_core::model::bundled;
use unclouded_core::model::{self, Conditioning, ModelCard};
use unclouded_core::network::params::{self, Arrays, Storage};
use unclouded_core::network::unet::UNetConfig;
use unclouded_core::raster::random::gaussian_stream;
use unclouded_tests::guided_diffusion;

use crate::run::tests_folder;

/// The card of a network that predicts v (so that random weights make no wild values) and is conditioned on nothing but, perhaps, a class.
pub fn card(architecture: UNetConfig) -> ModelCard {
    let mut card = ModelCard::read(bundled()[0].1).unwrap();
    card.name = "small".into();
    card.bands = (0..architecture.bands).map(|b| format!("B{b}")).collect();
    card.conditioning = match architecture.conditioning_bands {
        0 => Conditioning::None,
        _ => Conditioning::Concat,
    };
    card.prediction = Prediction::V;
    card.direct_factor = None;
    card.schedule = Schedule::Linear {
        timesteps: 1000,
        beta_start: 1e-4,
        beta_end: 0.02,
    };
    card.defaults.steps = 3;
    card.defaults.tile_px = 16;
    card.defaults.overlap_px = 4;
    card.architecture = architecture.into();
    card
}

/// A small architecture with classes and attention.
pub fn small() -> UNetConfig {
    UNetConfig {
        bands: 3,
        base_channels: 8,
        multipliers: vec![1, 2],
        attention_levels: vec![1],
        heads: 2,
        stem: 1,
        classes: Some(4),
        ..UNetConfig::default()
    }
}

/// Writes a checkpoint whose weights are random and always the same.
pub fn checkpoint(path: PathBuf, card: &ModelCard) -> PathBuf {
    let config = card.architecture.unet().unwrap();
    let network = config.init(&Device::flex()).unwrap();
    let mut arrays = params::collect(&network);
    for (i, array) in arrays.values_mut().enumerate() {
        let fan = match array.shape.len() {
            4 => array.shape[1] * array.shape[2] * array.shape[3],
            2 => array.shape[0],
            _ => 100,
        };
        let spread = (fan as f32).powf(-0.5);
        let noise = gaussian_stream(&[i as u64], array.values.len());
        let values = array.values.iter_mut().zip(noise);
        values.for_each(|(v, n)| *v = if *v == 1.0 { 1.0 } else { n * spread });
    }
    let bytes = model::to_bytes(card, &arrays, Storage::F32).unwrap();
    std::fs::write(&path, bytes).unwrap();
    path
}

/// Writes the folder of a `DDPMPipeline` with a network of `reference/diffusers_unet.py`, its
/// configuration changed as given.
pub fn diffusers(folder: PathBuf, name: &str, change: impl Fn(&mut Value)) -> PathBuf {
    let golden = tests_folder().join("data/diffusers_unet.safetensors");
    let (arrays, metadata) = params::from_bytes(&std::fs::read(golden).unwrap()).unwrap();
    let mut config: Value = serde_json::from_str(&metadata[&format!("{name}.config")]).unwrap();
    change(&mut config);
    let prefix = format!("{name}.weights.");
    let weights: Arrays = arrays
        .iter()
        .filter_map(|(key, array)| Some((key.strip_prefix(&prefix)?.to_owned(), array.clone())))
        .collect();
    let network = folder.join("unet");
    std::fs::create_dir_all(&network).unwrap();
    std::fs::create_dir_all(folder.join("scheduler")).unwrap();
    write_json(&network.join("config.json"), &config);
    let bytes = params::to_bytes(&weights, HashMap::new(), Storage::F32).unwrap();
    std::fs::write(network.join("diffusion_pytorch_model.safetensors"), bytes).unwrap();
    let scheduler: Value = serde_json::from_str(&metadata["pipeline.scheduler"]).unwrap();
    write_json(&folder.join("scheduler/scheduler_config.json"), &scheduler);
    let index = json!({"_class_name": "DDPMPipeline", "id2label": {"0": "Forest", "1": "River"}});
    write_json(&folder.join("model_index.json"), &index);
    folder
}

/// Writes a state dict of `reference/guided_diffusion.py` and, if wanted, its flags beside it.
pub fn state_dict(path: PathBuf, name: &str, flags: bool) -> PathBuf {
    let bytes = guided_diffusion::file(&guided_diffusion::state_dict(name));
    std::fs::write(&path, bytes).unwrap();
    if flags {
        let flags = guided_diffusion::flags(name);
        std::fs::write(path.with_extension("json"), flags).unwrap();
    }
    path
}

fn write_json(path: &Path, value: &Value) {
    std::fs::write(path, value.to_string()).unwrap();
}
