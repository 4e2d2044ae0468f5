//! Finding clouds and their shadows in the image itself.
//!
//! Spectral tests from the literature, thresholds relative to the ground around, growth from
//! sure pixels into likely ones, and for shadows the geometry: they lie where clouds, moved by
//! one offset, would fall. Five walks over the scene, each by windows; what is kept in between
//! is a bit a pixel and some histograms.
//!
//! 1. `levels`: what the clear ground of each part of the scene looks like (histograms).
//! 2. `cloud`: sure and likely cloud pixels, connected ([`BitMask::keep_touching`]).
//! 3. `levels` again: how bright ground is that no cloud hides.
//! 4. `shadow`: dark pixels; then the offset at which clouds explain them best.
//!
//! References: Zhang, Guindon and Cihlar 2002 (haze-optimised transform); Zhu and Woodcock 2012
//! and Zhu, Wang and Woodcock 2015 (Fmask: basic test, whiteness, NDSI, cirrus, shadow matching);
//! Qiu, Zhu and He 2019 (Fmask 4: the cirrus band relative to its own clear sky).

mod cloud;
mod levels;
mod offset;
mod pixel;
mod roles;
mod shadow;
#[cfg(test)]
mod tests;

use std::ops::ControlFlow;

pub use pixel::Roles;

use super::bits::BitMask;
use super::{Mask, Raster, Window};
use crate::error::{Error, Result};

/// Side of the windows that are read at once, pixels.
const WINDOW_PX: usize = 1024;

/// A scene the detector reads by windows.
pub trait ReflectanceSource {
    /// Height and width in pixels.
    fn size(&self) -> (usize, usize);
    /// The bands of [`Roles::bands`], in that order, as reflectance (0 to about 1.5), and which
    /// pixels hold data. Values that are no data may be anything finite.
    ///
    /// # Errors
    /// Whatever reading fails with.
    fn read(&mut self, window: Window) -> Result<(Raster, Mask)>;
}

/// What is known about a scene besides its bands.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Settings {
    /// Size of a pixel in metres; 10 where it is unknown.
    pub pixel_m: f64,
    /// Where the sun stands.
    pub sun: Sun,
    /// Whether the values are reflectance at the top of the atmosphere or at the ground. Not so
    /// for 8-bit pictures, which are first brought to a usual brightness.
    pub calibrated: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            pixel_m: 10.0,
            sun: Sun::Morning { latitude: None },
            calibrated: true,
        }
    }
}

/// Where the sun stands, so that a shadow is looked for on the other side.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Sun {
    /// Azimuth in degrees, clockwise from north, for an image with north up.
    Azimuth(f64),
    /// A morning orbit over an image with north up (Sentinel-2, Landsat: about 10:30 local
    /// time): in the east, and beyond the tropics on the side of the equator.
    Morning {
        /// Degrees north, if known.
        latitude: Option<f64>,
    },
    /// Anywhere.
    Unknown,
}

/// What was found.
#[derive(Debug, Clone)]
pub struct Detected {
    /// Clouds and bright haze.
    pub cloud: BitMask,
    /// Their shadows on the ground; never where there is cloud.
    pub shadow: BitMask,
    /// From a cloud to its shadow, rows down and columns to the right; `None` when no offset
    /// explains the dark pixels.
    pub offset_px: Option<(isize, isize)>,
}

/// Finds clouds and shadows. `progress` hears rows done out of four times the height.
///
/// The result does not depend on how the scene is cut into windows.
///
/// # Errors
/// [`Error::Interrupted`] when `progress` breaks off, and whatever the source returns.
pub fn detect(
    source: &mut dyn ReflectanceSource,
    roles: &Roles,
    settings: &Settings,
    progress: &mut dyn FnMut(usize) -> ControlFlow<()>,
) -> Result<Detected> {
    let walk = Walk {
        source,
        progress,
        window_px: WINDOW_PX,
        done: 0,
    };
    run(walk, roles, settings)
}

fn run(mut walk: Walk, roles: &Roles, settings: &Settings) -> Result<Detected> {
    let ground = levels::ground(&mut walk, roles, settings)?;
    let cloud = cloud::find(&mut walk, roles, &ground)?;
    let bright = levels::brightness(&mut walk, roles, &cloud)?;
    let (shadow, offset_px) = shadow::find(&mut walk, roles, settings, &bright, &cloud)?;
    Ok(Detected {
        cloud,
        shadow,
        offset_px,
    })
}

/// Walks over the scene by windows.
struct Walk<'a> {
    source: &'a mut dyn ReflectanceSource,
    progress: &'a mut dyn FnMut(usize) -> ControlFlow<()>,
    window_px: usize,
    done: usize,
}

impl Walk<'_> {
    fn size(&self) -> (usize, usize) {
        self.source.size()
    }

    /// Every pixel once: `visit` gets the window to work on and the image of that window grown
    /// by `halo_px`, with the place it was read from.
    fn windows(
        &mut self,
        halo_px: usize,
        visit: &mut dyn FnMut(Window, Window, &Raster, &Mask),
    ) -> Result<()> {
        let (height, width) = self.size();
        let side = self.window_px;
        for row in (0..height).step_by(side) {
            let rows = side.min(height - row);
            for col in (0..width).step_by(side) {
                let window = Window {
                    row,
                    col,
                    height: rows,
                    width: side.min(width - col),
                };
                let around = window.grow(halo_px, height, width);
                let (image, valid) = self.source.read(around)?;
                visit(window, around, &image, &valid);
            }
            self.done += rows;
            if (self.progress)(self.done).is_break() {
                return Err(Error::Interrupted);
            }
        }
        Ok(())
    }
}
