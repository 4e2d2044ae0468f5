//! How output rasters are stored: plain or cloud-optimised GeoTIFF, compression, overviews.

use gdal::raster::RasterCreationOptions;
use gdal::{DriverManager, Metadata};
use serde::Serialize;
use unclouded_core::restore::Expected;

use super::dtype::DataType;
use crate::failure::{Failure, Result};

/// Overviews are made until one is no larger than this.
const SMALLEST_OVERVIEW_PX: usize = 256;

/// `--compress`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum, Serialize)]
pub enum Compress {
    /// Not at all: largest and fastest
    None,
    /// Deflate: read by everything
    #[default]
    Deflate,
    /// LZW: faster than Deflate and a little larger
    Lzw,
    /// Zstandard: faster than Deflate and no larger; not read by old programs
    Zstd,
}

impl Compress {
    /// GDAL's name.
    fn name(self) -> &'static str {
        match self {
            Compress::None => "NONE",
            Compress::Deflate => "DEFLATE",
            Compress::Lzw => "LZW",
            Compress::Zstd => "ZSTD",
        }
    }
}

/// How rasters are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Format {
    /// A cloud-optimised GeoTIFF; it always has overviews.
    pub cog: bool,
    /// Compression, with the predictor that suits the data type.
    pub compress: Compress,
    /// Overviews inside the file.
    pub overviews: bool,
}

impl Format {
    /// Check that this GDAL can write so.
    ///
    /// # Errors
    /// Exit 2 for a compression or driver it was built without.
    pub fn check(&self) -> Result<()> {
        let driver = if self.cog { "COG" } else { "GTiff" };
        let missing = |what: &str| {
            Failure::mismatch(
                "this GDAL",
                format!("one that writes {what}"),
                "one without",
            )
        };
        let found = DriverManager::get_driver_by_name(driver)
            .map_err(|_| missing(driver).hint("leave out --cog, or use GDAL 3.1 or later"))?;
        let options = found
            .metadata_item("DMD_CREATIONOPTIONLIST", "")
            .unwrap_or_default();
        let value = format!("<Value>{}</Value>", self.compress.name());
        if self.compress == Compress::None || options.contains(&value) {
            return Ok(());
        }
        Err(missing(self.compress.name()).hint("try --compress deflate"))
    }

    /// Creation options of a GeoTIFF of this type.
    ///
    /// # Errors
    /// What GDAL says.
    pub fn creation(
        &self,
        dtype: DataType,
    ) -> std::result::Result<RasterCreationOptions, gdal::errors::GdalError> {
        let mut options = RasterCreationOptions::new();
        options.set_name_value("TILED", "YES")?;
        options.set_name_value("COMPRESS", self.compress.name())?;
        if self.compress != Compress::None {
            options.set_name_value("PREDICTOR", predictor(dtype))?;
        }
        if self.cog && self.compress != Compress::None {
            // Read once and thrown away: quick rather than small.
            let level = match self.compress {
                Compress::Deflate => Some("ZLEVEL"),
                Compress::Zstd => Some("ZSTD_LEVEL"),
                _ => None,
            };
            if let Some(level) = level {
                options.set_name_value(level, "1")?;
            }
        }
        options.set_name_value("BIGTIFF", "IF_SAFER")?;
        Ok(options)
    }

    /// Creation options of the copy that becomes a cloud-optimised GeoTIFF.
    ///
    /// # Errors
    /// What GDAL says.
    pub fn copying(
        &self,
        resampling: &str,
    ) -> std::result::Result<RasterCreationOptions, gdal::errors::GdalError> {
        let mut options = RasterCreationOptions::new();
        options.set_name_value("COMPRESS", self.compress.name())?;
        if self.compress != Compress::None {
            options.set_name_value("PREDICTOR", "YES")?;
        }
        options.set_name_value("OVERVIEWS", "IGNORE_EXISTING")?;
        options.set_name_value("RESAMPLING", resampling)?;
        options.set_name_value("BIGTIFF", "IF_SAFER")?;
        Ok(options)
    }

    /// What copying, closing and comparing are likely to take, of a scene whose survey took so
    /// many seconds and of which `pixels` are to be copied, each read and written. Ratios measured
    /// on four bands of 16 bits; the copying is timed as soon as it begins.
    pub fn expected(&self, survey_seconds: f64, pixels: u64) -> Expected {
        let compressing = match self.compress {
            Compress::None => 0.1,
            Compress::Lzw => 0.4,
            Compress::Zstd => 0.4,
            Compress::Deflate => 1.0,
        };
        let reading = 0.2;
        let overviews = if self.cog || self.overviews { 0.5 } else { 0.0 };
        let again = if self.cog { reading + compressing } else { 0.0 };
        Expected {
            copied_px: survey_seconds * (2.0 * reading + compressing) / pixels.max(1) as f64,
            after: survey_seconds * (2.0 * reading + again + overviews),
        }
    }

    /// Factors of the overviews of a raster: 2, 4, 8, ...; none for a small one.
    pub fn levels(height: usize, width: usize) -> Vec<i32> {
        let mut levels = Vec::new();
        let mut factor = 1;
        while height.max(width).div_ceil(factor as usize) > SMALLEST_OVERVIEW_PX {
            factor *= 2;
            levels.push(factor);
        }
        levels
    }
}

/// 2: horizontal differences of integers, 3: of the bytes of floats.
fn predictor(dtype: DataType) -> &'static str {
    if dtype.is_integer() { "2" } else { "3" }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn overviews_end_where_a_screen_takes_the_whole() {
        assert!(Format::levels(100, 256).is_empty());
        assert_eq!(Format::levels(100, 257), [2]);
        assert_eq!(Format::levels(10_980, 10_980), [2, 4, 8, 16, 32, 64]);
    }

    #[test]
    fn every_compression_of_this_gdal_is_accepted() {
        for cog in [false, true] {
            for compress in [Compress::None, Compress::Deflate, Compress::Lzw] {
                let format = Format {
                    cog,
                    compress,
                    overviews: false,
                };
                assert!(format.check().is_ok(), "{format:?}");
            }
        }
    }
}
