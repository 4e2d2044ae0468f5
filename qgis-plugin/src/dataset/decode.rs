//! One image file to planar pixels in their own type: JPEG and PNG by the image crate,
//! GeoTIFF by GDAL.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use gdal::Dataset;
use gdal::raster::{GdalDataType, GdalType};
use image::{DynamicImage, ImageFormat, ImageReader};

/// Images of more pixels than this (all bands together) are refused: they are scenes, not
/// tiles, and would not fit into memory beside others.
const MAX_VALUES: usize = 1 << 29;

/// Pixel values in the type of their file, planar `[bands, height, width]`.
#[derive(Debug, Clone, PartialEq)]
pub enum Pixels {
    /// 8-bit.
    U8(Vec<u8>),
    /// 16-bit, and other integers that fit.
    U16(Vec<u16>),
    /// Everything else.
    F32(Vec<f32>),
}

/// One decoded image.
#[derive(Debug, Clone, PartialEq)]
pub struct Tile {
    /// Name of the file, for the holdout rule and messages.
    pub name: String,
    /// Number of selected bands.
    pub bands: usize,
    /// Number of rows.
    pub height: usize,
    /// Number of columns.
    pub width: usize,
    /// The values of the selected bands.
    pub pixels: Pixels,
    /// `[height, width]`: true where all selected bands hold data; `None`: everywhere.
    pub valid: Option<Vec<bool>>,
}

/// Where the bytes of an image are.
#[derive(Debug)]
pub enum Encoded {
    /// A file of its own.
    File(PathBuf),
    /// Already read, e.g. out of a tar.
    Bytes(Vec<u8>),
}

/// The kinds of files that are read, by extension.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// JPEG.
    Jpeg,
    /// PNG.
    Png,
    /// TIFF or GeoTIFF.
    Tiff,
}

impl Kind {
    /// The kind of a file, or `None` for files that are not tiles (also hidden files).
    pub fn of(name: &str) -> Option<Self> {
        let file = name.rsplit(['/', '\\']).next().unwrap_or(name);
        let (stem, extension) = file.rsplit_once('.')?;
        if stem.is_empty() || stem.starts_with('.') {
            return None;
        }
        match extension.to_ascii_lowercase().as_str() {
            "jpg" | "jpeg" => Some(Self::Jpeg),
            "png" => Some(Self::Png),
            "tif" | "tiff" => Some(Self::Tiff),
            _ => None,
        }
    }
}

/// Decodes one image.
///
/// `bands`: 1-based selection, or `None` for all (an alpha channel is never a band: where it
/// is 0 the pixel is nodata). Errors are a short reason for the log.
pub fn decode(
    name: String,
    kind: Kind,
    encoded: Encoded,
    bands: Option<&[usize]>,
) -> Result<Tile, String> {
    match (kind, encoded) {
        (Kind::Tiff, Encoded::File(path)) => decode_gdal(name, &path, bands),
        (Kind::Tiff, Encoded::Bytes(bytes)) => {
            // GDAL's in-memory files share one name space among threads.
            static NEXT: AtomicU64 = AtomicU64::new(0);
            let number = NEXT.fetch_add(1, Ordering::Relaxed);
            let path = PathBuf::from(format!("/vsimem/unclouded-tile-{number}.tif"));
            gdal::vsi::create_mem_file(&path, bytes).map_err(|e| e.to_string())?;
            let tile = decode_gdal(name, &path, bands);
            gdal::vsi::unlink_mem_file(&path).map_err(|e| e.to_string())?;
            tile
        }
        (kind, encoded) => {
            let bytes = match encoded {
                Encoded::File(path) => std::fs::read(path).map_err(|e| e.to_string())?,
                Encoded::Bytes(bytes) => bytes,
            };
            decode_image(name, kind, &bytes, bands)
        }
    }
}

fn decode_image(
    name: String,
    kind: Kind,
    bytes: &[u8],
    bands: Option<&[usize]>,
) -> Result<Tile, String> {
    let format = if kind == Kind::Png {
        ImageFormat::Png
    } else {
        ImageFormat::Jpeg
    };
    let image = ImageReader::with_format(std::io::Cursor::new(bytes), format)
        .decode()
        .map_err(|e| e.to_string())?;
    let (height, width) = (image.height() as usize, image.width() as usize);
    let color = image.color();
    let channels = usize::from(color.channel_count());
    let colours = channels - usize::from(color.has_alpha());
    let chosen = select(bands, colours)?;
    let (pixels, valid) = match &image {
        DynamicImage::ImageLuma16(_)
        | DynamicImage::ImageLumaA16(_)
        | DynamicImage::ImageRgb16(_)
        | DynamicImage::ImageRgba16(_) => {
            // Decoded arrays are in the machine's byte order.
            let values: Vec<u16> = image
                .as_bytes()
                .chunks_exact(2)
                .map(|b| u16::from_ne_bytes([b[0], b[1]]))
                .collect();
            let valid = alpha(&values, channels, colours);
            (Pixels::U16(planar(&values, channels, &chosen)), valid)
        }
        DynamicImage::ImageLuma8(_)
        | DynamicImage::ImageLumaA8(_)
        | DynamicImage::ImageRgb8(_)
        | DynamicImage::ImageRgba8(_) => {
            let values = image.as_bytes();
            let valid = alpha(values, channels, colours);
            (Pixels::U8(planar(values, channels, &chosen)), valid)
        }
        other => return Err(format!("unsupported pixel type {:?}", other.color())),
    };
    Ok(Tile {
        name,
        bands: chosen.len(),
        height,
        width,
        pixels,
        valid,
    })
}

