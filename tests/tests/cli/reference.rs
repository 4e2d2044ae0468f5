//! An image of another date (`--reference`) and `--quality`, end to end.

use std::path::{Path, PathBuf};

use gdal::raster::Buffer;
use gdal::{Dataset, DatasetOptions, DriverManager, GdalOpenFlags};
use serde_json::Value;

use crate::fixtures::{Spec, cloud, read, write_mask};
use crate::run::{Bench, Run, json_lines, tests_folder, unclouded};

fn demo(name: &str) -> PathBuf {
    tests_folder().join("data/demo").join(name)
}

/// The scene at `path` under another sun, in another number format and with one band fewer.
fn other_date(path: &Path, output: &Path) {
    other_light(path, output, |value| 0.5 - value / 20_000.0);
}

/// The scene at `path` with other values and one band fewer.
fn other_light(path: &Path, output: &Path, light: impl Fn(f32) -> f32) {
    let scene = Dataset::open(path).unwrap();
    let size = scene.raster_size();
    let bands = scene.raster_count() - 1;
    let driver = DriverManager::get_driver_by_name("GTiff").unwrap();
    let mut out = driver
        .create_with_band_type::<f32, _>(output, size.0, size.1, bands)
        .unwrap();
    out.set_geo_transform(&scene.geo_transform().unwrap())
        .unwrap();
    out.set_spatial_ref(&scene.spatial_ref().unwrap()).unwrap();
    for band in 1..=bands {
        let values = scene.rasterband(band).unwrap();
        let values = values.read_as::<f32>((0, 0), size, size, None).unwrap();
        let changed = values.data().iter().map(|v| light(*v)).collect();
        let mut buffer = Buffer::new(size, changed);
        let mut target = out.rasterband(band).unwrap();
        target.write((0, 0), size, &mut buffer).unwrap();
    }
}

#[test]
fn another_date_shows_the_ground() {
    let folder = tempfile::tempdir().unwrap();
    let (scene, mask) = (
        demo("punjab_20200604.tif"),
        demo("punjab_20200604_mask.tif"),
    );
    let reference = folder.path().join("earlier.tif");
    other_date(&scene, &reference);
    let json = folder.path().join("scores.json");
    let mut command = unclouded();
    command.args([
        "evaluate",
        "--samples",
        "2",
        "--steps",
        "1",
        "--device",
        "cpu",
    ]);
    for (option, path) in [
        ("--clear", &scene),
        ("--masks", &mask),
        ("--reference", &reference),
        ("--json", &json),
    ] {
        command.arg(option).arg(path);
    }
    Run::from(command.output().unwrap()).ok();
    let report: Value = serde_json::from_str(&std::fs::read_to_string(&json).unwrap()).unwrap();
    let psnr = |method: &str| {
        report["methods"][method]["masked"]["psnr_db"]
            .as_f64()
            .unwrap()
    };
    assert!(psnr("unclouded") > psnr("idw") + 3.0, "{report:#}");
    assert!(psnr("local") > psnr("idw") + 3.0, "{report:#}");
    let uncertainty = &report["uncertainty"];
    assert!(
        uncertainty["coverage_90"].as_f64().unwrap() <= 1.0,
        "{report:#}"
    );
}

#[test]
fn a_reference_changes_the_fill_and_nothing_else() {
    let bench = Bench::new(&Spec::new().bands(4));
    let reference = bench.path("earlier.tif");
    other_date(&bench.scene, &reference);
    // The reference has clouds of its own: the left half.
    let clouds = write_mask(bench.path("clouds.tif"), (48, 40), 32643, |_, col| {
        u8::from(col < 24)
    });
    let (reference, clouds) = (reference.to_str().unwrap(), clouds.to_str().unwrap());
    let base = ["--samples", "1"];
    let plain = bench.restored("plain.tif", &base).ok();
    let guided = bench
        .restored("guided.tif", &["--samples", "1", "--reference", reference])
        .ok();
    let partly = ["--reference", reference, "--reference-mask", clouds];
    let partly = bench
        .restored("partly.tif", &[&base[..], &partly[..]].concat())
        .ok();
    for run in [&plain, &guided, &partly] {
        assert!(run.stdout.contains("0 of "), "{run:#?}");
    }
    let bytes = |name: &str| {
        let file = Dataset::open(bench.path(name)).unwrap();
        let band = file.rasterband(1).unwrap();
        let values = band.read_as::<u16>((0, 0), (48, 40), (48, 40), None);
        values.unwrap().data().to_vec()
    };
    assert_ne!(bytes("plain.tif"), bytes("guided.tif"));
    assert_ne!(bytes("partly.tif"), bytes("guided.tif"));
}

