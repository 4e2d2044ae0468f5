//! What a restoration promises, whatever the network says: checked with random weights.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use burn::tensor::Device;

use super::*;
use crate::diffusion::prediction::Prediction;
use crate::diffusion::sampler::Sampler;
use crate::diffusion::schedule::Schedule;
use crate::error::{Error, Hint, Key};
use crate::model::{
    self, Brightness, CARD_FORMAT, Conditioning, Defaults, ModelCard, Space, Training,
};
use crate::network::params::{self, Storage};
use crate::network::unet::UNetConfig;
use crate::raster::random::gaussian_stream;
use crate::raster::{Mask, Raster, Window};

mod agreement;
mod direct;
mod eta;
mod guided;
mod methods;
mod previews;
mod resume;
mod texture;

/// A tiny network whose output is far from zero, through a checkpoint and back.
fn model(conditioning: Conditioning) -> Model {
    let device = Device::flex();
    let architecture = UNetConfig {
        bands: 3,
        conditioning_bands: conditioning.channels(3),
        base_channels: 8,
        multipliers: vec![1, 2],
        blocks_per_level: 1,
        attention_levels: vec![1],
        heads: 2,
        ..UNetConfig::default()
    };
    let mut weights = params::collect(&architecture.init(&device).unwrap());
    for (i, array) in weights.values_mut().enumerate() {
        let noise = gaussian_stream(&[i as u64], array.values.len());
        array
            .values
            .iter_mut()
            .zip(noise)
            .for_each(|(v, n)| *v = 0.1 * n);
    }
    let card = ModelCard {
        task: Default::default(),
        classes: Vec::new(),
        format: CARD_FORMAT,
        name: "test".into(),
        description: String::new(),
        version: String::new(),
        architecture: architecture.into(),
        bands: vec!["R".into(), "G".into(), "B".into()],
        conditioning,
        normalization: Space::TileContrast {
            fill_distance_px: 20,
            floor: 0.004,
        },
        brightness: Brightness::default(),
        prediction: Prediction::Edm { sigma_data: 0.9 },
        schedule: Schedule::Karras {
            sigma_min: 0.02,
            sigma_max: 20.0,
            rho: 7.0,
        },
        defaults: Defaults {
            sampler: Sampler::Heun,
            steps: 2,
            samples: 2,
            tile_px: 16,
            overlap_px: 4,
        },
        uncertainty_factor: 1.0,
        direct_factor: None,
        training: Training::default(),
        metrics: BTreeMap::new(),
    };
    let bytes = model::to_bytes(&card, &weights, Storage::F32).unwrap();
    Model::load(&bytes, &device).unwrap()
}

/// A scene in memory, and what came out.
struct Memory {
    image: Raster,
    mask: Mask,
    valid: Mask,
    out: Raster,
    std: Raster,
    filled: Mask,
    next_row: usize,
    /// What stands in nodata pixels and under the mask.
    junk: f32,
}

impl Memory {
    fn new(bands: usize, height: usize, width: usize) -> Self {
        let noise = gaussian_stream(&[9], bands * height * width);
        let data =
            (0..bands * height * width).map(|i| 1000.0 + 300.0 * noise[i] + (i % width) as f32);
        let image = Raster::from_vec(bands, height, width, data.collect()).unwrap();
        let mask = Mask::from_fn(height, width, |r, c| {
            (r + 3 * c) % 97 < 8 || (5..17).contains(&r) && (2..20).contains(&c)
        });
        let valid = Mask::from_fn(height, width, |r, c| r + c > 12);
        Self {
            out: Raster::new(bands, height, width),
            std: Raster::new(bands, height, width),
            filled: Mask::new(height, width, false),
            image,
            mask,
            valid,
            next_row: 0,
            junk: -1e30,
        }
    }

