//! Several dates on made-up ground: what helps, what must not matter, what must do no harm.

use super::choose::nested;
use super::*;
use crate::raster::random::gaussian_stream;

const SIDE: usize = 96;

/// A place with two hidden causes, such as soil and plants: every date shows them in its own way.
fn date(seed: u64, noise: f32) -> Raster {
    let causes = [
        gaussian_stream(&[1], SIDE * SIDE),
        gaussian_stream(&[2], SIDE * SIDE),
    ];
    let weights = gaussian_stream(&[3, seed], 6);
    let odd = gaussian_stream(&[4, seed], 3 * SIDE * SIDE);
    let value = |i: usize| {
        let (band, at) = (i / (SIDE * SIDE), i % (SIDE * SIDE));
        let ground = weights[2 * band] * causes[0][at] + weights[2 * band + 1] * causes[1][at];
        1000.0 + 100.0 * ground + noise * odd[i]
    };
    Raster::from_vec(3, SIDE, SIDE, (0..3 * SIDE * SIDE).map(value).collect()).unwrap()
}

fn hole() -> Mask {
    Mask::from_fn(SIDE, SIDE, |r, c| {
        (30..60).contains(&r) && (20..70).contains(&c)
    })
}

/// Root mean square error in the hole, and the model.
fn error(scene: &Raster, dates: &[(Raster, Mask)]) -> (f32, DatesModel) {
    let (holes, whole) = (hole(), Window::full(SIDE, SIDE));
    let ground = Ground {
        image: scene,
        visible: &holes.invert(),
        holes: &holes,
        window: whole,
    };
    let model = DatesModel::fit(
        DateMethod::Regression,
        &ground,
        &vec![None; dates.len()],
        |k| Ok(dates[k].clone()),
    )
    .unwrap();
    let features = |k: &usize| Features::new(&dates[*k].0, &dates[*k].1);
    let features: Vec<Features> = model.dates.iter().map(features).collect();
    let suggestion = model.predict(&features, scene.bands);
    if suggestion.observed.data.is_empty() {
        return (f32::NAN, model);
    }
    let (mut sum, mut count) = (0.0, 0.0);
    for i in (0..SIDE * SIDE).filter(|i| holes.data[*i] && suggestion.observed.data[*i]) {
        for band in 0..scene.bands {
            sum += (suggestion.image.band(band)[i] - scene.band(band)[i]).powi(2);
            count += 1.0;
        }
    }
    ((sum / f32::max(count, 1.0)).sqrt(), model)
}

fn everywhere() -> Mask {
    Mask::new(SIDE, SIDE, true)
}

#[test]
fn more_dates_say_more_than_one() {
    let scene = date(0, 0.0);
    let dates: Vec<_> = (1..=6)
        .map(|seed| (date(seed, 30.0), everywhere()))
        .collect();
    let (one, _) = error(&scene, &dates[..1]);
    let (six, model) = error(&scene, &dates);
    assert!(six < 0.8 * one, "{six} of six dates, {one} of one");
    assert_eq!(model.dates.len(), 6);
}

#[test]
fn the_order_of_the_dates_does_not_matter() {
    let scene = date(0, 5.0);
    let mut dates: Vec<_> = (1..=5)
        .map(|seed| (date(seed, 20.0), everywhere()))
        .collect();
    let (forward, _) = error(&scene, &dates);
    dates.reverse();
    let (backward, _) = error(&scene, &dates);
    assert_eq!(forward.to_bits(), backward.to_bits());
}

#[test]
fn a_cloud_nobody_knew_of_has_no_say() {
    let scene = date(0, 0.0);
    let mut dates: Vec<_> = (1..=4)
        .map(|seed| (date(seed, 20.0), everywhere()))
        .collect();
    let (clear, _) = error(&scene, &dates);
    // Over half of the hole and some of the ground around it.
    for band in 0..3 {
        for row in 20..45 {
            dates[0].0.band_mut(band)[row * SIDE + 10..row * SIDE + 80].fill(9000.0);
        }
    }
    let (clouded, _) = error(&scene, &dates);
    assert!(
        clouded < 1.5 * clear,
        "{clouded} with a cloud, {clear} without"
    );
}

#[test]
fn what_no_date_shows_is_left_to_others() {
    let scene = date(0, 0.0);
    let half = Mask::from_fn(SIDE, SIDE, |_, col| col < 45);
    let mut dates: Vec<_> = (1..=3)
        .map(|seed| (date(seed, 10.0), half.clone()))
        .collect();
    // What lies where a date is not observed has no say, whatever it is.
    for (image, _) in &mut dates {
        for band in 0..3 {
            for (i, value) in image.band_mut(band).iter_mut().enumerate() {
                *value = if i % SIDE < 45 { *value } else { -1e30 };
            }
        }
    }
    let (holes, whole) = (hole(), Window::full(SIDE, SIDE));
    let ground = Ground {
        image: &scene,
        visible: &holes.invert(),
        holes: &holes,
        window: whole,
    };
    let model = DatesModel::fit(DateMethod::Regression, &ground, &[None; 3], |k| {
        Ok(dates[k].clone())
    })
    .unwrap();
    let features: Vec<Features> = model
        .dates
        .iter()
        .map(|k| Features::new(&dates[*k].0, &dates[*k].1))
        .collect();
    let suggestion = model.predict(&features, 3);
    assert_eq!(suggestion.observed, half);
    assert!(suggestion.image.data.iter().all(|value| value.abs() < 1e4));
    assert!((0..SIDE * SIDE).all(|i| (suggestion.dates[i] > 0) == half.data[i]));
}

#[test]
fn dates_that_show_nothing_are_no_dates() {
    let scene = date(0, 0.0);
    let never = Mask::new(SIDE, SIDE, false);
    let (_, model) = error(
        &scene,
        &[(date(1, 0.0), never.clone()), (date(2, 0.0), never)],
    );
    assert!(model.dates.is_empty());
    assert_eq!(model.predict(&[], 3).observed.count(), 0);
}

#[test]
fn nested_sets_are_the_best_first() {
    assert_eq!(nested(0b1011_0110, 2), 0b110);
    assert_eq!(nested(0b1011_0110, 4), 0b11_0110);
    assert_eq!(nested(0b100, 8), 0b100);
    assert_eq!(nested(0, 4), 0);
}
