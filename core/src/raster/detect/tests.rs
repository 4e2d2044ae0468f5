//! The detector on made-up scenes in which it is known where the clouds are.

use std::ops::ControlFlow;

use super::*;

const HEIGHT: usize = 300;
const WIDTH: usize = 340;
/// From cloud to shadow: up and to the left, as with a morning sun in the south-east.
const OFFSET: (isize, isize) = (-36, -28);

/// Blue, green, red, near infrared, cirrus, two short-wave infrared.
const FIELD: [f32; 7] = [0.09, 0.09, 0.08, 0.30, 0.001, 0.22, 0.12];
const SOIL: [f32; 7] = [0.11, 0.12, 0.15, 0.22, 0.001, 0.30, 0.24];
const WATER: [f32; 7] = [0.09, 0.07, 0.04, 0.02, 0.001, 0.01, 0.01];
const SNOW: [f32; 7] = [0.75, 0.74, 0.72, 0.65, 0.002, 0.08, 0.05];
const CLOUD: [f32; 7] = [0.55, 0.54, 0.55, 0.60, 0.004, 0.45, 0.35];

const FULL: Roles = Roles {
    blue: 0,
    green: 1,
    red: 2,
    nir: Some(3),
    cirrus: Some(4),
    swir1: Some(5),
    swir2: Some(6),
};
const VISIBLE: Roles = Roles {
    nir: None,
    cirrus: None,
    swir1: None,
    swir2: None,
    ..FULL
};

struct Made {
    image: Raster,
    valid: Mask,
    bands: Vec<usize>,
}

impl ReflectanceSource for Made {
    fn size(&self) -> (usize, usize) {
        (self.image.height, self.image.width)
    }

    fn read(&mut self, window: Window) -> Result<(Raster, Mask)> {
        let image = self.image.select_bands(&self.bands).crop(window);
        Ok((image, self.valid.crop(window)))
    }
}

/// Three round clouds.
fn cloud(row: isize, col: isize) -> bool {
    let discs = [(90, 120, 26), (200, 250, 34), (230, 90, 18)];
    discs
        .iter()
        .any(|(r, c, radius)| (row - r).pow(2) + (col - c).pow(2) < radius * radius)
}

fn shadow(row: isize, col: isize) -> bool {
    !cloud(row, col) && cloud(row - OFFSET.0, col - OFFSET.1)
}

fn lake(row: usize, col: usize) -> bool {
    (20..60).contains(&row) && (250..320).contains(&col)
}

fn ground(row: usize, col: usize) -> [f32; 7] {
    if lake(row, col) {
        return WATER;
    }
    let kind = if (row / 23 + col / 31).is_multiple_of(3) {
        SOIL
    } else {
        FIELD
    };
    let grain = ((row * 7919 + col * 104_729) % 97) as f32 / 97.0;
    kind.map(|value| value * (0.93 + 0.14 * grain))
}

fn scene(of: impl Fn(usize, usize) -> [f32; 7], roles: &Roles) -> Made {
    let mut image = Raster::new(7, HEIGHT, WIDTH);
    for row in 0..HEIGHT {
        for col in 0..WIDTH {
            for (band, value) in of(row, col).into_iter().enumerate() {
                image.band_mut(band)[row * WIDTH + col] = value;
            }
        }
    }
    Made {
        image,
        valid: Mask::new(HEIGHT, WIDTH, true),
        bands: roles.bands(),
    }
}

fn clouded(row: usize, col: usize) -> [f32; 7] {
    let (r, c) = (row as isize, col as isize);
    match () {
        () if cloud(r, c) => CLOUD,
        () if shadow(r, c) => {
            let lit = ground(row, col);
            // The sky lights a shadow, most in blue.
            std::array::from_fn(|band| lit[band] * [0.8, 0.7, 0.6, 0.4, 1.0, 0.4, 0.4][band])
        }
        () => ground(row, col),
    }
}

fn found(source: &mut Made, roles: &Roles, settings: &Settings) -> Detected {
    detect(source, roles, settings, &mut |_| ControlFlow::Continue(())).expect("detected")
}

/// Precision and recall.
fn score(found: &BitMask, truth: impl Fn(isize, isize) -> bool) -> (f64, f64) {
    let found = found.read(Window::full(HEIGHT, WIDTH));
    let truth = Mask::from_fn(HEIGHT, WIDTH, |row, col| truth(row as isize, col as isize));
    let hit = found.and(&truth).count() as f64;
    (hit / found.count() as f64, hit / truth.count() as f64)
}

#[test]
fn clouds_and_their_shadows_are_found_and_water_is_neither() {
    let detected = found(&mut scene(clouded, &FULL), &FULL, &Settings::default());
    let (precision, recall) = score(&detected.cloud, cloud);
    assert!(
        precision > 0.98 && recall > 0.98,
        "cloud {precision} {recall}"
    );
    let (down, right) = detected.offset_px.expect("an offset");
    assert!(
        (down - OFFSET.0).abs() <= 4 && (right - OFFSET.1).abs() <= 4,
        "{down} {right}"
    );
    let (precision, recall) = score(&detected.shadow, shadow);
    assert!(
        precision > 0.95 && recall > 0.9,
        "shadow {precision} {recall}"
    );
}

