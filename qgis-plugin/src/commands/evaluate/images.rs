//! The clear images of an evaluation: found and read.

use std::fs;
use std::path::{Path, PathBuf};

use unclouded_core::metrics::clip_scale;
use unclouded_core::raster::{Mask, Raster, Window};

use crate::failure::{Failure, Result};
use crate::for_dtype;
use crate::gdal_io::dtype::{DataType, StoredValue};
use crate::gdal_io::scene::{Scene, SceneInfo};
use crate::gdal_io::source::{hide_transparent, read_native};
use crate::gdal_io::unreadable;

/// Endings of files that count as images in a folder.
const ENDINGS: [&str; 5] = ["png", "tif", "tiff", "jpg", "jpeg"];
/// The digital number that is a reflectance of 1 in Sentinel-2 products.
const SENTINEL2_SCALE: f32 = 10_000.0;
/// Images are read whole; a larger one is a scene for `restore`.
const MOST_PIXELS: usize = 100_000_000;

/// The image files of an evaluation.
pub struct Images {
    files: Vec<PathBuf>,
}

/// An image in memory.
pub struct Example {
    /// File name without its ending.
    pub name: String,
    /// What the file is.
    pub info: SceneInfo,
    /// Data bands in the file's units.
    pub image: Raster,
    /// Which pixels hold data.
    pub valid: Mask,
}

impl Images {
    /// One file, or every image of a folder by name.
    ///
    /// # Errors
    /// Exit 2 if there is none.
    pub fn find(path: &Path, limit: Option<usize>) -> Result<Self> {
        let mut files = if path.is_dir() {
            list(path)?
        } else {
            vec![path.to_owned()]
        };
        files.truncate(limit.unwrap_or(usize::MAX));
        if files.is_empty() {
            return Err(Failure::mismatch(
                "--clear",
                format!("images ({})", ENDINGS.join(", ")),
                format!("none in {}", path.display()),
            ));
        }
        Ok(Images { files })
    }

    /// The images of the same names at `path`, a folder, or the one file for all of them. One
    /// that is missing is found to be when it is read.
    ///
    /// # Errors
    /// Exit 2 if the folder cannot be read.
    pub fn partners(&self, path: &Path) -> Result<Self> {
        if !path.is_dir() {
            let files = vec![path.to_owned(); self.files.len()];
            return Ok(Images { files });
        }
        let known = list(path)?;
        let partner = |own: &PathBuf| {
            let found = known.iter().find(|other| stem(other) == stem(own));
            // A name that is not there: reading it says so, for this image only.
            found.cloned().unwrap_or_else(|| path.join(stem(own)))
        };
        let files = self.files.iter().map(partner).collect();
        Ok(Images { files })
    }

    /// The files.
    pub fn files(&self) -> &[PathBuf] {
        &self.files
    }

    /// Read one.
    ///
    /// # Errors
    /// Exit 2 if it is no image this program can read.
    pub fn read(&self, index: usize) -> Result<Example> {
        read(&self.files[index])
    }
}

/// Read an image whole.
///
/// # Errors
/// Exit 2 if it is no image this program can read.
pub fn read(path: &Path) -> Result<Example> {
    let scene = Scene::open(path, "image")?;
    let Scene { info, dataset, .. } = &scene;
    if info.width * info.height > MOST_PIXELS {
        return Err(Failure::mismatch(
            path.display(),
            format!("at most {MOST_PIXELS} pixels"),
            info.width * info.height,
        )
        .hint("cut it into tiles first"));
    }
    let window = Window::full(info.height, info.width);
    let bands = info.data_bands();
    let mut image = Raster::new(bands.len(), info.height, info.width);
    let mut valid = Mask::new(info.height, info.width, true);
    for (position, &band) in bands.iter().enumerate() {
        for_dtype!(info.dtype, T => {
            let values = read_native::<T>(dataset, band, window)
                .map_err(|error| unreadable("image", &error))?;
            let nodata = info.missing_value().and_then(<T as StoredValue>::nodata);
            let places = image.band_mut(position).iter_mut().zip(&mut valid.data);
            for (value, (place, valid)) in values.into_iter().zip(places) {
                *valid &= value.is_finite_value() && !value.is_nodata(nodata);
                *place = if value.is_finite_value() { value.to_f32() } else { 0.0 };
            }
        });
    }
    hide_transparent(&scene, window, &mut valid)?;
    if !valid.any() {
        return Err(Failure::mismatch(
            path.display(),
            "some pixels with data",
            "nodata everywhere",
        )
        .hint("is the nodata value right? `unclouded info` shows it"));
    }
    Ok(Example {
        name: stem(path),
        info: scene.info,
        image,
        valid,
    })
}

impl Example {
    /// An image of another date, if it has the size of this one.
    ///
    /// # Errors
    /// Exit 2 if it has another.
    pub fn partner(&self, other: Example) -> Result<Example> {
        let size = |e: &Example| format!("{} x {}", e.image.width, e.image.height);
        if size(&other) != size(self) {
            return Err(Failure::mismatch(
                format!("size of the reference of {}", self.name),
                size(self),
                size(&other),
            )
            .hint("warp it onto the grid of the image first"));
        }
        Ok(other)
    }

    /// A prediction as it would lie in a file: rounded and kept in range inside the hole, the
    /// image itself elsewhere.
    ///
    /// # Errors
    /// Exit 1 if it holds a value that is not a number.
    pub fn as_stored(&self, prediction: &Raster, hole: &Mask) -> Result<Raster> {
        let mut stored = self.image.clone();
        let nodata = self.info.missing_value();
        for band in 0..stored.bands {
            let places = stored.band_mut(band).iter_mut().zip(&hole.data);
            for ((place, hole), value) in places.zip(prediction.band(band)) {
                if !hole {
                    continue;
                }
                if value.is_nan() {
                    return Err(Failure::failed(format!(
                        "{}: a fill is not a number",
                        self.name
                    )));
                }
                *place = for_dtype!(self.info.dtype, T => {
                    T::from_fill(f64::from(*value), nodata.and_then(T::nodata)).to_f32()
                });
            }
        }
        Ok(stored)
    }

    /// Values and their range as published figures have them: 8-bit as it is (range 255), wider
    /// integers as Sentinel-2 reflectance (range 1), floating point as reflectance (range 1).
    pub fn for_scoring(&self, image: &Raster) -> (Raster, f32) {
        match self.info.dtype {
            DataType::U8 => (image.clone(), 255.0),
            dtype if dtype.is_integer() => (clip_scale(image, SENTINEL2_SCALE), 1.0),
            _ => (image.clone(), 1.0),
        }
    }
}

fn list(folder: &Path) -> Result<Vec<PathBuf>> {
    let unreadable = |error| {
        Failure::usage(format!(
            "--clear: cannot read {} ({error})",
            folder.display()
        ))
    };
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).map_err(unreadable)? {
        let path = entry.map_err(unreadable)?.path();
        let ending = path
            .extension()
            .map(|ending| ending.to_string_lossy().to_lowercase());
        if ending.is_some_and(|ending| ENDINGS.contains(&ending.as_str())) && path.is_file() {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

/// The file name without its ending.
pub fn stem(path: &Path) -> String {
    path.file_stem()
        .map(|stem| stem.to_string_lossy().into_owned())
        .unwrap_or_default()
}
