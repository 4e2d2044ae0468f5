//! Bad input: exit 2, a message that says what, expected and got, and a hint; nothing written.

use std::path::Path;

use crate::fixtures::{Spec, Type, cloud, write_mask};
use crate::run::{Bench, Run, run, unclouded};

/// Restores with this mask instead of the bench's own.
fn with_mask(bench: &Bench, mask: &Path, more: &[&str]) -> Run {
    let mut command = unclouded();
    command
        .arg("restore")
        .arg(&bench.scene)
        .arg("-o")
        .arg(bench.path("out.tif"));
    command
        .arg("--mask")
        .arg(mask)
        .args(["--steps", "2", "--device", "cpu"])
        .args(more);
    let run: Run = command.output().unwrap().into();
    assert!(!bench.path("out.tif").exists() || run.code == Some(0));
    run
}

#[test]
fn missing_scene() {
    let mask = ["--mask", "no/such/mask.tif"];
    let words = ["restore", "no/such/scene.tif", "-o", "out.tif"];
    run(words.iter().chain(&mask)).refused(&["no/such/scene.tif"]);
    // Nothing says what to fill.
    run(words).refused(&["mask"]);
}

#[test]
fn scene_that_is_no_raster() {
    let bench = Bench::new(&Spec::new());
    std::fs::write(&bench.scene, "this is not a raster\n").unwrap();
    bench.restored("out.tif", &[]).refused(&["scene.tif"]);
    assert!(!bench.path("out.tif").exists());
}

#[test]
fn truncated_scene() {
    // The header survives, the pixels do not: found while reading, so failed (1) is fair too.
    let bench = Bench::new(&Spec::new().size(200, 200));
    let bytes = std::fs::read(&bench.scene).unwrap();
    std::fs::write(&bench.scene, &bytes[..bytes.len() / 2]).unwrap();
    let run = bench.restored("out.tif", &[]);
    assert!(matches!(run.code, Some(1 | 2)), "{run:#?}");
    assert!(
        !run.stderr.contains("panicked") && run.stderr.contains("error"),
        "{run:#?}"
    );
    assert_eq!(bench.files(), ["mask.tif", "scene.tif"]);
}

#[test]
fn missing_mask() {
    let bench = Bench::new(&Spec::new());
    with_mask(&bench, Path::new("no/such/mask.tif"), &[]).refused(&["no/such/mask.tif"]);
}

#[test]
fn mask_of_another_size_without_a_place() {
    let bench = Bench::new(&Spec::new());
    // A mask that is georeferenced is warped; one that is not has to fit.
    let path = bench.path("small.tif");
    let driver = gdal::DriverManager::get_driver_by_name("GTiff").unwrap();
    driver.create(&path, 20, 10, 1).unwrap().close().unwrap();
    with_mask(&bench, &path, &[]).refused(&["size", "48", "40", "20", "10"]);
}

#[test]
fn mask_that_lies_elsewhere() {
    let spec = Spec::new();
    let bench = Bench::new(&spec);
    let size = (spec.width, spec.height);
    // The same numbers in the next UTM zone lie six degrees to the east.
    let mask = write_mask(bench.path("other.tif"), size, 32644, |_, col| {
        u8::from(col > 9)
    });
    with_mask(&bench, &mask, &[]).refused(&["meets the scene", "elsewhere"]);
}

#[test]
fn mask_values_that_never_occur() {
    let bench = Bench::new(&Spec::new());
    bench
        .restored("out.tif", &["--mask-values", "8,9"])
        .refused(&["8", "9"]);
}

#[test]
fn empty_mask() {
    let spec = Spec::new();
    let bench = Bench::new(&spec);
    let mask = write_mask(
        bench.path("empty.tif"),
        (spec.width, spec.height),
        spec.epsg,
        |_, _| 0,
    );
    with_mask(&bench, &mask, &[]).refused(&["mask"]);
}

#[test]
fn all_masked_scene() {
    let spec = Spec::new();
    let bench = Bench::new(&spec);
    let mask = write_mask(
        bench.path("full.tif"),
        (spec.width, spec.height),
        spec.epsg,
        |_, _| 1,
    );
    with_mask(&bench, &mask, &[]).refused(&["clear pixels", "1920"]);
}

#[test]
fn all_nodata_around_the_mask() {
    // Every clear pixel is NaN: as hopeless as an all-masked scene, and never a NaN fill.
    let spec = Spec::new().size(4, 4).kind(Type::F32).nodata();
    let bench = Bench::new(&spec);
    let run = bench.restored("out.tif", &[]);
    assert!(matches!(run.code, Some(0 | 2)), "{run:#?}");
    assert!(!run.stderr.contains("panicked"), "{run:#?}");
    if run.code == Some(2) {
        assert!(!bench.path("out.tif").exists());
    }
}

#[test]
fn band_numbers_out_of_range() {
    let bench = Bench::new(&Spec::new());
    for bands in ["1,2,4", "0,1,2"] {
        bench
            .restored("out.tif", &["--bands", bands])
            .refused(&["band", "3"]);
    }
    // Too few bands for the model, and a word instead of a number.
    bench
        .restored("out.tif", &["--bands", "1"])
        .refused(&["band"]);
    assert_eq!(bench.restored("out.tif", &["--bands", "red"]).code, Some(2));
}

