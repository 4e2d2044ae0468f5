//! `unclouded series`: fill every date of a place from the others.

mod even;

use std::path::{Path, PathBuf};

use chrono::NaiveDate;
use serde_json::json;

use super::batch::list::{self, Entry};
use super::batch::{self, Request};
use super::{mask, references};
use crate::cli::{MaskArgs, RestoreArgs, SeriesArgs};
use crate::failure::{Failure, Result};
use crate::gdal_io::date;
use crate::gdal_io::encoding::OffsetChoice;
use crate::gdal_io::mask::MaskReader;
use crate::gdal_io::mask::request::MaskRequest;
use crate::gdal_io::scene::Scene;
use crate::gdal_io::source::{GdalSource, strips};
use crate::gdal_io::stack::Stack;
use crate::interrupt;
use crate::progress::Reporter;

/// Where the masks go, in the folder of the outputs.
const MASKS: &str = "masks";
/// A date of which less than this share is seen is not filled.
const LEAST_SEEN: f64 = 0.01;
/// Where the dates at even intervals go.
const EVEN: &str = "even";

/// One date of a series.
pub struct Date {
    entry: Entry,
    taken: Option<NaiveDate>,
    /// Its clouds.
    mask: PathBuf,
    /// Its filled scene.
    filled: PathBuf,
}

/// Run the command.
///
/// # Errors
/// Exit 2 for arguments that cannot be worked with, 130 when interrupted, and exit 1 if a date
/// could not be filled, after all others were.
pub fn run(args: &SeriesArgs, reporter: &mut Reporter) -> Result<()> {
    let base = args.restore();
    let entries = entries(args, &base)?;
    if entries.len() < 2 {
        return Err(
            Failure::mismatch("series", "at least two dates", entries.len())
                .hint("one scene is filled by: unclouded restore SCENE -o OUT.tif"),
        );
    }
    // They exist as long as they are held.
    let mut stacks = Vec::new();
    for entry in entries.iter().filter(|entry| !entry.bands.is_empty()) {
        let bands = entry.bands.iter().map(|band| (&*band.path, &*band.name));
        stacks.push(Stack::new(&entry.scene, &bands.collect::<Vec<_>>())?);
    }
    let dates = dates(entries, args)?;
    let days = even::days(args, &dates)?;
    make(&args.output.join(MASKS))?;
    reporter.start("series", json!({"scenes": dates.len()}));
    for (number, date) in (1..).zip(&dates) {
        find_clouds(date, args, (number, dates.len()), reporter)?;
    }
    // A date of which nothing is seen tells nothing, and there is nothing to fit to.
    let mut seen = Vec::new();
    for date in &dates {
        match shows_ground(date)? {
            true => seen.push(date),
            false => reporter.warning(format!(
                "{} is clouded as a whole: it is not filled, and fills no other date",
                date.entry.scene.display()
            )),
        }
    }
    let requests = seen.iter().map(|date| request(date, &seen, &base, args));
    let filled = batch::each(&requests.collect::<Vec<_>>(), reporter)?;
    let even = match days.is_empty() {
        true => None,
        false => Some(even::write(
            &days,
            &dates,
            &args.output.join(EVEN),
            args,
            reporter,
        )?),
    };
    let more = even.map(|stack| (stack.words(), json!({"even": stack.files})));
    filled.finish(more, reporter)
}

/// The dates that are named: by files, folders and patterns, or by lists.
fn entries(args: &SeriesArgs, base: &RestoreArgs) -> Result<Vec<Entry>> {
    let is_list = |path: &&PathBuf| {
        let ending = path.extension().unwrap_or_default().to_string_lossy();
        path.is_file() && ["csv", "json", "geojson"].contains(&ending.to_lowercase().as_str())
    };
    let mut entries = Vec::new();
    let mut files = Vec::new();
    for named in &args.scenes {
        match is_list(&named) {
            true => entries.extend(list::read(named, base)?),
            false => files.push(named.clone()),
        }
    }
    if !files.is_empty() {
        let files = references::expand("series", &files)?;
        entries.extend(files.iter().map(|file| Entry::of(file)));
    }
    Ok(entries)
}

