//! Variations of a training tile: turns, gain and gamma, and changes of its bands that keep
//! the network from relying on one sensor's band order.

use unclouded_core::raster::Raster;
use unclouded_core::raster::turn::{Turn, turned};

use super::rng::Rng;
use crate::recipe::AugmentConfig;

/// A random symmetry: mirrors, quarter turns, or all eight.
pub fn random_turn(rng: &mut Rng, flips: bool, rotations: bool) -> Turn {
    match (flips, rotations) {
        (false, false) => 0,
        (true, false) => rng.below(4) as Turn,
        // A quarter turn is a transposition and one mirror.
        (false, true) => [0, 5, 3, 6][rng.below(4)],
        (true, true) => rng.below(8) as Turn,
    }
}

/// Turns every plane of a square image.
pub fn turn_image(image: &mut Raster, turn: Turn) {
    if turn != 0 {
        image.data = turned(&image.data, image.height, image.width, turn);
    }
}

/// Changes values and bands as the recipe asks; `full_scale` is the value that counts as
/// fully bright. Nothing is random when everything is switched off.
pub fn vary(image: &mut Raster, full_scale: f32, config: &AugmentConfig, rng: &mut Rng) {
    jitter(image, full_scale, config, rng);
    let choice = rng.unit();
    if choice < config.band_mix {
        let weights = mixing_weights(image.bands, rng);
        mix(image, &weights);
    } else if choice < config.band_mix + config.band_repeat {
        let chosen = rng.below(image.bands);
        let order = vec![chosen; image.bands];
        reorder(image, &order);
    }
    if rng.chance(config.band_permutation) {
        let mut order: Vec<usize> = (0..image.bands).collect();
        rng.shuffle(&mut order);
        reorder(image, &order);
    }
}

/// `v -> gain * band_gain * full_scale * (v / full_scale)^gamma`; negative values (which
/// some products have in deep shadow) only get the gain.
fn jitter(image: &mut Raster, full_scale: f32, config: &AugmentConfig, rng: &mut Rng) {
    let mut draw = |jitter: f32| rng.log_range(1.0 / (1.0 + jitter), 1.0 + jitter);
    let gamma = draw(config.gamma_jitter);
    let gain = draw(config.gain_jitter);
    for plane in image.data.chunks_exact_mut(image.height * image.width) {
        let gain = gain * draw(config.gain_jitter);
        if gain == 1.0 && gamma == 1.0 {
            continue;
        }
        for value in plane {
            let relative = *value / full_scale;
            let curved = if relative > 0.0 {
                relative.powf(gamma)
            } else {
                relative
            };
            *value = gain * full_scale * curved;
        }
    }
}

/// Rows that sum to 1. Half of the draws are convex, half also hold differences of bands.
fn mixing_weights(bands: usize, rng: &mut Rng) -> Vec<Vec<f32>> {
    let overshoot = if rng.chance(0.5) {
        0.0
    } else {
        rng.range(0.0, 0.5)
    };
    let mut convex = || -> Vec<f32> {
        // Exponential variates, normalised, are uniform on the simplex.
        let draws: Vec<f32> = (0..bands)
            .map(|_| -(1.0 - rng.unit()).ln() + 1e-6)
            .collect();
        let sum: f32 = draws.iter().sum();
        draws.iter().map(|d| d / sum).collect()
    };
    (0..bands)
        .map(|_| {
            let (plus, minus) = (convex(), convex());
            plus.iter()
                .zip(&minus)
                .map(|(p, m)| (1.0 + overshoot) * p - overshoot * m)
                .collect()
        })
        .collect()
}

/// Every band becomes the mix of all bands that its row of `weights` says.
pub(super) fn mix(image: &mut Raster, weights: &[Vec<f32>]) {
    let plane = image.height * image.width;
    let mut mixed = vec![0.0f32; image.data.len()];
    for (out, row) in mixed.chunks_exact_mut(plane).zip(weights) {
        for (band, weight) in image.data.chunks_exact(plane).zip(row) {
            for (out, value) in out.iter_mut().zip(band) {
                *out += weight * value;
            }
        }
    }
    image.data = mixed;
}

fn reorder(image: &mut Raster, order: &[usize]) {
    let plane = image.height * image.width;
    let bands = order
        .iter()
        .flat_map(|&band| &image.data[band * plane..(band + 1) * plane]);
    image.data = bands.copied().collect();
}

#[cfg(test)]
mod tests {
    use super::*;

    fn image() -> Raster {
        let data = (0..3 * 16).map(|i| (i * 7 % 50) as f32).collect();
        Raster {
            bands: 3,
            height: 4,
            width: 4,
            data,
        }
    }

    fn off() -> AugmentConfig {
        AugmentConfig {
            flips: false,
            rotations: false,
            ..AugmentConfig::default()
        }
    }

    #[test]
    fn turns_without_flips_are_never_mirrored() {
        let mut rng = Rng::new(1);
        for _ in 0..100 {
            assert!([0, 5, 3, 6].contains(&random_turn(&mut rng, false, true)));
            assert!(random_turn(&mut rng, true, false) < 4);
            assert_eq!(random_turn(&mut rng, false, false), 0);
        }
    }

    #[test]
    fn nothing_changes_when_switched_off() {
        let mut varied = image();
        vary(&mut varied, 255.0, &off(), &mut Rng::new(2));
        assert_eq!(varied, image());
    }

    #[test]
    fn a_repeated_band_is_one_of_the_bands() {
        let config = AugmentConfig {
            band_repeat: 1.0,
            ..off()
        };
        let mut varied = image();
        vary(&mut varied, 255.0, &config, &mut Rng::new(3));
        assert_eq!(varied.data[..16], varied.data[16..32]);
        assert!(
            image()
                .data
                .chunks(16)
                .any(|band| *band == varied.data[..16])
        );
    }

    #[test]
    fn a_permutation_keeps_the_bands() {
        let config = AugmentConfig {
            band_permutation: 1.0,
            ..off()
        };
        let sorted = |image: &Raster| {
            let mut bands: Vec<Vec<u32>> = image
                .data
                .chunks(16)
                .map(|b| b.iter().map(|v| v.to_bits()).collect())
                .collect();
            bands.sort();
            bands
        };
        for seed in 0..10 {
            let mut varied = image();
            vary(&mut varied, 255.0, &config, &mut Rng::new(seed));
            assert_eq!(sorted(&varied), sorted(&image()));
        }
    }

    #[test]
    fn mixed_grey_stays_grey() {
        // Weights sum to 1, so equal bands remain what they are.
        let mut grey = image();
        let band = grey.data[..16].to_vec();
        grey.data = band.repeat(3);
        let config = AugmentConfig {
            band_mix: 1.0,
            ..off()
        };
        let mut varied = grey.clone();
        vary(&mut varied, 255.0, &config, &mut Rng::new(4));
        for (a, b) in varied.data.iter().zip(&grey.data) {
            assert!((a - b).abs() < 1e-3);
        }
    }

    #[test]
    fn jitter_is_bounded_and_finite() {
        let config = AugmentConfig {
            gain_jitter: 0.2,
            gamma_jitter: 0.3,
            ..off()
        };
        for seed in 0..50 {
            let mut varied = image();
            varied.data[0] = -3.0;
            vary(&mut varied, 255.0, &config, &mut Rng::new(seed));
            assert!(
                varied
                    .data
                    .iter()
                    .all(|v| v.is_finite() && *v < 255.0 * 1.45)
            );
        }
    }
}
