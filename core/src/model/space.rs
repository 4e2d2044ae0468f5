//! The only way from pixels to a network's numbers and back: of training, restoring and redrawing.

use serde::{Deserialize, Serialize};

use super::conditioning::Conditioning;
use crate::raster::guide::Guide;
use crate::raster::normalize::TileNorm;
use crate::raster::{Mask, Raster, Window};

/// Visible pixels that are enough for a tile's contrast, where it has that many.
const ENOUGH_PX: usize = 64;

/// How pixel values become a network's numbers; stored in the model card.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Space {
    /// Units of the tile's visible contrast about its mean, whatever the scene's offset and gain.
    TileContrast {
        /// Search radius of the inverse-distance fill, pixels.
        fill_distance_px: usize,
        /// The smallest contrast, as a share of [full brightness](super::Brightness), or of the
        /// scene's own contrast where that is not known.
        floor: f32,
    },
    /// A fixed range of brightness to -1..1, as networks that make whole images have it.
    FixedRange {
        /// What becomes -1, as a share of full brightness.
        low: f32,
        /// What becomes 1, as a share of full brightness.
        high: f32,
        /// Search radius of the inverse-distance fill, pixels.
        #[serde(default = "usual_fill_distance_px")]
        fill_distance_px: usize,
    },
}

fn usual_fill_distance_px() -> usize {
    64
}

impl Space {
    /// Search radius of the smooth fill, pixels.
    pub fn reach_px(self) -> usize {
        match self {
            Space::TileContrast {
                fill_distance_px, ..
            }
            | Space::FixedRange {
                fill_distance_px, ..
            } => fill_distance_px,
        }
    }

    /// The smallest contrast of a tile, in the units of `full`, the value of full brightness.
    pub fn floor(self, full: f32) -> f32 {
        let share = match self {
            Space::TileContrast { floor, .. } => floor,
            Space::FixedRange { .. } => 0.0,
        };
        (share * full).max(f32::MIN_POSITIVE / f32::EPSILON)
    }

    /// What all tiles are shifted and scaled by, where that does not depend on the tile.
    pub fn fixed_norm(self, bands: usize, full: f32) -> Option<TileNorm> {
        match self {
            Space::TileContrast { .. } => None,
            Space::FixedRange { low, high, .. } => Some(TileNorm {
                mean: vec![(low + high) / 2.0 * full; bands],
                scale: ((high - low) / 2.0 * full).max(f32::MIN_POSITIVE / f32::EPSILON),
            }),
        }
    }

    /// What an image is shifted and scaled by, from its visible pixels (true = visible).
    pub fn norm(self, image: &Raster, visible: &Mask, full: f32) -> TileNorm {
        self.fixed_norm(image.bands, full)
            .unwrap_or_else(|| TileNorm::from_visible(image, visible, self.floor(full)))
    }

    /// As [`norm`](Self::norm) for the part `tile` of an image: from its own visible pixels, from
    /// its surroundings' where too few of its own are visible to tell, and `far` where those are
    /// not visible either.
    pub fn tile_norm(
        self,
        image: &Raster,
        visible: &Mask,
        tile: Window,
        full: f32,
        far: TileNorm,
    ) -> TileNorm {
        if let Some(fixed) = self.fixed_norm(image.bands, full) {
            return fixed;
        }
        for window in [tile, tile.grow(self.reach_px(), image.height, image.width)] {
            let seen = visible.crop(window);
            if seen.count() >= ENOUGH_PX.min(tile.pixels() / 20 + 1) {
                return TileNorm::from_visible(&image.crop(window), &seen, self.floor(full));
            }
        }
        far
    }
}

/// What a network is shown of a tile, in scene units.
#[derive(Debug, Clone)]
pub struct Shown {
    /// The bands of the model, holes filled smoothly or as a guide suggests.
    pub filled: Raster,
    /// True = not observed: masked or nodata.
    pub unknown: Mask,
    /// What a guided network is told besides.
    pub guide: Option<Guide>,
    /// What the tile is shifted and scaled by.
    pub norm: TileNorm,
}

impl Shown {
    /// The same, mirrored at its lower and right edge up to `size` (height, width).
    pub fn pad_reflect(&self, size: (usize, usize)) -> Self {
        Self {
            filled: self.filled.pad_reflect(size.0, size.1),
            unknown: self.unknown.pad_reflect(size.0, size.1),
            guide: self.guide.as_ref().map(|guide| guide.pad_reflect(size)),
            norm: self.norm.clone(),
        }
    }

