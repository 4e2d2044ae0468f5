//! What holds for images of any network; small ones of ours stand for them.

use std::collections::BTreeMap;

use burn::tensor::Device;

use super::*;
use crate::diffusion::schedule::{Schedule, Spacing};
use crate::model::interop::diffusers::{Foreign, Scheduler};
use crate::model::{ModelCard, bundled};
use crate::network::params;
use crate::network::unet::UNetConfig;
use crate::raster::random::gaussian_stream;

const LINEAR: Schedule = Schedule::Linear {
    timesteps: 1000,
    beta_start: 1e-4,
    beta_end: 0.02,
};

fn settings(batch: usize) -> GenerateSettings {
    GenerateSettings {
        size: (10, 12),
        seed: 4,
        sampler: Sampler::Ddpm,
        options: Options::default(),
        levels: LINEAR.levels(3, Spacing::Trailing).unwrap(),
        class: Some(1),
        vector: None,
        guidance: Some(Guidance {
            weight: 1.5,
            null_class: None,
        }),
        start: None,
        whole: false,
        batch,
    }
}

fn made(settings: &GenerateSettings, count: usize) -> Vec<Raster> {
    let device = Device::flex();
    let config = UNetConfig {
        bands: 2,
        base_channels: 8,
        multipliers: vec![1, 2],
        attention_levels: vec![1],
        heads: 2,
        stem: 2,
        classes: Some(3),
        ..UNetConfig::default()
    };
    // Random but the same each time: fresh weights are drawn anew.
    let mut arrays = params::collect(&config.init(&device).unwrap());
    for (i, array) in arrays.values_mut().enumerate() {
        array.values = gaussian_stream(&[i as u64], array.values.len());
        array.values.iter_mut().for_each(|v| *v *= 0.1);
    }
    // DDPM's scheduler with its defaults: eps, and estimates clipped to -1..1.
    let scheduler = Scheduler::parse(None).unwrap();
    let card = ModelCard {
        bands: vec!["red".into(), "nir".into()],
        conditioning: Conditioning::None,
        prediction: scheduler.prediction,
        schedule: scheduler.schedule,
        architecture: config.into(),
        ..ModelCard::read(bundled()[0].1).unwrap()
    };
    let model = Model {
        network: card.architecture.build(&arrays, &device).unwrap(),
        foreign: Some(Box::new(Foreign {
            scheduler,
            labels: BTreeMap::new(),
        })),
        device,
        sha256: String::new(),
        card,
    };
    let generator = Generator::new(&model).unwrap();
    let mut images = Vec::new();
    let go_on = &mut |_| ControlFlow::Continue(());
    generate(&generator, settings, count, go_on, &mut |i, image| {
        assert_eq!(i, images.len());
        images.push(image);
        Ok(())
    })
    .unwrap();
    images
}

#[test]
fn an_image_does_not_depend_on_count_and_batch() {
    let five = made(&settings(3), 5);
    let two = made(&settings(1), 2);
    assert_eq!((five.len(), two.len()), (5, 2));
    assert_eq!(five[..2], two[..]);
    assert_ne!(five[0], five[1]);
    let negated: Vec<f32> = five[0].data.iter().map(|v| -v).collect();
    assert_ne!(five[1].data, negated);
    assert_eq!((five[0].height, five[0].width), (10, 12));
    let largest = five
        .iter()
        .flat_map(|i| &i.data)
        .fold(0f32, |a, v| a.max(v.abs()));
    assert!(largest <= 1.0 && largest > 0.1, "{largest}");
}

#[test]
fn class_guidance_and_seed_change_the_image() {
    let base = made(&settings(1), 1);
    for change in [
        (|s| s.class = Some(2)) as fn(&mut GenerateSettings),
        |s| s.guidance = None,
        |s| s.seed = 5,
    ] {
        let mut other = settings(1);
        change(&mut other);
        assert_ne!(made(&other, 1), base);
    }
}

#[test]
fn a_start_is_left_the_less_the_smaller_the_strength() {
    let image = Raster::from_vec(2, 10, 12, vec![0.5; 240]).unwrap();
    let mut settings = settings(1);
    settings.levels = LINEAR.levels(50, Spacing::Trailing).unwrap();
    settings.class = None;
    settings.guidance = None;
    let mut distance = |strength: f64| {
        let image = image.clone();
        settings.start = Some(Start { image, strength });
        let made = made(&settings, 1);
        let off = made[0].data.iter().map(|v| (v - 0.5).abs());
        off.sum::<f32>() / 240.0
    };
    let (near, far) = (distance(0.02), distance(1.0));
    assert!(near < 0.2 && far > 2.0 * near, "{near} {far}");

    settings.start = Some(Start {
        image: image.clone(),
        strength: 0.0,
    });
    assert!(settings.levels_run().is_err());
    settings.start = Some(Start {
        image,
        strength: 0.5,
    });
    assert_eq!(settings.levels_run().unwrap().len(), 26);
}
