//! Restoring with a reference, and wide holes coarse to fine.

use super::*;
use crate::raster::coarse::Small;
use crate::restore::{MemorySink, MemorySource};

/// Ground with texture and large forms, `[3, height, width]`.
fn ground(height: usize, width: usize) -> Raster {
    let noise = gaussian_stream(&[3], height * width);
    let value = |i: usize| {
        let (band, at) = (i / (height * width), i % (height * width));
        let (row, col) = ((at / width) as f32, (at % width) as f32);
        let forms = (row / 23.0).sin() * (col / 31.0).cos();
        1000.0 + 200.0 * forms + (1.0 + band as f32) * 60.0 * noise[at]
    };
    Raster::from_vec(
        3,
        height,
        width,
        (0..3 * height * width).map(value).collect(),
    )
    .unwrap()
}

fn error_in(hole: &Mask, image: &Raster, truth: &Raster) -> f32 {
    let pixels = hole.data.len();
    let errors = image.data.iter().zip(&truth.data).enumerate();
    let inside = errors.filter(|(i, _)| hole.data[i % pixels]);
    let squares: f32 = inside.map(|(_, (a, b))| (a - b).powi(2)).sum();
    (squares / (hole.count() * image.bands) as f32).sqrt()
}

/// One step of a pair: what a network of random weights adds almost cancels.
fn quiet() -> RestoreSettings {
    RestoreSettings {
        samples: 2,
        steps: 1,
        tile_px: 32,
        overlap_px: 8,
        ..RestoreSettings::default()
    }
}

#[test]
fn a_reference_shows_the_ground_and_its_clouds_do_not() {
    let model = model(Conditioning::Guided);
    let truth = ground(72, 80);
    let hole = Mask::from_fn(72, 80, |r, c| {
        (20..50).contains(&r) && (25..60).contains(&c)
    });
    let valid = Mask::new(72, 80, true);
    // One band, other units, a part of it clouded.
    let observed = Mask::from_fn(72, 80, |r, c| r + c > 30);
    let seen = truth.band(1).iter().zip(&observed.data);
    let data = seen.map(|(v, seen)| if *seen { 7.0 - v / 300.0 } else { f32::NAN });
    let reference = Raster::from_vec(1, 72, 80, data.collect()).unwrap();
    let run = |source: MemorySource| {
        let (mut source, mut sink) = (source, MemorySink::new(&truth));
        let go = &mut |_| ControlFlow::Continue(());
        restore(&mut source, &mut sink, &model, &quiet(), go).unwrap();
        sink.image
    };
    let without = run(MemorySource::new(&truth, &hole, &valid));
    let with = run(MemorySource::new(&truth, &hole, &valid).with_reference(&reference, &observed));
    let (without, with) = (
        error_in(&hole, &without, &truth),
        error_in(&hole, &with, &truth),
    );
    assert!(with < 0.5 * without, "{with} with, {without} without");
}

#[test]
fn several_dates_fill_what_each_of_them_shows() {
    let model = model(Conditioning::Guided);
    let (height, width) = (300, 290);
    let truth = ground(height, width);
    // Across the centres of blocks, so that several models have a say.
    let hole = Mask::from_fn(height, width, |r, c| {
        (90..200).contains(&r) && (60..230).contains(&c)
    });
    let valid = Mask::new(height, width, true);
    let date = |gain: f32, shows: &dyn Fn(usize, usize) -> bool| {
        let observed = Mask::from_fn(height, width, shows);
        let all = truth.data.iter().enumerate();
        let data = all.map(|(i, v)| match observed.data[i % (height * width)] {
            true => 50.0 + gain * v,
            false => f32::NAN,
        });
        let image = Raster::from_vec(truth.bands, height, width, data.collect()).unwrap();
        (image, observed)
    };
    let left = date(2.0, &|_, c| c < 150);
    let right = date(-0.5, &|_, c| c >= 140);
    let never = date(1.0, &|_, _| false);
    let run = |batch: usize, dates: &[&(Raster, Mask)]| {
        let mut source = MemorySource::new(&truth, &hole, &valid);
        for (image, observed) in dates {
            source = source.with_reference(image, observed);
        }
        let mut sink = MemorySink::new(&truth);
        let settings = RestoreSettings { batch, ..quiet() };
        restore(&mut source, &mut sink, &model, &settings, &mut |_| {
            ControlFlow::Continue(())
        })
        .unwrap();
        sink.image
    };
    let without = run(8, &[]);
    let unseen = run(8, &[&never, &never]);
    let with = run(8, &[&left, &right, &never]);
    assert_eq!(
        with,
        run(3, &[&never, &right, &left]),
        "another order and batch"
    );
    for at in (0..with.data.len()).filter(|at| !hole.data[at % (height * width)]) {
        assert_eq!(with.data[at].to_bits(), truth.data[at].to_bits());
    }
    let error = |image: &Raster| error_in(&hole, image, &truth);
    assert!(error(&with) < 0.3 * error(&without));
    // Dates that show nothing there leave the fill to what surrounds the hole.
    assert!(error(&unseen) < 1.3 * error(&without));
}

