//! Tasks and methods: what a recipe asks for is trained, recorded, and asked for by name.

use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::fixtures::{Spec, Type, read, write_mask};
use crate::run::{Bench, Run, unclouded};

/// Trains a tiny model for a few steps, with these sections more in its recipe.
fn trained(folder: &Path, name: &str, sections: &str) -> PathBuf {
    let tiles = folder.join("tiles");
    if !tiles.exists() {
        for index in 0..24 {
            let class = tiles.join(["Field", "Water"][index % 2]);
            std::fs::create_dir_all(&class).unwrap();
            let spec = Spec::new().size(16, 16).kind(Type::U8);
            spec.write(class.join(format!("tile_{index}.tif")));
        }
    }
    let recipe = folder.join(format!("{name}.toml"));
    let text = format!(
        "[data]\nsources = ['tiles']\ntile_px = 16\nclass_folders = true\n\
         [model]\nbase_channels = 8\nmultipliers = [1, 2]\nblocks_per_level = 1\n\
         [train]\nsteps = 3\nbatch = 2\nvalidate_tiles = 2\n\
         [output]\ndir = '{name}'\nname = '{name}'\n{sections}"
    );
    std::fs::write(&recipe, text).unwrap();
    let mut command = unclouded();
    command.arg("train").arg(&recipe);
    command.args(["--device", "cpu", "--progress", "none"]);
    Run::from(command.output().unwrap()).ok();
    folder.join(name).join(format!("{name}.safetensors"))
}

fn evaluate(model: &Path, clear: &Path, more: &[&str]) -> Run {
    let mut command = unclouded();
    command.arg("evaluate").arg("--clear").arg(clear);
    command
        .arg("--model")
        .arg(model)
        .args(["--samples", "2", "--device", "cpu"]);
    Run::from(command.args(more).output().unwrap())
}

#[test]
fn whole_images_are_drawn_and_scored_without_masks() {
    let folder = tempfile::tempdir().unwrap();
    for (name, task) in [
        ("sr", "name = 'super-resolution'\nfactor = 4"),
        ("colour", "name = 'colourisation'"),
    ] {
        let model = trained(folder.path(), name, &format!("[task]\n{task}\n"));
        let info = Run::from(unclouded().arg("info").arg(&model).output().unwrap()).ok();
        assert!(info.stdout.contains("task: "), "{info:#?}");
        assert!(info.stdout.contains("Field, Water"), "{info:#?}");
        let clear = Spec::new()
            .size(32, 32)
            .kind(Type::U8)
            .write(folder.path().join("c.tif"));
        let json = folder.path().join("scores.json");
        let saved = json.to_str().unwrap();
        evaluate(&model, &clear, &["--json", saved]).ok();
        let report: Value = serde_json::from_slice(&std::fs::read(&json).unwrap()).unwrap();
        for method in ["unclouded", "shown"] {
            let psnr = &report["methods"][method]["full"]["psnr_db"];
            assert!(psnr.as_f64().is_some_and(f64::is_finite), "{report:#}");
        }
        let mask = write_mask(folder.path().join("m.tif"), (32, 32), 32643, |_, c| {
            u8::from(c < 9)
        });
        evaluate(&model, &clear, &["--masks", mask.to_str().unwrap()]).refused(&["--masks"]);
        // Not a model that fills.
        let bench = Bench::new(&Spec::new());
        let model = model.to_str().unwrap();
        bench
            .restored("no.tif", &["--model", model])
            .refused(&["holes"]);
    }
    let bundled = evaluate(Path::new("eurosat-rgb"), &folder.path().join("c.tif"), &[]);
    bundled.refused(&["--masks"]);
}

