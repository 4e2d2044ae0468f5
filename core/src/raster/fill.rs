//! Smooth fills of masked pixels from the visible ones around them: inverse distance and means.

use super::soften::{self, soften};
use super::tension::{self, relax};
use super::{Mask, Raster};

/// Pixels around a hole pixel that its smooth value depends on, besides the search radius.
pub const REACH_PX: usize = soften::REACH_PX + tension::REACH_PX;

/// Squared distance of a column without a visible pixel in reach.
const NONE: u32 = u32::MAX;

/// Fills masked pixels by inverse-distance weighting, as GDAL's `gdal_fillnodata` does.
///
/// For each masked pixel the nearest visible pixel is sought in each of four quadrants (upper
/// left with the column above, lower left with the column below, upper right, lower right) no
/// farther than `max_distance_px` away; the value is the mean of those found, weighted with
/// 1/distance. The result equals `GDALFillNodata` without smoothing (GDAL 3.6 and 3.10 give
/// the same; see `tests/reference/fill.py`) down to two habits of it: the last column takes the
/// column above and below it into the right-hand quadrants too, and of two pixels at one
/// distance the farther column wins where the square of the rounded root exceeds the distance.
///
/// * `image` `[bands, height, width]`; values at pixels that are masked or not valid are unused.
/// * `mask` true = fill; `valid` true = data. A pixel that is not valid (nodata) is neither a
///   source nor filled. All three have one height and width.
/// * `max_distance_px` in pixels; 0 = no limit.
///
/// Returns the image with the filled pixels replaced and all others as they were, and the mask
/// of the pixels filled: masked and valid, with a visible pixel in reach. Takes time in
/// proportion to the hole times the distance to its rim.
pub fn inverse_distance(
    image: &Raster,
    mask: &Mask,
    valid: &Mask,
    max_distance_px: usize,
) -> (Raster, Mask) {
    let mut out = image.clone();
    let mut filled = Mask::new(image.height, image.width, false);
    let pixels = image.pixels();
    for_each_hole(mask, valid, max_distance_px, |pixel, sources| {
        let total: f64 = sources.iter().map(|s| s.weight).sum();
        if total == 0.0 {
            return;
        }
        filled.data[pixel] = true;
        for (band, plane) in image.data.chunks_exact(pixels).enumerate() {
            let sum: f64 = sources
                .iter()
                .filter(|s| s.weight > 0.0)
                .map(|s| f64::from(plane[s.pixel]) * s.weight)
                .sum();
            out.data[band * pixels + pixel] = (sum / total) as f32;
        }
    });
    (out, filled)
}

/// Sets masked valid pixels to the mean of the visible pixels of their band (0 where a scene
/// has no visible pixel); all others stay as they are.
pub fn mean(image: &Raster, mask: &Mask, valid: &Mask) -> Raster {
    let means = visible_means(image, &valid.and_not(mask));
    let mut out = image.clone();
    for (band, &value) in means.iter().enumerate() {
        let plane = out.band_mut(band).iter_mut().zip(&mask.data);
        for ((pixel, &masked), &has_data) in plane.zip(&valid.data) {
            if masked && has_data {
                *pixel = value;
            }
        }
    }
    out
}

/// A complete image for the network: visible pixels as they are, masked ones by
/// [`inverse_distance`], and what is farther than `max_distance_px` from any visible pixel, or
/// is nodata, by the visible mean of its band (0 where nothing is visible). Never NaN and never
/// a nodata value, as long as the visible values are finite.
pub fn smooth(image: &Raster, mask: &Mask, valid: &Mask, max_distance_px: usize) -> Raster {
    let means = visible_means(image, &valid.and_not(mask));
    smooth_towards(image, mask, valid, max_distance_px, &means)
}

/// [`smooth`] with one value a band for what is too far from any visible pixel: where only a
/// part of a scene is at hand, the scene's.
fn smooth_towards(
    image: &Raster,
    mask: &Mask,
    valid: &Mask,
    max_distance_px: usize,
    far: &[f32],
) -> Raster {
    let visible = valid.and_not(mask);
    let (mut out, filled) = inverse_distance(image, mask, valid, max_distance_px);
    for (band, &value) in far.iter().enumerate() {
        let plane = out.band_mut(band).iter_mut().zip(&visible.data);
        for ((pixel, &seen), &done) in plane.zip(&filled.data) {
            if !seen && !done {
                *pixel = value;
            }
        }
    }
    out
}

