//! What a face gives to `restore` and takes from it: a scene read by windows, rows written in
//! order.

use super::scratch::{MemoryScratch, Scratch};
use crate::error::Result;
use crate::raster::{Mask, Raster, Window};

/// A part of a scene.
#[derive(Debug, Clone)]
pub struct SceneWindow {
    /// All bands, in scene units; unspecified where not valid.
    pub image: Raster,
    /// True = fill.
    pub mask: Mask,
    /// True = data; false = nodata, which is neither read nor filled.
    pub valid: Mask,
}

/// A part of an image of another date, on the grid of the scene.
#[derive(Debug, Clone)]
pub struct Reference {
    /// Its bands, any number, in its own units; unspecified where not observed.
    pub image: Raster,
    /// True = data without clouds.
    pub observed: Mask,
}

/// What is known of an image of another date before it is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OtherDate {
    /// Number of its bands.
    pub bands: usize,
    /// Days from the scene to it, negative for one before; none where a date is not known.
    pub days: Option<i32>,
}

/// A scene that is read by windows and never whole.
pub trait SceneSource {
    /// Height and width in pixels.
    fn size(&self) -> (usize, usize);
    /// Number of bands.
    fn bands(&self) -> usize;
    /// Reads a window that lies inside the scene. Visible values are finite.
    fn read(&mut self, window: Window) -> Result<SceneWindow>;
    /// The images of the same place at other dates.
    fn references(&self) -> Vec<OtherDate> {
        Vec::new()
    }
    /// Reads one of these inside a window that lies inside the scene. Observed values are finite.
    fn read_reference(&mut self, _reference: usize, window: Window) -> Result<Reference> {
        Ok(Reference {
            image: Raster::new(0, window.height, window.width),
            observed: Mask::new(window.height, window.width, false),
        })
    }
    /// Room for what grows with the area of the scene; in memory unless a face has a disk.
    fn scratch(&self) -> Result<Box<dyn Scratch>> {
        Ok(Box::new(MemoryScratch::default()))
    }
}

/// Finished rows of a scene.
#[derive(Debug, Clone)]
pub struct FilledRows {
    /// Which rows; as wide as the scene.
    pub window: Window,
    /// All bands in scene units: the mean of the ensemble where filled, as read elsewhere.
    pub image: Raster,
    /// Standard deviation in scene units, 0 where not filled; with at least two samples. That of
    /// the ensemble and, for a band the model does not know, of the local detail that the bands
    /// it knows do not explain.
    pub std: Option<Raster>,
    /// True where filled.
    pub filled: Mask,
    /// True = data.
    pub valid: Mask,
}

/// What the sampler believes of one tile after a step, for the eye.
#[derive(Debug, Clone, PartialEq)]
pub struct StepPreview {
    /// Where the tile lies in the scene.
    pub window: Window,
    /// Sampler step, from 0.
    pub step: usize,
    /// Steps in all.
    pub steps: usize,
    /// The scene bands shown, in the model's order, each once.
    pub bands: Vec<usize>,
    /// Their values in scene units: one ensemble member's estimate of the clean image, neither
    /// blended nor clipped.
    pub image: Raster,
}

/// Where the filled scene goes.
pub trait SceneSink {
    /// Takes finished rows, from top to bottom, every row of the scene exactly once.
    fn write(&mut self, rows: FilledRows) -> Result<()>;

    /// Whether these rows, as wide as the scene, are there already from an earlier run that did
    /// not end; the sink then has what [`write`](Self::write) would bring. Asked from top to
    /// bottom before anything is computed, up to the first no.
    fn recall(&mut self, _rows: Window) -> Result<bool> {
        Ok(false)
    }

    /// Whether [`preview`](Self::preview) is to be called; each costs reading a batch back.
    fn wants_previews(&self) -> bool {
        false
    }

    /// Takes the steps of the first ensemble member of a tile, in order, after its batch.
    fn preview(&mut self, _preview: StepPreview) {}

    /// Whether [`sample`](Self::sample) is to be called.
    fn wants_sample(&self) -> bool {
        false
    }

    /// Takes rows as they are with [`Written::Sample`](super::Written::Sample), whatever is
    /// written: the first ensemble member in the holes, where members are samples. Called before [`write`](Self::write) for
    /// the same rows.
    fn sample(&mut self, _window: Window, _image: Raster) -> Result<()> {
        Ok(())
    }
}
