//! A whole scene restored on a device: the same as on the processor, and how fast.

use std::ops::ControlFlow;
use std::time::Instant;

use serde_json::{Value, json};
use unclouded_core::model::Model;
use unclouded_core::raster::random::gaussian_stream;
use unclouded_core::raster::{Mask, Raster};
use unclouded_core::restore::{
    MemorySink, MemorySource, Method, RestoreSettings, Subject, Summary, Wish, restore,
};

use crate::{Outcome, distance};

/// Members of the ensembles.
pub const MEMBERS: usize = 2;

/// A scene of one seed: ground that is smooth at two scales, and round clouds over a third of it.
pub struct Scene {
    image: Raster,
    clouds: Mask,
    side: usize,
}

/// What a device made of it.
pub struct Restored {
    /// Filled pixels of all bands, scene units.
    pub filled: Vec<f32>,
    /// Their standard deviation.
    pub spread: Vec<f32>,
    summary: Summary,
    seconds: f64,
}

impl Scene {
    /// Of `side` x `side` pixels, three bands, as 16-bit reflectance.
    pub fn new(side: usize) -> Outcome<Self> {
        let pixels = side * side;
        let noise = gaussian_stream(&[11], 3 * pixels);
        let ground = |i: usize| {
            let (row, col) = ((i % pixels / side) as f32, (i % side) as f32);
            let fields = (row / 37.0).sin() * (col / 23.0).cos() + (col / 7.0 + row / 5.0).sin();
            1200.0 + 300.0 * fields + 60.0 * noise[i] + 100.0 * (i / pixels) as f32
        };
        let values = (0..3 * pixels).map(ground).collect();
        let image = Raster::from_vec(3, side, side, values)?;
        let clouds = Mask::from_fn(side, side, |row, col| {
            let (y, x) = (row % 96, col % 96);
            (y as f32 - 40.0).hypot(x as f32 - 48.0) < 31.0
        });
        Ok(Self {
            image,
            clouds,
            side,
        })
    }

    /// Restores it with a model on its device, `batch` tiles at once.
    pub fn restored(&self, model: &Model, method: Method, batch: usize) -> Outcome<Restored> {
        let wish = Wish {
            method: Some(method),
            samples: Some(MEMBERS),
            tile_px: Some(64),
            ..Wish::default()
        };
        let subject = Subject {
            model_bands: vec![0, 1, 2],
            side_px: Some(self.side),
            brightness: Some(2750.0),
        };
        let settings = RestoreSettings {
            batch,
            ..RestoreSettings::resolve(&model.card, &wish, &subject)?
        };
        let valid = Mask::new(self.side, self.side, true);
        let mut source = MemorySource::new(&self.image, &self.clouds, &valid);
        let mut sink = MemorySink::new(&self.image);
        let start = Instant::now();
        let go_on = &mut |_| ControlFlow::Continue(());
        let summary = restore(&mut source, &mut sink, model, &settings, go_on)?;
        let seconds = start.elapsed().as_secs_f64();
        let hidden = |image: &Raster| {
            let values = image.data.iter().enumerate();
            let hidden = values.filter(|(i, _)| self.clouds.data[i % image.pixels()]);
            hidden.map(|(_, value)| *value).collect::<Vec<f32>>()
        };
        Ok(Restored {
            filled: hidden(&sink.image),
            spread: hidden(&sink.std),
            summary,
            seconds,
        })
    }
}

impl Restored {
    /// Largest of the distances of fill and spread to another device's.
    pub fn distance(&self, other: &Self) -> f64 {
        let fill = distance(&self.filled, &other.filled);
        fill.max(distance(&self.spread, &other.spread))
    }

    /// Figures of the run, `network_ms` being the time of one pass of `batch` tiles: what the rest of
    /// the time is spent on is everything but the network.
    /// `calls` of it were made a tile.
    pub fn figures(&self, batch: usize, calls: usize, network_ms: f64) -> Value {
        let calls = (self.summary.tiles * calls) as f64;
        let network = calls / batch as f64 * network_ms / 1e3;
        json!({
            "tiles": self.summary.tiles,
            "seconds": self.seconds,
            "tiles_per_second": self.summary.tiles as f64 / self.seconds,
            "share_outside_the_network": (1.0 - network / self.seconds).max(0.0),
        })
    }
}