/// What the network starts from: [`smooth`] without its streaks ([`soften`](mod@super::soften)) and
/// with the slopes of the ground at its rim ([`tension`]). Better than inverse
/// distance by about 0.6 dB.
pub fn soft(image: &Raster, mask: &Mask, valid: &Mask, max_distance_px: usize) -> Raster {
    let means = visible_means(image, &valid.and_not(mask));
    soft_towards(image, mask, valid, max_distance_px, &means)
}

/// [`soft`] for a part of a scene: `far` holds one value a band, the scene's visible mean, for
/// what is farther than `max_distance_px` from any visible pixel. 0 sets no limit.
pub fn soft_towards(
    image: &Raster,
    mask: &Mask,
    valid: &Mask,
    max_distance_px: usize,
    far: &[f32],
) -> Raster {
    let mut out = smooth_towards(image, mask, valid, max_distance_px, far);
    let (hole, visible) = (valid.and(mask), valid.and_not(mask));
    soften(&mut out, &hole, &visible);
    relax(&mut out, &hole, &visible);
    out
}

/// Mean of each band over the visible pixels; 0 where nothing is visible.
fn visible_means(image: &Raster, visible: &Mask) -> Vec<f32> {
    let count = visible.count().max(1) as f64;
    (0..image.bands)
        .map(|band| {
            let pixels = image.band(band).iter().zip(&visible.data);
            let sum: f64 = pixels
                .filter(|&(_, &v)| v)
                .map(|(&v, _)| f64::from(v))
                .sum();
            (sum / count) as f32
        })
        .collect()
}

/// A visible pixel (index into a band) and its weight 1/distance; weight 0 = none in reach.
#[derive(Clone, Copy, Default)]
struct Source {
    pixel: usize,
    weight: f64,
}

/// The nearest pixel found so far in a quadrant: squared distance and where it is.
#[derive(Clone, Copy)]
struct Nearest {
    d2: u32,
    pixel: usize,
}

impl Nearest {
    #[inline]
    fn offer(&mut self, d2: u32, pixel: usize) {
        // GDAL keeps the rounded root and compares with its square, so that some ties go to
        // the later candidate.
        if d2 < self.d2 || (d2 == self.d2 && square_of_root_exceeds(d2)) {
            *self = Nearest { d2, pixel };
        }
    }
}

fn square_of_root_exceeds(d2: u32) -> bool {
    let root = f64::from(d2).sqrt();
    root * root > f64::from(d2)
}

/// Calls `found(pixel, sources)` for every masked valid pixel, row by row, with one source a
/// quadrant. The bands share them: neighbours depend on the masks only.
fn for_each_hole(
    mask: &Mask,
    valid: &Mask,
    max_distance_px: usize,
    mut found: impl FnMut(usize, &[Source; 4]),
) {
    let (height, width) = (mask.height, mask.width);
    // Beyond the diagonal a limit changes nothing; this keeps squares within 32 bits.
    let limit = match max_distance_px {
        0 => height + width,
        px => px.min(height + width),
    };
    let limit2 = (limit * limit).min(NONE as usize - 1) as u32;
    let visible = |i: usize| valid.data[i] && !mask.data[i];
    let hole = |i: usize| valid.data[i] && mask.data[i];

    // Rows down to the nearest visible pixel strictly below, for every pixel (0 = none).
    let mut below = vec![0u32; height * width];
    for i in (0..height.saturating_sub(1) * width).rev() {
        let next = i + width;
        below[i] = match below[next] {
            _ if visible(next) => 1,
            0 => 0,
            rows if rows as usize >= limit => 0,
            rows => rows + 1,
        };
    }
    // Squared vertical distance and pixel of the nearest visible one above (this row included)
    // and below, for the columns of one row.
    let mut above = vec![None::<usize>; width];
    let mut up: Vec<(u32, usize)> = vec![(NONE, 0); width];
    let mut down: Vec<(u32, usize)> = vec![(NONE, 0); width];

    for row in 0..height {
        let start = row * width;
        for (col, last) in above.iter_mut().enumerate() {
            if visible(start + col) {
                *last = Some(row);
            }
        }
        let Some(first) = (start..start + width).position(hole) else {
            continue;
        };
        for col in 0..width {
            up[col] = match above[col] {
                Some(r) if row - r <= limit => (square(row - r), r * width + col),
                _ => (NONE, 0),
            };
            down[col] = match below[start + col] as usize {
                0 => (NONE, 0),
                rows => (square(rows), (row + rows) * width + col),
            };
        }
        for col in (first..width).filter(|&col| hole(start + col)) {
            found(start + col, &quadrants(&up, &down, col, limit, limit2));
        }
    }
}

