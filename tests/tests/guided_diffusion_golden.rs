//! Networks of guided-diffusion (ADM) against a transcription in PyTorch (arrays made by
//! `reference/guided_diffusion.py`), and a run of one with learned variance.

mod golden;

use std::ops::ControlFlow;

use burn::tensor::{Device, Int, Tensor};
use golden::network::{compared, tensor};
use unclouded_core::diffusion::denoiser::NoiseSource;
use unclouded_core::diffusion::sampler::{self, Sampler};
use unclouded_core::diffusion::threshold::Thresholded;
use unclouded_core::model::Model;
use unclouded_core::model::denoiser::NetworkDenoiser;
use unclouded_core::model::interop::diffusers::{self, FolderFiles, Variance};
use unclouded_core::model::interop::guided_diffusion;
use unclouded_core::network::params::Arrays;
use unclouded_core::network::{Inputs, Network};
use unclouded_tests::guided_diffusion::{file, flags, golden as golden_arrays, state_dict};

const TOLERANCE: f64 = 1e-4;

fn load(name: &str) -> Model {
    let bytes = file(&state_dict(name));
    assert!(guided_diffusion::is_file(&bytes));
    guided_diffusion::load(&bytes, Some(&flags(name)), name, &Device::flex()).unwrap()
}

/// Largest difference of a network's output from the golden one.
fn off(network: &dyn Network, name: &str) -> f64 {
    let (arrays, _) = golden_arrays();
    let part = |part: &str| arrays.get(&format!("{name}.{part}"));
    let label: Option<Tensor<1, Int>> = part("label").map(|array| tensor::<1>(array).int());
    let (x, t) = (tensor(part("x").unwrap()), tensor(part("t").unwrap()));
    let inputs = Inputs {
        class: label,
        ..Inputs::new(x, t)
    };
    compared(network.forward(inputs), part("y").unwrap())
}

#[test]
fn outputs_equal_those_of_the_reference() {
    for name in ["heads", "adm", "new_order"] {
        let worst = off(&*load(name).network, name);
        println!("{name}: {worst:.1e}");
        assert!(worst < TOLERANCE, "{name}: {worst:e}");
    }
    // The other order of q, k and v gives another image: the flag is heeded.
    let bytes = file(&state_dict("new_order"));
    let flags = r#"{"num_heads": 2}"#;
    let model = guided_diffusion::load(&bytes, Some(flags), "other", &Device::flex()).unwrap();
    let worst = off(&*model.network, "new_order");
    assert!(worst > 1e-2, "{worst:e}");
}

/// The draws of the Python run, in its order.
struct Recorded(Vec<Tensor<4>>);

impl NoiseSource for Recorded {
    fn draw(&mut self, draw: usize, _device: &Device) -> Tensor<4> {
        self.0[draw].clone()
    }
}

#[test]
fn a_run_with_learned_variance_walks_the_same_way() {
    let (arrays, _) = golden_arrays();
    let model = load("adm");
    let scheduler = &model.foreign.as_ref().unwrap().scheduler;
    assert_eq!(scheduler.variance, Variance::LearnedRange);
    assert_eq!((scheduler.sampler, scheduler.steps), (Sampler::Ddpm, 6));
    let noise = tensor::<5>(&arrays["run.noise"]);
    let draws = (0..scheduler.steps).map(|i| noise.clone().slice(i..i + 1).squeeze_dim(0));
    let mut noise = Recorded(draws.collect());
    let network = NetworkDenoiser {
        class: Some(tensor::<1>(&arrays["run.label"]).int()),
        ..NetworkDenoiser::new(&*model.network, scheduler.prediction)
    };
    let denoiser = Thresholded {
        inner: &network,
        threshold: scheduler.threshold.unwrap(),
    };
    let levels = scheduler.levels(scheduler.steps).unwrap();
    let start = noise.draw(0, &Device::flex());
    let mut states = Vec::new();
    sampler::sample(
        scheduler.sampler,
        &denoiser,
        start,
        &levels,
        0.0,
        &mut noise,
        &mut |_, x, _| {
            states.push(x.clone());
            ControlFlow::Continue(())
        },
    )
    .unwrap();
    let worst = compared(Tensor::stack::<5>(states, 0), &arrays["run.states"]);
    println!(
        "ddpm with learned variance, {} steps: {worst:.1e}",
        scheduler.steps
    );
    assert!(worst < TOLERANCE, "{worst:e}");
}

