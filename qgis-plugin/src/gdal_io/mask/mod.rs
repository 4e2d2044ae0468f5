//! The mask of a scene: from a raster of any grid, from polygons, from a classification, or
//! detected; then without specks, grown, and cut at an extent.
//!
//! Whatever it comes from, it is first brought into one bit a pixel of the scene ([`BitMask`]),
//! and windows are read from there.

mod auto;
mod extent;
pub mod grid;
mod own;
mod place;
mod raster;
pub mod request;
pub mod rule;
#[cfg(test)]
mod tests;
mod vector;

use std::path::{Path, PathBuf};

use gdal::{Dataset, DatasetOptions, GdalOpenFlags};
use unclouded_core::raster::bits::BitMask;
use unclouded_core::raster::{Mask, Window};

use self::extent::Extent;
use self::raster::RasterMask;
use self::request::{MaskFrom, MaskRequest};
use self::rule::Rule;
use self::vector::VectorMask;
use super::scene::Scene;
use super::{exists, open_raster};
use crate::failure::{Failure, Result};

/// A share of the scene outside the mask that is worth a word.
const WORTH_SAYING: f64 = 0.001;

/// A mask on the grid of a scene.
pub struct MaskReader {
    bits: BitMask,
    /// Of the marked pixels, those in shadow and not in cloud; where it was detected.
    shadow: Option<BitMask>,
    dilate_px: usize,
    extent: Option<Extent>,
    /// Why nothing is marked, if nothing is.
    nothing: Option<Failure>,
    /// Where it comes from and what the user should know about it.
    pub notes: Vec<String>,
}

/// What marking left: why nothing is marked, if nothing is, and notes.
#[derive(Default)]
struct Marked {
    nothing: Option<Failure>,
    shadow: Option<BitMask>,
    notes: Vec<String>,
}

impl MaskReader {
    /// Read a mask of values, or polygons: pixels with one of `values` (1 if there are none) or
    /// inside a polygon are to be filled, and so is what lies within `dilate_px` of them.
    ///
    /// # Errors
    /// As [`MaskReader::prepare`].
    pub fn open(path: &Path, scene: &Scene, values: &[f64], dilate_px: usize) -> Result<Self> {
        let request = MaskRequest {
            path: Some(path.to_owned()),
            values: values.to_vec(),
            dilate_px,
            ..MaskRequest::default()
        };
        Self::prepare(&request, scene, &mut |_| ())
    }

    /// Read or make the mask that was asked for. `progress` hears how many rows are done.
    ///
    /// # Errors
    /// Exit 2 if the request contradicts itself, a file cannot be opened, it lies elsewhere, or
    /// there is no way between its CRS and that of the scene. A mask that marks nothing is found
    /// by [`MaskReader::check_values`].
    pub fn prepare(
        request: &MaskRequest,
        scene: &Scene,
        progress: &mut dyn FnMut(u64),
    ) -> Result<Self> {
        request.check()?;
        let (height, width) = (scene.info.height, scene.info.width);
        let extent = match request.extent {
            Some(bounds) => Some(Extent::new(bounds, scene)?),
            None => None,
        };
        let mut bits = BitMask::new(height, width);
        let marked = mark(request, scene, &mut bits, progress)?;
        let Marked {
            mut nothing,
            shadow,
            mut notes,
        } = marked;
        let before = bits.count();
        let dropped = bits.remove_small(request.min_area_px);
        if dropped > 0 {
            let kept = bits.count();
            notes.push(format!(
                "mask: {dropped} groups of fewer than {} pixels dropped ({} pixels)",
                request.min_area_px,
                before - kept
            ));
            if kept == 0 {
                nothing = Some(
                    Failure::mismatch(
                        "--min-area-px",
                        "a number that leaves something of the mask",
                        format!(
                            "{}, above every group of marked pixels",
                            request.min_area_px
                        ),
                    )
                    .hint("give a smaller number"),
                );
            }
        }
        Ok(MaskReader {
            bits,
            shadow,
            dilate_px: request.dilate_px,
            extent,
            nothing,
            notes,
        })
    }

    /// A mask of `height` x `width` pixels that marks nothing.
    pub fn nothing(height: usize, width: usize) -> Self {
        MaskReader {
            bits: BitMask::new(height, width),
            shadow: None,
            dilate_px: 0,
            extent: None,
            nothing: None,
            notes: Vec::new(),
        }
    }

    /// Which pixels of a window to fill.
    ///
    /// # Errors
    /// None today: the mask is in memory.
    pub fn read(&self, window: Window) -> Result<Mask> {
        let mut grown = self.grown(window);
        if let Some(extent) = &self.extent {
            for (flag, inside) in grown.data.iter_mut().zip(extent.flags(window)) {
                *flag &= inside;
            }
        }
        Ok(grown)
    }