    /// The extra channels of a network, `[Conditioning::channels, height, width]`: the filled
    /// image and the mask (1 = unknown); for a guided network also the guide's detail in units
    /// of the contrast and the trust in it, zero without a guide. Nothing for an unconditional
    /// network.
    pub fn channels(&self, conditioning: Conditioning) -> Vec<f32> {
        if conditioning == Conditioning::None {
            return Vec::new();
        }
        let mut channels = self.image();
        channels.extend(self.hidden());
        if conditioning == Conditioning::Guided {
            match &self.guide {
                Some(guide) => {
                    channels.extend(guide.detail.data.iter().map(|v| v / self.norm.scale));
                    channels.extend_from_slice(&guide.trust);
                }
                None => channels.resize(2 * channels.len(), 0.0),
            }
        }
        channels
    }

    /// The filled image in network units, `[bands, height, width]`.
    pub fn image(&self) -> Vec<f32> {
        let mut scaled = self.filled.clone();
        self.norm.apply(&mut scaled);
        scaled.data
    }

    /// 1 where the tile is unknown, else 0, `[height, width]`.
    pub fn hidden(&self) -> Vec<f32> {
        as_numbers(&self.unknown)
    }

    /// What the network is to say of a tile that is `truth`, `[bands, height, width]`: the residual
    /// to the filled image where it counts and 0 elsewhere; of an unconditional network the whole
    /// image.
    pub fn target(&self, truth: &Raster, counted: &Mask, conditioning: Conditioning) -> Vec<f32> {
        if conditioning == Conditioning::None {
            let mut scaled = truth.clone();
            self.norm.apply(&mut scaled);
            return scaled.data;
        }
        let pixels = truth.pixels();
        let residual = |i: usize| match counted.data[i % pixels] {
            true => (truth.data[i] - self.filled.data[i]) / self.norm.scale,
            false => 0.0,
        };
        (0..truth.data.len()).map(residual).collect()
    }

    /// What the network's values, `[bands, height, width]`, change about the filled image, in
    /// scene units: the way back from [`target`](Self::target).
    pub fn change(&self, mut values: Vec<f32>, conditioning: Conditioning) -> Raster {
        if conditioning == Conditioning::None {
            let filled = self.image();
            values.iter_mut().zip(&filled).for_each(|(v, f)| *v -= f);
        }
        values.iter_mut().for_each(|v| *v *= self.norm.scale);
        Raster {
            data: values,
            ..self.filled.clone()
        }
    }
}

/// 1 for true, 0 for false.
pub fn as_numbers(mask: &Mask) -> Vec<f32> {
    mask.data.iter().map(|m| f32::from(u8::from(*m))).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SPACES: [Space; 2] = [
        Space::TileContrast {
            fill_distance_px: 8,
            floor: 0.004,
        },
        Space::FixedRange {
            low: 0.0,
            high: 1.0,
            fill_distance_px: 8,
        },
    ];

    fn shown(space: Space, truth: &Raster, full: f32) -> Shown {
        let unknown = Mask::from_fn(truth.height, truth.width, |row, _| row == 0);
        let mut filled = truth.clone();
        for band in 0..filled.bands {
            filled.band_mut(band)[..truth.width].fill(full / 3.0);
        }
        let norm = space.norm(truth, &unknown.invert(), full);
        Shown {
            filled,
            unknown,
            guide: None,
            norm,
        }
    }

    proptest! {
        /// Whatever the space and the conditioning, `change` undoes `target`.
        #[test]
        fn what_is_said_of_the_truth_leads_back_to_it(
            values in prop::collection::vec(0f32..255.0, 2 * 12),
            conditional: bool,
        ) {
            let truth = Raster::from_vec(2, 3, 4, values).unwrap();
            let conditioning = match conditional {
                true => Conditioning::Concat,
                false => Conditioning::None,
            };
            for space in SPACES {
                let shown = shown(space, &truth, 255.0);
                let target = shown.target(&truth, &shown.unknown, conditioning);
                let change = shown.change(target, conditioning);
                for i in 0..truth.data.len() {
                    let there = shown.filled.data[i] + change.data[i];
                    prop_assert!((there - truth.data[i]).abs() < 1e-3, "{space:?}");
                }
            }
        }
    }

    #[test]
    fn a_fixed_range_maps_black_and_white_to_minus_one_and_one() {
        let truth = Raster::from_vec(1, 2, 1, vec![0.0, 255.0]).unwrap();
        let shown = Shown {
            filled: truth.clone(),
            ..shown(SPACES[1], &truth, 255.0)
        };
        assert_eq!(shown.image(), [-1.0, 1.0]);
        // Neither the tile's own values nor its mask change that.
        let dark = Raster::from_vec(1, 2, 1, vec![3.0, 4.0]).unwrap();
        let norm = SPACES[1].norm(&dark, &Mask::new(2, 1, false), 255.0);
        assert_eq!((norm.mean[0], norm.scale), (127.5, 127.5));
    }
}
