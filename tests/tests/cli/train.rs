//! `train`: one go equals stop and resume, and Python opens what it writes.

use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::fixtures::{Spec, Type};
use crate::run::{Bench, Run, json_lines, python, unclouded};

/// Writes 24 small tiles (once) and a recipe for `steps` steps with output folder `out`.
fn recipe(folder: &Path, steps: u32, out: &str) -> PathBuf {
    let tiles = folder.join("tiles");
    if !tiles.exists() {
        std::fs::create_dir(&tiles).unwrap();
        for index in 0..24 {
            let spec = Spec::new().size(20 + index % 3, 18).kind(Type::U8);
            spec.write(tiles.join(format!("Field_{index}.tif")));
        }
    }
    let path = folder.join(format!("{out}-{steps}.toml"));
    let text = format!(
        "[data]\nsources = ['tiles']\ntile_px = 16\nname = 'synthetic'\nlicence = 'CC0-1.0'\n\
         [model]\nbase_channels = 8\nmultipliers = [1, 2]\nblocks_per_level = 1\n\
         [train]\nsteps = {steps}\nbatch = 2\nlearning_rate = 1e-3\nwarmup_steps = 10\nseed = 3\n\
         log_every = 1\nvalidate_every_steps = 50\nvalidate_tiles = 2\ncheckpoint_every = 50\n\
         [output]\ndir = '{out}'\nname = 'small'\n"
    );
    std::fs::write(&path, text).unwrap();
    path
}

fn train(recipe: &Path, more: &[&str]) -> Run {
    let mut command = unclouded();
    command
        .arg("train")
        .arg(recipe)
        .args(["--device", "cpu"])
        .args(more);
    Run::from(command.output().unwrap())
}

/// The first file below `folder` whose name ends like this.
fn find(folder: &Path, ending: &str) -> PathBuf {
    let entries = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let mut found: Vec<PathBuf> = entries
        .filter(|path| path.to_str().unwrap().ends_with(ending))
        .collect();
    found.sort_by_key(|path| path.as_os_str().len());
    assert!(!found.is_empty(), "no {ending} in {}", folder.display());
    found.swap_remove(0)
}

/// The log as rows of (step, losses), without columns that hold times.
fn losses(folder: &Path) -> Vec<Vec<String>> {
    let text = std::fs::read_to_string(find(folder, ".csv")).unwrap();
    let mut rows = text.lines().map(|line| line.split(',').collect::<Vec<_>>());
    let header = rows.next().expect("a header");
    let timed =
        |name: &str| name.contains("second") || name.contains("time") || name.contains("per_s");
    let kept: Vec<usize> = (0..header.len()).filter(|&i| !timed(header[i])).collect();
    assert!(
        header.iter().any(|name| name.contains("loss")),
        "{header:?}"
    );
    rows.map(|row| kept.iter().map(|&i| row[i].to_owned()).collect())
        .collect()
}

#[test]
fn two_hundred_steps_equal_a_hundred_and_a_hundred_resumed() {
    let folder = tempfile::tempdir().unwrap();
    train(&recipe(folder.path(), 200, "whole"), &[]).ok();

    // The same recipe, stopped in the middle as Ctrl-C would, goes on with --resume.
    let parts = recipe(folder.path(), 200, "parts");
    stop_after(&parts, &folder.path().join("parts"), 60);
    train(&parts, &["--resume"]).ok();

    let (whole, parts) = (
        losses(&folder.path().join("whole")),
        losses(&folder.path().join("parts")),
    );
    assert!(whole.len() == 200, "{whole:?}");
    assert_eq!(whole, parts);
}

/// A run goes on with the recipe it was begun with; another is refused, and what differs is said.
#[test]
fn another_recipe_is_not_gone_on_with() {
    let folder = tempfile::tempdir().unwrap();
    let path = recipe(folder.path(), 3, "run");
    train(&path, &[]).ok();
    // More steps are the same run.
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, text.replace("steps = 3", "steps = 4")).unwrap();
    train(&path, &["--resume"]).ok();
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::write(
        &path,
        text.replace("learning_rate = 1e-3", "learning_rate = 1e-2"),
    )
    .unwrap();
    train(&path, &["--resume"]).refused(&["--resume", "train.learning_rate: 0.01, was 0.001"]);
    train(&path, &["--resume", "--force"]).ok();
}