#[test]
fn a_reference_that_shows_nothing_is_not_taken_silently() {
    let spec = Spec::new();
    let bench = Bench::new(&spec);
    let reference = bench.path("earlier.tif");
    other_date(&bench.scene, &reference);
    let reference = reference.to_str().unwrap();
    let clouds = |name: &str, covered: &dyn Fn(usize, usize) -> bool| {
        let path = write_mask(bench.path(name), (48, 40), 32643, |row, col| {
            u8::from(covered(row, col))
        });
        path.to_str().unwrap().to_owned()
    };
    let restored = |output: &str, more: &[&str]| {
        bench.restored(output, &[&["--samples", "1", "--reference"], more].concat())
    };
    // Nowhere: under its own mask, and as nodata.
    let all = clouds("all.tif", &|_, _| true);
    restored("out.tif", &[reference, "--reference-mask", &all]).refused(&[
        "earlier.tif",
        "everywhere",
        "--reference",
    ]);
    let nothing = bench.path("nothing.tif");
    other_date(&bench.scene, &nothing);
    let file = Dataset::open_ex(
        &nothing,
        DatasetOptions {
            open_flags: GdalOpenFlags::GDAL_OF_UPDATE,
            ..DatasetOptions::default()
        },
    )
    .unwrap();
    for band in 1..=file.raster_count() {
        let mut band = file.rasterband(band).unwrap();
        band.set_no_data_value(Some(-9.0)).unwrap();
        let mut buffer = Buffer::new((48, 40), vec![-9.0_f32; 48 * 40]);
        band.write((0, 0), (48, 40), &mut buffer).unwrap();
    }
    file.close().unwrap();
    restored("out.tif", &[nothing.to_str().unwrap()]).refused(&["nothing.tif", "everywhere"]);
    assert!(!bench.path("out.tif").exists());

    // Not where it matters: said, and the scene is filled as without it.
    let plain = bench.restored("plain.tif", &["--samples", "1"]).ok();
    assert!(!plain.stderr.contains("reference"), "{plain:#?}");
    let holes = |row: usize, col: usize| cloud(48, 40, row, col);
    let cases = [
        (
            "holes",
            clouds("holes.tif", &holes),
            "none of the pixels to fill",
        ),
        (
            "ground",
            clouds("ground.tif", &|row, col| !holes(row, col)),
            "as well",
        ),
    ];
    for (name, clouds, said) in cases {
        let output = format!("without-{name}.tif");
        let run = restored(&output, &[reference, "--reference-mask", &clouds]).ok();
        let warned = run.stderr.contains("warning: the reference") && run.stderr.contains(said);
        assert!(warned, "{run:#?}");
        let bytes = |name: &str| std::fs::read(bench.path(name)).unwrap();
        assert_eq!(bytes("plain.tif"), bytes(&output), "{name}");
    }
}

#[test]
fn references_that_do_not_fit_are_refused() {
    let bench = Bench::new(&Spec::new());
    let twin = bench.path("twin.tif");
    std::fs::copy(&bench.scene, &twin).unwrap();
    for same in [&bench.scene, &twin] {
        bench
            .restored("out.tif", &["--reference", same.to_str().unwrap()])
            .refused(&["reference", "another date", "very pixels"]);
    }
    // It lies elsewhere: warped, it shows nothing.
    let far = bench.path("far.tif");
    other_date(&bench.scene, &far);
    let update = DatasetOptions {
        open_flags: GdalOpenFlags::GDAL_OF_UPDATE,
        ..DatasetOptions::default()
    };
    let mut moved = Dataset::open_ex(&far, update).unwrap();
    let mut place = moved.geo_transform().unwrap();
    place[0] += 50_000.0;
    moved.set_geo_transform(&place).unwrap();
    moved.close().unwrap();
    bench
        .restored("out.tif", &["--reference", far.to_str().unwrap()])
        .refused(&["far.tif", "somewhere in the scene", "in the scene's place"]);
    assert!(!bench.path("out.tif").exists());
    bench
        .restored("out.tif", &["--reference", "missing.tif"])
        .refused(&["reference", "missing.tif"]);
    let scene = bench.scene.to_str().unwrap();
    let empty = write_mask(bench.path("empty.tif"), (48, 40), 32643, |_, _| 0);
    let words = [
        "--reference",
        scene,
        "--reference-mask",
        empty.to_str().unwrap(),
    ];
    bench.restored("out.tif", &words).refused(&["mask"]);
    bench
        .restored("scene.tif", &["--reference", scene, "--overwrite"])
        .refused(&["input"]);
}

