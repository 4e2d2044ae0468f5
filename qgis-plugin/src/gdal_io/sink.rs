//! Where the core's filled rows go: the output scene, its uncertainty and its provenance.

use std::path::Path;

use gdal::Dataset;
use gdal::errors::GdalError;
use gdal::raster::{Buffer, GdalType};
use unclouded_core::provenance;
use unclouded_core::raster::{Mask, Window};
use unclouded_core::restore::{FilledRows, SceneSink};

use super::dtype::Native;
use super::mask::MaskReader;
use super::pending::PendingFile;
use super::scene::Scene;
use super::source::{GdalSource, read_native};
use super::writer::{self, Tag};
use super::{error_count, last_error, unreadable, unwritable};
use crate::failure::{Failure, Result};
use crate::for_dtype;

/// Which files to write, and whether they may replace others.
#[derive(Debug, Clone)]
pub struct Targets<'a> {
    /// The filled scene.
    pub scene: &'a Path,
    /// The standard deviation of the samples.
    pub uncertainty: Option<&'a Path>,
    /// What every pixel is.
    pub provenance: Option<&'a Path>,
    /// Whether existing files are replaced.
    pub overwrite: bool,
}

/// A raster being written.
struct Output {
    file: PendingFile,
    dataset: Dataset,
}

/// Writes filled rows. Clear pixels never pass through f32: they are read from the scene in its
/// own type and written back as they are.
pub struct GdalSink<'a> {
    scene: &'a Scene,
    bands: Vec<usize>,
    filled: Output,
    uncertainty: Option<Output>,
    provenance: Option<Output>,
    mask: Option<&'a MaskReader>,
    errors_before: u64,
}

/// The complete files of a run, still under their temporary names.
#[derive(Debug)]
pub struct Written {
    /// The filled scene.
    pub scene: PendingFile,
    /// The others.
    pub more: Vec<PendingFile>,
}

impl Written {
    /// Give every file its name, the filled scene last: where it is, the others are.
    ///
    /// # Errors
    /// Exit 1 if a rename fails, exit 2 if a target appeared meanwhile.
    pub fn commit(self) -> Result<()> {
        for file in self.more {
            file.commit()?;
        }
        self.scene.commit()
    }
}

impl<'a> GdalSink<'a> {
    /// Create the files under temporary names, with `tags` in their metadata.
    ///
    /// # Errors
    /// Exit 1 if a file cannot be created.
    pub fn create(scene: &'a Scene, targets: &Targets, tags: &[Tag]) -> Result<Self> {
        type Create = fn(&PendingFile, &Scene, &[Tag]) -> Result<Dataset>;
        let make = |target: &Path, create: Create| -> Result<Output> {
            let file = PendingFile::new(target, targets.overwrite)?;
            let dataset = create(&file, scene, tags)?;
            Ok(Output { file, dataset })
        };
        let filled = make(targets.scene, writer::create_like)?;
        let uncertainty = targets
            .uncertainty
            .map(|path| make(path, writer::create_uncertainty))
            .transpose()?;
        let provenance = targets
            .provenance
            .map(|path| make(path, writer::create_provenance))
            .transpose()?;
        let bands = scene.data_bands();
        let errors_before = error_count();
        Ok(GdalSink {
            scene,
            bands,
            filled,
            uncertainty,
            provenance,
            mask: None,
            errors_before,
        })
    }

    /// Tell the sink of the mask, which may leave clouds as they are (`--extent`): the core does
    /// not see these pixels, yet they are observed and not nodata.
    pub fn with_mask(mut self, mask: &'a MaskReader) -> Self {
        self.mask = Some(mask);
        self
    }

    /// Which pixels hold data, those included that the core was not shown.
    fn observed(&self, rows: &FilledRows) -> Result<Option<Mask>> {
        let Some(mask) = self.mask.filter(|mask| mask.extent().is_some()) else {
            return Ok(None);
        };
        let source = GdalSource::new(self.scene, mask);
        Ok(Some(source.validity(rows.window, &rows.filled)?))
    }

    /// Flush and close the files.
    ///
    /// # Errors
    /// Exit 1 if the disk refuses the rest.
    pub fn finish(self) -> Result<Written> {
        let close = |output: Output| -> Result<PendingFile> {
            let Output { file, mut dataset } = output;
            dataset
                .flush_cache()
                .map_err(|error| unwritable(file.target(), &error))?;
            dataset
                .close()
                .map_err(|error| unwritable(file.target(), &error))?;
            Ok(file)
        };
        let scene = close(self.filled)?;
        let mut more = Vec::new();
        for output in [self.uncertainty, self.provenance].into_iter().flatten() {
            more.push(close(output)?);
        }
        // GDAL writes late, and below 3.7 neither flushing nor closing returns its errors.
        if error_count() > self.errors_before {
            return Err(Failure::failed(format!(
                "cannot write {} ({})",
                scene.target().display(),
                last_error()
            ))
            .hint("is there room on the disk?"));
        }
        Ok(Written { scene, more })
    }

