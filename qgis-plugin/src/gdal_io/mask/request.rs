//! What the user asked of the mask, before any file is opened.

use std::path::{Path, PathBuf};

use super::growth::Growth;
use crate::failure::{Failure, Result};

/// Groups larger than this are never dropped.
const LARGEST_MIN_AREA_PX: u64 = 100_000_000;

/// `--mask-from`: how to get the mask.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum MaskFrom {
    /// Sentinel-2 L2A scene classification: shadow, cloud, cirrus (3, 8, 9, 10)
    Scl,
    /// Landsat Collection 2 QA_PIXEL: cloud, dilated cloud, shadow, cirrus
    QaPixel,
    /// Detect clouds and their shadows in the scene itself
    Auto,
}

impl MaskFrom {
    /// As the user types it.
    pub fn name(self) -> &'static str {
        match self {
            MaskFrom::Scl => "scl",
            MaskFrom::QaPixel => "qa-pixel",
            MaskFrom::Auto => "auto",
        }
    }
}

/// Whose clouds a mask marks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Whose {
    /// The scene's: `--mask` and its like.
    #[default]
    Scene,
    /// The other date's: `--reference-mask` and its like.
    Reference,
}

impl Whose {
    /// The option of this name about the mask, e.g. `--mask-values` for `-values`.
    fn option(self, name: &str) -> String {
        match self {
            Whose::Scene => format!("--mask{name}"),
            Whose::Reference => format!("--reference-mask{name}"),
        }
    }
}

/// Everything about a mask that comes from the command line.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct MaskRequest {
    /// Whose clouds it marks.
    pub whose: Whose,
    /// A raster or a vector layer (`FILE` or `FILE|layername=NAME`).
    pub path: Option<PathBuf>,
    /// How to read it, or what to do without it.
    pub from: Option<MaskFrom>,
    /// Values that mean "fill"; empty for the usual ones.
    pub values: Vec<f64>,
    /// How far to grow the mask.
    pub growth: Growth,
    /// Smaller groups of pixels are dropped, before the mask is grown.
    pub min_area_px: u64,
    /// xmin, ymin, xmax, ymax: fill only inside.
    pub extent: Option<[f64; 4]>,
}

impl MaskRequest {
    /// Check what needs no file.
    ///
    /// # Errors
    /// Exit 2 for arguments that contradict each other or are out of their range.
    pub fn check(&self) -> Result<()> {
        let range = |what: &str, most: u64, got: u64| {
            if got <= most {
                return Ok(());
            }
            Err(Failure::mismatch(what, format!("0 to {most}"), got)
                .hint(format!("the nearest it may be: {what} {most}")))
        };
        self.growth.check()?;
        range("--min-area-px", LARGEST_MIN_AREA_PX, self.min_area_px)?;
        let option = |name: &str| self.whose.option(name);
        if let Some(wrong) = self.values.iter().find(|value| !value.is_finite()) {
            let values = option("-values");
            return Err(Failure::mismatch(&values, "finite numbers", wrong)
                .hint(format!("e.g. {values} 3,8,9,10")));
        }
        match (self.from, &self.path) {
            (None, None) => Err(Failure::mismatch(
                "mask",
                "a raster or polygons that mark the clouds",
                "none",
            )
            .hint(format!(
                "give one with {} M.tif, or let clouds and shadows be detected with {} auto",
                option(""),
                option("-from")
            ))),
            (Some(MaskFrom::Auto), Some(path)) => Err(Failure::mismatch(
                format!("{} auto", option("-from")),
                format!("no {}", option("")),
                path.display(),
            )
            .hint("auto detects clouds in the image itself: give one of the two")),
            (Some(from @ (MaskFrom::Auto | MaskFrom::QaPixel)), _) if !self.values.is_empty() => {
                Err(Failure::mismatch(
                    format!("{} {}", option("-from"), from.name()),
                    format!("no {}", option("-values")),
                    self.values.len(),
                )
                .hint(format!(
                    "values are for masks of values, and classes for {} scl",
                    option("-from")
                )))
            }
            _ => Ok(()),
        }
    }

    /// The file of the mask, and the layer in it if one is named.
    pub fn place(path: &Path) -> (PathBuf, Option<String>) {
        let text = path.to_string_lossy();
        match text.split_once("|layername=") {
            Some((file, layer)) if !path.exists() => {
                // QGIS may add further parts.
                let layer = layer.split('|').next().unwrap_or(layer);
                (PathBuf::from(file), Some(layer.to_owned()))
            }
            _ => (path.to_owned(), None),
        }
    }

    /// Input files that must not be written to.
    pub fn inputs(&self) -> Vec<PathBuf> {
        let paths = self.path.iter();
        paths.map(|path| MaskRequest::place(path).0).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn contradictions_are_named() {
        let request = |from, path: Option<&str>, values: &[f64]| MaskRequest {
            from,
            path: path.map(PathBuf::from),
            values: values.to_vec(),
            ..MaskRequest::default()
        };
        for (sound, request) in [
            (true, request(None, Some("m.tif"), &[3.0])),
            (true, request(Some(MaskFrom::Scl), None, &[3.0])),
            (true, request(Some(MaskFrom::Auto), None, &[])),
            (false, request(None, None, &[])),
            (false, request(Some(MaskFrom::Auto), Some("m.tif"), &[])),
            (false, request(Some(MaskFrom::Auto), None, &[1.0])),
            (false, request(Some(MaskFrom::QaPixel), None, &[1.0])),
            (false, request(None, Some("m.tif"), &[f64::NAN])),
        ] {
            let outcome = request.check();
            assert_eq!(outcome.is_ok(), sound, "{request:?}");
        }
    }

    #[test]
    fn a_layer_is_named_as_qgis_does() {
        let place = |text: &str| MaskRequest::place(Path::new(text));
        assert_eq!(place("a.gpkg"), ("a.gpkg".into(), None));
        assert_eq!(
            place("a.gpkg|layername=clouds|subset=x"),
            ("a.gpkg".into(), Some("clouds".into()))
        );
    }
}
