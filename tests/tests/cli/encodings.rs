//! Offsets, scales, nodata and containers: what is filled does not depend on how the values are
//! stored, and the output is stored as the input was.

use std::path::{Path, PathBuf};
use std::process::Command;

use gdal::raster::{Buffer, RasterCreationOptions};
use gdal::{Dataset, DatasetOptions, DriverManager, GdalOpenFlags, Metadata};

use crate::fixtures::{Spec, Type, read};
use crate::run::{Bench, Run, python, run, unclouded};

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// A change of a dataset's metadata.
type Tag<'a> = &'a dyn Fn(&mut Dataset);

/// A copy of the bench's scene with `add` added to every value that is not nodata, changed
/// further by `tag`.
fn shifted(bench: &Bench, name: &str, add: f64, tag: impl Fn(&mut Dataset)) -> PathBuf {
    let path = bench.path(name);
    std::fs::copy(&bench.scene, &path).unwrap();
    let options = DatasetOptions {
        open_flags: GdalOpenFlags::GDAL_OF_UPDATE,
        ..Default::default()
    };
    let mut dataset = Dataset::open_ex(&path, options).unwrap();
    for number in 1..=dataset.raster_count() {
        let mut band = dataset.rasterband(number).unwrap();
        let size = band.size();
        let nodata = band.no_data_value();
        let values = band.read_band_as::<f64>().unwrap();
        let values = values.data().iter().map(|value| {
            if Some(*value) == nodata {
                *value
            } else {
                value + add
            }
        });
        let mut buffer = Buffer::new(size, values.collect());
        band.write((0, 0), size, &mut buffer).unwrap();
    }
    tag(&mut dataset);
    dataset.close().unwrap();
    path
}

fn restore(bench: &Bench, scene: &Path, output: &str, more: &[&str]) -> Run {
    let mut command = unclouded();
    command
        .arg("restore")
        .arg(scene)
        .arg("--mask")
        .arg(&bench.mask);
    command.arg("-o").arg(bench.path(output)).args(more);
    let quick = ["--steps", "2", "--seed", "3", "--device", "cpu"];
    command.args(quick).output().unwrap().into()
}

#[test]
fn the_offset_of_sentinel_2_is_recognised_and_comes_back() {
    for spec in [
        Spec::new(),
        Spec::new().nodata(),
        Spec::new().kind(Type::I16),
    ] {
        let bench = Bench::new(&spec);
        restore(&bench, &bench.scene, "plain.tif", &[]).ok();
        let expected = read(&bench.path("plain.tif"));
        let nodata = spec.with_nodata.then_some(spec.kind.nodata());
        let tags: [(&str, Tag); 4] = [
            ("boa.tif", &|dataset| {
                dataset
                    .set_metadata_item("BOA_ADD_OFFSET_B02", "-1000", "")
                    .unwrap();
            }),
            ("radio.tif", &|dataset| {
                let mut band = dataset.rasterband(1).unwrap();
                band.set_metadata_item("RADIO_ADD_OFFSET", "-1000", "")
                    .unwrap();
            }),
            ("baseline.tif", &|dataset| {
                dataset
                    .set_metadata_item("PROCESSING_BASELINE", "04.00", "")
                    .unwrap();
            }),
            ("scaled.tif", &|dataset| {
                for number in 1..=dataset.raster_count() {
                    let mut band = dataset.rasterband(number).unwrap();
                    band.set_scale(0.0001).unwrap();
                    band.set_offset(-0.1).unwrap();
                }
            }),
        ];
        for (name, tag) in tags {
            let scene = shifted(&bench, name, 1000.0, tag);
            let output = format!("out_{name}");
            let run = restore(&bench, &scene, &output, &[]).ok();
            assert!(run.stderr.contains("values:"), "{name}: {run:#?}");
            same_but_for(&expected, &read(&bench.path(&output)), 1000.0, nodata, name);
        }
        // Named by the user, against what the metadata say.
        let bare = shifted(&bench, "bare.tif", 1000.0, |_| ());
        restore(&bench, &bare, "out_bare.tif", &["--offset", "-1000"]).ok();
        same_but_for(
            &expected,
            &read(&bench.path("out_bare.tif")),
            1000.0,
            nodata,
            "--offset",
        );
    }
}

