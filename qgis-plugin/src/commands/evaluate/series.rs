//! Cases made of a series: the clouds of one date over the clear ground of another, all the other
//! dates given as they are.

use std::path::PathBuf;
use std::sync::Arc;

use chrono::NaiveDate;
use unclouded_core::raster::{Mask, Raster, Window};

use super::cases::{Case, Cases, Other};
use super::images::{self, Example, stem};
use super::pair::Dates;
use crate::commands::references;
use crate::failure::{Exit, Failure, Result};
use crate::gdal_io::date;
use crate::gdal_io::mask::MaskReader;
use crate::gdal_io::mask::request::{MaskFrom, MaskRequest};
use crate::gdal_io::scene::{Scene, SceneInfo};
use crate::interrupt;
use crate::progress::Reporter;

/// A date with less than this share of clouds is clear enough to be the truth.
const CLEAR: f64 = 0.02;
/// Shares of an image that clouds put over another date may cover.
const CLOUDED: std::ops::RangeInclusive<f64> = 0.08..=0.75;
/// Pixels of all dates and bands together: they are in memory.
const MOST_VALUES: usize = 1_000_000_000;

/// One date of a series.
struct Date {
    file: PathBuf,
    info: SceneInfo,
    taken: Option<NaiveDate>,
    image: Arc<Raster>,
    valid: Mask,
    /// True = clouds as the detector finds them.
    clouds: Mask,
    /// Valid without clouds.
    observed: Arc<Mask>,
}

/// A series, and which clouds go over which date.
pub struct Series {
    dates: Vec<Date>,
    /// Truth and clouds of each case.
    cases: Vec<(usize, usize)>,
}

impl Series {
    /// Reads the images of a place, finds their clouds, and makes `count` cases of them: clear
    /// dates spread over the series, each under the clouds of another.
    ///
    /// # Errors
    /// Exit 2 if an image cannot be read or has another size, and if no date is clear or none
    /// clouded; 130 when interrupted.
    pub fn read(named: &[PathBuf], count: usize, reporter: &mut Reporter) -> Result<Self> {
        let files = references::expand("--series", named)?;
        reporter.stage("series", files.len() as u64);
        let mut dates: Vec<Date> = Vec::new();
        for (done, file) in files.into_iter().enumerate() {
            interrupt::check()?;
            let date = read(file)?;
            if let Some(first) = dates.first() {
                alike(first, &date)?;
            }
            let values = date.image.data.len();
            dates.push(date);
            if values * dates.len() > MOST_VALUES {
                return Err(Failure::mismatch(
                    "--series",
                    format!("at most {MOST_VALUES} values in all"),
                    "more",
                )
                .hint("cut the dates to a smaller place with gdal_translate -srcwin"));
            }
            reporter.advance(done as u64 + 1);
        }
        let cases = cases(&dates, count)?;
        Ok(Self { dates, cases })
    }
}

impl Cases for Series {
    fn names(&self) -> Vec<String> {
        let name = |(truth, clouds): &(usize, usize)| {
            let [truth, clouds] = [truth, clouds].map(|date| stem(&self.dates[*date].file));
            format!("{truth}-under-{clouds}")
        };
        self.cases.iter().map(name).collect()
    }

    fn read(&self, index: usize) -> Result<Case> {
        let (truth, clouds) = self.cases[index];
        let date = &self.dates[truth];
        let days = |other: &Date| {
            let (from, to) = date.taken.zip(other.taken)?;
            i32::try_from((to - from).num_days()).ok()
        };
        let others = self.dates.iter().enumerate();
        let others = others
            .filter(|(other, _)| *other != truth)
            .map(|(_, other)| Other {
                image: other.image.clone(),
                observed: other.observed.clone(),
                days: days(other),
            });
        Ok(Case {
            example: Example {
                name: self.names()[index].clone(),
                info: date.info.clone(),
                image: Raster::clone(&date.image),
                valid: date.valid.clone(),
            },
            mask: self.dates[clouds].clouds.clone(),
            others: others.collect(),
        })
    }

    fn label(&self, index: usize) -> String {
        self.names()[index].clone()
    }

    fn dates(&self) -> Dates {
        Dates::Several
    }
}

/// Fails unless two dates have one size and the same bands.
fn alike(first: &Date, other: &Date) -> Result<()> {
    let shape = |date: &Date| {
        let Raster {
            bands,
            height,
            width,
            ..
        } = *date.image;
        format!("{width} x {height} pixels, {bands} bands")
    };
    if shape(first) == shape(other) {
        return Ok(());
    }
    let expected = format!("{} as {}", shape(first), first.file.display());
    Err(
        Failure::mismatch(other.file.display(), expected, shape(other))
            .hint("the dates of a series are on one grid: gdalwarp brings them there"),
    )
}

fn read(file: PathBuf) -> Result<Date> {
    let Example {
        info, image, valid, ..
    } = images::read(&file)?;
    let scene = Scene::open(&file, "image")?;
    let look = MaskRequest {
        from: Some(MaskFrom::Auto),
        ..MaskRequest::default()
    };
    let clouds = match MaskReader::prepare(&look, &scene, &mut |_| ()) {
        Ok(found) => found.read(Window::full(image.height, image.width))?,
        Err(failure) if failure.exit == Exit::Interrupted => return Err(failure),
        Err(failure) => return Err(failure.hint("clouds are looked for in every date of a series")),
    };
    Ok(Date {
        taken: date::of(&file, &scene.dataset),
        observed: Arc::new(valid.and_not(&clouds)),
        file,
        info,
        image: Arc::new(image),
        valid,
        clouds,
    })
}

/// Clear dates spread evenly over the series, each under the clouds of another date; these take
/// turns.
fn cases(dates: &[Date], count: usize) -> Result<Vec<(usize, usize)>> {
    let share = |date: &Date| date.clouds.count() as f64 / date.clouds.data.len().max(1) as f64;
    let all = |wanted: &dyn Fn(f64) -> bool| -> Vec<usize> {
        (0..dates.len())
            .filter(|date| wanted(share(&dates[*date])))
            .collect()
    };
    let clear = all(&|share| share < CLEAR);
    let clouded = all(&|share| CLOUDED.contains(&share));
    if clear.is_empty() || clouded.is_empty() || count == 0 {
        let got = format!(
            "{} clear and {} clouded of {}",
            clear.len(),
            clouded.len(),
            dates.len()
        );
        return Err(Failure::mismatch(
            "--series",
            "a clear date, and one with clouds on 8 to 75 % of it",
            got,
        )
        .hint("give more dates, or clear images and masks: --clear and --masks"));
    }
    let spread =
        |i: usize, of: &[usize]| of[(2 * i + 1) * of.len() / (2 * count.max(1)) % of.len()];
    let all = (0..count).map(|i| (spread(i, &clear), clouded[i % clouded.len()]));
    let mut cases: Vec<(usize, usize)> = all.filter(|(truth, clouds)| truth != clouds).collect();
    cases.dedup();
    Ok(cases)
}
