//! `evaluate`: the table, and its JSON, which is a contract.

use serde_json::Value;

use crate::fixtures::{Spec, Type, cloud, write_mask};
use crate::run::{Run, tests_folder, unclouded};

/// Every figure of the contract is a finite number.
fn assert_contract(report: &Value, images: u64) {
    assert_eq!(report["images"].as_u64(), Some(images), "{report:#}");
    for method in ["unclouded", "fill", "idw", "mean"] {
        let method = &report["methods"][method];
        for part in ["full", "masked"] {
            for figure in ["psnr_db", "ssim", "sam_deg", "mae"] {
                let value = method[part][figure].as_f64();
                assert!(
                    value.is_some_and(f64::is_finite),
                    "{part} {figure}: {report:#}"
                );
            }
        }
        assert!(
            method["seconds_per_image"]
                .as_f64()
                .is_some_and(|s| s >= 0.0),
            "{report:#}"
        );
    }
    assert!(
        report["model"].is_object() && report["settings"].is_object(),
        "{report:#}"
    );
}

#[test]
fn folders_of_pairs() {
    let folder = tempfile::tempdir().unwrap();
    let (clear, masks) = (folder.path().join("clear"), folder.path().join("masks"));
    std::fs::create_dir_all(&clear).unwrap();
    std::fs::create_dir_all(&masks).unwrap();
    let spec = Spec::new().size(64, 64).kind(Type::U8);
    for name in ["a.tif", "b.tif", "c.tif"] {
        spec.write(clear.join(name));
        write_mask(masks.join(name), (64, 64), spec.epsg, |row, col| {
            u8::from(cloud(64, 64, row, col))
        });
    }
    let (json, saved) = (folder.path().join("out.json"), folder.path().join("saved"));
    let mut command = unclouded();
    command
        .arg("evaluate")
        .arg("--clear")
        .arg(&clear)
        .arg("--masks")
        .arg(&masks);
    command
        .args(["--samples", "2", "--device", "cpu"])
        .arg("--json")
        .arg(&json);
    let run = Run::from(command.arg("--save").arg(&saved).output().unwrap()).ok();
    for word in [
        "unclouded",
        "fill",
        "idw",
        "mean",
        "PSNR",
        "SSIM",
        "SAM",
        "MAE",
    ] {
        let table = run.stdout.to_lowercase();
        assert!(
            table.contains(&word.to_lowercase()),
            "no {word} in the table: {run:#?}"
        );
    }
    assert_contract(
        &serde_json::from_slice(&std::fs::read(&json).unwrap()).unwrap(),
        3,
    );
    let names: Vec<_> = std::fs::read_dir(&saved).unwrap().collect();
    assert!(names.len() >= 3, "predictions are saved: {names:?}");
}

#[test]
fn the_clear_demo_scene_under_its_mask() {
    let demo = tests_folder().join("data/demo");
    let folder = tempfile::tempdir().unwrap();
    let json = folder.path().join("out.json");
    let mut command = unclouded();
    command
        .arg("evaluate")
        .arg("--clear")
        .arg(demo.join("punjab_20200604.tif"));
    command
        .arg("--masks")
        .arg(demo.join("punjab_20200604_mask.tif"));
    command
        .args(["--samples", "1", "--device", "cpu"])
        .arg("--json")
        .arg(&json);
    Run::from(command.output().unwrap()).ok();
    let text = std::fs::read_to_string(&json).unwrap();
    let report: Value = serde_json::from_str(&text).unwrap();
    assert_contract(&report, 1);
    let masked = |method: &str| {
        report["methods"][method]["masked"]["psnr_db"]
            .as_f64()
            .unwrap()
    };
    assert!(
        masked("idw") > masked("mean") - 3.0,
        "implausible baselines: {report:#}"
    );
    assert!(
        masked("unclouded") > masked("mean"),
        "worse than a mean fill: {report:#}"
    );
}

#[test]
fn bad_pairs_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let spec = Spec::new().size(64, 64);
    let scene = spec.write(folder.path().join("a.tif"));
    let mask = write_mask(folder.path().join("m.tif"), (32, 32), spec.epsg, |_, _| 1);
    let refused = |clear: &str, masks: &str, words: &[&str]| {
        let mut command = unclouded();
        command.args([
            "evaluate", "--device", "cpu", "--clear", clear, "--masks", masks,
        ]);
        Run::from(command.output().unwrap()).refused(words);
    };
    let (scene, mask) = (scene.to_str().unwrap(), mask.to_str().unwrap());
    refused(scene, mask, &["size"]);
    refused("none", mask, &["none"]);
    refused(scene, "none.npy", &["none.npy"]);
}

#[test]
fn info_describes_models_and_scenes() {
    let folder = tempfile::tempdir().unwrap();
    let scene = Spec::new().nodata().write(folder.path().join("a.tif"));
    let run = Run::from(unclouded().arg("info").arg(&scene).output().unwrap()).ok();
    let said = run.stdout.to_lowercase();
    for word in ["48", "40", "uint16", "32643"] {
        assert!(said.contains(word), "no {word} in {said}");
    }
}
