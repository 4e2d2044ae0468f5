//! GeoTIFFs on the grid of a scene: same place, same bands, same metadata.

use std::path::Path;

use gdal::errors::GdalError;
use gdal::raster::{ColorEntry, ColorTable, PaletteInterpretation};
use gdal::{Dataset, DriverManager, Metadata};
use unclouded_core::restore::provenance;

use super::dtype::DataType;
use super::format::Format;
use super::pending::PendingFile;
use super::scene::Scene;
use super::{ffi, unwritable};
use crate::failure::Result;
use crate::for_dtype;

/// GDAL's numbers for red, green and blue.
const RGB: [i32; 3] = [3, 4, 5];
/// Metadata domains that describe the place or the sensor; the others describe the file.
const KEPT_DOMAINS: [&str; 3] = ["", "RPC", "IMAGERY"];

/// How a viewer shows the provenance: observed pale, filled in a colour that stands out for
/// colour-blind eyes as well.
const COLORS: [(u8, [i16; 3]); 4] = [
    (provenance::NODATA, [0, 0, 0]),
    (provenance::OBSERVED, [222, 222, 222]),
    (provenance::FILLED, [213, 94, 0]),
    (provenance::LEFT, [0, 114, 178]),
];

/// Key and value of a metadata item.
pub type Tag = (String, String);

/// Create a raster like the scene, stored as is usual; see [`create_filled`].
///
/// # Errors
/// Exit 1 if the file cannot be created.
pub fn create_like(file: &PendingFile, scene: &Scene, tags: &[Tag]) -> Result<Dataset> {
    create_filled(file, scene, &Format::default(), tags)
}

/// Create the filled scene: everything of the scene but its pixels, and `tags`.
///
/// # Errors
/// Exit 1 if the file cannot be created.
pub fn create_filled(
    file: &PendingFile,
    scene: &Scene,
    format: &Format,
    tags: &[Tag],
) -> Result<Dataset> {
    let info = &scene.info;
    let colors: Vec<i32> = info.bands.iter().map(|band| band.color_number).collect();
    let photometric = if colors.starts_with(&RGB) {
        "RGB"
    } else {
        "MINISBLACK"
    };
    let create = || -> std::result::Result<Dataset, GdalError> {
        let interleave = scene.dataset.metadata_item("INTERLEAVE", "IMAGE_STRUCTURE");
        let interleave = interleave.filter(|way| way == "PIXEL" || way == "BAND");
        let mut output = create(
            file.making(),
            scene,
            format,
            info.dtype,
            info.bands.len(),
            &[
                ("PHOTOMETRIC", photometric),
                ("INTERLEAVE", interleave.as_deref().unwrap_or("BAND")),
            ],
        )?;
        for domain in KEPT_DOMAINS {
            copy_metadata(&scene.dataset, &mut output, domain)?;
        }
        for (key, value) in tags {
            output.set_metadata_item(key, value, "")?;
        }
        for band in &info.bands {
            let source = scene.dataset.rasterband(band.number)?;
            let mut target = output.rasterband(band.number)?;
            ffi::set_color_interpretation(&target, band.color_number);
            target.set_description(&band.description)?;
            ffi::set_unit(&target, &band.unit);
            if let Some(scale) = source.scale() {
                target.set_scale(scale)?;
            }
            if let Some(offset) = source.offset() {
                target.set_offset(offset)?;
            }
            if let Some(nodata) = info.nodata {
                target.set_no_data_value(Some(nodata))?;
            }
            copy_metadata(&source, &mut target, "")?;
        }
        if info.mask_band {
            // Inside the file: a mask beside it could not be renamed together with it.
            gdal::config::set_config_option("GDAL_TIFF_INTERNAL_MASK", "YES")?;
            output.rasterband(1)?.create_mask_band(true)?;
        }
        Ok(output)
    };
    create().map_err(|error| unwritable(file.target(), &error))
}

