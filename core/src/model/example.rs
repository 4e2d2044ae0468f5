//! Training examples: what the network sees besides the noisy image, and what it is to learn.
//!
//! Concatenation (thesis, sect. 4.3): the network is given `[filled image, mask]` as extra
//! channels, here in units of the tile's own contrast around its own mean, and denoises the
//! RESIDUAL to the soft inverse-distance fill, which is zero wherever the ground is visible.

use super::conditioning::Conditioning;
use super::space::{Shown, Space, as_numbers};
use super::task::Task;
use crate::raster::guide::{self, Guide};
use crate::raster::normalize::TileNorm;
use crate::raster::{Mask, Raster, coarse, fill, spectral};

/// One tile in network units, with what is known and what is to be learnt.
#[derive(Debug, Clone)]
pub struct Prepared {
    /// Bands, height and width.
    pub size: (usize, usize, usize),
    /// The extra channels, see [`Shown::channels`]; empty for an unconditional network.
    pub conditioning: Vec<f32>,
    /// What the network denoises, `[bands, height, width]`: the residual to the fill, or the
    /// image itself for an unconditional network.
    pub clean: Vec<f32>,
    /// 1 where the loss counts, `[height, width]`.
    pub mask: Vec<f32>,
    /// The smooth fill in input units.
    pub filled: Raster,
    /// The tile's mean and contrast.
    pub norm: TileNorm,
    /// The class, below 0 where the network is not told; none without classes.
    pub class: Option<i32>,
    /// How deep in its hole a pixel lies, `[height, width]`, see
    /// [`depths`](crate::diffusion::cold::depths); empty but for cold diffusion.
    pub depths: Vec<f32>,
}

/// How an example is prepared.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Preparation {
    /// What the network makes of what it is shown.
    pub task: Task,
    /// Which channels the network is given.
    pub conditioning: Conditioning,
    /// How pixels become its numbers.
    pub space: Space,
    /// The value of full brightness in the units of the tile.
    pub full: f32,
}

/// What a training example has besides the tile.
#[derive(Debug, Clone, PartialEq, Default)]
pub enum Hint {
    /// Nothing.
    #[default]
    None,
    /// An image of another date in its own units and where it shows the ground.
    Reference(Raster, Mask),
    /// An estimate at a coarser scale, `[bands, height, width]` in input units.
    Coarse(Raster),
}

/// The training example of a clear tile seen through `mask` (true = fill): the residual to the
/// soft fill, or to what the hint makes of it, in network units; the whole tile for an
/// unconditional network. Pixels that are not `valid` are neither shown nor counted.
pub fn prepare(
    truth: &Raster,
    mask: &Mask,
    valid: &Mask,
    hint: &Hint,
    how: &Preparation,
) -> Prepared {
    let (shown, counted) = if how.conditioning == Conditioning::None {
        (whole(truth, valid, how), valid.clone())
    } else if how.task.redraws() {
        (redrawn(truth, valid, how), valid.clone())
    } else {
        let unknown = mask.or(&valid.invert());
        (holed(truth, unknown, hint, how), mask.and(valid))
    };
    Prepared {
        size: (truth.bands, truth.height, truth.width),
        conditioning: shown.channels(how.conditioning),
        clean: shown.target(truth, &counted, how.conditioning),
        mask: as_numbers(&counted),
        filled: shown.filled,
        norm: shown.norm,
        class: None,
        depths: Vec::new(),
    }
}

/// The whole tile, of which an unconditional network is shown nothing.
fn whole(truth: &Raster, valid: &Mask, how: &Preparation) -> Shown {
    Shown {
        filled: truth.clone(),
        unknown: valid.invert(),
        guide: None,
        norm: how.space.norm(truth, valid, how.full),
    }
}

/// What a network that draws the whole tile anew is shown of it.
fn redrawn(truth: &Raster, valid: &Mask, how: &Preparation) -> Shown {
    let filled = how.task.shown(truth);
    Shown {
        norm: how.space.norm(&filled, valid, how.full),
        filled,
        unknown: Mask::new(truth.height, truth.width, true),
        guide: None,
    }
}

/// A tile with holes. Nodata is filled like a hole: the network never sees its value.
fn holed(truth: &Raster, unknown: Mask, hint: &Hint, how: &Preparation) -> Shown {
    let everywhere = Mask::new(truth.height, truth.width, true);
    let reach_px = how.space.reach_px();
    let soft = |image: &Raster| fill::soft(image, &unknown, &everywhere, reach_px);
    let (filled, guide) = match hint {
        Hint::None => (soft(truth), None),
        Hint::Reference(reference, observed) => {
            let bands: Vec<usize> = (truth.bands..truth.bands + reference.bands).collect();
            let transfer = spectral::fit(
                &guide::stack(truth, reference),
                &unknown,
                observed,
                &bands,
                &guide::reference_options(),
            );
            let prediction = guide::predict(reference, observed, &transfer, reach_px);
            let mut filled = soft(&guide::subtract(truth, &prediction));
            guide::add(&mut filled, &prediction);
            (filled, Some(Guide::from_reference(&prediction, observed)))
        }
        Hint::Coarse(estimate) => {
            let mut filled = soft(truth);
            let weight = coarse::weight(&unknown);
            let delta = coarse::delta(estimate, &filled, &weight);
            guide::add(&mut filled, &delta);
            (filled, Some(Guide::from_coarse(delta, &weight)))
        }
    };
    Shown {
        filled,
        norm: how.space.norm(truth, &unknown.invert(), how.full),
        guide,
        unknown,
    }
}
