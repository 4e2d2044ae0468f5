//! An image of another date, on the grid of the scene or brought there: `--reference`.

use std::path::{Path, PathBuf};

use unclouded_core::raster::{Mask, Window};
use unclouded_core::restore::{self, SceneSource};

use super::mask::MaskReader;
use super::mask::grid::GridMap;
use super::mask::growth::Growth;
use super::mask::request::{MaskFrom, MaskRequest};
use super::scene::Scene;
use super::source::{GdalSource, read_native, strips};
use super::unreadable;
use super::warped::Warped;
use crate::failure::{Failure, Result};
use crate::{for_dtype, interrupt};

/// A share of the pixels to fill that is worth a word when the reference is clouded there.
const WORTH_SAYING: f64 = 0.05;

/// A reference, open, with its own clouds.
pub struct ReferenceReader {
    scene: Scene,
    /// What the user calls it.
    path: PathBuf,
    clouds: MaskReader,
    /// Whether the user said where its clouds are.
    clouds_known: bool,
    notes: Vec<String>,
    /// Days from the scene to it, where both dates are known.
    days: Option<i32>,
    /// The description that brings it onto the scene's grid; outlives `scene`, which reads it.
    warped: Option<Warped>,
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
    /// In all holes the very values of the scene: it is the scene.
    SamePixels,
}

impl ReferenceReader {
    /// Opens the image at `path`; `clouds` says where it does not show the ground. Its bands may
    /// be any, of any sensor; another grid or CRS is brought onto the scene's.
    ///
    /// # Errors
    /// Exit 2 if a file cannot be opened, or the image cannot be brought to the scene's pixels.
    pub fn open(path: &Path, clouds: Option<&MaskRequest>, scene: &Scene) -> Result<Self> {
        let mut reference = Scene::open(path, "reference")?;
        let mut notes = Vec::new();
        let mut warped = None;
        if !matches!(
            GridMap::new(scene, &reference.dataset, "reference")?,
            GridMap::Same
        ) {
            notes.push(format!(
                "reference {}: another grid of {} x {} pixels, brought onto the scene's",
                path.display(),
                reference.info.width,
                reference.info.height
            ));
            let description = Warped::onto(scene, &reference.dataset, path)?;
            reference = Scene::open(&description.path, "reference")?;
            warped = Some(description);
        }
        let mask = match clouds {
            Some(request) => {
                let found = MaskReader::prepare(request, &reference, &mut |_| ())?;
                found.check_values()?;
                if found.is_clear() {
                    notes.push("reference: no clouds found in it".to_owned());
                }
                found
            }
            None => MaskReader::nothing(reference.info.height, reference.info.width),
        };
        notes.extend(mask.notes.iter().map(|note| format!("reference, {note}")));
        Ok(Self {
            scene: reference,
            path: path.to_owned(),
            clouds: mask,
            clouds_known: clouds.is_some(),
            notes,
            days: None,
            warped,
        })
    }

    /// Taken so many days after the scene (before it, if negative).
    pub fn taken(self, days: Option<i32>) -> Self {
        Self { days, ..self }
    }

    /// Days from the scene to it, where both dates are known.
    pub fn days(&self) -> Option<i32> {
        self.days
    }

    /// Number of bands.
    pub fn bands(&self) -> usize {
        self.scene.data_bands().len()
    }

