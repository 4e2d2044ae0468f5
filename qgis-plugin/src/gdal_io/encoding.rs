//! How stored values become reflectance: Sentinel-2's offset, Landsat's scaling, scale and offset
//! tags; found in the file's metadata or beside it.
//!
//! `reflectance = (stored + shift) * gain + bias`. The core computes on `stored + shift`; what it
//! fills is shifted back before it is stored, so that the output has the encoding of the input.

use std::path::{Path, PathBuf};
use std::str::FromStr;

use gdal::{Dataset, Metadata};
use serde::Serialize;

use super::dtype::DataType;
use super::ffi;
use super::scene::BandInfo;
use crate::failure::{Failure, Result};

/// Sentinel-2: digital numbers for reflectance 1, and what was added to them since processing
/// baseline 04.00 of 25 January 2022 (ESA, Copernicus Sentinel-2 products specification).
const S2_QUANTIFICATION: f64 = 10_000.0;
const S2_OFFSET: f64 = -1000.0;
const S2_BASELINE: f64 = 4.0;
/// Landsat Collection 2 Level 2 surface reflectance (USGS, LSDS-1619).
const LANDSAT_GAIN: f64 = 2.75e-5;
const LANDSAT_BIAS: f64 = -0.2;
/// A larger offset is a typing error, and would not come back exactly through f32.
const LARGEST_SHIFT: f64 = 1e6;
/// A product's metadata file is small; more is not read.
const MOST_METADATA_BYTES: u64 = 64 << 20;

/// `--offset`: what to add to the stored values of Sentinel-2.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub enum OffsetChoice {
    /// From the metadata.
    #[default]
    Auto,
    /// This number.
    Given(f64),
}

impl FromStr for OffsetChoice {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Self, String> {
        if text == "auto" {
            return Ok(OffsetChoice::Auto);
        }
        match text.parse::<f64>() {
            Ok(number) if number.abs() <= LARGEST_SHIFT => Ok(OffsetChoice::Given(number)),
            _ => Err(format!(
                "expected auto or a number from -{LARGEST_SHIFT} to {LARGEST_SHIFT}, e.g. -1000"
            )),
        }
    }
}

/// How the values of a scene are encoded, the same for every band.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Encoding {
    /// Added to stored values before anything is computed, in stored units.
    pub shift: f64,
    /// Reflectance a unit; `None` if unknown.
    pub gain: Option<f64>,
    /// Added to the scaled value.
    pub bias: f64,
    /// How this is known; empty if nothing is.
    pub reason: String,
    /// Whether it is known from a product of ESA or USGS, in which 0 means "no data".
    #[serde(skip)]
    pub product: bool,
}

impl Encoding {
    /// Stored values are taken as they are.
    pub fn plain() -> Self {
        Encoding {
            shift: 0.0,
            gain: None,
            bias: 0.0,
            reason: String::new(),
            product: false,
        }
    }

    /// Find out, from what the user said, the file's tags, the product's metadata, file names.
    ///
    /// # Errors
    /// Exit 2 if the metadata name different offsets for different bands.
    pub fn of(
        dataset: &Dataset,
        bands: &[BandInfo],
        dtype: DataType,
        choice: OffsetChoice,
    ) -> Result<Self> {
        if let OffsetChoice::Given(shift) = choice {
            return Ok(Encoding {
                reason: format!("offset {shift} as asked"),
                gain: (dtype == DataType::U16 || dtype == DataType::I16)
                    .then_some(1.0 / S2_QUANTIFICATION),
                ..Encoding::shifted(shift)
            });
        }
        if let Some(shift) = offset_items(dataset, bands)? {
            return Ok(sentinel2(shift, "its ADD_OFFSET metadata"));
        }
        if let Some(known) = tags(bands) {
            return Ok(known);
        }
        if !dtype.is_integer() || dtype == DataType::U8 {
            return Ok(Encoding::plain());
        }
        let files = ffi::file_list(dataset);
        if let Some((shift, reason)) = product_metadata(&files) {
            return Ok(Encoding {
                product: true,
                ..sentinel2(shift, &reason)
            });
        }
        if let Some(baseline) = dataset
            .metadata_item("PROCESSING_BASELINE", "")
            .and_then(|text| text.parse::<f64>().ok())
        {
            let shift = if baseline >= S2_BASELINE {
                S2_OFFSET
            } else {
                0.0
            };
            return Ok(sentinel2(
                shift,
                &format!("processing baseline {baseline:05.2}"),
            ));
        }
        if files.iter().any(|file| is_landsat_level2(file)) {
            return Ok(Encoding {
                shift: 0.0,
                gain: Some(LANDSAT_GAIN),
                bias: LANDSAT_BIAS,
                reason: "Landsat Collection 2 Level 2, by its file name".into(),
                product: true,
            });
        }
        Ok(Encoding::plain())
    }