#[test]
fn what_diffusers_can_build_becomes_its_folder() {
    let files = |name: &str| diffusers::files(&load(name));
    let folder: std::collections::HashMap<String, Vec<u8>> =
        files("adm").unwrap().into_iter().collect();
    let text = |name: &str| String::from_utf8(folder[name].clone()).unwrap();
    assert!(text("scheduler/scheduler_config.json").contains("learned_range"));
    let again = FolderFiles {
        config: text("unet/config.json"),
        weights: folder["unet/diffusion_pytorch_model.safetensors"].clone(),
        scheduler: Some(text("scheduler/scheduler_config.json")),
        index: None,
    };
    let again = diffusers::load(&again, "again", &Device::flex()).unwrap();
    assert!(off(&*again.network, "adm") < TOLERANCE);
    for (name, word) in [("heads", "4 heads"), ("new_order", "64 features")] {
        let error = files(name).map(|_| name).expect_err(name);
        assert!(error.to_string().contains(word), "{error}");
        assert!(error.hint().is_some());
    }
}

fn refused(arrays: &Arrays, flags: Option<&str>, words: &[&str]) {
    let error = guided_diffusion::load(&file(arrays), flags, "misfit", &Device::flex());
    let error = error.expect_err("misfit");
    let hint = error
        .hint()
        .map(|hint| hint.to_string())
        .unwrap_or_default();
    for word in words {
        let text = format!("{error} {hint}");
        assert!(text.contains(word), "{word} not in {text}");
    }
}

#[test]
fn what_does_not_fit_is_named() {
    let whole = state_dict("adm");
    refused(&whole, None, &["flags", "num_heads", "num_head_channels"]);
    for (flags, words) in [
        ("{", ["flags", "EOF"]),
        (r#"{"sr": 1}"#, ["unknown field", "sr"]),
        (r#"{"num_heads": 7}"#, ["num_heads", "7"]),
        (r#"{"num_heads": 0}"#, ["num_heads", "1 or more"]),
        (
            r#"{"num_head_channels": 4096}"#,
            ["attention_head_dim", "4096"],
        ),
        (
            r#"{"num_heads": 4, "num_heads_upsample": 2}"#,
            ["num_heads_upsample", "2"],
        ),
        (
            r#"{"num_heads": 4, "learn_sigma": false}"#,
            ["learn_sigma", "expected true"],
        ),
        (
            r#"{"num_heads": 4, "num_channels": 64}"#,
            ["num_channels", "expected 32"],
        ),
        (
            r#"{"num_heads": 4, "noise_schedule": "magic"}"#,
            ["noise_schedule", "magic"],
        ),
        (
            r#"{"num_heads": 4, "diffusion_steps": 0}"#,
            ["timesteps", "0"],
        ),
        (
            r#"{"num_heads": 4, "diffusion_steps": 4000, "rescale_timesteps": true}"#,
            ["rescale_timesteps", "false"],
        ),
        (
            r#"{"num_heads": 4, "timestep_respacing": "10,15"}"#,
            ["timestep_respacing", "10,15"],
        ),
    ] {
        refused(&whole, Some(flags), &words);
    }
    let flags = Some(r#"{"num_head_channels": 16}"#);
    let changed = |change: &dyn Fn(&mut Arrays)| {
        let mut arrays = whole.clone();
        change(&mut arrays);
        arrays
    };
    let without = |name: &'static str| changed(&|arrays| drop(arrays.remove(name)));
    let name = "output_blocks.2.2.emb_layers.1.bias";
    refused(&without(name), flags, &[name, "none"]);
    refused(
        &without("label_emb.weight"),
        Some(r#"{"class_cond": true}"#),
        &["class_cond"],
    );
    let more = changed(&|arrays| {
        arrays.insert(
            "input_blocks.0.1.weight".into(),
            whole["out.2.bias"].clone(),
        );
    });
    refused(&more, flags, &["input_blocks.0.1.weight"]);
    let classifier = changed(&|arrays| arrays.retain(|name, _| !name.starts_with("output_blocks")));
    refused(&classifier, flags, &["output_blocks", "classifiers"]);
    let pooled = changed(&|arrays| arrays.retain(|name, _| !name.starts_with("input_blocks.3.")));
    refused(&pooled, flags, &["input_blocks.3", "conv_resample"]);
    let wider = changed(&|arrays| {
        arrays.insert("out.2.weight".into(), whole["out.0.weight"].clone());
    });
    refused(&wider, flags, &["out_channels"]);
}
