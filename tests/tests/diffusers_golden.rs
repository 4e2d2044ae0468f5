//! diffusers' `UNet2DModel` and `DDPMPipeline` against the real ones (arrays made by
//! `reference/diffusers_unet.py`), and the folder that is written back.

mod golden;

use std::collections::HashMap;
use std::ops::ControlFlow;

use burn::tensor::{Device, Tensor};
use golden::bytes;
use golden::network::{compared, tensor};
use serde_json::Value;
use unclouded_core::Result;
use unclouded_core::diffusion::denoiser::NoiseSource;
use unclouded_core::diffusion::denoiser::{Denoiser, LargeVariance};
use unclouded_core::diffusion::sampler;
use unclouded_core::diffusion::threshold::Thresholded;
use unclouded_core::model::denoiser::NetworkDenoiser;
use unclouded_core::model::interop::diffusers::{self, FolderFiles, Scheduler, Variance};
use unclouded_core::model::{Architecture, Model};
use unclouded_core::network::Inputs;
use unclouded_core::network::diffusers::ClassEmbedding;
use unclouded_core::network::params::{self, Arrays, Storage};

const TOLERANCE: f64 = 1e-4;
const NETWORKS: [&str; 6] = [
    "ddpm",
    "default",
    "scale_shift",
    "resnet_sampling",
    "fourier",
    "learned",
];

fn golden_arrays() -> (Arrays, HashMap<String, String>) {
    params::from_bytes(&bytes("diffusers_unet")).unwrap()
}

/// The folder diffusers would have written for a golden network.
fn folder(name: &str) -> FolderFiles {
    let (arrays, metadata) = golden_arrays();
    let prefix = format!("{name}.weights.");
    let weights: Arrays = arrays
        .iter()
        .filter_map(|(key, array)| Some((key.strip_prefix(&prefix)?.to_owned(), array.clone())))
        .collect();
    FolderFiles {
        config: metadata[&format!("{name}.config")].clone(),
        weights: params::to_bytes(&weights, HashMap::new(), Storage::F32).unwrap(),
        scheduler: Some(metadata["pipeline.scheduler"].clone()),
        index: None,
    }
}

fn load(files: &FolderFiles) -> Result<Model> {
    diffusers::load(files, "golden", &Device::flex())
}

fn scheduler(model: &Model) -> &Scheduler {
    &model.foreign.as_ref().expect("from elsewhere").scheduler
}

#[test]
fn outputs_equal_those_of_diffusers() {
    let (arrays, _) = golden_arrays();
    for name in NETWORKS {
        let model = load(&folder(name)).unwrap();
        let array = |part: &str| &arrays[&format!("{name}.{part}")];
        let (x, t) = (tensor(array("x")), tensor(array("t")));
        let Architecture::UNet2D(config) = &model.card.architecture else {
            panic!("{name}: {:?}", model.card.architecture);
        };
        let mut inputs = Inputs::new(x, t);
        match config.class_embedding {
            None => {}
            Some(ClassEmbedding::Identity) => inputs.vector = Some(tensor::<2>(array("label"))),
            Some(_) => inputs.class = Some(tensor::<1>(array("label")).int()),
        }
        let y = model.network.forward(inputs);
        let worst = compared(y, array("y"));
        println!("{name}: {worst:.1e}");
        assert!(worst < TOLERANCE, "{name}: {worst:e}");
    }
}

/// The draws of the Python run, in its order.
struct Recorded(Vec<Tensor<4>>);

impl NoiseSource for Recorded {
    fn draw(&mut self, draw: usize, _device: &Device) -> Tensor<4> {
        self.0[draw].clone()
    }
}

/// A run as `generate` makes it, from the first draw times `scale`.
fn walked(model: &Model, steps: usize, scale: f64, noise: &mut Recorded) -> Tensor<4> {
    let scheduler = scheduler(model);
    let network = NetworkDenoiser::new(&*model.network, scheduler.prediction);
    let kept = scheduler.threshold.map(|threshold| Thresholded {
        inner: &network,
        threshold,
    });
    let denoiser: &dyn Denoiser = kept.as_ref().map_or(&network, |kept| kept);
    let large = LargeVariance(denoiser);
    let denoiser = match scheduler.variance {
        Variance::FixedLarge => &large,
        _ => denoiser,
    };
    let levels = scheduler.levels(steps).unwrap();
    let start = noise.draw(0, &Device::flex()) * scale;
    let go_on = &mut |_: usize, _: &Tensor<4>, _: &Tensor<4>| ControlFlow::Continue(());
    let (sampler, options) = (scheduler.sampler, scheduler.options);
    sampler::sample_with(sampler, denoiser, start, &levels, options, noise, go_on).unwrap()
}

#[test]
fn a_run_of_its_pipeline_gives_the_same_images() {
    let (arrays, metadata) = golden_arrays();
    let model = load(&folder("ddpm")).unwrap();
    let steps: usize = metadata["pipeline.steps"].parse().unwrap();
    let noise = tensor::<5>(&arrays["pipeline.noise"]);
    let draws = (0..steps).map(|i| noise.clone().slice(i..i + 1).squeeze_dim(0));
    let mut noise = Recorded(draws.collect());
    let image = walked(&model, steps, 1.0, &mut noise);
    let image = (image / 2.0 + 0.5).clamp(0.0, 1.0);
    let worst = compared(image, &arrays["pipeline.image"]);
    println!("pipeline, {steps} steps: {worst:.1e}");
    assert!(worst < TOLERANCE, "{worst:e}");
}