#[test]
fn clouds_are_found_in_visible_bands_whatever_their_scale() {
    for (scale, calibrated) in [(1.0, true), (2.0, false), (0.9, false)] {
        let mut source = scene(|row, col| clouded(row, col).map(|v| v * scale), &VISIBLE);
        let settings = Settings {
            calibrated,
            ..Settings::default()
        };
        let detected = found(&mut source, &VISIBLE, &settings);
        let (precision, recall) = score(&detected.cloud, cloud);
        assert!(
            precision > 0.98 && recall > 0.98,
            "{scale}: {precision} {recall}"
        );
    }
}

#[test]
fn clear_ground_and_snow_are_no_clouds() {
    let clear = found(&mut scene(ground, &FULL), &FULL, &Settings::default());
    assert_eq!((clear.cloud.count(), clear.shadow.count()), (0, 0));
    let snowy = |row: usize, col: usize| {
        if row > 150 { SNOW } else { clouded(row, col) }
    };
    let detected = found(&mut scene(snowy, &FULL), &FULL, &Settings::default());
    let (precision, recall) = score(&detected.cloud, |row, col| row <= 150 && cloud(row, col));
    assert!(precision > 0.95 && recall > 0.95, "{precision} {recall}");
    // High cloud over ordinary ground is seen at 1.38 micrometres only.
    let cirrus = |row: usize, col: usize| {
        let mut pixel = ground(row, col);
        pixel[4] = if col < 100 { 0.03 } else { 0.001 };
        pixel
    };
    let detected = found(&mut scene(cirrus, &FULL), &FULL, &Settings::default());
    let (precision, recall) = score(&detected.cloud, |_, col| col < 100);
    assert!(precision > 0.95 && recall > 0.95, "{precision} {recall}");
}

#[test]
fn an_even_veil_is_clear_sky_and_thicker_cirrus_in_it_is_not() {
    let with = |of: fn(usize) -> f32| {
        let pixel = move |row: usize, col: usize| {
            let mut pixel = ground(row, col);
            pixel[4] = of(col);
            pixel
        };
        found(&mut scene(pixel, &FULL), &FULL, &Settings::default()).cloud
    };
    // As on whole clear frames of SEN12MS-CR: 0.037 to 0.052 at 1.38 micrometres.
    let veil = |col: usize| 0.037 + 0.015 * (col as f32 / WIDTH as f32);
    assert_eq!(with(veil).count(), 0);
    let (precision, recall) = score(
        &with(|col| if col < 100 { 0.07 } else { 0.03 }),
        |_, col| col < 100,
    );
    assert!(precision > 0.95 && recall > 0.95, "{precision} {recall}");
    // Nothing of the ground is clear under so much of it.
    let all = with(|_| 0.08).count();
    assert!(all as f64 > 0.95 * (HEIGHT * WIDTH) as f64, "{all}");
}

#[test]
fn shadows_are_looked_for_away_from_the_sun() {
    // From the north-west no shadow can fall up and to the left.
    let wrong = Settings {
        sun: Sun::Azimuth(315.0),
        ..Settings::default()
    };
    let detected = found(&mut scene(clouded, &FULL), &FULL, &wrong);
    let right = |offset: (isize, isize)| offset.0 < 0 && offset.1 < 0;
    assert!(
        !detected.offset_px.is_some_and(right),
        "{:?}",
        detected.offset_px
    );
}

#[test]
fn the_cut_into_windows_does_not_matter() {
    let whole = found(&mut scene(clouded, &FULL), &FULL, &Settings::default());
    for window_px in [37, 128] {
        let mut source = scene(clouded, &FULL);
        let walk = Walk {
            source: &mut source,
            progress: &mut |_| ControlFlow::Continue(()),
            window_px,
            done: 0,
        };
        let cut = run(walk, &FULL, &Settings::default()).expect("detected");
        assert_eq!(cut.cloud, whole.cloud);
        assert_eq!(cut.shadow, whole.shadow);
        assert_eq!(cut.offset_px, whole.offset_px);
    }
}

#[test]
fn nodata_is_neither_looked_at_nor_marked() {
    let mut source = scene(clouded, &FULL);
    for at in 0..HEIGHT * WIDTH {
        if at % WIDTH < 150 {
            source.valid.data[at] = false;
            for band in 0..7 {
                source.image.band_mut(band)[at] = [3.0, 0.0, -1.0][at % 3];
            }
        }
    }
    let detected = found(&mut source, &FULL, &Settings::default());
    let marked = detected.cloud.read(Window::full(HEIGHT, WIDTH));
    assert!((0..HEIGHT * WIDTH).all(|at| at % WIDTH >= 150 || !marked.data[at]));
    let (_, recall) = score(&detected.cloud, |row, col| col >= 150 && cloud(row, col));
    assert!(recall > 0.97, "{recall}");
    // Nothing but nodata, and a scene of one pixel.
    source.valid = Mask::new(HEIGHT, WIDTH, false);
    assert!(!found(&mut source, &FULL, &Settings::default()).cloud.any());
    let mut dot = Made {
        image: Raster::new(7, 1, 1),
        valid: Mask::new(1, 1, true),
        bands: FULL.bands(),
    };
    assert!(!found(&mut dot, &FULL, &Settings::default()).cloud.any());
}

#[test]
fn the_caller_can_stop() {
    let mut source = scene(clouded, &FULL);
    let outcome = detect(&mut source, &FULL, &Settings::default(), &mut |done| {
        if done > HEIGHT {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    });
    assert!(matches!(outcome, Err(Error::Interrupted)));
}
