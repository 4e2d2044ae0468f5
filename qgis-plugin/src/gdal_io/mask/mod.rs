//! The mask of a scene: from a raster of any grid, from polygons, from a classification, or
//! detected; then without specks, grown, and cut at an extent.
//!
//! Whatever it comes from, it is first brought into one bit a pixel of the scene ([`BitMask`]),
//! and windows are read from there.

mod auto;
mod extent;
pub mod grid;
pub mod growth;
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
use unclouded_core::raster::growth::grow_classes;
use unclouded_core::raster::{Mask, Window};

use self::extent::Extent;
use self::growth::Growth;
use self::raster::RasterMask;
use self::request::{MaskFrom, MaskRequest};
use self::rule::Rule;
use self::vector::VectorMask;
use super::mask_file;
use super::scene::Scene;
use super::{exists, open_raster};
use crate::failure::{Failure, Result};

/// What an 8-bit picture shows as white.
const WHITE: f64 = 255.0;
/// A share of the scene outside the mask that is worth a word.
const WORTH_SAYING: f64 = 0.001;

/// A mask on the grid of a scene.
pub struct MaskReader {
    bits: BitMask,
    /// Of the marked pixels, those in shadow and not in cloud; where it was detected.
    shadow: Option<BitMask>,
    dilate_px: usize,
    extent: Option<Extent>,
    /// Why nothing is marked, if nothing is and something should be.
    nothing: Option<Failure>,
    /// Whether a detector or a classification says that there are no clouds.
    clear: bool,
    /// Where it comes from and what the user should know about it.
    pub notes: Vec<String>,
}

/// What marking left beside the pixels.
#[derive(Default)]
struct Marked {
    nothing: Option<Failure>,
    /// Whether a detector or a classification found no clouds, which is no mistake.
    clear: bool,
    /// Whether it is a raster of values, which somebody made to be taken as it is.
    as_it_is: bool,
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
            growth: Growth::Pixels(dilate_px),
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
            mut clear,
            as_it_is,
            shadow,
            mut notes,
        } = marked;
        let (dilate_px, grown) = request.growth.pixels(scene, as_it_is)?;
        notes.extend(grown.filter(|_| bits.any()));
        let before = bits.count();
        let dropped = bits.remove_small(request.min_area_px);
        if dropped > 0 {
            let kept = bits.count();
            notes.push(format!(
                "mask: {dropped} groups of fewer than {} pixels dropped ({} pixels)",
                request.min_area_px,
                before - kept
            ));
            if kept == 0 && request.from.is_some() {
                clear = true;
            } else if kept == 0 {
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
            dilate_px,
            extent,
            nothing,
            clear,
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
            clear: false,
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

    /// Of the marked pixels of a window, grown as they are, those that are shadow and not cloud,
    /// where that was detected: what grew belongs to the nearer of the two.
    pub fn shadow(&self, window: Window) -> Option<Mask> {
        let shadow = self.shadow.as_ref()?;
        let (height, width) = self.bits.size();
        let around = window.grow(self.dilate_px, height, width);
        let marked = self.bits.read(around);
        let dark = shadow.read(around).and(&marked);
        let (_, grown) = grow_classes(&marked.and_not(&dark), &dark, self.dilate_px);
        Some(grown.crop(window.relative_to(around)))
    }

    /// Whether shadows are told from clouds.
    pub fn tells_shadow(&self) -> bool {
        self.shadow.is_some()
    }

    /// Whether a detector or a classification says that there are no clouds: then there is
    /// nothing to fill, and nothing wrong.
    pub fn is_clear(&self) -> bool {
        self.clear
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
    let mut notes = Vec::new();
    let mut mask = RasterMask::new(scene, dataset, band, rule)?;
    mask.mark(bits, path, progress)?;
    let white = Rule::Values(vec![WHITE]);
    if !bits.any() && *rule == Rule::Usual && mask.holds_black_and_white() {
        notes.push(format!(
            "mask {}: of its values 0 and 255, 255 is taken for \"fill\"",
            path.display()
        ));
        mask = RasterMask::new(scene, dataset, band, &white)?;
        mask.mark(bits, path, progress)?;
    }
    let (height, width) = bits.size();
    let outside = mask.share_outside(height as u64 * width as u64);
    if outside > WORTH_SAYING {
        notes.push(format!(
            "mask {} leaves {:.1} % of the scene uncovered; that part is taken as clear",
            path.display(),
            100.0 * outside
        ));
    }
    // A classification that knows no cloud is an answer, a list of values that never occur a
    // mistake.
    let empty = !bits.any();
    // A mask that this program wrote says so: without clouds it is no wrong file.
    let clear = empty && (mask.knows_no_cloud() || mask_file::is_one(dataset));
    Ok(Marked {
        nothing: (empty && !clear).then(|| mask.nothing_marked(path)),
        clear,
        as_it_is: matches!(rule, Rule::Usual | Rule::Values(_)),
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
