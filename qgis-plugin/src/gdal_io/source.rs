//! Windows of a scene for the core: values as f32, what to fill, what is data.

use std::path::Path;

use gdal::Dataset;
use gdal::errors::GdalError;
use unclouded_core::raster::{Mask, Raster, Window};
use unclouded_core::restore::{
    MemoryScratch, OtherDate, Reference, SceneSource, SceneWindow, Scratch,
};

use super::dtype::{Native, StoredValue};
use super::mask::MaskReader;
use super::reference::ReferenceReader;
use super::scene::Scene;
use super::scratch::FileScratch;
use super::{STRIP_ROWS, unreadable};
use crate::failure::{Failure, Result};
use crate::for_dtype;

/// A scene under a mask. Bands are the scene's without alpha, in their order.
///
/// A clear pixel is data if every band holds a finite value that is not nodata. A masked pixel is
/// data if any band does, since its values are replaced anyway; where all bands are nodata it
/// lies outside the image and stays nodata. Where there is an alpha or mask band it decides too.
pub struct GdalSource<'a> {
    scene: &'a Scene,
    mask: &'a MaskReader,
    bands: Vec<usize>,
    references: &'a [ReferenceReader],
    scratch: Option<&'a Path>,
    watch: Option<&'a dyn Fn(usize)>,
}

/// How a mask covers a scene, in pixels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize)]
pub struct Coverage {
    /// Pixels that hold data.
    pub data: u64,
    /// Pixels that hold data and are to be filled.
    pub fill: u64,
    /// Pixels that are marked and hold no data; they stay nodata.
    pub masked_nodata: u64,
}

impl Coverage {
    /// Pixels that hold data and are not to be touched.
    pub fn clear(&self) -> u64 {
        self.data - self.fill
    }
}

/// Full-width strips from top to bottom.
pub fn strips(height: usize, width: usize) -> impl Iterator<Item = Window> {
    (0..height).step_by(STRIP_ROWS).map(move |row| Window {
        row,
        col: 0,
        height: STRIP_ROWS.min(height - row),
        width,
    })
}

/// Values of one band as they lie in the file. `band` counts from 1.
pub fn read_native<T: Native>(
    dataset: &Dataset,
    band: usize,
    window: Window,
) -> std::result::Result<Vec<T>, GdalError> {
    // (cols, rows)
    let size = (window.width, window.height);
    let origin = (window.col as isize, window.row as isize);
    let buffer = dataset
        .rasterband(band)?
        .read_as::<T>(origin, size, size, None)?;
    Ok(buffer.into_shape_and_vec().1)
}

impl<'a> GdalSource<'a> {
    /// Put a mask over a scene.
    pub fn new(scene: &'a Scene, mask: &'a MaskReader) -> Self {
        GdalSource {
            scene,
            mask,
            bands: scene.data_bands(),
            references: &[],
            scratch: None,
            watch: None,
        }
    }

    /// Tell somebody the row that each window read ends at.
    pub fn with_watch(self, watch: &'a dyn Fn(usize)) -> Self {
        GdalSource {
            watch: Some(watch),
            ..self
        }
    }

    /// Keep in a folder what grows with the area of the scene, instead of in memory.
    pub fn with_scratch(self, folder: &'a Path) -> Self {
        GdalSource {
            scratch: Some(folder),
            ..self
        }
    }

    /// Add images of other dates.
    pub fn with_references(self, references: &'a [ReferenceReader]) -> Self {
        GdalSource { references, ..self }
    }

