//! The same seed gives the same files; threads and repetitions change nothing that shows.

use std::path::Path;

use crate::fixtures::{Spec, cloud, max_difference, read};
use crate::run::{Bench, Run};

const SETTINGS: [&str; 8] = [
    "--samples",
    "2",
    "--tile-px",
    "64",
    "--overlap-px",
    "16",
    "--seed",
    "7",
];

fn several_tiles() -> Spec {
    Spec::new().size(140, 100)
}

fn restored_with_threads(bench: &Bench, output: &str, threads: &str) {
    let mut command = bench.restore(output, &SETTINGS);
    command.env("RAYON_NUM_THREADS", threads);
    Run::from(command.output().unwrap()).ok();
}

fn bytes(path: &Path) -> Vec<u8> {
    std::fs::read(path).unwrap()
}

#[test]
fn same_seed_gives_identical_files() {
    let bench = Bench::new(&several_tiles());
    for round in ["1", "2"] {
        let mut command = bench.restore(&format!("out{round}.tif"), &SETTINGS);
        command
            .arg("--uncertainty")
            .arg(bench.path(&format!("u{round}.tif")));
        command
            .arg("--provenance")
            .arg(bench.path(&format!("p{round}.tif")));
        command
            .arg("--preview")
            .arg(bench.path(&format!("b{round}.png")));
        Run::from(command.output().unwrap()).ok();
    }
    for (first, second) in [
        ("out1.tif", "out2.tif"),
        ("u1.tif", "u2.tif"),
        ("p1.tif", "p2.tif"),
        ("b1.png", "b2.png"),
    ] {
        assert!(
            bytes(&bench.path(first)) == bytes(&bench.path(second)),
            "{first} differs"
        );
    }
}

#[test]
fn another_seed_differs_inside_the_mask_only() {
    let spec = several_tiles();
    let bench = Bench::new(&spec);
    bench.restored("a.tif", &["--seed", "1"]).ok();
    bench.restored("b.tif", &["--seed", "2"]).ok();
    let (a, b) = (read(&bench.path("a.tif")), read(&bench.path("b.tif")));
    let mut differing = 0;
    for (i, (a, b)) in a[0].iter().zip(&b[0]).enumerate() {
        if a != b {
            assert!(cloud(
                spec.width,
                spec.height,
                i / spec.width,
                i % spec.width
            ));
            differing += 1;
        }
    }
    assert!(
        differing > 50,
        "two seeds differ in {differing} pixels only"
    );
}

#[test]
fn number_of_threads_changes_at_most_one_digital_number() {
    let bench = Bench::new(&several_tiles());
    restored_with_threads(&bench, "one.tif", "1");
    restored_with_threads(&bench, "two.tif", "2");
    restored_with_threads(&bench, "five.tif", "5");
    for other in ["two.tif", "five.tif"] {
        let difference = max_difference(&bench.path("one.tif"), &bench.path(other));
        assert!(difference <= 1.0, "{other}: {difference} digital numbers");
    }
}