    fn write_band<T: Native>(&self, band: usize, filled: &[f32], rows: &FilledRows) -> Result<()> {
        let info = &self.scene.info;
        let nodata = info.missing_value().and_then(T::nodata);
        let shift = info.encoding.shift as f32;
        let mut values = self.read::<T>(band, rows.window)?;
        for ((value, fill), on) in values.iter_mut().zip(filled).zip(&rows.filled.data) {
            if !on {
                continue;
            }
            if !fill.is_finite() {
                return Err(Failure::failed(format!(
                    "the model produced a value that is not a number in band {band}"
                ))
                .hint("try --device cpu; if that helps, the GPU driver is at fault"));
            }
            *value = T::from_fill(*fill - shift, nodata);
        }
        self.put(&self.filled, band, rows.window, values)
    }

    fn read<T: Native>(&self, band: usize, window: Window) -> Result<Vec<T>> {
        read_native::<T>(&self.scene.dataset, band, window)
            .map_err(|error| unreadable("scene", &error))
    }

    fn put<T: GdalType + Copy>(
        &self,
        output: &Output,
        band: usize,
        window: Window,
        values: Vec<T>,
    ) -> Result<()> {
        write_native(&output.dataset, band, window, values)
            .map_err(|error| unwritable(output.file.target(), &error))
    }

    /// Alpha, classes and mask bands pass through unchanged.
    fn copy_others(&self, window: Window) -> Result<()> {
        for band in self.scene.info.kept_bands() {
            for_dtype!(self.scene.info.dtype, T => {
                self.put(&self.filled, band, window, self.read::<T>(band, window)?)?;
            });
        }
        if self.scene.info.mask_band {
            let copy = || -> std::result::Result<(), GdalError> {
                // (cols, rows)
                let (origin, size) = (
                    (window.col as isize, window.row as isize),
                    (window.width, window.height),
                );
                let from = self.scene.dataset.rasterband(self.bands[0])?;
                let mut mask = from
                    .open_mask_band()?
                    .read_as::<u8>(origin, size, size, None)?;
                let to = self.filled.dataset.rasterband(1)?;
                to.open_mask_band()?.write(origin, size, &mut mask)
            };
            copy().map_err(|error| unwritable(self.filled.file.target(), &error))?;
        }
        Ok(())
    }

    fn write_uncertainty(&self, output: &Output, rows: &FilledRows) -> Result<()> {
        let std = rows.std.as_ref().ok_or_else(|| {
            Failure::failed("the uncertainty was asked for and the run gave none")
        })?;
        for position in 0..self.bands.len() {
            let mut values = std.band(position).to_vec();
            for ((value, filled), valid) in values
                .iter_mut()
                .zip(&rows.filled.data)
                .zip(&rows.valid.data)
            {
                *value = match (valid, filled) {
                    (false, _) => f32::NAN,
                    (true, false) => 0.0,
                    (true, true) => *value,
                };
            }
            self.put(output, position + 1, rows.window, values)?;
        }
        Ok(())
    }
}

impl SceneSink for GdalSink<'_> {
    fn write(&mut self, mut rows: FilledRows) -> unclouded_core::Result<()> {
        crate::interrupt::check()?;
        if let Some(observed) = self.observed(&rows)? {
            rows.valid = observed;
        }
        for (position, &band) in self.bands.iter().enumerate() {
            for_dtype!(self.scene.info.dtype, T => {
                self.write_band::<T>(band, rows.image.band(position), &rows)?;
            });
        }
        self.copy_others(rows.window)?;
        if let Some(output) = &self.uncertainty {
            self.write_uncertainty(output, &rows)?;
        }
        if let Some(output) = &self.provenance {
            let values = provenance::classify(&rows.filled, &rows.valid);
            self.put(output, 1, rows.window, values)?;
        }
        Ok(())
    }
}

fn write_native<T: GdalType + Copy>(
    dataset: &Dataset,
    band: usize,
    window: Window,
    values: Vec<T>,
) -> std::result::Result<(), GdalError> {
    // (cols, rows)
    let size = (window.width, window.height);
    let mut buffer = Buffer::new(size, values);
    dataset.rasterband(band)?.write(
        (window.col as isize, window.row as isize),
        size,
        &mut buffer,
    )
}
