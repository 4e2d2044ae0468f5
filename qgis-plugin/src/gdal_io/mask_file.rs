//! A mask being written: one uint8 band on the grid of a scene, 1 fill, 0 clear.

use std::path::Path;

use gdal::raster::Buffer;
use gdal::{Dataset, Metadata};
use unclouded_core::raster::Window;

use super::dtype::DataType;
use super::format::Format;
use super::pending::PendingFile;
use super::scene::Scene;
use super::{error_count, last_error, unwritable, writer};
use crate::failure::{Failure, Result};

/// A mask under a temporary name.
pub struct MaskFile {
    file: PendingFile,
    dataset: Dataset,
    errors_before: u64,
}

/// The metadata item that tells such a file.
const CONTENT: (&str, &str) = ("UNCLOUDED_CONTENT", "mask: 0 clear, 1 fill, 2 shadow");

/// Whether this program wrote a mask.
pub fn is_one(dataset: &Dataset) -> bool {
    dataset.metadata_item(CONTENT.0, "").as_deref() == Some(CONTENT.1)
}

impl MaskFile {
    /// Create the file.
    ///
    /// # Errors
    /// Exit 1 if it cannot be created.
    pub fn create(target: &Path, overwrite: bool, scene: &Scene) -> Result<Self> {
        let file = PendingFile::new(target, overwrite)?;
        let errors_before = error_count();
        let photometric = [("PHOTOMETRIC", "MINISBLACK")];
        let create = || {
            let mut dataset = writer::create(
                file.path(),
                scene,
                &Format::default(),
                DataType::U8,
                1,
                &photometric,
            )?;
            dataset.set_metadata_item(CONTENT.0, CONTENT.1, "")?;
            let mut band = dataset.rasterband(1)?;
            band.set_description("mask")?;
            Ok(dataset)
        };
        let dataset = create().map_err(|error| unwritable(target, &error))?;
        Ok(MaskFile {
            file,
            dataset,
            errors_before,
        })
    }

    /// Write a window, row by row.
    ///
    /// # Errors
    /// Exit 1 if the disk refuses.
    pub fn write(&mut self, window: Window, values: Vec<u8>) -> Result<()> {
        // (cols, rows)
        let size = (window.width, window.height);
        let origin = (window.col as isize, window.row as isize);
        let write = || {
            let mut buffer = Buffer::new(size, values);
            self.dataset.rasterband(1)?.write(origin, size, &mut buffer)
        };
        write().map_err(|error| unwritable(self.file.target(), &error))
    }

    /// Close the file and give it its name.
    ///
    /// # Errors
    /// Exit 1 if the disk refuses the rest.
    pub fn finish(self) -> Result<()> {
        let MaskFile {
            file,
            mut dataset,
            errors_before,
        } = self;
        dataset
            .flush_cache()
            .and_then(|()| dataset.close())
            .map_err(|error| unwritable(file.target(), &error))?;
        // GDAL writes late, and below 3.7 neither flushing nor closing returns its errors.
        if error_count() > errors_before {
            return Err(Failure::failed(format!(
                "cannot write {} ({})",
                file.target().display(),
                last_error()
            ))
            .hint("is there room on the disk?"));
        }
        file.commit()
    }
}