    /// Clouds of a window that `--extent` leaves as they are; `None` without it.
    pub fn left_out(&self, window: Window) -> Option<Mask> {
        let extent = self.extent.as_ref()?;
        let mut grown = self.grown(window);
        for (flag, inside) in grown.data.iter_mut().zip(extent.flags(window)) {
            *flag &= !inside;
        }
        Some(grown)
    }

    /// The extent to fill, if one was given.
    pub fn extent(&self) -> Option<&Extent> {
        self.extent.as_ref()
    }

    /// Of the marked pixels of a window, those a detector found to be shadow and not cloud;
    /// neither grown nor cut.
    pub fn shadow(&self, window: Window) -> Option<Mask> {
        let shadow = self.shadow.as_ref()?;
        Some(shadow.read(window))
    }

    /// Check that something is marked.
    ///
    /// # Errors
    /// Exit 2 for a mask that marks nothing.
    pub fn check_values(&self) -> Result<()> {
        match &self.nothing {
            Some(failure) => Err(failure.clone()),
            None => Ok(()),
        }
    }

    fn grown(&self, window: Window) -> Mask {
        let (height, width) = self.bits.size();
        if self.dilate_px == 0 {
            return self.bits.read(window);
        }
        let around = window.grow(self.dilate_px, height, width);
        let marked = self.bits.read(around).dilate(self.dilate_px);
        marked.crop(window.relative_to(around))
    }
}

fn mark(
    request: &MaskRequest,
    scene: &Scene,
    bits: &mut BitMask,
    progress: &mut dyn FnMut(u64),
) -> Result<Marked> {
    let rule = match request.from {
        Some(MaskFrom::Auto) => return auto::mark(scene, bits, progress),
        Some(MaskFrom::Scl) => Rule::scl(&request.values)?,
        Some(MaskFrom::QaPixel) => Rule::QaPixel,
        None => Rule::values(&request.values),
    };
    let Some(asked) = &request.path else {
        let from = request.from.unwrap_or(MaskFrom::Scl);
        let own = own::find(scene, from)?;
        let mut marked = from_raster(
            scene,
            (&own.dataset, own.band),
            &own.path,
            &rule,
            bits,
            progress,
        )?;
        let found = format!("mask: band {} of {}", own.band, own.path.display());
        marked.notes.insert(0, found);
        return Ok(marked);
    };
    let (path, layer) = MaskRequest::place(asked);
    let dataset = open(&path)?;
    if !vector::layers(&dataset) && layer.is_none() {
        return from_raster(scene, (&dataset, 1), &path, &rule, bits, progress);
    }
    if let Some(from) = request.from {
        return Err(Failure::mismatch(
            format!("--mask for --mask-from {}", from.name()),
            "a raster of classes",
            format!("{}, a vector layer", path.display()),
        )
        .hint("leave out --mask-from: polygons are filled as they are"));
    }
    if !request.values.is_empty() {
        return Err(Failure::mismatch(
            "--mask-values",
            "a mask raster",
            format!("{}, a vector layer", path.display()),
        )
        .hint("every polygon of the layer is filled; leave out --mask-values"));
    }
    let polygons = VectorMask::open(&dataset, layer.as_deref(), &path, scene)?;
    polygons.mark(bits, scene, &path, progress)?;
    Ok(Marked {
        notes: polygons.notes,
        ..Marked::default()
    })
}

fn from_raster(
    scene: &Scene,
    (dataset, band): (&Dataset, usize),
    path: &Path,
    rule: &Rule,
    bits: &mut BitMask,
    progress: &mut dyn FnMut(u64),
) -> Result<Marked> {
    let mut mask = RasterMask::new(scene, dataset, band, rule)?;
    mask.mark(bits, path, progress)?;
    let (height, width) = bits.size();
    let outside = mask.share_outside(height as u64 * width as u64);
    let mut notes = Vec::new();
    if outside > WORTH_SAYING {
        notes.push(format!(
            "mask {} leaves {:.1} % of the scene uncovered; that part is taken as clear",
            path.display(),
            100.0 * outside
        ));
    }
    Ok(Marked {
        nothing: (!bits.any()).then(|| mask.nothing_marked(path)),
        notes,
        shadow: None,
    })
}

/// Open a mask, whichever kind it is; never for writing.
fn open(path: &PathBuf) -> Result<Dataset> {
    exists(path, "mask")?;
    let both = DatasetOptions {
        open_flags: GdalOpenFlags::GDAL_OF_READONLY
            | GdalOpenFlags::GDAL_OF_RASTER
            | GdalOpenFlags::GDAL_OF_VECTOR,
        ..DatasetOptions::default()
    };
    match Dataset::open_ex(path, both) {
        Ok(dataset) if dataset.raster_count() > 0 || dataset.layer_count() > 0 => Ok(dataset),
        // As a raster only: its message is the better one.
        _ => open_raster(path, "mask"),
    }
}
