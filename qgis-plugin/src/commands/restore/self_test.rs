//! What the error would have been on this scene, by method; and which method fills it.

use std::path::Path;

use serde_json::json;
use unclouded_core::model::Model;
use unclouded_core::restore::{self as core, Method, SelfTest, Tested};

use super::Job;
use crate::failure::{Failure, Result};
use crate::gdal_io::pending::PendingFile;
use crate::gdal_io::source::GdalSource;
use crate::progress::Reporter;

/// Tests the methods where there is something to choose from or the table is asked for, and lets
/// the best of them fill where none was named.
///
/// # Errors
/// Exit 2 if the scene cannot be read, exit 1 when the work fails, 130 when it is interrupted.
pub fn run(
    job: &mut Job,
    model: &Model,
    asked: bool,
    reporter: &Reporter,
) -> Result<Option<SelfTest>> {
    let open = job.settings.dates.is_none() && job.settings.method == Some(Method::Direct);
    let choose = open && job.references.len() > 1;
    if job.mask.is_clear() || !(choose || asked) {
        return Ok(None);
    }
    let mut source = GdalSource::new(&job.scene, &job.mask).with_references(&job.references);
    let test = core::self_test(&mut source, model, &job.settings, asked)?;
    let Some(test) = test else {
        reporter.info("self-test: the mask leaves too little ground to hide under it");
        return Ok(None);
    };
    if choose {
        let choice = test.choice();
        reporter.info(format!("other dates: filled by {choice}"));
        job.settings.dates = Some(choice);
    }
    Ok(Some(test))
}

/// The test as a table: what it would have been, in the units of the scene.
pub fn table(test: &SelfTest, restored: &[usize]) -> String {
    let mut text = format!(
        "self-test: {} visible pixels hidden under the scene's own mask, moved, and filled from the rest\n\
         {:<14}{:>14}{:>14}{:>14}",
        test.pixels, "method", "RMSE, model", "RMSE, others", "unexplained"
    );
    for tested in &test.methods {
        let Tested {
            method,
            rmse,
            unexplained,
            ..
        } = tested;
        let over = |of_model: bool| {
            let bands = (0..rmse.len()).filter(|band| restored.contains(band) == of_model);
            let squares: Vec<f64> = bands.map(|band| rmse[band].powi(2)).collect();
            match squares.len() {
                0 => "-".to_owned(),
                n => significant((squares.iter().sum::<f64>() / n as f64).sqrt()),
            }
        };
        let others = restored.len() < rmse.len();
        let share = match others {
            true => (unexplained.0 + unexplained.1) / 2.0,
            false => unexplained.0,
        };
        text += &format!(
            "\n{method:<14}{:>14}{:>14}{:>13.1}%",
            over(true),
            over(false),
            100.0 * share
        );
    }
    text
}

/// Four significant digits, whatever the unit.
fn significant(value: f64) -> String {
    let digits = 3 - value.abs().max(1e-9).log10().floor() as i32;
    format!("{value:.*}", digits.clamp(0, 9) as usize)
}

/// Writes the test as JSON.
///
/// # Errors
/// Exit 1 if it cannot be written.
pub fn write(path: &Path, test: &SelfTest) -> Result<()> {
    let file = PendingFile::new(path, true)?;
    std::fs::write(file.path(), format!("{:#}\n", json!(test)))
        .map_err(|error| Failure::failed(format!("cannot write {} ({error})", path.display())))?;
    file.commit()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_has_a_line_for_each_method_in_any_unit() {
        let tested = |method: &str, error: f64| Tested {
            method: method.into(),
            rmse: vec![error, 3.0 * error],
            unexplained: (0.25, 0.75),
            missed: (0.5, 0.8),
        };
        let test = SelfTest {
            pixels: 7,
            methods: vec![tested("regression", 123.456), tested("copy", 0.00123)],
        };
        let text = table(&test, &[0]);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 4, "{text}");
        assert!(
            lines[2].contains("123.5") && lines[2].contains("370.4") && lines[2].ends_with("50.0%")
        );
        assert!(lines[3].contains("0.00123"), "{text}");
        // All bands are the model's.
        assert!(table(&test, &[0, 1]).contains(" - "));
    }
}
