//! `unclouded restore` of one scene or several: what a list names, one after the other.

pub mod list;

use std::path::{Path, PathBuf};
use std::time::Instant;

use serde_json::{Value, json};

use self::list::{Asset, Entry};
use super::restore::{self, Done};
use super::settings::check_output;
use crate::cli::RestoreArgs;
use crate::failure::{Exit, Failure, Result};
use crate::gdal_io::stack::Stack;
use crate::progress::Reporter;

/// Run the command.
///
/// # Errors
/// Of one scene, its own. Of several, exit 2 if the list cannot be read, exit 130 when
/// interrupted, and exit 1 if a scene failed, after all others were filled.
pub fn run(args: &RestoreArgs, reporter: &mut Reporter) -> Result<()> {
    if args.batch.is_none() && args.scenes.len() == 1 {
        return restore::run(args, reporter).map(|_| ());
    }
    let runs = requests(args)?;
    reporter.start("restore", json!({"scenes": runs.len()}));
    each(&runs, reporter)?.finish(None, reporter)
}

/// What became of several scenes.
pub struct Table {
    rows: Vec<Row>,
    failed: usize,
}

/// Fills scenes one after the other; one that fails does not stop the others.
///
/// # Errors
/// Exit 130 when interrupted.
pub fn each(runs: &[Request], reporter: &mut Reporter) -> Result<Table> {
    let mut table = Table {
        rows: Vec::new(),
        failed: 0,
    };
    for (number, one) in (1..).zip(runs) {
        let began = Instant::now();
        let (scene, output) = files(&one.args);
        reporter.enter(number, runs.len(), scene);
        let outcome = one.run(reporter);
        if let Err(failure) = &outcome {
            reporter.error(failure);
        }
        reporter.leave();
        let (state, message) = match outcome {
            Ok(done) => (done.word(), String::new()),
            Err(failure) if failure.exit == Exit::Interrupted => return Err(failure),
            Err(failure) => {
                table.failed += 1;
                ("failed", failure.message)
            }
        };
        table.rows.push(Row {
            state,
            scene: scene.to_owned(),
            output: output.to_owned(),
            seconds: began.elapsed().as_secs_f64(),
            message,
        });
    }
    Ok(table)
}

impl Table {
    /// Says it, and what was made of the scenes besides: in words, and for programs.
    ///
    /// # Errors
    /// Exit 1 if a scene failed.
    pub fn finish(self, more: Option<(String, Value)>, reporter: &mut Reporter) -> Result<()> {
        let mut text: Vec<String> = self.rows.iter().map(Row::text).collect();
        let rows: Vec<Value> = self.rows.iter().map(Row::json).collect();
        let mut result = json!({"scenes": rows});
        if let Some((words, value)) = more {
            text.push(words);
            result["more"] = value;
        }
        if self.failed == 0 {
            reporter.done(&text.join("\n"), result);
            return Ok(());
        }
        reporter.summary(&text.join("\n"));
        let (failed, of) = (self.failed, self.rows.len());
        Err(Failure::failed(format!("{failed} of {of} scenes failed"))
            .hint("mend what is said above; --resume leaves out the scenes that are complete"))
    }
}

/// What is asked of one scene.
#[derive(Debug)]
pub struct Request {
    args: RestoreArgs,
    /// Its bands, if each lies in a file of its own.
    bands: Vec<Asset>,
}

impl Request {
    /// Of a scene in one file.
    pub fn of(args: RestoreArgs) -> Self {
        let bands = Vec::new();
        Self { args, bands }
    }

    fn run(&self, reporter: &mut Reporter) -> Result<Done> {
        let stack = match &self.bands[..] {
            [] => None,
            bands => {
                let bands = bands.iter().map(|band| (&*band.path, &*band.name));
                let stack = Stack::new(files(&self.args).0, &bands.collect::<Vec<_>>())?;
                reporter.info(stack.describe());
                Some(stack)
            }
        };
        let outcome = restore::run(&self.args, reporter);
        drop(stack);
        outcome
    }
}

/// A line of the summary.
struct Row {
    state: &'static str,
    scene: PathBuf,
    output: PathBuf,
    seconds: f64,
    message: String,
}

impl Row {
    fn text(&self) -> String {
        let Row { state, seconds, .. } = self;
        let (scene, output) = (self.scene.display(), self.output.display());
        match self.message.is_empty() {
            true => format!("{state:<8} {seconds:>7.1} s  {scene} -> {output}"),
            false => format!("{state:<8} {seconds:>7.1} s  {scene}: {}", self.message),
        }
    }

    fn json(&self) -> Value {
        json!({
            "state": self.state, "scene": self.scene, "output": self.output,
            "seconds": self.seconds,
        })
    }
}

fn files(one: &RestoreArgs) -> (&Path, &Path) {
    let nowhere = Path::new("");
    (
        one.scenes.first().map_or(nowhere, PathBuf::as_path),
        one.output.as_deref().unwrap_or(nowhere),
    )
}

