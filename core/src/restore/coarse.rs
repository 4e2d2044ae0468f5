//! The coarse pass: a scene with wide holes is first restored at a quarter of its size.
//!
//! The small image and what comes of it lie in a scratch, so that memory does not grow with
//! the area of the scene.

use std::future::Future;
use std::ops::ControlFlow;
use std::pin::Pin;

use super::scratch::{Scratch, Stored};
use super::{
    FilledRows, Progress, RestoreSettings, SceneSink, SceneSource, SceneWindow, Written,
    restore_async,
};
use crate::error::Result;
use crate::model::Model;
use crate::raster::bits::BitMask;
use crate::raster::coarse::{FACTOR, Small, enlarge, is_deep, needed};
use crate::raster::soften::distances;
use crate::raster::{Mask, Raster, Window};

/// Images smaller than this are not shrunk further.
const MIN_SIDE_PX: usize = 24;
/// Side of the windows in which deep holes are looked for.
const LOOK_PX: usize = 256;

/// A scene [`FACTOR`] times smaller: pixels in a scratch, masks in memory.
pub(super) struct Smaller {
    image: Stored,
    mask: BitMask,
    valid: BitMask,
}

/// The scene restored at a coarser scale: the bands the model restores, in scene units.
pub(super) struct Estimate {
    /// Mean of the ensemble.
    mean: Stored,
    /// Its standard deviation; 0 with one member, and where the ground is visible.
    std: Stored,
    /// Where there is one: what holds data.
    known: BitMask,
}

/// A window of an estimate at the scene's own scale.
pub(super) struct Enlarged {
    pub mean: Raster,
    pub std: Raster,
    /// Whether all that a pixel is made of is known.
    pub known: Mask,
}

impl Smaller {
    pub fn new(bands: usize, (height, width): (usize, usize), scratch: Box<dyn Scratch>) -> Self {
        Self {
            image: Stored::new(bands, height, width, scratch),
            mask: BitMask::new(height, width),
            valid: BitMask::new(height, width),
        }
    }

    /// Takes rows from `first` on.
    pub fn write(&mut self, first: usize, rows: &Small) -> Result<()> {
        self.mask.set(first, 0, &rows.mask);
        self.valid.set(first, 0, &rows.valid);
        self.image.write_rows(first, &rows.image)
    }

    /// Whether a coarser estimate would count anywhere.
    pub fn is_wanted(&self) -> bool {
        let (height, width) = self.image.size();
        if height.min(width) < MIN_SIDE_PX {
            return false;
        }
        // The distance from which on it counts, and a little more, so that the cut does not show.
        let mut reach = 2;
        while !is_deep((reach * FACTOR) as f32) {
            reach += 1;
        }
        let (mut seen, mut deep) = (false, false);
        for row in (0..height).step_by(LOOK_PX) {
            for col in (0..width).step_by(LOOK_PX) {
                let core = Window {
                    row,
                    col,
                    height: LOOK_PX.min(height - row),
                    width: LOOK_PX.min(width - col),
                };
                let window = core.grow(2 * reach, height, width);
                let mask = self.mask.read(window);
                let visible = self.valid.read(window).and_not(&mask);
                seen |= visible.any();
                if deep || !mask.any() {
                    continue;
                }
                let inner = core.relative_to(window);
                let distance = distances(&visible);
                deep = (0..mask.data.len()).any(|at| {
                    mask.data[at]
                        && inner.contains(at / window.width, at % window.width)
                        && is_deep(distance[at] * FACTOR as f32)
                });
            }
        }
        seen && deep
    }

    /// As a scene whose scratch comes from `scratch`.
    pub fn source<'a>(&'a self, scratch: &'a dyn SceneSource) -> impl SceneSource + 'a {
        SmallSource {
            small: self,
            scratch,
        }
    }
}

/// A shrunken scene as a scene.
struct SmallSource<'a> {
    small: &'a Smaller,
    scratch: &'a dyn SceneSource,
}

impl SceneSource for SmallSource<'_> {
    fn size(&self) -> (usize, usize) {
        self.small.image.size()
    }

    fn bands(&self) -> usize {
        self.small.image.bands
    }

    fn read(&mut self, window: Window) -> Result<SceneWindow> {
        Ok(SceneWindow {
            image: self.small.image.read(window)?,
            mask: self.small.mask.read(window),
            valid: self.small.valid.read(window),
        })
    }

    fn scratch(&self) -> Result<Box<dyn Scratch>> {
        self.scratch.scratch()
    }
}

