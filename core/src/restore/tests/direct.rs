//! The direct estimate: one call that says its own spread.

use burn::tensor::{Tensor, TensorData};

use super::*;
use crate::diffusion::denoiser::{Denoiser, NoiseLevel};

/// A model that learnt the direct estimate, as far as random weights have learnt anything.
fn direct_model(factor: f32) -> Model {
    let device = Device::flex();
    let Model { mut card, .. } = model(Conditioning::Guided);
    let architecture = UNetConfig {
        spread: true,
        ..card.architecture.unet().unwrap().clone()
    };
    let mut weights = params::collect(&architecture.init(&device).unwrap());
    for (i, array) in weights.values_mut().enumerate() {
        let noise = gaussian_stream(&[i as u64], array.values.len());
        let values = array.values.iter_mut().zip(noise);
        values.for_each(|(v, n)| *v = 0.1 * n);
    }
    card.architecture = architecture.into();
    card.direct_factor = Some(factor);
    let bytes = model::to_bytes(&card, &weights, Storage::F32).unwrap();
    Model::load(&bytes, &device).unwrap()
}

fn direct() -> RestoreSettings {
    RestoreSettings {
        method: Some(Method::Direct),
        samples: 1,
        steps: 1,
        ..settings()
    }
}

#[test]
fn one_call_fills_and_says_how_far_it_may_err() {
    let model = direct_model(1.0);
    for (bands, height, width) in [(3, 40, 53), (5, 37, 16), (3, 9, 11)] {
        let scene = Memory::new(bands, height, width);
        let (done, summary) = scene.run(&model, &direct()).unwrap();
        assert!(summary.filled_px > 0);
        for (i, value) in done.out.data.iter().enumerate() {
            let at = i % (height * width);
            match scene.valid.data[at] && scene.mask.data[at] {
                true => {
                    let (low, high) = visible_range(&scene, i / (height * width));
                    assert!((low..=high).contains(value), "pixel {i} is {value}");
                    assert!(done.std.data[i] > 0.0, "pixel {i} has no spread");
                }
                false if scene.valid.data[at] => {
                    assert_eq!(value.to_bits(), scene.image.data[i].to_bits());
                    assert_eq!(done.std.data[i], 0.0);
                }
                false => assert!(!done.filled.data[at], "nodata is not filled"),
            }
        }
    }
}

#[test]
fn neither_seed_nor_batch_matters_and_turned_members_do() {
    let model = direct_model(1.0);
    let scene = Memory::new(4, 40, 53);
    let with = |seed, batch, samples| {
        let settings = RestoreSettings {
            seed,
            batch,
            samples,
            ..direct()
        };
        scene.run(&model, &settings).unwrap().0
    };
    let one = with(1, 8, 1);
    assert_eq!(one.out, with(2, 8, 1).out, "there is no noise to draw");
    for (a, b) in one.out.data.iter().zip(&with(1, 3, 1).out.data) {
        assert!((a - b).abs() < 0.05, "batch size changes {a} to {b}");
    }
    assert_ne!(one.out, with(1, 8, 2).out, "a turned tile is another one");
}

#[test]
fn the_factor_of_the_card_scales_the_spread() {
    let scene = Memory::new(3, 40, 53);
    let spread = |factor| scene.run(&direct_model(factor), &direct()).unwrap().0.std;
    let (one, two) = (spread(1.0), spread(2.0));
    for (one, two) in one.data.iter().zip(&two.data) {
        assert!((2.0 * one - two).abs() <= 1e-3 * two, "{one}, {two}");
    }
}

#[test]
fn members_add_what_they_disagree_on() {
    let model = direct_model(1.0);
    let scene = Memory::new(3, 40, 53);
    let with = |samples| {
        let settings = RestoreSettings {
            samples,
            ..direct()
        };
        let std = scene.run(&model, &settings).unwrap().0.std;
        std.data.iter().map(|v| f64::from(*v)).sum::<f64>()
    };
    // Random weights turned eight ways disagree: the spread cannot get smaller on the whole than
    // what one way says by much.
    assert!(with(8) > 0.8 * with(1));
}

#[test]
fn at_infinite_noise_the_image_has_no_say_and_the_spread_is_no_variance_of_a_step() {
    let model = direct_model(1.0);
    let random = |key, channels: usize| {
        let values = gaussian_stream(&[key], channels * 256);
        let shape = [1, channels, 16, 16];
        Tensor::<4>::from_data(TensorData::new(values, shape), &model.device)
    };
    let mut network = model.denoiser();
    network.conditioning = Some(random(1, 8));
    let (mean, std) = network.direct([1, 3, 16, 16], &model.device);
    let other = network.denoise(random(2, 3), NoiseLevel::INFINITE);
    assert!((mean - other).abs().max().into_scalar::<f32>() == 0.0);
    assert!(std.unwrap().min().into_scalar::<f32>() > 0.0);
    let level = NoiseLevel {
        sigma: 1.0,
        ..NoiseLevel::CLEAN
    };
    assert!(
        network
            .denoise_with_variance(random(2, 3), level)
            .1
            .is_none()
    );
}

#[test]
fn what_is_asked_for_decides_between_the_direct_estimate_and_samples() {
    let card = direct_model(1.0).card;
    let of = |wish: &Wish| {
        let subject = Subject {
            model_bands: vec![0, 1, 2],
            ..Subject::default()
        };
        let s = RestoreSettings::resolve(&card, wish, &subject).unwrap();
        (s.method.unwrap(), s.steps, s.samples)
    };
    let wish = Wish::default;
    let quality = |quality| Wish {
        quality: Some(quality),
        ..wish()
    };
    assert_eq!(of(&quality(Quality::Fast)), (Method::Direct, 1, 1));
    assert_eq!(of(&wish()), of(&quality(Quality::Balanced)));
    assert_eq!(of(&wish()).0, Method::Direct);
    assert_eq!(of(&quality(Quality::Best)), (Method::Direct, 1, 8));
    let steps = Wish {
        steps: Some(5),
        ..wish()
    };
    assert_eq!(of(&steps), (Method::Concat, 5, card.defaults.samples));
    let sample = Wish {
        written: Written::Sample,
        ..quality(Quality::Fast)
    };
    let of_card = (Method::Concat, card.defaults.steps, card.defaults.samples);
    assert_eq!(of(&sample), of_card);
    let many = Wish {
        samples: Some(5),
        least_samples: 4,
        ..wish()
    };
    assert_eq!(of(&many), (Method::Direct, 1, 5));
    let more = Wish {
        samples: Some(9),
        ..wish()
    };
    assert_eq!(of(&more), (Method::Concat, card.defaults.steps, 9));
    let named = Wish {
        method: Some(Method::Direct),
        ..quality(Quality::Best)
    };
    assert_eq!(of(&named), (Method::Direct, 1, 8));
}

#[test]
fn a_model_that_did_not_learn_it_and_a_ninth_turn_are_refused() {
    let scene = Memory::new(3, 20, 37);
    let refused = |model: &Model, settings| match scene.run(model, &settings) {
        Err(Error::Setting { key, got, .. }) => (key, got),
        other => panic!("{:?}", other.map(|(_, summary)| summary)),
    };
    let (key, got) = refused(&model(Conditioning::Guided), direct());
    assert_eq!((key, got.as_str()), (Key::Method, "direct"));
    let nine = RestoreSettings {
        samples: 9,
        ..direct()
    };
    let (key, got) = refused(&direct_model(1.0), nine);
    assert_eq!((key, got.as_str()), (Key::Samples, "9"));
}
