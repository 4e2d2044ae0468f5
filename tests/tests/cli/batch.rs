//! Several scenes: lists, folders, a failing scene among others, going on after an interruption.

use crate::fixtures::{Spec, write_cloud_mask};
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
