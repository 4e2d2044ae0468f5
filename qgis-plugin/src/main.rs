//! The `unclouded` program: read the command line, run the command, turn the outcome into an exit code.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;

use clap::Parser;
use unclouded::cli::Cli;
use unclouded::commands;
use unclouded::failure::{Exit, Failure};
use unclouded::progress::{Reporter, print_usage_error};
use unclouded::{allocator, gdal_io, interrupt};

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return usage(&error),
    };
    allocator::keep_large_blocks();
    start_log();
    gdal_io::quiet_gdal();
    let mut reporter = Reporter::new(cli.command.progress());
    let outcome = interrupt::install()
        .and_then(|()| interrupt::watch_stdin())
        .and_then(|()| guarded(|| commands::run(cli.command, &mut reporter)));
    match outcome {
        Ok(()) => Exit::Ok.into(),
        Err(failure) => {
            reporter.error(&failure);
            failure.exit.into()
        }
    }
}

/// What clap has to say: help and version are data, anything else is an error that a program
/// reading JSON lines wants to hear of as well.
fn usage(error: &clap::Error) -> ExitCode {
    let _ = error.print();
    if !error.use_stderr() {
        return Exit::Ok.into();
    }
    let words: Vec<String> = std::env::args_os()
        .map(|word| word.to_string_lossy().into_owned())
        .collect();
    let json = words.iter().any(|word| word == "--progress=json")
        || words.windows(2).any(|pair| pair == ["--progress", "json"]);
    if json {
        let text = error.to_string();
        let lines = text.lines().take_while(|line| !line.starts_with("Usage"));
        let message: Vec<&str> = lines
            .map(str::trim)
            .filter(|line| !line.is_empty())
            .collect();
        let message = message.join(" ");
        let message = message.trim_start_matches("error: ");
        print_usage_error(message);
    }
    Exit::Usage.into()
}

/// A panic is a defect, or a driver that gave up; unwinding has removed the temporary files, and
/// the user gets a sentence instead of a trace.
fn guarded(
    work: impl FnOnce() -> unclouded::failure::Result<()>,
) -> unclouded::failure::Result<()> {
    if !cfg!(debug_assertions) {
        std::panic::set_hook(Box::new(|panic| tracing::warn!("{panic}")));
    }
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|panic| {
        let text = panic
            .downcast_ref::<String>()
            .cloned()
            .or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()))
            .unwrap_or_else(|| "no message".to_owned());
        Err(Failure::failed(format!("internal error: {text}")).hint(
            "with a GPU, try --device cpu; else this is a defect of unclouded: please report it",
        ))
    })
}

/// Messages for developers go to standard error: UNCLOUDED_LOG=debug shows more of them.
fn start_log() {
    let level = std::env::var("UNCLOUDED_LOG")
        .ok()
        .and_then(|level| level.parse().ok())
        .unwrap_or(tracing::Level::WARN);
    tracing_subscriber::fmt()
        .with_max_level(level)
        .with_writer(std::io::stderr)
        .without_time()
        .with_target(false)
        .init();
}
