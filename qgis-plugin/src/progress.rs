//! What a run tells while it works: a bar and messages for people, JSON lines for programs.
//!
//! With `--progress json` standard output carries one JSON object a line and nothing else; this
//! is what the QGIS plugin reads. Every object is a [`Line`] and has a `type`:
//!
//! | type | further keys |
//! | --- | --- |
//! | `start` | `protocol` ([`PROTOCOL`]), `command`, `version`, and what the command knows about itself (`device`, `model`, ...) |
//! | `progress` | `stage` (text), `done` and `total` (counts), `fraction` (0..1 of the stage), `elapsed_seconds` (of the stage), `eta_seconds` (number or null, see below) |
//! | `scene` | one of several scenes: `number` and `of`, `scene` (path), `state` (`start`, `done`, `failed`); with `done` its `result`, with `failed` `exit`, `message` and `hint` |
//! | `log` | `level` (`info` or `warning`), `message`, `message_parts` |
//! | `result` | `result` (an object of the command): what a run achieved that then ends with `error` because a part of it failed |
//! | `error` | `exit` (the exit code), `message`, `hint` (text or null), `message_parts`, `hint_parts` (see [`Part`]); the last line of a run that failed |
//! | `done` | `exit` (0), `result` (an object of the command); the last line of a run that succeeded |
//!
//! `eta_seconds` is what is left of the stage; in the stage `fill` of `restore` it is what is left of
//! the whole scene, verification included, and `fraction` follows the time rather than the counts.
//!
//! A program that reads these lines can make sure that none outlives it: with
//! `UNCLOUDED_STOP_WITH_STDIN=1` in the environment the run is interrupted when its standard input
//! ends, as a pipe does when the process that holds its other end is gone.
//!
//! Unknown types and keys are to be ignored: later versions add some. Messages go to standard
//! error in every mode.

use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use indicatif::{HumanDuration, ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde::Serialize;
use serde_json::{Value, json};

use crate::failure::Failure;
use crate::wording::{self, Part};

/// How progress is shown (`--progress`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum ProgressMode {
    /// A bar if standard error is a terminal, else nothing
    #[default]
    Auto,
    /// A bar on standard error
    Bar,
    /// One JSON object a line on standard output
    Json,
    /// Messages only
    None,
}

/// Version of the lines. It grows when a reader of the last one would misunderstand the new.
pub const PROTOCOL: u32 = 1;

/// A line for programs.
#[derive(Debug, Serialize)]
#[serde(tag = "type", rename_all = "kebab-case")]
enum Line<'a> {
    Start {
        protocol: u32,
        command: &'a str,
        version: &'a str,
        /// What the command knows about itself.
        #[serde(flatten)]
        details: Value,
    },
    Progress {
        stage: &'a str,
        done: u64,
        total: u64,
        fraction: f64,
        elapsed_seconds: f64,
        eta_seconds: Option<f64>,
    },
    Scene {
        #[serde(flatten)]
        scene: &'a SceneOf,
        state: &'a str,
        #[serde(flatten)]
        details: Value,
    },
    Log {
        level: &'a str,
        message: &'a str,
        message_parts: Vec<Part>,
    },
    Result {
        result: Value,
    },
    Error(Failed<'a>),
    Done {
        exit: u8,
        result: Value,
    },
}

/// One of several scenes.
#[derive(Debug, Clone, Serialize)]
struct SceneOf {
    number: usize,
    of: usize,
    scene: PathBuf,
}

/// Why a run, or one of its scenes, failed.
#[derive(Debug, Serialize)]
struct Failed<'a> {
    exit: u8,
    message: &'a str,
    hint: Option<&'a str>,
    message_parts: Vec<Part>,
    hint_parts: Vec<Part>,
}

impl<'a> Failed<'a> {
    fn of(failure: &'a Failure) -> Self {
        let hint = failure.hint.as_deref();
        Self {
            exit: failure.exit as u8,
            message: &failure.message,
            hint,
            message_parts: wording::parts(&failure.message),
            hint_parts: hint.map(wording::parts).unwrap_or_default(),
        }
    }
}

/// Progress lines are at most this frequent, so that a reader is not flooded.
const JSON_INTERVAL: Duration = Duration::from_millis(100);

