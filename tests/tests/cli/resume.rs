//! Killed at any moment: nothing incomplete under a final name, and `--resume` gives the same
//! bytes as a run nobody disturbed.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::fixtures::Spec;
use crate::run::{Bench, Run};

const OUTPUTS: [&str; 4] = ["out.tif", "u.tif", "p.tif", "look.png"];

fn bench() -> Bench {
    Bench::new(&Spec::new().size(180, 300).nodata())
}

/// A run of about ten rows of tiles with every output, in a folder of its own.
fn command(bench: &Bench, folder: &str, more: &[&str]) -> Command {
    let out = |name: &str| bench.path(folder).join(name);
    std::fs::create_dir_all(bench.path(folder)).unwrap();
    let settings = ["--tile-px", "48", "--overlap-px", "16", "--samples", "2"];
    let mut command = bench.restore(&format!("{folder}/out.tif"), &settings);
    command.arg("--uncertainty").arg(out("u.tif"));
    command.arg("--provenance").arg(out("p.tif"));
    command.arg("--preview").arg(out("look.png"));
    command.args(more);
    command.stdout(Stdio::null()).stderr(Stdio::null());
    command
}

fn finished(mut command: Command) -> Run {
    let run = command.stdout(Stdio::piped()).stderr(Stdio::piped());
    Run::from(run.output().unwrap())
}

fn bytes(bench: &Bench, folder: &str) -> Vec<Vec<u8>> {
    let read = |name| std::fs::read(bench.path(folder).join(name)).unwrap();
    OUTPUTS.map(read).to_vec()
}

fn names(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).unwrap();
    let mut names: Vec<String> = entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

/// Kills the run as soon as this share of the tiles is computed.
fn kill_at(mut command: Command, share: f64) {
    let mut child = command
        .args(["--progress", "json"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    for line in lines.map_while(Result::ok) {
        let line: serde_json::Value = serde_json::from_str(&line).unwrap();
        let fraction = line["fraction"].as_f64().unwrap_or(0.0);
        if line["stage"] == "fill" && fraction >= share {
            break;
        }
    }
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn killed_again_and_again_the_result_is_the_same() {
    let bench = bench();
    let inputs = [&bench.scene, &bench.mask].map(|path| std::fs::read(path).unwrap());
    let began = Instant::now();
    finished(command(&bench, "whole", &[])).ok();
    let lasts = began.elapsed();
    let whole = bytes(&bench, "whole");
    let folder = bench.path("killed");
    // Moments all over the run, the last ones while it verifies and renames.
    for share in [0.02, 0.3, 0.55, 0.8, 0.97] {
        let mut child = command(&bench, "killed", &["--resume"]).spawn().unwrap();
        let until = Instant::now() + lasts.mul_f64(share);
        while Instant::now() < until && child.try_wait().unwrap().is_none() {
            std::thread::sleep(Duration::from_millis(3));
        }
        child.kill().unwrap();
        child.wait().unwrap();
        for (name, whole) in OUTPUTS.iter().zip(&whole) {
            if let Ok(found) = std::fs::read(folder.join(name)) {
                assert!(found == *whole, "{name} is incomplete after {share}");
            }
        }
        if folder.join("out.tif").exists() {
            std::fs::remove_dir_all(&folder).unwrap();
        }
    }
    finished(command(&bench, "killed", &["--resume"])).ok();
    assert!(bytes(&bench, "killed") == whole, "other bytes");
    let mut expected = OUTPUTS.map(str::to_owned).to_vec();
    expected.sort();
    assert_eq!(names(&folder), expected, "left behind");
    let after = [&bench.scene, &bench.mask].map(|path| std::fs::read(path).unwrap());
    assert!(inputs == after, "an input was changed");
}

#[test]
fn what_was_finished_is_not_computed_again() {
    let bench = bench();
    finished(command(&bench, "whole", &[])).ok();
    // Nobody asked for --resume before the machine went down.
    kill_at(command(&bench, "half", &[]), 0.6);
    let run = finished(command(&bench, "half", &["--resume"])).ok();
    let said = run.stderr.lines().find(|line| line.starts_with("resume: "));
    let said = said.unwrap_or_else(|| panic!("{run:#?}"));
    let rows: usize = said.split(' ').nth(1).unwrap().parse().unwrap();
    assert!((60..300).contains(&rows), "{said}");
    assert!(
        bytes(&bench, "half") == bytes(&bench, "whole"),
        "other bytes"
    );
}

#[test]
fn other_settings_start_anew() {
    let bench = bench();
    finished(command(&bench, "whole", &["--seed", "5"])).ok();
    kill_at(command(&bench, "half", &["--resume"]), 0.5);
    let run = finished(command(&bench, "half", &["--resume", "--seed", "5"])).ok();
    assert!(run.stderr.contains("starting anew"), "{run:#?}");
    assert!(
        bytes(&bench, "half") == bytes(&bench, "whole"),
        "other bytes"
    );
    // And so does a run that is not to be resumed.
    kill_at(command(&bench, "new", &["--seed", "5"]), 0.5);
    let run = finished(command(&bench, "new", &["--seed", "5"])).ok();
    assert!(run.stderr.contains("dropped"), "{run:#?}");
    assert!(
        bytes(&bench, "new") == bytes(&bench, "whole"),
        "other bytes"
    );
    assert_eq!(
        names(&bench.path("new")).len(),
        OUTPUTS.len(),
        "left behind"
    );
}

#[test]
fn a_complete_output_is_left_as_it_is() {
    let bench = bench();
    let one = |more: &[&str]| finished(command(&bench, "one", more));
    one(&[]).ok();
    let before = std::fs::metadata(bench.path("one/out.tif")).unwrap();
    // The other outputs are there as well, and are not refused for that.
    let words = |more: &[&str]| -> Run {
        let settings = ["--tile-px", "48", "--overlap-px", "16", "--samples", "2"];
        bench.restored("one/out.tif", &[&settings, more].concat())
    };
    let run = words(&["--resume"]).ok();
    assert!(run.stdout.contains("complete already"), "{run:#?}");
    let after = std::fs::metadata(bench.path("one/out.tif")).unwrap();
    assert_eq!(before.modified().unwrap(), after.modified().unwrap());
    // Filled in another way it is not the output of this run.
    words(&["--resume", "--seed", "3"]).refused(&["out.tif", "exists"]);
}

#[test]
fn two_runs_do_not_write_one_output() {
    let bench = bench();
    let path: PathBuf = bench.path("one");
    let mut first = command(&bench, "one", &["--progress", "json"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(first.stdout.take().unwrap()).lines();
    let begun = |line: &String| line.contains("\"survey\"") || line.contains("\"fill\"");
    assert!(
        lines
            .by_ref()
            .map_while(Result::ok)
            .any(|line| begun(&line))
    );
    std::thread::sleep(Duration::from_millis(50));
    let second = finished(command(&bench, "one", &[]));
    first.kill().unwrap();
    first.wait().unwrap();
    second.refused(&["no other run"]);
    assert!(!path.join("out.tif").exists());
}
