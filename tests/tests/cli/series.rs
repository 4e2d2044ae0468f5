//! Several dates of one place: methods by name, the self-test, whole series, their evaluation.

use std::path::{Path, PathBuf};

use gdal::raster::Buffer;
use gdal::spatial_ref::SpatialRef;
use gdal::{Dataset, DriverManager, Metadata};
use serde_json::Value;

use crate::fixtures::read;
use crate::run::{Run, json_lines, unclouded};

const SIZE: (usize, usize) = (96, 80);
const BANDS: [&str; 4] = ["B02", "B03", "B04", "B08"];

/// A rectangle of pixels: first column and row, one past the last.
type Rectangle = (usize, usize, usize, usize);

/// Fields of two kinds that each date shows in a light of its own; white where clouded.
fn value(band: usize, col: usize, row: usize, day: u32) -> f64 {
    let field = f64::from(((col / 7 + 3 * (row / 5)) % 5) as u32);
    let grain = f64::from(((col * 7919 + row * 104_729) % 97) as u32);
    // What is odd about a day.
    let odd = (col * 31 + row * 17 + band * 5) as u32 ^ day.wrapping_mul(2_654_435_761);
    let odd = f64::from(odd.wrapping_mul(2_246_822_519) >> 27);
    let season = f64::from(day) / 30.0;
    let green = [20.0, 35.0, 60.0, 450.0][band] * (field - season).abs();
    [420.0, 520.0, 480.0, 1800.0][band] + green + grain + odd
}

/// Writes the date of a day of June 2020.
fn write_date(folder: &Path, day: u32, cloud: Option<Rectangle>) -> PathBuf {
    let path = folder.join(format!("place_2020-06-{day:02}.tif"));
    let driver = DriverManager::get_driver_by_name("GTiff").unwrap();
    let mut out = driver
        .create_with_band_type::<u16, _>(&path, SIZE.0, SIZE.1, BANDS.len())
        .unwrap();
    out.set_geo_transform(&[500_000.0, 10.0, 0.0, 4_000_000.0, 0.0, -10.0])
        .unwrap();
    out.set_spatial_ref(&SpatialRef::from_epsg(32643).unwrap())
        .unwrap();
    for (band, name) in BANDS.iter().enumerate() {
        let pixel = |i: usize| {
            let (col, row) = (i % SIZE.0, i / SIZE.0);
            let white = cloud.is_some_and(|(left, top, right, bottom)| {
                (left..right).contains(&col) && (top..bottom).contains(&row)
            });
            match white {
                true => 8000 + (i % 13) as u16,
                false => value(band, col, row, day) as u16,
            }
        };
        let values: Vec<u16> = (0..SIZE.0 * SIZE.1).map(pixel).collect();
        let mut target = out.rasterband(band + 1).unwrap();
        target.set_description(name).unwrap();
        target
            .write((0, 0), SIZE, &mut Buffer::new(SIZE, values))
            .unwrap();
    }
    path
}

/// Six dates, two of them clouded in part and one as a whole.
fn season(folder: &Path) -> PathBuf {
    let season = folder.join("season");
    std::fs::create_dir(&season).unwrap();
    for day in [1, 6, 21, 26] {
        write_date(&season, day, None);
    }
    write_date(&season, 11, Some((20, 10, 60, 50)));
    write_date(&season, 16, Some((50, 40, 90, 70)));
    write_date(&season, 30, Some((0, 0, SIZE.0, SIZE.1)));
    season
}

