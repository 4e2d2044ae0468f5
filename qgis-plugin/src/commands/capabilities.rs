//! `unclouded capabilities`: what this program can do, for programs that start it.

use std::collections::BTreeMap;

use clap::CommandFactory;
use serde::Serialize;
use serde_json::Value;
use unclouded_core::diffusion::sampler::Sampler;
use unclouded_core::restore::{Method, Quality, Written};

use crate::cli::{CapabilitiesArgs, Cli};
use crate::failure::{Failure, Result};
use crate::models::registry;
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
    qualities: Vec<Effort>,
    /// What can be written of an ensemble.
    written: Vec<&'static str>,
    /// The options of each command with the values they may have; none where any may be given.
    commands: BTreeMap<String, BTreeMap<String, Vec<String>>>,
}

/// What a level of quality means.
#[derive(Debug, Clone, Serialize)]
struct Effort {
    name: &'static str,
    /// Steps and samples; none where the model's card says.
    steps: Option<usize>,
    samples: Option<usize>,
}

impl Effort {
    fn of(quality: Quality) -> Self {
        let fixed = quality.fixed_effort();
        Self {
            name: quality.name(),
            steps: fixed.map(|(steps, _)| steps),
            samples: fixed.map(|(_, samples)| samples),
        }
    }
}

impl Capabilities {
    /// Of this program.
    pub fn of_this_program() -> Self {
        let program = Cli::command();
        let commands = program.get_subcommands();
        Self {
            format: FORMAT,
            version: env!("CARGO_PKG_VERSION"),
            protocol: PROTOCOL,
            models: registry::names(),
            samplers: Sampler::ALL.map(Sampler::name).to_vec(),
            methods: Method::ALL.map(Method::name).to_vec(),
            qualities: Quality::ALL.map(Effort::of).to_vec(),
            written: Written::ALL.map(Written::name).to_vec(),
            commands: commands
                .map(|command| (command.get_name().to_owned(), options(command)))
                .collect(),
        }
    }
}

/// Run the command.
///
/// # Errors
/// None in practice: the object can always be written.
pub fn run(args: &CapabilitiesArgs, reporter: &mut Reporter) -> Result<()> {
    let found = Capabilities::of_this_program();
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
