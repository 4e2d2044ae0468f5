//! All tiles of a recipe in memory, divided by the holdout rule.

use std::collections::BTreeSet;

use unclouded_core::model::Brightness;
use unclouded_core::raster::{Mask, Raster, fill};

use super::decode::{Pixels, Tile};
use super::holdout::Role;
use super::load::{Skipped, load};
use super::rng::{Rng, permuted};
use crate::failure::{Failure, Result};
use crate::recipe::DataConfig;

/// Images with less valid pixels than this share are skipped.
const MIN_VALID_SHARE: f64 = 0.5;

/// The images of a recipe, compact in memory, in sorted order.
#[derive(Debug)]
pub struct Tiles {
    tiles: Vec<Tile>,
    train: Vec<usize>,
    validation: Vec<usize>,
    /// One entry for each tile-sized piece of a training image, so that a large image is
    /// drawn as often as its area asks for.
    slots: Vec<usize>,
    bands: usize,
    tile_px: usize,
    reflectance_scale: Option<f32>,
    skipped: Vec<Skipped>,
    /// Names of the classes, sorted; empty where folders are no classes.
    classes: Vec<String>,
}

/// The class of an image: the folder it lies in.
fn folder(name: &str) -> &str {
    let mut parts = name.rsplit(['/', '\\']);
    parts.nth(1).unwrap_or("")
}

impl Tiles {
    /// Reads all sources with all processors.
    ///
    /// Broken images, images smaller than a tile, mostly-nodata images and images with
    /// another number of bands than the first one are skipped with a counted warning.
    /// Excluded images are not read.
    ///
    /// # Errors
    /// A source cannot be read, or no image remains for training or for validation.
    pub fn load(config: &DataConfig) -> Result<Self> {
        let holdout = config.holdout();
        let wanted = |name: &str| holdout.role(name) != Role::Excluded;
        let (decoded, skipped) = load(&config.sources, config.bands.as_deref(), &wanted)?;
        let mut tiles = Self {
            tiles: Vec::new(),
            train: Vec::new(),
            validation: Vec::new(),
            slots: Vec::new(),
            bands: decoded.first().map_or(0, |tile| tile.bands),
            tile_px: config.tile_px,
            reflectance_scale: config.reflectance_scale,
            skipped,
            classes: Vec::new(),
        };
        for tile in decoded {
            match tiles.unsuitable(&tile) {
                Some(reason) => tiles.skipped.push(Skipped {
                    name: tile.name,
                    reason,
                }),
                None => tiles.tiles.push(tile),
            }
        }
        let of_role = |role: Role| -> Vec<usize> {
            let tiles = tiles.tiles.iter().enumerate();
            tiles
                .filter(|(_, tile)| holdout.role(&tile.name) == role)
                .map(|(i, _)| i)
                .collect()
        };
        let (train, validation) = (of_role(Role::Train), of_role(Role::Validate));
        tiles.train = thin(train, config.limit.unwrap_or(usize::MAX));
        tiles.validation = validation;
        tiles.slots = tiles.train.iter().flat_map(|&i| tiles.pieces(i)).collect();
        if config.class_folders {
            let names: BTreeSet<&str> = tiles.tiles.iter().map(|t| folder(&t.name)).collect();
            tiles.classes = names.into_iter().map(str::to_owned).collect();
        }
        tiles.warn();
        tiles.check(config)?;
        Ok(tiles)
    }

    fn unsuitable(&self, tile: &Tile) -> Option<String> {
        let (height, width, tile_px) = (tile.height, tile.width, self.tile_px);
        if tile.bands != self.bands {
            return Some(format!(
                "{} bands where others have {}",
                tile.bands, self.bands
            ));
        }
        if height < tile_px || width < tile_px {
            return Some(format!(
                "{width}x{height} is smaller than {tile_px}x{tile_px}"
            ));
        }
        let valid = tile.valid.as_ref()?;
        let share = valid.iter().filter(|&&v| v).count() as f64 / valid.len() as f64;
        (share < MIN_VALID_SHARE).then(|| format!("only {:.0} % valid pixels", share * 100.0))
    }

    fn pieces(&self, index: usize) -> impl Iterator<Item = usize> + use<> {
        let tile = &self.tiles[index];
        std::iter::repeat_n(
            index,
            (tile.height / self.tile_px) * (tile.width / self.tile_px),
        )
    }

    fn warn(&self) {
        for skip in self.skipped.iter().take(5) {
            tracing::warn!("skipped {}: {}", skip.name, skip.reason);
        }
        if self.skipped.len() > 5 {
            tracing::warn!("skipped {} images in all", self.skipped.len());
        }
    }

    fn check(&self, config: &DataConfig) -> Result<()> {
        for (what, indices) in [("training", &self.train), ("validation", &self.validation)] {
            if indices.is_empty() {
                let hint = match self.skipped.first() {
                    Some(skip) => format!("e.g. {}: {}", skip.name, skip.reason),
                    None => format!(
                        "images are .jpg, .png or .tif; those named NAME_N with N % {} == {} are \
                         for validation, remainders {:?} are left out",
                        config.validate_every, config.validate_remainder, config.exclude_remainders
                    ),
                };
                let got = format!(
                    "{} usable and {} skipped",
                    self.tiles.len(),
                    self.skipped.len()
                );
                let expected = format!("at least one usable image for {what}");
                return Err(Failure::mismatch("[data] sources", expected, got).hint(hint));
            }
        }
        if config.class_folders && self.classes.len() < 2 {
            return Err(Failure::mismatch(
                "[data] class_folders",
                "images in two folders or more, one a class",
                format!("the folder {:?} alone", self.classes.join("")),
            )
            .hint("name the folder above the classes as the source"));
        }
        Ok(())
    }

