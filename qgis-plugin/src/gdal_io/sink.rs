//! Where the core's filled rows go: the output scene, its uncertainty and its provenance.

use std::path::Path;

use gdal::errors::GdalError;
use gdal::{Dataset, DatasetOptions, DriverManager, GdalOpenFlags};
use unclouded_core::raster::{Mask, Window};
use unclouded_core::restore::provenance;
use unclouded_core::restore::{FilledRows, SceneSink};

use super::block_rows::BlockRows;
use super::dtype::Native;
use super::format::Format;
use super::journal::Journal;
use super::mask::MaskReader;
use super::pending::PendingFile;
use super::scene::Scene;
use super::source::{GdalSource, read_native};
use super::writer::{self, Tag};
use super::{error_count, ffi, last_error, unreadable, unwritable};
use crate::failure::{Failure, Result};
use crate::for_dtype;

/// Which files to write, how, and whether they may replace others.
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
    /// How they are stored.
    pub format: Format,
    /// Above this standard deviation, in any band, a fill is not written: scene units.
    pub max_uncertainty: Option<f32>,
}

/// A raster being written.
struct Output {
    file: PendingFile,
    rows: BlockRows,
    /// How its overviews are made.
    resampling: &'static str,
}

/// Writes filled rows. Clear pixels never pass through f32: they are read from the scene in its
/// own type and written back as they are.
pub struct GdalSink<'a> {
    scene: &'a Scene,
    format: Format,
    bands: Vec<usize>,
    filled: Output,
    uncertainty: Option<Output>,
    provenance: Option<Output>,
    mask: Option<&'a MaskReader>,
    journal: Option<&'a mut Journal>,
    max_uncertainty: Option<f32>,
    left_px: u64,
    errors_before: u64,
}

/// The complete files of a run, still under their temporary names.
#[derive(Debug)]
pub struct Written {
    /// The filled scene.
    pub scene: PendingFile,
    /// The others.
    pub more: Vec<PendingFile>,
    /// Pixels that were not filled, since that would be too uncertain.
    pub left_px: u64,
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
        type Create = fn(&PendingFile, &Scene, &Format, &[Tag]) -> Result<Dataset>;
        let format = targets.format;
        let make = |target: &Path, mask, resampling, create: Create| -> Result<Output> {
            let mut file = PendingFile::new(target, targets.overwrite)?;
            if format.cog {
                file = file.with_draft();
            }
            let dataset = create(&file, scene, &format, tags)?;
            let rows = BlockRows::new(dataset, mask).map_err(|error| unwritable(target, &error))?;
            Ok(Output {
                file,
                rows,
                resampling,
            })
        };
        let mask_band = scene.info.mask_band;
        let filled = make(targets.scene, mask_band, "AVERAGE", writer::create_filled)?;
        let uncertainty = targets
            .uncertainty
            .map(|path| make(path, false, "AVERAGE", writer::create_uncertainty))
            .transpose()?;
        let provenance = targets
            .provenance
            .map(|path| make(path, false, "NEAREST", writer::create_provenance))
            .transpose()?;
        let bands = scene.data_bands();
        let errors_before = error_count();
        Ok(GdalSink {
            scene,
            format,
            bands,
            filled,
            uncertainty,
            provenance,
            mask: None,
            journal: None,
            max_uncertainty: targets.max_uncertainty,
            left_px: 0,
            errors_before,
        })
    }

    /// Keep what is finished in a journal, and take from there what an earlier run finished.
    pub fn with_journal(mut self, journal: Option<&'a mut Journal>) -> Self {
        self.journal = journal;
        self
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
        let format = self.format;
        let close = |output: Output| -> Result<PendingFile> {
            let Output {
                mut file,
                rows,
                resampling,
            } = output;
            let mut dataset = rows.into_dataset();
            dataset
                .flush_cache()
                .and_then(|()| dataset.close())
                .and_then(|()| arrange(&file, &format, resampling))
                .map_err(|error| {
                    let stopped = crate::interrupt::requested();
                    let failed = unwritable(file.target(), &error);
                    if stopped {
                        Failure::interrupted()
                    } else {
                        failed
                    }
                })?;
            file.drop_draft();
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
        Ok(Written {
            scene,
            more,
            left_px: self.left_px,
        })
    }

    fn write_band<T: Native + 'static>(
        &mut self,
        band: usize,
        filled: &[f32],
        rows: &FilledRows,
        left: Option<&Mask>,
    ) -> Result<()> {
        let info = &self.scene.info;
        let nodata = info.missing_value().and_then(T::nodata);
        let shift = info.encoding.shift;
        let mut values = self.read::<T>(band, rows.window)?;
        let places = values.iter_mut().zip(filled).enumerate();
        for (at, (value, fill)) in places.filter(|(at, _)| rows.filled.data[*at]) {
            if left.is_some_and(|left| left.data[at]) {
                // As it was, where no value says that there is none.
                *value = nodata.unwrap_or(*value);
                continue;
            }
            if !fill.is_finite() {
                return Err(Failure::failed(format!(
                    "the model produced a value that is not a number in band {band}"
                ))
                .hint("try --device cpu; if that helps, the GPU driver is at fault"));
            }
            *value = T::from_fill(f64::from(*fill) - shift, nodata);
        }
        self.filled.rows.put(band, values);
        Ok(())
    }

    fn read<T: Native>(&self, band: usize, window: Window) -> Result<Vec<T>> {
        read_native::<T>(&self.scene.dataset, band, window)
            .map_err(|error| unreadable("scene", &error))
    }

    /// Alpha, classes and mask bands pass through unchanged.
    fn copy_others(&mut self, window: Window) -> Result<()> {
        for band in self.scene.info.kept_bands() {
            for_dtype!(self.scene.info.dtype, T => {
                let values = self.read::<T>(band, window)?;
                self.filled.rows.put(band, values);
            });
        }
        if self.scene.info.mask_band {
            let read = || -> std::result::Result<Vec<u8>, GdalError> {
                // (cols, rows)
                let (origin, size) = (
                    (window.col as isize, window.row as isize),
                    (window.width, window.height),
                );
                let from = self.scene.dataset.rasterband(self.bands[0])?;
                let mask = from
                    .open_mask_band()?
                    .read_as::<u8>(origin, size, size, None)?;
                Ok(mask.into_shape_and_vec().1)
            };
            let mask = read().map_err(|error| unreadable("scene", &error))?;
            self.filled.rows.put(self.scene.info.bands.len() + 1, mask);
        }
        Ok(())
    }

    fn take(&mut self, mut rows: FilledRows) -> Result<()> {
        if let Some(observed) = self.observed(&rows)? {
            rows.valid = observed;
        }
        let limit = self.max_uncertainty;
        let left = limit.and_then(|limit| too_uncertain(&rows, limit));
        self.left_px += left.as_ref().map_or(0, |left| left.count() as u64);
        for (position, band) in self.bands.clone().into_iter().enumerate() {
            for_dtype!(self.scene.info.dtype, T => {
                self.write_band::<T>(band, rows.image.band(position), &rows, left.as_ref())?;
            });
        }
        self.copy_others(rows.window)?;
        let height = rows.window.height;
        advance(&mut self.filled, height)?;
        if let Some(output) = &mut self.uncertainty {
            put_uncertainty(output, self.bands.len(), &rows)?;
            advance(output, height)?;
        }
        if let Some(output) = &mut self.provenance {
            let mut values = provenance::classify(&rows.filled, &rows.valid);
            let left = left.iter().flat_map(|left| &left.data);
            let left = values.iter_mut().zip(left).filter(|(_, left)| **left);
            left.for_each(|(value, _)| *value = provenance::LEFT);
            output.rows.put(1, values);
            advance(output, height)?;
        }
        Ok(())
    }
}

