//! Several scenes: lists, folders, a failing scene among others, going on after an interruption.

use std::path::Path;

use gdal::raster::Buffer;
use gdal::{Dataset, DriverManager, Metadata};

use crate::fixtures::{Spec, cloud, read, write_cloud_mask, write_mask};
use crate::run::{Bench, Run, json_lines, unclouded};

/// A folder with three scenes of different sizes, each under its mask; the second is no raster.
fn three() -> Bench {
    let bench = Bench::new(&Spec::new());
    for (number, width) in [(1, 40), (2, 44), (3, 52)] {
        let spec = Spec::new().size(width, 36);
        spec.write(bench.path(&format!("s{number}.tif")));
        write_cloud_mask(bench.path(&format!("m{number}.tif")), &spec);
    }
    std::fs::write(bench.path("s2.tif"), "no raster").unwrap();
    std::fs::create_dir(bench.path("out")).unwrap();
    bench
}

fn restore(bench: &Bench, words: &[&str]) -> Run {
    let mut command = unclouded();
    command
        .current_dir(bench.folder.path())
        .arg("restore")
        .args(words);
    command.args(["--steps", "1", "--device", "cpu"]);
    command.output().unwrap().into()
}

#[test]
fn a_failing_scene_does_not_stop_the_others() {
    let bench = three();
    let list = "scene,mask,output\ns1.tif,m1.tif,out/1.tif\ns2.tif,m2.tif,out/2.tif\n\"s3.tif\",m3.tif,out/3.tif\n";
    std::fs::write(bench.path("list.csv"), list).unwrap();
    let run = restore(&bench, &["--batch", "list.csv"]);
    assert_eq!(run.code, Some(1), "{run:#?}");
    assert!(run.stderr.contains("1 of 3 scenes failed"), "{run:#?}");
    let states: Vec<&str> = run
        .stdout
        .lines()
        .filter_map(|line| line.split(' ').next())
        .collect();
    assert_eq!(states, ["filled", "failed", "filled"], "{run:#?}");
    assert!(bench.path("out/1.tif").exists() && bench.path("out/3.tif").exists());
    assert!(!bench.path("out/2.tif").exists());

    // What failed is mended; what is complete stays.
    let spec = Spec::new().size(44, 36);
    spec.write(bench.path("s2.tif"));
    let before = std::fs::metadata(bench.path("out/1.tif"))
        .unwrap()
        .modified()
        .unwrap();
    let run = restore(
        &bench,
        &["--batch", "list.csv", "--resume", "--progress", "json"],
    )
    .ok();
    let after = std::fs::metadata(bench.path("out/1.tif"))
        .unwrap()
        .modified()
        .unwrap();
    assert_eq!(before, after);
    let lines = json_lines(&run.stdout);
    let kind = |at: usize| lines[at]["type"].as_str().unwrap().to_owned();
    assert_eq!(
        (kind(0), kind(lines.len() - 1)),
        ("start".into(), "done".into())
    );
    let scenes: Vec<(u64, &str)> = lines
        .iter()
        .filter(|line| line["type"] == "scene")
        .map(|line| {
            (
                line["number"].as_u64().unwrap(),
                line["state"].as_str().unwrap(),
            )
        })
        .collect();
    let expected = [1, 2, 3]
        .map(|number| [(number, "start"), (number, "done")])
        .concat();
    assert_eq!(scenes, expected);
    let result = &lines.last().unwrap()["result"]["scenes"];
    let states: Vec<&str> = result
        .as_array()
        .unwrap()
        .iter()
        .map(|s| s["state"].as_str().unwrap())
        .collect();
    assert_eq!(states, ["complete", "filled", "complete"]);
    // One start, one end: a reader of one scene is not misled by the lines of several.
    let ends = lines
        .iter()
        .filter(|line| line["type"] == "done" || line["type"] == "error");
    assert_eq!(ends.count(), 1);
}

