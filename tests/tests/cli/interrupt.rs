//! Ctrl-C during `restore`: exit 130, nothing under the final name, nothing left behind.

use std::io::{BufRead, BufReader, Read};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::fixtures::Spec;
use crate::run::Bench;

/// A restore that takes many times longer than the interruption.
fn interrupted(signal: &str) {
    let bench = Bench::new(&Spec::new().size(400, 400));
    let settings = [
        "--progress",
        "json",
        "--samples",
        "16",
        "--tile-px",
        "64",
        "--overlap-px",
        "32",
    ];
    let mut child = bench
        .restore("out.tif", &[&settings[..], &["--seed", "3"]].concat())
        .arg("--uncertainty")
        .arg(bench.path("u.tif"))
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    // The second line of progress: the work has begun.
    lines.next().expect("progress").unwrap();
    lines.next().expect("progress").unwrap();
    let sent = Instant::now();
    let id = child.id().to_string();
    assert!(
        Command::new("kill")
            .args([signal, &id])
            .status()
            .unwrap()
            .success()
    );
    let drained = lines.count();
    let mut said = String::new();
    child
        .stderr
        .take()
        .unwrap()
        .read_to_string(&mut said)
        .unwrap();
    let status = child.wait().unwrap();
    assert_eq!(
        status.code(),
        Some(130),
        "after {drained} more lines: {status}: {said}"
    );
    assert!(
        sent.elapsed() < Duration::from_secs(20),
        "stopping took {:?}",
        sent.elapsed()
    );
    assert!(!said.contains("panicked"), "{said}");
    assert_eq!(bench.files(), ["mask.tif", "scene.tif"], "left behind");
}

#[test]
fn ctrl_c() {
    interrupted("-INT");
}

#[test]
fn terminate() {
    interrupted("-TERM");
}
