//! A classification that comes with the scene: a band of it, a band of a sister subdataset, or a
//! file of the same product.

use std::path::{Path, PathBuf};

use gdal::{Dataset, Metadata};

use super::super::scene::Scene;
use super::super::{ffi, is_gdal_name, open_raster};
use super::request::MaskFrom;
use crate::failure::{Failure, Result};

/// A raster with a classification, and which of its bands that is (from 1).
pub struct Own {
    /// The raster, open.
    pub dataset: Dataset,
    /// The band.
    pub band: usize,
    /// Where it was found.
    pub path: PathBuf,
}

/// Find the scene's own classification.
///
/// # Errors
/// Exit 2 if there is none.
pub fn find(scene: &Scene, from: MaskFrom) -> Result<Own> {
    let band_name = match from {
        MaskFrom::QaPixel => "QA_PIXEL",
        _ => "SCL",
    };
    let path = &scene.info.path;
    let mut places = vec![path.clone()];
    places.extend(sister_subdatasets(path));
    let files = ffi::file_list(&scene.dataset);
    places.extend(files.iter().filter_map(|file| beside(file, band_name)));
    for place in &places {
        if !(place.exists() || is_gdal_name(place)) {
            continue;
        }
        let Ok(dataset) = open_raster(place, "mask") else {
            continue;
        };
        if let Some(band) = named(&dataset, band_name, place != path) {
            return Ok(Own {
                dataset,
                band,
                path: place.clone(),
            });
        }
    }
    Err(Failure::mismatch(
        format!("--mask-from {}", from.name()),
        format!("a band of the scene described as {band_name}, or that raster"),
        format!("neither in {}", path.display()),
    )
    .hint(format!(
        "give the raster of {band_name} with --mask {band_name}.tif"
    )))
}

/// The band described as `name`; the only band of a file found by its name needs no description.
fn named(dataset: &Dataset, name: &str, only_will_do: bool) -> Option<usize> {
    let bands = 1..=dataset.raster_count();
    let found = bands.clone().find(|number| {
        let description = dataset
            .rasterband(*number)
            .and_then(|band| band.description());
        description.is_ok_and(|text| {
            let end = text.find([',', ' ', ':']).unwrap_or(text.len());
            text[..end].eq_ignore_ascii_case(name)
        })
    });
    found.or_else(|| (only_will_do && bands.end() == &1).then_some(1))
}

/// `SENTINEL2_L2A:product:10m:EPSG_32632` has no SCL; the same with 20m or 60m does.
fn sister_subdatasets(path: &Path) -> Vec<PathBuf> {
    let name = path.to_string_lossy();
    if !name.starts_with("SENTINEL2_L2A:") {
        return Vec::new();
    }
    ["20m", "60m"]
        .iter()
        .flat_map(|wanted| {
            ["10m", "20m", "60m", "TCI"].iter().filter_map({
                let name = &name;
                move |own| {
                    let marked = format!(":{own}:");
                    (own != wanted && name.contains(&marked))
                        .then(|| PathBuf::from(name.replacen(&marked, &format!(":{wanted}:"), 1)))
                }
            })
        })
        .collect()
}

/// The file of the same product with the classification: `R20m/..._SCL_20m.jp2` for
/// `R10m/..._B02_10m.jp2`, `..._QA_PIXEL.TIF` for `..._SR_B4.TIF`.
fn beside(file: &Path, name: &str) -> Option<PathBuf> {
    let own = file.file_name()?.to_string_lossy().into_owned();
    let folder = file.parent()?;
    if name == "QA_PIXEL" {
        let at = own.to_uppercase().find("_SR_B")?;
        let ending = file.extension()?.to_string_lossy().into_owned();
        return Some(folder.join(format!("{}_QA_PIXEL.{ending}", own.get(..at)?)));
    }
    let parts: Vec<&str> = own.split('_').collect();
    // T48QUE_20200223T033739_B02_10m.jp2
    let [tile, date, _, _] = parts[..] else {
        return None;
    };
    let name = format!("{tile}_{date}_SCL_20m.jp2");
    Some(folder.parent()?.join("R20m").join(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn products_are_searched_by_their_names() {
        assert_eq!(
            beside(
                Path::new("/p/IMG_DATA/R10m/T48QUE_20200223T033739_B02_10m.jp2"),
                "SCL"
            ),
            Some("/p/IMG_DATA/R20m/T48QUE_20200223T033739_SCL_20m.jp2".into())
        );
        assert_eq!(
            beside(
                Path::new("d/LC08_L2SP_192023_20210724_20210730_02_T1_SR_B4.TIF"),
                "QA_PIXEL"
            ),
            Some("d/LC08_L2SP_192023_20210724_20210730_02_T1_QA_PIXEL.TIF".into())
        );
        assert_eq!(beside(Path::new("scene.tif"), "SCL"), None);
        assert_eq!(beside(Path::new("scene.tif"), "QA_PIXEL"), None);
        assert_eq!(
            sister_subdatasets(Path::new("SENTINEL2_L2A:MTD_MSIL2A.xml:10m:EPSG_32632")),
            [
                PathBuf::from("SENTINEL2_L2A:MTD_MSIL2A.xml:20m:EPSG_32632"),
                PathBuf::from("SENTINEL2_L2A:MTD_MSIL2A.xml:60m:EPSG_32632"),
            ]
        );
        assert!(sister_subdatasets(Path::new("scene:10m:.tif")).is_empty());
    }
}
