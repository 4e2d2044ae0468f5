//! Where masks come from, end to end: `unclouded mask`, polygons, classifications, the detector,
//! extents.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::fixtures::{Spec, cloud, read};
use crate::run::{Bench, Run, json_lines, python, run, tests_folder, unclouded};

fn demo(name: &str) -> PathBuf {
    tests_folder().join("data/demo").join(name)
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// `unclouded mask SCENE -o OUT` with more words.
fn mask(scene: &Path, output: &Path, more: &[&str]) -> Run {
    run(["mask", text(scene), "-o", text(output)].iter().chain(more))
}

/// Restores under another mask than the bench's.
fn restore(bench: &Bench, output: &str, more: &[&str]) -> Run {
    let mut command = unclouded();
    command.arg("restore").arg(&bench.scene);
    command.arg("-o").arg(bench.path(output)).args(more);
    let quick = ["--steps", "2", "--device", "cpu"];
    command.args(quick).output().unwrap().into()
}

/// Turns the bench's mask into polygons with GDAL's own program.
fn polygonized(bench: &Bench, name: &str, format: &str, epsg: &str) -> PathBuf {
    let (wide, path) = (bench.path("wide.gpkg"), bench.path(name));
    let polygonize = Command::new("gdal_polygonize.py")
        .arg("-q")
        .arg(&bench.mask)
        .args(["-mask"])
        .arg(&bench.mask)
        .args(["-f", "GPKG"])
        .arg(&wide)
        .output();
    let made = polygonize.is_ok_and(|output| output.status.success());
    assert!(made, "gdal_polygonize.py; run: make install-deps");
    let ogr = Command::new("ogr2ogr")
        .args(["-f", format, "-t_srs", epsg])
        .arg(&path)
        .arg(&wide)
        .output()
        .unwrap();
    assert!(
        ogr.status.success(),
        "{}",
        String::from_utf8_lossy(&ogr.stderr)
    );
    std::fs::remove_file(wide).unwrap();
    path
}

#[test]
fn polygons_fill_what_their_raster_fills() {
    let bench = Bench::new(&Spec::new());
    bench.restored("raster.tif", &[]).ok();
    let expected = read(&bench.path("raster.tif"));
    for (name, format, epsg) in [
        ("m.gpkg", "GPKG", "EPSG:32643"),
        ("m.geojson", "GeoJSON", "EPSG:4326"),
        ("m.shp", "ESRI Shapefile", "EPSG:3857"),
    ] {
        let polygons = polygonized(&bench, name, format, epsg);
        let output = format!("{format}.tif");
        let words = ["--mask", text(&polygons), "--dilate-px", "0"];
        restore(&bench, &output, &words).ok();
        assert_eq!(read(&bench.path(&output)), expected, "{name}");
    }
}

#[test]
fn polygons_elsewhere_are_refused_and_nothing_is_written() {
    let bench = Bench::new(&Spec::new());
    let far = bench.path("far.geojson");
    let square = "[[[0,0],[1,0],[1,1],[0,1],[0,0]]]";
    let collection = format!(
        r#"{{"type":"FeatureCollection","features":[{{"type":"Feature","properties":{{}},"geometry":{{"type":"Polygon","coordinates":{square}}}}}]}}"#
    );
    std::fs::write(&far, collection).unwrap();
    restore(&bench, "out.tif", &["--mask", text(&far)])
        .refused(&["meets the scene", "far.geojson"]);
    std::fs::write(&far, "{\"type\":\"FeatureCollection\",\"features\":[").unwrap();
    restore(&bench, "out.tif", &["--mask", text(&far)]).refused(&["far.geojson"]);
    assert!(!bench.path("out.tif").exists());
}

#[test]
fn the_detector_finds_the_clouds_of_the_demo_scene() {
    let folder = tempfile::tempdir().unwrap();
    let output = folder.path().join("mask.tif");
    let scene = demo("punjab_20200823.tif");
    let bare = ["--from", "auto", "--classes", "--dilate-px", "0"];
    let done = mask(&scene, &output, &bare).ok();
    assert!(done.stdout.contains("of which shadow"), "{done:#?}");
    let (found, truth) = (read(&output), read(&demo("punjab_20200823_mask.tif")));
    // The reference is grown by 3 pixels: everything found has to be in it, most of it found.
    for (class, precision, recall) in [(1.0, 0.97, 0.70), (2.0, 0.75, 0.65)] {
        let count = |test: &dyn Fn(f64, f64) -> bool| {
            let pairs = found[0].iter().zip(&truth[0]);
            pairs
                .filter(|(found, truth)| test(**found, **truth))
                .count() as f64
        };
        let hit = count(&|found, truth| found == class && truth == class);
        let (marked, there) = (
            count(&|found, _| found == class),
            count(&|_, truth| truth == class),
        );
        assert!(
            hit / marked > precision && hit / there > recall,
            "class {class}: precision {}, recall {}",
            hit / marked,
            hit / there
        );
    }
    // What is found when nothing is said of where the mask comes from.
    let usual = folder.path().join("usual.tif");
    let done = mask(&scene, &usual, &["--classes", "--dilate-px", "0"]).ok();
    assert!(done.stderr.contains("--from auto"), "{done:#?}");
    assert_eq!(read(&usual), found);
    // The clear date has none, which is no error: `restore` writes it as it is.
    let clear = demo("punjab_20200604.tif");
    let done = mask(&clear, &output, &["--from", "auto", "--overwrite"]).ok();
    assert!(
        done.stdout.contains("0 of 69696") && done.stderr.contains("no clouds found"),
        "{done:#?}"
    );
    assert!(read(&output)[0].iter().all(|value| *value == 0.0));
    let restored = folder.path().join("out.tif");
    let std = folder.path().join("std.tif");
    let words = [
        "restore",
        text(&clear),
        "-o",
        text(&restored),
        "--mask-from",
        "auto",
        "--uncertainty",
        text(&std),
    ];
    let done = run(words).ok();
    assert!(done.stderr.contains("written as it is"), "{done:#?}");
    assert!(done.stdout.contains("0 pixels filled"), "{done:#?}");
    assert_eq!(read(&restored), read(&clear));
    let spread = read(&std);
    assert!(spread.iter().flatten().all(|value| *value == 0.0));
}

#[test]
fn a_detected_mask_is_the_mask_that_restore_uses() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let scene = demo("punjab_20200823.tif");
    let shape = ["--dilate-px", "2", "--min-area-px", "20"];
    let auto: Vec<&str> = ["--from", "auto"].iter().chain(&shape).copied().collect();
    mask(&scene, &path("mask.tif"), &auto).ok();
    let fill = |output: &str, more: &[&str]| {
        let mut words = vec![
            "restore",
            text(&scene),
            "--steps",
            "1",
            "--samples",
            "1",
            "--device",
            "cpu",
        ];
        words.extend(more);
        unclouded()
            .args(words)
            .arg("-o")
            .arg(path(output))
            .output()
            .unwrap()
    };
    let one: Run = fill("a.tif", &["--mask", text(&path("mask.tif"))]).into();
    let more: Vec<&str> = ["--mask-from", "auto"]
        .iter()
        .chain(&shape)
        .copied()
        .collect();
    let other: Run = fill("b.tif", &more).into();
    assert!(one.ok().stdout.contains("0 of ") && other.ok().stdout.contains("0 of "));
    assert_eq!(read(&path("a.tif")), read(&path("b.tif")));
    let check = python("check_clear_pixels.py")
        .args([&scene, &path("mask.tif"), &path("b.tif")])
        .args(["--mask-values", "1"])
        .output()
        .unwrap();
    assert!(
        check.status.success(),
        "{}",
        String::from_utf8_lossy(&check.stdout)
    );
}

