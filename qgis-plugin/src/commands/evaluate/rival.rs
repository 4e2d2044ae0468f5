//! The classical way to use another date: local linear regression, band by band.

use unclouded_core::raster::summed_area::SummedArea;
use unclouded_core::raster::{Mask, Raster};

/// Half side of the window, pixels: 41 x 41.
const RADIUS_PX: usize = 20;
/// With fewer pixels than this in a window the fit over the whole image stands in.
const ENOUGH: f64 = 50.0;

/// Fills masked pixels with `slope * reference + intercept`, fitted by least squares on the
/// pixels of the window that show the ground at both dates. Bands correspond by number; where
/// the reference has none, or shows no ground, the values of `otherwise` are taken.
pub fn local_regression(
    image: &Raster,
    hole: &Mask,
    visible: &Mask,
    reference: &Raster,
    observed: &Mask,
    otherwise: &Raster,
) -> Raster {
    let both = visible.and(observed);
    let targets = hole.and(observed);
    let mut out = otherwise.clone();
    for band in 0..image.bands.min(reference.bands) {
        let sums = Sums::new(image.band(band), reference.band(band), &both);
        let whole = sums.fit(0, 0, image.height.max(image.width));
        let plane = out.band_mut(band);
        for at in (0..plane.len()).filter(|at| targets.data[*at]) {
            let (row, col) = (at / image.width, at % image.width);
            let near = sums.fit(row, col, RADIUS_PX);
            let Some((slope, intercept)) =
                near.filter(|f| f.2 >= ENOUGH).or(whole).map(|f| (f.0, f.1))
            else {
                continue;
            };
            let value = slope * f64::from(reference.band(band)[at]) + intercept;
            plane[at] = value as f32;
        }
    }
    out
}

/// Summed-area tables of 1, x, y, xx and xy over the pixels that both images show.
struct Sums([SummedArea; 5]);

impl Sums {
    fn new(image: &[f32], reference: &[f32], both: &Mask) -> Self {
        Sums(std::array::from_fn(|term| {
            SummedArea::new(both.height, both.width, |at| {
                if !both.data[at] {
                    return 0.0;
                }
                let (x, y) = (f64::from(reference[at]), f64::from(image[at]));
                [1.0, x, y, x * x, x * y][term]
            })
        }))
    }

    /// Slope, intercept and number of pixels in the window; none without a pixel.
    fn fit(&self, row: usize, col: usize, radius: usize) -> Option<(f64, f64, f64)> {
        let [n, x, y, xx, xy] = self
            .0
            .each_ref()
            .map(|table| table.square(row, col, radius));
        if n < 1.0 {
            return None;
        }
        let variance = xx / n - (x / n).powi(2);
        let covariance = xy / n - x / n * (y / n);
        let slope = if variance > 1e-9 {
            covariance / variance
        } else {
            0.0
        };
        Some((slope, (y - slope * x) / n, n))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_linear_relation_is_found_and_gaps_are_left() {
        let data = (0..60 * 60).map(|i| ((i * 7919) % 211) as f32);
        let reference = Raster::from_vec(1, 60, 60, data.collect()).expect("a raster");
        let mut image = reference.clone();
        image.data.iter_mut().for_each(|v| *v = 3.0 * *v + 10.0);
        let hole = Mask::from_fn(60, 60, |r, c| {
            (20..35).contains(&r) && (10..30).contains(&c)
        });
        let observed = Mask::from_fn(60, 60, |r, _| r < 30);
        let otherwise = Raster::new(1, 60, 60);
        let out = local_regression(
            &image,
            &hole,
            &hole.invert(),
            &reference,
            &observed,
            &otherwise,
        );
        for at in (0..3600).filter(|at| hole.data[*at]) {
            let expected = if observed.data[at] {
                image.data[at]
            } else {
                0.0
            };
            assert!((out.data[at] - expected).abs() < 0.01, "{at}");
        }
    }
}