    /// Walk the scene once and count.
    ///
    /// # Errors
    /// Exit 2 if there is nothing to fill or nothing to fill from.
    pub fn coverage(&self, mut progress: impl FnMut(u64)) -> Result<Coverage> {
        let info = &self.scene.info;
        self.mask.check_values()?;
        let mut coverage = Coverage::default();
        for window in strips(info.height, info.width) {
            crate::interrupt::check()?;
            let mask = self.mask.read(window)?;
            let valid = self.validity(window, &mask)?;
            coverage.data += valid.count() as u64;
            let fill = valid.and(&mask).count();
            coverage.fill += fill as u64;
            coverage.masked_nodata += (mask.count() - fill) as u64;
            progress(window.row_end() as u64);
        }
        if coverage.data == 0 {
            return Err(Failure::mismatch(
                &self.scene.what,
                "some pixels with data",
                "nodata everywhere",
            )
            .hint("is the nodata value right? `unclouded info` shows it"));
        }
        if self.mask.is_clear() {
            return Ok(coverage);
        }
        if coverage.fill == 0 {
            return Err(Failure::mismatch(
                "mask",
                "marked pixels that hold data",
                format!("{} marked pixels, all of them nodata in the scene", coverage.masked_nodata),
            )
            .hint("nodata pixels stay nodata; if the clouds were set to nodata, use the scene before that"));
        }
        if coverage.clear() == 0 {
            return Err(Failure::mismatch(
                "mask",
                "some clear pixels to fill from",
                format!("all {} pixels that hold data are masked", coverage.data),
            )
            .hint("use a larger scene, a smaller mask, or less --dilate-m"));
        }
        Ok(coverage)
    }

    /// Which pixels of a window hold data.
    pub fn validity(&self, window: Window, mask: &Mask) -> Result<Mask> {
        let mut validity = Validity::new(window);
        let info = &self.scene.info;
        let nodata = info.missing_value();
        if nodata.is_some() || !info.dtype.is_integer() {
            for &band in &self.bands {
                for_dtype!(info.dtype, T => {
                    let values = read_native::<T>(&self.scene.dataset, band, window)
                        .map_err(|error| unreadable(&self.scene.what, &error))?;
                    validity.add(&values, nodata.and_then(T::nodata));
                });
            }
        }
        self.finish(validity, window, mask)
    }

    fn finish(&self, validity: Validity, window: Window, mask: &Mask) -> Result<Mask> {
        let mut valid = validity.under(mask);
        hide_transparent(self.scene, window, &mut valid)?;
        Ok(valid)
    }
}

/// Takes from `valid` the pixels that an alpha band or a mask band hides.
///
/// # Errors
/// Exit 2 if these cannot be read.
pub fn hide_transparent(scene: &Scene, window: Window, valid: &mut Mask) -> Result<()> {
    let damaged = |error| unreadable(&scene.what, &error);
    let dataset = &scene.dataset;
    let size = (window.width, window.height);
    let origin = (window.col as isize, window.row as isize);
    let mut opacity = Vec::new();
    if let Some(alpha) = scene.info.alpha_band() {
        // A 16-bit alpha of 1 is nearly transparent, yet data; f32 keeps it from becoming 0.
        let band = dataset.rasterband(alpha).map_err(damaged)?;
        opacity.push(
            band.read_as::<f32>(origin, size, size, None)
                .map_err(damaged)?,
        );
    }
    if scene.info.mask_band {
        let band = dataset
            .rasterband(scene.info.data_bands()[0])
            .map_err(damaged)?;
        let band = band.open_mask_band().map_err(damaged)?;
        opacity.push(
            band.read_as::<f32>(origin, size, size, None)
                .map_err(damaged)?,
        );
    }
    for band in opacity {
        for (valid, opacity) in valid.data.iter_mut().zip(band.data()) {
            *valid &= *opacity > 0.0;
        }
    }
    Ok(())
}

/// Gathers, band by band, which pixels hold data.
struct Validity {
    window: Window,
    all: Vec<bool>,
    any: Vec<bool>,
    bands: usize,
}

impl Validity {
    fn new(window: Window) -> Self {
        let pixels = window.pixels();
        Validity {
            window,
            all: vec![true; pixels],
            any: vec![false; pixels],
            bands: 0,
        }
    }

