//! `unclouded capabilities`: what this program can do, for programs that start it.

use std::collections::BTreeMap;

use clap::CommandFactory;
use serde::Serialize;
use serde_json::Value;
use unclouded_core::diffusion::sampler::Sampler;
use unclouded_core::model::ModelCard;
use unclouded_core::restore::{Effort, Method, Quality, Written};

use crate::cli::{CapabilitiesArgs, Cli};
use crate::failure::{Failure, Result};
use crate::models::{Checkpoint, registry};
use crate::progress::{PROTOCOL, Reporter};
use crate::wording::options;

/// Version of the layout of [`Capabilities`]. Later versions may add keys to this one.
const FORMAT: u32 = 1;

/// What the program can do.
#[derive(Debug, Serialize)]
pub struct Capabilities {
    /// Version of this object's layout.
    format: u32,
    /// Version of the program.
    version: &'static str,
    /// Version of the lines that `--progress json` writes.
    protocol: u32,
    /// Names of the models that are here; the first is the default.
    models: Vec<String>,
    /// Names of the samplers.
    samplers: Vec<&'static str>,
    /// Ways to fill.
    methods: Vec<&'static str>,
    /// Levels of quality, the fastest first.
    qualities: Vec<Level>,
    /// What can be written of an ensemble.
    written: Vec<&'static str>,
    /// The options of each command with the values they may have; none where any may be given.
    commands: BTreeMap<String, BTreeMap<String, Vec<String>>>,
}

/// What a level of quality means for the default model.
#[derive(Debug, Clone, Serialize)]
struct Level {
    name: &'static str,
    method: &'static str,
    steps: usize,
    samples: usize,
}

impl Level {
    fn of(quality: Quality, card: &ModelCard) -> Self {
        let Effort {
            method,
            steps,
            samples,
        } = quality.effort(card);
        Self {
            name: quality.name(),
            method: method.name(),
            steps,
            samples,
        }
    }
}

impl Capabilities {
    /// Of this program.
    ///
    /// # Errors
    /// A default model that cannot be read.
    pub fn of_this_program() -> Result<Self> {
        let card = Checkpoint::find(None)?.card()?;
        let program = Cli::command();
        let commands = program.get_subcommands();
        Ok(Self {
            format: FORMAT,
            version: env!("CARGO_PKG_VERSION"),
            protocol: PROTOCOL,
            models: registry::names(),
            samplers: Sampler::ALL.map(Sampler::name).to_vec(),
            methods: Method::ALL.map(Method::name).to_vec(),
            qualities: Quality::ALL.map(|level| Level::of(level, &card)).to_vec(),
            written: Written::ALL.map(Written::name).to_vec(),
            commands: commands
                .map(|command| (command.get_name().to_owned(), options(command)))
                .collect(),
        })
    }
}

/// Run the command.
///
/// # Errors
/// A default model that cannot be read.
pub fn run(args: &CapabilitiesArgs, reporter: &mut Reporter) -> Result<()> {
    let found = Capabilities::of_this_program()?;
    let text = if args.json {
        serde_json::to_string_pretty(&found)
            .map_err(|error| Failure::failed(format!("capabilities: {error}")))?
    } else {
        format!(
            "unclouded {}\n  models: {}\n  methods: {}\n  qualities: {}\n  samplers: {}\n  commands: {}",
            found.version,
            found.models.join(", "),
            found.methods.join(", "),
            found
                .qualities
                .iter()
                .map(|one| one.name)
                .collect::<Vec<_>>()
                .join(", "),
            found.samplers.join(", "),
            found.commands.into_keys().collect::<Vec<_>>().join(", "),
        )
    };
    reporter.done(&text, Value::Null);
    Ok(())
}