fn run(words: &[&str]) -> Run {
    let output = unclouded().args(words).args(["--device", "cpu"]).output();
    output.expect("the program starts").into()
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// Root mean square difference to what a day shows, over a rectangle.
fn error(path: &Path, day: u32, (left, top, right, bottom): Rectangle) -> f64 {
    let bands = read(path);
    let (mut sum, mut count) = (0.0, 0.0);
    for row in top..bottom {
        for col in left..right {
            for (band, values) in bands.iter().enumerate() {
                let off = values[row * SIZE.0 + col] - value(band, col, row, day);
                sum += off * off;
                count += 1.0;
            }
        }
    }
    f64::sqrt(sum / count)
}

#[test]
fn methods_have_names_and_the_best_is_chosen() {
    let folder = tempfile::tempdir().unwrap();
    let season = season(folder.path());
    let scene = season.join("place_2020-06-11.tif");
    let at = |name: &str| folder.path().join(name);
    let restored = |name: &str, more: &[&str]| {
        let output = at(name);
        let words = [
            "restore",
            text(&scene),
            "-o",
            text(&output),
            "--mask-from",
            "auto",
        ];
        let dates = ["--reference", text(&season)];
        run(&[&words[..], &dates, more].concat())
    };
    let hole = (22, 12, 58, 48);
    let json = at("test.json");
    let asked = format!("--self-test={}", json.display());
    let auto = restored("auto.tif", &[&asked]).ok();
    for words in [
        "self-test: ",
        "regression",
        "network",
        "filled by regression",
    ] {
        assert!(auto.stderr.contains(words), "{words}: {auto:#?}");
    }
    let test: Value = serde_json::from_str(&std::fs::read_to_string(&json).unwrap()).unwrap();
    let rmse = |method: &str| {
        let all = test["methods"].as_array().unwrap();
        let found = all
            .iter()
            .find(|tested| tested["method"] == method)
            .unwrap();
        found["rmse"].as_array().unwrap()[3].as_f64().unwrap()
    };
    assert!(rmse("regression") < rmse("network") && rmse("regression") < rmse("copy"));
    let tag = |name: &str, key: &str| Dataset::open(at(name)).unwrap().metadata_item(key, "");
    let chosen = tag("auto.tif", "UNCLOUDED_DATES").unwrap();
    assert!(
        auto.stderr.contains(&format!("filled by {chosen}")),
        "{chosen}: {auto:#?}"
    );
    let tested = tag("auto.tif", "UNCLOUDED_SELF_TEST").unwrap();
    assert_eq!(serde_json::from_str::<Value>(&tested).unwrap(), test);

    restored("regression.tif", &["--method", "regression"]).ok();
    restored("copy.tif", &["--method", "copy"]).ok();
    // Of two that are as near the earlier one.
    assert!(error(&at("copy.tif"), 6, hole) < 1.0);
    restored("between.tif", &["--method", "interpolate"]).ok();
    for name in ["clr", "median"] {
        restored(&format!("{name}.tif"), &["--method", name]).ok();
    }
    let of = |name: &str| error(&at(name), 11, hole);
    assert!(
        of("regression.tif") < 0.5 * of("copy.tif"),
        "{} {}",
        of("regression.tif"),
        of("copy.tif")
    );
    assert!(of("between.tif") < of("copy.tif"));
    // Chosen on other ground, band group by band group.
    assert!(of("auto.tif") < 1.2 * of("regression.tif"));
    assert_eq!(tag("copy.tif", "UNCLOUDED_DATES").as_deref(), Some("copy"));

    // What is too uncertain is left as it was: this scene has no nodata value.
    let (provenance, uncertainty) = (at("provenance.tif"), at("uncertainty.tif"));
    restored("sure.tif", &["--uncertainty", text(&uncertainty)]).ok();
    let mut widest: Vec<f64> = read(&uncertainty)[3]
        .iter()
        .copied()
        .filter(|u| *u > 0.0)
        .collect();
    widest.sort_by(f64::total_cmp);
    let limit = widest[widest.len() / 2].to_string();
    let wary = [
        "--max-uncertainty",
        &limit,
        "--provenance",
        text(&provenance),
    ];
    let wary = restored("wary.tif", &wary).ok();
    assert!(wary.stdout.contains("pixels left"), "{wary:#?}");
    let (told, wary) = (&read(&provenance)[0], &read(&at("wary.tif"))[3]);
    let (before, auto) = (&read(&scene)[3], &read(&at("auto.tif"))[3]);
    for (at, told) in told.iter().enumerate() {
        let expected = if *told == 2.0 { auto[at] } else { before[at] };
        assert_eq!(wary[at], expected, "{at}: {told}");
    }
    let count = |value: f64| told.iter().filter(|told| **told == value).count();
    assert!(
        count(3.0) > 50 && count(2.0) > 50,
        "{} {} {limit} {widest:?}",
        count(2.0),
        count(3.0)
    );

    let output = at("none.tif");
    let alone = [
        "restore",
        text(&scene),
        "-o",
        text(&output),
        "--mask-from",
        "auto",
        "--method",
    ];
    run(&[&alone[..], &["copy"]].concat()).refused(&["--method", "another date for copy"]);
    run(&[&alone[..], &["magic"]].concat()).refused(&["auto, regression, clr", "direct"]);
}

#[test]
fn every_date_of_a_series_is_filled_from_the_others() {
    let folder = tempfile::tempdir().unwrap();
    let season = season(folder.path());
    let out = folder.path().join("new/filled");
    let even = [
        "--every",
        "5d",
        "--from",
        "2020-06-01",
        "--to",
        "2020-06-13",
    ];
    let words = ["series", text(&season), "-o", text(&out), "--uncertainty"];
    let first = run(&[&words[..], &even].concat()).ok();
    assert!(
        first
            .stderr
            .contains("place_2020-06-30.tif is clouded as a whole"),
        "{first:#?}"
    );
    let at = |name: &str| out.join(name);
    // 11 June is filled, and its clear ground is as it was.
    assert!(error(&at("place_2020-06-11.tif"), 11, (22, 12, 58, 48)) < 60.0);
    let (before, after) = (
        read(&season.join("place_2020-06-11.tif")),
        read(&at("place_2020-06-11.tif")),
    );
    let corner = |bands: &[Vec<f64>]| bands.iter().map(|b| b[..10].to_vec()).collect::<Vec<_>>();
    assert_eq!(corner(&before), corner(&after));
    assert!(at("masks/place_2020-06-01.tif").exists());
    assert!(at("place_2020-06-16_uncertainty.tif").exists());
    assert!(!at("place_2020-06-30.tif").exists());
    // Days that were observed are these dates; those between lie between them.
    assert_eq!(
        read(&at("even/2020-06-06.tif")),
        read(&at("place_2020-06-06.tif"))
    );
    let tag = |name: &str, key: &str| Dataset::open(at(name)).unwrap().metadata_item(key, "");
    assert_eq!(
        tag("even/2020-06-06.tif", "UNCLOUDED_EVEN").as_deref(),
        Some("filled date")
    );
    let between = run(&[
        &words[..],
        &["--every", "4", "--from", "2020-06-08", "--to", "2020-06-08"],
    ]
    .concat());
    let between = between.ok();
    assert!(between.stdout.contains("complete"), "{between:#?}");
    let [a, m, b] = [
        "place_2020-06-06.tif",
        "even/2020-06-08.tif",
        "place_2020-06-11.tif",
    ]
    .map(|name| read(&at(name)));
    for i in (0..a[3].len()).step_by(101) {
        let expected = a[3][i] + 0.4 * (b[3][i] - a[3][i]);
        assert!((m[3][i] - expected).abs() <= 0.5, "{i}");
    }
    assert_eq!(
        tag("even/2020-06-08.tif", "UNCLOUDED_EVEN").as_deref(),
        Some("interpolated")
    );
    std::fs::remove_file(at("place_2020-06-16_uncertainty.tif")).unwrap();
    let lacking = run(&words);
    assert_eq!(lacking.code, Some(1), "{lacking:#?}");
    assert!(
        lacking.stderr.contains("place_2020-06-16_uncertainty.tif"),
        "{lacking:#?}"
    );
    let wrong = ["--every", "3", "--from", "2020-07-01", "--to", "2020-06-01"];
    run(&[&words[..], &wrong].concat()).refused(&["--from"]);
    run(&[
        "series",
        text(&season.join("place_2020-06-11.tif")),
        "-o",
        text(&out),
    ])
    .refused(&["at least two dates"]);
}

#[test]
fn a_series_is_evaluated_in_one_command() {
    let folder = tempfile::tempdir().unwrap();
    let season = season(folder.path());
    let words = [
        "evaluate",
        "--series",
        text(&season),
        "--limit",
        "2",
        "--progress",
        "json",
    ];
    let run = run(&words).ok();
    let lines = json_lines(&run.stdout);
    let report = &lines.last().unwrap()["result"];
    let psnr = |method: &str| {
        let psnr = report["methods"][method]["masked"]["psnr_db"].as_f64();
        psnr.unwrap_or_else(|| panic!("{method}: {report:#}"))
    };
    for rival in [
        "interpolate",
        "median",
        "copy",
        "network",
        "fill",
        "idw",
        "mean",
    ] {
        assert!(psnr("unclouded") > psnr(rival), "{rival}: {report:#}");
    }
    assert!(psnr("clr").is_finite());
    let ndvi = &report["methods"]["unclouded"]["masked_ndvi"];
    assert!(ndvi["mae"].as_f64().unwrap() < 0.1, "{report:#}");
    let bins = report["methods"]["unclouded"]["masked_psnr_db_by_cover"]
        .as_array()
        .unwrap();
    let counted: u64 = bins.iter().map(|bin| bin["images"].as_u64().unwrap()).sum();
    assert_eq!(counted, report["images"].as_u64().unwrap());
}
