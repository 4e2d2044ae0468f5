//! `convert`: what is written is read again, and what another format cannot express is named.

use std::path::Path;

use serde_json::Value;
use unclouded_core::network::unet::UNetConfig;

use crate::models::{card, checkpoint, diffusers, small};
use crate::run::{Run, run};

fn convert(model: &Path, output: &Path, more: &[&str]) -> Run {
    let words = ["convert".as_ref(), model.as_os_str(), output.as_os_str()];
    run(words
        .into_iter()
        .chain(more.iter().map(|word| word.as_ref())))
}

fn generated(model: &Path, output: &Path, more: &[&str]) -> Vec<Vec<f64>> {
    let words = [
        "generate".as_ref(),
        model.as_os_str(),
        "-o".as_ref(),
        output.as_os_str(),
    ];
    let fixed = [
        "--device",
        "cpu",
        "--steps",
        "3",
        "--sampler",
        "ddim",
        "--size",
        "16",
    ];
    let more = fixed.iter().chain(more).map(|word| word.as_ref());
    run(words.into_iter().chain(more)).ok();
    crate::fixtures::read(output)
}

#[test]
fn a_network_of_ours_that_diffusers_knows_becomes_its_folder_and_makes_the_same_images() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    // Uniform groups need 128 channels; one level keeps the test small.
    let config = UNetConfig {
        base_channels: 128,
        multipliers: vec![1],
        attention_levels: vec![],
        heads: 1,
        classes: Some(2),
        ..small()
    };
    let model = checkpoint(path("m.safetensors"), &card(config));
    convert(&model, &path("folder"), &[]).ok();
    let json = |file: &str| -> Value {
        serde_json::from_slice(&std::fs::read(path("folder").join(file)).unwrap()).unwrap()
    };
    assert_eq!(json("unet/config.json")["block_out_channels"][0], 128);
    assert_eq!(json("model_index.json")["_class_name"], "DDPMPipeline");
    assert_eq!(json("scheduler/scheduler_config.json")["beta_end"], 0.02);
    assert_eq!(json("model_card.json")["name"], "small");

    let how = ["--class", "1"];
    let ours = generated(&model, &path("a.tif"), &how).concat();
    let theirs = generated(&path("folder"), &path("b.tif"), &how).concat();
    // The same values reach the files differently: 5 standard deviations, or -1 to 1, are 0 to 255.
    for (ours, theirs) in ours.iter().zip(&theirs) {
        let value = (ours - 127.5) / 51.0;
        let expected = value.clamp(-1.0, 1.0) * 127.5 + 127.5;
        // Half a step of either file.
        assert!((expected - theirs).abs() < 2.0, "{ours} {theirs}");
    }
    assert!(ours.iter().any(|v| *v < 100.0) && ours.iter().any(|v| *v > 155.0));

    // A folder is never replaced.
    convert(&model, &path("folder"), &["--overwrite"]).refused(&["exists"]);
    // The way back through our own code is the same folder.
    convert(&path("folder"), &path("again"), &[]).ok();
    let weights = "unet/diffusion_pytorch_model.safetensors";
    let bytes = |name: &str| std::fs::read(path(name).join(weights)).unwrap();
    assert!(bytes("folder") == bytes("again"));
}

#[test]
fn the_bundled_model_becomes_onnx_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let bundled = Path::new("eurosat-rgb");
    convert(bundled, &path("m.onnx"), &[]).ok();
    let bytes = std::fs::read(path("m.onnx")).unwrap();
    assert_eq!(bytes[..2], [8, 8], "ir_version 8");
    convert(bundled, &path("m.onnx"), &[]).refused(&["exists", "--overwrite"]);
    convert(bundled, &path("m.onnx"), &["--overwrite"]).ok();
    assert!(std::fs::read(path("m.onnx")).unwrap() == bytes);

    convert(bundled, &path("folder"), &[]).refused(&["stem", "2", "onnx"]);
    convert(bundled, &path("m.safetensors"), &[]).refused(&[".onnx", "folder"]);
    convert(bundled, &path("m.pb"), &[]).refused(&[".onnx"]);
    let model = diffusers(path("ddpm"), "ddpm", |_| {});
    convert(&model, &path("d.onnx"), &[]).refused(&["diffusers"]);
    std::fs::write(path("broken.safetensors"), b"no").unwrap();
    convert(&path("broken.safetensors"), &path("b.onnx"), &[]).refused(&["safetensors"]);
    assert!(!path("folder").exists() && !path("d.onnx").exists());
}
