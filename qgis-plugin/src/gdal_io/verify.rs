//! Proof that clear pixels are untouched: read the written file again and compare.

use std::path::Path;

use serde::Serialize;
use unclouded_core::raster::{Mask, Window};

use super::dtype::Native;
use super::mask::MaskReader;
use super::scene::Scene;
use super::source::{Coverage, read_native, strips};
use super::unreadable;
use crate::failure::{Failure, Result};
use crate::for_dtype;

/// The outcome of the comparison.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Verified {
    /// Clear pixels that hold data.
    pub clear: u64,
    /// Pixels outside the mask, nodata included, that differ in any band.
    pub changed: u64,
}

/// Compare `written` with the scene at every pixel outside the mask, bit by bit in the scene's
/// own type, alpha included.
///
/// # Errors
/// Exit 1 if a pixel changed or the file cannot be read back.
pub fn verify(
    scene: &Scene,
    mask: &MaskReader,
    coverage: Coverage,
    written: &Path,
    mut progress: impl FnMut(u64),
) -> Result<Verified> {
    let failed = |failure: Failure| {
        Failure::failed(format!(
            "the output cannot be read back: {}",
            failure.message
        ))
    };
    let output = Scene::open_written(written).map_err(failed)?;
    let expected = (
        scene.info.width,
        scene.info.height,
        scene.info.bands.len(),
        scene.info.dtype,
    );
    let got = (
        output.info.width,
        output.info.height,
        output.info.bands.len(),
        output.info.dtype,
    );
    if expected != got {
        return Err(failed(Failure::mismatch(
            "shape",
            format!("{expected:?}"),
            format!("{got:?}"),
        )));
    }
    let mut changed = 0;
    for window in strips(scene.info.height, scene.info.width) {
        crate::interrupt::check()?;
        let masked = mask.read(window)?;
        let mut differs = vec![false; window.pixels()];
        for band in &scene.info.bands {
            for_dtype!(scene.info.dtype, T => {
                compare::<T>((scene, &output), band.number, window, &masked, &mut differs)?;
            });
        }
        changed += differs.iter().filter(|differs| **differs).count() as u64;
        progress(window.row_end() as u64);
    }
    if changed > 0 {
        return Err(Failure::failed(format!(
            "{changed} of {} clear pixels changed; the output was not kept",
            coverage.clear()
        ))
        .hint("this is a defect of unclouded: please report it"));
    }
    Ok(Verified {
        clear: coverage.clear(),
        changed,
    })
}

fn compare<T: Native>(
    (scene, output): (&Scene, &Scene),
    band: usize,
    window: Window,
    masked: &Mask,
    differs: &mut [bool],
) -> Result<()> {
    let before = read_native::<T>(&scene.dataset, band, window)
        .map_err(|error| unreadable("scene", &error))?;
    let after = read_native::<T>(&output.dataset, band, window)
        .map_err(|error| Failure::failed(unreadable("output", &error).message))?;
    for (((before, after), masked), differs) in
        before.iter().zip(&after).zip(&masked.data).zip(differs)
    {
        *differs |= !masked && !before.same_bits(*after);
    }
    Ok(())
}
