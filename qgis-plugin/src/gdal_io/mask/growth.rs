//! How far a mask grows: by pixels or metres the user names, else by what suits its kind.

use super::super::scene::Scene;
use crate::failure::{Failure, Result};

/// How far clouds that were drawn, detected or classified grow unless the user says so: cloud
/// edges and thin haze reach farther than all three say. Fmask grows clouds by 3 pixels of 30 m,
/// s2cloudless averages over 4 and grows by 2 (of 60 m in its authors' product).
pub const USUAL_GROWTH_M: f64 = 40.0;
/// What a pixel measures in a scene without a place.
const UNKNOWN_PIXEL_M: f64 = 10.0;
/// A mask that has to grow more than this is not a mask.
const MOST_PX: usize = 1000;
/// Metres of a degree of latitude.
const DEGREE_M: f64 = 111_320.0;

/// What was asked for.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub enum Growth {
    /// [`USUAL_GROWTH_M`] for clouds that were drawn, detected or classified; nothing for a
    /// raster of values, which is taken as it is.
    #[default]
    Usual,
    /// `--dilate-px`.
    Pixels(usize),
    /// `--dilate-m`.
    Metres(f64),
}

impl Growth {
    /// From the two options, of which the command line lets one through.
    pub fn of(pixels: Option<usize>, metres: Option<f64>) -> Self {
        match (pixels, metres) {
            (Some(pixels), _) => Growth::Pixels(pixels),
            (None, Some(metres)) => Growth::Metres(metres),
            (None, None) => Growth::Usual,
        }
    }

    /// Check what needs no scene.
    ///
    /// # Errors
    /// Exit 2 for a number out of its range.
    pub fn check(self) -> Result<()> {
        match self {
            Growth::Pixels(got) if got > MOST_PX => Err(out_of_range("--dilate-px", MOST_PX, got)),
            Growth::Metres(got) if !(got.is_finite() && got >= 0.0) => {
                Err(
                    Failure::mismatch("--dilate-m", "a number of metres, 0 or more", got)
                        .hint("e.g. --dilate-m 40"),
                )
            }
            _ => Ok(()),
        }
    }

    /// How many pixels of a scene that is, and what the user should know about it.
    ///
    /// # Arguments
    /// `as_it_is`: whether the mask is a raster of values.
    ///
    /// # Errors
    /// Exit 2 for more pixels than a mask may grow.
    pub fn pixels(self, scene: &Scene, as_it_is: bool) -> Result<(usize, Option<String>)> {
        let metres = match self {
            Growth::Pixels(pixels) => return Ok((pixels, None)),
            Growth::Usual if as_it_is => return Ok((0, None)),
            Growth::Usual => USUAL_GROWTH_M,
            Growth::Metres(metres) => metres,
        };
        let known = pixel_m(scene);
        let pixels = (metres / known.unwrap_or(UNKNOWN_PIXEL_M)).round();
        if pixels > MOST_PX as f64 {
            let most = known.unwrap_or(UNKNOWN_PIXEL_M) * MOST_PX as f64;
            return Err(out_of_range("--dilate-m", most, metres));
        }
        let pixels = pixels as usize;
        let mut note = format!("mask: grown by {metres} m ({pixels} pixels)");
        if known.is_none() {
            note += &format!(", pixels taken for {UNKNOWN_PIXEL_M} m as the scene has no place");
        }
        if self == Growth::Usual {
            note += ", as usual for clouds; --dilate-m says otherwise";
        }
        Ok((pixels, Some(note)))
    }
}

fn out_of_range(what: &str, most: impl std::fmt::Display, got: impl std::fmt::Display) -> Failure {
    Failure::mismatch(what, format!("0 to {most}"), got)
        .hint(format!("the nearest it may be: {what} {most}"))
}

/// Size of a pixel, metres; `None` for a scene without a place.
pub fn pixel_m(scene: &Scene) -> Option<f64> {
    let [_, _, b, _, _, d] = scene.info.geotransform?;
    let crs = scene.dataset.spatial_ref().ok()?;
    let unit = if crs.is_geographic() {
        DEGREE_M
    } else {
        crs.linear_units()
    };
    // From row to row, since degrees of longitude shrink.
    let size = b.hypot(d) * unit;
    (size.is_finite() && size > 0.0).then_some(size)
}
