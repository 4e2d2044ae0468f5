//! `evaluate`: the table, and its JSON, which is a contract.

use std::path::Path;

use gdal::raster::{Buffer, RasterCreationOptions};
use gdal::{Dataset, DatasetOptions, DriverManager, GdalOpenFlags};
use serde_json::Value;

use crate::fixtures::{Spec, Type, cloud, read, write_cloud_mask, write_mask};
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

/// `evaluate` of a folder `clear` under a folder `masks`, quick settings, plus `more`.
fn evaluate_folders(folder: &Path, more: &[&str]) -> Run {
    let mut command = unclouded();
    command.current_dir(folder).args([
        "evaluate", "--clear", "clear", "--masks", "masks", "--device", "cpu", "--steps", "1",
    ]);
    Run::from(command.args(more).output().unwrap())
}

/// Folders with pairs of these names, 8-bit and small.
fn pairs(names: &[&str]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let (clear, masks) = (folder.path().join("clear"), folder.path().join("masks"));
    std::fs::create_dir_all(&clear).unwrap();
    std::fs::create_dir_all(&masks).unwrap();
    let spec = Spec::new().kind(Type::U8);
    for name in names {
        spec.write(clear.join(name));
        write_cloud_mask(masks.join(name), &spec);
    }
    folder
}

#[test]
fn everything_that_is_compared_can_be_saved() {
    let folder = pairs(&["a.tif", "b.tif"]);
    let run = evaluate_folders(folder.path(), &["--samples", "2", "--save-all", "all"]);
    run.ok();
    let saved = |part: &str| read(&folder.path().join("all").join(part).join("b.png"));
    let (truth, hole) = (saved("truth"), &saved("mask")[0]);
    assert_eq!(truth, read(&folder.path().join("clear/b.tif")));
    let mut seen = vec![truth.clone()];
    for part in ["unclouded", "sample", "fill", "idw", "mean"] {
        let image = saved(part);
        assert_eq!(image.len(), 3, "{part}");
        for (band, truth) in image.iter().zip(&truth) {
            for ((value, truth), hole) in band.iter().zip(truth).zip(hole) {
                assert!(*hole == 255.0 || value == truth, "{part}: a clear pixel");
            }
        }
        assert!(!seen.contains(&image), "{part} is that of another method");
        seen.push(image);
    }
}

#[test]
fn the_plot_is_a_picture_of_the_figures_in_the_json() {
    let folder = pairs(&["a.tif", "b.tif"]);
    let plotted = ["--samples", "3", "--plot", "p.png", "--json", "out.json"];
    evaluate_folders(folder.path(), &plotted).ok();
    let path = folder.path().join("p.png");
    assert_eq!(&std::fs::read(&path).unwrap()[..8], b"\x89PNG\r\n\x1a\n");
    // A title, two diagrams, a line of names, and two rows of six tiles with their captions.
    let tile_px = (1200 - 7 * 8) / 6;
    let height = 30 + 440 + 30 + 2 * (tile_px + 24) + 8;
    let picture = Dataset::open(&path).unwrap();
    assert_eq!(picture.raster_size(), (1200, height));
    // Something is drawn in every part: the colours of the lines, grey where it is hidden.
    let bands = read(&path);
    let count = |rows: std::ops::Range<usize>, color: [f64; 3]| {
        let at = rows.start * 1200..rows.end * 1200;
        at.filter(|at| (0..3).all(|band| bands[band][*at] == color[band]))
            .count()
    };
    assert!(
        count(30..470, [31.0, 90.0, 165.0]) > 1000,
        "no measured line"
    );
    assert!(count(30..470, [120.0; 3]) > 1000, "no line to compare with");
    assert!(count(470..500, [0.0; 3]) > 40, "no names of columns");
    for row in 0..2 {
        let top = 500 + row * (tile_px + 24);
        assert!(
            count(top..top + tile_px, [214.0; 3]) > 1000,
            "nothing hidden"
        );
        let colours = count(top..top + tile_px, [255.0; 3]);
        assert!(colours < 1200 * tile_px / 2, "no tiles in row {row}");
    }

    let text = std::fs::read(folder.path().join("out.json")).unwrap();
    let report: Value = serde_json::from_slice(&text).unwrap();
    let figures = &report["uncertainty"];
    let number = |value: &Value, key: &str| value[key].as_f64().unwrap();
    let curve = figures["calibration"].as_array().unwrap();
    assert_eq!(curve.len(), 11);
    for pair in curve.windows(2) {
        assert!(number(&pair[0], "nominal") < number(&pair[1], "nominal"));
        assert!(number(&pair[0], "observed") <= number(&pair[1], "observed"));
    }
    assert_eq!(curve[8]["observed"], figures["coverage_90"]);
    assert_eq!(figures["by_spread"].as_array().unwrap().len(), 10);

    evaluate_folders(folder.path(), &["--samples", "1", "--plot", "q.png"]).refused(&["--plot"]);
    evaluate_folders(folder.path(), &["--samples", "2", "--plot", "q.jpg"]).refused(&[".png"]);
}