#[test]
fn a_failure_among_several_is_a_json_line_of_its_scene() {
    let bench = three();
    let words = [
        "s2.tif",
        "s1.tif",
        "--mask",
        "m1.tif",
        "-o",
        "out",
        "--progress",
        "json",
    ];
    let run = restore(&bench, &words);
    assert_eq!(run.code, Some(1), "{run:#?}");
    let lines = json_lines(&run.stdout);
    let failed = lines.iter().find(|line| line["state"] == "failed").unwrap();
    assert_eq!(
        (failed["number"].as_u64(), failed["exit"].as_u64()),
        (Some(1), Some(2))
    );
    assert!(failed["message"].as_str().unwrap().contains("s2.tif"));
    let last = lines.last().unwrap();
    assert_eq!(
        (last["type"].as_str(), last["exit"].as_u64()),
        (Some("error"), Some(1))
    );
    assert!(bench.path("out/s1.tif").exists());
}

#[test]
fn stac_items_and_more_outputs_go_into_folders() {
    let bench = three();
    let collection = r#"{"type": "FeatureCollection", "features": [
        {"id": "A/1", "assets": {"data": {"href": "s1.tif"}, "clouds": {"href": "m1.tif"}}},
        {"id": "B", "assets": {"visual": {"href": "./s3.tif"}, "clouds": {"href": "m3.tif"}}}]}"#;
    std::fs::write(bench.path("items.json"), collection).unwrap();
    let words = [
        "--batch",
        "items.json",
        "--asset",
        "data,visual",
        "--mask-asset",
        "clouds",
    ];
    let more = ["-o", "out", "--provenance", "out", "--preview", "out"];
    restore(&bench, &[&words[..], &more].concat()).ok();
    let mut names: Vec<String> = std::fs::read_dir(bench.path("out"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    let expected = [
        "A_1.tif",
        "A_1_preview.png",
        "A_1_provenance.tif",
        "B.tif",
        "B_preview.png",
        "B_provenance.tif",
    ];
    assert_eq!(names, expected);
    restore(
        &bench,
        &["--batch", "items.json", "--asset", "nir", "-o", "out"],
    )
    .refused(&["A/1", "nir", "--asset"]);
    restore(&bench, &["--batch", "no.csv", "-o", "out"]).refused(&["no.csv"]);
    restore(
        &bench,
        &["s1.tif", "s3.tif", "-o", "nowhere", "--mask-from", "auto"],
    )
    .refused(&["nowhere"]);
}

/// One band of a raster in a file of its own, with every `shrink`-th pixel and line.
fn one_band(scene: &Path, band: usize, shrink: usize, output: &Path) {
    let scene = Dataset::open(scene).unwrap();
    let size = scene.raster_size();
    let small = (size.0 / shrink, size.1 / shrink);
    let values = scene.rasterband(band).unwrap();
    let values = values.read_as::<u16>((0, 0), size, size, None).unwrap();
    let kept = (0..small.0 * small.1)
        .map(|i| values.data()[i / small.0 * shrink * size.0 + i % small.0 * shrink])
        .collect();
    let driver = DriverManager::get_driver_by_name("GTiff").unwrap();
    let mut out = driver
        .create_with_band_type::<u16, _>(output, small.0, small.1, 1)
        .unwrap();
    let [x, dx, _, y, _, dy] = scene.geo_transform().unwrap();
    let side = shrink as f64;
    out.set_geo_transform(&[x, side * dx, 0.0, y, 0.0, side * dy])
        .unwrap();
    out.set_spatial_ref(&scene.spatial_ref().unwrap()).unwrap();
    let mut buffer = Buffer::new(small, kept);
    let mut target = out.rasterband(1).unwrap();
    target.write((0, 0), small, &mut buffer).unwrap();
    out.close().unwrap();
}

#[test]
fn stac_bands_in_files_of_their_own_are_one_scene() {
    // As in the catalogues: a file a band, 10 and 20 m, and the scene classification.
    let bench = Bench::new(&Spec::new().bands(4));
    for (band, shrink, name) in [
        (1, 1, "blue.tif"),
        (2, 1, "green.tif"),
        (3, 1, "red.tif"),
        (4, 2, "swir16.tif"),
    ] {
        one_band(&bench.scene, band, shrink, &bench.path(name));
    }
    write_mask(bench.path("scl.tif"), (48, 40), 32643, |row, col| {
        if cloud(48, 40, row, col) { 9 } else { 4 }
    });
    let band = |name: &str, own: &str| {
        format!(
            r#""{name}": {{"href": "{name}.tif", "eo:bands": [{{"name": "{own}", "common_name": "{name}"}}]}}"#
        )
    };
    let assets = [
        ("swir16", "B11"),
        ("red", "B04"),
        ("green", "B03"),
        ("blue", "B02"),
    ]
    .map(|(name, own)| band(name, own))
    .join(", ");
    let items = format!(
        r#"{{"type": "FeatureCollection", "features": [
        {{"id": "stack", "assets": {{{assets}, "scl": {{"href": "scl.tif"}}}}}},
        {{"id": "gone", "assets": {{"red": {{"href": "red.tif"}}, "nir": {{"href": "no.tif"}}}}}}]}}"#
    );
    std::fs::write(bench.path("items.json"), items).unwrap();
    std::fs::create_dir(bench.path("out")).unwrap();
    let words = [
        "--batch",
        "items.json",
        "-o",
        "out",
        "--mask-from",
        "scl",
        "--dilate-px",
        "0",
    ];
    // Only the first item says what its assets are.
    let refused = restore(&bench, &words);
    refused.refused(&["gone", "--asset"]);
    let either = ["--asset", "blue+green+red+swir16,red+nir"];
    let run = restore(&bench, &[&words[..], &either].concat());
    assert_eq!(run.code, Some(1), "{run:#?}");
    assert!(run.stderr.contains("1 of 2 scenes failed") && run.stderr.contains("no.tif"));
    assert!(
        run.stderr.contains("B02 blue, B03 green, B04 red"),
        "{run:#?}"
    );
    assert!(
        run.stderr.contains("values repeated: B11 swir16"),
        "{run:#?}"
    );

    let output = bench.path("out/stack.tif");
    let written = Dataset::open(&output).unwrap();
    let names: Vec<String> = (1..=written.raster_count())
        .map(|band| written.rasterband(band).unwrap().description().unwrap())
        .collect();
    assert_eq!(names, ["B02 blue", "B03 green", "B04 red", "B11 swir16"]);
    let original = Dataset::open(&bench.scene).unwrap();
    assert_eq!(
        written.geo_transform().unwrap(),
        original.geo_transform().unwrap()
    );
    let (after, before) = (read(&output), read(&bench.scene));
    for (at, (row, col)) in (0..48 * 40).map(|at| (at, (at / 48, at % 48))) {
        if cloud(48, 40, row, col) {
            continue;
        }
        for band in 0..3 {
            assert_eq!(after[band][at], before[band][at], "band {band}, pixel {at}");
        }
        // Nearest: the value of the pixel of 20 m that it lies in.
        let coarse = row / 2 * 2 * 48 + col / 2 * 2;
        assert_eq!(after[3][at], before[3][coarse], "pixel {at}");
    }
    assert_ne!(after, before, "nothing was filled");
    // The same again without names: all bands of the ground, by wavelength.
    let text = std::fs::read_to_string(bench.path("items.json")).unwrap();
    let first = text.split(",\n        {\"id\": \"gone\"").next().unwrap();
    std::fs::write(bench.path("one.json"), format!("{first}]}}")).unwrap();
    std::fs::create_dir(bench.path("again")).unwrap();
    let words = [
        "--batch",
        "one.json",
        "-o",
        "again",
        "--mask-from",
        "scl",
        "--dilate-px",
        "0",
    ];
    restore(&bench, &words).ok();
    let bytes = |name: &str| std::fs::read(bench.path(name)).unwrap();
    assert_eq!(bytes("out/stack.tif"), bytes("again/stack.tif"));
    // An asset is never written over.
    std::fs::rename(bench.path("red.tif"), bench.path("again/red.tif")).unwrap();
    let over = r#"{"id": "red", "assets": {"red": {"href": "again/red.tif"}, "blue": {"href": "blue.tif"}}}"#;
    std::fs::write(bench.path("over.json"), over).unwrap();
    let words = ["--batch", "over.json", "-o", "again", "--asset", "red+blue"];
    let more = ["--mask", "mask.tif", "--overwrite"];
    restore(&bench, &[&words[..], &more].concat()).refused(&["inputs"]);
}
