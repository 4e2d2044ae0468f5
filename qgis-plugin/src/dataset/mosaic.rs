//! Two tiles joined along a line: what lies beside each other in a scene, and never in tiles that were
//! cut so that each shows one kind of land.
//!
//! A model that has only seen such tiles takes the roughness of a town for that of the field beside it.

use std::f32::consts::TAU;

use unclouded_core::raster::Raster;

use super::rng::Rng;

/// Largest distance of the line from the middle of the tile, as a share of half its side.
const FARTHEST: f32 = 0.6;

/// Largest ratio between the contrasts of two tiles that are joined. Tiles reach the network in units of
/// what is visible of them: behind a calm sea alone, a town would be noise of a hundred units.
const MOST_RATIO: f32 = 4.0;

/// Whether the contrasts of two images are near enough for [`join`].
pub fn fit(one: &Raster, other: &Raster) -> bool {
    let (one, other) = (contrast(one), contrast(other));
    one.max(other) <= MOST_RATIO * one.min(other)
}

/// Standard deviation of a band, averaged over the bands, in the image's unit.
fn contrast(image: &Raster) -> f32 {
    let pixels = image.height * image.width;
    let deviation = |plane: &[f32]| {
        let mean = plane.iter().sum::<f32>() / pixels as f32;
        (plane.iter().map(|v| (v - mean).powi(2)).sum::<f32>() / pixels as f32).sqrt()
    };
    image.data.chunks_exact(pixels).map(deviation).sum::<f32>() / image.bands as f32
}

/// Replaces one side of a random line through `image` by what `other` shows there. Both have one size
/// and one unit. The line comes within 0.6 half sides of the middle, so that both keep a good part.
pub fn join(image: &mut Raster, other: &Raster, rng: &mut Rng) {
    debug_assert_eq!(
        (image.bands, image.height, image.width),
        (other.bands, other.height, other.width)
    );
    let (sin, cos) = rng.range(0.0, TAU).sin_cos();
    let half = 0.5 * image.height.min(image.width) as f32;
    let distance = rng.range(-FARTHEST, FARTHEST) * half;
    let (width, pixels) = (image.width, image.height * image.width);
    let beyond = |index: usize| {
        let row = (index / width) as f32 + 0.5 - 0.5 * (pixels / width) as f32;
        let col = (index % width) as f32 + 0.5 - 0.5 * width as f32;
        row * sin + col * cos > distance
    };
    let planes = image.data.chunks_exact_mut(pixels);
    for (plane, other) in planes.zip(other.data.chunks_exact(pixels)) {
        for (index, (value, other)) in plane.iter_mut().zip(other).enumerate() {
            if beyond(index) {
                *value = *other;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn constant(value: f32) -> Raster {
        Raster {
            bands: 2,
            height: 32,
            width: 32,
            data: vec![value; 2 * 32 * 32],
        }
    }

    #[test]
    fn only_tiles_of_like_contrast_fit() {
        let waves = |height: f32| {
            let mut image = constant(50.0);
            for (index, value) in image.data.iter_mut().enumerate() {
                *value += height * (index % 2) as f32;
            }
            image
        };
        assert!(fit(&waves(1.0), &waves(3.9)));
        assert!(fit(&waves(3.9), &waves(1.0)));
        assert!(!fit(&waves(1.0), &waves(4.1)));
        assert!(!fit(&constant(1.0), &waves(1.0)));
    }

    #[test]
    fn both_tiles_keep_a_part_with_one_straight_border() {
        for seed in 0..200 {
            let mut joined = constant(0.0);
            join(&mut joined, &constant(1.0), &mut Rng::new(seed));
            let (first, second) = joined.data.split_at(32 * 32);
            assert_eq!(first, second, "bands must agree on the border");
            let share = first.iter().sum::<f32>() / first.len() as f32;
            assert!((0.1..0.9).contains(&share), "seed {seed}: share {share}");
            // One border: no row changes sides more than once.
            for row in first.chunks(32) {
                let changes = row.windows(2).filter(|pair| pair[0] != pair[1]).count();
                assert!(changes <= 1, "seed {seed}: {changes} changes in a row");
            }
        }
    }
}
