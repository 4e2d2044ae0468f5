//! `restore` keeps what it must keep: clear pixels, georeference, types, nodata; and fills the rest.

use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::fixtures::{Spec, Type, cloud, read, write_mask};
use crate::run::{Bench, python, tests_folder, unclouded};

/// What `gdalinfo` says about everything that must survive.
fn described(path: &Path) -> Value {
    let output = Command::new("gdalinfo")
        .arg("-json")
        .arg(path)
        .output()
        .expect("gdalinfo; run: make install-deps");
    assert!(
        output.status.success(),
        "gdalinfo refuses {}",
        path.display()
    );
    let text = String::from_utf8_lossy(&output.stdout);
    // Some builds write `nan` unquoted, which is no JSON.
    let info: Value = serde_json::from_str(&text.replace(":nan", ":\"nan\"")).unwrap();
    let band = |band: &Value| {
        let keys = [
            "type",
            "description",
            "noDataValue",
            "colorInterpretation",
            "scale",
            "offset",
        ];
        keys.map(|key| band[key].clone())
    };
    let bands: Vec<_> = info["bands"].as_array().unwrap().iter().map(band).collect();
    serde_json::json!({
        "size": info["size"],
        "crs": info["coordinateSystem"]["wkt"],
        "geotransform": info["geoTransform"],
        "bands": bands,
        "acquired": info["metadata"][""]["ACQUIRED"],
        "area_or_point": info["metadata"][""]["AREA_OR_POINT"],
    })
}

/// The independent check: a Python script that shares no code with the program.
fn assert_clear_pixels_unchanged(scene: &Path, mask: &Path, output: &Path, values: &str) -> String {
    let check = python("check_clear_pixels.py")
        .args([scene, mask, output])
        .args(["--mask-values", values])
        .output()
        .unwrap();
    let report = String::from_utf8_lossy(&check.stdout).into_owned();
    assert!(
        check.status.success(),
        "{report}{}",
        String::from_utf8_lossy(&check.stderr)
    );
    report
}

#[test]
fn every_type_with_and_without_nodata() {
    for kind in [Type::U8, Type::U16, Type::I16, Type::F32] {
        for spec in [Spec::new().kind(kind), Spec::new().kind(kind).nodata()] {
            let bench = Bench::new(&spec);
            let run = bench.restored("out.tif", &[]).ok();
            let output = bench.path("out.tif");
            assert_eq!(described(&bench.scene), described(&output), "{spec:?}");
            let report = assert_clear_pixels_unchanged(&bench.scene, &bench.mask, &output, "1");
            let said = report.lines().next().unwrap();
            assert!(said.starts_with("0 of "), "{report}");
            assert!(
                run.stdout.contains(said) || run.stderr.contains(said),
                "the program does not say {said:?}: {run:#?}"
            );
            assert_filled(&bench, &spec);
        }
    }
}

/// Masked pixels hold new values within reach of the clear ones; nodata stays nodata.
fn assert_filled(bench: &Bench, spec: &Spec) {
    let (before, after) = (read(&bench.scene), read(&bench.path("out.tif")));
    for (band, (before, after)) in before.iter().zip(&after).enumerate() {
        let (mut low, mut high) = (f64::INFINITY, f64::NEG_INFINITY);
        for (i, &value) in before.iter().enumerate() {
            let (row, col) = (i / spec.width, i % spec.width);
            if !cloud(spec.width, spec.height, row, col) && !spec.is_nodata(row, col) {
                (low, high) = (low.min(value), high.max(value));
            }
        }
        let reach = 0.5 * (high - low);
        let (mut filled, mut changed) = (0, 0);
        for (i, (&was, &is)) in before.iter().zip(after).enumerate() {
            let (row, col) = (i / spec.width, i % spec.width);
            if spec.is_nodata(row, col) {
                assert!(
                    is == was || is.is_nan() && was.is_nan(),
                    "nodata became {is}"
                );
            } else if cloud(spec.width, spec.height, row, col) {
                assert!(
                    is.is_finite() && is > low - reach && is < high + reach,
                    "{band}: {is}"
                );
                assert!(
                    !spec.with_nodata || is != spec.kind.nodata(),
                    "a fill equals nodata"
                );
                filled += 1;
                changed += usize::from(is != was);
            }
        }
        assert!(
            filled > 100 && changed * 10 > filled * 9,
            "band {band}: {changed} of {filled}"
        );
    }
}

