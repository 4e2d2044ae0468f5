//! A guide: what another image says about the ground a mask hides.
//!
//! A reference is an image of the same place at another date, from any sensor. Bands of the
//! scene follow those of the reference by coefficients fitted on what both show
//! ([`spectral`](super::spectral)); the difference to that prediction, which is mostly smooth
//! (season, haze, illumination), is filled from the rim of the hole like an image without a
//! reference. This is regression kriging (Hengl, Heuvelink & Rossiter 2007) with the soft
//! inverse-distance fill as the interpolator: exact at the rim, so that no edge of the hole shows.

use super::spectral::{Options, Transfer};
use super::{Mask, Raster, fill};

/// What the network is shown of a guide.
#[derive(Debug, Clone, PartialEq)]
pub struct Guide {
    /// `[bands, height, width]` in scene units, about zero: the guide's detail.
    pub detail: Raster,
    /// `[height, width]`: 0 = the guide says nothing, [`COARSE`] = an estimate at a coarser
    /// scale, [`OBSERVED`] = seen at another date.
    pub trust: Vec<f32>,
}

/// Trust in an estimate at a coarser scale.
pub const COARSE: f32 = 0.5;
/// Trust in an observation of another date.
pub const OBSERVED: f32 = 1.0;

impl Guide {
    /// The guide of a prediction from a reference (see [`predict`]) that was `observed` there.
    pub fn from_reference(prediction: &Raster, observed: &Mask) -> Self {
        let count = observed.count().max(1) as f64;
        let mut detail = prediction.clone();
        for band in 0..detail.bands {
            let seen = detail.band(band).iter().zip(&observed.data);
            let sum: f64 = seen.filter(|(_, o)| **o).map(|(v, _)| f64::from(*v)).sum();
            let mean = (sum / count) as f32;
            for (value, observed) in detail.band_mut(band).iter_mut().zip(&observed.data) {
                *value = if *observed { *value - mean } else { 0.0 };
            }
        }
        let trust = observed
            .data
            .iter()
            .map(|o| f32::from(u8::from(*o)) * OBSERVED);
        Self {
            detail,
            trust: trust.collect(),
        }
    }

    /// The guide grown to `size` (height, width) by reflection.
    pub fn pad_reflect(&self, size: (usize, usize)) -> Self {
        let trust = Raster {
            bands: 1,
            height: self.detail.height,
            width: self.detail.width,
            data: self.trust.clone(),
        };
        Self {
            detail: self.detail.pad_reflect(size.0, size.1),
            trust: trust.pad_reflect(size.0, size.1).data,
        }
    }

    /// The guide of a coarser estimate that was added to the smooth fill: `delta` in scene
    /// units, `weight` `[height, width]` in 0..=1.
    pub fn from_coarse(delta: Raster, weight: &[f32]) -> Self {
        Self {
            detail: delta,
            trust: weight.iter().map(|w| w * COARSE).collect(),
        }
    }
}

/// How the bands of a scene are fitted to those of a reference: over a wider neighbourhood than
/// between bands of one date, and damped more, since ground changes. Chosen on pairs of
/// Sentinel-2 scenes a few weeks apart.
pub fn reference_options() -> Options {
    Options {
        radius_px: 24,
        near_px: 32,
        ridge: 0.02,
        ..Options::default()
    }
}

/// Scene and reference in one image, `[scene bands, reference bands]`, as
/// [`Fit`](super::spectral::Fit) takes them with the reference's bands as guides.
pub fn stack(scene: &Raster, reference: &Raster) -> Raster {
    let mut data = scene.data.clone();
    data.extend_from_slice(&reference.data);
    Raster {
        bands: scene.bands + reference.bands,
        height: scene.height,
        width: scene.width,
        data,
    }
}

