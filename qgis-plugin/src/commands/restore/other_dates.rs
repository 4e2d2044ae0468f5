//! Which images of other dates help to fill the holes of a scene, and what the user should know
//! of them.

use std::path::Path;

use chrono::NaiveDate;

use crate::cli::RestoreArgs;
use crate::commands::settings::RestorePaths;
use crate::failure::{Exit, Failure, Result};
use crate::gdal_io::date;
use crate::gdal_io::mask::MaskReader;
use crate::gdal_io::mask::request::{MaskFrom, MaskRequest, Whose};
use crate::gdal_io::reference::{ReferenceReader, Shown};
use crate::gdal_io::scene::Scene;
use crate::progress::Reporter;

/// Days from the scene to an image, where they are known, its file, and what was said of its clouds.
type Dated<'a> = (Option<i32>, &'a Path, Option<&'a MaskRequest>);

/// The images of other dates that tell something of the holes. Those that are nearest in time are
/// looked at first (in the order of their names where no date is known), until there are enough.
///
/// # Errors
/// Exit 2 if one cannot be read, and if the only one is the scene itself or shows nothing; of
/// several such ones are left out with a word. 130 when interrupted.
pub fn find(
    args: &RestoreArgs,
    paths: &RestorePaths,
    (scene, mask): (&Scene, &MaskReader),
    reporter: &Reporter,
) -> Result<Vec<ReferenceReader>> {
    if let [(path, clouds)] = &paths.references[..] {
        let days = own_date(args, paths, scene)
            .zip(date_of(path))
            .and_then(days_between);
        let reference = ReferenceReader::open(path, clouds.as_ref(), scene)?.taken(days);
        for note in reference.notes() {
            reporter.info(note);
        }
        return Ok(Vec::from_iter(useful(reference, scene, mask, reporter)?));
    }
    let most = usize::from(args.max_references);
    let mut found: Vec<ReferenceReader> = Vec::new();
    let mut unasked = 0;
    for (days, path, clouds) in in_time(args, paths, scene, reporter) {
        if found.len() == most {
            unasked += 1;
            continue;
        }
        let reference = open_one(path, clouds, scene)?.taken(days);
        match useful_of_several(reference, scene, mask, reporter) {
            Ok(reference) => found.extend(reference),
            Err(failure) if failure.exit == Exit::Interrupted => return Err(failure),
            Err(failure) => {
                reporter.warning(format!("left out: {}", failure.message));
            }
        }
    }
    if !paths.references.is_empty() {
        let more = match unasked {
            0 => String::new(),
            more => format!(", {more} more are farther away in time (--max-references)"),
        };
        reporter.info(format!(
            "other dates: {} of {} show ground under the mask{more}",
            found.len(),
            paths.references.len()
        ));
    }
    // Whatever the order they were named in.
    found.sort_by(|a, b| a.path().cmp(b.path()));
    Ok(found)
}

/// A reference with the clouds that were named; else with those that are found in it.
fn open_one(path: &Path, clouds: Option<&MaskRequest>, scene: &Scene) -> Result<ReferenceReader> {
    if clouds.is_some() {
        return ReferenceReader::open(path, clouds, scene);
    }
    let look = MaskRequest {
        whose: Whose::Reference,
        from: Some(MaskFrom::Auto),
        ..MaskRequest::default()
    };
    match ReferenceReader::open(path, Some(&look), scene) {
        Err(failure) if failure.exit == Exit::Interrupted => Err(failure),
        // Bands in which no cloud can be told, radar for instance.
        Err(_) => ReferenceReader::open(path, None, scene),
        found => found,
    }
}

