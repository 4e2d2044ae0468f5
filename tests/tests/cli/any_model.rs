//! Every command takes any model, and a model has a place to be installed in.

use std::path::Path;

use serde_json::Value;

use crate::fixtures::{Spec, Type};
use crate::models::{card, checkpoint, diffusers, small, state_dict};
use crate::run::{Bench, Run, run, unclouded};

fn bench() -> Bench {
    Bench::new(&Spec::new().kind(Type::U8))
}

/// A folder of diffusers and a state dict of guided-diffusion fill a scene and are scored on one.
#[test]
fn models_of_other_programs_restore_and_are_evaluated() {
    let bench = bench();
    let folder = diffusers(bench.path("ddpm"), "ddpm", |_| {});
    let quick = ["--samples", "1", "--model"];
    for method in ["sum", "ddnm"] {
        let more = [&quick[..], &[folder.to_str().unwrap(), "--method", method]].concat();
        bench.restored(&format!("{method}.tif"), &more).ok();
    }
    // The folder says that it knows no classes; one that needs them cannot fill.
    let classes = diffusers(bench.path("classes"), "resnet_sampling", |_| {});
    let more = [&quick[..], &[classes.to_str().unwrap()]].concat();
    bench.restored("no.tif", &more).refused(&["--model"]);

    let report = bench.path("report.json");
    let mut command = unclouded();
    command.args([
        "evaluate",
        "--samples",
        "1",
        "--steps",
        "1",
        "--device",
        "cpu",
    ]);
    command
        .arg("--clear")
        .arg(&bench.scene)
        .arg("--masks")
        .arg(&bench.mask);
    command
        .arg("--model")
        .arg(&folder)
        .arg("--json")
        .arg(&report);
    Run::from(command.output().unwrap()).ok();
    let report: Value = serde_json::from_slice(&std::fs::read(report).unwrap()).unwrap();
    assert!(
        report["methods"]
            .as_object()
            .is_some_and(|methods| !methods.is_empty())
    );

    let file = state_dict(bench.path("adm.safetensors"), "adm", true);
    let more = [&quick[..], &[file.to_str().unwrap()]].concat();
    // It makes images of a class only.
    bench
        .restored("adm.tif", &more)
        .refused(&["--model", "class"]);
    for what in [&folder, &file] {
        let told = run(["info".as_ref(), what.as_os_str(), "--json".as_ref()]).ok();
        let told: Value = serde_json::from_str(&told.stdout).unwrap();
        assert_eq!(told["card"]["normalization"]["kind"], "fixed-range");
    }
}

fn with_models(folder: &Path, words: &[&str]) -> Run {
    let mut command = unclouded();
    command.env("UNCLOUDED_MODELS", folder).args(words);
    command.output().unwrap().into()
}

/// A file in a folder of models is found by its name; one that its checksum is not of is refused.
#[test]
fn an_installed_model_is_listed_found_and_verified() {
    let bench = bench();
    let models = bench.path("models");
    std::fs::create_dir(&models).unwrap();
    let file = checkpoint(models.join("mine.safetensors"), &card(small()));
    let listed = with_models(&models, &["info", "--json"]).ok();
    let listed: Value = serde_json::from_str(&listed.stdout).unwrap();
    let named = |name: &str| {
        let models = listed["models"].as_array().unwrap();
        models.iter().any(|model| model["name"] == name)
    };
    assert!(named("mine") && named("eurosat-rgb"), "{listed}");
    let told = with_models(&models, &["capabilities", "--json"]).ok();
    assert!(told.stdout.contains("\"mine\""));

    let scene = bench.scene.to_str().unwrap();
    let (mask, out) = (bench.mask.to_str().unwrap(), bench.path("out.tif"));
    let out = out.to_str().unwrap();
    let words = [
        "restore",
        scene,
        "-o",
        out,
        "--mask",
        mask,
        "--model",
        "mine",
        "--steps",
        "2",
        "--samples",
        "1",
        "--device",
        "cpu",
        "--overwrite",
    ];
    with_models(&models, &words).ok();
    std::fs::write(file.with_extension("sha256"), "0".repeat(64)).unwrap();
    with_models(&models, &words).refused(&["mine.safetensors", "SHA-256"]);
}

/// What the core only names is said as this face says it.
#[test]
fn a_sampler_a_band_and_a_model_are_worded_as_options() {
    let bench = bench();
    bench
        .restored("a.tif", &["--sampler", "magic"])
        .refused(&["--sampler: expected one of"]);
    bench
        .restored("b.tif", &["--bands", "1,2,9"])
        .refused(&["--bands"]);
    let generator = checkpoint(bench.path("generator.safetensors"), &card(small()));
    let model = generator.to_str().unwrap();
    bench
        .restored("c.tif", &["--model", model, "--method", "concat"])
        .refused(&[
            "--method: expected sum, repaint, ddnm or dps",
            "leave --method out",
        ]);
    run([
        "generate",
        "eurosat-rgb",
        "-o",
        bench.path("d.png").to_str().unwrap(),
    ])
    .refused(&["use `unclouded restore`"]);
}
