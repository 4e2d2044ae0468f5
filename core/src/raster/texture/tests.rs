//! What a drawn texture promises.

use proptest::prelude::*;

use super::bank::{Patches, Positions, SIDE_PX, vote};
use super::*;
use crate::raster::random::gaussian_stream;

const SIDE: usize = 96;

/// Stripes of two colours, 6 pixels wide and slanted.
fn stripes() -> Raster {
    let value = |i: usize| {
        let (band, row, col) = (i / (SIDE * SIDE), i / SIDE % SIDE, i % SIDE);
        let bright = (col + row / 3) / 6 % 2 == 0;
        100.0 * (band + 1) as f32 + if bright { 40.0 } else { -40.0 }
    };
    let data = (0..2 * SIDE * SIDE).map(value).collect();
    Raster::from_vec(2, SIDE, SIDE, data).unwrap()
}

/// A hole of 32 pixels in the middle.
fn hole() -> Mask {
    Mask::from_fn(SIDE, SIDE, |row, col| {
        (32..64).contains(&row) && (32..64).contains(&col)
    })
}

/// The stripes with their mean in the hole, which is what an ensemble would say of it.
fn estimate() -> Raster {
    let mut image = stripes();
    for band in 0..2 {
        let pixels = image.band_mut(band).iter_mut().zip(hole().data);
        for (pixel, _) in pixels.filter(|(_, hole)| *hole) {
            *pixel = 100.0 * (band + 1) as f32;
        }
    }
    image
}

fn drawn(image: &Raster, spread: Option<&Raster>, visible: &Mask, seed: u64) -> Raster {
    let ground = Ground {
        window: Window::full(SIDE, SIDE),
        image,
        spread,
        visible,
        drawn: &hole(),
    };
    draw(&ground, seed)
}

#[test]
fn a_smooth_hole_gets_the_stripes_around_it() {
    let (image, clear) = (estimate(), hole().invert());
    let out = drawn(&image, None, &clear, 1);
    let (mut contrast, mut like) = (0.0, 0.0);
    let truth = stripes();
    for (index, hole) in hole().data.iter().enumerate() {
        for band in 0..2 {
            let (value, before) = (out.band(band)[index], image.band(band)[index]);
            if *hole {
                let centre = 100.0 * (band + 1) as f32;
                contrast += (value - centre).abs() / 40.0;
                like += (value - centre) * (truth.band(band)[index] - centre) / 1600.0;
                assert!(
                    (value - centre).abs() <= 40.001,
                    "{value} is nowhere to be seen"
                );
            } else {
                assert_eq!(value.to_bits(), before.to_bits(), "a clear pixel changed");
            }
        }
    }
    let count = 2.0 * hole().count() as f32;
    // As strong as the stripes, and for the most part where they must be to go on straight.
    assert!(contrast / count > 0.8, "contrast {}", contrast / count);
    assert!(like / count > 0.5, "like the truth {}", like / count);
}

#[test]
fn the_seed_decides_where_the_estimate_does_not() {
    let (image, clear) = (estimate(), hole().invert());
    let once = drawn(&image, None, &clear, 1);
    assert_eq!(once, drawn(&image, None, &clear, 1));
    assert_ne!(once, drawn(&image, None, &clear, 2));
    // A certain estimate gets no noise.
    let certain = Raster::new(2, SIDE, SIDE);
    let thin = |seed| drawn(&image, Some(&certain), &clear, seed);
    assert_eq!(thin(1), thin(2));
}

#[test]
fn nothing_is_drawn_from_nothing() {
    let image = estimate();
    for visible in [Mask::new(SIDE, SIDE, false), {
        // Too narrow for a patch.
        Mask::from_fn(SIDE, SIDE, |row, _| row < SIDE_PX - 1)
    }] {
        assert_eq!(drawn(&image, None, &visible, 1), image);
    }
    let small = Raster::from_vec(1, 3, 200, vec![1.0; 600]).unwrap();
    let ground = Ground {
        window: Window::full(3, 200),
        image: &small,
        spread: None,
        visible: &Mask::from_fn(3, 200, |_, col| col > 9),
        drawn: &Mask::from_fn(3, 200, |_, col| col < 9),
    };
    assert_eq!(draw(&ground, 1), small);
}