impl SceneSink for Estimate {
    fn write(&mut self, rows: FilledRows) -> Result<()> {
        let first = rows.window.row;
        self.known.set(first, 0, &rows.valid);
        self.mean.write_rows(first, &rows.image)?;
        match &rows.std {
            Some(std) => self.std.write_rows(first, std),
            None => {
                let none = Raster::new(self.std.bands, rows.window.height, rows.window.width);
                self.std.write_rows(first, &none)
            }
        }
    }
}

impl Estimate {
    /// A window of the scene.
    pub fn enlarged(&self, window: Window) -> Result<Enlarged> {
        let size = self.mean.size();
        let part = needed(window, size);
        let known = self.known.read(part).to_raster();
        let known = enlarge(&known, size, window);
        Ok(Enlarged {
            mean: enlarge(&self.mean.read(part)?, size, window),
            std: enlarge(&self.std.read(part)?, size, window),
            known: Mask {
                height: window.height,
                width: window.width,
                data: known.data.iter().map(|share| *share > 0.999).collect(),
            },
        })
    }
}

/// Restores `small`, whose bands feed the model's bands `sources`; itself coarse to fine.
/// `scratch` is the scene it was made of.
///
/// Boxed, since an asynchronous function cannot contain itself.
///
/// # Errors
/// As [`restore_async`].
pub(super) fn estimate<'a>(
    small: &'a Smaller,
    scratch: &'a dyn SceneSource,
    model: &'a Model,
    settings: &'a RestoreSettings,
    sources: &'a [usize],
    progress: &'a mut dyn FnMut(Progress) -> ControlFlow<()>,
) -> Pin<Box<dyn Future<Output = Result<Estimate>> + 'a>> {
    Box::pin(async move {
        let (height, width) = small.image.size();
        let room = || -> Result<Stored> {
            let scratch = scratch.scratch()?;
            Ok(Stored::new(small.image.bands, height, width, scratch))
        };
        let mut estimate = Estimate {
            mean: room()?,
            std: room()?,
            known: BitMask::new(height, width),
        };
        // Always a mean: a single sample of colours this coarse strays far, and nothing nearby
        // corrects it. A direct estimate is one.
        let samples = match settings.says_spread() {
            true => settings.samples,
            false => settings.samples.max(model.card.defaults.samples),
        };
        let settings = RestoreSettings {
            model_bands: sources.to_vec(),
            samples,
            written: Written::Mean,
            ..settings.clone()
        };
        let mut source = small.source(scratch);
        restore_async(&mut source, &mut estimate, model, &settings, progress).await?;
        Ok(estimate)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::restore::MemoryScratch;

    #[test]
    fn there_is_no_estimate_in_nodata() {
        let stored = || {
            let mut stored = Stored::new(1, 12, 12, Box::new(MemoryScratch::default()));
            let ones = Raster::from_vec(1, 12, 12, vec![1.0; 144]).unwrap();
            stored.write_rows(0, &ones).unwrap();
            stored
        };
        let mut known = BitMask::new(12, 12);
        known.set(0, 0, &Mask::from_fn(12, 12, |_, col| col < 6));
        let estimate = Estimate {
            mean: stored(),
            std: stored(),
            known,
        };
        let part = estimate.enlarged(Window::full(48, 48)).unwrap();
        // Up to the centre of the last block that holds data: half of column 5 is linear to 6.
        for col in 0..48 {
            assert_eq!(part.known.at(20, col), col < 22, "column {col}");
        }
        assert!(part.mean.data.iter().all(|value| *value == 1.0));
    }

    #[test]
    fn only_wide_holes_are_worth_a_coarser_look() {
        let wanted = |side: usize, hole: usize| {
            let mut small = Smaller::new(1, (side, side), Box::new(MemoryScratch::default()));
            // Across the corner of the windows it is looked for in.
            let at = LOOK_PX.min(side / 2).saturating_sub(hole / 2);
            let inside = |at_px: usize| (at..at + hole).contains(&at_px);
            small.valid.set(0, 0, &Mask::new(side, side, true));
            small.mask.set(
                0,
                0,
                &Mask::from_fn(side, side, |r, c| inside(r) && inside(c)),
            );
            small.is_wanted()
        };
        for side in [60, 300] {
            assert!(!wanted(side, 0) && !wanted(side, 7), "{side}");
            assert!(wanted(side, 12), "{side}");
        }
        assert!(!wanted(MIN_SIDE_PX - 1, 12) && !wanted(60, 60));
    }
}