    fn run(&self, model: &Model, settings: &RestoreSettings) -> Result<(Self, Summary)> {
        let mut source = self.copy();
        let mut sink = self.copy();
        let go = &mut |_| ControlFlow::Continue(());
        let summary = restore(&mut source, &mut sink, model, settings, go)?;
        assert_eq!(sink.next_row, self.image.height, "every row was written");
        Ok((sink, summary))
    }

    fn copy(&self) -> Self {
        Self {
            image: self.image.clone(),
            mask: self.mask.clone(),
            valid: self.valid.clone(),
            out: self.out.clone(),
            std: self.std.clone(),
            filled: self.filled.clone(),
            next_row: 0,
            junk: self.junk,
        }
    }
}

impl SceneSource for Memory {
    fn size(&self) -> (usize, usize) {
        (self.image.height, self.image.width)
    }
    fn bands(&self) -> usize {
        self.image.bands
    }
    fn read(&mut self, window: Window) -> Result<SceneWindow> {
        let mut image = self.image.crop(window);
        let (mask, valid) = (self.mask.crop(window), self.valid.crop(window));
        // A face may leave anything in nodata pixels, and a cloud is no ground.
        let pixels = image.pixels();
        for (i, value) in image.data.iter_mut().enumerate() {
            if mask.data[i % pixels] || !valid.data[i % pixels] {
                *value = self.junk;
            }
        }
        Ok(SceneWindow { image, mask, valid })
    }
}

impl SceneSink for Memory {
    fn write(&mut self, rows: FilledRows) -> Result<()> {
        assert_eq!(rows.window.row, self.next_row, "rows come in order");
        self.next_row = rows.window.row_end();
        self.out.paste(rows.window.row, 0, &rows.image);
        if let Some(std) = &rows.std {
            self.std.paste(rows.window.row, 0, std);
        }
        for (i, filled) in rows.filled.data.iter().enumerate() {
            self.filled.data[rows.window.row * self.image.width + i] = *filled;
        }
        Ok(())
    }
}

fn settings() -> RestoreSettings {
    RestoreSettings {
        tile_px: 16,
        overlap_px: 4,
        samples: 3,
        steps: 2,
        model_bands: vec![2, 1, 0],
        ..RestoreSettings::default()
    }
}

#[test]
fn clear_pixels_stay_and_holes_are_filled_within_range() {
    for conditioning in [
        Conditioning::Guided,
        Conditioning::Concat,
        Conditioning::None,
    ] {
        let model = model(conditioning);
        for (bands, height, width) in [(3, 40, 53), (5, 37, 16), (3, 9, 11)] {
            let scene = Memory::new(bands, height, width);
            let (done, summary) = scene.run(&model, &settings()).unwrap();
            let mut filled = 0;
            for (i, value) in done.out.data.iter().enumerate() {
                let at = i % (height * width);
                if !scene.valid.data[at] {
                    assert!(!done.filled.data[at], "nodata is not filled");
                } else if !scene.mask.data[at] {
                    assert_eq!(
                        value.to_bits(),
                        scene.image.data[i].to_bits(),
                        "clear pixel {i}"
                    );
                    assert_eq!(done.std.data[i], 0.0);
                } else {
                    filled += 1;
                    assert!(done.filled.data[at]);
                    // Random weights, and yet nothing outside what the band shows.
                    let (low, high) = visible_range(&scene, i / (height * width));
                    assert!((low..=high).contains(value), "pixel {i} is {value}");
                    assert!(done.std.data[i] > 0.0);
                }
            }
            assert_eq!(summary.filled_px * bands, filled);
        }
    }
}

fn visible_range(scene: &Memory, band: usize) -> (f32, f32) {
    let values = scene
        .image
        .band(band)
        .iter()
        .zip(scene.valid.and_not(&scene.mask).data);
    values
        .filter(|(_, seen)| *seen)
        .fold((f32::MAX, f32::MIN), |(low, high), (value, _)| {
            (low.min(*value), high.max(*value))
        })
}

