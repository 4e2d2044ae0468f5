//! Large scenes: memory that does not grow with the area, no seams, a bound that is kept or
//! refused.

use crate::fixtures::{Spec, write_mask};
use crate::run::{Bench, Run, python, unclouded};

#[test]
fn memory_does_not_grow_with_the_area() {
    // Of one width: the rows that are being finished are in memory, and no others. A copy of
    // the tall scene would take 77 MB as it is computed with, and 38 MB as it is stored; with
    // this bound GDAL's cache is full in both.
    let bench = Bench::new(&Spec::new().size(300, 280));
    let run: Run = python("scene_bench.py")
        .arg("--binary")
        .arg(unclouded().get_program())
        .arg("--source")
        .arg(&bench.scene)
        .args([
            "--sizes",
            "400x3000",
            "400x16000",
            "--cloud-fraction",
            "0.004",
        ])
        .args(["--most-mb", "400", "--most-growth", "0.3", "--"])
        .args([
            "--device",
            "cpu",
            "--samples",
            "1",
            "--steps",
            "1",
            "--tile-px",
            "64",
            "--memory-mb",
            "180",
        ])
        .output()
        .unwrap()
        .into();
    let run = run.ok();
    assert!(run.stdout.contains("peak of 400x16000"), "{run:#?}");
}

#[test]
fn a_bound_too_small_says_the_least_that_is_enough() {
    let bench = Bench::new(&Spec::new().size(200, 150));
    let settings = ["--tile-px", "64", "--overlap-px", "16"];
    let with = |bound: &str| {
        bench.restored(
            "out.tif",
            &[&settings[..], &["--overwrite", "--memory-mb", bound]].concat(),
        )
    };
    let run = with("10").refused(&["--memory-mb", "at least"]);
    let least = run.stderr.split("at least ").nth(1).unwrap();
    let least: usize = least.split(',').next().unwrap().parse().unwrap();
    with(&(least - 1).to_string()).refused(&["at least"]);
    with(&least.to_string()).ok();
}

/// Mean step between neighbouring pixels across the lines of a grid, divided by that elsewhere,
/// where both pixels are filled. The lines lie where tiles of 64 px with 16 px overlap begin and
/// end.
fn ratio(values: &[f64], width: usize, filled: &[bool]) -> f64 {
    let line = |at: usize| matches!(at % 48, 0 | 16);
    let (mut across, mut elsewhere) = ((0.0, 0), (0.0, 0));
    for at in width + 1..values.len() {
        for (other, place) in [(at - width, at / width), (at - 1, at % width)] {
            if filled[at] && filled[other] {
                let (sum, count) = match line(place) {
                    true => &mut across,
                    false => &mut elsewhere,
                };
                *sum += (values[at] - values[other]).abs();
                *count += 1;
            }
        }
    }
    (across.0 / f64::from(across.1)) / (elsewhere.0 / f64::from(elsewhere.1))
}

#[test]
fn tiles_leave_no_seams() {
    let side = 400;
    let spec = Spec::new().size(side, side);
    let bench = Bench::new(&spec);
    let inside = |row: usize, col: usize| (24..376).contains(&row) && (24..376).contains(&col);
    let mask = write_mask(
        bench.path("hole.tif"),
        (side, side),
        spec.epsg,
        |row, col| u8::from(inside(row, col)),
    );
    let filled: Vec<bool> = (0..side * side)
        .map(|at| inside(at / side, at % side))
        .collect();
    // The mean of a few samples is rougher than a direct estimate, and as its tiles' noise.
    let samples = ["--samples", "6", "--steps", "2"];
    for (how, tolerance) in [
        (&[][..], 0.05),
        (&["--quality", "fast"], 0.05),
        (&samples, 0.12),
    ] {
        let mut command = unclouded();
        command.arg("restore").arg(&bench.scene);
        command.arg("--mask").arg(&mask);
        command.arg("-o").arg(bench.path("out.tif"));
        command.args(["--tile-px", "64", "--overlap-px", "16"]);
        command.args(["--device", "cpu", "--overwrite"]).args(how);
        Run::from(command.output().unwrap()).ok();
        let bands = crate::fixtures::read(&bench.path("out.tif"));
        let ratios = bands.iter().map(|values| ratio(values, side, &filled));
        let borders = ratios.sum::<f64>() / bands.len() as f64;
        assert!((borders - 1.0).abs() < tolerance, "{how:?}: {borders}");
    }
}
