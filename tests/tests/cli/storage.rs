//! How outputs are stored: cloud-optimised or plain, compression, overviews; and that disks which
//! are full or read-only leave nothing half-written.

use std::path::Path;
use std::process::Command;

use gdal::{Dataset, Metadata};
use serde_json::Value;

use crate::fixtures::{Spec, Type, max_difference};
use crate::run::{Bench, Run, python_with, unclouded};

/// What `gdalinfo` says.
fn info(path: &Path) -> Value {
    let output = Command::new("gdalinfo").arg("-json").arg(path).output();
    let output = output.expect("gdalinfo; run: make install-deps");
    assert!(output.status.success(), "{}", path.display());
    let text = String::from_utf8_lossy(&output.stdout);
    serde_json::from_str(&text.replace(":nan", ":\"nan\"")).unwrap()
}

fn overviews(info: &Value) -> usize {
    info["bands"][0]["overviews"].as_array().map_or(0, Vec::len)
}

/// Every output of a run stored like this.
fn stored(bench: &Bench, name: &str, how: &[&str]) -> Vec<Value> {
    let outputs = [
        format!("{name}.tif"),
        format!("{name}_u.tif"),
        format!("{name}_p.tif"),
    ];
    let mut command = bench.restore(&outputs[0], how);
    command.arg("--uncertainty").arg(bench.path(&outputs[1]));
    command.arg("--provenance").arg(bench.path(&outputs[2]));
    let run = Run::from(command.output().unwrap()).ok();
    assert!(
        run.stdout.contains("0 of "),
        "clear pixels are compared: {run:#?}"
    );
    outputs
        .iter()
        .map(|output| info(&bench.path(output)))
        .collect()
}

#[test]
fn every_way_to_store_holds_the_same_pixels() {
    let spec = Spec::new().size(300, 520).nodata();
    let bench = Bench::new(&spec);
    let steps = ["--samples", "2"];
    let plain = stored(&bench, "plain", &steps);
    assert_eq!(overviews(&plain[0]), 0);
    for (name, how, compression) in [
        ("none", &["--compress", "none"][..], None),
        ("lzw", &["--compress", "lzw", "--overviews"], Some("LZW")),
        ("zstd", &["--compress", "zstd"], Some("ZSTD")),
        ("cog", &["--cog"], Some("DEFLATE")),
        ("lzwcog", &["--cog", "--compress", "lzw"], Some("LZW")),
    ] {
        let kept = stored(&bench, name, &[&steps, how].concat());
        for (kept, ending) in kept.iter().zip(["", "_u", "_p"]) {
            let structure = &kept["metadata"]["IMAGE_STRUCTURE"];
            assert_eq!(
                structure["COMPRESSION"].as_str(),
                compression,
                "{name}{ending}"
            );
            let wanted = usize::from(name != "none" && name != "zstd");
            assert_eq!(overviews(kept).min(1), wanted, "{name}{ending}");
            assert_eq!(
                structure["LAYOUT"] == "COG",
                name.ends_with("cog"),
                "{name}{ending}"
            );
            let file = |name: &str| bench.path(&format!("{name}{ending}.tif"));
            assert_eq!(
                max_difference(&file("plain"), &file(name)),
                0.0,
                "{name}{ending}"
            );
            if name.ends_with("cog") {
                assert_cog(&file(name));
            }
        }
        let what = |info: &Value| {
            let band = |band: &Value| {
                ["type", "description", "noDataValue", "colorInterpretation"]
                    .map(|key| band[key].clone())
            };
            let bands: Vec<_> = info["bands"].as_array().unwrap().iter().map(band).collect();
            let tags = info["metadata"][""].clone();
            (
                bands,
                tags,
                info["coordinateSystem"]["wkt"].clone(),
                info["geoTransform"].clone(),
            )
        };
        let (mut ours, mut theirs) = (what(&kept[0]), what(&plain[0]));
        for tags in [&mut ours.1, &mut theirs.1] {
            // The COG driver adds one that says so.
            tags.as_object_mut().unwrap().remove("OVR_RESAMPLING_ALG");
        }
        assert_eq!(ours, theirs, "{name}");
    }
    // Nothing but the inputs and three files for each of the six.
    assert_eq!(bench.files().len(), 2 + 3 * 6, "{:?}", bench.files());
}

/// GDAL's own validator.
fn assert_cog(path: &Path) {
    let validator = [
        "-m",
        "osgeo_utils.samples.validate_cloud_optimized_geotiff",
        "--full-check=yes",
    ];
    let output =
        python_with("import numpy; import osgeo_utils.samples.validate_cloud_optimized_geotiff")
            .args(validator)
            .arg(path)
            .output()
            .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success() && said.contains("is a valid cloud"),
        "{said}"
    );
}