fn square(distance: usize) -> u32 {
    (distance * distance).min(NONE as usize - 1) as u32
}

/// Searches column after column outwards from `col` until no quadrant can get a nearer pixel.
fn quadrants(
    up: &[(u32, usize)],
    down: &[(u32, usize)],
    col: usize,
    limit: usize,
    limit2: u32,
) -> [Source; 4] {
    let last = up.len() - 1;
    let nothing = Nearest {
        d2: limit2 + 1,
        pixel: 0,
    };
    // Upper left, lower left, upper right, lower right.
    let mut nearest = [nothing; 4];
    nearest[0].offer(up[col].0, up[col].1);
    nearest[1].offer(down[col].0, down[col].1);
    let reach = limit.min(col.max(last - col));
    for step in 1..=reach {
        let step2 = square(step);
        // Looking every fourth step is cheaper than always, and changes nothing.
        if step & 3 == 0 && nearest.iter().all(|n| n.d2 < step2) {
            break;
        }
        if step <= col {
            let (up, down) = (up[col - step], down[col - step]);
            nearest[0].offer(step2.saturating_add(up.0), up.1);
            nearest[1].offer(step2.saturating_add(down.0), down.1);
        }
        if step <= last - col {
            let (up, down) = (up[col + step], down[col + step]);
            nearest[2].offer(step2.saturating_add(up.0), up.1);
            nearest[3].offer(step2.saturating_add(down.0), down.1);
        }
    }
    if col == last {
        // GDAL's search stops at the last column and looks at it once more for the right side.
        nearest[2].offer(up[col].0, up[col].1);
        nearest[3].offer(down[col].0, down[col].1);
    }
    nearest.map(|n| match n.d2 {
        d2 if d2 > limit2 => Source::default(),
        d2 => Source {
            pixel: n.pixel,
            weight: 1.0 / f64::from(d2).sqrt(),
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn raster(height: usize, width: usize, value: impl Fn(usize, usize) -> f32) -> Raster {
        let data = (0..height * width)
            .map(|i| value(i / width, i % width))
            .collect();
        Raster::from_vec(1, height, width, data).unwrap()
    }

    #[test]
    fn one_hole_between_two_pixels() {
        let image = Raster::from_vec(1, 1, 4, vec![0.0, 99.0, 99.0, 30.0]).unwrap();
        let mask = Mask::from_vec(1, 4, vec![false, true, true, false]).unwrap();
        let (out, filled) = inverse_distance(&image, &mask, &Mask::new(1, 4, true), 100);
        assert_eq!(out.data, [0.0, 10.0, 20.0, 30.0]);
        assert_eq!(filled, mask);
    }

    #[test]
    fn nodata_is_no_source_and_stays() {
        let image = Raster::from_vec(1, 1, 5, vec![5.0, 0.0, f32::NAN, -1.0, 7.0]).unwrap();
        let mask = Mask::from_vec(1, 5, vec![false, true, true, true, false]).unwrap();
        let valid = Mask::from_vec(1, 5, vec![true, true, false, true, false]).unwrap();
        let (out, filled) = inverse_distance(&image, &mask, &valid, 2);
        assert_eq!(out.data[1], 5.0);
        assert!(out.data[2].is_nan());
        assert_eq!(out.data[3], -1.0);
        assert_eq!(filled.data, [false, true, false, false, false]);
        let complete = smooth(&image, &mask, &valid, 2);
        assert_eq!(complete.data, [5.0; 5]);
        assert_eq!(mean(&image, &mask, &valid).data[3], 5.0);
    }

    #[test]
    fn nothing_visible_gives_zeros_not_nan() {
        let image = raster(3, 3, |_, _| f32::NAN);
        let (all, none) = (Mask::new(3, 3, true), Mask::new(3, 3, false));
        assert_eq!(smooth(&image, &all, &all, 9).data, [0.0; 9]);
        assert_eq!(smooth(&image, &none, &none, 9).data, [0.0; 9]);
        assert!(!inverse_distance(&image, &all, &all, 0).1.any());
    }

    #[test]
    fn empty_images_pass() {
        let image = Raster::new(2, 0, 0);
        let mask = Mask::new(0, 0, true);
        assert_eq!(smooth(&image, &mask, &mask, 3), image);
    }

    /// The definition, pixel by pixel.
    fn slow(image: &Raster, mask: &Mask, limit: usize) -> Raster {
        let (height, width) = (image.height, image.width);
        let mut out = image.clone();
        for row in 0..height {
            for col in (0..width).filter(|&col| mask.at(row, col)) {
                let mut best = [(limit as f64 + 1.0, 0.0); 4];
                for step in 0..=limit {
                    for side in 0..2 {
                        let c = match side {
                            0 => col.saturating_sub(step),
                            _ => (col + step).min(width - 1),
                        };
                        if side == 1 && step == 0 {
                            continue;
                        }
                        let up = (0..=row).rev().find(|&r| !mask.at(r, c));
                        let down = (row + 1..height).find(|&r| !mask.at(r, c));
                        for (k, r) in [up, down].into_iter().enumerate() {
                            let Some(r) = r else { continue };
                            let d2 = (r.abs_diff(row).pow(2) + c.abs_diff(col).pow(2)) as f64;
                            let slot = &mut best[2 * side + k];
                            if d2 < slot.0 * slot.0 {
                                *slot = (d2.sqrt(), f64::from(image.at(0, r, c)));
                            }
                        }
                    }
                }
                let found = best.iter().filter(|b| b.0 <= limit as f64);
                let weight: f64 = found.clone().map(|b| 1.0 / b.0).sum();
                if weight > 0.0 {
                    let value = found.map(|b| b.1 * (1.0 / b.0)).sum::<f64>() / weight;
                    out.data[row * width + col] = value as f32;
                }
            }
        }
        out
    }

    proptest! {
        #[test]
        fn quick_equals_slow(
            height in 1usize..16, width in 1usize..16, limit in 1usize..20,
            values in prop::collection::vec(0f32..1.0, 256),
            flags in prop::collection::vec(prop::bool::weighted(0.8), 256),
        ) {
            let image = raster(height, width, |r, c| values[r * 16 + c]);
            let mask = Mask::from_fn(height, width, |r, c| flags[r * 16 + c]);
            let valid = Mask::new(height, width, true);
            let (out, filled) = inverse_distance(&image, &mask, &valid, limit);
            prop_assert_eq!(&out, &slow(&image, &mask, limit));
            for i in 0..height * width {
                prop_assert!(mask.data[i] || !filled.data[i]);
                prop_assert!(filled.data[i] || out.data[i] == image.data[i]);
            }
        }

        #[test]
        fn fills_stay_within_the_visible_range(
            values in prop::collection::vec(-5f32..5.0, 144),
            flags in prop::collection::vec(any::<bool>(), 144),
        ) {
            let image = raster(12, 12, |r, c| values[r * 12 + c]);
            let mask = Mask::from_vec(12, 12, flags).unwrap();
            let out = smooth(&image, &mask, &Mask::new(12, 12, true), 4);
            let seen = || image.data.iter().zip(&mask.data).filter(|&(_, &m)| !m).map(|(&v, _)| v);
            prop_assume!(seen().next().is_some());
            let (low, high) = seen().fold((f32::MAX, f32::MIN), |(a, b), v| (a.min(v), b.max(v)));
            for v in &out.data {
                prop_assert!((low - 1e-5..=high + 1e-5).contains(v));
            }
        }
    }
}