#[test]
fn tiny_and_odd_sizes() {
    for (width, height) in [(3, 2), (16, 9), (1, 40), (67, 131)] {
        let spec = Spec::new().size(width, height);
        let bench = Bench::new(&spec);
        bench.restored("out.tif", &[]).ok();
        let output = bench.path("out.tif");
        assert_eq!(described(&bench.scene), described(&output));
        assert_clear_pixels_unchanged(&bench.scene, &bench.mask, &output, "1");
    }
}

#[test]
fn one_four_and_thirteen_bands_are_all_filled() {
    for bands in [1, 4, 13] {
        let spec = Spec::new().bands(bands);
        let bench = Bench::new(&spec);
        bench.restored("out.tif", &[]).ok();
        assert_filled(&bench, &spec);
        assert_eq!(described(&bench.scene), described(&bench.path("out.tif")));
    }
}

#[test]
fn more_tiles_than_one_leave_clear_pixels_alone() {
    let spec = Spec::new().size(150, 110).nodata();
    let bench = Bench::new(&spec);
    bench
        .restored("out.tif", &["--tile-px", "64", "--overlap-px", "16"])
        .ok();
    assert_filled(&bench, &spec);
    assert_clear_pixels_unchanged(&bench.scene, &bench.mask, &bench.path("out.tif"), "1");
}

/// A direct estimate says its own; one sample cannot, and is not asked for it.
#[test]
fn one_fill_has_an_uncertainty_and_one_sample_has_none() {
    let bench = Bench::new(&Spec::new());
    let deviations = bench.path("u.tif");
    let run = |more: &[&str]| {
        let mut command = unclouded();
        command.arg("restore").arg(&bench.scene);
        command.arg("-o").arg(bench.path("out.tif"));
        command.arg("--mask").arg(&bench.mask);
        command.arg("--uncertainty").arg(&deviations);
        command
            .args(["--device", "cpu", "--samples", "1"])
            .args(more);
        crate::run::Run::from(command.output().unwrap())
    };
    run(&["--steps", "1"]).refused(&["--uncertainty", "--samples"]);
    assert!(!deviations.exists());
    run(&["--quality", "fast"]).ok();
    let spread: f64 = read(&deviations)[0].iter().sum();
    assert!(spread > 0.0);
}

#[test]
fn uncertainty_provenance_and_preview() {
    let spec = Spec::new().nodata();
    let bench = Bench::new(&spec);
    let extra = ["u.tif", "p.tif", "picture.png"].map(|name| bench.path(name));
    let mut command = bench.restore("out.tif", &["--samples", "3", "--seed", "5"]);
    command.arg("--uncertainty").arg(&extra[0]);
    command.arg("--provenance").arg(&extra[1]);
    command.arg("--preview").arg(&extra[2]);
    crate::run::Run::from(command.output().unwrap()).ok();

    let (std, provenance) = (read(&extra[0]), read(&extra[1]));
    assert_eq!((std.len(), provenance.len()), (spec.bands, 1));
    let mut spread = 0;
    for i in 0..spec.width * spec.height {
        let (row, col) = (i / spec.width, i % spec.width);
        let masked = cloud(spec.width, spec.height, row, col);
        let expected = if spec.is_nodata(row, col) {
            0.0
        } else if masked {
            2.0
        } else {
            1.0
        };
        assert_eq!(
            provenance[0][i], expected,
            "provenance at row {row}, col {col}"
        );
        for plane in &std {
            if expected == 1.0 {
                assert_eq!(plane[i], 0.0, "an observed pixel is not uncertain");
            }
            if expected == 2.0 {
                assert!(plane[i].is_finite() && plane[i] >= 0.0);
                spread += usize::from(plane[i] > 0.0);
            }
        }
    }
    assert!(spread > 100, "the samples hardly differ: {spread}");

    let georeference = |path: &Path| {
        let info = described(path);
        (
            info["size"].clone(),
            info["crs"].clone(),
            info["geotransform"].clone(),
        )
    };
    for path in &extra[..2] {
        assert_eq!(
            georeference(path),
            georeference(&bench.scene),
            "{}",
            path.display()
        );
    }
    let beside: Vec<String> = bench.files();
    assert_eq!(
        beside.len(),
        6,
        "nothing lies beside the outputs: {beside:?}"
    );
    let png = std::fs::read(&extra[2]).unwrap();
    assert_eq!(&png[..8], b"\x89PNG\r\n\x1a\n");

    // The tags that make a result traceable, in the provenance file.
    let output = Command::new("gdalinfo").arg(&extra[1]).output().unwrap();
    let tags = String::from_utf8_lossy(&output.stdout).to_lowercase();
    for tag in [
        "seed",
        "steps",
        "sampler",
        "checkpoint",
        "version",
        "0=nodata",
    ] {
        assert!(tags.contains(tag), "no {tag} in {tags}");
    }
}

