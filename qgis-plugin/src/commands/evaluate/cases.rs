//! What is evaluated: an image, what is hidden of it, and other dates of the place.

use std::path::PathBuf;
use std::sync::Arc;

use unclouded_core::raster::{Mask, Raster};

use super::images::{Example, Images, stem};
use super::masks::MaskSource;
use super::pair::Dates;
use crate::failure::Result;
use crate::gdal_io::scene::Scene;

/// One image, what is hidden of it, and what helps.
pub struct Case {
    /// The image; its name is that of the case.
    pub example: Example,
    /// True = hidden.
    pub mask: Mask,
    /// The other dates.
    pub others: Vec<Other>,
}

/// An image of another date, of the same size.
pub struct Other {
    /// Its bands.
    pub image: Arc<Raster>,
    /// Where it shows the ground.
    pub observed: Arc<Mask>,
    /// Days from the image to it, where they are known.
    pub days: Option<i32>,
}

/// Cases by number.
pub trait Cases {
    /// The name of each.
    fn names(&self) -> Vec<String>;

    /// Read one.
    ///
    /// # Errors
    /// Exit 2 if it cannot be worked with.
    fn read(&self, index: usize) -> Result<Case>;

    /// How the user knows one of them.
    fn label(&self, index: usize) -> String;

    /// How many other dates they have.
    fn dates(&self) -> Dates;
}

/// Images under masks, each with one reference of the same name, or with none.
pub struct Masked<'a> {
    /// The images.
    pub images: &'a Images,
    /// Their masks.
    pub masks: &'a MaskSource,
    /// Images of another date, in the same order.
    pub references: Option<Images>,
}

impl Cases for Masked<'_> {
    fn names(&self) -> Vec<String> {
        let files: &[PathBuf] = self.images.files();
        files.iter().map(|file| stem(file)).collect()
    }

    fn read(&self, index: usize) -> Result<Case> {
        let example = self.images.read(index)?;
        let mask = self.masks.draw(index, &example)?;
        let mut others = Vec::new();
        if let Some(references) = &self.references {
            let other = example.partner(references.read(index)?)?;
            others.push(Other {
                image: Arc::new(other.image),
                observed: Arc::new(other.valid),
                days: None,
            });
        }
        Ok(Case {
            example,
            mask,
            others,
        })
    }

    fn label(&self, index: usize) -> String {
        self.images.files()[index].display().to_string()
    }

    fn dates(&self) -> Dates {
        let bands = |images: &Images| {
            let scene = Scene::open(images.files().first()?, "image").ok()?;
            Some(scene.data_bands().len())
        };
        match &self.references {
            None => Dates::None,
            Some(references) => Dates::One {
                same_bands: bands(self.images) == bands(references),
            },
        }
    }
}