#[test]
fn an_unconditional_model_fills_by_every_method() {
    let folder = tempfile::tempdir().unwrap();
    let sections = "[diffusion]\nconditioning = 'none'\n";
    let model = trained(folder.path(), "free", sections);
    let bench = Bench::new(&Spec::new().size(48, 40));
    let model = model.to_str().unwrap();
    let small = ["--model", model, "--tile-px", "32", "--samples", "1"];
    for method in ["sum", "repaint", "ddnm", "dps"] {
        let name = format!("{method}.tif");
        let run = bench
            .restored(&name, &[&small[..], &["--method", method]].concat())
            .ok();
        assert!(
            run.stdout.contains("0 of"),
            "no clear pixel changed: {run:#?}"
        );
    }
    bench
        .restored("no.tif", &[&small[..], &["--method", "concat"]].concat())
        .refused(&["method", "unconditional"]);
    bench
        .restored("no.tif", &["--method", "ddnm"])
        .refused(&["method", "concat"]);
    bench
        .restored("no.tif", &["--method", "magic"])
        .refused(&["method", "repaint"]);
    assert!(!bench.path("no.tif").exists());
}

#[test]
fn uncropping_is_a_recipe() {
    let folder = tempfile::tempdir().unwrap();
    let model = trained(folder.path(), "wide", "[task]\nname = 'uncropping'\n");
    let bench = Bench::new(&Spec::new());
    let model = model.to_str().unwrap();
    bench
        .restored("out.tif", &["--model", model, "--tile-px", "32"])
        .ok();
}

#[test]
fn cold_diffusion_is_trained_and_undoes_what_it_was_trained_on() {
    let folder = tempfile::tempdir().unwrap();
    let cold = |kind: &str, steps: usize| {
        let sections = format!(
            "[task]\nname = 'cold-diffusion'\ndegradation = '{kind}'\nsteps = {steps}\n\
             [diffusion]\nconditioning = 'none'\nprediction = 'x0'\n"
        );
        trained(folder.path(), &format!("{kind}-{steps}"), &sections)
    };
    let generate = |model: &Path, output: &str, more: &[&str]| {
        let mut command = unclouded();
        command.arg("generate").arg(model).args(["--device", "cpu"]);
        command.arg("-o").arg(folder.path().join(output)).args(more);
        Run::from(command.output().unwrap())
    };
    let spec = Spec::new().size(20, 18).kind(Type::U8);
    let clear = spec.write(folder.path().join("c.tif"));
    let init = ["--init", clear.to_str().unwrap()];
    // The runs of `restore` take two steps.
    let bench = Bench::new(&Spec::new().size(48, 40));
    for kind in ["blur", "downsample"] {
        let model = cold(kind, 2);
        let info = Run::from(unclouded().arg("info").arg(&model).output().unwrap()).ok();
        let task = format!("task: cold diffusion ({kind}, 2 steps)");
        assert!(info.stdout.contains(&task), "{info:#?}");
        let name = format!("{kind}.tif");
        let made = generate(&model, &name, &init).ok();
        assert!(
            made.stderr.contains("cold diffusion in 2 steps"),
            "{made:#?}"
        );
        let restored = read(&folder.path().join(&name));
        assert_eq!(restored[0].len(), 20 * 18);
        assert_ne!(restored, read(&clear));
        generate(&model, "no.tif", &[]).refused(&["--init", kind]);
        for wrong in [["--steps", "9"], ["--sampler", "ddim"]] {
            generate(&model, "no.tif", &[init, wrong].concat()).refused(&[wrong[0]]);
        }
        let fills = bench.restored("no.tif", &["--model", model.to_str().unwrap()]);
        fills.refused(&["holes", "--init"]);
    }

    let model = cold("mask", 2);
    generate(&model, "no.tif", &init).refused(&["holes", "unclouded restore"]);
    let small = ["--tile-px", "32", "--samples", "1", "--model"];
    let restored = |output: &str, model: &Path, more: &[&str]| {
        let words = [&small[..], &[model.to_str().unwrap()], more].concat();
        bench.restored(output, &words)
    };
    let run = restored("out.tif", &model, &[]).ok();
    assert!(
        run.stdout.contains("0 of"),
        "no clear pixel changed: {run:#?}"
    );
    restored("no.tif", &model, &["--method", "sum"]).refused(&["method", "cold"]);
    restored("no.tif", &cold("mask", 3), &[]).refused(&["steps", "3"]);
    assert!(!folder.path().join("no.tif").exists() && !bench.path("no.tif").exists());
}
