//! Rasters in and out through GDAL. The only place that knows 1-based bands and (cols, rows).

pub mod background;
pub mod between;
pub mod block_rows;
pub mod date;
pub mod dtype;
pub mod encoding;
mod ffi;
pub mod format;
pub mod generated;
pub mod journal;
pub mod mask;
pub mod mask_file;
pub mod pending;
pub mod preview;
pub mod reference;
pub mod rgb;
pub mod roles;
pub mod scene;
pub mod scratch;
pub mod sink;
pub mod source;
pub mod stack;
pub mod verify;
pub mod warped;
pub mod writer;

pub use ffi::{file_list, set_cache_bytes};

#[cfg(test)]
mod tests;

use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use gdal::errors::{CplErrType, GdalError};
use gdal::{Dataset, DatasetOptions, GdalOpenFlags};

use crate::failure::{Failure, Result};

/// Rows that are read, filled or compared at once where the whole scene has to be walked.
pub const STRIP_ROWS: usize = 256;

static ERRORS: AtomicU64 = AtomicU64::new(0);
static LAST_ERROR: Mutex<String> = Mutex::new(String::new());

/// Send GDAL's own messages to the log instead of the user's screen: what matters comes back as
/// an error with our wording.
pub fn quiet_gdal() {
    gdal::config::set_error_handler(|class, number, message| match class {
        CplErrType::None | CplErrType::Debug => tracing::trace!(number, "gdal: {message}"),
        CplErrType::Warning => tracing::debug!(number, "gdal: {message}"),
        CplErrType::Failure | CplErrType::Fatal => {
            tracing::info!(number, "gdal: {message}");
            ERRORS.fetch_add(1, Ordering::SeqCst);
            *LAST_ERROR
                .lock()
                .unwrap_or_else(|poisoned| poisoned.into_inner()) = message.into();
        }
    });
}

/// How many errors GDAL has reported so far, also those its functions do not return.
pub fn error_count() -> u64 {
    ERRORS.load(Ordering::SeqCst)
}

/// GDAL's last error message.
pub fn last_error() -> String {
    LAST_ERROR
        .lock()
        .unwrap_or_else(|poisoned| poisoned.into_inner())
        .clone()
}

/// Open a raster for reading, never for writing.
///
/// `what` is what the file is to the user ("scene", "mask").
///
/// # Errors
/// Exit 2 for a file that is missing, is not a raster, or has no bands.
pub fn open_raster(path: &Path, what: &str) -> Result<Dataset> {
    let name = path.display();
    exists(path, what)?;
    let options = DatasetOptions {
        open_flags: GdalOpenFlags::GDAL_OF_READONLY
            | GdalOpenFlags::GDAL_OF_RASTER
            | GdalOpenFlags::GDAL_OF_VERBOSE_ERROR,
        ..DatasetOptions::default()
    };
    let dataset = Dataset::open_ex(path, options).map_err(|error| {
        Failure::usage(format!(
            "{what}: expected a raster that GDAL reads, got {name} ({})",
            reason(&error)
        ))
        .hint("`gdalinfo FILE` shows what GDAL makes of it; the file may be truncated")
    })?;
    if dataset.raster_count() == 0 {
        return Err(no_bands(&dataset, path, what));
    }
    Ok(dataset)
}

/// Fails for a plain path that is not there. GDAL's own names (`/vsizip/...`, `SENTINEL2_L2A:...`)
/// are for GDAL to judge.
pub fn exists(path: &Path, what: &str) -> Result<()> {
    if path.exists() || is_gdal_name(path) {
        return Ok(());
    }
    Err(Failure::usage(format!(
        "{what}: expected a file at {}, got no such file",
        path.display()
    ))
    .hint("check the spelling and the folder"))
}

/// Whether a path is a name that only GDAL understands: a virtual file system, or a driver's
/// prefix before a colon (not the letter of a Windows drive).
pub fn is_gdal_name(path: &Path) -> bool {
    let name = path.to_string_lossy();
    let prefix = name.split_once(':').map(|(prefix, _)| prefix);
    name.starts_with("/vsi")
        || prefix.is_some_and(|prefix| {
            prefix.len() > 1
                && prefix
                    .chars()
                    .all(|letter| letter.is_ascii_alphanumeric() || letter == '_')
        })
}

/// A dataset without bands is a container (NetCDF, SAFE, HDF): name what is inside.
fn no_bands(dataset: &Dataset, path: &Path, what: &str) -> Failure {
    use gdal::Metadata;
    let inside: Vec<String> = dataset
        .metadata_domain("SUBDATASETS")
        .unwrap_or_default()
        .iter()
        .filter_map(|entry| entry.split_once('='))
        .filter(|(key, _)| key.ends_with("_NAME"))
        .map(|(_, value)| value.to_owned())
        .collect();
    let failure = Failure::mismatch(
        format!("{what} {}", path.display()),
        "a raster with bands",
        format!("a file with no bands and {} subdatasets", inside.len()),
    );
    match inside.first() {
        Some(first) => failure.hint(format!(
            "name one of them instead of the file, e.g. '{first}'; `gdalinfo FILE` lists them"
        )),
        None => failure.hint("is it a vector file?"),
    }
}

/// GDAL's reason without the wrapper's decoration.
pub fn reason(error: &GdalError) -> String {
    let text = match error {
        GdalError::CplError { msg, .. } | GdalError::NullPointer { msg, .. } => msg.clone(),
        other => other.to_string(),
    };
    if text.is_empty() {
        "GDAL gives no reason".to_owned()
    } else {
        text
    }
}

/// A failure to read an input: the file is damaged, which is bad input.
pub fn unreadable(what: &str, error: &GdalError) -> Failure {
    Failure::usage(format!(
        "{what}: cannot read its pixels ({})",
        reason(error)
    ))
    .hint("the file may be truncated or damaged; copy it again")
}

/// A failure to write an output (exit 1).
pub fn unwritable(path: &Path, error: &GdalError) -> Failure {
    Failure::failed(format!(
        "cannot write {} ({})",
        path.display(),
        reason(error)
    ))
    .hint("is there room on the disk, and may you write there?")
}
