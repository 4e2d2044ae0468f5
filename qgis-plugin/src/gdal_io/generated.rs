//! Images that were generated: values for the files, GeoTIFFs, PNGs and grids of them.

use std::io::Write;
use std::path::Path;

use gdal::errors::GdalError;
use gdal::raster::{Buffer, RasterCreationOptions};
use gdal::{DriverManager, Metadata};
use image::codecs::png::PngEncoder;
use image::{ExtendedColorType, ImageEncoder};
use unclouded_core::raster::{Mask, Raster};

use super::dtype::{DataType, StoredValue};
use super::pending::PendingFile;
use super::scene::Scene;
use super::writer::Tag;
use super::{unreadable, unwritable};
use crate::failure::{Failure, Result};
use crate::for_dtype;

/// Width of the white lines of a grid.
const GAP_PX: usize = 2;

/// Bands of the upper left of a scene in its units, and which pixels hold data.
///
/// # Errors
/// Exit 2 if the pixels cannot be read.
pub fn read_corner(
    scene: &Scene,
    bands: &[usize],
    height: usize,
    width: usize,
) -> Result<(Raster, Mask)> {
    let info = &scene.info;
    let (height, width) = (height.min(info.height), width.min(info.width));
    let (shift, nodata) = (info.encoding.shift as f32, info.missing_value());
    let mut raster = Raster::new(bands.len(), height, width);
    let mut valid = Mask::new(height, width, true);
    for (position, band) in bands.iter().enumerate() {
        let window = unclouded_core::raster::Window::full(height, width);
        for_dtype!(info.dtype, T => {
            let values = super::source::read_native::<T>(&scene.dataset, *band, window)
                .map_err(|error| unreadable("scene", &error))?;
            let nodata = nodata.and_then(<T as StoredValue>::nodata);
            let pixels = raster.band_mut(position).iter_mut().zip(&mut valid.data);
            for ((slot, valid), value) in pixels.zip(values) {
                *valid &= value.is_finite_value() && !value.is_nodata(nodata);
                *slot = value.to_f32() + shift;
            }
        });
    }
    Ok((raster, valid))
}

/// Writes an image in the units of its values as a GeoTIFF; with a scene, in that scene's place,
/// its first pixel on the scene's.
///
/// # Errors
/// Exit 1 if the file cannot be written.
pub fn write_tif(
    target: &Path,
    overwrite: bool,
    image: &Raster,
    dtype: DataType,
    names: &[String],
    place: Option<&Scene>,
    tags: &[Tag],
) -> Result<PendingFile> {
    let file = PendingFile::new(target, overwrite)?;
    let shift = place.map_or(0.0, |scene| scene.info.encoding.shift as f32);
    let errors_before = super::error_count();
    let write = || -> std::result::Result<(), GdalError> {
        let mut options = RasterCreationOptions::new();
        options.set_name_value("TILED", "YES")?;
        options.set_name_value("COMPRESS", "DEFLATE")?;
        let rgb = if image.bands == 3 {
            "RGB"
        } else {
            "MINISBLACK"
        };
        options.set_name_value("PHOTOMETRIC", rgb)?;
        let driver = DriverManager::get_driver_by_name("GTiff")?;
        for_dtype!(dtype, T => {
            let mut output = driver.create_with_band_type_with_options::<T, _>(
                file.path(), image.width, image.height, image.bands, &options,
            )?;
            if let Some(scene) = place {
                if let Some(numbers) = scene.info.geotransform {
                    output.set_geo_transform(&numbers)?;
                }
                if let Ok(crs) = scene.dataset.spatial_ref() {
                    output.set_spatial_ref(&crs)?;
                }
            }
            for (key, value) in tags {
                output.set_metadata_item(key, value, "")?;
            }
            let nodata = place.and_then(|scene| scene.info.missing_value());
            let nodata = nodata.and_then(<T as StoredValue>::nodata);
            for band in 0..image.bands {
                let values: Vec<T> = image
                    .band(band)
                    .iter()
                    .map(|value| <T as StoredValue>::from_fill(f64::from(*value) - f64::from(shift), nodata))
                    .collect();
                let mut target = output.rasterband(band + 1)?;
                if let Some(name) = names.get(band) {
                    target.set_description(name)?;
                }
                // (cols, rows)
                let size = (image.width, image.height);
                target.write((0, 0), size, &mut Buffer::new(size, values))?;
            }
            output.flush_cache()?;
            output.close()
        })
    };
    write().map_err(|error| unwritable(target, &error))?;
    if super::error_count() > errors_before {
        return Err(Failure::failed(format!(
            "cannot write {} ({})",
            target.display(),
            super::last_error()
        ))
        .hint("is there room on the disk?"));
    }
    Ok(file)
}

