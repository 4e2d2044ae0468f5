//! GDAL calls that the `gdal` crate lacks, or that panic there.
//!
//! `RasterBand::color_interpretation` unwraps and so panics on the interpretations that GDAL 3.10
//! added (red edge, near infrared, ...); units cannot be set.

use std::ffi::{CString, c_char, c_int, c_void};
use std::path::PathBuf;

use gdal::Dataset;
use gdal::raster::RasterBand;

unsafe extern "C" {
    fn GDALGetRasterColorInterpretation(band: *mut c_void) -> c_int;
    fn GDALSetRasterColorInterpretation(band: *mut c_void, interpretation: c_int) -> c_int;
    fn GDALGetColorInterpretationName(interpretation: c_int) -> *const c_char;
    fn GDALGetFileList(dataset: *mut c_void) -> *mut *mut c_char;
    fn CSLDestroy(list: *mut *mut c_char);
    fn GDALSetRasterUnitType(band: *mut c_void, unit: *const c_char) -> c_int;
}

/// GDAL's number for an alpha band.
pub const ALPHA: i32 = 6;
/// GDAL's number for a paletted band.
pub const PALETTE: i32 = 2;

/// GDAL's number for the band's colour interpretation.
pub fn color_interpretation(band: &RasterBand) -> i32 {
    // SAFETY: the handle is valid as long as `band` is borrowed.
    unsafe { GDALGetRasterColorInterpretation(band.c_rasterband().cast()) }
}

/// Sets the colour interpretation; a format that cannot keep it leaves it as it was.
pub fn set_color_interpretation(band: &RasterBand, interpretation: i32) -> bool {
    // SAFETY: the handle is valid as long as `band` is borrowed.
    unsafe { GDALSetRasterColorInterpretation(band.c_rasterband().cast(), interpretation) == 0 }
}

/// The name GDAL gives a colour interpretation, e.g. "Red".
pub fn color_interpretation_name(interpretation: i32) -> String {
    // SAFETY: GDAL returns a static string, or null for a number it does not know.
    unsafe {
        let name = GDALGetColorInterpretationName(interpretation);
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
        || unsafe { GDALSetRasterUnitType(band.c_rasterband().cast(), unit.as_ptr()) == 0 }
}

/// The files a dataset is made of: a VRT's sources, a product's metadata, side-cars.
pub fn file_list(dataset: &Dataset) -> Vec<PathBuf> {
    // SAFETY: the handle is valid as long as `dataset` is borrowed; the list, null or ended by
    // null, is ours to free.
    unsafe {
        let list = GDALGetFileList(dataset.c_dataset().cast());
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