/// Create a float32 raster with the scene's data bands, NaN where there is no data.
///
/// # Errors
/// Exit 1 if the file cannot be created.
pub fn create_uncertainty(
    file: &PendingFile,
    scene: &Scene,
    format: &Format,
    tags: &[Tag],
) -> Result<Dataset> {
    let bands = scene.data_bands();
    let create = || -> std::result::Result<Dataset, GdalError> {
        let mut output = create(
            file.making(),
            scene,
            format,
            DataType::F32,
            bands.len(),
            &[("PHOTOMETRIC", "MINISBLACK")],
        )?;
        output.set_metadata_item("UNCLOUDED_CONTENT", "standard deviation of the samples", "")?;
        for (key, value) in tags {
            output.set_metadata_item(key, value, "")?;
        }
        for (position, &band) in bands.iter().enumerate() {
            let mut target = output.rasterband(position + 1)?;
            target.set_description(&scene.info.bands[band - 1].description)?;
            target.set_no_data_value(Some(f64::NAN))?;
        }
        Ok(output)
    };
    create().map_err(|error| unwritable(file.target(), &error))
}

/// Create the uint8 raster that says what every pixel is: 0 nodata, 1 observed, 2 filled, 3
/// left as too uncertain.
///
/// # Errors
/// Exit 1 if the file cannot be created.
pub fn create_provenance(
    file: &PendingFile,
    scene: &Scene,
    format: &Format,
    tags: &[Tag],
) -> Result<Dataset> {
    let create = || -> std::result::Result<Dataset, GdalError> {
        let mut output = create(
            file.making(),
            scene,
            format,
            DataType::U8,
            1,
            &[("PHOTOMETRIC", "PALETTE")],
        )?;
        for (key, value) in tags {
            output.set_metadata_item(key, value, "")?;
        }
        let mut band = output.rasterband(1)?;
        band.set_description("provenance")?;
        band.set_no_data_value(Some(f64::from(provenance::NODATA)))?;
        let mut colors = ColorTable::new(PaletteInterpretation::Rgba);
        for (value, [r, g, b]) in COLORS {
            colors.set_color_entry(value.into(), &ColorEntry::rgba(r, g, b, 255));
        }
        band.set_color_table(&colors);
        // Not as category names: GDAL puts these into a file beside the GeoTIFF.
        band.set_metadata_item("CLASSES", "0=nodata,1=observed,2=filled,3=left", "")?;
        Ok(output)
    };
    create().map_err(|error| unwritable(file.target(), &error))
}

/// An empty tiled GeoTIFF on the scene's grid.
///
/// # Errors
/// What GDAL says.
pub fn create(
    path: &Path,
    scene: &Scene,
    format: &Format,
    dtype: DataType,
    bands: usize,
    more: &[(&str, &str)],
) -> std::result::Result<Dataset, GdalError> {
    let mut options = format.creation(dtype)?;
    for (name, value) in more {
        options.set_name_value(name, value)?;
    }
    let info = &scene.info;
    let driver = DriverManager::get_driver_by_name("GTiff")?;
    let mut output = for_dtype!(dtype, T => driver.create_with_band_type_with_options::<T, _>(
        path, info.width, info.height, bands, &options,
    ))?;
    // Before the geotransform: it says whether that is about corners or centres of pixels.
    if let Some(registration) = scene.dataset.metadata_item("AREA_OR_POINT", "") {
        output.set_metadata_item("AREA_OR_POINT", &registration, "")?;
    }
    if let Some(numbers) = info.geotransform {
        output.set_geo_transform(&numbers)?;
    }
    if let Ok(crs) = scene.dataset.spatial_ref() {
        output.set_spatial_ref(&crs)?;
    }
    copy_control_points(&scene.dataset, &output)?;
    Ok(output)
}

/// Ground control points stand in for the geotransform of a raw image.
fn copy_control_points(from: &Dataset, to: &Dataset) -> std::result::Result<(), GdalError> {
    let points: Vec<gdal::Gcp> = from.gcps().iter().map(gdal::Gcp::from).collect();
    match from.gcp_spatial_ref() {
        Some(crs) if !points.is_empty() => to.set_gcps(points, &crs),
        _ => Ok(()),
    }
}

fn copy_metadata(
    from: &impl Metadata,
    to: &mut impl Metadata,
    domain: &str,
) -> std::result::Result<(), GdalError> {
    for item in from.metadata_domain(domain).unwrap_or_default() {
        let Some((key, value)) = item.split_once('=') else {
            continue;
        };
        // Statistics are of the cloudy pixels and no longer true.
        if !key.starts_with("STATISTICS_") {
            to.set_metadata_item(key, value, domain)?;
        }
    }
    Ok(())
}