#[test]
fn a_pair_that_cannot_be_used_is_left_out() {
    let folder = pairs(&["a.tif", "b.tif", "c.tif", "d.tif", "e.tif"]);
    let masks = folder.path().join("masks");
    std::fs::write(masks.join("a.tif"), "no raster").unwrap();
    write_mask(masks.join("b.tif"), (7, 7), 32643, |_, _| 1);
    std::fs::remove_file(masks.join("c.tif")).unwrap();
    std::fs::write(folder.path().join("clear/d.tif"), "no raster").unwrap();
    let run = evaluate_folders(folder.path(), &["--samples", "1", "--json", "out.json"]);
    assert_eq!(run.code, Some(1), "{run:#?}");
    for word in ["a.tif is left out", "c.tif is left out", "4 of 5", "hint:"] {
        assert!(run.stderr.contains(word), "{word}: {run:#?}");
    }
    assert!(run.stdout.contains("4 left out"), "{run:#?}");
    let text = std::fs::read(folder.path().join("out.json")).unwrap();
    let report: Value = serde_json::from_slice(&text).unwrap();
    assert_contract(&report, 1);
    let failed = report["failed"].as_array().expect("a list");
    assert_eq!(failed.len(), 4, "{report:#}");
    let images: Vec<&str> = failed.iter().filter_map(|f| f["image"].as_str()).collect();
    for name in ["a.tif", "b.tif", "c.tif", "d.tif"] {
        assert!(images.iter().any(|image| image.ends_with(name)), "{name}");
    }
    // Nothing usable is bad input.
    std::fs::remove_file(masks.join("e.tif")).unwrap();
    evaluate_folders(folder.path(), &[]).refused(&["mask"]);
}

/// An RGB image with an alpha band; the left columns are transparent and hold `junk`.
fn write_transparent(path: &Path, like: &Spec, junk: u8) {
    let driver = DriverManager::get_driver_by_name("GTiff").unwrap();
    let options = RasterCreationOptions::from_iter(["PHOTOMETRIC=RGB", "ALPHA=YES"]);
    let size = (like.width, like.height);
    let image = driver
        .create_with_band_type_with_options::<u8, _>(path, size.0, size.1, 4, &options)
        .unwrap();
    let opaque = |at: usize| at % size.0 >= 16;
    for band in 0..4 {
        let values = (0..size.0 * size.1).map(|at| match (opaque(at), band) {
            (true, 3) => 255,
            (false, 3) => 0,
            (true, _) => (40 + at * 7 % 83 + 20 * band) as u8,
            (false, _) => junk,
        });
        let mut values = Buffer::new(size, values.collect());
        let mut band = image.rasterband(band + 1).unwrap();
        band.write((0, 0), size, &mut values).unwrap();
    }
    image.close().unwrap();
}

/// What is transparent, or nodata in the mask, is neither hidden, nor filled from, nor scored.
#[test]
fn alpha_and_nodata_are_respected() {
    let spec = Spec::new().kind(Type::U8);
    let scores = |junk: u8, beyond: u8| {
        let folder = pairs(&[]);
        write_transparent(&folder.path().join("clear/a.tif"), &spec, junk);
        let mask = folder.path().join("masks/a.tif");
        write_mask(mask.clone(), (48, 40), spec.epsg, |row, col| match col {
            0..20 => 1,
            _ if row > 30 => beyond,
            _ => u8::from(cloud(48, 40, row, col)),
        });
        if beyond != 0 {
            let options = DatasetOptions {
                open_flags: GdalOpenFlags::GDAL_OF_UPDATE,
                ..DatasetOptions::default()
            };
            let mask = Dataset::open_ex(&mask, options).unwrap();
            let mut band = mask.rasterband(1).unwrap();
            band.set_no_data_value(Some(beyond.into())).unwrap();
            mask.close().unwrap();
        }
        evaluate_folders(
            folder.path(),
            &["--samples", "1", "--json", "out.json", "--save-all", "all"],
        )
        .ok();
        let text = std::fs::read(folder.path().join("out.json")).unwrap();
        let report: Value = serde_json::from_slice(&text).unwrap();
        let saved = read(&folder.path().join("all/unclouded/a.tif"));
        let clear = read(&folder.path().join("clear/a.tif"));
        assert_eq!(
            saved[3], clear[3],
            "the saved image has the alpha of the image"
        );
        for (value, alpha) in saved[0].iter().zip(&saved[3]) {
            assert!(*alpha > 0.0 || *value == f64::from(junk), "{value}");
        }
        ["unclouded", "idw", "mean"].map(|method| report["methods"][method]["masked"].clone())
    };
    let reference = scores(0, 0);
    assert_eq!(reference, scores(255, 0), "transparent pixels have a say");
    assert_eq!(
        reference,
        scores(0, 9),
        "nodata in the mask is taken for a cloud"
    );
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
