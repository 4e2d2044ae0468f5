//! Tests of the spectral transfer: what it must find, and what it must leave alone.

use super::*;
use crate::raster::fill::smooth;
use proptest::prelude::*;

const SIDE_PX: usize = 64;

/// Numbers in -1..1 that look random, the same on every run.
fn noise(seed: u32, index: usize) -> f32 {
    let mut x = (index as u32).wrapping_mul(0x9E37_79B9) ^ seed.wrapping_mul(0x85EB_CA6B);
    for _ in 0..2 {
        x = (x ^ (x >> 16)).wrapping_mul(0x7FEB_352D);
        x = (x ^ (x >> 15)).wrapping_mul(0x846C_A68B);
    }
    x as f32 / (u32::MAX as f32) * 2.0 - 1.0
}

/// Bands 0 and 1: textured guides; band 2 = 2 b0 - b1 + a slope; band 3: texture of its own.
fn scene() -> Raster {
    let pixels = SIDE_PX * SIDE_PX;
    let slope = |i: usize| (i / SIDE_PX) as f32 * 0.05;
    let b0 = |i: usize| noise(1, i) + slope(i);
    let b1 = |i: usize| noise(2, i) - slope(i);
    let mut data: Vec<f32> = (0..pixels).map(b0).collect();
    data.extend((0..pixels).map(b1));
    data.extend((0..pixels).map(|i| 2.0 * b0(i) - b1(i) + 3.0 * slope(i)));
    data.extend((0..pixels).map(|i| 7.0 + noise(3, i)));
    Raster::from_vec(4, SIDE_PX, SIDE_PX, data).unwrap()
}

fn hole() -> Mask {
    Mask::from_fn(SIDE_PX, SIDE_PX, |row, col| {
        (row as i32 - 30).pow(2) + (col as i32 - 36).pow(2) < 150
    })
}

fn all() -> Mask {
    Mask::new(SIDE_PX, SIDE_PX, true)
}

#[test]
fn a_band_that_follows_is_followed_and_a_stranger_is_not() {
    let transfer = fit(&scene(), &hole(), &all(), &[0, 1], &Options::default());
    assert_eq!(transfer.others, [2, 3]);
    let beta = &transfer.beta;
    assert!(
        (beta[0] - 2.0).abs() < 0.1 && (beta[1] + 1.0).abs() < 0.1,
        "{beta:?}"
    );
    assert!(beta[2].abs() < 0.01 && beta[3].abs() < 0.01, "{beta:?}");
}

#[test]
fn following_bands_come_back_and_the_rest_stays() {
    let truth = scene();
    let mask = hole();
    let mut clouded = truth.clone();
    for band in 0..4 {
        for (value, &masked) in clouded.band_mut(band).iter_mut().zip(&mask.data) {
            *value = if masked { f32::NAN } else { *value };
        }
    }
    let filled = smooth(&clouded, &mask, &all(), 100);
    let transfer = fit(&clouded, &mask, &all(), &[0, 1], &Options::default());
    let restored = truth.select_bands(&[0, 1]);
    let out = transfer.apply(&filled, &restored, &mask);
    let error = |image: &Raster, band: usize| -> f32 {
        let pairs = image.band(band).iter().zip(truth.band(band));
        let inside = pairs.zip(&mask.data).filter(|&(_, &masked)| masked);
        inside.map(|((a, b), _)| (a - b).powi(2)).sum()
    };
    assert!(error(&out, 2) < 0.05 * error(&filled, 2));
    assert!(error(&out, 3) < 1.01 * error(&filled, 3));
    assert_eq!(error(&out, 0), 0.0);
    for (i, &masked) in mask.data.iter().enumerate() {
        for band in 0..4 {
            let index = band * mask.data.len() + i;
            assert!(masked || out.data[index] == truth.data[index]);
        }
    }
}

#[test]
fn windows_with_halo_give_the_fit_of_the_scene() {
    let (image, mask, options) = (scene(), hole(), Options::default());
    let whole = fit(&image, &mask, &all(), &[1, 0], &options);
    let mut parts = Fit::new(4, SIDE_PX, SIDE_PX, &[1, 0], &options);
    for row in [0, 20, 40, 60] {
        let core = Window {
            row,
            col: 0,
            height: 20.min(SIDE_PX - row),
            width: SIDE_PX,
        };
        let window = core.grow(options.halo_px(), SIDE_PX, SIDE_PX);
        let (part, part_mask) = (image.crop(window), mask.crop(window));
        parts.add(&part, &part_mask, &all().crop(window), window, core);
    }
    for (a, b) in parts.transfer().beta.iter().zip(&whole.beta) {
        assert!((a - b).abs() < 1e-5);
    }
}

#[test]
fn nothing_to_learn_from_is_no_transfer() {
    let options = Options::default();
    let (image, none) = (scene(), Mask::new(SIDE_PX, SIDE_PX, false));
    assert_eq!(
        fit(&image, &all(), &all(), &[0, 1], &options).beta,
        [0.0; 4]
    );
    assert_eq!(fit(&image, &none, &none, &[0, 1], &options).beta, [0.0; 4]);
    let flat = Raster::new(4, SIDE_PX, SIDE_PX);
    assert_eq!(
        fit(&flat, &hole(), &all(), &[0, 1], &options).beta,
        [0.0; 4]
    );
    assert!(
        fit(&image, &hole(), &all(), &[0, 1, 2, 3], &options)
            .beta
            .is_empty()
    );
    assert!(fit(&image, &hole(), &all(), &[], &options).beta.is_empty());
    let empty = fit(&image, &hole(), &all(), &[], &options);
    assert_eq!(
        empty.apply(&image, &Raster::new(0, SIDE_PX, SIDE_PX), &hole()),
        image
    );
}

#[test]
fn masked_and_nodata_values_are_never_read() {
    let valid = Mask::from_fn(SIDE_PX, SIDE_PX, |row, col| row > 3 || col > 9);
    let clean = fit(&scene(), &hole(), &valid, &[0, 1], &Options::default());
    let mut dirty = scene();
    for band in 0..4 {
        for (i, value) in dirty.band_mut(band).iter_mut().enumerate() {
            if hole().data[i] || !valid.data[i] {
                *value = f32::NAN;
            }
        }
    }
    assert_eq!(
        fit(&dirty, &hole(), &valid, &[0, 1], &Options::default()),
        clean
    );
}

#[test]
fn the_same_guide_twice_is_solvable() {
    let twice = scene().select_bands(&[0, 0, 2]);
    let beta = fit(&twice, &hole(), &all(), &[0, 1], &Options::default()).beta;
    assert!(beta.iter().all(|b| b.is_finite()));
    assert!((beta[0] - beta[1]).abs() < 1e-3, "{beta:?}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]
    /// Other units for a band change its coefficients by the same factor, and nothing else.
    #[test]
    fn units_do_not_matter(scale in 0.01f32..1000.0) {
        let mut scaled = scene();
        scaled.band_mut(2).iter_mut().for_each(|value| *value *= scale);
        let options = Options::default();
        let a = fit(&scene(), &hole(), &all(), &[0, 1], &options).beta;
        let b = fit(&scaled, &hole(), &all(), &[0, 1], &options).beta;
        prop_assert!((b[0] / scale - a[0]).abs() < 1e-3 && (b[1] / scale - a[1]).abs() < 1e-3);
        prop_assert!((b[2] - a[2]).abs() < 1e-6);
    }
}