    fn shifted(shift: f64) -> Self {
        Encoding {
            shift,
            ..Encoding::plain()
        }
    }

    /// Gain and bias from `stored + shift` to reflectance for a detector: what is known, else
    /// what is usual for the type. 8 bits hold brightness, not reflectance.
    pub fn reflectance(&self, dtype: DataType, largest: f32) -> (f32, f32) {
        if let Some(gain) = self.gain {
            return (gain as f32, self.bias as f32);
        }
        let gain = match dtype {
            DataType::U8 => 1.0 / 255.0,
            // Reflectance over bright clouds passes 1, yet never comes near 10.
            DataType::F32 | DataType::F64 if largest <= 10.0 => 1.0,
            _ => 1.0 / S2_QUANTIFICATION,
        };
        (gain as f32, self.bias as f32)
    }
}

fn sentinel2(shift: f64, how: &str) -> Encoding {
    Encoding {
        gain: Some(1.0 / S2_QUANTIFICATION),
        reason: format!("Sentinel-2 with offset {shift}, by {how}"),
        ..Encoding::shifted(shift)
    }
}

/// `BOA_ADD_OFFSET` and `RADIO_ADD_OFFSET` items of the dataset or its bands, with any ending
/// that names a band.
fn offset_items(dataset: &Dataset, bands: &[BandInfo]) -> Result<Option<f64>> {
    let mut items = dataset.metadata_domain("").unwrap_or_default();
    for band in bands {
        if let Ok(band) = dataset.rasterband(band.number) {
            items.extend(band.metadata_domain("").unwrap_or_default());
        }
    }
    let values: Vec<f64> = items
        .iter()
        .filter_map(|item| item.split_once('='))
        .filter(|(key, _)| {
            let key = key.to_uppercase();
            key.starts_with("BOA_ADD_OFFSET") || key.starts_with("RADIO_ADD_OFFSET")
        })
        .filter_map(|(_, value)| value.trim().parse().ok())
        .collect();
    one(&values, "its ADD_OFFSET metadata")
}

/// The one value of all bands.
fn one(values: &[f64], place: &str) -> Result<Option<f64>> {
    let Some(first) = values.first() else {
        return Ok(None);
    };
    if let Some(other) = values.iter().find(|value| *value != first) {
        return Err(Failure::mismatch(
            format!("offset of the scene in {place}"),
            "one for all bands",
            format!("{first} and {other}"),
        )
        .hint("name the offset of the bands in this file, e.g. --offset -1000; 0 leaves values as they are"));
    }
    // False for NaN.
    let sound = first.abs() <= LARGEST_SHIFT;
    if !sound {
        return Err(Failure::mismatch(
            format!("offset of the scene in {place}"),
            format!("-{LARGEST_SHIFT} to {LARGEST_SHIFT}"),
            first,
        )
        .hint("name it yourself, e.g. --offset -1000; 0 leaves values as they are"));
    }
    Ok(Some(*first))
}

