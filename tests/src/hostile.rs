//! Everything of ours that parses bytes of unknown origin, one function a kind: what
//! `tests/fuzz` throws random bytes at, and `tests/tests/corpus.rs` what was found that way.
//!
//! Each takes any bytes, never panics, and allocates at most [`FACTOR`] times their number and
//! [`CONSTANT`]. GDAL's, zlib's and the image formats' own parsers are not ours.

use std::collections::HashMap;
use std::hint::black_box;
use std::path::Path;

use burn::tensor::Device;
use clap::Parser;
use unclouded::cli::{Cli, Command};
use unclouded::commands::batch::list::{self, Entry};
use unclouded::commands::settings::{RestorePaths, wish};
use unclouded::gdal_io::encoding;
use unclouded::gdal_io::mask::rule::Rule;
use unclouded::npy;
use unclouded::recipe::TrainConfig;
use unclouded::training::report;
use unclouded_core::model::{Model, ModelCard};
use unclouded_core::network::params::{self, Arrays, Storage};

/// Bytes that may be allocated at once for each byte of input.
pub const FACTOR: usize = 64;
/// Bytes that may be allocated whatever the input: a network without weights, clap's tables.
pub const CONSTANT: usize = 8 << 20;

/// A parser and the name of its folder of inputs.
pub type Target = (&'static str, fn(&[u8]));

/// All of them.
pub const TARGETS: [Target; 9] = [
    ("checkpoint", checkpoint),
    ("model_card", model_card),
    ("recipe", recipe),
    ("mask_stack", mask_stack),
    ("arguments", arguments),
    ("training_log", training_log),
    ("product_metadata", product_metadata),
    ("batch_csv", batch_csv),
    ("batch_stac", batch_stac),
];

/// A checkpoint file: header, card, weights, network.
pub fn checkpoint(bytes: &[u8]) {
    let card = ModelCard::read(bytes);
    let model = Model::load(bytes, &Device::flex());
    assert!(card.is_ok() || model.is_err(), "a model without a card");
    let _ = black_box((card, model));
}

/// The text of a model card in a checkpoint without weights.
pub fn model_card(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    let metadata = HashMap::from([("unclouded.model_card".to_owned(), text.to_owned())]);
    let Ok(file) = params::to_bytes(&Arrays::new(), metadata, Storage::F16) else {
        return;
    };
    if let Ok(card) = ModelCard::read(&file) {
        // What a card says is believed from here on, so a network of it can be built.
        let config = card.architecture.unet().expect("our own");
        config.init(&Device::flex()).expect("a valid architecture");
    }
}

/// A training recipe.
pub fn recipe(bytes: &[u8]) {
    if let Ok(text) = std::str::from_utf8(bytes) {
        let _ = black_box(TrainConfig::parse(text, Path::new("/nowhere")));
    }
}

/// A stack of masks.
pub fn mask_stack(bytes: &[u8]) {
    if let Ok(stack) = npy::Stack::parse(bytes) {
        let pixels: usize = stack.frames().map(<[u8]>::len).sum();
        assert_eq!(pixels, stack.values.len());
        assert!(pixels > 0 && pixels < bytes.len());
    }
}

/// A command line, one word a line: mask values, extents, offsets, bands, numbers.
pub fn arguments(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    let words = std::iter::once("unclouded").chain(text.lines());
    let Ok(cli) = Cli::try_parse_from(words) else {
        return;
    };
    match cli.command {
        Command::Restore(args) => {
            let _ = black_box(RestorePaths::check(&args));
            for rule in [
                Ok(Rule::values(&args.mask_values)),
                Rule::scl(&args.mask_values),
            ]
            .into_iter()
            .flatten()
            {
                for value in &args.mask_values {
                    assert!(value.is_nan() || rule.marks(*value));
                }
                black_box((rule.expected(), rule.hint()));
            }
        }
        Command::Evaluate(args) => {
            let _ = black_box(wish(&args.run, 1));
        }
        _ => {}
    }
}

/// The CSV log of a training run that is resumed.
pub fn training_log(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let rows = report::rows_until(&text, 1000);
    assert!(rows.iter().all(|row| row.step <= 1000));
    assert!(rows.len() <= text.lines().count());
}

/// The XML metadata of a Sentinel-2 product.
pub fn product_metadata(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    for name in ["RADIO_ADD_OFFSET", "BOA_ADD_OFFSET", "x"] {
        let values = encoding::elements(&text, name);
        assert!(values.len() <= bytes.len());
    }
}

/// A list of scenes as CSV.
pub fn batch_csv(bytes: &[u8]) {
    if let Ok(text) = std::str::from_utf8(bytes)
        && let Ok(entries) = list::csv(text, Path::new(""))
    {
        check_entries(&entries, text);
        assert!(entries.iter().all(|entry| entry.bands.is_empty()));
    }
}

/// A list of scenes as STAC items; with assets named and without.
pub fn batch_stac(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    let named = ["data", "B02+B03+B04", "visual"].map(str::to_owned);
    let masks = ["scl".to_owned()];
    for assets in [&named[..], &[]] {
        let Ok(entries) = list::stac(text, Path::new(""), assets, &masks) else {
            continue;
        };
        check_entries(&entries, text);
        for entry in &entries {
            assert_ne!(entry.bands.len(), 1, "a stack of one");
            let names = entry.bands.iter().map(|band| &band.name);
            assert!(names.clone().all(|name| !name.contains(char::is_control)));
        }
    }
}

/// There are scenes, no more than the text has room for, and their outputs stay in one folder.
fn check_entries(entries: &[Entry], text: &str) {
    assert!(!entries.is_empty() && entries.len() <= text.len());
    for entry in entries {
        assert!(!entry.scene.as_os_str().is_empty());
        assert!(!entry.name().contains('/'), "{}", entry.name());
    }
}