/// Every class with the sampler, levels, thresholds and variance its configuration asks for.
#[test]
fn a_run_of_every_scheduler_gives_the_same_images() {
    let (arrays, metadata) = golden_arrays();
    let steps: usize = metadata["pipeline.steps"].parse().unwrap();
    let noise = tensor::<5>(&arrays["pipeline.noise"]);
    let draws: Vec<Tensor<4>> = (0..steps)
        .map(|i| noise.clone().slice(i..i + 1).squeeze_dim(0))
        .collect();
    let names = metadata
        .keys()
        .filter_map(|key| key.strip_prefix("schedulers."));
    let mut off = Vec::new();
    let mut compared_runs = 0;
    for name in names {
        let config = metadata[&format!("schedulers.{name}")].clone();
        let files = FolderFiles {
            scheduler: Some(config),
            ..folder("ddpm")
        };
        let model = load(&files).unwrap();
        assert!(
            scheduler(&model).notes.is_empty(),
            "{name}: {:?}",
            scheduler(&model).notes
        );
        let first = scheduler(&model).levels(steps).unwrap()[0];
        // Some work on x / alpha and start from the largest sigma.
        let scale = match ["euler", "heun", "lms"].contains(&name) {
            true => first.sigma,
            false => 1.0,
        };
        let image = walked(&model, steps, scale, &mut Recorded(draws.clone()));
        let worst = compared(image, &arrays[&format!("schedulers.{name}")]);
        println!("scheduler {name}, {steps} steps: {worst:.1e}");
        // Written so that a NaN is off.
        if worst.total_cmp(&TOLERANCE).is_gt() {
            off.push(format!("{name}: {worst:e}"));
        }
        compared_runs += 1;
    }
    assert!(off.is_empty(), "{}", off.join(", "));
    assert_eq!(compared_runs, 11);
}

#[test]
fn the_folder_written_back_is_the_one_that_was_read() {
    let (arrays, metadata) = golden_arrays();
    for name in NETWORKS {
        let model = load(&folder(name)).unwrap();
        let files: HashMap<String, Vec<u8>> =
            diffusers::files(&model).unwrap().into_iter().collect();
        let json = |file: &str| serde_json::from_slice::<Value>(&files[file]).unwrap();

        // Every key diffusers wrote is there with its value, but for what says who wrote it.
        let config = json("unet/config.json");
        let golden: Value = serde_json::from_str(&metadata[&format!("{name}.config")]).unwrap();
        for (key, value) in golden.as_object().unwrap() {
            if !key.starts_with('_') {
                assert_eq!(&config[key], value, "{name}: {key}");
            }
        }
        assert_eq!(config["_class_name"], "UNet2DModel");

        let (written, about) =
            params::from_bytes(&files["unet/diffusion_pytorch_model.safetensors"]).unwrap();
        assert_eq!(about["format"], "pt");
        let shapes: HashMap<String, Vec<usize>> =
            serde_json::from_str(&metadata[&format!("{name}.shapes")]).unwrap();
        assert_eq!(written.len(), shapes.len(), "{name}");
        for (key, array) in &written {
            assert_eq!(array.shape, shapes[key], "{name}: {key}");
            assert_eq!(
                array,
                &arrays[&format!("{name}.weights.{key}")],
                "{name}: {key}"
            );
        }

        let scheduler = json("scheduler/scheduler_config.json");
        assert_eq!(scheduler["num_train_timesteps"], 1000);
        let index = json("model_index.json");
        assert_eq!(index["_class_name"], "DDPMPipeline");
        assert_eq!(index["unet"][1], "UNet2DModel");
    }
}

#[test]
fn arrays_that_do_not_fit_are_named_as_in_the_file() {
    let whole = folder("ddpm");
    let (arrays, _) = params::from_bytes(&whole.weights).unwrap();
    let refused = |arrays: &Arrays| {
        let files = FolderFiles {
            weights: params::to_bytes(arrays, HashMap::new(), Storage::F32).unwrap(),
            ..whole.clone()
        };
        let error = load(&files).expect_err("misfit");
        assert!(error.hint().is_some());
        error.to_string()
    };
    let mut missing = arrays.clone();
    missing.remove("mid_block.attentions.0.to_out.0.weight");
    assert!(refused(&missing).contains("expected an array mid_block.attentions.0.to_out.0.weight"));
    let mut more = arrays.clone();
    more.insert("mystery.weight".into(), arrays["conv_in.bias"].clone());
    assert!(refused(&more).contains("mystery.weight"));
    let mut narrower = arrays.clone();
    narrower.insert(
        "time_embedding.linear_1.weight".into(),
        arrays["conv_in.bias"].clone(),
    );
    assert!(refused(&narrower).contains("time_embedding.linear_1.weight: expected shape [32, 8]"));

    // Names from before 2023.
    let old = |name: &str| match name.contains(".attentions.") {
        true => name
            .replace(".to_q.", ".query.")
            .replace(".to_k.", ".key.")
            .replace(".to_v.", ".value.")
            .replace(".to_out.0.", ".proj_attn."),
        false => name.to_owned(),
    };
    let aged: Arrays = arrays
        .into_iter()
        .map(|(name, array)| (old(&name), array))
        .collect();
    let files = FolderFiles {
        weights: params::to_bytes(&aged, HashMap::new(), Storage::F32).unwrap(),
        ..whole.clone()
    };
    assert!(load(&files).is_ok());
}
