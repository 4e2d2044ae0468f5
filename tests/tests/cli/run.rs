//! Runs the program under test and looks at what came back.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;

use crate::fixtures::{Spec, write_cloud_mask};

/// The program, built together with these tests and therefore never stale.
pub fn unclouded() -> Command {
    Command::new(env!("CARGO_BIN_EXE_unclouded-under-test"))
}

/// What a finished run left.
#[derive(Debug)]
pub struct Run {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl From<Output> for Run {
    fn from(output: Output) -> Self {
        Self {
            code: output.status.code(),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }
}

impl Run {
    /// Asserts success.
    pub fn ok(self) -> Self {
        assert_eq!(self.code, Some(0), "{self:#?}");
        self
    }

    /// Asserts exit 2 with a message that holds every one of `words`, and a hint.
    pub fn refused(self, words: &[&str]) -> Self {
        assert_eq!(self.code, Some(2), "{self:#?}");
        assert!(!self.stderr.contains("panicked"), "{self:#?}");
        assert!(self.stderr.contains("hint:"), "no hint: {self:#?}");
        assert!(self.stdout.is_empty(), "stdout is for data: {self:#?}");
        let message = self.stderr.to_lowercase();
        for word in words {
            assert!(
                message.contains(&word.to_lowercase()),
                "{word:?} not in: {self:#?}"
            );
        }
        self
    }
}

/// Runs `unclouded` with these arguments, with the CPU device unless they name one.
pub fn run<S: AsRef<OsStr>>(arguments: impl IntoIterator<Item = S>) -> Run {
    unclouded()
        .args(arguments)
        .output()
        .expect("the program starts")
        .into()
}

/// A folder with one scene and its cloud mask.
pub struct Bench {
    pub folder: tempfile::TempDir,
    pub scene: PathBuf,
    pub mask: PathBuf,
}

impl Bench {
    pub fn new(spec: &Spec) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let scene = spec.write(folder.path().join("scene.tif"));
        let mask = write_cloud_mask(folder.path().join("mask.tif"), spec);
        Self {
            folder,
            scene,
            mask,
        }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// `restore` of the scene under its mask on the CPU, quick settings, plus `more`.
    pub fn restore(&self, output: &str, more: &[&str]) -> Command {
        let mut command = unclouded();
        command
            .arg("restore")
            .arg(&self.scene)
            .arg("-o")
            .arg(self.path(output));
        command.arg("--mask").arg(&self.mask).args(["--steps", "2"]);
        if !more.contains(&"--device") {
            command.args(["--device", "cpu"]);
        }
        command.args(more);
        command
    }

    /// The same, run to its end.
    pub fn restored(&self, output: &str, more: &[&str]) -> Run {
        self.restore(output, more)
            .output()
            .expect("the program starts")
            .into()
    }

    /// Names of all files in the folder, sorted.
    pub fn files(&self) -> Vec<String> {
        let mut names: Vec<String> = std::fs::read_dir(self.folder.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }
}

/// A folder of the repository's `tests`.
pub fn tests_folder() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Runs a script of `tests` with the first Python that has GDAL and numpy.
pub fn python(script: &str) -> Command {
    let mut command = python_with("import numpy; from osgeo import gdal");
    command.arg(tests_folder().join(script));
    command
}

/// The first Python in which this code runs.
pub fn python_with(code: &str) -> Command {
    let chosen = std::env::var("PYTHON").ok();
    let mut candidates = chosen
        .iter()
        .map(String::as_str)
        .chain(["python3", "/usr/bin/python3"]);
    let works = |candidate: &&str| {
        Command::new(candidate)
            .args(["-c", code])
            .output()
            .is_ok_and(|output| output.status.success())
    };
    let found = candidates
        .find(works)
        .expect("python3 with numpy and GDAL; run: make install-deps");
    Command::new(found)
}

/// Parses every line of a text as JSON.
pub fn json_lines(text: &str) -> Vec<Value> {
    let parse = |line: &str| {
        serde_json::from_str(line).unwrap_or_else(|error| panic!("{error} in line {line:?}"))
    };
    text.lines().map(parse).collect()
}
