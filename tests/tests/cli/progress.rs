//! `--progress json`: one JSON object a line on stdout, logs on stderr; `none` draws nothing.

use serde_json::Value;

use crate::fixtures::Spec;
use crate::run::{Bench, json_lines};

/// The `type` of every line; every line is an object that has one.
fn types(lines: &[Value]) -> Vec<&str> {
    lines
        .iter()
        .map(|line| line["type"].as_str().expect("a type"))
        .collect()
}

#[test]
fn json_lines_parse_and_advance() {
    let bench = Bench::new(&Spec::new().size(150, 110));
    let settings = [
        "--progress",
        "json",
        "--tile-px",
        "64",
        "--overlap-px",
        "16",
    ];
    let run = bench.restored("out.tif", &settings).ok();
    let lines = json_lines(&run.stdout);
    let types = types(&lines);
    assert_eq!(
        (types.first(), types.last()),
        (Some(&"start"), Some(&"done")),
        "{run:#?}"
    );
    assert!(types.contains(&"progress"), "{run:#?}");

    // Within a stage the fraction never falls, and every stage reaches its end.
    let mut last: Option<(String, f64)> = None;
    for line in lines.iter().filter(|line| line["type"] == "progress") {
        let stage = line["stage"].as_str().unwrap().to_owned();
        let fraction = line["fraction"].as_f64().unwrap();
        assert!((0.0..=1.0).contains(&fraction), "{line}");
        match &last {
            Some((before, fell)) if *before == stage => assert!(fraction >= *fell, "{line}"),
            Some((before, end)) => assert_eq!(*end, 1.0, "stage {before} did not end"),
            None => {}
        }
        last = Some((stage, fraction));
    }
    assert_eq!(last.map(|(_, end)| end), Some(1.0));
}

#[test]
fn json_reports_failure_too() {
    let bench = Bench::new(&Spec::new());
    let run = bench.restored("out.tif", &["--progress", "json", "--mask-values", "77"]);
    assert_eq!(run.code, Some(2), "{run:#?}");
    let lines = json_lines(&run.stdout);
    let error = lines.last().expect("a line");
    assert_eq!(
        (&error["type"], &error["exit"]),
        (&Value::from("error"), &Value::from(2))
    );
    assert!(
        error["message"].is_string() && error["hint"].is_string(),
        "{error}"
    );
}

#[test]
fn none_draws_nothing() {
    let bench = Bench::new(&Spec::new());
    let run = bench.restored("out.tif", &["--progress", "none"]).ok();
    assert!(
        !run.stderr.contains('\r') && !run.stdout.contains('\r'),
        "a bar: {run:#?}"
    );
}
