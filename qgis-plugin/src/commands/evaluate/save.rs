//! Predictions as image files, to look at and to compute further figures from.

use std::fs;
use std::path::{Path, PathBuf};

use unclouded_core::raster::{Mask, Raster};

use super::images::Example;
use super::pair::Pair;
use crate::failure::{Failure, Result};
use crate::gdal_io::dtype::DataType;
use crate::gdal_io::pending::PendingFile;
use crate::gdal_io::scene::Scene;
use crate::gdal_io::{unwritable, writer};

/// The folders that images of an evaluation are written into.
pub struct Folders {
    /// For the model's predictions alone.
    own: Option<PathBuf>,
    /// For a folder of each method, and of what they are compared with.
    all: Option<PathBuf>,
}

impl Folders {
    /// Make the folders, before anything is computed.
    ///
    /// # Errors
    /// Exit 2 if one is the folder of an input, or two images have one name; exit 1 if one
    /// cannot be made.
    pub fn prepare(
        own: Option<&Path>,
        all: Option<&Path>,
        names: &[String],
        inputs: &[&Path],
    ) -> Result<Self> {
        for (option, folder) in [("--save", own), ("--save-all", all)] {
            if let Some(folder) = folder {
                prepare(option, folder, inputs)?;
                names_differ(option, names)?;
            }
        }
        Ok(Folders {
            own: own.map(Path::to_owned),
            all: all.map(Path::to_owned),
        })
    }

    /// Write the images of a pair that were asked for.
    ///
    /// # Errors
    /// Exit 1 if one cannot be written.
    pub fn write(&self, pair: &Pair) -> Result<()> {
        if let Some(folder) = &self.own {
            save(pair, folder, &pair.fills[0].stored)?;
        }
        let Some(all) = &self.all else {
            return Ok(());
        };
        let save_into = |name: &str, image: &Raster| {
            let folder = all.join(name);
            make(&folder)?;
            save(pair, &folder, image)
        };
        for fill in &pair.fills {
            save_into(fill.method, &fill.stored)?;
        }
        if let Some(sample) = &pair.sample {
            save_into(sample.method, &sample.stored)?;
        }
        save_into("truth", &pair.example.image)?;
        let folder = all.join("mask");
        make(&folder)?;
        save_mask(
            &folder.join(format!("{}.png", pair.example.name)),
            &pair.hole,
        )
    }
}

fn prepare(option: &str, folder: &Path, inputs: &[&Path]) -> Result<()> {
    make(folder)?;
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
            option,
            "another folder than those of the images and masks",
            folder.display(),
        )
        .hint("predictions have the names of the images and would replace the inputs"));
    }
    Ok(())
}

/// `a.png` and `a.tif` would both become `a`.
fn names_differ(option: &str, names: &[String]) -> Result<()> {
    let mut names = names.to_vec();
    names.sort();
    match names.windows(2).find(|pair| pair[0] == pair[1]) {
        Some(pair) => Err(Failure::mismatch(
            option,
            "images of different names",
            format!("two named {}", pair[0]),
        )
        .hint("predictions have the names of the images: rename one")),
        None => Ok(()),
    }
}

fn make(folder: &Path) -> Result<()> {
    fs::create_dir_all(folder).map_err(|error| {
        Failure::failed(format!(
            "cannot make the folder {} ({error})",
            folder.display()
        ))
    })
}

/// Write an image like an example into a folder: 8-bit images of one or three bands as PNG,
/// others as GeoTIFF.
fn save(pair: &Pair, folder: &Path, image: &Raster) -> Result<()> {
    let example = &pair.example;
    let picture = example.info.dtype == DataType::U8
        && matches!(image.bands, 1 | 3)
        && example.info.alpha_band().is_none();
    let ending = if picture { "png" } else { "tif" };
    let file = PendingFile::new(&folder.join(format!("{}.{ending}", example.name)), true)?;
    if picture {
        let pixels = image.pixels();
        let bytes: Vec<u8> = (0..pixels)
            .flat_map(|pixel| {
                (0..image.bands).map(move |band| image.data[band * pixels + pixel] as u8)
            })
            .collect();
        save_png(
            file.path(),
            &bytes,
            (image.width, image.height),
            image.bands,
        )?;
    } else {
        save_tif(example, &file, image, &pair.hole)?;
    }
    file.commit()
}

/// 255 where hidden.
fn save_mask(path: &Path, hole: &Mask) -> Result<()> {
    let file = PendingFile::new(path, true)?;
    let bytes: Vec<u8> = hole.data.iter().map(|on| u8::from(*on) * 255).collect();
    save_png(file.path(), &bytes, (hole.width, hole.height), 1)?;
    file.commit()
}

/// Everything but the hole is taken from the file anew, so that nodata, alpha and classes stay as
/// they are.
fn save_tif(example: &Example, file: &PendingFile, image: &Raster, hole: &Mask) -> Result<()> {
    let scene = Scene::open(&example.info.path, "image")?;
    let mut output = writer::create_like(file, &scene, &[])?;
    let filled = example.info.data_bands();
    let mut write = || {
        let size = (image.width, image.height);
        for band in 1..=example.info.bands.len() {
            let source = scene.dataset.rasterband(band)?;
            let mut values = source.read_as::<f64>((0, 0), size, size, None)?;
            if let Some(position) = filled.iter().position(|filled| *filled == band) {
                let places = values.data_mut().iter_mut().zip(image.band(position));
                for ((place, value), hole) in places.zip(&hole.data) {
                    if *hole {
                        *place = f64::from(*value);
                    }
                }
            }
            output.rasterband(band)?.write((0, 0), size, &mut values)?;
        }
        if example.info.mask_band {
            let source = scene.dataset.rasterband(filled[0])?;
            let mut mask = source
                .open_mask_band()?
                .read_as::<u8>((0, 0), size, size, None)?;
            output
                .rasterband(1)?
                .open_mask_band()?
                .write((0, 0), size, &mut mask)?;
        }
        output.flush_cache()
    };
    write().map_err(|error| unwritable(file.target(), &error))
}

/// Bytes pixel by pixel, of one band or three; `size` is width and height.
fn save_png(path: &Path, bytes: &[u8], size: (usize, usize), bands: usize) -> Result<()> {
    let color = if bands == 3 {
        image::ColorType::Rgb8
    } else {
        image::ColorType::L8
    };
    let (width, height) = (size.0 as u32, size.1 as u32);
    image::save_buffer_with_format(path, bytes, width, height, color, image::ImageFormat::Png)
        .map_err(|error| Failure::failed(format!("cannot write {} ({error})", path.display())))
}
