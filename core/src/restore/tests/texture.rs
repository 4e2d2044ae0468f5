//! Textures over a whole scene.

use super::resume::Resumed;
use super::*;

/// 230 x 200 pixels of blocks of 9 pixels, with a wide cloud and small ones; some nodata.
fn scene() -> Memory {
    let mut scene = Memory::new(4, 230, 200);
    let block = gaussian_stream(&[3], 40 * 40);
    for band in 0..4 {
        for (i, value) in scene.image.band_mut(band).iter_mut().enumerate() {
            let (row, col) = (i / 200, i % 200);
            *value = 1000.0 + 100.0 * band as f32 + 300.0 * block[row / 9 * 40 + col / 9];
        }
    }
    scene.mask = Mask::from_fn(230, 200, |r, c| {
        (70..160).contains(&r) && (40..150).contains(&c) || (r + 3 * c) % 197 < 4
    });
    scene
}

fn textured() -> RestoreSettings {
    RestoreSettings {
        tile_px: 96,
        overlap_px: 24,
        samples: 2,
        written: Written::Texture,
        ..settings()
    }
}

#[test]
fn a_texture_is_of_visible_ground_and_leaves_the_rest() {
    let model = model(Conditioning::Guided);
    let scene = scene();
    let (done, summary) = scene.run(&model, &textured()).unwrap();
    let mean = RestoreSettings {
        written: Written::Mean,
        ..textured()
    };
    let (mean, _) = scene.run(&model, &mean).unwrap();
    assert!(summary.tiles > 4);
    assert_eq!(done.filled, mean.filled);
    assert_eq!(done.std, mean.std, "the uncertainty is the ensemble's");
    assert_ne!(done.out, mean.out);
    let hole = scene.mask.and(&scene.valid);
    let clear = scene.valid.and_not(&scene.mask);
    let seen = |band: usize| {
        let values = scene.image.band(band).iter().zip(&clear.data);
        values.filter(|(_, clear)| **clear).map(|(value, _)| *value)
    };
    let least = [0, 1, 2, 3].map(|band| seen(band).fold(f32::INFINITY, f32::min));
    let most = [0, 1, 2, 3].map(|band| seen(band).fold(f32::NEG_INFINITY, f32::max));
    for band in 0..4 {
        let pixels = done.out.band(band).iter().zip(scene.image.band(band));
        for (index, (out, image)) in pixels.enumerate() {
            if hole.data[index] {
                let seen = (least[band], most[band]);
                assert!(
                    *out >= seen.0 - 0.01 && *out <= seen.1 + 0.01,
                    "{out} {seen:?}"
                );
            } else if scene.valid.data[index] {
                assert_eq!(out.to_bits(), image.to_bits(), "clear pixel {index}");
            }
        }
    }
}

#[test]
fn a_texture_does_not_depend_on_batches_junk_or_interruptions() {
    let model = model(Conditioning::Guided);
    let scene = scene();
    let (whole, _) = scene.run(&model, &textured()).unwrap();
    let other = RestoreSettings {
        batch: 3,
        ..textured()
    };
    assert_eq!(scene.run(&model, &other).unwrap().0.out, whole.out);
    let junk = Memory {
        junk: f32::NAN,
        ..scene.copy()
    };
    let (junk, _) = junk.run(&model, &textured()).unwrap();
    for (index, (a, b)) in whole.out.data.iter().zip(&junk.out.data).enumerate() {
        assert!(
            !whole.filled.data[index % (230 * 200)] || a == b,
            "pixel {index}"
        );
    }
    let mut sink = Resumed {
        memory: scene.copy(),
        finished: 80,
    };
    let mut last = Progress::default();
    let mut told = false;
    restore(
        &mut scene.copy(),
        &mut sink,
        &model,
        &textured(),
        &mut |at| {
            // Said before, and no longer after the last.
            told |= at.texturing && at.textured.done == 0;
            last = at;
            ControlFlow::Continue(())
        },
    )
    .unwrap();
    assert!(told && !last.texturing);
    assert!(last.textured.total > 0 && last.textured.done == last.textured.total);
    for (index, (a, b)) in whole.out.data.iter().zip(&sink.memory.out.data).enumerate() {
        let row = index % (230 * 200) / 200;
        assert!(row < 80 || a.to_bits() == b.to_bits(), "row {row}");
    }
}

#[test]
fn with_a_reference_there_is_nothing_to_texture() {
    let model = model(Conditioning::Guided);
    let scene = scene();
    let (other, seen) = (scene.image.clone(), Mask::new(230, 200, true));
    let mut source = MemorySource::new(&scene.image, &scene.mask, &scene.valid);
    source = source.with_reference(&other, &seen);
    let mut sink = MemorySink::new(&scene.image);
    let go = &mut |_| ControlFlow::Continue(());
    // A forecast promises the run's own errors.
    let foreseen = forecast(&mut source, &model, &textured());
    assert!(matches!(
        foreseen,
        Err(Error::Setting {
            key: Key::Write,
            ..
        })
    ));
    let outcome = restore(&mut source, &mut sink, &model, &textured(), go);
    assert!(matches!(
        outcome,
        Err(Error::Setting {
            key: Key::Write,
            ..
        })
    ));
}