/// Where the files of each date go, in the order of time.
fn dates(entries: Vec<Entry>, args: &SeriesArgs) -> Result<Vec<Date>> {
    let mut dates: Vec<Date> = Vec::new();
    for entry in entries {
        let scene = Scene::open(&entry.scene, "scene")?;
        let name = entry.name();
        let taken = entry
            .date
            .or_else(|| date::of(&entry.scene, &scene.dataset));
        let taken = taken.or_else(|| date::in_text(&name));
        let filled = args.output.join(format!("{name}.tif"));
        if let Some(other) = dates.iter().find(|other| other.filled == filled) {
            return Err(Failure::mismatch(
                format!("output of {}", entry.scene.display()),
                "a name of its own",
                format!(
                    "{}, that of {}",
                    filled.display(),
                    other.entry.scene.display()
                ),
            )
            .hint("outputs have the names of the dates: rename one"));
        }
        dates.push(Date {
            taken,
            mask: match &entry.mask {
                Some(mask) => mask.clone(),
                None => args.output.join(MASKS).join(format!("{name}.tif")),
            },
            filled,
            entry,
        });
    }
    dates.sort_by(|a, b| (a.taken, &a.entry.scene).cmp(&(b.taken, &b.entry.scene)));
    Ok(dates)
}

/// Writes the mask of a date unless it is there.
fn find_clouds(
    date: &Date,
    args: &SeriesArgs,
    (number, of): (usize, usize),
    reporter: &mut Reporter,
) -> Result<()> {
    if date.entry.mask.is_some() || date.mask.exists() {
        return Ok(());
    }
    let request = MaskArgs {
        scene: date.entry.scene.clone(),
        output: date.mask.clone(),
        from: Some(args.mask_from),
        mask: None,
        mask_values: Vec::new(),
        dilate_px: args.dilate_px,
        dilate_m: args.dilate_m,
        min_area_px: 0,
        classes: false,
        offset: OffsetChoice::default(),
        overwrite: false,
        progress: args.run.progress,
    };
    reporter.enter(number, of, &date.entry.scene);
    let outcome = mask::run(&request, reporter);
    if let Err(failure) = &outcome {
        reporter.error(failure);
    }
    reporter.leave();
    outcome
}

/// Whether enough of a date is seen to fill the rest of it.
fn shows_ground(date: &Date) -> Result<bool> {
    let scene = Scene::open(&date.entry.scene, "scene")?;
    let request = MaskRequest {
        path: Some(date.mask.clone()),
        ..MaskRequest::default()
    };
    let mask = MaskReader::prepare(&request, &scene, &mut |_| ())?;
    let source = GdalSource::new(&scene, &mask);
    let (mut valid, mut seen) = (0, 0);
    for window in strips(scene.info.height, scene.info.width) {
        interrupt::check()?;
        let marked = mask.read(window)?;
        let data = source.validity(window, &marked)?;
        valid += data.count();
        seen += data.and_not(&marked).count();
    }
    Ok(seen as f64 >= LEAST_SEEN * valid as f64 && seen > 0)
}

/// The fill of a date from the observed pixels of the others.
fn request(date: &Date, dates: &[&Date], base: &RestoreArgs, args: &SeriesArgs) -> Request {
    let others = || dates.iter().filter(|other| other.filled != date.filled);
    let beside = |word: &str, wanted: bool| {
        let name = format!("{}_{word}.tif", date.entry.name());
        wanted.then(|| args.output.join(name))
    };
    Request::of(RestoreArgs {
        scenes: vec![date.entry.scene.clone()],
        output: Some(date.filled.clone()),
        mask: Some(date.mask.clone()),
        reference: others().map(|other| other.entry.scene.clone()).collect(),
        reference_mask: others().map(|other| other.mask.clone()).collect(),
        date: date.taken,
        uncertainty: beside("uncertainty", args.uncertainty),
        provenance: beside("provenance", args.provenance),
        ..base.clone()
    })
}

fn make(folder: &Path) -> Result<()> {
    std::fs::create_dir_all(folder).map_err(|error| {
        Failure::failed(format!(
            "cannot make the folder {} ({error})",
            folder.display()
        ))
    })
}
