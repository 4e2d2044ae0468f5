//! A network sees the same numbers of a scene when it is trained and when it is used.

use std::sync::{Arc, Mutex};

use burn::tensor::Tensor;

use super::*;
use crate::model::example::{Hint, Preparation, prepare};
use crate::model::{Brightness, Stored};
use crate::network::params::Arrays;
use crate::network::{Inputs, Network};

/// Keeps what it is given, and answers nothing.
#[derive(Debug, Clone, Default)]
struct Recorder(Arc<Mutex<Vec<Vec<f32>>>>);

impl Network for Recorder {
    fn forward(&self, inputs: Inputs) -> Tensor<4> {
        let x = inputs.x;
        let [batch, _, height, width] = x.dims();
        let out = Tensor::zeros([batch, 3, height, width], &x.device());
        let seen = x.into_data().iter::<f32>().collect();
        self.0.lock().unwrap().push(seen);
        out
    }

    fn arrays(&self) -> Arrays {
        Arrays::new()
    }
}

/// The conditioning channels that a network of this brightness sees of a scene in `restore`.
fn seen_in_use(image: &Raster, cloud: &Mask, brightness: Brightness) -> Vec<f32> {
    let mut model = model(Conditioning::Concat);
    model.card.brightness = brightness;
    let recorder = Recorder::default();
    model.network = Box::new(recorder.clone());
    let subject = Subject {
        model_bands: vec![0, 1, 2],
        brightness: model.card.brightness.of(Stored::SixteenBits),
        ..Subject::default()
    };
    let wish = Wish {
        samples: Some(1),
        steps: Some(1),
        ..Wish::default()
    };
    let settings = RestoreSettings::resolve(&model.card, &wish, &subject).unwrap();
    let valid = Mask::new(image.height, image.width, true);
    let mut source = MemorySource::new(image, cloud, &valid);
    let mut sink = MemorySink::new(image);
    let go_on = &mut |_| ControlFlow::Continue(());
    restore(&mut source, &mut sink, &model, &settings, go_on).unwrap();
    let inputs = recorder.0.lock().unwrap();
    // Behind the noisy image lie the channels of the conditioning.
    inputs[0][image.data.len()..].to_vec()
}

/// Calm 16-bit ground, whose contrast lies below the floor: there the scale is all that counts.
#[test]
fn sixteen_bits_are_the_same_numbers_in_training_and_in_use() {
    let value = |i: usize| 5000.0 + (i * 31 % 17) as f32;
    let image = Raster::from_vec(3, 16, 16, (0..3 * 256).map(value).collect()).unwrap();
    let cloud = Mask::from_fn(16, 16, |row, col| {
        (6..10).contains(&row) && (5..9).contains(&col)
    });
    let trained_with = 10_000.0;
    let card = model(Conditioning::Concat).card;
    let how = Preparation {
        task: card.task,
        conditioning: card.conditioning,
        space: card.normalization,
        full: trained_with,
    };
    let valid = Mask::new(16, 16, true);
    let trained = prepare(&image, &cloud, &valid, &Hint::None, &how).conditioning;
    let of_card = Brightness {
        sixteen_bits: trained_with,
        ..Brightness::default()
    };
    let used = seen_in_use(&image, &cloud, of_card);
    assert_eq!(trained.len(), used.len());
    let off = |a: &[f32], b: &[f32]| {
        let pairs = a.iter().zip(b);
        pairs.map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
    };
    assert!(off(&trained, &used) < 1e-6);
    // As it was before cards said it: up to 3.6 times larger.
    let before = seen_in_use(&image, &cloud, Brightness::default());
    assert!(off(&trained, &before) > 0.1);
}