    /// Names of the classes in the order of their labels; empty without.
    pub fn classes(&self) -> &[String] {
        &self.classes
    }

    /// The label of an image, where folders are classes.
    pub fn class(&self, index: usize) -> Option<i32> {
        let own = folder(&self.tiles[index].name);
        let found = self
            .classes
            .binary_search_by(|class| class.as_str().cmp(own));
        found.ok().map(|label| label as i32)
    }

    /// Number of bands of every tile.
    pub fn bands(&self) -> usize {
        self.bands
    }

    /// Side of the crops (px).
    pub fn tile_px(&self) -> usize {
        self.tile_px
    }

    /// Indices of the images for gradient steps.
    pub fn train(&self) -> &[usize] {
        &self.train
    }

    /// Indices of the images for validation.
    pub fn validation(&self) -> &[usize] {
        &self.validation
    }

    /// Name of an image.
    pub fn name(&self, index: usize) -> &str {
        &self.tiles[index].name
    }

    /// What was left out, and why.
    pub fn skipped(&self) -> &[Skipped] {
        &self.skipped
    }

    /// Training tiles in an epoch: one for each tile-sized piece of the images.
    pub fn epoch_len(&self) -> usize {
        self.slots.len()
    }

    /// The image that the `position`-th training example of a run is cut from; every piece
    /// comes once an epoch, in an order that depends on `seed`.
    pub fn nth_train(&self, seed: u64, position: u64) -> usize {
        let len = self.slots.len();
        let (epoch, within) = (position / len as u64, position % len as u64);
        self.slots[permuted(seed, epoch, within as usize, len)]
    }

    /// The value that counts as fully bright in the units of an image.
    pub fn reflectance_scale(&self, index: usize) -> f32 {
        self.reflectance_scale
            .unwrap_or(match self.tiles[index].pixels {
                Pixels::U8(_) => 255.0,
                Pixels::U16(_) => 10_000.0,
                Pixels::F32(_) => 1.0,
            })
    }

    /// What counts as fully bright, for the model card: of the kinds of images that are trained on
    /// what they are trained with.
    pub fn brightness(&self) -> Brightness {
        let mut brightness = Brightness::default();
        for index in 0..self.tiles.len() {
            let scale = self.reflectance_scale(index);
            match self.tiles[index].pixels {
                Pixels::U8(_) => brightness.eight_bits = scale,
                Pixels::U16(_) => brightness.sixteen_bits = scale,
                Pixels::F32(_) => brightness.floats = Some(scale),
            }
        }
        brightness
    }

    /// A random tile-sized crop of an image in its own units, and where it holds data.
    pub fn crop(&self, index: usize, rng: &mut Rng) -> (Raster, Mask) {
        let tile = &self.tiles[index];
        let row = rng.below(tile.height - self.tile_px + 1);
        let col = rng.below(tile.width - self.tile_px + 1);
        self.crop_at(index, row, col)
    }

    /// The crop whose first pixel is `(row, col)`; it must lie inside the image.
    ///
    /// Nodata pixels hold a smooth fill of the others, so that no nodata value can reach the
    /// network even where the validity mask is not looked at.
    pub fn crop_at(&self, index: usize, row: usize, col: usize) -> (Raster, Mask) {
        let (tile, px) = (&self.tiles[index], self.tile_px);
        let starts = |plane: usize| {
            (row..row + px).map(move |r| (plane * tile.height + r) * tile.width + col)
        };
        let mut data = Vec::with_capacity(tile.bands * px * px);
        for start in (0..tile.bands).flat_map(starts) {
            match &tile.pixels {
                Pixels::U8(v) => data.extend(v[start..start + px].iter().map(|&x| f32::from(x))),
                Pixels::U16(v) => data.extend(v[start..start + px].iter().map(|&x| f32::from(x))),
                Pixels::F32(v) => data.extend_from_slice(&v[start..start + px]),
            }
        }
        let valid = match &tile.valid {
            None => vec![true; px * px],
            Some(valid) => starts(0)
                .flat_map(|s| valid[s..s + px].iter().copied())
                .collect(),
        };
        let image = Raster {
            bands: tile.bands,
            height: px,
            width: px,
            data,
        };
        let valid = Mask {
            height: px,
            width: px,
            data: valid,
        };
        if valid.data.contains(&false) {
            let holes = valid.invert();
            return (
                fill::smooth(&image, &holes, &Mask::new(px, px, true), px),
                valid,
            );
        }
        (image, valid)
    }
}

/// At most `limit` items, evenly spaced, so that every class of a sorted list stays.
pub fn thin(items: Vec<usize>, limit: usize) -> Vec<usize> {
    if items.len() <= limit {
        return items;
    }
    (0..limit).map(|i| items[i * items.len() / limit]).collect()
}