/// Which filled pixels have a standard deviation above `limit` in any band.
fn too_uncertain(rows: &FilledRows, limit: f32) -> Option<Mask> {
    let std = rows.std.as_ref()?;
    let wide = |at: usize| (0..std.bands).any(|band| std.band(band)[at] > limit);
    let filled = rows.filled.data.iter().enumerate();
    Some(Mask {
        data: filled.map(|(at, filled)| *filled && wide(at)).collect(),
        ..rows.filled.clone()
    })
}

fn advance(output: &mut Output, height: usize) -> Result<()> {
    output
        .rows
        .advance(height)
        .map_err(|error| unwritable(output.file.target(), &error))
}

fn put_uncertainty(output: &mut Output, bands: usize, rows: &FilledRows) -> Result<()> {
    let std = rows
        .std
        .as_ref()
        .ok_or_else(|| Failure::failed("the uncertainty was asked for and the run gave none"))?;
    for position in 0..bands {
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
        output.rows.put(position + 1, values);
    }
    Ok(())
}

/// The second step of a file: overviews, or the copy that becomes cloud-optimised.
fn arrange(
    file: &PendingFile,
    format: &Format,
    resampling: &str,
) -> std::result::Result<(), GdalError> {
    let open = |flags| {
        let options = DatasetOptions {
            open_flags: flags | GdalOpenFlags::GDAL_OF_RASTER,
            ..DatasetOptions::default()
        };
        Dataset::open_ex(file.making(), options)
    };
    if format.cog {
        let draft = open(GdalOpenFlags::GDAL_OF_READONLY)?;
        let driver = DriverManager::get_driver_by_name("COG")?;
        let options = format.copying(resampling)?;
        return ffi::create_copy(&driver, &draft, file.path(), &options);
    }
    if format.overviews {
        let dataset = open(GdalOpenFlags::GDAL_OF_UPDATE)?;
        let (width, height) = dataset.raster_size();
        let levels = Format::levels(height, width);
        if !levels.is_empty() {
            ffi::build_overviews(&dataset, resampling, &levels)?;
        }
        return dataset.close();
    }
    Ok(())
}

impl SceneSink for GdalSink<'_> {
    fn write(&mut self, rows: FilledRows) -> unclouded_core::Result<()> {
        crate::interrupt::check()?;
        if let Some(journal) = &mut self.journal {
            journal.append(&rows)?;
        }
        Ok(self.take(rows)?)
    }

    fn recall(&mut self, window: Window) -> unclouded_core::Result<bool> {
        crate::interrupt::check()?;
        let bands = self.bands.len();
        let recalled = match &mut self.journal {
            Some(journal) => journal.recall(window, bands)?,
            None => None,
        };
        match recalled {
            Some(rows) => {
                self.take(rows)?;
                Ok(true)
            }
            None => Ok(false),
        }
    }
}