#[test]
fn unreadable_checkpoints() {
    let bench = Bench::new(&Spec::new());
    let card = r#"{"__metadata__":{"unclouded.model_card":"{}"},"a":{"dtype":"F32","shape":[4],"data_offsets":[0,16]}}"#;
    let mut good = (card.len() as u64).to_le_bytes().to_vec();
    good.extend(card.as_bytes());
    good.extend([0; 16]);
    let cases: [(&str, &[u8]); 5] = [
        ("empty.safetensors", b""),
        ("short.safetensors", &good[..good.len() - 9]),
        ("huge-header.safetensors", &[0xff; 64]),
        ("not-json.safetensors", b"\x08\0\0\0\0\0\0\0not json"),
        ("no-architecture.safetensors", &good),
    ];
    for (name, bytes) in cases {
        let path = bench.path(name);
        std::fs::write(&path, bytes).unwrap();
        let model = path.to_str().unwrap();
        bench
            .restored("out.tif", &["--model", model])
            .refused(&["checkpoint"]);
        run(["info", model]).refused(&[name]);
    }
    bench
        .restored("out.tif", &["--model", "no-such-model"])
        .refused(&["no-such-model"]);
    bench
        .restored("out.tif", &["--model", "no/such.safetensors"])
        .refused(&["no/such.safetensors"]);
    assert!(!bench.path("out.tif").exists());
}

#[test]
fn existing_output_needs_overwrite() {
    let bench = Bench::new(&Spec::new());
    std::fs::write(bench.path("out.tif"), "precious").unwrap();
    bench
        .restored("out.tif", &[])
        .refused(&["out.tif", "--overwrite"]);
    assert_eq!(std::fs::read(bench.path("out.tif")).unwrap(), b"precious");
    bench.restored("out.tif", &["--overwrite"]).ok();
    assert_ne!(std::fs::read(bench.path("out.tif")).unwrap(), b"precious");
}

#[test]
fn output_over_an_input_is_refused() {
    let bench = Bench::new(&Spec::new());
    let before = std::fs::read(&bench.scene).unwrap();
    bench
        .restored("scene.tif", &["--overwrite"])
        .refused(&["scene.tif"]);
    assert_eq!(std::fs::read(&bench.scene).unwrap(), before);
}

#[test]
fn output_folder_that_does_not_exist() {
    let bench = Bench::new(&Spec::new());
    bench.restored("none/out.tif", &[]).refused(&["none"]);
}

#[test]
fn uncertainty_needs_samples() {
    let bench = Bench::new(&Spec::new());
    let path = bench.path("u.tif");
    let arguments = ["--samples", "1", "--uncertainty", path.to_str().unwrap()];
    bench
        .restored("out.tif", &arguments)
        .refused(&["uncertainty", "samples"]);
    assert_eq!(bench.files(), ["mask.tif", "scene.tif"]);
}

#[test]
fn settings_out_of_range() {
    let bench = Bench::new(&Spec::new());
    let cases: [&[&str]; 7] = [
        &["--steps", "0"],
        &["--samples", "0"],
        &["--tile-px", "0"],
        &["--tile-px", "64", "--overlap-px", "64"],
        &["--sampler", "magic"],
        &["--device", "toaster"],
        &["--no-such-option"],
    ];
    for arguments in cases {
        let run = bench.restored("out.tif", arguments);
        assert_eq!(run.code, Some(2), "{arguments:?}: {run:#?}");
        assert!(!run.stderr.contains("panicked"), "{arguments:?}: {run:#?}");
    }
    assert_eq!(bench.files(), ["mask.tif", "scene.tif"]);
}

#[test]
fn no_command_and_help() {
    assert_eq!(run::<&str>([]).code, Some(2));
    for arguments in [
        &["--help"][..],
        &["restore", "--help"],
        &["restore", "-h"],
        &["--version"],
    ] {
        let run = run(arguments).ok();
        assert!(!run.stdout.is_empty() && run.stderr.is_empty(), "{run:#?}");
    }
    let (short, long) = (run(["restore", "-h"]), run(["restore", "--help"]));
    assert!(
        short.stdout.len() < long.stdout.len(),
        "a short and a long form"
    );
}

#[test]
fn infinite_values_are_not_spread() {
    // Inf and NaN in clear pixels of a float scene: documented as nodata, never in a fill.
    let spec = Spec::new().kind(Type::F32);
    let bench = Bench::new(&spec);
    {
        let dataset = gdal::Dataset::open_ex(
            &bench.scene,
            gdal::DatasetOptions {
                open_flags: gdal::GdalOpenFlags::GDAL_OF_UPDATE,
                ..Default::default()
            },
        )
        .unwrap();
        let mut hostile = gdal::raster::Buffer::new((2, 1), vec![f32::INFINITY, f32::NAN]);
        dataset
            .rasterband(1)
            .unwrap()
            .write((8, 20), (2, 1), &mut hostile)
            .unwrap();
    }
    let run = bench.restored("out.tif", &[]);
    assert!(matches!(run.code, Some(0 | 2)), "{run:#?}");
    if run.code == Some(0) {
        let bands = crate::fixtures::read(&bench.path("out.tif"));
        for (i, value) in bands.iter().flat_map(|band| band.iter().enumerate()) {
            if cloud(spec.width, spec.height, i / spec.width, i % spec.width) {
                assert!(value.is_finite(), "a fill of {value}");
            }
        }
    }
}