#[test]
fn only_the_extent_is_filled() {
    let spec = Spec::new();
    let bench = Bench::new(&spec);
    // Columns 0 to 23 of the scene: the western half of the round cloud.
    let extent = "499980,3399620,500220,3400020";
    let provenance = bench.path("p.tif");
    let words = ["--extent", extent, "--provenance", text(&provenance)];
    bench.restored("out.tif", &words).ok();
    let (before, after) = (read(&bench.scene), read(&bench.path("out.tif")));
    let kinds = read(&provenance);
    let mut filled = 0;
    for at in 0..spec.width * spec.height {
        let (row, col) = (at / spec.width, at % spec.width);
        let inside = cloud(spec.width, spec.height, row, col) && col < 24;
        filled += usize::from(inside);
        assert_eq!(
            kinds[0][at],
            if inside { 2.0 } else { 1.0 },
            "row {row}, column {col}"
        );
        for band in 0..spec.bands {
            assert!(
                inside || before[band][at] == after[band][at],
                "row {row}, column {col}"
            );
        }
    }
    assert!(filled > 100);
    // Clouds outside are bright: had the fill used them, it would be brighter than the ground.
    let ground = |at: usize| !cloud(spec.width, spec.height, at / spec.width, at % spec.width);
    let brightest = (0..before[0].len())
        .filter(|at| ground(*at))
        .map(|at| before[0][at]);
    let brightest = brightest.fold(0.0, f64::max);
    for (at, value) in after[0].iter().enumerate() {
        let col = at % spec.width;
        if !ground(at) && col < 24 {
            assert!(*value <= brightest, "{value} at {at}");
        }
    }
    for wrong in ["1,2,3", "a,b,c,d", "5,5,4,6", "0,0,1,1"] {
        let run = bench.restored("no.tif", &["--extent", wrong]);
        assert_eq!(run.code, Some(2), "{wrong}: {run:#?}");
        assert!(!bench.path("no.tif").exists());
    }
}

