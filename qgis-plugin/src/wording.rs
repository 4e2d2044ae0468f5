//! The command line's words for what the core only names, and sentences in pieces for faces that call
//! our options by other names.

use std::collections::BTreeMap;
use std::sync::OnceLock;

use clap::{Command, CommandFactory};
use serde::Serialize;
use unclouded_core::{Hint, Key};

use crate::cli::Cli;

/// What a user types for a setting, or its name where there is no option for it.
pub fn setting(key: Key) -> &'static str {
    match key {
        Key::Init => "--init",
        Key::Method => "--method",
        Key::Model => "--model",
        Key::ModelBands => "--bands",
        Key::OverlapPx => "--overlap-px",
        Key::Quality => "--quality",
        Key::Sampler => "--sampler",
        Key::Samples => "--samples",
        Key::Steps => "--steps",
        Key::Strength => "--strength",
        Key::TilePx => "--tile-px",
        Key::Write => "--write",
        other => other.name(),
    }
}

/// What to do about an error, with the options and commands of this face.
pub fn hint(hint: Hint) -> String {
    match hint {
        Hint::LeaveOut(key) => format!(
            "leave {} out to take what the model was made for",
            setting(key)
        ),
        Hint::Nearest(key, value) => format!("the nearest it may be: {} {value}", setting(key)),
        Hint::UseCpu => "try --device cpu".into(),
        Hint::NameBands => {
            "name one scene band for each band of the model, e.g. --bands 3,2,1".into()
        }
        Hint::Restore => "this model fills holes in scenes: use `unclouded restore`".into(),
        Hint::Generate => "use `unclouded generate` with it, or `unclouded convert`".into(),
        Hint::GenerateFromDegraded => {
            "give it a degraded image: unclouded generate MODEL --init IMAGE".into()
        }
        Hint::Evaluate => "such a model draws whole images anew: see `unclouded evaluate`".into(),
        Hint::Train => "only checkpoints written by `unclouded train` have one".into(),
        other => other.to_string(),
    }
}

/// A piece of a sentence, for a face that calls the options of this program by other names.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum Part {
    /// As it stands.
    Text {
        /// The words.
        text: String,
    },
    /// An option, and the value it is named with where it has a few to choose from.
    Option {
        /// With its dashes.
        option: String,
        /// E.g. `auto` in `--mask-from auto`.
        value: Option<String>,
    },
}

/// A sentence in pieces.
pub fn parts(sentence: &str) -> Vec<Part> {
    let options = every_option();
    let mut parts = Vec::new();
    let mut plain = String::new();
    let mut rest = sentence;
    while let Some(at) = rest.find("--") {
        let (before, from) = rest.split_at(at);
        plain += before;
        let named = |c: char| c.is_ascii_lowercase() || c == '-';
        let end = from[2..]
            .find(|c| !named(c))
            .map_or(from.len(), |end| end + 2);
        let (word, after) = from.split_at(end);
        let option = word.trim_end_matches('-');
        let (true, Some(values)) = (!plain.ends_with(char::is_alphanumeric), options.get(option))
        else {
            plain += word;
            rest = after;
            continue;
        };
        let after = &from[option.len()..];
        let value = after.strip_prefix([' ', '=']).and_then(|after| {
            let ends = |c: char| !(c.is_ascii_alphanumeric() || c == '-');
            let value = after.split(ends).next()?;
            values.iter().any(|known| known == value).then_some(value)
        });
        if !plain.is_empty() {
            let text = std::mem::take(&mut plain);
            parts.push(Part::Text { text });
        }
        parts.push(Part::Option {
            option: option.to_owned(),
            value: value.map(str::to_owned),
        });
        rest = &after[value.map_or(0, |value| value.len() + 1)..];
    }
    plain += rest;
    parts.extend((!plain.is_empty()).then_some(Part::Text { text: plain }));
    parts
}

/// Every long option of every command with the values it may have.
fn every_option() -> &'static BTreeMap<String, Vec<String>> {
    static OPTIONS: OnceLock<BTreeMap<String, Vec<String>>> = OnceLock::new();
    OPTIONS.get_or_init(|| {
        let program = Cli::command();
        program.get_subcommands().flat_map(options).collect()
    })
}

/// The long options of a command and the values each may have.
pub fn options(command: &Command) -> BTreeMap<String, Vec<String>> {
    let option = |argument: &clap::Arg| {
        // A switch has no value to name.
        let values = match argument.get_action().takes_values() {
            true => argument.get_possible_values(),
            false => Vec::new(),
        };
        let values = values.iter().map(|value| value.get_name().to_owned());
        Some((format!("--{}", argument.get_long()?), values.collect()))
    };
    command.get_arguments().filter_map(option).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sentences_come_in_pieces() {
        let text = |text: &str| Part::Text { text: text.into() };
        let option = |option: &str, value: Option<&str>| Part::Option {
            option: option.into(),
            value: value.map(str::to_owned),
        };
        assert_eq!(
            parts("--mask-values: expected 0 -- 255, got x--mask; see --mask-from auto, --no-such"),
            [
                option("--mask-values", None),
                text(": expected 0 -- 255, got x--mask; see "),
                option("--mask-from", Some("auto")),
                text(", --no-such"),
            ]
        );
        assert_eq!(parts("nothing"), [text("nothing")]);
        assert!(parts("").is_empty());
    }

    /// Every option named here is one of some command.
    #[test]
    fn the_options_exist() {
        let keys = [
            Key::Init,
            Key::Method,
            Key::Model,
            Key::ModelBands,
            Key::OverlapPx,
            Key::Quality,
            Key::Sampler,
            Key::Samples,
            Key::Steps,
            Key::Strength,
            Key::TilePx,
            Key::Write,
        ];
        let program = Cli::command();
        let known: Vec<&str> = program
            .get_subcommands()
            .flat_map(|command| command.get_arguments().filter_map(|arg| arg.get_long()))
            .collect();
        for key in keys {
            let option = setting(key).strip_prefix("--").expect("an option");
            assert!(known.contains(&option), "--{option}");
        }
    }
}