/// The one place that writes to standard output and standard error.
pub struct Reporter {
    mode: ProgressMode,
    stage: String,
    total: u64,
    /// Steps that an earlier run had done when the stage began.
    from: u64,
    stage_started: Instant,
    last_line: Option<Instant>,
    bar: Option<ProgressBar>,
    /// Keys of the scene that is worked on, where there are several.
    scene: Option<SceneOf>,
}

impl Reporter {
    /// A reporter for the mode the user chose.
    pub fn new(mode: ProgressMode) -> Self {
        let mode = match mode {
            ProgressMode::Auto if std::io::stderr().is_terminal() => ProgressMode::Bar,
            ProgressMode::Auto => ProgressMode::None,
            chosen => chosen,
        };
        Reporter {
            mode,
            stage: String::new(),
            total: 0,
            from: 0,
            stage_started: Instant::now(),
            last_line: None,
            bar: None,
            scene: None,
        }
    }

    /// What follows is about one of several scenes: its start and end are lines of type `scene`.
    pub fn enter(&mut self, number: usize, of: usize, scene: &Path) {
        self.scene = Some(SceneOf {
            number,
            of,
            scene: scene.to_owned(),
        });
        stderr_line(&format!("[{number}/{of}] {}", scene.display()));
    }

    /// What follows is about all scenes again.
    pub fn leave(&mut self) {
        self.clear();
        self.scene = None;
    }

    /// A line about the scene that is worked on, where there are several.
    fn scene_line(&self, state: &str, details: Value) -> bool {
        let Some(scene) = &self.scene else {
            return false;
        };
        self.json_line(&Line::Scene {
            scene,
            state,
            details,
        });
        true
    }

    /// Whether standard output is reserved for JSON lines.
    pub fn is_json(&self) -> bool {
        self.mode == ProgressMode::Json
    }

    /// The run begins. `details` is an object whose keys join the `start` line.
    pub fn start(&mut self, command: &str, details: Value) {
        let mut details = details;
        if self.scene.is_some() {
            // The path and the number of the scene stand there already.
            if let Some(info) = details.as_object_mut().and_then(|d| d.remove("scene")) {
                details["info"] = info;
            }
            self.scene_line("start", details);
            return;
        }
        self.json_line(&Line::Start {
            protocol: PROTOCOL,
            command,
            version: env!("CARGO_PKG_VERSION"),
            details,
        });
    }

    /// A stage of `total` steps begins; the one before it is over.
    pub fn stage(&mut self, name: &str, total: u64) {
        self.stage_from(name, total, 0);
    }

    /// As [`stage`](Self::stage), of which an earlier run did `from` steps: they took this run no
    /// time, and the time that is left is not reckoned with them.
    pub fn stage_from(&mut self, name: &str, total: u64, from: u64) {
        self.clear();
        self.from = from;
        self.stage = name.to_owned();
        self.total = total;
        self.stage_started = Instant::now();
        self.last_line = None;
        if self.mode == ProgressMode::Bar {
            let bar = ProgressBar::with_draw_target(Some(total), ProgressDrawTarget::stderr());
            let style = ProgressStyle::with_template("{msg:10} [{wide_bar}] {pos}/{len} {prefix}");
            bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
            bar.set_message(name.to_owned());
            bar.set_position(from);
            self.bar = Some(bar);
        }
        self.advance(from);
    }

    /// `done` steps of the stage are finished.
    pub fn advance(&mut self, done: u64) {
        let fraction = match self.total {
            0 => 1.0,
            total => (done as f64 / total as f64).min(1.0),
        };
        let elapsed = self.stage_started.elapsed().as_secs_f64();
        let eta = eta_seconds(elapsed, self.from, done, self.total);
        self.advance_by(done, fraction, eta);
    }

    /// As [`advance`](Self::advance), where the steps do not all take the same time: `fraction` of
    /// the time of the stage has passed, `eta` seconds are left of the run.
    pub fn advance_by(&mut self, done: u64, fraction: f64, eta: Option<f64>) {
        if let Some(bar) = &self.bar {
            bar.set_position(done);
            bar.set_prefix(eta.map_or_else(String::new, |eta| {
                format!(
                    "{} left",
                    HumanDuration(Duration::from_secs_f64(eta.max(0.0)))
                )
            }));
        }
        if self.mode != ProgressMode::Json {
            return;
        }
        let soon = self
            .last_line
            .is_some_and(|last| last.elapsed() < JSON_INTERVAL);
        if soon && fraction < 1.0 {
            return;
        }
        self.last_line = Some(Instant::now());
        let elapsed = self.stage_started.elapsed().as_secs_f64();
        self.json_line(&Line::Progress {
            stage: &self.stage,
            done,
            total: self.total,
            fraction,
            elapsed_seconds: elapsed,
            eta_seconds: eta,
        });
    }

