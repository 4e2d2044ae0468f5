//! Self-made guides: the same tile at an invented other date, or as a coarser estimate.
//!
//! Pairs of clear images of one place are few; single clear images are many. What differs
//! between two dates is imitated: sun and haze (gain, offset, gamma a band), season (bands
//! mixed), fields that change on their own, resampling (shift, blur), noise, clouds of that date,
//! and now and then ground that has nothing to do with it.

use unclouded_core::model::example::Hint;
use unclouded_core::raster::{Mask, Raster};

use super::noise_mask;
use super::rng::Rng;
use crate::recipe::HintConfig;

/// The hint of an example: a reference, a coarse estimate, or none, in the shares of `config`.
/// `other` is a tile of another place, of the same size and bands.
pub fn draw(
    truth: &Raster,
    full_scale: f32,
    other: &Raster,
    config: &HintConfig,
    rng: &mut Rng,
) -> Hint {
    let choice = rng.unit();
    if choice < config.reference {
        let (image, observed) = reference(truth, full_scale, other, rng);
        Hint::Reference(image, observed)
    } else if choice < config.reference + config.coarse {
        Hint::Coarse(coarse(truth, rng))
    } else {
        Hint::None
    }
}

/// The tile at another date, in units of its own, and where that date was clear.
fn reference(truth: &Raster, full_scale: f32, other: &Raster, rng: &mut Rng) -> (Raster, Mask) {
    const UNRELATED: f32 = 0.06;
    let mut image = if rng.chance(UNRELATED) {
        other.clone()
    } else {
        shift(truth, rng.range(-0.8, 0.8), rng.range(-0.8, 0.8))
    };
    if rng.chance(0.3) {
        image = box_mean(&image, 1);
    }
    change_fields(&mut image, rng);
    let weights = season(image.bands, rng);
    super::augment::mix(&mut image, &weights);
    let (side, pixels) = (image.width, image.height * image.width);
    let gamma = rng.log_range(0.8, 1.25);
    let noise = full_scale * rng.log_range(5e-4, 1e-2);
    for plane in image.data.chunks_exact_mut(pixels) {
        let gain = rng.log_range(0.6, 1.6);
        let offset = full_scale * rng.range(-0.1, 0.1);
        for value in plane {
            let relative = (*value / full_scale).max(0.0);
            *value = gain * full_scale * relative.powf(gamma) + offset + noise * rng.normal();
        }
    }
    let observed = if rng.chance(0.4) {
        let hidden = rng.range(0.05, 0.7) * pixels as f32;
        noise_mask::draw(rng, side, hidden as usize).invert()
    } else {
        Mask::new(image.height, side, true)
    };
    (image, observed)
}

/// A mixture of bands near the identity; rows sum to 1.
fn season(bands: usize, rng: &mut Rng) -> Vec<Vec<f32>> {
    let strength = rng.range(0.0, 0.3);
    let row = |band: usize, rng: &mut Rng| -> Vec<f32> {
        let share = |rng: &mut Rng| strength * rng.range(-0.3, 1.0) / bands as f32;
        let mut row: Vec<f32> = (0..bands).map(|_| share(rng)).collect();
        row[band] += 1.0 - row.iter().sum::<f32>();
        row
    };
    (0..bands).map(|band| row(band, rng)).collect()
}

/// Fields (neighbouring pixels of like brightness) get gains of their own.
fn change_fields(image: &mut Raster, rng: &mut Rng) {
    const SHADES: usize = 4;
    const PLACES: usize = 4;
    let strength = rng.range(0.0, 0.5);
    let share = rng.range(0.1, 0.7);
    let (side, pixels, bands) = (image.width, image.height * image.width, image.bands);
    let brightness: Vec<f32> = (0..pixels)
        .map(|i| (0..bands).map(|band| image.data[band * pixels + i]).sum())
        .collect();
    let cell_px = rng.range(8.0, 40.0);
    let place = ranks(&noise_mask::fractal(rng, side, cell_px), PLACES);
    let shade = ranks(&brightness, SHADES);
    let gains: Vec<f32> = (0..SHADES * PLACES)
        .flat_map(|_| {
            let strength = if rng.chance(share) { strength } else { 0.0 };
            let common = strength * rng.normal();
            let mut gain = |_| {
                (common + 0.4 * strength * rng.normal())
                    .exp()
                    .clamp(0.3, 3.0)
            };
            (0..bands).map(&mut gain).collect::<Vec<_>>()
        })
        .collect();
    for (band, plane) in image.data.chunks_exact_mut(pixels).enumerate() {
        for (i, value) in plane.iter_mut().enumerate() {
            *value *= gains[(shade[i] * PLACES + place[i]) * bands + band];
        }
    }
}

/// Which of `classes` equally wide classes between smallest and largest each value is in.
fn ranks(values: &[f32], classes: usize) -> Vec<usize> {
    let low = values.iter().copied().fold(f32::INFINITY, f32::min);
    let high = values.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let width = ((high - low) / classes as f32).max(f32::MIN_POSITIVE);
    let class = |v: &f32| (((v - low) / width) as usize).min(classes - 1);
    values.iter().map(class).collect()
}

