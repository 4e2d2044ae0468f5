//! A raster brought onto the grid of a scene: a description in memory that warps what is read.

use std::ffi::CString;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};

use gdal::Dataset;
use gdal::spatial_ref::SpatialRef;

use super::ffi;
use super::scene::{Scene, geotransform};
use crate::failure::{Failure, Result};

/// Where descriptions lie while they are needed: each raster has one name, so that a resumed run
/// finds the same.
const FOLDER: &str = "/vsimem/unclouded-warped";

/// A description that is gone when it is dropped.
pub struct Warped {
    /// What to open.
    pub path: PathBuf,
}

impl Warped {
    /// Describe `raster` on the grid of a scene: cubic, or the mean of the pixels under one where
    /// the scene is coarser by half or more. Nothing is read yet, and no more than a window is
    /// ever in memory. Where `raster` does not reach it holds nodata.
    ///
    /// # Errors
    /// Exit 2 if the scene has no place, or GDAL knows no way between the two.
    pub fn onto(scene: &Scene, raster: &Dataset, path: &Path) -> Result<Self> {
        let info = &scene.info;
        let numbers = info
            .geotransform
            .ok_or_else(|| no_way(path, "the scene has no place"))?;
        let crs = |dataset: &Dataset| dataset.spatial_ref().ok().and_then(|crs| crs.to_wkt().ok());
        let north_up = numbers[2] == 0.0 && numbers[4] == 0.0;
        if !north_up {
            return Err(no_way(path, "the scene's rows do not run east"));
        }
        let (right, bottom) = (
            numbers[0] + numbers[1] * info.width as f64,
            numbers[3] + numbers[5] * info.height as f64,
        );
        let mut words: Vec<String> = ["-of", "VRT", "-r", resampling(scene, raster)]
            .map(String::from)
            .into();
        words.extend(["-te".to_owned()]);
        let (low_x, high_x) = (numbers[0].min(right), numbers[0].max(right));
        let (low_y, high_y) = (numbers[3].min(bottom), numbers[3].max(bottom));
        words.extend([low_x, low_y, high_x, high_y].map(|number| format!("{number:?}")));
        words.extend([
            "-ts".to_owned(),
            info.width.to_string(),
            info.height.to_string(),
        ]);
        // A raster without a CRS is taken to be in that of the scene.
        if let (Some(_), Some(own)) = (crs(raster), crs(&scene.dataset)) {
            words.extend(["-t_srs".to_owned(), own]);
        }
        let has_nodata = (1..=raster.raster_count()).any(|band| {
            raster
                .rasterband(band)
                .is_ok_and(|band| band.no_data_value().is_some())
        });
        let has_alpha = (1..=raster.raster_count())
            .filter_map(|band| raster.rasterband(band).ok())
            .any(|band| ffi::color_interpretation(&band) == ffi::ALPHA);
        if !has_nodata && !has_alpha {
            words.push("-dstalpha".to_owned());
        }
        // Two dates may have one name in two folders.
        let mut name = DefaultHasher::new();
        path.hash(&mut name);
        let stem = path.file_stem().unwrap_or_default().to_string_lossy();
        let target = Path::new(FOLDER).join(format!("{stem}-{:016x}.vrt", name.finish()));
        let target_name = CString::new(target.to_string_lossy().as_bytes())
            .map_err(|_| no_way(path, "its name holds a zero byte"))?;
        ffi::warp(&target_name, raster, &words).map_err(|error| no_way(path, &error))?;
        Ok(Warped { path: target })
    }
}

impl Drop for Warped {
    fn drop(&mut self) {
        let _ = gdal::vsi::unlink_mem_file(&self.path);
    }
}

fn no_way(path: &Path, why: &str) -> Failure {
    Failure::mismatch(
        format!("grid of {}", path.display()),
        "a raster that can be brought onto the scene's grid",
        why,
    )
    .hint("bring it there first: gdalwarp -r cubic with the scene's -t_srs, -te and -ts")
}

/// `average` where a pixel of the scene covers much more than one of the raster, else `cubic`.
fn resampling(scene: &Scene, raster: &Dataset) -> &'static str {
    let size = |numbers: [f64; 6], crs: Option<SpatialRef>| {
        let degrees = crs.is_some_and(|crs| crs.is_geographic());
        numbers[2].hypot(numbers[5]) * if degrees { 111_320.0 } else { 1.0 }
    };
    let (Some(own), Some(theirs)) = (scene.info.geotransform, geotransform(raster)) else {
        return "cubic";
    };
    let own = size(own, scene.dataset.spatial_ref().ok());
    let theirs = size(theirs, raster.spatial_ref().ok());
    if own > 1.5 * theirs {
        "average"
    } else {
        "cubic"
    }
}