/// One request a scene, each with files of its own.
fn requests(args: &RestoreArgs) -> Result<Vec<Request>> {
    let entries = match &args.batch {
        Some(list) => list::read(list, args)?,
        None => args.scenes.iter().map(|scene| Entry::of(scene)).collect(),
    };
    let mut runs: Vec<Request> = Vec::new();
    for entry in entries {
        let output = match (&entry.output, &args.output) {
            (Some(output), _) => output.clone(),
            (None, Some(folder)) => {
                is_folder("--output", folder)?;
                folder.join(format!("{}.tif", entry.name()))
            }
            (None, None) => {
                return Err(Failure::mismatch(
                    "--batch",
                    "a column output, or --output with a folder",
                    "neither",
                ));
            }
        };
        let assets: Vec<&Path> = entry.bands.iter().map(|band| &*band.path).collect();
        if !assets.is_empty() {
            // The other inputs are looked at with the scene.
            check_output("--output", &output, true, &assets)?;
        }
        let same = |run: &&Request| run.args.output.as_ref() == Some(&output);
        if let Some(other) = runs.iter().find(same) {
            return Err(Failure::mismatch(
                format!("output of {}", entry.scene.display()),
                "a name of its own",
                format!(
                    "{}, that of {}",
                    output.display(),
                    files(&other.args).0.display()
                ),
            )
            .hint("name the outputs in a list: --batch LIST.csv"));
        }
        let beside = |name: &str, folder: &Option<PathBuf>, ending: &str| {
            let Some(folder) = folder else {
                return Result::Ok(None);
            };
            is_folder(&format!("--{name}"), folder)?;
            let stem = output.file_stem().unwrap_or_default().to_string_lossy();
            Ok(Some(folder.join(format!("{stem}_{name}.{ending}"))))
        };
        let args = RestoreArgs {
            uncertainty: beside("uncertainty", &args.uncertainty, "tif")?,
            provenance: beside("provenance", &args.provenance, "tif")?,
            preview: beside("preview", &args.preview, "png")?,
            scenes: vec![entry.scene],
            mask: entry.mask.or_else(|| args.mask.clone()),
            reference: or(entry.reference, &args.reference),
            reference_mask: or(entry.reference_mask, &args.reference_mask),
            date: entry.date.or(args.date),
            output: Some(output),
            batch: None,
            ..args.clone()
        };
        let bands = entry.bands;
        runs.push(Request { args, bands });
    }
    Ok(runs)
}

/// What a line of the list names, else what the options name.
fn or(own: Vec<PathBuf>, usual: &[PathBuf]) -> Vec<PathBuf> {
    match own.is_empty() {
        true => usual.to_vec(),
        false => own,
    }
}

fn is_folder(name: &str, folder: &Path) -> Result<()> {
    if folder.is_dir() {
        return Ok(());
    }
    Err(Failure::mismatch(
        name,
        "a folder that exists, for several scenes",
        folder.display(),
    )
    .hint(format!("make it first: mkdir -p {}", folder.display())))
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::cli::{Cli, Command};

    fn requested(words: &[&str]) -> Result<Vec<RestoreArgs>> {
        let words = ["unclouded", "restore"].iter().chain(words);
        match Cli::try_parse_from(words).map(|cli| cli.command) {
            Ok(Command::Restore(args)) => {
                requests(&args).map(|runs| runs.into_iter().map(|run| run.args).collect())
            }
            other => panic!("restore is not understood: {other:?}"),
        }
    }

    #[test]
    fn several_scenes_go_into_a_folder() {
        let folder = tempfile::tempdir().expect("a folder");
        let out = folder.path().to_string_lossy().into_owned();
        let words = ["a/june.tif", "b/july.jp2", "-o", &out, "--preview", &out];
        let runs = requested(&words).expect("understood");
        let outputs: Vec<_> = runs.iter().map(|run| files(run).1.to_owned()).collect();
        assert_eq!(
            outputs,
            [
                folder.path().join("june.tif"),
                folder.path().join("july.tif")
            ]
        );
        assert_eq!(
            runs[1].preview,
            Some(folder.path().join("july_preview.png"))
        );
        let clash = requested(&["a/june.tif", "b/june.tif", "-o", &out]);
        assert!(clash.is_err_and(|failure| failure.message.contains("a/june.tif")));
        assert!(requested(&["a.tif", "b.tif", "-o", "no/such/folder"]).is_err());
    }

    #[test]
    fn a_list_goes_before_the_options() {
        let folder = tempfile::tempdir().expect("a folder");
        let list = folder.path().join("scenes.csv");
        let text = "scene,mask,output\na.tif,,x.tif\nb.tif,b_clouds.tif,sub/y.tif\n";
        std::fs::write(&list, text).expect("written");
        let runs = requested(&["--batch", &list.to_string_lossy(), "--mask", "all.gpkg"]);
        let runs = runs.expect("understood");
        assert_eq!(files(&runs[0]).0, folder.path().join("a.tif"));
        assert_eq!(runs[0].mask.as_deref(), Some(Path::new("all.gpkg")));
        assert_eq!(runs[1].mask, Some(folder.path().join("b_clouds.tif")));
        assert_eq!(files(&runs[1]).1, folder.path().join("sub/y.tif"));
    }
}
