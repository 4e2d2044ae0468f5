//! The commands of the program, one a file.

pub mod batch;
pub mod capabilities;
pub mod convert;
pub mod dry_run;
pub mod evaluate;
pub mod generate;
pub mod info;
pub mod mask;
pub mod memory;
pub mod references;
pub mod restore;
mod run_key;
pub mod series;
pub mod settings;
pub mod train;

use crate::cli::Command;
use crate::failure::Result;
use crate::progress::Reporter;

/// Run a command.
///
/// # Errors
/// Whatever stops it; its `exit` is the exit code.
pub fn run(command: Command, reporter: &mut Reporter) -> Result<()> {
    match command {
        Command::Restore(args) => batch::run(&args, reporter),
        Command::Series(args) => series::run(&args, reporter),
        Command::Mask(args) => mask::run(&args, reporter),
        Command::Train(args) => train::run(&args, reporter),
        Command::Evaluate(args) => evaluate::run(args, reporter),
        Command::Generate(args) => generate::run(&args, reporter),
        Command::Convert(args) => convert::run(&args, reporter),
        Command::Info(args) => info::run(args, reporter),
        Command::Capabilities(args) => capabilities::run(&args, reporter),
    }
}