/// The bands of the scene as the reference suggests them, up to a smooth difference.
///
/// * `reference` `[reference bands, height, width]` in its own units, `observed` true = data
///   without clouds. The rest is first filled softly, so that the prediction has no edge there.
/// * `transfer` was fitted on [`stack`]: guides = the reference's bands, others = the scene's.
///
/// Returns `[scene bands, height, width]` in scene units.
pub fn predict(
    reference: &Raster,
    observed: &Mask,
    transfer: &Transfer,
    max_distance_px: usize,
) -> Raster {
    let everywhere = Mask::new(reference.height, reference.width, true);
    let complete = fill::soft(reference, &observed.invert(), &everywhere, max_distance_px);
    let bands = transfer.others.len();
    let mut out = Raster::new(bands, reference.height, reference.width);
    for (band, beta) in transfer.beta.chunks_exact(reference.bands).enumerate() {
        for (other, weight) in beta.iter().enumerate() {
            let plane = complete.band(other).iter();
            for (value, seen) in out.band_mut(band).iter_mut().zip(plane) {
                *value += weight * seen;
            }
        }
    }
    out
}

/// `a - b`, band by band.
pub fn subtract(a: &Raster, b: &Raster) -> Raster {
    let mut out = a.clone();
    out.data.iter_mut().zip(&b.data).for_each(|(a, b)| *a -= b);
    out
}

/// `a + b`, in place.
pub fn add(a: &mut Raster, b: &Raster) {
    a.data.iter_mut().zip(&b.data).for_each(|(a, b)| *a += b);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::raster::spectral;

    /// A scene of two bands, a reference of one, and a hole in the middle of the scene.
    fn scene() -> (Raster, Raster, Mask) {
        let texture = |i: usize| ((i * 7919) % 101) as f32;
        let reference = Raster::from_vec(1, 48, 48, (0..48 * 48).map(texture).collect()).unwrap();
        let season = |i: usize| (i / 48) as f32 * 2.0;
        let first = (0..48 * 48).map(|i| 3.0 * texture(i) + season(i) + 40.0);
        let second = (0..48 * 48).map(|i| -0.5 * texture(i) + 900.0);
        let image = Raster::from_vec(2, 48, 48, first.chain(second).collect()).unwrap();
        let hole = Mask::from_fn(48, 48, |r, c| {
            (16..32).contains(&r) && (12..36).contains(&c)
        });
        (image, reference, hole)
    }

    fn fit(image: &Raster, reference: &Raster, hole: &Mask, observed: &Mask) -> Transfer {
        let stacked = stack(image, reference);
        spectral::fit(&stacked, hole, observed, &[2], &reference_options())
    }

    #[test]
    fn a_hole_is_filled_with_what_the_reference_shows() {
        let (image, reference, hole) = scene();
        let observed = Mask::new(48, 48, true);
        let transfer = fit(&image, &reference, &hole, &observed);
        let guide = predict(&reference, &observed, &transfer, 100);
        let mut filled = fill::soft(&subtract(&image, &guide), &hole, &observed, 100);
        add(&mut filled, &guide);
        let worst = filled
            .data
            .iter()
            .zip(&image.data)
            .map(|(a, b)| (a - b).abs());
        // The texture spans 300; what is left is the season's slope across the hole.
        let worst = worst.fold(0.0, f32::max);
        assert!(worst < 25.0, "{worst}");
    }

    #[test]
    fn what_the_reference_does_not_show_is_not_trusted() {
        let (_, reference, _) = scene();
        let observed = Mask::from_fn(48, 48, |_, c| c < 24);
        let guide = Guide::from_reference(&reference, &observed);
        assert_eq!(guide.trust.iter().sum::<f32>(), 24.0 * 48.0);
        assert!((0..48 * 48).all(|i| i % 48 < 24 || guide.detail.data[i] == 0.0));
        let mean = guide.detail.data.iter().sum::<f32>();
        assert!(mean.abs() < 1.0, "{mean}");
    }

    #[test]
    fn unknown_pixels_of_the_reference_have_no_say() {
        let (image, mut reference, hole) = scene();
        let observed = Mask::from_fn(48, 48, |r, c| r + c > 30);
        let one = fit(&image, &reference, &hole, &observed);
        let before = predict(&reference, &observed, &one, 100);
        for (value, seen) in reference.data.iter_mut().zip(&observed.data) {
            *value = if *seen { *value } else { 1e6 };
        }
        let two = fit(&image, &reference, &hole, &observed);
        assert_eq!(one, two);
        assert_eq!(before, predict(&reference, &observed, &two, 100));
    }
}