/// Writes bytes, one or three a pixel, as a PNG with `tags` as its text.
///
/// # Errors
/// Exit 1 if the file cannot be written.
pub fn write_png(
    target: &Path,
    overwrite: bool,
    picture: &Picture,
    tags: &[Tag],
) -> Result<PendingFile> {
    let file = PendingFile::new(target, overwrite)?;
    let failed = |error: &dyn std::fmt::Display| {
        Failure::failed(format!("cannot write {} ({error})", target.display()))
            .hint("is there room on the disk, and may you write there?")
    };
    let mut bytes = Vec::new();
    let color = match picture.bands {
        1 => ExtendedColorType::L8,
        _ => ExtendedColorType::Rgb8,
    };
    PngEncoder::new(&mut bytes)
        .write_image(
            &picture.data,
            picture.width as u32,
            picture.height as u32,
            color,
        )
        .map_err(|error| failed(&error))?;
    std::fs::File::create(file.path())
        .and_then(|mut out| out.write_all(&with_text(bytes, tags)))
        .map_err(|error| failed(&error))?;
    Ok(file)
}

/// An 8-bit picture, bands interleaved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Picture {
    /// 1 or 3.
    pub bands: usize,
    /// Rows.
    pub height: usize,
    /// Columns.
    pub width: usize,
    /// `[height, width, bands]`.
    pub data: Vec<u8>,
}

impl Picture {
    /// An image in the units of its values, `low` black and `high` white; of one or three bands.
    pub fn new(image: &Raster, low: f32, high: f32) -> Self {
        let byte = |value: f32| ((value - low) / (high - low) * 255.0).round() as u8;
        let pixel = |i: usize| (0..image.bands).map(move |band| byte(image.band(band)[i]));
        Picture {
            bands: image.bands,
            height: image.height,
            width: image.width,
            data: (0..image.pixels()).flat_map(pixel).collect(),
        }
    }

    /// Pictures of one size in rows, as nearly square as their number allows.
    pub fn grid(pictures: &[Picture]) -> Self {
        let Some(first) = pictures.first() else {
            return Picture {
                bands: 1,
                height: 0,
                width: 0,
                data: Vec::new(),
            };
        };
        let columns = (1..=pictures.len())
            .find(|n| n * n >= pictures.len())
            .unwrap_or(1);
        let rows = pictures.len().div_ceil(columns);
        let (bands, high, wide) = (first.bands, first.height + GAP_PX, first.width + GAP_PX);
        let (height, width) = (rows * high - GAP_PX, columns * wide - GAP_PX);
        let mut data = vec![255u8; bands * height * width];
        for (index, picture) in pictures.iter().enumerate() {
            let (top, left) = ((index / columns) * high, (index % columns) * wide);
            for (row, line) in picture.data.chunks_exact(bands * picture.width).enumerate() {
                let at = bands * ((top + row) * width + left);
                data[at..at + line.len()].copy_from_slice(line);
            }
        }
        Picture {
            bands,
            height,
            width,
            data,
        }
    }
}

/// Adds `tEXt` chunks after the header of a PNG (PNG specification, 11.3.4.3): length, type,
/// keyword, 0, text, CRC of type and data.
fn with_text(png: Vec<u8>, tags: &[Tag]) -> Vec<u8> {
    /// Signature and header chunk.
    const HEADER: usize = 8 + 25;
    let latin = |text: &str| -> Vec<u8> {
        text.chars()
            .map(|c| u8::try_from(c).unwrap_or(b'?'))
            .collect()
    };
    let mut chunks = Vec::new();
    for (key, value) in tags {
        let mut body = b"tEXt".to_vec();
        body.extend(latin(key));
        body.push(0);
        body.extend(latin(value));
        let mut crc = flate2::Crc::new();
        crc.update(&body);
        chunks.extend(((body.len() - 4) as u32).to_be_bytes());
        chunks.extend(&body);
        chunks.extend(crc.sum().to_be_bytes());
    }
    let at = HEADER.min(png.len());
    [&png[..at], &chunks, &png[at..]].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grids_are_nearly_square_with_white_lines() {
        let image = Raster::from_vec(1, 2, 3, vec![0.0, 5.0, 10.0, -9.0, 99.0, 2.5]).unwrap();
        let one = Picture::new(&image, 0.0, 10.0);
        assert_eq!(one.data, [0, 128, 255, 0, 255, 64]);
        assert_eq!(Picture::grid(std::slice::from_ref(&one)), one);
        let five = Picture::grid(&vec![one.clone(); 5]);
        assert_eq!((five.height, five.width), (2 * 2 + 2, 3 * 3 + 2 * 2));
        assert_eq!(five.data[..8], [0, 128, 255, 255, 255, 0, 128, 255]);
        assert_eq!(five.data[five.data.len() - 1], 255);
    }

    #[test]
    fn text_of_a_png_is_read_back() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("p.png");
        let picture = Picture {
            bands: 3,
            height: 1,
            width: 2,
            data: vec![1, 2, 3, 4, 5, 6],
        };
        let tags = [("UNCLOUDED_SEED".to_owned(), "7".to_owned())];
        write_png(&path, false, &picture, &tags)
            .unwrap()
            .commit()
            .unwrap();
        let read = image::open(&path).unwrap().to_rgb8();
        assert_eq!(read.into_raw(), picture.data);
        let dataset = gdal::Dataset::open(&path).unwrap();
        assert_eq!(
            dataset.metadata_item("UNCLOUDED_SEED", "").as_deref(),
            Some("7")
        );
    }
}
