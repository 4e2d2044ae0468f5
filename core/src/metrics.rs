//! How near a restored image is to the truth: PSNR, SSIM, SAM and MAE, on all pixels or in a mask.

use serde::Serialize;

use crate::raster::{Mask, Raster};

/// PSNR of a perfect match in dB, and the most any match is given: the true value is infinite,
/// which neither averages nor JSON can hold.
pub const PSNR_CAP_DB: f64 = 100.0;

/// The scores of one image, or their mean over images. Over no pixel at all every score is NaN
/// (`null` in JSON).
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Scores {
    /// 10 log10(range^2 / MSE) over all bands, in dB, at most [`PSNR_CAP_DB`].
    pub psnr_db: f64,
    /// Structural similarity, mean over pixels and bands, -1 to 1.
    pub ssim: f64,
    /// Spectral angle in degrees, mean over pixels, 0 to 180. A pixel that is zero in all bands
    /// has no direction: 0 degrees where both are, 90 where only one is.
    pub sam_deg: f64,
    /// Mean absolute error over all bands, in the units of the image.
    pub mae: f64,
    /// Root mean square error over all bands, in the units of the image.
    pub rmse: f64,
    /// The same over the mean of the truth.
    pub nrmse: f64,
}

impl Scores {
    const NAN: Scores = Scores {
        psnr_db: f64::NAN,
        ssim: f64::NAN,
        sam_deg: f64::NAN,
        mae: f64::NAN,
        rmse: f64::NAN,
        nrmse: f64::NAN,
    };
}

/// Scores over the whole image, or over its valid pixels (`valid` true = data).
///
/// `range` is the largest value the image can take, L in the formulas, in its units: 1 for
/// reflectance ([`clip_scale`]), 255 for 8-bit images.
///
/// # Panics
/// When the sizes differ: check files before.
pub fn score(truth: &Raster, pred: &Raster, valid: Option<&Mask>, range: f32) -> Scores {
    match valid {
        Some(valid) => score_both(truth, pred, valid, Some(valid), range).0,
        None => {
            let all = Mask::new(truth.height, truth.width, true);
            score_both(truth, pred, &all, None, range).0
        }
    }
}

/// Scores over the masked pixels only (`mask` true = counts). SSIM is the mean over the masked
/// pixels of the SSIM map of the whole image, so its windows see the surroundings of the hole.
///
/// # Panics
/// When the sizes differ: check files before.
pub fn score_masked(truth: &Raster, pred: &Raster, mask: &Mask, range: f32) -> Scores {
    score_both(truth, pred, mask, None, range).1
}

/// Scores over all valid pixels (all pixels without `valid`) and over the masked valid ones,
/// with one pass for both.
///
/// Pixels that are not valid count nowhere; for the SSIM windows that reach them both images
/// are taken as 0 there.
///
/// # Panics
/// When the sizes differ: check files before.
pub fn score_both(
    truth: &Raster,
    pred: &Raster,
    mask: &Mask,
    valid: Option<&Mask>,
    range: f32,
) -> (Scores, Scores) {
    let shape = |r: &Raster| (r.bands, r.height, r.width);
    assert_eq!(shape(truth), shape(pred), "sizes of truth and prediction");
    let size = (truth.height, truth.width);
    assert_eq!(size, (mask.height, mask.width), "size of the mask");
    if let Some(valid) = valid {
        assert_eq!(size, (valid.height, valid.width), "size of the valid mask");
        let (truth, pred) = (zero_invalid(truth, valid), zero_invalid(pred, valid));
        let map = ssim_map(&truth, &pred, range);
        let masked = mask.and(valid);
        let over = |pixels: &Mask| score_pixels(&truth, &pred, &map, pixels, range);
        return (over(valid), over(&masked));
    }
    let map = ssim_map(truth, pred, range);
    let all = Mask::new(size.0, size.1, true);
    let over = |pixels: &Mask| score_pixels(truth, pred, &map, pixels, range);
    (over(&all), over(mask))
}

