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

/// A run whose parent is killed without a chance to end it.
#[test]
#[cfg(target_os = "linux")]
fn a_killed_parent_takes_the_run_with_it() {
    let bench = Bench::new(&Spec::new().size(400, 400));
    let restore = bench.restore("out.tif", &["--progress", "json", "--samples", "16"]);
    let script = "\
import os, subprocess, sys, time
environment = {**os.environ, 'UNCLOUDED_STOP_WITH_STDIN': '1'}
child = subprocess.Popen(
    sys.argv[1:], stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment)
child.stdout.readline()
child.stdout.readline()
print(child.pid, flush=True)
for line in child.stdout:
    pass
";
    let mut parent = Command::new("python3")
        .args(["-c", script])
        .arg(restore.get_program())
        .args(restore.get_args())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(parent.stdout.take().unwrap()).lines();
    let child = lines.next().expect("the child works").unwrap();
    parent.kill().unwrap();
    parent.wait().unwrap();
    // Gone, or dead and not yet collected by the process that inherited it.
    let stat = format!("/proc/{child}/stat");
    let runs = || std::fs::read_to_string(&stat).is_ok_and(|stat| !stat.contains(") Z "));
    let killed = Instant::now();
    while runs() {
        let waited = killed.elapsed();
        assert!(waited < Duration::from_secs(20), "runs on after {waited:?}");
        std::thread::sleep(Duration::from_millis(20));
    }
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