/// Stopped between two lines of the log: the next line averages the steps before the stop too.
/// The steps of the first part took the second no time, and it does not say that they did.
#[test]
fn a_stop_between_log_lines_does_not_show() {
    let folder = tempfile::tempdir().unwrap();
    let sparse = |out: &str| {
        let path = recipe(folder.path(), 120, out);
        let text = std::fs::read_to_string(&path).unwrap();
        let text = text.replace("log_every = 1\n", "log_every = 20\n");
        std::fs::write(
            &path,
            text.replace("_every_steps = 50", "_every_steps = 120"),
        )
        .unwrap();
        path
    };
    train(&sparse("whole"), &[]).ok();
    let parts = sparse("parts");
    stop_after(&parts, &folder.path().join("parts"), 40);
    let resumed = train(&parts, &["--resume", "--progress", "json"]).ok();
    let (whole, parts) = (
        losses(&folder.path().join("whole")),
        losses(&folder.path().join("parts")),
    );
    assert_eq!(whole.len(), 6, "{whole:?}");
    assert_eq!(whole, parts);

    let lines = json_lines(&resumed.stdout);
    let progress = lines.iter().filter(|line| line["type"] == "progress");
    let counts: Vec<(u64, Option<f64>)> = progress
        .map(|line| (line["done"].as_u64().unwrap(), line["eta_seconds"].as_f64()))
        .collect();
    assert!(counts[0].0 > 40 && counts[0].1.is_none(), "{counts:?}");
    assert_eq!(counts.last(), Some(&(120, Some(0.0))), "{counts:?}");
}

/// Starts training and interrupts it once the log shows `step`; it must save and exit 130.
fn stop_after(recipe: &Path, output: &Path, step: u32) {
    let mut command = unclouded();
    command
        .arg("train")
        .arg(recipe)
        .args(["--device", "cpu", "--progress", "none"]);
    let mut child = command.spawn().unwrap();
    let reached = || {
        let logs = std::fs::read_dir(output).into_iter().flatten().flatten();
        let texts = logs
            .filter(|entry| entry.path().extension().is_some_and(|e| e == "csv"))
            .filter_map(|entry| std::fs::read_to_string(entry.path()).ok());
        texts
            .flat_map(|text| text.lines().map(str::to_owned).collect::<Vec<_>>())
            .any(|line| {
                line.split(',')
                    .next()
                    .and_then(|s| s.parse::<u32>().ok())
                    .is_some_and(|s| s >= step)
            })
    };
    while !reached() {
        assert!(
            child.try_wait().unwrap().is_none(),
            "training ended before step {step}"
        );
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    let id = child.id().to_string();
    assert!(
        std::process::Command::new("kill")
            .args(["-INT", &id])
            .status()
            .unwrap()
            .success()
    );
    assert_eq!(
        child.wait().unwrap().code(),
        Some(130),
        "clean stop of training"
    );
}

#[test]
fn python_reads_the_checkpoint_and_restore_runs_it() {
    let folder = tempfile::tempdir().unwrap();
    train(&recipe(folder.path(), 12, "out"), &[]).ok();
    let checkpoint = find(&folder.path().join("out"), "small.safetensors");
    let output = python("check_checkpoint.py")
        .arg(&checkpoint)
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let seen: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(seen["values"].as_u64().unwrap() > 1000, "{seen}");
    let card = seen["metadata"].to_string();
    for word in ["synthetic", "CC0-1.0", "base_channels"] {
        assert!(card.contains(word), "no {word} in the card: {card}");
    }

    let bench = Bench::new(&Spec::new());
    let model = checkpoint.to_str().unwrap();
    bench
        .restored(
            "out.tif",
            &["--model", model, "--tile-px", "32", "--overlap-px", "8"],
        )
        .ok();
    let info = Run::from(unclouded().args(["info", model]).output().unwrap()).ok();
    assert!(info.stdout.contains("synthetic"), "{info:#?}");

    // A checkpoint cut short, and one whose card speaks of another network.
    let bytes = std::fs::read(&checkpoint).unwrap();
    let broken = bench.path("broken.safetensors");
    std::fs::write(&broken, &bytes[..bytes.len() - 100]).unwrap();
    let broken_name = broken.to_str().unwrap();
    bench
        .restored("no.tif", &["--model", broken_name])
        .refused(&["checkpoint"]);
    let text = b"base_channels";
    let at = bytes
        .windows(text.len())
        .position(|window| window == text)
        .unwrap();
    let mut other = bytes;
    let digit = (at..at + 40)
        .find(|&i| other[i] == b'8')
        .expect("the value 8");
    other[digit] = b'9';
    std::fs::write(&broken, &other).unwrap();
    bench
        .restored("no.tif", &["--model", broken_name])
        .refused(&["checkpoint"]);
    assert!(!bench.path("no.tif").exists());
}

#[test]
fn bad_recipes_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let good = std::fs::read_to_string(recipe(folder.path(), 10, "out")).unwrap();
    let path = folder.path().join("bad.toml");
    for (from, to, word) in [
        ("tile_px = 16", "tile_px = 3", "tile_px"),
        ("sources = ['tiles']", "sources = ['nowhere']", "nowhere"),
        ("steps = 10", "steps = 0", "steps"),
        ("base_channels = 8", "base_channels = 0", "base_channels"),
        ("batch = 2", "batsch = 2", "batsch"),
    ] {
        std::fs::write(&path, good.replace(from, to)).unwrap();
        train(&path, &[]).refused(&[word]);
    }
    train(&folder.path().join("none.toml"), &[]).refused(&["none.toml"]);
    // Resuming what never ran.
    train(&recipe(folder.path(), 10, "fresh"), &["--resume"]).refused(&["resume"]);
}