/// The mean of each score over images; images whose score is NaN (nothing to score) are left
/// out, and without any other the mean is NaN.
pub fn mean_scores(scores: &[Scores]) -> Scores {
    let mean = |value: fn(&Scores) -> f64| {
        let known = scores.iter().map(value).filter(|v| !v.is_nan());
        known.clone().sum::<f64>() / known.count() as f64
    };
    Scores {
        psnr_db: mean(|s| s.psnr_db),
        ssim: mean(|s| s.ssim),
        sam_deg: mean(|s| s.sam_deg),
        mae: mean(|s| s.mae),
        rmse: mean(|s| s.rmse),
        nrmse: mean(|s| s.nrmse),
    }
}

/// Values clipped to 0..=`max` and divided by `max`: Sentinel-2 digital numbers with `max`
/// 10,000 become the reflectance the published figures are made of, with range 1.
pub fn clip_scale(image: &Raster, max: f32) -> Raster {
    let mut out = image.clone();
    for value in &mut out.data {
        *value = value.clamp(0.0, max) / max;
    }
    out
}

fn zero_invalid(image: &Raster, valid: &Mask) -> Raster {
    let mut out = image.clone();
    for band in 0..out.bands {
        for (value, &ok) in out.band_mut(band).iter_mut().zip(&valid.data) {
            if !ok {
                *value = 0.0;
            }
        }
    }
    out
}

fn score_pixels(truth: &Raster, pred: &Raster, map: &Raster, pixels: &Mask, range: f32) -> Scores {
    let count = pixels.count();
    if count == 0 || truth.bands == 0 {
        return Scores::NAN;
    }
    let samples = (count * truth.bands) as f64;
    let (mut squares, mut absolute, mut ssim, mut sum) = (0.0, 0.0, 0.0, 0.0);
    for band in 0..truth.bands {
        let pairs = truth.band(band).iter().zip(pred.band(band));
        for (((&t, &p), &s), &on) in pairs.zip(map.band(band)).zip(&pixels.data) {
            if on {
                let error = f64::from(t) - f64::from(p);
                squares += error * error;
                absolute += error.abs();
                sum += f64::from(t);
                ssim += f64::from(s);
            }
        }
    }
    let indices = (0..pixels.data.len()).filter(|&i| pixels.data[i]);
    let angles: f64 = indices.map(|i| angle_deg(truth, pred, i)).sum();
    Scores {
        psnr_db: psnr_db(squares / samples, range),
        ssim: ssim / samples,
        sam_deg: angles / count as f64,
        mae: absolute / samples,
        rmse: (squares / samples).sqrt(),
        nrmse: (squares / samples).sqrt() / (sum / samples),
    }
}

/// How far a vegetation index is off: of NDVI = (nir - red) / (nir + red), in its units.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct IndexError {
    /// Mean absolute error.
    pub mae: f64,
    /// Mean error, prediction minus truth.
    pub bias: f64,
}

/// The error of NDVI over the pixels of a mask (true = counts) where truth and prediction have
/// one; bands count from 0. None where none has.
///
/// # Panics
/// When the sizes differ: check files before.
pub fn ndvi_error(
    truth: &Raster,
    pred: &Raster,
    (red, nir): (usize, usize),
    mask: &Mask,
) -> Option<IndexError> {
    let index = |image: &Raster, i: usize| {
        let [red, nir] = [red, nir].map(|band| f64::from(image.band(band)[i]));
        (nir + red > 0.0).then(|| (nir - red) / (nir + red))
    };
    let pixels = (0..mask.data.len()).filter(|i| mask.data[*i]);
    let errors = pixels.filter_map(|i| Some(index(pred, i)? - index(truth, i)?));
    let (mut count, mut absolute, mut sum) = (0.0, 0.0, 0.0);
    for error in errors {
        count += 1.0;
        absolute += error.abs();
        sum += error;
    }
    (count > 0.0).then(|| IndexError {
        mae: absolute / count,
        bias: sum / count,
    })
}

