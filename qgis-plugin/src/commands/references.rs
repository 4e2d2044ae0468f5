//! The images of other dates that a user names: files, folders and patterns, in one order.

use std::path::{Path, PathBuf};

use crate::failure::{Failure, Result};
use crate::gdal_io::is_gdal_name;

/// Endings of the rasters that are taken from a folder.
const RASTERS: [&str; 5] = ["tif", "tiff", "vrt", "jp2", "img"];
/// Letters that make a name a pattern.
const WILD: [char; 3] = ['*', '?', '['];

/// The rasters that an option names: a file as it is, those of a folder, those that fit a pattern;
/// each once, sorted, so that the order in which they are named does not matter.
///
/// # Errors
/// Exit 2 for a folder or a pattern with nothing in it.
pub fn expand(option: &str, named: &[PathBuf]) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for name in named {
        files.extend(rasters(option, name)?);
    }
    files.sort();
    files.dedup();
    Ok(files)
}

fn rasters(option: &str, name: &Path) -> Result<Vec<PathBuf>> {
    let text = name.to_string_lossy();
    if is_gdal_name(name) || name.is_file() {
        return Ok(vec![name.to_owned()]);
    }
    let found: Vec<PathBuf> = if name.is_dir() {
        let entries = std::fs::read_dir(name)
            .map_err(|error| Failure::usage(format!("{option}: cannot read {text} ({error})")))?;
        let files = entries.filter_map(|entry| Some(entry.ok()?.path()));
        files.filter(|path| is_raster(path)).collect()
    } else if text.contains(WILD) {
        let paths = glob::glob(&text).map_err(|error| {
            Failure::mismatch(option, "a file, a folder or a pattern", &text)
                .hint(error.to_string())
        })?;
        paths
            .filter_map(std::result::Result::ok)
            .filter(|path| path.is_file())
            .collect()
    } else {
        // What it is not is for the reader to say.
        return Ok(vec![name.to_owned()]);
    };
    match found.is_empty() {
        false => Ok(found),
        true => Err(
            Failure::mismatch(option, "at least one raster", format!("none in {text}")).hint(
                format!(
                    "of a folder those that end in {} are taken",
                    RASTERS.join(", ")
                ),
            ),
        ),
    }
}

fn is_raster(path: &Path) -> bool {
    let ending = path
        .extension()
        .unwrap_or_default()
        .to_string_lossy()
        .to_lowercase();
    RASTERS.contains(&ending.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_folders_and_patterns_are_one_sorted_list() {
        let folder = tempfile::tempdir().expect("a folder");
        let at = |name: &str| folder.path().join(name);
        for name in ["b.tif", "a.TIF", "notes.txt", "c.tif.aux.xml"] {
            std::fs::write(at(name), "").expect("a file");
        }
        let all = expand(
            "--reference",
            &[at("b.tif"), folder.path().to_owned(), at("*.tif")],
        )
        .expect("files");
        assert_eq!(all, [at("a.TIF"), at("b.tif")]);
        assert_eq!(
            expand("--reference", &[at("gone.tif")]).expect("a name"),
            [at("gone.tif")]
        );
        let failure = expand("--reference", &[at("*.jp2")]).expect_err("nothing");
        assert!(failure.message.contains("none in"), "{}", failure.message);
    }
}
