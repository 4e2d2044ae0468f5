//! Which bands a scene has, and the quantities of one pixel that the tests look at.

use crate::raster::{Mask, Window};

/// Which band of a scene is what (from 0). Without red and blue nothing can be detected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Roles {
    /// About 0.49 micrometres.
    pub blue: usize,
    /// About 0.56.
    pub green: usize,
    /// About 0.66.
    pub red: usize,
    /// About 0.84.
    pub nir: Option<usize>,
    /// About 1.38: sees nothing but high clouds.
    pub cirrus: Option<usize>,
    /// About 1.6.
    pub swir1: Option<usize>,
    /// About 2.2.
    pub swir2: Option<usize>,
}

impl Roles {
    /// The bands a [`ReflectanceSource`](super::ReflectanceSource) gives, in its order: blue,
    /// green, red, then those of near infrared, cirrus and short-wave infrared there are.
    pub fn bands(&self) -> Vec<usize> {
        let more = [self.nir, self.cirrus, self.swir1, self.swir2];
        let mut bands = vec![self.blue, self.green, self.red];
        bands.extend(more.into_iter().flatten());
        bands
    }

    /// Where each band lies in an image of [`Roles::bands`].
    pub(super) fn slots(&self) -> Slots {
        let mut next = 2;
        let mut slot = |band: Option<usize>| {
            band.map(|_| {
                next += 1;
                next
            })
        };
        Slots {
            nir: slot(self.nir),
            cirrus: slot(self.cirrus),
            swir1: slot(self.swir1),
            swir2: slot(self.swir2),
        }
    }
}

/// Positions of the bands that may be missing; blue, green and red are 0, 1 and 2.
#[derive(Debug, Clone, Copy)]
pub(super) struct Slots {
    pub nir: Option<usize>,
    pub cirrus: Option<usize>,
    pub swir1: Option<usize>,
    pub swir2: Option<usize>,
}

/// Keeps a ratio of dark pixels finite.
const TINY: f32 = 1e-6;

/// `(a - b) / (a + b)`, 0 where both are.
pub(super) fn contrast(a: f32, b: f32) -> f32 {
    (a - b) / (a + b).max(TINY)
}

/// `a / b`.
pub(super) fn ratio(a: f32, b: f32) -> f32 {
    a / b.max(TINY)
}

/// Median of the 3 x 3 pixels around each pixel of a window (at the edge of the image, of those
/// there are) of `value(index in the image read)`.
pub(super) fn median3(
    window: Window,
    around: Window,
    valid: &Mask,
    value: impl Fn(usize) -> f32,
) -> Vec<f32> {
    let plane: Vec<f32> = (0..around.pixels()).map(value).collect();
    let local = window.relative_to(around);
    let mut out = Vec::with_capacity(window.pixels());
    let mut near = [0.0_f32; 9];
    for row in local.row..local.row_end() {
        for col in local.col..local.col_end() {
            let mut count = 0;
            for r in row.saturating_sub(1)..(row + 2).min(around.height) {
                for c in col.saturating_sub(1)..(col + 2).min(around.width) {
                    let at = r * around.width + c;
                    // Nodata around a pixel has no say; the pixel itself always has one.
                    if valid.data[at] || (r, c) == (row, col) {
                        near[count] = plane[at];
                        count += 1;
                    }
                }
            }
            let middle = count / 2;
            let (_, median, _) = near[..count].select_nth_unstable_by(middle, f32::total_cmp);
            out.push(*median);
        }
    }
    out
}

/// Mean of the `2 radius + 1` square around each pixel of a window, over pixels with data.
pub(super) fn mean(
    window: Window,
    around: Window,
    valid: &Mask,
    radius: usize,
    value: impl Fn(usize) -> f32,
) -> Vec<f32> {
    use crate::raster::summed_area::SummedArea;
    let sum = SummedArea::new(around.height, around.width, |at| {
        if valid.data[at] {
            f64::from(value(at))
        } else {
            0.0
        }
    });
    let count = SummedArea::new(around.height, around.width, |at| f64::from(valid.data[at]));
    let local = window.relative_to(around);
    let mut out = Vec::with_capacity(window.pixels());
    for row in local.row..local.row_end() {
        for col in local.col..local.col_end() {
            let pixels = count.square(row, col, radius).max(1.0);
            out.push((sum.square(row, col, radius) / pixels) as f32);
        }
    }
    out
}