/// The references within the bounds of time, the nearest first; the scene itself is none.
fn in_time<'a>(
    args: &RestoreArgs,
    paths: &'a RestorePaths,
    scene: &Scene,
    reporter: &Reporter,
) -> Vec<Dated<'a>> {
    let own = own_date(args, paths, scene);
    let bounded = args.max_days.is_some() || args.no_future;
    if own.is_none() && bounded && !paths.references.is_empty() {
        reporter.warning(
            "the scene has no date in its name or metadata, so --max-days and --no-future have no effect: --date says it",
        );
    }
    let same = |path: &Path| match (path.canonicalize(), paths.scene.canonicalize()) {
        (Ok(path), Ok(scene)) => path == scene,
        _ => path == paths.scene,
    };
    let mut kept = Vec::new();
    let (mut undated, mut outside) = (0, 0);
    for (path, clouds) in paths.references.iter().filter(|(path, _)| !same(path)) {
        let taken = date_of(path);
        let days = own.zip(taken).and_then(days_between);
        undated += usize::from(days.is_none());
        let late = args.no_future && days.is_some_and(|days| days > 0);
        let far = days
            .zip(args.max_days)
            .is_some_and(|(days, most)| days.unsigned_abs() > most);
        match late || far {
            true => outside += 1,
            false => kept.push((days, path.as_path(), clouds.as_ref())),
        }
    }
    if outside > 0 {
        reporter.info(format!(
            "other dates: {outside} outside the bounds of time are left out"
        ));
    }
    if undated > 0 && own.is_some() && bounded {
        reporter.warning(format!(
            "{undated} references have no date in their names or metadata and are asked whenever they were taken"
        ));
    }
    let far = |days: Option<i32>| days.map_or(u32::MAX, i32::unsigned_abs);
    kept.sort_by(|a, b| (far(a.0), a.1).cmp(&(far(b.0), b.1)));
    kept
}

/// Days from one date to another, as far as they can be counted.
fn days_between((from, to): (NaiveDate, NaiveDate)) -> Option<i32> {
    i32::try_from((to - from).num_days()).ok()
}

/// When the scene was taken, as far as that is known.
fn own_date(args: &RestoreArgs, paths: &RestorePaths, scene: &Scene) -> Option<NaiveDate> {
    args.date.or_else(|| date::of(&paths.scene, &scene.dataset))
}

fn date_of(path: &Path) -> Option<NaiveDate> {
    match gdal::Dataset::open(path) {
        Ok(dataset) => date::of(path, &dataset),
        // The reader will say why.
        Err(_) => date::in_text(&path.to_string_lossy()),
    }
}

/// One of several, if it has anything to say about the holes.
fn useful_of_several(
    reference: ReferenceReader,
    scene: &Scene,
    mask: &MaskReader,
    reporter: &Reporter,
) -> Result<Option<ReferenceReader>> {
    let name = reference.path().display();
    match reference.shown(scene, mask)? {
        Shown::Holes => return Ok(Some(reference)),
        Shown::NoHole => reporter.info(format!("{name}: shows none of the pixels to fill")),
        Shown::NothingInCommon => {
            reporter.info(format!(
                "{name}: shows no ground that the scene shows as well"
            ));
        }
        Shown::SamePixels => reporter.warning(format!(
            "{name} has the very pixels of the scene wherever it is to be filled: it is left out"
        )),
    }
    Ok(None)
}

/// The only reference, if it has anything to say about the holes. Without it wide holes are filled
/// coarse to fine, which is better than following an image that is not there.
///
/// # Errors
/// Exit 2 if it is the scene itself, shows nothing or cannot be read; 130 when interrupted.
fn useful(
    reference: ReferenceReader,
    scene: &Scene,
    mask: &MaskReader,
    reporter: &Reporter,
) -> Result<Option<ReferenceReader>> {
    let why = match reference.shown(scene, mask)? {
        Shown::Holes => {
            say_clouded(&reference, mask, reporter)?;
            return Ok(Some(reference));
        }
        Shown::NoHole => "shows the ground at none of the pixels to fill",
        Shown::NothingInCommon => "shows no ground that the scene shows as well",
        Shown::SamePixels => {
            return Err(Failure::mismatch(
                format!("reference {}", reference.path().display()),
                "an image of another date",
                "the very pixels of the scene wherever it is to be filled",
            )
            .hint(
                "it would paint the clouds back; choose another date, or leave out --reference",
            ));
        }
    };
    reporter.warning(format!(
        "the reference {} {why}: it adds nothing and is left out",
        reference.path().display()
    ));
    Ok(None)
}

/// Clouds of the reference where the scene is to be filled: filled without it if they are known,
/// painted into the scene if they are not.
fn say_clouded(reference: &ReferenceReader, mask: &MaskReader, reporter: &Reporter) -> Result<()> {
    let Some(share) = reference.clouded_share(mask)? else {
        return Ok(());
    };
    let percent = 100.0 * share;
    if reference.clouds_known() {
        reporter.info(format!(
            "reference: clouded itself at {percent:.0} % of the pixels to fill; these are filled without it"
        ));
    } else {
        reporter.warning(format!(
            "the reference looks clouded itself at {percent:.0} % of the pixels to fill, and its clouds would be \
             painted into the scene: --reference-mask-from auto leaves them out, --reference-mask says where they are"
        ));
    }
    Ok(())
}
