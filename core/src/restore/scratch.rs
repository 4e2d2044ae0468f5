//! Room for what grows with the area of a scene: planes of f32, outside memory where a face has
//! a disk.

use crate::error::Result;
use crate::raster::{Raster, Window};

/// An array of f32 that may be larger than memory. What was never written is unspecified.
pub trait Scratch {
    /// Writes values from place `at` on, counted in values.
    fn write(&mut self, at: usize, values: &[f32]) -> Result<()>;
    /// Reads values from place `at` on.
    fn read(&self, at: usize, values: &mut [f32]) -> Result<()>;
}

/// Scratch in memory.
#[derive(Debug, Default)]
pub struct MemoryScratch(Vec<f32>);

impl Scratch for MemoryScratch {
    fn write(&mut self, at: usize, values: &[f32]) -> Result<()> {
        let end = at + values.len();
        if self.0.len() < end {
            self.0.resize(end, 0.0);
        }
        self.0[at..end].copy_from_slice(values);
        Ok(())
    }

    fn read(&self, at: usize, values: &mut [f32]) -> Result<()> {
        values.copy_from_slice(&self.0[at..][..values.len()]);
        Ok(())
    }
}

/// An image in a scratch, `[rows, bands, columns]` there, so that rows can be written as they
/// come.
pub(super) struct Stored {
    pub bands: usize,
    pub height: usize,
    pub width: usize,
    scratch: Box<dyn Scratch>,
}

impl Stored {
    pub fn new(bands: usize, height: usize, width: usize, scratch: Box<dyn Scratch>) -> Self {
        Self {
            bands,
            height,
            width,
            scratch,
        }
    }

    /// Height and width.
    pub fn size(&self) -> (usize, usize) {
        (self.height, self.width)
    }

    /// Writes full rows from `row` on.
    pub fn write_rows(&mut self, row: usize, rows: &Raster) -> Result<()> {
        let mut values = Vec::with_capacity(rows.data.len());
        for r in 0..rows.height {
            for band in 0..self.bands {
                values.extend_from_slice(&rows.band(band)[r * self.width..][..self.width]);
            }
        }
        self.scratch.write(row * self.bands * self.width, &values)
    }

    /// Reads a window that was written.
    pub fn read(&self, window: Window) -> Result<Raster> {
        let mut out = Raster::new(self.bands, window.height, window.width);
        for r in 0..window.height {
            for band in 0..self.bands {
                let at = ((window.row + r) * self.bands + band) * self.width + window.col;
                let line = &mut out.band_mut(band)[r * window.width..][..window.width];
                self.scratch.read(at, line)?;
            }
        }
        Ok(out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_come_back_as_rows_went_in() {
        let image = Raster::from_vec(2, 5, 7, (0..70).map(|v| v as f32).collect()).unwrap();
        let mut stored = Stored::new(2, 5, 7, Box::new(MemoryScratch::default()));
        for (row, height) in [(0, 3), (3, 2)] {
            let rows = Window {
                row,
                height,
                ..Window::full(5, 7)
            };
            stored.write_rows(row, &image.crop(rows)).unwrap();
        }
        let window = Window {
            row: 1,
            col: 2,
            height: 3,
            width: 4,
        };
        assert_eq!(stored.read(window).unwrap(), image.crop(window));
    }
}