#[test]
fn wide_holes_keep_every_promise() {
    let model = model(Conditioning::Guided);
    let mut scene = Memory::new(4, 150, 130);
    scene.valid = Mask::from_fn(150, 130, |r, c| r + c > 12);
    scene.mask = Mask::from_fn(150, 130, |r, c| {
        (20..125).contains(&r) && (15..110).contains(&c)
    });
    let settings = RestoreSettings {
        tile_px: 48,
        overlap_px: 16,
        ..settings()
    };
    let (done, _) = scene.run(&model, &settings).unwrap();
    for (i, value) in done.out.data.iter().enumerate() {
        let at = i % (150 * 130);
        if scene.valid.data[at] && !scene.mask.data[at] {
            assert_eq!(value.to_bits(), scene.image.data[i].to_bits());
        } else if scene.valid.data[at] {
            let (low, high) = visible_range(&scene, i / (150 * 130));
            assert!((low..=high).contains(value), "pixel {i} is {value}");
        }
    }
    let other = RestoreSettings {
        batch: 3,
        ..settings.clone()
    };
    let (again, _) = scene.run(&model, &other).unwrap();
    for (a, b) in done.out.data.iter().zip(&again.out.data) {
        assert!((a - b).abs() < 0.05 || !a.is_finite(), "{a} {b}");
    }
    let junk = Memory {
        junk: f32::NAN,
        ..scene.copy()
    };
    let (junk, _) = junk.run(&model, &settings).unwrap();
    for (i, (a, b)) in done.out.data.iter().zip(&junk.out.data).enumerate() {
        assert!(!done.filled.data[i % (150 * 130)] || a == b, "pixel {i}");
    }
}

#[test]
fn one_sample_stands_on_a_mean_of_the_wide_colours() {
    let model = model(Conditioning::Guided);
    let rows = Small {
        image: ground(40, 36),
        mask: Mask::from_fn(40, 36, |r, c| (8..30).contains(&r) && c > 6),
        valid: Mask::new(40, 36, true),
    };
    let mut small = coarse::Smaller::new(3, (40, 36), Box::new(MemoryScratch::default()));
    small.write(0, &rows).unwrap();
    let scene = MemorySource::new(&rows.image, &rows.mask, &rows.valid);
    let single = RestoreSettings {
        samples: 1,
        written: Written::Sample,
        ..settings()
    };
    let go = &mut |_| ControlFlow::Continue(());
    let bands = [0, 1, 2];
    let run = coarse::estimate(&small, &scene, &model, &single, &bands, go);
    let part = pollster::block_on(run).unwrap();
    let part = part.enlarged(Window::full(160, 144)).unwrap();
    assert!(part.std.data.iter().any(|std| *std > 0.0));
}

#[test]
fn progress_counts_the_coarse_pass_too() {
    let model = model(Conditioning::Guided);
    let mut scene = Memory::new(3, 150, 130);
    scene.mask = Mask::from_fn(150, 130, |r, c| {
        (20..125).contains(&r) && (15..110).contains(&c)
    });
    let (mut source, mut sink) = (scene.copy(), scene.copy());
    let mut last = Progress::default();
    let mut totals = Vec::new();
    restore(
        &mut source,
        &mut sink,
        &model,
        &settings(),
        &mut |progress| {
            // Every report follows work of at most one kind: none after rows of a coarser scale.
            let more = |after: Share, before: Share| usize::from(after.done > before.done);
            let kinds = more(progress.read, last.read)
                + more(progress.sampled, last.sampled)
                + more(progress.copied, last.copied);
            assert!(kinds <= 1 && progress.done >= last.done);
            last = progress;
            totals.push(progress.total);
            ControlFlow::Continue(())
        },
    )
    .unwrap();
    assert_eq!(last.done, last.total);
    for share in [last.read, last.sampled, last.copied] {
        assert_eq!(share.done, share.total);
    }
    assert!(totals.iter().all(|total| *total == totals[0]), "{totals:?}");
}