fn same_but_for(plain: &[Vec<f64>], got: &[Vec<f64>], add: f64, nodata: Option<f64>, name: &str) {
    for (plain, got) in plain.iter().flatten().zip(got.iter().flatten()) {
        let expected = if Some(*plain) == nodata {
            *plain
        } else {
            plain + add
        };
        assert_eq!(*got, expected, "{name}");
    }
}

#[test]
fn contradicting_offsets_and_nonsense_are_refused() {
    let bench = Bench::new(&Spec::new());
    let two = shifted(&bench, "two.tif", 0.0, |dataset| {
        dataset
            .set_metadata_item("BOA_ADD_OFFSET_B02", "-1000", "")
            .unwrap();
        dataset
            .set_metadata_item("BOA_ADD_OFFSET_B03", "-500", "")
            .unwrap();
    });
    restore(&bench, &two, "out.tif", &[]).refused(&["offset", "-1000", "-500"]);
    restore(&bench, &two, "out.tif", &["--offset", "0"]).ok();
    let huge = shifted(&bench, "huge.tif", 0.0, |dataset| {
        dataset
            .set_metadata_item("BOA_ADD_OFFSET", "1e300", "")
            .unwrap();
    });
    restore(&bench, &huge, "no.tif", &[]).refused(&["offset"]);
    assert_eq!(
        restore(&bench, &two, "no.tif", &["--offset", "often"]).code,
        Some(2)
    );
    assert!(!bench.path("no.tif").exists());
}

#[test]
fn a_vrt_and_a_zip_are_scenes_like_others() {
    let bench = Bench::new(&Spec::new());
    // A VRT does not keep the descriptions that tell the bands apart.
    let bands = ["--bands", "1,2,3"];
    restore(&bench, &bench.scene, "plain.tif", &bands).ok();
    let vrt = bench.path("scene.vrt");
    let made = Command::new("gdalbuildvrt")
        .arg("-q")
        .arg(&vrt)
        .arg(&bench.scene)
        .status();
    assert!(
        made.unwrap().success(),
        "gdalbuildvrt; run: make install-deps"
    );
    restore(&bench, &vrt, "vrt.tif", &bands).ok();
    let zip = bench.path("scene.zip");
    let zipped = Command::new("python3")
        .args(["-m", "zipfile", "-c"])
        .args([&zip, &bench.scene])
        .status();
    assert!(zipped.unwrap().success());
    let inside = format!("/vsizip/{}/scene.tif", zip.display());
    restore(&bench, Path::new(&inside), "zip.tif", &bands).ok();
    let expected = read(&bench.path("plain.tif"));
    assert_eq!(read(&bench.path("vrt.tif")), expected);
    assert_eq!(read(&bench.path("zip.tif")), expected);
    let missing = format!("/vsizip/{}/other.tif", zip.display());
    restore(&bench, Path::new(&missing), "no.tif", &[]).refused(&["other.tif"]);
}

