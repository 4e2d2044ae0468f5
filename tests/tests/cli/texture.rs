//! `--write texture`, end to end, where the truth is known.

use std::path::{Path, PathBuf};

use gdal::{Dataset, Metadata};

use crate::fixtures::{Spec, read};
use crate::run::{Bench, Run, tests_folder, unclouded};

fn demo(name: &str) -> PathBuf {
    tests_folder().join("data/demo").join(name)
}

fn restored(folder: &Path, output: &str, more: &[&str]) -> PathBuf {
    let output = folder.join(output);
    let mut command = unclouded();
    command.arg("restore").arg(demo("punjab_20200604.tif"));
    command
        .arg("--mask")
        .arg(demo("punjab_20200604_mask.tif"))
        .arg("-o")
        .arg(&output);
    command.args(["--samples", "2", "--steps", "2", "--device", "cpu"]);
    let run = Run::from(command.args(more).output().unwrap()).ok();
    assert!(run.stdout.contains(" 0 of "), "{run:#?}");
    output
}

/// Mean step between neighbours of a row, where both are set in the mask.
fn steps(band: &[f64], mask: &[f64], width: usize) -> f64 {
    let pairs = (1..band.len()).filter(|i| i % width > 0 && mask[*i] > 0.0 && mask[i - 1] > 0.0);
    let (sum, count) = pairs.fold((0.0, 0.0), |(sum, count), i| {
        (sum + (band[i] - band[i - 1]).abs(), count + 1.0)
    });
    sum / count
}

#[test]
fn a_texture_is_as_rough_as_the_ground_it_hides() {
    let folder = tempfile::tempdir().unwrap();
    let truth = read(&demo("punjab_20200604.tif"));
    let mask = &read(&demo("punjab_20200604_mask.tif"))[0];
    let mean = restored(folder.path(), "mean.tif", &[]);
    let texture = restored(folder.path(), "texture.tif", &["--write", "texture"]);
    let again = restored(folder.path(), "again.tif", &["--write", "texture"]);
    assert!(std::fs::read(&texture).unwrap() == std::fs::read(again).unwrap());
    let tag = |path: &Path| {
        let file = Dataset::open(path).unwrap();
        file.metadata_item("UNCLOUDED_WRITTEN", "")
    };
    assert_eq!(tag(&texture).as_deref(), Some("texture"));
    let (mean, texture) = (read(&mean), read(&texture));
    for band in [1, 2, 3] {
        let roughness = |image: &[Vec<f64>]| steps(&image[band], mask, 264);
        let (truth, mean, texture) = (roughness(&truth), roughness(&mean), roughness(&texture));
        assert!(
            texture > 0.5 * truth && texture < 1.3 * truth && texture > 1.4 * mean,
            "band {band}: {texture}, the truth {truth}, the mean {mean}"
        );
    }
}

#[test]
fn a_texture_and_a_reference_do_not_go_together() {
    let bench = Bench::new(&Spec::new());
    let scene = bench.scene.to_str().unwrap().to_owned();
    bench
        .restored("out.tif", &["--write", "texture", "--reference", &scene])
        .refused(&[
            "--write: expected mean or sample",
            "a reference",
            "got texture",
        ]);
}