#[test]
fn a_mask_band_survives_as_cog() {
    let spec = Spec::new().size(90, 70).kind(Type::U8);
    let bench = Bench::new(&spec);
    gdal::config::set_thread_local_config_option("GDAL_TIFF_INTERNAL_MASK", "YES").unwrap();
    {
        let options = gdal::DatasetOptions {
            open_flags: gdal::GdalOpenFlags::GDAL_OF_UPDATE,
            ..Default::default()
        };
        let scene = Dataset::open_ex(&bench.scene, options).unwrap();
        scene.rasterband(1).unwrap().create_mask_band(true).unwrap();
        let flags: Vec<u8> = (0..90 * 70)
            .map(|i| if i % 90 < 5 { 0 } else { 255 })
            .collect();
        let mut flags = gdal::raster::Buffer::new((90, 70), flags);
        let band = scene.rasterband(1).unwrap();
        let mut mask = band.open_mask_band().unwrap();
        mask.write((0, 0), (90, 70), &mut flags).unwrap();
    }
    for (name, how) in [("plain.tif", &[][..]), ("cog.tif", &["--cog"])] {
        bench.restored(name, how).ok();
        let output = Dataset::open(bench.path(name)).unwrap();
        let band = output.rasterband(1).unwrap();
        let mask = band.open_mask_band().unwrap();
        let flags = mask
            .read_as::<u8>((0, 0), (90, 70), (90, 70), None)
            .unwrap();
        let hidden = flags.data().iter().filter(|flag| **flag == 0).count();
        assert_eq!(hidden, 5 * 70, "{name}");
    }
}

#[test]
fn statistics_of_the_clouds_do_not_survive() {
    let bench = Bench::new(&Spec::new());
    let stats = Command::new("gdalinfo")
        .arg("-stats")
        .arg(&bench.scene)
        .output();
    assert!(stats.unwrap().status.success());
    assert!(info(&bench.scene).to_string().contains("STATISTICS_MEAN"));
    for how in [&[][..], &["--cog"], &["--overviews"]] {
        bench
            .restored("out.tif", &[how, &["--overwrite"]].concat())
            .ok();
        let said = info(&bench.path("out.tif")).to_string();
        assert!(!said.contains("STATISTICS_"), "{how:?}: {said}");
    }
    let output = Dataset::open(bench.path("out.tif")).unwrap();
    assert_eq!(
        output.metadata_item("ACQUIRED", "").as_deref(),
        Some("2020-08-23")
    );
}

/// The same command where no file may grow beyond so many blocks of 512 bytes, as on a full disk.
fn on_a_small_disk(command: &Command, blocks: usize) -> Run {
    let mut shell = Command::new("sh");
    // Ignored, the signal becomes an error of the write.
    let limit = format!("trap '' XFSZ; ulimit -f {blocks}; exec \"$@\"");
    shell
        .args(["-c", &limit, "sh"])
        .arg(command.get_program())
        .args(command.get_args());
    Run::from(shell.output().unwrap())
}

#[test]
fn a_full_disk_leaves_nothing() {
    let spec = Spec::new().size(420, 400).bands(4).kind(Type::F32);
    let bench = Bench::new(&spec);
    let before = bench.files();
    for blocks in [0, 2, 60, 800] {
        for how in [&[][..], &["--cog"], &["--overviews"]] {
            let settings = ["--samples", "2", "--compress", "none"];
            let run = on_a_small_disk(
                &bench.restore("out.tif", &[&settings, how].concat()),
                blocks,
            );
            assert_eq!(run.code, Some(1), "{blocks} {how:?}: {run:#?}");
            let said = run.stderr.to_lowercase();
            assert!(said.contains("error: cannot"), "{run:#?}");
            assert!(said.contains("room on the disk"), "{run:#?}");
            assert_eq!(bench.files(), before, "{blocks} {how:?}: left behind");
        }
    }
}

#[test]
fn a_folder_that_takes_no_files_is_said() {
    let bench = Bench::new(&Spec::new());
    // Nobody, not even root, may make files there.
    let output = Path::new("/proc/out.tif");
    if !output.parent().is_some_and(Path::is_dir) {
        return;
    }
    let mut command = unclouded();
    command
        .arg("restore")
        .arg(&bench.scene)
        .arg("-o")
        .arg(output);
    command
        .arg("--mask")
        .arg(&bench.mask)
        .args(["--device", "cpu"]);
    let run = Run::from(command.output().unwrap());
    assert_eq!(run.code, Some(1), "{run:#?}");
    assert!(run.stderr.contains("cannot write /proc/"), "{run:#?}");
    assert!(run.stderr.contains("hint:"), "{run:#?}");
}

#[test]
fn a_scene_that_vanishes_is_said_and_leaves_nothing() {
    use std::io::{BufRead, BufReader};
    use std::process::Stdio;
    // Larger than GDAL's cache under the least bound, or the pixels would still be in memory.
    let (width, height) = (1500, 2100);
    let mut bench = Bench::new(&Spec::new().size(width, height));
    let specks = |row: usize, col: usize| u8::from(row % 500 < 10 && col < 300);
    let mask = bench.path("specks.tif");
    bench.mask = crate::fixtures::write_mask(mask, (width, height), 32643, specks);
    let before = bench.files();
    let settings = ["--samples", "4", "--tile-px", "48", "--memory-mb"];
    let refused = bench.restored("out.tif", &[&settings[..], &["1"]].concat());
    let least = refused.refused(&["at least"]).stderr;
    let least = least.split("at least ").nth(1).unwrap();
    let least = least.split(',').next().unwrap();
    let mut child = bench
        .restore(
            "out.tif",
            &[&settings[..], &[least, "--progress", "json"]].concat(),
        )
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let begun = |line: &String| line.contains("\"fill\"");
    assert!(
        lines
            .by_ref()
            .map_while(Result::ok)
            .any(|line| begun(&line))
    );
    let file = std::fs::OpenOptions::new().write(true).open(&bench.scene);
    file.unwrap().set_len(0).unwrap();
    let last = lines.map_while(Result::ok).last().unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(1), "{last}");
    assert!(last.contains("changed while it was read"), "{last}");
    assert_eq!(bench.files(), before, "left behind");
}