#[test]
fn a_sentinel_2_product_is_read_with_its_classification_and_offset() {
    let folder = tempfile::tempdir().unwrap();
    let made = python("make_safe.py").arg(folder.path()).output().unwrap();
    if made.status.code() == Some(3) {
        eprintln!("SKIPPED: GDAL cannot write JPEG 2000 here, so there is no product to read");
        return;
    }
    assert!(
        made.status.success(),
        "{}",
        String::from_utf8_lossy(&made.stderr)
    );
    let scene = String::from_utf8(made.stdout).unwrap().trim().to_owned();
    let out = folder.path().join("out.tif");
    let info = run(["info", &scene]).ok();
    assert!(
        info.stdout.contains("offset -1000, by MTD_MSIL2A.xml"),
        "{info:#?}"
    );
    let words = [
        "restore",
        &scene,
        "-o",
        text(&out),
        "--mask-from",
        "scl",
        "--dilate-px",
        "0",
    ];
    let more = ["--steps", "2", "--device", "cpu"];
    let done = run(words.iter().chain(&more)).ok();
    // 6 x 8 pixels of 20 m, four times as many of 10 m.
    assert!(done.stdout.contains("192 pixels filled"), "{done:#?}");
    let bands = read(&out);
    assert_eq!(bands.len(), 4);
    for band in &bands {
        for (at, value) in band.iter().enumerate() {
            // The corner is nodata by the product's rule, with no tag.
            let corner = at / 60 < 6 && at % 60 < 12;
            assert_eq!(*value == 0.0, corner, "{value} at {at}");
        }
    }
    // The container itself names what is inside.
    let container = scene.split(':').nth(1).unwrap();
    run(["info", container]).refused(&["subdatasets", "sentinel2_l2a:"]);
}

#[test]
fn landsat_is_known_and_filled_by_its_quality_band() {
    let folder = tempfile::tempdir().unwrap();
    let product = "LC08_L2SP_192023_20210724_20210730_02_T1";
    let (width, height) = (50, 40);
    let write = |name: &str, value: &dyn Fn(usize) -> u16| {
        let path = folder.path().join(format!("{product}_{name}.TIF"));
        let driver = DriverManager::get_driver_by_name("GTiff").unwrap();
        let options = RasterCreationOptions::from_iter(["COMPRESS=DEFLATE"]);
        let mut dataset = driver
            .create_with_band_type_with_options::<u16, _>(&path, width, height, 1, &options)
            .unwrap();
        dataset
            .set_geo_transform(&[600_000.0, 30.0, 0.0, 5_800_000.0, 0.0, -30.0])
            .unwrap();
        let crs = gdal::spatial_ref::SpatialRef::from_epsg(32633).unwrap();
        dataset.set_spatial_ref(&crs).unwrap();
        let values = (0..width * height).map(value).collect();
        let mut buffer = Buffer::new((width, height), values);
        let mut band = dataset.rasterband(1).unwrap();
        band.write((0, 0), (width, height), &mut buffer).unwrap();
        dataset.close().unwrap();
        path
    };
    let clouded = |at: usize| (10..20).contains(&(at / width)) && (20..35).contains(&(at % width));
    let mut bands = Vec::new();
    for (number, level) in [(2, 8000), (3, 9000), (4, 8800)] {
        bands.push(write(&format!("SR_B{number}"), &|at| match at {
            // The first column lies outside the swath.
            _ if at % width == 0 => 0,
            _ if clouded(at) => 40_000,
            _ => level + (at * 7919 % 97) as u16,
        }));
    }
    write("QA_PIXEL", &|at| if clouded(at) { 22_280 } else { 21_824 });
    let vrt = folder.path().join("stack.vrt");
    let made = Command::new("gdalbuildvrt")
        .args(["-q", "-separate"])
        .arg(&vrt)
        .args(&bands)
        .status();
    assert!(made.unwrap().success());
    let out = folder.path().join("out.tif");
    let words = [
        "restore",
        text(&vrt),
        "-o",
        text(&out),
        "--mask-from",
        "qa-pixel",
        "--dilate-px",
        "0",
    ];
    let more = ["--steps", "2", "--device", "cpu", "--bands", "3,2,1"];
    let done = run(words.iter().chain(&more)).ok();
    assert!(done.stdout.contains("150 pixels filled"), "{done:#?}");
    assert!(done.stderr.contains("Landsat"), "{done:#?}");
    for band in read(&out) {
        for (at, value) in band.iter().enumerate() {
            let nodata = at % width == 0;
            assert_eq!(*value == 0.0, nodata, "{value} at {at}");
            assert!(!clouded(at) || *value < 10_000.0, "{value} at {at}");
        }
    }
}
