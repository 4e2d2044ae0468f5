//! A scene that is open for reading, and everything about it that the output must keep.

use std::path::{Path, PathBuf};

use gdal::spatial_ref::SpatialRef;
use gdal::{Dataset, Metadata};
use serde::Serialize;

use super::dtype::DataType;
use super::encoding::{Encoding, OffsetChoice};
use super::{ffi, open_raster};
use crate::failure::{Failure, Result};

/// A wider or higher scene is taken for a hostile header.
const MAX_SIDE_PX: usize = 1_000_000;

/// Bands that classify pixels or hold flags: interpolated classes would be wrong ones.
const CLASS_BANDS: [&str; 9] = [
    "SCL",
    "QA_PIXEL",
    "QA_RADSAT",
    "SR_QA_AEROSOL",
    "QA60",
    "CLD",
    "SNW",
    "CLM",
    "FMASK",
];

/// What a scene is, for people (`unclouded info`) and for the code that keeps it so.
#[derive(Debug, Clone, Serialize)]
pub struct SceneInfo {
    /// The file.
    pub path: PathBuf,
    /// GDAL's name of the format.
    pub driver: String,
    /// Columns.
    pub width: usize,
    /// Rows.
    pub height: usize,
    /// The type of every band.
    pub dtype: DataType,
    /// The value that means "no data", the same for every band.
    pub nodata: Option<f64>,
    /// The value that means "no data" in products of this kind although no tag says so: 0 in
    /// Sentinel-2 and Landsat products. The output gets no tag either.
    pub usual_nodata: Option<f64>,
    /// Whether a mask band says which pixels hold data.
    pub mask_band: bool,
    /// The coordinate reference system, e.g. `EPSG:32648 (WGS 84 / UTM zone 48N)`.
    pub crs: Option<String>,
    /// GDAL's six numbers from (column, row) to coordinates.
    pub geotransform: Option<[f64; 6]>,
    /// The bands, alpha included.
    pub bands: Vec<BandInfo>,
    /// How stored values become reflectance.
    pub encoding: Encoding,
}

/// One band of a scene.
#[derive(Debug, Clone, Serialize)]
pub struct BandInfo {
    /// Counted from 1.
    pub number: usize,
    /// Its description, often the band's name.
    pub description: String,
    /// GDAL's colour interpretation.
    pub color: String,
    /// GDAL's number for it.
    #[serde(skip)]
    pub color_number: i32,
    /// Stored value times this, plus `offset`, is the physical value.
    pub scale: Option<f64>,
    /// See `scale`.
    pub offset: Option<f64>,
    /// Unit of the physical value.
    pub unit: String,
}

impl BandInfo {
    /// Whether the band says how opaque a pixel is.
    pub fn is_alpha(&self) -> bool {
        self.color_number == ffi::ALPHA
    }

    /// Whether the band holds classes or flags about the image (SCL, QA_PIXEL, ...), by its
    /// description.
    pub fn is_class(&self) -> bool {
        let name = self.first_word();
        CLASS_BANDS.contains(&name.as_str())
    }

    /// Whether the band is part of the image: neither alpha nor classes.
    pub fn is_image(&self) -> bool {
        !self.is_alpha() && !self.is_class()
    }

    /// The description up to the first space or comma, in capitals: `SCL` of GDAL's `SCL, Scene
    /// Classification`.
    pub fn first_word(&self) -> String {
        let end = self.description.find([',', ' ', ':']);
        self.description[..end.unwrap_or(self.description.len())].to_uppercase()
    }
}

/// A scene open for reading.
pub struct Scene {
    /// What it is.
    pub info: SceneInfo,
    /// GDAL's handle, opened read-only.
    pub dataset: Dataset,
    /// What it is to the user, e.g. "scene" or "reference".
    pub what: String,
}

impl Scene {
    /// Open a scene; `what` is what it is to the user.
    ///
    /// # Errors
    /// Exit 2 if it cannot be opened or its bands cannot be kept in one GeoTIFF: mixed data
    /// types, mixed nodata values, a palette.
    pub fn open(path: &Path, what: &str) -> Result<Self> {
        Self::open_with(path, what, OffsetChoice::Auto)
    }

    /// Open a file this program wrote, to compare stored values: what they mean is no matter.
    ///
    /// # Errors
    /// As [`Scene::open`].
    pub fn open_written(path: &Path) -> Result<Self> {
        Self::open_with(path, "output", OffsetChoice::Given(0.0))
    }

    /// Open a scene whose offset the user may have named.
    ///
    /// # Errors
    /// As [`Scene::open`], and if the metadata contradict themselves about the offset.
    pub fn open_with(path: &Path, what: &str, offset: OffsetChoice) -> Result<Self> {
        let dataset = open_raster(path, what)?;
        let mut info = describe(&dataset, path, what)?;
        info.encoding = Encoding::of(&dataset, &info.bands, info.dtype, offset)?;
        let special = dataset.metadata_item("SPECIAL_VALUE_NODATA", "");
        info.usual_nodata = special
            .and_then(|text| text.parse().ok())
            .or(info.encoding.product.then_some(0.0))
            .filter(|_| info.nodata.is_none() && info.dtype.is_integer());
        Ok(Scene {
            info,
            dataset,
            what: what.to_owned(),
        })
    }