    fn add<T: Native>(&mut self, values: &[T], nodata: Option<T>) {
        self.bands += 1;
        for ((value, all), any) in values.iter().zip(&mut self.all).zip(&mut self.any) {
            let data = value.is_finite_value() && !value.is_nodata(nodata);
            *all &= data;
            *any |= data;
        }
    }

    fn under(self, mask: &Mask) -> Mask {
        let Validity {
            window,
            mut all,
            any,
            bands,
        } = self;
        if bands > 0 {
            for ((all, any), masked) in all.iter_mut().zip(any).zip(&mask.data) {
                *all |= *masked && any;
            }
        }
        Mask {
            height: window.height,
            width: window.width,
            data: all,
        }
    }
}

impl SceneSource for GdalSource<'_> {
    fn size(&self) -> (usize, usize) {
        (self.scene.info.height, self.scene.info.width)
    }

    fn bands(&self) -> usize {
        self.bands.len()
    }

    fn references(&self) -> Vec<OtherDate> {
        let about = |reference: &ReferenceReader| OtherDate {
            bands: reference.bands(),
            days: reference.days(),
        };
        self.references.iter().map(about).collect()
    }

    fn read_reference(
        &mut self,
        reference: usize,
        window: Window,
    ) -> unclouded_core::Result<Reference> {
        crate::interrupt::check()?;
        self.references[reference].read(window)
    }

    fn read(&mut self, window: Window) -> unclouded_core::Result<SceneWindow> {
        crate::interrupt::check()?;
        let mask = self.mask.read(window)?;
        let nodata = self.scene.info.missing_value();
        let shift = self.scene.info.encoding.shift as f32;
        let mut validity = Validity::new(window);
        let mut data = Vec::with_capacity(self.bands.len() * window.pixels());
        for &band in &self.bands {
            for_dtype!(self.scene.info.dtype, T => {
                let values = read_native::<T>(&self.scene.dataset, band, window)
                    .map_err(|error| unreadable(&self.scene.what, &error))?;
                validity.add(&values, nodata.and_then(T::nodata));
                // A NaN that slipped into a sum would poison a whole tile, so none leaves here.
                data.extend(values.iter().map(|value| {
                    let value = value.to_f32() + shift;
                    if value.is_finite() { value } else { 0.0 }
                }));
            });
        }
        let valid = self.finish(validity, window, &mask)?;
        // Clouds that are not to be filled are nothing to fill from either.
        let valid = match self.mask.left_out(window) {
            Some(clouds) => valid.and_not(&clouds),
            None => valid,
        };
        let image = Raster::from_vec(self.bands.len(), window.height, window.width, data)?;
        if let Some(watch) = self.watch {
            watch(window.row_end());
        }
        Ok(SceneWindow { image, mask, valid })
    }

    fn scratch(&self) -> unclouded_core::Result<Box<dyn Scratch>> {
        Ok(match self.scratch {
            Some(folder) => Box::new(FileScratch::new(folder)?),
            None => Box::new(MemoryScratch::default()),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_nodata_band_spoils_a_clear_pixel_but_not_a_masked_one() {
        let window = Window {
            row: 0,
            col: 0,
            height: 1,
            width: 4,
        };
        let mut validity = Validity::new(window);
        validity.add(&[5_u16, 0, 0, 0], Some(0));
        validity.add(&[5_u16, 5, 5, 0], Some(0));
        let mask = Mask {
            height: 1,
            width: 4,
            data: vec![false, false, true, true],
        };
        assert_eq!(validity.under(&mask).data, [true, false, true, false]);
    }

    #[test]
    fn strips_cover_every_row_once() {
        let rows: Vec<_> = strips(600, 7)
            .map(|window| (window.row, window.height))
            .collect();
        assert_eq!(rows, [(0, 256), (256, 256), (512, 88)]);
    }
}