#[test]
fn quality_chooses_steps_and_samples_and_gives_way() {
    let bench = Bench::new(&Spec::new());
    let start = |words: &[&str]| {
        let mut command = unclouded();
        command
            .arg("restore")
            .arg(&bench.scene)
            .arg("-o")
            .arg(bench.path("o.tif"));
        command
            .arg("--mask")
            .arg(&bench.mask)
            .args(["--device", "cpu", "--dry-run"]);
        command.args(["--progress", "json"]).args(words);
        let run = Run::from(command.output().unwrap()).ok();
        let line = json_lines(&run.stdout).remove(0);
        (
            line["method"].as_str().unwrap().to_owned(),
            line["steps"].as_u64().unwrap(),
            line["samples"].as_u64().unwrap(),
        )
    };
    let (fast, balanced, best) = (
        start(&["--quality", "fast"]),
        start(&["--quality", "balanced"]),
        start(&["--quality", "best"]),
    );
    assert_eq!(balanced, start(&[]), "balanced is the default");
    let effort = |(method, steps, samples): &(String, u64, u64)| (method.clone(), steps * samples);
    let (one, few, many) = (effort(&fast), effort(&balanced), effort(&best));
    for level in [&one, &few, &many] {
        assert_eq!(
            level.0, "direct",
            "closer to the truth than samples at any level"
        );
    }
    assert!(one.1 < few.1 && few.1 < many.1);
    let three = start(&["--quality", "best", "--samples", "3"]);
    assert_eq!((three.1, three.2), (best.1, 3));
    // Steps are those of samples.
    let steps = start(&["--quality", "fast", "--steps", "5"]);
    assert_eq!((steps.0.as_str(), steps.1), ("concat", 5));
}

/// Another resolution and CRS: brought onto the scene's grid, and as good as on it, nearly.
#[test]
fn a_reference_on_another_grid_is_warped() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let (scene, mask) = (
        demo("latium_20180705.tif"),
        demo("latium_20180705_mask.tif"),
    );
    let other = demo("latium_20181112.tif");
    let warped = path("warped.tif");
    let done = std::process::Command::new("gdalwarp")
        .args(["-q", "-t_srs", "EPSG:32633", "-tr", "12", "12"])
        .args([&other, &warped])
        .status();
    assert!(done.unwrap().success());
    let fill = |name: &str, reference: Option<&Path>| {
        let mut command = unclouded();
        command.arg("restore").arg(&scene).arg("--mask").arg(&mask);
        command.args(["--mask-values", "1,2", "--device", "cpu"]);
        command.args(["--steps", "1", "--samples", "1", "-o"]);
        command.arg(path(name));
        if let Some(reference) = reference {
            command.arg("--reference").arg(reference);
        }
        Run::from(command.output().unwrap()).ok()
    };
    fill("alone.tif", None);
    let plain = fill("same.tif", Some(&other));
    assert!(!plain.stderr.contains("another grid"), "{plain:#?}");
    let said = fill("warped_out.tif", Some(&warped));
    assert!(
        said.stderr.contains("brought onto the scene's"),
        "{said:#?}"
    );
    assert!(
        said.stdout.contains("0 of 46286 clear pixels changed"),
        "{said:#?}"
    );
    let mean_difference = |a: &str, b: &str| {
        let (a, b) = (read(&path(a)), read(&path(b)));
        let pairs = a.iter().flatten().zip(b.iter().flatten());
        pairs.map(|(a, b)| (a - b).abs()).sum::<f64>()
    };
    let near = mean_difference("same.tif", "warped_out.tif");
    let far = mean_difference("same.tif", "alone.tif");
    assert!(near < 0.6 * far, "{near} and {far}");
}

