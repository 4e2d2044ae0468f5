//! Which bands a scene has, and the quantities of one pixel that the tests look at.

use crate::raster::{Mask, Raster, Window};

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

/// Snow, as Fmask's snow test, and darker at 1.6 micrometres than any thick cloud.
const SNOW_NDSI: f32 = 0.40;
const SNOW_NIR: f32 = 0.11;
const SNOW_SWIR1: f32 = 0.20;

/// Haze-optimised transform: blue and red of clear ground go together, haze lifts blue.
pub(super) fn hot(image: &Raster, at: usize) -> f32 {
    image.band(0)[at] - 0.5 * image.band(2)[at]
}

fn ndsi(image: &Raster, slots: &Slots, at: usize) -> Option<f32> {
    let swir1 = image.band(slots.swir1?)[at];
    Some(contrast(image.band(1)[at], swir1))
}

/// Whether a pixel is snow; without bands of near and short-wave infrared nobody can tell.
pub(super) fn is_snow(image: &Raster, slots: &Slots, at: usize) -> bool {
    let (Some(ndsi), Some(nir), Some(swir1)) = (ndsi(image, slots, at), slots.nir, slots.swir1)
    else {
        return false;
    };
    ndsi > SNOW_NDSI && image.band(nir)[at] > SNOW_NIR && image.band(swir1)[at] < SNOW_SWIR1
}

/// What is looked at for darkness.
#[derive(Debug, Clone, Copy)]
pub(super) enum Dark {
    /// A band.
    Band(usize),
    /// The mean of blue, green and red.
    Visible,
}

/// Infrared bands, in which the sky lights a shadow least; else the visible ones together.
pub(super) fn dark_slots(slots: &Slots) -> Vec<Dark> {
    let infrared = [slots.nir, slots.swir1, slots.swir2];
    let found: Vec<Dark> = infrared.into_iter().flatten().map(Dark::Band).collect();
    if found.is_empty() {
        vec![Dark::Visible]
    } else {
        found
    }
}

/// The quantity of a pixel.
pub(super) fn value(image: &Raster, dark: Dark, at: usize) -> f32 {
    match dark {
        Dark::Band(slot) => image.band(slot)[at],
        Dark::Visible => {
            [0, 1, 2]
                .map(|band| image.band(band)[at])
                .iter()
                .sum::<f32>()
                / 3.0
        }
    }
}

/// Index in the window and in the image read, of every pixel of the window that holds data.
pub(super) fn for_each_valid(
    window: Window,
    around: Window,
    valid: &Mask,
    mut visit: impl FnMut(usize, usize),
) {
    let local = window.relative_to(around);
    for row in 0..window.height {
        for col in 0..window.width {
            let at = (local.row + row) * around.width + local.col + col;
            if valid.data[at] {
                visit(row * window.width + col, at);
            }
        }
    }
}
