//! What another date says of a pixel: its bands there, and their means nearby.

use super::super::summed_area::SummedArea;
use super::super::{Mask, Raster, Window};
use super::regression::Table;

/// Half side of the square of the means, pixels.
pub const RADIUS_PX: usize = 2;

/// The inputs that a date gives to a regression, pixel by pixel.
#[derive(Debug, Clone)]
pub struct Features {
    /// `[2 x bands, height, width]`: the bands, then the means over the pixels observed around.
    planes: Raster,
    /// True = this date shows the ground.
    pub observed: Mask,
}

impl Features {
    /// Of an image in its own units that shows the ground where `observed`; what lies elsewhere
    /// has no say.
    pub fn new(image: &Raster, observed: &Mask) -> Self {
        let (height, width) = (image.height, image.width);
        let counts = SummedArea::new(height, width, |i| f64::from(u8::from(observed.data[i])));
        let mut planes = Raster::new(2 * image.bands, height, width);
        for band in 0..image.bands {
            let plane = image.band(band);
            let seen = |i: usize| {
                if observed.data[i] {
                    f64::from(plane[i])
                } else {
                    0.0
                }
            };
            let sums = SummedArea::new(height, width, seen);
            for i in (0..plane.len()).filter(|i| observed.data[*i]) {
                let (row, col) = (i / width, i % width);
                let count = counts.square(row, col, RADIUS_PX);
                let mean = sums.square(row, col, RADIUS_PX) / count;
                planes.band_mut(band)[i] = plane[i];
                planes.band_mut(image.bands + band)[i] = mean as f32;
            }
        }
        Self {
            planes,
            observed: observed.clone(),
        }
    }

    /// A part of it.
    pub fn crop(&self, window: Window) -> Self {
        Self {
            planes: self.planes.crop(window),
            observed: self.observed.crop(window),
        }
    }

    /// A band of the image at a pixel (an index into a band).
    pub fn value(&self, band: usize, pixel: usize) -> f32 {
        self.planes.band(band)[pixel]
    }

    /// At some pixels (indices into a band).
    pub fn at(&self, pixels: &[usize]) -> Table {
        let plane = |band| {
            let plane = self.planes.band(band);
            pixels.iter().map(move |pixel| plane[*pixel])
        };
        Table {
            values: (0..self.planes.bands).flat_map(plane).collect(),
            count: pixels.len(),
        }
    }
}
