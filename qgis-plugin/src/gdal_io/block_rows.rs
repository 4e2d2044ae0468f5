//! A raster being written in whole rows of blocks, each once and in order.
//!
//! Rows arrive in whatever heights the tiling gives; written as they come, a compressed block
//! would be written several times or not, depending on how full GDAL's cache is. Gathered into
//! rows of blocks, the bytes of the file depend on its pixels only, and memory on its width.

use std::any::Any;

use gdal::Dataset;
use gdal::errors::GdalError;
use gdal::raster::{Buffer, GdalType, RasterBand};
use unclouded_core::raster::Window;

use super::ffi;

type Outcome = Result<(), GdalError>;

/// Rows of one band that wait for the rest of their blocks, in the type of the band.
trait Pending {
    /// Writes a window of the raster, `width` columns wide, whose first row lies `skip` rows from
    /// the start.
    fn write(&self, band: &mut RasterBand, window: Window, width: usize, skip: usize) -> Outcome;
    /// Forgets the first values.
    fn drop_front(&mut self, count: usize);
    /// For the type.
    fn as_any(&mut self) -> &mut dyn Any;
}

impl<T: GdalType + Copy + 'static> Pending for Vec<T> {
    fn write(&self, band: &mut RasterBand, window: Window, width: usize, skip: usize) -> Outcome {
        let mut values = Vec::with_capacity(window.pixels());
        for row in skip..skip + window.height {
            values.extend_from_slice(&self[row * width + window.col..][..window.width]);
        }
        // (cols, rows)
        let size = (window.width, window.height);
        let origin = (window.col as isize, window.row as isize);
        band.write(origin, size, &mut Buffer::new(size, values))
    }

    fn drop_front(&mut self, count: usize) {
        self.drain(..count.min(self.len()));
    }

    fn as_any(&mut self) -> &mut dyn Any {
        self
    }
}

/// Writes a raster from top to bottom.
pub struct BlockRows {
    dataset: Dataset,
    size: (usize, usize),
    block: (usize, usize),
    /// Bands share their blocks.
    by_pixel: bool,
    /// Whether the last of the pending bands is the mask of the data set.
    mask: bool,
    first_row: usize,
    rows: usize,
    pending: Vec<Option<Box<dyn Pending>>>,
}

impl BlockRows {
    /// For a data set without pixels yet; `mask` if it has a mask band to be written as well.
    ///
    /// # Errors
    /// What GDAL says.
    pub fn new(dataset: Dataset, mask: bool) -> Result<Self, GdalError> {
        use gdal::Metadata;
        let (width, height) = dataset.raster_size();
        let (block_width, block_height) = dataset.rasterband(1)?.block_size();
        let interleave = dataset.metadata_item("INTERLEAVE", "IMAGE_STRUCTURE");
        let bands = dataset.raster_count() + usize::from(mask);
        Ok(Self {
            by_pixel: interleave.as_deref() == Some("PIXEL"),
            dataset,
            size: (height, width),
            block: (block_height.max(1), block_width.max(1)),
            mask,
            first_row: 0,
            rows: 0,
            pending: (0..bands).map(|_| None).collect(),
        })
    }

    /// The rows that [`BlockRows::put`] takes next begin here.
    pub fn next_row(&self) -> usize {
        self.first_row + self.rows
    }

    /// Takes full rows of a band (counted from 1; the mask is the one after the last).
    pub fn put<T: GdalType + Copy + 'static>(&mut self, band: usize, mut values: Vec<T>) {
        let Some(pending) = self.pending.get_mut(band - 1) else {
            return;
        };
        let known = pending
            .as_mut()
            .and_then(|pending| pending.as_any().downcast_mut::<Vec<T>>());
        match known {
            Some(known) => known.append(&mut values),
            None => *pending = Some(Box::new(values)),
        }
    }

    /// `height` rows of every band were put: write what is complete.
    ///
    /// # Errors
    /// What GDAL says.
    pub fn advance(&mut self, height: usize) -> Outcome {
        self.rows += height;
        let end = self.next_row() >= self.size.0;
        if self.rows < self.block.0 && !end {
            return Ok(());
        }
        let mut done = 0;
        while self.rows - done >= self.block.0 || end && done < self.rows {
            let count = self.block.0.min(self.rows - done);
            self.write_rows(done, count)?;
            done += count;
        }
        // What is left of the rows begins the next blocks.
        let skip = done * self.size.1;
        for pending in self.pending.iter_mut().flatten() {
            pending.drop_front(skip);
        }
        self.first_row += done;
        self.rows -= done;
        Ok(())
    }

    fn write_rows(&self, skip: usize, count: usize) -> Outcome {
        let row = self.first_row + skip;
        let (width, across) = (self.size.1, self.block.1);
        let step = if self.by_pixel { across } else { width };
        for col in (0..width).step_by(step.max(1)) {
            let window = Window {
                row,
                col,
                height: count,
                width: step.min(width - col),
            };
            for (number, pending) in (1..).zip(&self.pending) {
                let Some(pending) = pending else { continue };
                self.with_band(number, |band| {
                    pending.write(band, window, width, skip)?;
                    if self.by_pixel {
                        Ok(())
                    } else {
                        ffi::flush(band)
                    }
                })?;
            }
            if self.by_pixel {
                for number in 1..=self.pending.len() {
                    self.with_band(number, |band| ffi::flush(band))?;
                }
            }
        }
        Ok(())
    }

    fn with_band(&self, number: usize, work: impl FnOnce(&mut RasterBand) -> Outcome) -> Outcome {
        if self.mask && number == self.pending.len() {
            return work(&mut self.dataset.rasterband(1)?.open_mask_band()?);
        }
        work(&mut self.dataset.rasterband(number)?)
    }

    /// The data set, everything written.
    pub fn into_dataset(self) -> Dataset {
        self.dataset
    }
}
