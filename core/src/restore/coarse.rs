//! The coarse pass: a scene with wide holes is first restored at a quarter of its size.

use std::future::Future;
use std::ops::ControlFlow;
use std::pin::Pin;

use super::{MemorySink, MemorySource, Progress, RestoreSettings, Written, restore_async};
use crate::checkpoint::Model;
use crate::error::Result;
use crate::raster::Raster;
use crate::raster::coarse::{FACTOR, Small, is_deep};
use crate::raster::soften::distances;

/// Images smaller than this are not shrunk further.
const MIN_SIDE_PX: usize = 24;

/// The scene restored at a coarser scale: the bands the model restores, in scene units.
pub(super) struct Estimate {
    /// Mean of the ensemble.
    pub mean: Raster,
    /// Its standard deviation; 0 with one member, and where the ground is visible.
    pub std: Raster,
}

/// Whether a coarser estimate would count anywhere.
pub(super) fn is_wanted(small: &Small) -> bool {
    let visible = small.valid.and_not(&small.mask);
    if visible.height.min(visible.width) < MIN_SIDE_PX || !visible.any() {
        return false;
    }
    let distance = distances(&visible);
    let holes = distance.iter().zip(&small.mask.data);
    holes
        .filter(|(_, hole)| **hole)
        .any(|(d, _)| is_deep(d * FACTOR as f32))
}

/// Restores `small`, whose bands feed the model's bands `sources`; itself coarse to fine.
///
/// Boxed, since an asynchronous function cannot contain itself.
///
/// # Errors
/// As [`restore_async`].
pub(super) fn estimate<'a>(
    small: &'a Small,
    model: &'a Model,
    settings: &'a RestoreSettings,
    sources: &'a [usize],
    progress: &'a mut dyn FnMut(Progress) -> ControlFlow<()>,
) -> Pin<Box<dyn Future<Output = Result<Estimate>> + 'a>> {
    Box::pin(async move {
        let mut source = MemorySource::new(&small.image, &small.mask, &small.valid);
        let mut sink = MemorySink::new(&small.image);
        // Always a mean: one draw of the wide colours is a wild one, and nothing nearby holds it.
        let settings = RestoreSettings {
            model_bands: sources.to_vec(),
            samples: settings.samples.max(model.card.defaults.samples),
            written: Written::Mean,
            ..settings.clone()
        };
        restore_async(&mut source, &mut sink, model, &settings, progress).await?;
        Ok(Estimate {
            mean: sink.image,
            std: sink.std,
        })
    })
}
