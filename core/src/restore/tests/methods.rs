//! The ways to fill with an unconditional model, and images that are drawn anew.

use super::*;
use crate::diffusion::cold::Kind;
use crate::diffusion::prediction::Prediction;
use crate::model::task::Task;

fn with(method: Method) -> RestoreSettings {
    RestoreSettings {
        method: Some(method),
        steps: 6,
        ..settings()
    }
}

fn unconditional() -> Vec<Method> {
    let all = Method::ALL.into_iter();
    let own = |m: &Method| !matches!(m, Method::Direct | Method::Concat | Method::Cold);
    all.filter(|m| own(m) && (*m != Method::Dps || cfg!(feature = "autodiff")))
        .collect()
}

#[test]
fn every_method_keeps_the_promises_of_a_fill() {
    let model = model(Conditioning::None);
    let mut outcomes: Vec<Vec<u32>> = Vec::new();
    for method in unconditional() {
        let fill = |junk: f32| {
            let scene = Memory {
                junk,
                ..Memory::new(3, 20, 37)
            };
            let mut reports = Vec::new();
            let (mut source, mut sink) = (scene.copy(), scene.copy());
            restore(&mut source, &mut sink, &model, &with(method), &mut |at| {
                reports.push((at.done, at.total));
                ControlFlow::Continue(())
            })
            .expect("fills");
            // Every step was announced, each with all members that took it.
            let (done, total) = reports[reports.len() - 1];
            assert_eq!(done, total, "{method:?}");
            assert!(reports.windows(2).all(|pair| pair[0].0 <= pair[1].0));
            let pixels = sink.filled.data.len();
            for (i, value) in sink.out.data.iter().enumerate() {
                if scene.valid.data[i % pixels] && !scene.mask.data[i % pixels] {
                    assert_eq!(value.to_bits(), scene.image.data[i].to_bits(), "{method:?}");
                }
            }
            let values = sink.out.data.iter().enumerate();
            let filled = values.filter(|(i, _)| sink.filled.data[i % pixels]);
            filled.map(|(_, value)| value.to_bits()).collect::<Vec<_>>()
        };
        let one = fill(-1e30);
        assert_eq!(one, fill(f32::NAN), "{method:?} looks under the mask");
        assert!(!outcomes.contains(&one), "{method:?} is another method");
        outcomes.push(one);
    }
}

#[test]
fn a_method_must_suit_the_model() {
    let (conditional, free) = (model(Conditioning::Concat), model(Conditioning::None));
    let scene = Memory::new(3, 20, 37);
    for (model, method) in [
        (&conditional, Method::Sum),
        (&conditional, Method::Repaint),
        (&conditional, Method::Ddnm),
        (&conditional, Method::Dps),
        (&free, Method::Concat),
    ] {
        let error = scene.run(model, &with(method)).err().expect("refused");
        assert!(error.hint().is_some());
        let text = error.to_string();
        assert!(
            text.contains("method") && text.contains(method.name()),
            "{text}"
        );
    }
    assert_eq!(settings().method_for(&conditional.card), Method::Concat);
    assert_eq!(settings().method_for(&free.card), Method::Sum);
    for method in Method::ALL {
        assert_eq!(method.name().parse::<Method>().ok(), Some(method));
    }
    assert!("magic".parse::<Method>().is_err());
}

/// A model that undoes a degradation.
fn cold(degradation: Kind, steps: usize) -> Model {
    let mut model = model(Conditioning::None);
    model.card.prediction = Prediction::X0;
    model.card.task = Task::ColdDiffusion { degradation, steps };
    model
}

#[test]
fn cold_diffusion_fills_holes_in_the_steps_it_was_trained_with() {
    let model = cold(Kind::Mask, 3);
    let scene = Memory::new(3, 20, 37);
    let run = |settings: &RestoreSettings| {
        let (mut source, mut sink) = (scene.copy(), scene.copy());
        let mut last = (0, 0);
        let done = restore(&mut source, &mut sink, &model, settings, &mut |at| {
            last = (at.done, at.total);
            ControlFlow::Continue(())
        });
        done.map(|_| (sink.out, last))
    };
    let own = RestoreSettings {
        steps: 3,
        ..settings()
    };
    let (out, (done, total)) = run(&own).expect("fills");
    assert_eq!(done, total);
    let pixels = scene.mask.data.len();
    let mut filled = 0;
    for (i, value) in out.data.iter().enumerate() {
        let (valid, hidden) = (scene.valid.data[i % pixels], scene.mask.data[i % pixels]);
        let same = value.to_bits() == scene.image.data[i].to_bits();
        assert!(same || !valid || hidden, "a clear pixel changed");
        filled += usize::from(valid && hidden && !same);
    }
    assert!(filled > 0);
    // No noise: every seed gives the same.
    let other = RestoreSettings {
        seed: 9,
        ..own.clone()
    };
    let again = run(&other).expect("fills").0;
    let bits = |image: &Raster| image.data.iter().map(|v| v.to_bits()).collect::<Vec<_>>();
    assert_eq!(bits(&again), bits(&out));

    for (settings, word) in [
        (
            RestoreSettings {
                steps: 4,
                ..own.clone()
            },
            "steps",
        ),
        (with(Method::Sum), "cold"),
    ] {
        let error = run(&settings).expect_err(word).to_string();
        assert!(error.contains(word), "{error}");
    }
    let blurs = cold(Kind::Blur, 3);
    let (mut source, mut sink) = (scene.copy(), scene.copy());
    let go_on = &mut |_| ControlFlow::Continue(());
    let error = restore(&mut source, &mut sink, &blurs, &own, go_on).expect_err("no holes");
    assert_eq!(error.hint(), Some(Hint::GenerateFromDegraded));
}

fn for_task(task: Task) -> Model {
    let mut model = model(Conditioning::Concat);
    model.card.task = task;
    model
}

#[test]
fn an_image_is_drawn_anew_from_what_is_shown() {
    let model = for_task(Task::SuperResolution { factor: 4 });
    let scene = Memory::new(4, 24, 37);
    let shown = model.card.task.shown(&scene.image);
    let go = &mut |_| ControlFlow::Continue(());
    let (drawn, std) = redraw(&shown, &scene.valid, &model, &settings(), go).expect("drawn");
    let std = std.expect("three samples");
    for band in 0..4 {
        for i in 0..24 * 37 {
            let (value, before) = (drawn.band(band)[i], shown.band(band)[i]);
            // The model knows three of the bands.
            let touched = band < 3 && scene.valid.data[i];
            assert_eq!(
                touched,
                value.to_bits() != before.to_bits(),
                "band {band}, {i}"
            );
            assert_eq!(touched, std.band(band)[i] > 0.0);
            assert!((value - before).abs() < 3000.0);
        }
    }
    // Such a model fills no holes, and one that does draws no images.
    let error = scene.run(&model, &settings()).err().expect("refused");
    assert!(error.to_string().contains("super-resolution"), "{error}");
    let holes = for_task(Task::CloudRemoval);
    assert!(redraw(&shown, &scene.valid, &holes, &settings(), go).is_err());
}
