//! The ways to fill with an unconditional model, and images that are drawn anew.

use super::*;
use crate::diffusion::task::Task;

fn with(method: Method) -> RestoreSettings {
    RestoreSettings {
        method: Some(method),
        steps: 6,
        ..settings()
    }
}

fn unconditional() -> Vec<Method> {
    let all = Method::ALL.into_iter();
    all.filter(|m| *m != Method::Concat && (*m != Method::Dps || cfg!(feature = "autodiff")))
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
            assert!(reports.windows(2).all(|pair| pair[0].0 < pair[1].0));
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