#[test]
fn what_is_flat_stays_flat() {
    let clear = hole().invert();
    let flat = |value: f32| vec![value; SIDE * SIDE];
    let all = Raster::from_vec(1, SIDE, SIDE, flat(7.5)).unwrap();
    assert_eq!(drawn(&all, None, &clear, 3), all);
    // A flat band beside others, and an estimate that is not quite as flat.
    let mut image = estimate();
    image.band_mut(1).copy_from_slice(&flat(7.5));
    let mut off = image.clone();
    for (value, hole) in off.band_mut(1).iter_mut().zip(hole().data) {
        *value += if hole { 1e-3 } else { 0.0 };
    }
    let out = drawn(&off, None, &clear, 3);
    assert_eq!(out.band(1), image.band(1));
    let strong = out
        .band(0)
        .iter()
        .filter(|value| (**value - 100.0).abs() > 30.0);
    assert!(strong.count() > SIDE * SIDE * 9 / 10);
}

#[test]
fn the_nearest_is_the_one_of_the_formula() {
    let image = |seed, count: usize| {
        let data = gaussian_stream(&[seed], 3 * SIDE_PX * count);
        Raster::from_vec(3, SIDE_PX, count, data).unwrap()
    };
    let patches = |seed, count| {
        let image = image(seed, count);
        let all = Positions::inside(&Mask::new(SIDE_PX, count, true));
        Patches::gather(&image, &all)
    };
    // More of both than one block.
    let (queries, keys) = (patches(1, 300), patches(2, 1400));
    let distance = |a: &[f32], b: &[f32]| -> f64 {
        let squares = a.iter().zip(b).map(|(a, b)| f64::from(a - b).powi(2));
        squares.sum()
    };
    let rows = |patches: &Patches| -> Vec<Vec<f32>> {
        let rows = patches.values.chunks_exact(patches.dims);
        rows.map(<[f32]>::to_vec).collect()
    };
    let (a, b) = (rows(&queries), rows(&keys));
    let least: Vec<f64> = b
        .iter()
        .map(|key| {
            a.iter()
                .map(|q| distance(q, key))
                .fold(f64::INFINITY, f64::min)
        })
        .collect();
    let chosen = matching::nearest(&queries, &keys);
    assert_eq!(chosen.len(), a.len());
    for (query, chosen) in a.iter().zip(chosen) {
        let score = |key: usize| distance(query, &b[key]) / (0.18 + least[key]);
        let best = (0..b.len()).map(score).fold(f64::INFINITY, f64::min);
        assert!(
            score(chosen) <= best * (1.0 + 1e-4),
            "{} {best}",
            score(chosen)
        );
    }
}

proptest! {
    #[test]
    fn patches_cover_what_is_to_be_drawn(
        height in SIDE_PX..30, width in SIDE_PX..30, row in 0usize..9, col in 0usize..9,
        stride in 1usize..4, holes in prop::collection::vec(prop::bool::weighted(0.1), 900),
    ) {
        let mask = Mask::from_fn(height, width, |r, c| holes[r * 30 + c]);
        let window = Window { row, col, height, width };
        let positions = Positions::touching(&mask, window, stride);
        let mut covered = Mask::new(height, width, false);
        for &(row, col) in &positions.0 {
            for pixel in 0..SIDE_PX * SIDE_PX {
                let (r, c) = (row + pixel / SIDE_PX, col + pixel % SIDE_PX);
                covered.data[r * width + c] = true;
            }
        }
        prop_assert_eq!(mask.and_not(&covered).count(), 0);
        // Every source is clear, and what lies on itself changes nothing.
        let clear = mask.invert();
        let sources = Positions::inside(&clear);
        for &(row, col) in &sources.0 {
            let patch = Window { row, col, height: SIDE_PX, width: SIDE_PX };
            prop_assert!(!mask.any_in(patch));
        }
        let image = Raster::from_vec(1, height, width, gaussian_stream(&[5], height * width));
        let image = image.unwrap();
        let own: Vec<usize> = (0..sources.len()).collect();
        let again = vote(&image, &sources, &sources, &own);
        for (a, b) in again.data.iter().zip(&image.data) {
            prop_assert!((a - b).abs() < 1e-5);
        }
    }
}

#[test]
fn parts_that_overlap_choose_alike() {
    let chosen = |row: usize| {
        let window = Window {
            row,
            col: 0,
            height: 120,
            width: 160,
        };
        let all = Positions::inside(&Mask::new(120, 160, true));
        let kept = all.thinned(window, &[1]);
        let in_scene = kept.0.into_iter().map(|(r, c)| (r + row, c));
        in_scene.collect::<std::collections::BTreeSet<_>>()
    };
    let (a, b) = (chosen(0), chosen(20));
    assert!(a.len() == 5000 && b.len() == 5000);
    let inside = a.iter().filter(|(row, _)| *row >= 20).count();
    let both = a.intersection(&b).count();
    assert!(both as f32 > 0.95 * inside as f32, "{both} of {inside}");
}
