//! Batches of training examples as pure functions of (seed, step).

use std::sync::Arc;

use unclouded_core::model::example::Hint;
use unclouded_core::raster::turn::turned;
use unclouded_core::raster::{Mask, Raster};

use super::augment::{random_turn, turn_image, vary};
use super::hint;
use super::masks::MaskPool;
use super::mosaic;
use super::rng::{Purpose, Rng};
use super::tiles::Tiles;
use crate::recipe::{AugmentConfig, HintConfig};

/// Draws that are tried for a crop with both visible and masked data.
const TRIES: usize = 32;

/// One clear tile with a hole to fill.
#[derive(Debug, Clone, PartialEq)]
pub struct Example {
    /// The clear tile `[bands, tile_px, tile_px]` in the units of its file.
    pub image: Raster,
    /// True = fill.
    pub mask: Mask,
    /// True = data; false where the file has nodata.
    pub valid: Mask,
    /// The value that counts as fully bright in those units.
    pub reflectance_scale: f32,
    /// What the network is told besides the tile.
    pub hint: Hint,
    /// The label the network is told, -1 where it is not; none without classes.
    pub class: Option<i32>,
    /// Index of the image in [`Tiles`].
    pub tile: usize,
}

/// The examples of one step, all of one size.
#[derive(Debug, Clone, PartialEq)]
pub struct TrainingBatch {
    /// The step it belongs to (for validation: the first example's number).
    pub step: u64,
    /// The examples.
    pub examples: Vec<Example>,
}

impl TrainingBatch {
    /// All images, `[batch, bands, height, width]`, in the units of their files.
    pub fn image(&self) -> Vec<f32> {
        self.examples
            .iter()
            .flat_map(|e| e.image.data.iter().copied())
            .collect()
    }

    /// All masks, `[batch, height, width]`, true = fill.
    pub fn mask(&self) -> Vec<bool> {
        self.examples
            .iter()
            .flat_map(|e| e.mask.data.iter().copied())
            .collect()
    }
}

/// Makes batches; cheap to clone for prefetch threads.
#[derive(Debug, Clone)]
pub struct BatchBuilder {
    tiles: Arc<Tiles>,
    masks: Arc<MaskPool>,
    augment: AugmentConfig,
    hints: HintConfig,
    class_drop: f32,
    seed: u64,
    batch: usize,
}

impl BatchBuilder {
    /// A builder of batches of `batch` examples.
    pub fn new(
        tiles: Arc<Tiles>,
        masks: Arc<MaskPool>,
        augment: AugmentConfig,
        hints: HintConfig,
        seed: u64,
        batch: usize,
    ) -> Self {
        Self {
            tiles,
            masks,
            augment,
            hints,
            class_drop: 0.0,
            seed,
            batch,
        }
    }

    /// The same, which does not tell the class of this share of the training examples.
    pub fn with_class_drop(self, class_drop: f32) -> Self {
        Self { class_drop, ..self }
    }

    /// The tiles batches are made of.
    pub fn tiles(&self) -> &Tiles {
        &self.tiles
    }

    /// The batch of a step (counted from 0): the same whenever, wherever and however often it
    /// is made. Every piece of the training images comes once an epoch.
    pub fn train(&self, step: u64) -> TrainingBatch {
        let examples = (0..self.batch as u64).map(|item| {
            let mut rng = Rng::keyed(self.seed, Purpose::Example, step, item);
            let position = step.wrapping_mul(self.batch as u64).wrapping_add(item);
            let first = self.tiles.nth_train(self.seed, position);
            let mut example = self.cut(first, self.tiles.train(), &mut rng);
            if self.augment.mosaic > 0.0 && rng.chance(self.augment.mosaic) {
                self.join_another(&mut example, &mut rng);
            }
            let turn = random_turn(&mut rng, self.augment.flips, self.augment.rotations);
            // All three together: `cut` has checked the mask against the validity.
            let side = self.tiles.tile_px();
            turn_image(&mut example.image, turn);
            example.valid.data = turned(&example.valid.data, side, side, turn);
            example.mask.data = turned(&example.mask.data, side, side, turn);
            vary(
                &mut example.image,
                example.reflectance_scale,
                &self.augment,
                &mut rng,
            );
            self.add_hint(&mut example, &self.hints, self.tiles.train(), &mut rng);
            if example.class.is_some() && rng.chance(self.class_drop) {
                example.class = Some(-1);
            }
            example
        });
        TrainingBatch {
            step,
            examples: examples.collect(),
        }
    }

