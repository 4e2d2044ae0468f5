//! A stack of dates at even intervals, linear in time between the filled dates.

use std::path::{Path, PathBuf};

use chrono::{Days, NaiveDate};

use super::{Date, make};
use crate::cli::SeriesArgs;
use crate::failure::{Failure, Result};
use crate::gdal_io::between::{self, Between};
use crate::gdal_io::format::Format;
use crate::gdal_io::scene::Scene;
use crate::progress::Reporter;

/// More dates than this are a typing error.
const MOST_DATES: usize = 10_000;

/// What was written.
pub struct Stack {
    /// The files, in the order of time.
    pub files: Vec<PathBuf>,
    /// How many of them are of a day that was observed.
    observed: usize,
    folder: PathBuf,
}

impl Stack {
    /// For people.
    pub fn words(&self) -> String {
        format!(
            "{}: {} dates, {} of them observed, the others interpolated",
            self.folder.display(),
            self.files.len(),
            self.observed
        )
    }
}

/// The days of the stack that is asked for; none where none is.
///
/// # Errors
/// Exit 2 for a date of the series without a time, days in a wrong order, and too many of them.
pub fn days(args: &SeriesArgs, dates: &[Date]) -> Result<Vec<NaiveDate>> {
    let Some(every) = args.every else {
        return Ok(Vec::new());
    };
    if let Some(date) = dates.iter().find(|date| date.taken.is_none()) {
        return Err(Failure::mismatch(
            "--every",
            "dates in the names or metadata of all scenes",
            format!("none in {}", date.entry.scene.display()),
        )
        .hint("name it so (NAME_2018-06-25.tif), or give a CSV with a column date"));
    }
    let taken = || dates.iter().filter_map(|date| date.taken);
    let (Some(first), Some(last)) = (taken().min(), taken().max()) else {
        return Ok(Vec::new());
    };
    let (from, to) = (args.from.unwrap_or(first), args.to.unwrap_or(last));
    if from > to {
        return Err(
            Failure::mismatch("--from", format!("a day before {to}"), from)
                .hint("--from is the first day of the stack and --to its last"),
        );
    }
    let next = |day: &NaiveDate| day.checked_add_days(Days::new(every.into()));
    let days: Vec<NaiveDate> = std::iter::successors(Some(from), next)
        .take_while(|day| *day <= to)
        .take(MOST_DATES + 1)
        .collect();
    match days.len() > MOST_DATES {
        false => Ok(days),
        true => Err(
            Failure::mismatch("--every", format!("at most {MOST_DATES} dates"), "more")
                .hint("give a longer interval, or --from and --to"),
        ),
    }
}

/// Writes the stack from the filled dates that are there.
///
/// # Errors
/// Exit 2 if these are on several grids, exit 1 if a file cannot be written, 130 when interrupted.
pub fn write(
    days: &[NaiveDate],
    dates: &[Date],
    folder: &Path,
    args: &SeriesArgs,
    reporter: &mut Reporter,
) -> Result<Stack> {
    make(folder)?;
    let mut filled: Vec<(NaiveDate, &Path)> = dates
        .iter()
        .filter(|date| date.filled.exists())
        .filter_map(|date| Some((date.taken?, date.filled.as_path())))
        .collect();
    filled.sort();
    let (Some(first), Some(last)) = (filled.first(), filled.last()) else {
        return Err(Failure::failed(
            "no date was filled: there is nothing to interpolate",
        ));
    };
    let outside = days
        .iter()
        .filter(|day| **day < first.0 || **day > last.0)
        .count();
    if outside > 0 {
        reporter.warning(format!(
            "{outside} days are before {} or after {}, where nothing was observed: they are the nearest date",
            first.0, last.0
        ));
    }
    reporter.stage("even dates", days.len() as u64);
    let mut stack = Stack {
        files: Vec::with_capacity(days.len()),
        observed: 0,
        folder: folder.to_owned(),
    };
    for (done, day) in days.iter().enumerate() {
        let after = filled
            .iter()
            .find(|(taken, _)| taken >= day)
            .unwrap_or(last);
        let before = filled
            .iter()
            .rev()
            .find(|(taken, _)| taken <= day)
            .unwrap_or(first);
        stack.observed += usize::from(before.0 == *day);
        let span = (after.0 - before.0).num_days();
        let weight = match span > 0 {
            true => (*day - before.0).num_days() as f64 / span as f64,
            false => 0.0,
        };
        let target = folder.join(format!("{day}.tif"));
        // What it is made from may have changed: it is quick to make.
        between::write(
            &target,
            &Between {
                before: &Scene::open(before.1, "filled date")?,
                after: &Scene::open(after.1, "filled date")?,
                weight,
                day: *day,
                days: (before.0, after.0),
            },
            &Format {
                compress: args.compress,
                ..Format::default()
            },
        )?;
        stack.files.push(target);
        reporter.advance(done as u64 + 1);
    }
    Ok(stack)
}