/// PSNR over some bands and the pixels of a mask (true = counts), dB; NaN over none.
///
/// # Panics
/// When the sizes differ: check files before.
pub fn psnr_of_bands(
    truth: &Raster,
    pred: &Raster,
    bands: &[usize],
    mask: &Mask,
    range: f32,
) -> f64 {
    let mut squares = 0.0;
    for band in bands {
        let pairs = truth
            .band(*band)
            .iter()
            .zip(pred.band(*band))
            .zip(&mask.data);
        let seen = pairs.filter(|(_, on)| **on);
        squares += seen
            .map(|((t, p), _)| f64::from(t - p).powi(2))
            .sum::<f64>();
    }
    psnr_db(squares / (bands.len() * mask.count()) as f64, range)
}

fn psnr_db(mse: f64, range: f32) -> f64 {
    // A mean square error of 0 divides to infinity and ends at the cap.
    let db = 10.0 * (f64::from(range).powi(2) / mse).log10();
    // Not `min`: it would turn the NaN of a broken prediction into the best of scores.
    if db > PSNR_CAP_DB { PSNR_CAP_DB } else { db }
}

/// The angle between the two spectra of a pixel (Kruse et al. 1993, doi:10.1016/0034-4257(93)90013-N),
/// as 2 atan2(|u - v|, |u + v|) of the unit vectors, which unlike the arc cosine is accurate for
/// small angles.
fn angle_deg(a: &Raster, b: &Raster, pixel: usize) -> f64 {
    let stride = a.pixels();
    let spectrum = |r: &Raster, band: usize| f64::from(r.data[band * stride + pixel]);
    let norm = |r: &Raster| {
        let squares = (0..r.bands).map(|band| spectrum(r, band).powi(2));
        squares.sum::<f64>().sqrt()
    };
    let (norm_a, norm_b) = (norm(a), norm(b));
    if norm_a == 0.0 || norm_b == 0.0 {
        return if norm_a == norm_b { 0.0 } else { 90.0 };
    }
    let (mut minus, mut plus) = (0.0, 0.0);
    for band in 0..a.bands {
        let (u, v) = (spectrum(a, band) / norm_a, spectrum(b, band) / norm_b);
        minus += (u - v).powi(2);
        plus += (u + v).powi(2);
    }
    (2.0 * minus.sqrt().atan2(plus.sqrt())).to_degrees()
}

/// Radius of the SSIM window: 11 x 11 pixels.
const RADIUS: usize = 5;

/// The SSIM map of each band (Wang et al. 2004, doi:10.1109/TIP.2003.819861): Gaussian window of
/// 11 x 11 with sigma 1.5, C1 = (0.01 L)^2, C2 = (0.03 L)^2, population covariances.
///
/// Every pixel has a value: at the border the image goes on mirrored (edge pixel repeated), as
/// in scikit-image's full map. Note that the single figure scikit-image returns leaves out the
/// outer 5 pixels; ours is the mean of the map over all pixels asked for.
pub fn ssim_map(truth: &Raster, pred: &Raster, range: f32) -> Raster {
    let (height, width) = (truth.height, truth.width);
    let mut map = Raster::new(truth.bands, height, width);
    if width == 0 || height == 0 {
        return map;
    }
    let c1 = (0.01 * f64::from(range)).powi(2);
    let c2 = (0.03 * f64::from(range)).powi(2);
    let kernel = gaussian();
    let left_right: Vec<usize> = (0..width + 2 * RADIUS)
        .map(|i| mirrored(i as isize - RADIUS as isize, width))
        .collect();
    // Column sums of one output row, with mirrored margins: x, y, xx, yy, xy.
    let mut sums: [Vec<f64>; 5] = std::array::from_fn(|_| vec![0.0; width]);
    let mut padded = vec![0.0; width + 2 * RADIUS];
    let mut means: [Vec<f64>; 5] = std::array::from_fn(|_| vec![0.0; width]);
    for band in 0..truth.bands {
        for row in 0..height {
            sums.iter_mut().for_each(|sum| sum.fill(0.0));
            let [x1, y1, xx, yy, xy] = &mut sums;
            for (k, &weight) in kernel.iter().enumerate() {
                let source = mirrored((row + k) as isize - RADIUS as isize, height);
                let x_line = &truth.band(band)[source * width..][..width];
                let y_line = &pred.band(band)[source * width..][..width];
                for col in 0..width {
                    let (x, y) = (f64::from(x_line[col]), f64::from(y_line[col]));
                    let (wx, wy) = (weight * x, weight * y);
                    x1[col] += wx;
                    y1[col] += wy;
                    xx[col] += wx * x;
                    yy[col] += wy * y;
                    xy[col] += wx * y;
                }
            }
            for (mean, sum) in means.iter_mut().zip(&sums) {
                for (value, &col) in padded.iter_mut().zip(&left_right) {
                    *value = sum[col];
                }
                mean.fill(0.0);
                for (k, &weight) in kernel.iter().enumerate() {
                    for (m, &value) in mean.iter_mut().zip(&padded[k..]) {
                        *m += weight * value;
                    }
                }
            }
            let line = &mut map.band_mut(band)[row * width..][..width];
            for (col, value) in line.iter_mut().enumerate() {
                let [x, y, xx, yy, xy] = std::array::from_fn(|i| means[i][col]);
                let numerator = (2.0 * x * y + c1) * (2.0 * (xy - x * y) + c2);
                let denominator = (x * x + y * y + c1) * (xx - x * x + yy - y * y + c2);
                *value = (numerator / denominator) as f32;
            }
        }
    }
    map
}