    /// Joins the example with a turned crop of another training image of the same unit and like
    /// contrast; one that belongs to no class any more is not told one.
    fn join_another(&self, example: &mut Example, rng: &mut Rng) {
        let images = self.tiles.train();
        let index = images[rng.below(images.len())];
        let (mut other, valid) = self.tiles.crop(index, rng);
        let turn = random_turn(rng, self.augment.flips, self.augment.rotations);
        turn_image(&mut other, turn);
        let whole = |mask: &Mask| mask.data.iter().all(|&valid| valid);
        if whole(&example.valid)
            && whole(&valid)
            && self.tiles.reflectance_scale(index) == example.reflectance_scale
            && mosaic::fit(&example.image, &other)
        {
            mosaic::join(&mut example.image, &other, rng);
            if self.tiles.class(index) != example.class {
                example.class = example.class.map(|_| -1);
            }
        }
    }

    /// Examples `start..start + count` of `total` validation examples, which are evenly spaced
    /// over the validation images, never augmented, and the same at every step of the run.
    pub fn validation(&self, start: usize, count: usize, total: usize) -> TrainingBatch {
        let images = self.tiles.validation();
        let end = total.min(start.saturating_add(count));
        let examples = (start..end).map(|item| {
            let mut rng = Rng::keyed(self.seed, Purpose::Validation, 0, item as u64);
            // 128 bits: item * len cannot overflow.
            let spaced = item as u128 * images.len() as u128 / total.max(1) as u128;
            let mut example = self.cut(images[spaced as usize], images, &mut rng);
            self.add_hint(&mut example, &self.hints.only(item), images, &mut rng);
            example
        });
        TrainingBatch {
            step: start as u64,
            examples: examples.collect(),
        }
    }

    /// Draws the hint; `others` are images of other places.
    fn add_hint(
        &self,
        example: &mut Example,
        shares: &HintConfig,
        others: &[usize],
        rng: &mut Rng,
    ) {
        if !self.hints.any() {
            return;
        }
        let (other, _) = self.tiles.crop(others[rng.below(others.len())], rng);
        example.hint = hint::draw(
            &example.image,
            example.reflectance_scale,
            &other,
            shares,
            rng,
        );
    }

    /// A crop of image `first` with a mask such that some data is visible and some masked. An
    /// image where that does not come out gives way to another one of `others`.
    fn cut(&self, first: usize, others: &[usize], rng: &mut Rng) -> Example {
        let mut tile = first;
        let mut tries = 0;
        loop {
            let (image, valid) = self.tiles.crop(tile, rng);
            let mask = self.masks.draw(rng, self.tiles.tile_px());
            let some = |masked: bool| {
                mask.data
                    .iter()
                    .zip(&valid.data)
                    .any(|(&m, &v)| v && m == masked)
            };
            tries += 1;
            if (some(true) && some(false)) || tries == TRIES {
                let reflectance_scale = self.tiles.reflectance_scale(tile);
                return Example {
                    image,
                    mask,
                    valid,
                    reflectance_scale,
                    hint: Hint::None,
                    class: self.tiles.class(tile),
                    tile,
                };
            }
            if tries % 4 == 0 {
                tile = others[rng.below(others.len())];
            }
        }
    }
}
