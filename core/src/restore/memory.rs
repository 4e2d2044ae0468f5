//! Scenes in memory: small images, scoring, timing.

use super::io::{FilledRows, OtherDate, Reference, SceneSink, SceneSource, SceneWindow};
use crate::error::Result;
use crate::raster::{Mask, Raster, Window};

/// An image under a mask, all of it in memory and of one size.
pub struct MemorySource<'a> {
    image: &'a Raster,
    mask: &'a Mask,
    valid: &'a Mask,
    references: Vec<(&'a Raster, &'a Mask, Option<i32>)>,
}

impl<'a> MemorySource<'a> {
    /// Put a mask (true = fill) over an image whose pixels are data where `valid`.
    pub fn new(image: &'a Raster, mask: &'a Mask, valid: &'a Mask) -> Self {
        MemorySource {
            image,
            mask,
            valid,
            references: Vec::new(),
        }
    }

    /// Adds an image of another date of the same size, in its own bands and units, which shows
    /// the ground where `observed`; again for one more.
    pub fn with_reference(self, reference: &'a Raster, observed: &'a Mask) -> Self {
        self.with_date(reference, observed, None)
    }

    /// The same, taken so many days after the image (before it, if negative).
    pub fn with_date(
        mut self,
        reference: &'a Raster,
        observed: &'a Mask,
        days: Option<i32>,
    ) -> Self {
        self.references.push((reference, observed, days));
        self
    }
}

impl SceneSource for MemorySource<'_> {
    fn size(&self) -> (usize, usize) {
        (self.image.height, self.image.width)
    }

    fn bands(&self) -> usize {
        self.image.bands
    }

    fn references(&self) -> Vec<OtherDate> {
        let about = |(image, _, days): &(&Raster, &Mask, Option<i32>)| OtherDate {
            bands: image.bands,
            days: *days,
        };
        self.references.iter().map(about).collect()
    }

    fn read_reference(&mut self, reference: usize, window: Window) -> Result<Reference> {
        let (image, observed, _) = self.references[reference];
        Ok(Reference {
            image: image.crop(window),
            observed: observed.crop(window),
        })
    }

    fn read(&mut self, window: Window) -> Result<SceneWindow> {
        Ok(SceneWindow {
            image: self.image.crop(window),
            mask: self.mask.crop(window),
            valid: self.valid.crop(window),
        })
    }
}

/// Collects the filled image.
pub struct MemorySink {
    /// The image: the mean of the samples where filled.
    pub image: Raster,
    /// Their standard deviation; 0 where not filled, and with one sample.
    pub std: Raster,
    /// The image with the first of the samples where filled, if it is wanted.
    pub sample: Option<Raster>,
}

impl MemorySink {
    /// Room for a filled image like this one.
    pub fn new(like: &Raster) -> Self {
        MemorySink {
            image: Raster::new(like.bands, like.height, like.width),
            std: Raster::new(like.bands, like.height, like.width),
            sample: None,
        }
    }

    /// Also keeps the first of the samples.
    pub fn with_sample(mut self) -> Self {
        self.sample = Some(self.image.clone());
        self
    }
}

impl SceneSink for MemorySink {
    fn write(&mut self, rows: FilledRows) -> Result<()> {
        let (row, col) = (rows.window.row, rows.window.col);
        self.image.paste(row, col, &rows.image);
        if let Some(std) = &rows.std {
            self.std.paste(row, col, std);
        }
        Ok(())
    }

    fn wants_sample(&self) -> bool {
        self.sample.is_some()
    }

    fn sample(&mut self, window: Window, image: Raster) -> Result<()> {
        if let Some(sample) = &mut self.sample {
            sample.paste(window.row, window.col, &image);
        }
        Ok(())
    }
}