/// Clouds of the reference would be painted into the scene: it is said, and they are left out
/// where the user lets them be found.
#[test]
fn a_clouded_reference_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let fill = |more: &[&str]| {
        let mut command = unclouded();
        command.arg("restore").arg(demo("punjab_20200604.tif"));
        command
            .arg("--mask")
            .arg(demo("punjab_20200604_mask.tif"))
            .arg("--reference")
            .arg(demo("punjab_20200823.tif"));
        command.args(["--device", "cpu", "--steps", "1", "--samples", "1"]);
        command.args(["--overwrite", "-o"]);
        command.arg(folder.path().join("out.tif")).args(more);
        Run::from(command.output().unwrap()).ok()
    };
    let warned = fill(&[]);
    assert!(
        warned
            .stderr
            .contains("warning: the reference looks clouded itself")
            && warned.stderr.contains("--reference-mask-from auto"),
        "{warned:#?}"
    );
    let told = fill(&["--reference-mask-from", "auto"]);
    assert!(!told.stderr.contains("warning:"), "{told:#?}");
    assert!(told.stderr.contains("filled without it"), "{told:#?}");
}

#[test]
fn several_dates_fill_together_in_any_order() {
    let bench = Bench::new(&Spec::new().bands(4));
    let season = bench.path("season");
    std::fs::create_dir(&season).unwrap();
    let names = [
        "S2_2020-06-01.tif",
        "S2_2020-06-20.tif",
        "S2_2020-07-30.tif",
    ];
    for name in names {
        // Dark, so that nothing is taken for a cloud.
        let light = |value| 0.12 - value / 100_000.0;
        other_light(&bench.scene, &season.join(name), light);
    }
    let text = |path: &Path| path.to_str().unwrap().to_owned();
    let bytes = |name: &str| std::fs::read(bench.path(name)).unwrap();
    let run = |output: &str, references: &[String], more: &[&str]| {
        let named = references.iter().flat_map(|path| ["--reference", path]);
        let options: Vec<&str> = named.chain(more.iter().copied()).collect();
        bench.restored(output, &options)
    };
    let files: Vec<String> = names.iter().map(|name| text(&season.join(name))).collect();
    let backward: Vec<String> = files.iter().rev().cloned().collect();
    let forward = run("forward.tif", &files, &[]).ok();
    assert!(
        forward.stderr.contains("3 of 3 show ground"),
        "{forward:#?}"
    );
    assert!(forward.stdout.contains(", 0 of "), "{forward:#?}");
    run("backward.tif", &backward, &[]).ok();
    run("folder.tif", &[text(&season)], &[]).ok();
    run("pattern.tif", &[text(&season.join("*.tif"))], &[]).ok();
    for other in ["backward.tif", "folder.tif", "pattern.tif"] {
        assert_eq!(bytes("forward.tif"), bytes(other), "{other}");
    }
    let dated = ["--date", "2020-06-15", "--max-days", "20", "--no-future"];
    let bounded = run("bounded.tif", &[text(&season)], &dated).ok();
    assert!(
        bounded.stderr.contains("2 outside the bounds"),
        "{bounded:#?}"
    );
    assert!(
        bounded.stderr.contains("1 of 3 show ground"),
        "{bounded:#?}"
    );
    // The scene itself shows nothing that it hides; a copy of it is said to be one.
    std::fs::copy(&bench.scene, season.join("copy_2020-06-15.tif")).unwrap();
    let with_copy = run("copy.tif", &[text(&season), text(&bench.scene)], &[]).ok();
    assert!(
        with_copy.stderr.contains("3 of 5 show ground"),
        "{with_copy:#?}"
    );
    assert_eq!(bytes("forward.tif"), bytes("copy.tif"));
    let gone = run(
        "gone.tif",
        &[text(&season), text(&bench.path("gone.tif"))],
        &[],
    );
    gone.refused(&["gone.tif"]);
    let masks = ["--reference-mask", files[0].as_str()];
    run("masks.tif", &files, &masks).refused(&["--reference-mask", "3"]);
}