    /// The bands that hold an image: all but alpha and classes, counted from 1.
    pub fn data_bands(&self) -> Vec<usize> {
        self.info.data_bands()
    }
}

impl SceneInfo {
    /// The bands that hold an image: all but alpha and classes, counted from 1.
    pub fn data_bands(&self) -> Vec<usize> {
        self.bands
            .iter()
            .filter(|band| band.is_image())
            .map(|band| band.number)
            .collect()
    }

    /// The bands that pass through unchanged: alpha and classes, counted from 1.
    pub fn kept_bands(&self) -> Vec<usize> {
        self.bands
            .iter()
            .filter(|band| !band.is_image())
            .map(|band| band.number)
            .collect()
    }

    /// The value that means "no data", by its tag or by the kind of product.
    pub fn missing_value(&self) -> Option<f64> {
        self.nodata.or(self.usual_nodata)
    }

    /// The alpha band, counted from 1.
    pub fn alpha_band(&self) -> Option<usize> {
        self.bands
            .iter()
            .find(|band| band.is_alpha())
            .map(|band| band.number)
    }
}

/// The affine mapping to coordinates; `None` for a raster without georeferencing, for which
/// GDAL reports an error or the identity.
pub fn geotransform(dataset: &Dataset) -> Option<[f64; 6]> {
    dataset
        .geo_transform()
        .ok()
        .filter(|numbers| *numbers != [0.0, 1.0, 0.0, 0.0, 0.0, 1.0])
}

/// `EPSG:32648 (WGS 84 / UTM zone 48N)`, or as much of that as is known.
pub fn crs_name(crs: &SpatialRef) -> String {
    match (crs.authority(), crs.name()) {
        (Ok(code), Some(name)) => format!("{code} ({name})"),
        (Ok(code), None) => code,
        (Err(_), Some(name)) => name,
        (Err(_), None) => "unnamed".to_owned(),
    }
}

fn describe(dataset: &Dataset, path: &Path, what: &str) -> Result<SceneInfo> {
    let broken = |error| super::unreadable(what, &error);
    // (cols, rows), as GDAL has it everywhere.
    let (width, height) = dataset.raster_size();
    if width == 0 || height == 0 || width > MAX_SIDE_PX || height > MAX_SIDE_PX {
        return Err(Failure::mismatch(
            format!("size of the {what}"),
            format!("1 to {MAX_SIDE_PX} px a side"),
            format!("{width} x {height}"),
        ));
    }
    let mut bands = Vec::new();
    let mut dtype = None;
    let mut nodata: Option<Option<f64>> = None;
    let mut mask_band = false;
    for number in 1..=dataset.raster_count() {
        let band = dataset.rasterband(number).map_err(broken)?;
        let color_number = ffi::color_interpretation(&band);
        if color_number == ffi::PALETTE && what == "scene" {
            return Err(Failure::mismatch(
                "scene",
                "bands with measured values",
                "a palette image",
            )
            .hint("expand it first: gdal_translate -expand rgb"));
        }
        let own = DataType::from_gdal(band.band_type(), what)?;
        let all = *dtype.get_or_insert(own);
        if own != all {
            return Err(Failure::mismatch(
                format!("data type of band {number} of the {what}"),
                format!("{} as in band 1", all.name()),
                own.name(),
            )
            .hint(
                "a GeoTIFF has one type for all bands; convert it first with gdal_translate -ot",
            ));
        }
        let flags = band.mask_flags().map_err(broken)?;
        mask_band |= flags.is_per_dataset() && !flags.is_alpha() && !flags.is_nodata();
        let described = BandInfo {
            number,
            description: band.description().unwrap_or_default(),
            color: ffi::color_interpretation_name(color_number),
            color_number,
            scale: band.scale().filter(|scale| *scale != 1.0),
            offset: band.offset().filter(|offset| *offset != 0.0),
            unit: band.unit(),
        };
        if described.is_image() {
            let own = band.no_data_value();
            let all = *nodata.get_or_insert(own);
            let same = own.map(f64::to_bits) == all.map(f64::to_bits);
            if !same {
                let show = |value: Option<f64>| {
                    value.map_or_else(|| "none".to_owned(), |value| value.to_string())
                };
                return Err(Failure::mismatch(
                    format!("nodata value of band {number} of the {what}"),
                    format!("{} as in band 1", show(all)),
                    show(own),
                )
                .hint("a GeoTIFF has one nodata value for all bands; set it with gdal_translate -a_nodata"));
            }
        }
        bands.push(described);
    }
    let Some(dtype) = dtype.filter(|_| bands.iter().any(BandInfo::is_image)) else {
        return Err(Failure::mismatch(
            what,
            "a raster with an image",
            "only an alpha band or bands of classes",
        )
        .hint("give the raster with the spectral bands; a mask belongs after --mask"));
    };
    Ok(SceneInfo {
        path: path.to_owned(),
        driver: dataset.driver().short_name(),
        width,
        height,
        dtype,
        nodata: nodata.flatten(),
        usual_nodata: None,
        mask_band,
        crs: dataset.spatial_ref().ok().map(|crs| crs_name(&crs)),
        geotransform: geotransform(dataset),
        bands,
        encoding: Encoding::plain(),
    })
}