/// Scale and offset tags of the bands, where all bands of the image agree.
fn tags(bands: &[BandInfo]) -> Option<Encoding> {
    let image: Vec<&BandInfo> = bands.iter().filter(|band| band.is_image()).collect();
    let first = image.first()?;
    let (scale, offset) = (first.scale?, first.offset.unwrap_or(0.0));
    let agree = image
        .iter()
        .all(|band| band.scale == Some(scale) && band.offset.unwrap_or(0.0) == offset);
    let sound = scale > 0.0 && scale.is_finite() && offset.is_finite();
    if !(agree && sound) {
        return None;
    }
    // A whole number of stored units, as -0.1 at a scale of 0.0001, is Sentinel-2's shift.
    let shift = offset / scale;
    let whole = (shift - shift.round()).abs() < 1e-6 && shift.abs() <= LARGEST_SHIFT;
    Some(Encoding {
        shift: if whole { shift.round() } else { 0.0 },
        gain: Some(scale),
        bias: if whole { 0.0 } else { offset },
        product: false,
        reason: format!("scale {scale} and offset {offset} of its bands"),
    })
}

/// The offset in the metadata file of the Sentinel-2 product that one of these files lies in,
/// else by the processing baseline in the product's name (`..._N0400_...`).
fn product_metadata(files: &[PathBuf]) -> Option<(f64, String)> {
    let product = files.iter().find_map(|file| {
        file.ancestors()
            .find(|folder| named(folder).is_some_and(|name| is_product(&name)))
            .map(Path::to_owned)
    })?;
    for name in ["MTD_MSIL2A.xml", "MTD_MSIL1C.xml"] {
        let Some(text) = small_file(&product.join(name)) else {
            continue;
        };
        let mut offsets = elements(&text, "BOA_ADD_OFFSET");
        offsets.extend(elements(&text, "RADIO_ADD_OFFSET"));
        if let Ok(Some(shift)) = one(&offsets, name) {
            return Some((shift, name.to_owned()));
        }
        if let Some(baseline) = elements(&text, "PROCESSING_BASELINE").first() {
            let shift = if *baseline >= S2_BASELINE {
                S2_OFFSET
            } else {
                0.0
            };
            return Some((
                shift,
                format!("processing baseline {baseline:05.2} in {name}"),
            ));
        }
    }
    let name = named(&product)?;
    let baseline = name.split('_').find_map(|part| {
        let digits = part.strip_prefix('N')?;
        (digits.len() == 4).then(|| digits.parse::<f64>().ok())?
    })? / 100.0;
    let shift = if baseline >= S2_BASELINE {
        S2_OFFSET
    } else {
        0.0
    };
    Some((
        shift,
        format!("processing baseline {baseline:05.2} in the name of its product"),
    ))
}

fn named(path: &Path) -> Option<String> {
    Some(path.file_name()?.to_string_lossy().into_owned())
}

/// `S2A_MSIL2A_20230115T051121_N0509_R019_T43PGQ_....SAFE`
fn is_product(name: &str) -> bool {
    let upper = name.to_uppercase();
    upper.starts_with("S2") && upper.contains("_MSIL") && upper.ends_with(".SAFE")
}

/// `LC08_L2SP_192023_20210724_20210730_02_T1_SR_B4.TIF`
fn is_landsat_level2(path: &Path) -> bool {
    let name = named(path).unwrap_or_default().to_uppercase();
    let parts: Vec<&str> = name.split('_').collect();
    matches!(parts[..], [sensor, "L2SP" | "L2SR", _, _, _, "02", ..]
        if sensor.len() == 4 && sensor.starts_with('L'))
        && name.contains("_SR_")
}

fn small_file(path: &Path) -> Option<String> {
    let size = std::fs::metadata(path).ok()?.len();
    if size > MOST_METADATA_BYTES {
        return None;
    }
    let bytes = std::fs::read(path).ok()?;
    Some(String::from_utf8_lossy(&bytes).into_owned())
}