/// The image moved by a fraction of a pixel, linear, edges repeated.
fn shift(image: &Raster, down: f32, right: f32) -> Raster {
    let (height, width) = (image.height, image.width);
    let tap = |i: usize, by: f32, size: usize| {
        let at = (i as f32 + by).clamp(0.0, (size - 1) as f32);
        let low = at as usize;
        (low, (low + 1).min(size - 1), at - low as f32)
    };
    let mut out = Raster::new(image.bands, height, width);
    for band in 0..image.bands {
        let plane = image.band(band);
        for (i, value) in out.band_mut(band).iter_mut().enumerate() {
            let (top, bottom, v) = tap(i / width, down, height);
            let (left, right, u) = tap(i % width, right, width);
            let line = |row: usize| {
                let row = &plane[row * width..];
                row[left] + u * (row[right] - row[left])
            };
            *value = line(top) + v * (line(bottom) - line(top));
        }
    }
    out
}

/// What a coarser restoration would know of the tile: means over squares, partly missed.
fn coarse(truth: &Raster, rng: &mut Rng) -> Raster {
    let blurred = box_mean(truth, 2 + rng.below(2));
    let softer = box_mean(&blurred, 6);
    let known = rng.range(0.3, 1.0);
    let mut out = softer;
    for (value, detail) in out.data.iter_mut().zip(&blurred.data) {
        *value += known * (detail - *value);
    }
    out
}

/// Means over squares of half side `radius`, cut at the edges.
fn box_mean(image: &Raster, radius: usize) -> Raster {
    let (height, width) = (image.height, image.width);
    let mut out = image.clone();
    let line = |values: &[f32]| -> Vec<f32> {
        let mean = |i: usize| {
            let part = &values[i.saturating_sub(radius)..(i + radius + 1).min(values.len())];
            part.iter().sum::<f32>() / part.len() as f32
        };
        (0..values.len()).map(mean).collect()
    };
    for band in 0..image.bands {
        let plane = out.band_mut(band);
        for row in plane.chunks_exact_mut(width) {
            let mean = line(row);
            row.copy_from_slice(&mean);
        }
        for col in 0..width {
            let column: Vec<f32> = (0..height).map(|row| plane[row * width + col]).collect();
            for (row, value) in line(&column).into_iter().enumerate() {
                plane[row * width + col] = value;
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tile(key: usize) -> Raster {
        let data = (0..3 * 32 * 32).map(|i| (((i + key) * 7919) % 199) as f32 + 20.0);
        Raster::from_vec(3, 32, 32, data.collect()).unwrap()
    }

    #[test]
    fn shares_are_those_of_the_recipe() {
        let config = HintConfig {
            reference: 0.5,
            coarse: 0.2,
        };
        let mut rng = Rng::new(1);
        let (truth, other) = (tile(0), tile(5));
        let mut counts = [0; 3];
        for _ in 0..1000 {
            counts[match draw(&truth, 255.0, &other, &config, &mut rng) {
                Hint::Reference(..) => 0,
                Hint::Coarse(_) => 1,
                Hint::None => 2,
            }] += 1;
        }
        for (count, expected) in counts.into_iter().zip([500i32, 200, 300]) {
            assert!((count - expected).abs() < 60, "{counts:?}");
        }
    }

    #[test]
    fn a_reference_is_related_to_the_tile_but_not_equal() {
        let mut rng = Rng::new(2);
        // Smooth ground: white noise would lose its correlation to the shift alone.
        let (truth, other) = (box_mean(&tile(0), 3), box_mean(&tile(77), 3));
        let mut own = Vec::new();
        let mut foreign = Vec::new();
        for _ in 0..60 {
            let (image, observed) = reference(&truth, 255.0, &other, &mut rng);
            assert!(image.data.iter().all(|v| v.is_finite()));
            assert!(observed.any());
            assert_ne!(image, truth);
            own.push(correlation(truth.band(0), image.band(0)));
            foreign.push(correlation(other.band(0), image.band(0)).abs());
        }
        let median = |mut values: Vec<f64>| {
            values.sort_by(f64::total_cmp);
            values[values.len() / 2]
        };
        let (own, foreign) = (median(own), median(foreign));
        assert!(own > 0.3 && own < 0.999, "{own}");
        assert!(foreign < own, "{foreign} of another place, {own}");
    }

    fn correlation(a: &[f32], b: &[f32]) -> f64 {
        let mean = |v: &[f32]| v.iter().map(|x| f64::from(*x)).sum::<f64>() / v.len() as f64;
        let (ma, mb) = (mean(a), mean(b));
        let pairs = || {
            a.iter()
                .zip(b)
                .map(|(x, y)| (f64::from(*x) - ma, f64::from(*y) - mb))
        };
        let cov: f64 = pairs().map(|(x, y)| x * y).sum();
        let (va, vb): (f64, f64) = (
            pairs().map(|p| p.0 * p.0).sum(),
            pairs().map(|p| p.1 * p.1).sum(),
        );
        cov / (va * vb).sqrt()
    }

    #[test]
    fn shift_moves_and_box_mean_keeps_constants() {
        let ramp: Vec<f32> = (0..64).map(|i| (i % 8) as f32).collect();
        let image = Raster::from_vec(1, 8, 8, ramp).unwrap();
        let moved = shift(&image, 0.0, 0.5);
        assert_eq!(moved.at(0, 3, 2), 2.5);
        assert_eq!(moved.at(0, 3, 7), 7.0);
        let flat = Raster::from_vec(1, 8, 8, vec![4.0; 64]).unwrap();
        assert_eq!(box_mean(&flat, 3), flat);
    }
}