#[test]
fn chosen_mask_values_and_dilation() {
    let spec = Spec::new();
    let bench = Bench::new(&spec);
    let classes = |row: usize, col: usize| match (row, col) {
        (10..14, 10..14) => 3,
        (20..24, 30..34) => 9,
        (30..34, 5..9) => 4,
        _ => 0,
    };
    let mask = write_mask(
        bench.path("classes.tif"),
        (spec.width, spec.height),
        spec.epsg,
        classes,
    );
    let filled = |name: &str, more: &[&str]| {
        let provenance = bench.path(name);
        let mut command = crate::run::unclouded();
        command
            .arg("restore")
            .arg(&bench.scene)
            .arg("--mask")
            .arg(&mask);
        command.args([
            "--mask-values",
            "3,9",
            "--steps",
            "2",
            "--device",
            "cpu",
            "--overwrite",
        ]);
        command
            .arg("-o")
            .arg(bench.path("out.tif"))
            .arg("--provenance")
            .arg(&provenance);
        crate::run::Run::from(command.args(more).output().unwrap()).ok();
        let is_filled = |&(_, &value): &(usize, &f64)| value == 2.0;
        let values = read(&provenance).swap_remove(0);
        let indices: Vec<usize> = values
            .iter()
            .enumerate()
            .filter(is_filled)
            .map(|(i, _)| i)
            .collect();
        indices
    };
    let exact = filled("exact.tif", &[]);
    let expected: Vec<usize> = (0..spec.width * spec.height)
        .filter(|i| matches!(classes(i / spec.width, i % spec.width), 3 | 9))
        .collect();
    assert_eq!(exact, expected);
    let wider = filled("wider.tif", &["--dilate-px", "2"]);
    assert!(exact.iter().all(|i| wider.contains(i)));
    assert!(
        wider.len() >= 2 * (16 + 4 * 4 * 2) && wider.len() <= 2 * 64,
        "{}",
        wider.len()
    );
    filled("exact.tif", &[]);
    assert_clear_pixels_unchanged(&bench.scene, &mask, &bench.path("out.tif"), "3,9");
}

#[test]
fn inputs_are_not_touched_and_nothing_is_left_behind() {
    let spec = Spec::new();
    let bench = Bench::new(&spec);
    let before = [&bench.scene, &bench.mask].map(|path| std::fs::read(path).unwrap());
    bench.restored("out.tif", &[]).ok();
    let after = [&bench.scene, &bench.mask].map(|path| std::fs::read(path).unwrap());
    assert!(before == after, "an input was changed");
    assert_eq!(
        bench.files(),
        ["mask.tif", "out.tif", "scene.tif"],
        "something was left behind"
    );
}

#[test]
fn dry_run_forecasts_and_writes_nothing() {
    let bench = Bench::new(&Spec::new());
    let run = bench.restored("out.tif", &["--dry-run"]).ok();
    let said = format!("{}{}", run.stdout, run.stderr).to_lowercase();
    for word in ["tile", "memory", "time"] {
        assert!(said.contains(word), "no {word} in {said}");
    }
    assert_eq!(bench.files(), ["mask.tif", "scene.tif"]);
}

#[test]
fn the_bundled_demo_scene() {
    let demo = tests_folder().join("data/demo");
    let folder = tempfile::tempdir().unwrap();
    let (scene, mask) = (
        demo.join("punjab_20200823.tif"),
        demo.join("punjab_20200823_mask.tif"),
    );
    let output = folder.path().join("restored.tif");
    let mut command = crate::run::unclouded();
    command
        .arg("restore")
        .arg(&scene)
        .arg("--mask")
        .arg(&mask)
        .args(["--mask-values", "1,2"]);
    command
        .arg("-o")
        .arg(&output)
        .args(["--steps", "1", "--device", "cpu"]);
    crate::run::Run::from(command.output().unwrap()).ok();
    assert_eq!(described(&scene), described(&output));
    assert_clear_pixels_unchanged(&scene, &mask, &output, "1,2");
}