/// Numbers in the elements of one name of an XML text; prefixes of name spaces do not matter.
/// The elements wanted hold nothing but a number, so no parser of the whole is needed.
pub fn elements(text: &str, name: &str) -> Vec<f64> {
    let mut found = Vec::new();
    for piece in text.split('<') {
        let Some((tag, content)) = piece.split_once('>') else {
            continue;
        };
        let own = tag.split_whitespace().next().unwrap_or_default();
        let own = own.rsplit(':').next().unwrap_or_default();
        if own == name {
            found.extend(content.trim().parse::<f64>().ok());
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_product_tells_its_offset() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let product = |name: &str, metadata: Option<&str>| {
            let safe = folder.path().join(name);
            let image = safe.join("GRANULE/L2A_T43PGQ/IMG_DATA/R10m/T43PGQ_B02_10m.jp2");
            std::fs::create_dir_all(image.parent().expect("a folder")).expect("made");
            if let Some(text) = metadata {
                std::fs::write(safe.join("MTD_MSIL2A.xml"), text).expect("written");
            }
            product_metadata(&[PathBuf::from("elsewhere.vrt"), image]).map(|(shift, _)| shift)
        };
        let list = |offset: &str| {
            format!(
                "<n1:Product><BOA_ADD_OFFSET_VALUES_LIST>\
                 <BOA_ADD_OFFSET band_id=\"0\">{offset}</BOA_ADD_OFFSET>\
                 <BOA_ADD_OFFSET band_id=\"1\">{offset}</BOA_ADD_OFFSET>\
                 </BOA_ADD_OFFSET_VALUES_LIST></n1:Product>"
            )
        };
        let s2 = |number: u8, baseline: &str| {
            format!("S2A_MSIL2A_2023011{number}T051121_{baseline}_R019_T43PGQ.SAFE")
        };
        assert_eq!(
            product(&s2(1, "N0509"), Some(&list("-1000"))),
            Some(-1000.0)
        );
        assert_eq!(product(&s2(2, "N0509"), Some(&list("-500"))), Some(-500.0));
        let older = "<a:X><PROCESSING_BASELINE>02.14</PROCESSING_BASELINE></a:X>";
        assert_eq!(product(&s2(3, "N0509"), Some(older)), Some(0.0));
        assert_eq!(
            product(&s2(4, "N0400"), Some("garbage <<<>>")),
            Some(-1000.0)
        );
        assert_eq!(product(&s2(5, "N0301"), None), Some(0.0));
        assert_eq!(product("S2A_MSIL2A_without_baseline.SAFE", None), None);
        assert_eq!(product("holiday.SAFE", None), None);
    }

    #[test]
    fn any_bytes_pass_as_metadata() {
        use crate::dataset::rng::Rng;
        let mut rng = Rng::new(1);
        let pieces = [
            "<",
            ">",
            "</",
            "BOA_ADD_OFFSET",
            " ",
            ":",
            "-1000",
            "n1:",
            "\u{0}",
            "é",
            "1e999",
            "\"",
        ];
        for _ in 0..20_000 {
            let length = rng.below(30);
            let text: String = (0..length)
                .map(|_| pieces[rng.below(pieces.len())])
                .collect();
            let found = elements(&text, "BOA_ADD_OFFSET");
            assert!(
                found.len() <= text.matches("BOA_ADD_OFFSET").count(),
                "{text}"
            );
        }
        let text = "<a:BOA_ADD_OFFSET band_id=\"1\"> -1000 </a:BOA_ADD_OFFSET><BOA_ADD_OFFSETS>7<";
        assert_eq!(elements(text, "BOA_ADD_OFFSET"), [-1000.0]);
    }

    #[test]
    fn landsat_is_known_by_its_name() {
        for (name, level2) in [
            ("LC08_L2SP_192023_20210724_20210730_02_T1_SR_B4.TIF", true),
            ("LE07_L2SR_001004_19991231_20200918_02_T2_SR_B1.TIF", true),
            ("LC08_L2SP_192023_20210724_20210730_02_T1_ST_B10.TIF", false),
            ("LC08_L1TP_192023_20210724_20210730_02_T1_B4.TIF", false),
            ("LC08_L2SP.TIF", false),
            ("", false),
        ] {
            assert_eq!(is_landsat_level2(Path::new(name)), level2, "{name}");
        }
    }

    #[test]
    fn the_offset_is_auto_or_a_number() {
        assert_eq!("auto".parse(), Ok(OffsetChoice::Auto));
        assert_eq!("-1000".parse(), Ok(OffsetChoice::Given(-1000.0)));
        for wrong in ["", "often", "nan", "inf", "1e9"] {
            assert!(wrong.parse::<OffsetChoice>().is_err(), "{wrong}");
        }
    }
}
