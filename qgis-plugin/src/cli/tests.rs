//! The parser's own tests.

use super::*;
use crate::device::DeviceChoice;
use clap::CommandFactory;

#[test]
fn the_parser_is_sound() {
    Cli::command().debug_assert();
}

#[test]
fn lists_and_defaults_are_read() {
    let cli = Cli::try_parse_from([
        "unclouded",
        "restore",
        "a.tif",
        "-o",
        "b.tif",
        "--mask",
        "m.tif",
        "--mask-values",
        "3,8,9",
        "--bands",
        "3,2,1",
        "--device",
        "gpu:1",
    ]);
    let Ok(Cli {
        command: Command::Restore(args),
    }) = cli
    else {
        panic!("restore is not understood: {cli:?}");
    };
    assert_eq!(args.mask_values, [3.0, 8.0, 9.0]);
    assert_eq!(args.bands.as_deref(), Some(&[3, 2, 1][..]));
    assert_eq!(args.run.device, DeviceChoice::Gpu(Some(1)));
    assert_eq!((args.run.seed, args.dilate_px), (0, None));
}

#[test]
fn wrong_words_are_usage_errors() {
    for words in [
        &["unclouded", "restore", "a.tif"][..],
        &[
            "unclouded",
            "restore",
            "a.tif",
            "-o",
            "b.tif",
            "--device",
            "tpu",
        ],
        &[
            "unclouded",
            "restore",
            "a.tif",
            "-o",
            "b.tif",
            "--steps",
            "-1",
        ],
        &[
            "unclouded",
            "restore",
            "a.tif",
            "-o",
            "b.tif",
            "--progress",
            "loud",
        ],
    ] {
        let error = Cli::try_parse_from(words.iter().copied());
        assert!(
            error.is_err_and(|error| error.exit_code() == 2),
            "{words:?}"
        );
    }
}