#[test]
fn neither_nodata_nor_cloud_values_have_a_say() {
    for conditioning in [
        Conditioning::Guided,
        Conditioning::Concat,
        Conditioning::None,
    ] {
        let model = model(conditioning);
        let filled = |junk: f32| {
            let scene = Memory {
                junk,
                ..Memory::new(5, 40, 53)
            };
            let (done, _) = scene.run(&model, &settings()).unwrap();
            let pixels = done.filled.data.len();
            let values = done.out.data.iter().enumerate();
            let filled = values.filter(|(i, _)| done.filled.data[i % pixels]);
            filled.map(|(_, value)| value.to_bits()).collect::<Vec<_>>()
        };
        let reference = filled(-1e30);
        assert_eq!(reference, filled(7.0));
        assert_eq!(reference, filled(f32::NAN));
    }
}

#[test]
fn under_a_cloud_wider_than_any_reach_the_scene_mean_shows() {
    let model = model(Conditioning::Concat);
    let mut scene = Memory::new(3, 330, 40);
    scene.valid = Mask::new(330, 40, true);
    scene.mask = Mask::from_fn(330, 40, |row, _| row < 290);
    let settings = RestoreSettings {
        reflectance_scale: Some(10_000.0),
        ..settings()
    };
    let (done, _) = scene.run(&model, &settings).unwrap();
    let mut last = None;
    for row in 0..290 {
        let mean = done.out.band(0)[row * 40..][..40].iter().sum::<f32>() / 40.0;
        assert!((700.0..1350.0).contains(&mean), "row {row}: mean {mean}");
        assert!(
            last.is_none_or(|last: f32| (mean - last).abs() < 330.0),
            "a step at row {row}"
        );
        last = Some(mean);
    }
}

#[test]
fn batch_size_does_not_matter_and_the_seed_does() {
    let model = model(Conditioning::Concat);
    let scene = Memory::new(4, 40, 53);
    let with = |batch, seed| {
        let settings = RestoreSettings {
            batch,
            seed,
            ..settings()
        };
        scene.run(&model, &settings).unwrap().0.out
    };
    let reference = with(8, 1);
    assert_eq!(reference, with(8, 1), "same seed, same result");
    for (a, b) in reference.data.iter().zip(&with(3, 1).data) {
        assert!((a - b).abs() < 0.05, "batch size changes {a} to {b}");
    }
    assert_ne!(reference, with(8, 2), "another seed, another fill");
}

#[test]
fn a_sample_is_one_of_the_ensemble() {
    let model = model(Conditioning::Concat);
    let scene = Memory::new(3, 40, 53);
    let with = |samples, written| {
        let settings = RestoreSettings {
            samples,
            written,
            ..settings()
        };
        scene.run(&model, &settings).unwrap().0.out
    };
    assert_eq!(with(3, Written::Sample), with(1, Written::Mean));
    assert_ne!(with(3, Written::Sample), with(3, Written::Mean));

    // A sink that wants both gets both from one run.
    let mut source = MemorySource::new(&scene.image, &scene.mask, &scene.valid);
    let mut sink = MemorySink::new(&scene.image).with_sample();
    let settings = RestoreSettings {
        samples: 3,
        ..settings()
    };
    restore(&mut source, &mut sink, &model, &settings, &mut |_| {
        ControlFlow::Continue(())
    })
    .unwrap();
    let hole = scene.mask.and(&scene.valid);
    let filled = |image: &Raster| -> Vec<f32> {
        let values = image.data.iter().enumerate();
        let values = values.filter(|(at, _)| hole.data[at % hole.data.len()]);
        values.map(|(_, value)| *value).collect()
    };
    assert_eq!(filled(&sink.image), filled(&with(3, Written::Mean)));
    let sample = sink.sample.expect("a sample was asked for");
    assert_eq!(filled(&sample), filled(&with(3, Written::Sample)));
}

