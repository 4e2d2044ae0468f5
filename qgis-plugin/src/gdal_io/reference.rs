//! An image of another date on the grid of the scene: `--reference`.

use std::path::Path;

use unclouded_core::raster::{Mask, Window};
use unclouded_core::restore::{self, SceneSource};

use super::mask::MaskReader;
use super::mask::grid::GridMap;
use super::mask::request::MaskRequest;
use super::scene::Scene;
use super::source::{GdalSource, strips};
use crate::failure::{Failure, Result};
use crate::interrupt;

/// A reference, open, with its own clouds.
pub struct ReferenceReader {
    scene: Scene,
    clouds: MaskReader,
}

/// What a reference tells of the holes of a scene.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shown {
    /// Ground in some holes, and ground that the scene shows as well, to be fitted to.
    Holes,
    /// Nothing under the mask.
    NoHole,
    /// Ground in some holes, and none that the scene shows as well.
    NothingInCommon,
}

impl ReferenceReader {
    /// Opens the image at `path`; `clouds` says where it does not show the ground. Its bands may
    /// be any, of any sensor.
    ///
    /// # Errors
    /// Exit 2 if a file cannot be opened, or the image does not have the pixels of the scene.
    pub fn open(path: &Path, clouds: Option<&MaskRequest>, scene: &Scene) -> Result<Self> {
        let reference = Scene::open(path, "reference")?;
        if !matches!(
            GridMap::new(scene, &reference.dataset, "reference")?,
            GridMap::Same
        ) {
            let info = &scene.info;
            return Err(Failure::mismatch(
                format!("grid of the reference {}", path.display()),
                format!("the scene's own {} x {} pixels", info.width, info.height),
                format!(
                    "another grid of {} x {}",
                    reference.info.width, reference.info.height
                ),
            )
            .hint("bring it there first: gdalwarp -r cubic with the scene's -t_srs, -te and -ts"));
        }
        let clouds = match clouds {
            Some(request) => {
                let clouds = MaskReader::prepare(request, &reference, &mut |_| ())?;
                clouds.check_values()?;
                clouds
            }
            None => MaskReader::nothing(reference.info.height, reference.info.width),
        };
        Ok(Self {
            scene: reference,
            clouds,
        })
    }

    /// Number of bands.
    pub fn bands(&self) -> usize {
        self.scene.data_bands().len()
    }

    /// A part of it.
    pub fn read(&self, window: Window) -> unclouded_core::Result<restore::Reference> {
        let part = GdalSource::new(&self.scene, &self.clouds)
            .read(window)
            .map_err(of_reference)?;
        Ok(restore::Reference {
            observed: part.valid.and_not(&part.mask),
            image: part.image,
        })
    }

    /// What it tells of the holes of a scene. Looks no farther than the answer.
    ///
    /// # Errors
    /// Exit 2 if it shows the ground nowhere, or cannot be read; 130 when interrupted.
    pub fn shown(&self, scene: &Scene, mask: &MaskReader) -> Result<Shown> {
        let [mut anywhere, mut holes, mut common] = [false; 3];
        let reference = GdalSource::new(&self.scene, &self.clouds);
        let source = GdalSource::new(scene, mask);
        for window in strips(scene.info.height, scene.info.width) {
            interrupt::check()?;
            let clouds = self.clouds.read(window)?;
            let observed = reference
                .validity(window, &clouds)
                .map_err(of_reference_file)?
                .and_not(&clouds);
            if !observed.any() {
                continue;
            }
            anywhere = true;
            let masked = mask.read(window)?;
            let both = observed.and(&source.validity(window, &masked)?);
            holes |= both.and(&masked).any();
            common |= both.and_not(&masked).any();
            if holes && common {
                return Ok(Shown::Holes);
            }
        }
        match (anywhere, holes) {
            (false, _) => Err(Failure::mismatch(
                format!("reference {}", self.scene.info.path.display()),
                "an image that shows the ground somewhere",
                "nodata or cloud everywhere",
            )
            .hint("is it the right file, and are its nodata value and --reference-mask right? Leave out --reference to fill without it")),
            (true, false) => Ok(Shown::NoHole),
            (true, true) => Ok(Shown::NothingInCommon),
        }
    }

    /// The image.
    pub fn scene(&self) -> &Scene {
        &self.scene
    }

    /// Its clouds.
    ///
    /// # Errors
    /// As [`MaskReader::read`].
    pub fn clouds(&self, window: Window) -> Result<Mask> {
        self.clouds.read(window)
    }

    /// Notes about its mask.
    pub fn notes(&self) -> &[String] {
        &self.clouds.notes
    }
}

/// What is wrong with the reference is not said of the scene.
fn of_reference(error: unclouded_core::Error) -> unclouded_core::Error {
    of_reference_file(Failure::from(error)).into()
}

fn of_reference_file(mut failure: Failure) -> Failure {
    if let Some(rest) = failure.message.strip_prefix("scene: ") {
        failure.message = format!("reference: {rest}");
    }
    failure
}