    /// A part of it.
    pub fn read(&self, window: Window) -> unclouded_core::Result<restore::Reference> {
        let part = GdalSource::new(&self.scene, &self.clouds).read(window)?;
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
        let mut same = self.may_be(scene);
        let reference = GdalSource::new(&self.scene, &self.clouds);
        let source = GdalSource::new(scene, mask);
        for window in strips(scene.info.height, scene.info.width) {
            interrupt::check()?;
            let clouds = self.clouds.read(window)?;
            let observed = reference.validity(window, &clouds)?.and_not(&clouds);
            if !observed.any() {
                continue;
            }
            anywhere = true;
            let masked = mask.read(window)?;
            let both = observed.and(&source.validity(window, &masked)?);
            let seen = both.and(&masked);
            holes |= seen.any();
            common |= both.and_not(&masked).any();
            same = same && self.equals(scene, window, &seen)?;
            if holes && common && !same {
                return Ok(Shown::Holes);
            }
        }
        match (anywhere, holes, common) {
            (false, ..) => Err(self.shows_nothing()),
            (true, false, _) => Ok(Shown::NoHole),
            (true, true, false) => Ok(Shown::NothingInCommon),
            (true, true, true) => Ok(Shown::SamePixels),
        }
    }

    fn shows_nothing(&self) -> Failure {
        let got = match self.warped {
            Some(_) => "nodata or cloud everywhere in the scene's place",
            None => "nodata or cloud everywhere",
        };
        Failure::mismatch(
            format!("reference {}", self.path.display()),
            "an image that shows the ground somewhere in the scene",
            got,
        )
        .hint("is it an image of this place, and are its nodata value and --reference-mask right? Leave out --reference to fill without it")
    }

    /// Whether it could be the scene, by its shape.
    fn may_be(&self, scene: &Scene) -> bool {
        let (own, theirs) = (&self.scene.info, &scene.info);
        self.warped.is_none()
            && own.dtype == theirs.dtype
            && self.scene.data_bands() == scene.data_bands()
    }

    /// Whether all bands have the scene's values where `seen` is set.
    fn equals(&self, scene: &Scene, window: Window, seen: &Mask) -> Result<bool> {
        for band in scene.data_bands() {
            let equal = for_dtype!(scene.info.dtype, T => {
                let read = |scene: &Scene, what: &str| {
                    read_native::<T>(&scene.dataset, band, window).map_err(|error| unreadable(what, &error))
                };
                let (theirs, own) = (read(scene, "scene")?, read(&self.scene, "reference")?);
                theirs.iter().zip(&own).zip(&seen.data).all(|((a, b), seen)| !seen || a == b)
            });
            if !equal {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// The share of the pixels to fill at which the reference is clouded, if it is worth a word:
    /// as the user says, else by the detector where its bands let it look.
    ///
    /// # Errors
    /// Exit 2 if it cannot be read; 130 when interrupted.
    pub fn clouded_share(&self, mask: &MaskReader) -> Result<Option<f64>> {
        let detected;
        let clouds = match self.clouds_known {
            true => &self.clouds,
            false => {
                let request = MaskRequest {
                    from: Some(MaskFrom::Auto),
                    growth: Growth::Pixels(0),
                    ..MaskRequest::default()
                };
                match MaskReader::prepare(&request, &self.scene, &mut |_| ()) {
                    Ok(found) => {
                        detected = found;
                        &detected
                    }
                    Err(failure) if failure.exit == crate::failure::Exit::Interrupted => {
                        return Err(failure);
                    }
                    // Bands in which no cloud can be told, SAR for instance.
                    Err(_) => return Ok(None),
                }
            }
        };
        let (mut fill, mut clouded) = (0_u64, 0_u64);
        for window in strips(self.scene.info.height, self.scene.info.width) {
            interrupt::check()?;
            let masked = mask.read(window)?;
            fill += masked.count() as u64;
            clouded += clouds.read(window)?.and(&masked).count() as u64;
        }
        let share = clouded as f64 / fill.max(1) as f64;
        Ok((share > WORTH_SAYING).then_some(share))
    }

    /// Whether the user said where its clouds are.
    pub fn clouds_known(&self) -> bool {
        self.clouds_known
    }

    /// What the user calls it.
    pub fn path(&self) -> &Path {
        &self.path
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

    /// Notes about its grid and its mask.
    pub fn notes(&self) -> &[String] {
        &self.notes
    }
}