/// 0-based channels of a 1-based selection.
fn select(bands: Option<&[usize]>, available: usize) -> Result<Vec<usize>, String> {
    let Some(bands) = bands else {
        return Ok((0..available).collect());
    };
    bands
        .iter()
        .map(|&band| match band {
            b if (1..=available).contains(&b) => Ok(b - 1),
            b => Err(format!("band {b} of {available}")),
        })
        .collect()
}

fn planar<T: Copy>(interleaved: &[T], channels: usize, chosen: &[usize]) -> Vec<T> {
    chosen
        .iter()
        .flat_map(|&channel| interleaved.iter().skip(channel).step_by(channels).copied())
        .collect()
}

/// Where alpha is not 0; `None` when there is no alpha or no transparent pixel.
fn alpha<T: Copy + Default + PartialEq>(
    interleaved: &[T],
    channels: usize,
    colours: usize,
) -> Option<Vec<bool>> {
    if channels == colours {
        return None;
    }
    let valid: Vec<bool> = interleaved
        .iter()
        .skip(colours)
        .step_by(channels)
        .map(|&a| a != T::default())
        .collect();
    valid.contains(&false).then_some(valid)
}

fn decode_gdal(name: String, path: &Path, bands: Option<&[usize]>) -> Result<Tile, String> {
    let text = |e: gdal::errors::GdalError| e.to_string();
    let dataset = Dataset::open(path).map_err(text)?;
    // GDAL says (cols, rows).
    let (width, height) = dataset.raster_size();
    let mut colours = dataset.raster_count();
    if colours > 1 {
        let last = dataset.rasterband(colours).map_err(text)?;
        if last.color_interpretation() == gdal::raster::ColorInterpretation::AlphaBand {
            colours -= 1;
        }
    }
    let chosen = select(bands, colours)?;
    if chosen.is_empty() {
        return Err("no raster band".into());
    }
    let values = width
        .checked_mul(height)
        .and_then(|n| n.checked_mul(chosen.len()));
    if values.is_none_or(|n| n > MAX_VALUES) {
        return Err(format!(
            "{width}x{height} with {} bands is too large",
            chosen.len()
        ));
    }
    let mut types = Vec::new();
    for &band in &chosen {
        types.push(dataset.rasterband(band + 1).map_err(text)?.band_type());
    }
    let pixels = if types.iter().all(|t| *t == GdalDataType::UInt8) {
        Pixels::U8(read_gdal(&dataset, &chosen)?)
    } else if types
        .iter()
        .all(|t| matches!(t, GdalDataType::UInt8 | GdalDataType::UInt16))
    {
        Pixels::U16(read_gdal(&dataset, &chosen)?)
    } else {
        let floats = [GdalDataType::Float32, GdalDataType::Float64];
        compact(
            read_gdal(&dataset, &chosen)?,
            types.iter().any(|t| floats.contains(t)),
        )
    };
    let valid = valid_gdal(&dataset, &chosen, &pixels, height * width)?;
    Ok(Tile {
        name,
        bands: chosen.len(),
        height,
        width,
        pixels,
        valid,
    })
}

fn read_gdal<T: GdalType + Copy>(dataset: &Dataset, chosen: &[usize]) -> Result<Vec<T>, String> {
    let mut values = Vec::new();
    for &band in chosen {
        // GDAL counts bands from 1.
        let band = dataset.rasterband(band + 1).map_err(|e| e.to_string())?;
        values.extend(
            band.read_band_as::<T>()
                .map_err(|e| e.to_string())?
                .into_shape_and_vec()
                .1,
        );
    }
    Ok(values)
}

/// Integers that fit into 16 bits take half the memory.
fn compact(values: Vec<f32>, floating: bool) -> Pixels {
    let fits = |v: &f32| (0.0..=65535.0).contains(v);
    if !floating && values.iter().all(fits) {
        return Pixels::U16(values.iter().map(|&v| v as u16).collect());
    }
    Pixels::F32(values)
}

/// GDAL's masks (nodata value, mask band, alpha) of all chosen bands, and NaN or infinity.
fn valid_gdal(
    dataset: &Dataset,
    chosen: &[usize],
    pixels: &Pixels,
    plane: usize,
) -> Result<Option<Vec<bool>>, String> {
    let text = |e: gdal::errors::GdalError| e.to_string();
    let mut valid = vec![true; plane];
    for &band in chosen {
        let band = dataset.rasterband(band + 1).map_err(text)?;
        if band.mask_flags().map_err(text)?.is_all_valid() {
            continue;
        }
        let mask = band
            .open_mask_band()
            .map_err(text)?
            .read_band_as::<u8>()
            .map_err(text)?;
        for (valid, &mask) in valid.iter_mut().zip(mask.data()) {
            *valid &= mask != 0;
        }
    }
    if let Pixels::F32(values) = pixels {
        for (i, value) in values.iter().enumerate() {
            valid[i % plane] &= value.is_finite();
        }
    }
    Ok(valid.contains(&false).then_some(valid))
}
