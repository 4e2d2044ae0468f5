//! GDAL calls that the `gdal` crate lacks, or that panic there.
//!
//! `RasterBand::color_interpretation` unwraps and so panics on the interpretations that GDAL 3.10
//! added (red edge, near infrared, ...); units cannot be set;
//! long work cannot be ended, and the cache can neither be bounded nor flushed by bands.

use std::ffi::{CString, c_char, c_int, c_void};
use std::path::{Path, PathBuf};

use gdal::errors::GdalError;
use gdal::raster::{RasterBand, RasterCreationOptions};
use gdal::{Dataset, Driver};
use gdal_sys::{
    CPLErr, CSLDestroy, GDALBuildOverviews, GDALClose, GDALCreateCopy, GDALFlushRasterCache,
    GDALGetColorInterpretationName, GDALGetFileList, GDALGetRasterColorInterpretation,
    GDALSetCacheMax64, GDALSetRasterColorInterpretation, GDALSetRasterUnitType, GDALWarp,
    GDALWarpAppOptionsFree, GDALWarpAppOptionsNew,
};

/// What GDAL calls during long work; 0 ends it.
unsafe extern "C" fn go_on(
    _fraction: f64,
    _message: *const c_char,
    _argument: *mut c_void,
) -> c_int {
    c_int::from(!crate::interrupt::requested())
}

/// `gdalwarp` with these words, into a new file of this name.
///
/// # Errors
/// What GDAL says.
pub fn warp(name: &std::ffi::CStr, source: &Dataset, words: &[String]) -> Result<(), String> {
    let words: Vec<CString> = words
        .iter()
        .filter_map(|word| CString::new(word.as_bytes()).ok())
        .collect();
    let mut list: Vec<*mut c_char> = words.iter().map(|word| word.as_ptr().cast_mut()).collect();
    list.push(std::ptr::null_mut());
    let mut sources = [source.c_dataset()];
    // SAFETY: `list` ends in a null and its strings live as long as the call, which copies them;
    // the source is open; the new dataset is closed here, once, and the options are freed.
    let made = unsafe {
        let options = GDALWarpAppOptionsNew(list.as_mut_ptr(), std::ptr::null_mut());
        let made = GDALWarp(
            name.as_ptr(),
            std::ptr::null_mut(),
            1,
            sources.as_mut_ptr(),
            options,
            std::ptr::null_mut(),
        );
        GDALWarpAppOptionsFree(options);
        if !made.is_null() {
            GDALClose(made);
        }
        made
    };
    match made.is_null() {
        true => Err(super::last_error()),
        false => Ok(()),
    }
}

/// GDAL's number for an alpha band.
pub const ALPHA: i32 = 6;
/// GDAL's number for a paletted band.
pub const PALETTE: i32 = 2;

/// GDAL's number for the band's colour interpretation.
pub fn color_interpretation(band: &RasterBand) -> i32 {
    // SAFETY: the handle is valid as long as `band` is borrowed.
    unsafe { GDALGetRasterColorInterpretation(band.c_rasterband()) as i32 }
}

/// Sets the colour interpretation; a format that cannot keep it leaves it as it was.
pub fn set_color_interpretation(band: &RasterBand, interpretation: i32) -> bool {
    // SAFETY: the handle is valid as long as `band` is borrowed.
    unsafe {
        GDALSetRasterColorInterpretation(band.c_rasterband(), interpretation as _)
            == CPLErr::CE_None
    }
}

/// The name GDAL gives a colour interpretation, e.g. "Red".
pub fn color_interpretation_name(interpretation: i32) -> String {
    // SAFETY: GDAL returns a static string, or null for a number it does not know.
    unsafe {
        let name = GDALGetColorInterpretationName(interpretation as _);
        if name.is_null() {
            return "Undefined".to_owned();
        }
        std::ffi::CStr::from_ptr(name)
            .to_string_lossy()
            .into_owned()
    }
}

/// Sets the unit of the physical values; a format that cannot keep it goes without.
pub fn set_unit(band: &RasterBand, unit: &str) -> bool {
    let Ok(unit) = CString::new(unit) else {
        return false;
    };
    // SAFETY: the handle is valid as long as `band` is borrowed, and GDAL copies the string.
    unit.is_empty()
        || unsafe { GDALSetRasterUnitType(band.c_rasterband(), unit.as_ptr()) == CPLErr::CE_None }
}

/// The files a dataset is made of: a VRT's sources, a product's metadata, side-cars.
pub fn file_list(dataset: &Dataset) -> Vec<PathBuf> {
    // SAFETY: the handle is valid as long as `dataset` is borrowed; the list, null or ended by
    // null, is ours to free.
    unsafe {
        let list = GDALGetFileList(dataset.c_dataset());
        let mut files = Vec::new();
        let mut entry = list;
        while !entry.is_null() && !(*entry).is_null() {
            let name = std::ffi::CStr::from_ptr(*entry);
            files.push(PathBuf::from(name.to_string_lossy().into_owned()));
            entry = entry.add(1);
        }
        CSLDestroy(list);
        files
    }
}

/// Writes what waits in GDAL's cache for this band.
///
/// # Errors
/// What GDAL says.
pub fn flush(band: &RasterBand) -> Result<(), GdalError> {
    // SAFETY: the handle is valid as long as `band` is borrowed.
    outcome(unsafe { GDALFlushRasterCache(band.c_rasterband()) })
}

/// Bounds the cache of blocks that all data sets share.
pub fn set_cache_bytes(bytes: usize) {
    // SAFETY: takes a number.
    unsafe { GDALSetCacheMax64(i64::try_from(bytes).unwrap_or(i64::MAX)) }
}

/// Copies a data set into a new file. Stops early when the user wants to stop.
///
/// # Errors
/// What GDAL says.
pub fn create_copy(
    driver: &Driver,
    source: &Dataset,
    path: &Path,
    options: &RasterCreationOptions,
) -> Result<(), GdalError> {
    let name = CString::new(path.to_string_lossy().into_owned())?;
    // SAFETY: the handles and the list are valid as long as they are borrowed; the copy is closed
    // here, so that all of it is in the file.
    unsafe {
        let copy = GDALCreateCopy(
            driver.c_driver(),
            name.as_ptr(),
            source.c_dataset(),
            0,
            options.as_ptr(),
            Some(go_on),
            std::ptr::null_mut(),
        );
        if copy.is_null() {
            return outcome(CPLErr::CE_Failure);
        }
        GDALClose(copy);
    }
    Ok(())
}

/// Makes overviews of all bands. Stops early when the user wants to stop.
///
/// # Errors
/// What GDAL says.
pub fn build_overviews(
    dataset: &Dataset,
    resampling: &str,
    factors: &[i32],
) -> Result<(), GdalError> {
    let resampling = CString::new(resampling)?;
    // SAFETY: the handle is valid as long as `dataset` is borrowed, and GDAL only reads the rest.
    outcome(unsafe {
        GDALBuildOverviews(
            dataset.c_dataset(),
            resampling.as_ptr(),
            factors.len() as c_int,
            factors.as_ptr(),
            0,
            std::ptr::null(),
            Some(go_on),
            std::ptr::null_mut(),
        )
    })
}

/// GDAL's code as a result; the message is the one it reported last.
fn outcome(class: CPLErr::Type) -> Result<(), GdalError> {
    match class {
        CPLErr::CE_None => Ok(()),
        class => Err(GdalError::CplError {
            class,
            number: 0,
            msg: super::last_error(),
        }),
    }
}
