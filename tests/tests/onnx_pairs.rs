//! Writes ONNX files with inputs and our own outputs beside them into the target folder, where
//! `check_onnx.py` runs them in onnxruntime; and checks what can be checked without it.

mod golden;

use std::collections::HashMap;
use std::path::Path;

use burn::tensor::{Device, Int, Tensor, TensorData};
use golden::bytes;
use unclouded_core::diffusion::denoiser::{Denoiser, NoiseLevel};
use unclouded_core::diffusion::prediction::Prediction;
use unclouded_core::diffusion::schedule::Schedule;
use unclouded_core::model::bundled;
use unclouded_core::model::denoiser::NetworkDenoiser;
use unclouded_core::model::interop::onnx;
use unclouded_core::model::{Conditioning, Model, ModelCard};
use unclouded_core::network::params::{self, Array, Arrays, Storage};
use unclouded_core::raster::random::gaussian_stream;

/// One of the golden networks of `reference/unet.py` with the card of a model.
fn golden_model(name: &str, conditioning: Conditioning, prediction: Prediction) -> Model {
    let device = Device::flex();
    let (arrays, metadata) = params::from_bytes(&bytes("unet")).unwrap();
    let mut card = ModelCard::read(bundled()[0].1).unwrap();
    card.name = name.into();
    card.architecture = serde_json::from_str(&metadata[&format!("{name}.config")]).unwrap();
    card.conditioning = conditioning;
    card.prediction = prediction;
    if !matches!(prediction, Prediction::Edm { .. }) {
        card.schedule = Schedule::Cosine { timesteps: 1000 };
    }
    let prefix = format!("{name}.weights.");
    let weights: Arrays = arrays
        .iter()
        .filter_map(|(key, array)| Some((key.strip_prefix(&prefix)?.to_owned(), array.clone())))
        .collect();
    Model {
        network: card.architecture.build(&weights, &device).unwrap(),
        foreign: None,
        card,
        device,
        sha256: String::new(),
    }
}

fn write_pair(folder: &Path, model: &Model, height: usize, width: usize) {
    let (card, device) = (&model.card, &model.device);
    let config = card.architecture.unet().unwrap();
    let batch = 2;
    let random = |seed: u64, channels: usize| Array {
        shape: vec![batch, channels, height, width],
        values: gaussian_stream(&[seed, height as u64], batch * channels * height * width),
    };
    let mut arrays = Arrays::new();
    arrays.insert("x".into(), random(1, config.bands));
    if config.conditioning_bands > 0 {
        let mut conditioning = random(2, config.conditioning_bands);
        // The mask is 0 or 1.
        let plane = height * width;
        for item in 0..batch {
            let at = (item * config.conditioning_bands + config.bands) * plane;
            for value in &mut conditioning.values[at..at + plane] {
                *value = f32::from(u8::from(*value > 0.0));
            }
        }
        arrays.insert("conditioning".into(), conditioning);
    }
    let times = match card.prediction {
        Prediction::Edm { .. } => [0.05, 7.0],
        _ => [3.0, 900.0],
    };
    let training = card.schedule.training_levels();
    let level = |item: usize| match card.prediction {
        Prediction::Edm { .. } => NoiseLevel {
            alpha: 1.0,
            sigma: times[item],
            timestep: 0.0,
        },
        _ => training[times[item] as usize],
    };
    let labels = [1.0, 4.0];
    let item = |name: &str, i: usize| {
        arrays.get(name).map(|array| {
            let data = TensorData::new(array.values.clone(), array.shape.clone());
            Tensor::<4>::from_data(data, device).narrow(0, i, 1)
        })
    };
    let mut denoised = Vec::new();
    for (i, label) in labels.into_iter().enumerate() {
        let conditioning = item("conditioning", i);
        let denoiser = NetworkDenoiser {
            network: &*model.network,
            prediction: card.prediction,
            mask: conditioning.clone().map(|c| c.narrow(1, config.bands, 1)),
            conditioning,
            class: config
                .classes
                .map(|_| Tensor::<1, Int>::full([1], label as i64, device)),
            vector: None,
            spread: false,
        };
        let x = item("x", i).unwrap();
        denoised.extend(denoiser.denoise(x, level(i)).into_data().iter::<f32>());
    }
    assert!(denoised.iter().all(|value| value.is_finite()));
    let vector = |values: &[f64]| Array {
        shape: vec![values.len()],
        values: values.iter().map(|v| *v as f32).collect(),
    };
    let time = match card.prediction {
        Prediction::Edm { .. } => "sigma",
        _ => "timestep",
    };
    arrays.insert(time.into(), vector(&times));
    if config.classes.is_some() {
        arrays.insert("class".into(), vector(&labels));
    }
    let shape = arrays["x"].shape.clone();
    let values = denoised;
    arrays.insert("denoised".into(), Array { shape, values });
    let pair = params::to_bytes(&arrays, HashMap::new(), Storage::F32).unwrap();
    let name = format!("{}.{height}x{width}.safetensors", card.name);
    std::fs::write(folder.join(name), pair).unwrap();
}

#[test]
fn pairs_for_check_onnx() {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("onnx");
    // What an older run left would be checked as well.
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir_all(&folder).unwrap();
    let edm = Prediction::Edm { sigma_data: 0.5 };
    for model in [
        Model::load(bundled()[0].1, &Device::flex()).unwrap(),
        golden_model("stem_attention", Conditioning::Concat, edm),
        golden_model("class", Conditioning::None, Prediction::V),
    ] {
        let file = onnx::export(&model).unwrap();
        let path = folder.join(format!("{}.onnx", model.card.name));
        std::fs::write(path, file).unwrap();
        let step = model.card.architecture.size_multiple();
        write_pair(&folder, &model, 4 * step, 6 * step);
        write_pair(&folder, &model, 2 * step, 2 * step);
    }
}