#[test]
fn a_band_may_feed_the_model_several_times() {
    let model = model(Conditioning::Concat);
    let scene = Memory::new(1, 20, 20);
    let settings = RestoreSettings {
        model_bands: vec![0, 0, 0],
        ..settings()
    };
    let (done, _) = scene.run(&model, &settings).unwrap();
    assert_ne!(done.out.data, scene.image.data);
}

#[test]
fn what_cannot_be_filled_is_said() {
    let model = model(Conditioning::Concat);
    let refused = |change: &dyn Fn(&mut Memory, &mut RestoreSettings)| {
        let (mut scene, mut settings) = (Memory::new(3, 20, 20), settings());
        change(&mut scene, &mut settings);
        match scene.run(&model, &settings) {
            Ok(_) => panic!("accepted"),
            Err(error) => error,
        }
    };
    let error = refused(&|scene, _| scene.mask = Mask::new(20, 20, false));
    assert!(matches!(error, Error::NothingMasked { .. }), "{error}");
    let error = refused(&|scene, _| scene.mask = Mask::new(20, 20, true));
    assert!(matches!(error, Error::NothingVisible { .. }), "{error}");
    for extreme in [f32::MAX, -3e38, 1e16] {
        let error = refused(&|scene, _| {
            scene.valid.data[7] = true;
            scene.mask.data[7] = false;
            scene.image.data[400 + 7] = extreme;
        });
        assert!(error.to_string().contains("band 2"), "{error}");
        assert!(
            error
                .hint()
                .is_some_and(|hint| hint.to_string().contains("no data"))
        );
    }
    let error = refused(&|_, settings| settings.model_bands = vec![0, 1, 3]);
    assert!(error.to_string().contains("got 4"), "{error}");
    let error = refused(&|_, settings| settings.model_bands = vec![0, 1]);
    assert_eq!(error.hint(), Some(Hint::NameBands), "{error}");
    let error = refused(&|_, settings| settings.reflectance_scale = Some(-3.0));
    assert!(error.to_string().ends_with("got -3"), "{error}");
    let error = refused(&|_, settings| settings.samples = 0);
    assert!(
        matches!(
            error,
            Error::Setting {
                key: Key::Samples,
                ..
            }
        ),
        "{error}"
    );
}

/// Up to the largest magnitude that is let in, values neither overflow nor lose their scale.
#[test]
fn large_values_are_filled_as_small_ones() {
    let model = model(Conditioning::Concat);
    let scene = Memory::new(3, 40, 53);
    let filled = |scale: f32| {
        let mut scene = Memory::new(3, 40, 53);
        scene.image.data.iter_mut().for_each(|v| *v *= scale);
        let (done, _) = scene.run(&model, &settings()).unwrap();
        done.out.data
    };
    // A power of two scales exactly, rounding included.
    let scale = 2.0f32.powi(38);
    assert!(scale * 2000.0 < 1e15 && scale * 4000.0 > 1e15);
    for (at, (large, small)) in filled(scale).iter().zip(filled(1.0)).enumerate() {
        let pixel = at % scene.mask.data.len();
        if scene.valid.data[pixel] && scene.mask.data[pixel] {
            let difference = (large / scale - small).abs();
            assert!(difference < 0.05, "{at}: {large} and {small}");
        }
    }
}

#[test]
fn breaking_off_ends_the_run() {
    let model = model(Conditioning::Concat);
    let (mut source, mut sink) = (Memory::new(3, 40, 53), Memory::new(3, 40, 53));
    let (mut seen, mut before) = (0, 0);
    let result = restore(
        &mut source,
        &mut sink,
        &model,
        &settings(),
        &mut |progress| {
            seen += 1;
            assert!(progress.done >= before && progress.done <= progress.total);
            before = progress.done;
            if seen == 3 {
                ControlFlow::Break(())
            } else {
                ControlFlow::Continue(())
            }
        },
    );
    assert!(matches!(result, Err(Error::Interrupted)));
    assert_eq!(seen, 3);
}
