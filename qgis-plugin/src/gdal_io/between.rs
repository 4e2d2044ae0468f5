//! A day between two dates of a place: every pixel linear in time.

use std::path::Path;

use chrono::NaiveDate;
use gdal::errors::GdalError;
use gdal::raster::Buffer;
use unclouded_core::raster::{Mask, Window};

use super::dtype::StoredValue;
use super::format::Format;
use super::mask::grid::GridMap;
use super::pending::PendingFile;
use super::scene::Scene;
use super::source::{hide_transparent, read_native, strips};
use super::{unreadable, unwritable, writer};
use crate::failure::{Failure, Result};
use crate::{for_dtype, interrupt};

/// What is written.
pub struct Between<'a> {
    /// The date before.
    pub before: &'a Scene,
    /// The date after, of the same bands on the same grid.
    pub after: &'a Scene,
    /// 0 = as before, 1 = as after.
    pub weight: f64,
    /// The day itself.
    pub day: NaiveDate,
    /// The days of the two.
    pub days: (NaiveDate, NaiveDate),
}

/// Writes the day as a GeoTIFF like the date before, with tags that say how it came about. Where
/// only one of the dates holds data the pixel is of that one.
///
/// # Errors
/// Exit 2 if the dates have other bands, types or grids; exit 1 if it cannot be written, 130 when
/// interrupted.
pub fn write(target: &Path, what: &Between, format: &Format) -> Result<()> {
    let Between { before, after, .. } = what;
    let alike = before.info.dtype == after.info.dtype
        && before.data_bands() == after.data_bands()
        && matches!(
            GridMap::new(before, &after.dataset, "filled date")?,
            GridMap::Same
        );
    if !alike {
        return Err(Failure::mismatch(
            after.info.path.display(),
            format!("bands, type and grid of {}", before.info.path.display()),
            "others",
        )
        .hint("a stack needs one grid: gdalwarp the scenes onto it, or leave out --every"));
    }
    let file = PendingFile::new(target, true)?;
    let kind = match what.days.0 == what.day || what.days.1 == what.day {
        true => "filled date",
        false if what.days.0 == what.days.1 => "nearest filled date",
        false => "interpolated",
    };
    let tags = [
        ("UNCLOUDED_DATE", what.day.to_string()),
        ("UNCLOUDED_EVEN", kind.to_owned()),
        (
            "UNCLOUDED_BETWEEN",
            format!("{} {}", what.days.0, what.days.1),
        ),
    ];
    let tags = tags.map(|(key, value)| (key.to_owned(), value));
    let mut output = writer::create_filled(&file, before, format, &tags)?;
    let info = &before.info;
    for window in strips(info.height, info.width) {
        interrupt::check()?;
        let shown = [seen(before, window)?, seen(after, window)?];
        let failed = |error: GdalError| unwritable(target, &error);
        let at = (
            (window.col as isize, window.row as isize),
            (window.width, window.height),
        );
        for band in 1..=info.bands.len() {
            let data = before.data_bands().contains(&band);
            for_dtype!(info.dtype, T => {
                let read = |scene: &Scene| read_native::<T>(&scene.dataset, band, window)
                    .map_err(|error| unreadable("filled date", &error));
                let (first, second) = (read(before)?, read(after)?);
                let nodata = info.missing_value().and_then(<T as StoredValue>::nodata);
                let value = |i: usize| -> T {
                    let (a, b) = (first[i], second[i]);
                    let whole = |v: T, shown: &Mask| {
                        shown.data[i] && v.is_finite_value() && !v.is_nodata(nodata)
                    };
                    match (whole(a, &shown[0]), whole(b, &shown[1])) {
                        // An alpha band is no measurement.
                        (true, true) if data && what.weight > 0.0 => {
                            let (a, b) = (f64::from(a.to_f32()), f64::from(b.to_f32()));
                            T::from_fill(a + what.weight * (b - a), nodata)
                        }
                        (false, true) => b,
                        _ => a,
                    }
                };
                let values: Vec<T> = (0..first.len()).map(value).collect();
                let mut buffer = Buffer::new(at.1, values);
                output
                    .rasterband(band)
                    .and_then(|mut target| target.write(at.0, at.1, &mut buffer))
                    .map_err(failed)?;
            });
        }
        if info.mask_band {
            let either = shown[0].or(&shown[1]);
            let opaque = either.data.iter().map(|seen| if *seen { 255u8 } else { 0 });
            let mut buffer = Buffer::new(at.1, opaque.collect());
            output
                .rasterband(1)
                .and_then(|band| band.open_mask_band()?.write(at.0, at.1, &mut buffer))
                .map_err(failed)?;
        }
    }
    output
        .flush_cache()
        .map_err(|error| unwritable(target, &error))?;
    drop(output);
    file.commit()
}

/// Where alpha and mask bands show a scene.
fn seen(scene: &Scene, window: Window) -> Result<Mask> {
    let mut seen = Mask::new(window.height, window.width, true);
    hide_transparent(scene, window, &mut seen)?;
    Ok(seen)
}