fn gaussian() -> [f64; 2 * RADIUS + 1] {
    let weights: [f64; 2 * RADIUS + 1] = std::array::from_fn(|i| {
        let distance = i as f64 - RADIUS as f64;
        (-0.5 * (distance / 1.5).powi(2)).exp()
    });
    let total: f64 = weights.iter().sum();
    weights.map(|w| w / total)
}

/// Index of a mirrored line: ... 1 0 | 0 1 2 ... n-1 | n-1 n-2 ...
fn mirrored(i: isize, size: usize) -> usize {
    let k = i.rem_euclid(2 * size as isize) as usize;
    k.min(2 * size - 1 - k)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn image(bands: usize, side: usize, values: &[f32]) -> Raster {
        Raster::from_vec(bands, side, side, values.to_vec()).unwrap()
    }

    #[test]
    fn a_perfect_match_is_capped() {
        let a = image(3, 4, &[0.5; 48]);
        let scores = score(&a, &a, None, 1.0);
        assert_eq!(scores.psnr_db, PSNR_CAP_DB);
        assert!((scores.ssim - 1.0).abs() < 1e-6);
        assert_eq!((scores.sam_deg, scores.mae), (0.0, 0.0));
    }

    #[test]
    fn known_figures() {
        let (a, b) = (image(1, 2, &[0.0; 4]), image(1, 2, &[0.1, 0.1, 0.1, -0.1]));
        let scores = score(&a, &b, None, 1.0);
        assert!((scores.psnr_db - 20.0).abs() < 1e-5);
        assert!((scores.mae - 0.1).abs() < 1e-7);
        // Half of 255: 20 log10(2).
        let (a, b) = (image(1, 1, &[0.0]), image(1, 1, &[127.5]));
        assert!((score(&a, &b, None, 255.0).psnr_db - 6.0206).abs() < 1e-4);
    }

    #[test]
    fn spectral_angles() {
        let angle =
            |a: [f32; 2], b: [f32; 2]| score(&image(2, 1, &a), &image(2, 1, &b), None, 1.0).sam_deg;
        assert!((angle([1.0, 0.0], [3.0, 3.0]) - 45.0).abs() < 1e-9);
        assert!((angle([1.0, 0.0], [-2.0, 0.0]) - 180.0).abs() < 1e-9);
        assert_eq!(angle([0.0, 0.0], [0.0, 0.0]), 0.0);
        assert_eq!(angle([0.0, 0.0], [0.0, 0.2]), 90.0);
        let tiny = angle([1.0, 0.0], [1.0, 1e-6]).to_radians();
        assert!((tiny - 1e-6).abs() < 1e-12);
    }

    #[test]
    fn no_pixel_is_null_and_left_out_of_the_mean() {
        let a = image(1, 2, &[0.0, 0.0, 0.0, 0.1]);
        let none = score_masked(&a, &a, &Mask::new(2, 2, false), 1.0);
        assert!(none.psnr_db.is_nan() && none.ssim.is_nan());
        let json = serde_json::to_string(&none).unwrap();
        assert_eq!(
            json,
            r#"{"psnr_db":null,"ssim":null,"sam_deg":null,"mae":null,"rmse":null,"nrmse":null}"#
        );
        let one = score(&a, &a, None, 1.0);
        assert_eq!(mean_scores(&[none, one]), one);
        assert!(mean_scores(&[]).mae.is_nan());
    }

    #[test]
    fn invalid_pixels_count_nowhere() {
        let valid = Mask::from_vec(2, 2, vec![true, true, true, false]).unwrap();
        let a = image(1, 2, &[0.1, 0.2, 0.3, f32::NAN]);
        let b = image(1, 2, &[0.1, 0.2, 0.3, 1e9]);
        let (full, masked) = score_both(&a, &b, &Mask::new(2, 2, true), Some(&valid), 1.0);
        assert_eq!(full, masked);
        assert_eq!((full.psnr_db, full.mae), (PSNR_CAP_DB, 0.0));
        assert_eq!(score(&a, &b, Some(&valid), 1.0), full);
    }

    #[test]
    fn sentinel_numbers_become_reflectance() {
        let dn = image(1, 2, &[-1000.0, 0.0, 5000.0, 20_000.0]);
        assert_eq!(clip_scale(&dn, 10_000.0).data, [0.0, 0.0, 0.5, 1.0]);
    }

    proptest! {
        #[test]
        fn scores_keep_their_ranges(
            a in prop::collection::vec(0f32..1.0, 2 * 81), b in prop::collection::vec(0f32..1.0, 2 * 81),
            flags in prop::collection::vec(any::<bool>(), 81),
        ) {
            let (a, b) = (image(2, 9, &a), image(2, 9, &b));
            let mut mask = Mask::from_vec(9, 9, flags).unwrap();
            mask.data[40] = true;
            let (full, masked) = score_both(&a, &b, &mask, None, 1.0);
            for s in [full, masked] {
                prop_assert!((-1.0..=1.0).contains(&s.ssim) && (0.0..=90.0).contains(&s.sam_deg));
                prop_assert!(s.mae > 0.0 && s.psnr_db > 0.0);
            }
            // Symmetric, and a mask of everything is the whole image.
            let turned = score(&b, &a, None, 1.0);
            prop_assert!((turned.ssim - full.ssim).abs() < 1e-6);
            let all = score_masked(&a, &b, &Mask::new(9, 9, true), 1.0);
            prop_assert_eq!(all, full);
        }
    }

    #[test]
    fn a_prediction_with_nan_does_not_score() {
        let truth = Raster::from_vec(1, 12, 12, vec![10.0; 144]).unwrap();
        let mut pred = truth.clone();
        pred.data[70] = f32::NAN;
        assert!(score(&truth, &pred, None, 255.0).psnr_db.is_nan());
    }

    #[test]
    fn an_index_is_off_by_what_its_bands_are() {
        let image = |red: f32, nir: f32| {
            Raster::from_vec(2, 1, 3, vec![red, 0.0, 0.2, nir, 0.0, 0.4]).unwrap()
        };
        let all = Mask::new(1, 3, true);
        let (truth, pred) = (image(0.1, 0.3), image(0.1, 0.1));
        // One pixel falls from 0.5 to 0, one has no index, one is right.
        let error = ndvi_error(&truth, &pred, (0, 1), &all).unwrap();
        assert!((error.mae - 0.25).abs() < 1e-6 && (error.bias + 0.25).abs() < 1e-6);
        assert_eq!(
            ndvi_error(&truth, &pred, (0, 1), &Mask::new(1, 3, false)),
            None
        );
        let own = psnr_of_bands(&truth, &pred, &[0], &all, 1.0);
        assert_eq!(own, PSNR_CAP_DB);
        let both = psnr_of_bands(&truth, &pred, &[0, 1], &all, 1.0);
        assert!((both - score(&truth, &pred, None, 1.0).psnr_db).abs() < 1e-4);
    }
}