#[test]
fn mask_reports_as_json_and_keeps_its_manners() {
    let bench = Bench::new(&Spec::new());
    let output = bench.path("new.tif");
    let words = ["--mask", text(&bench.mask), "--progress", "json"];
    let run = mask(&bench.scene, &output, &words).ok();
    let lines = json_lines(&run.stdout);
    assert_eq!(lines.first().unwrap()["command"], "mask");
    let last = lines.last().unwrap();
    assert_eq!(
        (last["type"].as_str(), last["exit"].as_u64()),
        (Some("done"), Some(0))
    );
    let marked = read(&bench.mask)[0]
        .iter()
        .filter(|value| **value == 1.0)
        .count();
    assert_eq!(
        last["result"]["pixels"]["fill"].as_u64(),
        Some(marked as u64)
    );
    assert_eq!(read(&output), read(&bench.mask));
    // An output that exists, one over an input, contradictions, nothing asked.
    mask(&bench.scene, &output, &["--mask", text(&bench.mask)]).refused(&["--overwrite"]);
    mask(
        &bench.scene,
        &bench.mask,
        &["--mask", text(&bench.mask), "--overwrite"],
    )
    .refused(&["inputs"]);
    let other = bench.path("other.tif");
    mask(&bench.scene, &other, &["--mask-values", "3"]).refused(&["auto", "--mask-values"]);
    mask(&bench.scene, &other, &["--from", "scl"]).refused(&["SCL"]);
    mask(&bench.scene, &other, &["--from", "qa-pixel"]).refused(&["QA_PIXEL"]);
    let both = ["--from", "auto", "--mask", text(&bench.mask)];
    mask(&bench.scene, &other, &both).refused(&["auto"]);
    let classes = ["--mask", text(&bench.mask), "--classes"];
    mask(&bench.scene, &other, &classes).refused(&["--classes"]);
    mask(&bench.scene, &bench.path("m.png"), &["--from", "auto"]).refused(&[".tif"]);
    assert_eq!(bench.files(), ["mask.tif", "new.tif", "scene.tif"]);
}

/// Growth belongs to what it grows from: the rim of a shadow is shadow, not a cloud.
#[test]
fn around_a_shadow_grows_shadow() {
    let folder = tempfile::tempdir().unwrap();
    let scene = demo("latium_20180705.tif");
    let classes = |name: &str, px: &str| {
        let output = folder.path().join(name);
        mask(&scene, &output, &["--classes", "--dilate-px", px]).ok();
        read(&output).remove(0)
    };
    let (bare, grown) = (classes("bare.tif", "0"), classes("grown.tif", "3"));
    let width = 256;
    let near = |at: usize, class: f64| {
        let (row, col) = (at / width, at % width);
        (0..bare.len())
            .filter(|other| bare[*other] == class)
            .any(|other| {
                (other / width).abs_diff(row).pow(2) + (other % width).abs_diff(col).pow(2) <= 9
            })
    };
    let count = |values: &[f64], class: f64| values.iter().filter(|value| **value == class).count();
    assert!(count(&grown, 2.0) > count(&bare, 2.0) + 500);
    for at in (0..grown.len()).filter(|at| grown[*at] != bare[*at]) {
        assert!(
            near(at, grown[at]),
            "pixel {at} is {} and far from any",
            grown[at]
        );
    }
}

/// Forty metres unless told otherwise for what was detected, in the log and in the pixels.
#[test]
fn growth_is_in_metres_and_said() {
    let folder = tempfile::tempdir().unwrap();
    let scene = demo("latium_20180705.tif");
    let output = folder.path().join("mask.tif");
    let marked = |more: &[&str]| {
        let words = [more, &["--overwrite"]].concat();
        let done = mask(&scene, &output, &words).ok();
        let count = read(&output)[0]
            .iter()
            .filter(|value| **value > 0.0)
            .count();
        (count, done.stderr)
    };
    let (usual, said) = marked(&[]);
    assert!(
        said.contains("grown by 40 m (4 pixels), as usual"),
        "{said}"
    );
    assert_eq!(marked(&["--dilate-px", "4"]).0, usual);
    assert_eq!(marked(&["--dilate-m", "41"]).0, usual);
    assert!(marked(&["--dilate-m", "0"]).0 < usual);
    let both = mask(&scene, &output, &["--dilate-m", "10", "--dilate-px", "1"]);
    assert!(both.stderr.contains("cannot be used with"), "{both:#?}");
    mask(&scene, &output, &["--dilate-m=-1", "--overwrite"]).refused(&["--dilate-m"]);
}
