//! The clear images of an evaluation: found, read, and their predictions saved.

use std::fs;
use std::path::{Path, PathBuf};

use gdal::raster::Buffer;
use unclouded_core::metrics::clip_scale;
use unclouded_core::raster::{Mask, Raster, Window};

use crate::failure::{Failure, Result};
use crate::for_dtype;
use crate::gdal_io::dtype::{DataType, Native};
use crate::gdal_io::pending::PendingFile;
use crate::gdal_io::scene::{Scene, SceneInfo};
use crate::gdal_io::source::read_native;
use crate::gdal_io::{unreadable, unwritable, writer};

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

    /// The images of the same names at `path`, a folder, or the one file for all of them.
    ///
    /// # Errors
    /// Exit 2 if one is missing.
    pub fn partners(&self, path: &Path) -> Result<Self> {
        if !path.is_dir() {
            let files = vec![path.to_owned(); self.files.len()];
            return Ok(Images { files });
        }
        let known = list(path)?;
        let partner = |own: &PathBuf| {
            let found = known.iter().find(|other| stem(other) == stem(own));
            found.cloned().ok_or_else(|| {
                Failure::mismatch(
                    "--reference",
                    format!("an image named {} in {}", stem(own), path.display()),
                    "none",
                )
                .hint("references have the names of the images of --clear")
            })
        };
        let files = self.files.iter().map(partner).collect::<Result<_>>()?;
        Ok(Images { files })
    }

    /// How many.
    pub fn len(&self) -> usize {
        self.files.len()
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
        let path = &self.files[index];
        let scene = Scene::open(path, "image")?;
        let Scene { info, dataset } = &scene;
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
                let nodata = info.nodata.and_then(<T as Native>::nodata);
                let places = image.band_mut(position).iter_mut().zip(&mut valid.data);
                for (value, (place, valid)) in values.into_iter().zip(places) {
                    *valid &= value.is_finite_value() && !value.is_nodata(nodata);
                    *place = if value.is_finite_value() { value.to_f32() } else { 0.0 };
                }
            });
        }
        Ok(Example {
            name: stem(path),
            info: scene.info,
            image,
            valid,
        })
    }
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
    pub fn as_stored(&self, prediction: Raster, hole: &Mask) -> Result<Raster> {
        let mut stored = self.image.clone();
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
                *place = for_dtype!(self.info.dtype, T => T::from_fill(*value, None).to_f32());
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

    /// Write a prediction into a folder: 8-bit images of one or three bands as PNG, others as
    /// GeoTIFF.
    ///
    /// # Errors
    /// Exit 1 if it cannot be written.
    pub fn save(&self, folder: &Path, prediction: &Raster) -> Result<()> {
        let picture = self.info.dtype == DataType::U8
            && matches!(prediction.bands, 1 | 3)
            && self.info.alpha_band().is_none();
        let path = folder.join(format!(
            "{}.{}",
            self.name,
            if picture { "png" } else { "tif" }
        ));
        let file = PendingFile::new(&path, true)?;
        if picture {
            save_png(file.path(), prediction)?
        } else {
            self.save_tif(&file, prediction)?
        }
        file.commit()
    }

    fn save_tif(&self, file: &PendingFile, prediction: &Raster) -> Result<()> {
        let scene = Scene::open(&self.info.path, "image")?;
        let mut output = writer::create_like(file, &scene, &[])?;
        let write = || {
            let size = (prediction.width, prediction.height);
            for (position, band) in self.info.data_bands().into_iter().enumerate() {
                let mut values = Buffer::new(size, prediction.band(position).to_vec());
                output.rasterband(band)?.write((0, 0), size, &mut values)?;
            }
            Ok(())
        };
        write().map_err(|error| unwritable(file.target(), &error))?;
        output
            .flush_cache()
            .map_err(|error| unwritable(file.target(), &error))
    }
}

fn save_png(path: &Path, image: &Raster) -> Result<()> {
    let pixels = image.pixels();
    let bytes: Vec<u8> = (0..pixels)
        .flat_map(|pixel| (0..image.bands).map(move |band| image.data[band * pixels + pixel] as u8))
        .collect();
    let color = if image.bands == 3 {
        image::ColorType::Rgb8
    } else {
        image::ColorType::L8
    };
    let (width, height) = (image.width as u32, image.height as u32);
    image::save_buffer_with_format(path, &bytes, width, height, color, image::ImageFormat::Png)
        .map_err(|error| Failure::failed(format!("cannot write {} ({error})", path.display())))
}

/// Make the folder for predictions.
///
/// # Errors
/// Exit 2 if it is the folder of an input, exit 1 if it cannot be made.
pub fn prepare_folder(folder: &Path, inputs: &[&Path]) -> Result<()> {
    fs::create_dir_all(folder).map_err(|error| {
        Failure::failed(format!(
            "cannot make the folder {} ({error})",
            folder.display()
        ))
    })?;
    let place = folder.canonicalize().ok();
    let own = |input: &Path| {
        let input = input.canonicalize().ok()?;
        match input.is_dir() {
            true => Some(input),
            false => input.parent().map(Path::to_owned),
        }
    };
    if inputs
        .iter()
        .any(|input| own(input).is_some() && own(input) == place)
    {
        return Err(Failure::mismatch(
            "--save",
            "another folder than those of the images and masks",
            folder.display(),
        )
        .hint("predictions have the names of the images and would replace the inputs"));
    }
    Ok(())
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