    /// Something worth knowing.
    pub fn info(&self, message: impl AsRef<str>) {
        self.log("info", message.as_ref());
    }

    /// Something worth worrying about.
    pub fn warning(&self, message: impl AsRef<str>) {
        self.log("warning", message.as_ref());
    }

    /// The run succeeded: `text` is the data for people, `result` the object for programs.
    pub fn done(&mut self, text: &str, result: Value) {
        self.clear();
        if self.is_json() {
            if !self.scene_line("done", json!({"result": &result})) {
                self.json_line(&Line::Done { exit: 0, result });
            }
        } else if self.scene.is_some() {
            stderr_line(text);
        } else if !text.is_empty() {
            stdout_line(text);
        }
    }

    /// A part of the run failed and will be reported as an error; this is what came of the rest.
    pub fn partial(&mut self, text: &str, result: Value) {
        self.clear();
        if self.is_json() {
            self.json_line(&Line::Result { result });
        } else if !text.is_empty() {
            stdout_line(text);
        }
    }

    /// What a run with failures has done all the same, for people.
    pub fn summary(&mut self, text: &str) {
        self.clear();
        if !self.is_json() {
            stdout_line(text);
        }
    }

    /// The run failed.
    pub fn error(&mut self, failure: &Failure) {
        self.clear();
        stderr_line(&format!("error: {}", failure.message));
        if let Some(hint) = &failure.hint {
            stderr_line(&format!("hint: {hint}"));
        }
        let failed = Failed::of(failure);
        let details = serde_json::to_value(&failed).unwrap_or_default();
        if !self.scene_line("failed", details) {
            self.json_line(&Line::Error(failed));
        }
    }

    fn log(&self, level: &str, message: &str) {
        let line = if level == "info" {
            message.to_owned()
        } else {
            format!("{level}: {message}")
        };
        match &self.bar {
            Some(bar) => bar.suspend(|| stderr_line(&line)),
            None => stderr_line(&line),
        }
        self.json_line(&Line::Log {
            level,
            message,
            message_parts: wording::parts(message),
        });
    }

    fn json_line(&self, line: &Line) {
        if self.is_json() {
            print_line(line);
        }
    }

    fn clear(&mut self) {
        if let Some(bar) = self.bar.take() {
            bar.finish_and_clear();
        }
    }
}

/// Seconds that are left after `elapsed` seconds, in which `done - from` of the steps were done;
/// none before the first.
fn eta_seconds(elapsed: f64, from: u64, done: u64, total: u64) -> Option<f64> {
    let own = done.saturating_sub(from);
    (own > 0).then(|| elapsed * total.saturating_sub(done) as f64 / own as f64)
}

/// The error of a command line that was not understood, for a program that reads JSON lines.
pub fn print_usage_error(message: &str) {
    let failure = Failure::usage(message);
    print_line(&Line::Error(Failed::of(&failure)));
}

fn print_line(line: &Line) {
    // Of these types every one can be written.
    if let Ok(text) = serde_json::to_string(line) {
        stdout_line(&text);
    }
}

/// Write a line of data. A reader that went away (`| head`) is no reason to stop or panic.
fn stdout_line(line: &str) {
    let mut out = std::io::stdout().lock();
    let _ = writeln!(out, "{}", line.trim_end_matches('\n')).and_then(|()| out.flush());
}

fn stderr_line(line: &str) {
    let _ = writeln!(std::io::stderr().lock(), "{line}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_of_an_earlier_run_took_no_time() {
        assert_eq!(eta_seconds(10.0, 0, 0, 100), None);
        assert_eq!(eta_seconds(10.0, 0, 20, 100), Some(40.0));
        // Resumed at 80: 10 steps in 10 seconds, 10 are left.
        assert_eq!(eta_seconds(10.0, 80, 80, 100), None);
        assert_eq!(eta_seconds(10.0, 80, 90, 100), Some(10.0));
        assert_eq!(eta_seconds(10.0, 80, 100, 100), Some(0.0));
        assert_eq!(eta_seconds(10.0, 5, 3, 2), None);
    }
}
