//! What the network sees besides the noisy image, and the summation that needs no training.
//!
//! Concatenation (thesis, sect. 4.3): the network is given `[filled image, mask]` as extra
//! channels, here in units of the tile's own contrast around its own mean, and denoises the
//! RESIDUAL to the soft inverse-distance fill, which is zero wherever the ground is visible.

use burn::tensor::Tensor;

use super::denoiser::{Denoiser, NoiseLevel};
use super::task::Task;
use crate::checkpoint::Conditioning;
use crate::raster::guide::{self, Guide};
use crate::raster::normalize::TileNorm;
use crate::raster::{Mask, Raster, coarse, fill, spectral};

/// The extra channels of one tile, `[Conditioning::channels, height, width]`: the filled image
/// in units of the tile's contrast and the mask (1 = unknown); for a guided network also the
/// guide's detail in units of the contrast and the trust in it, zero without a guide.
pub fn channels(
    conditioning: Conditioning,
    filled: &Raster,
    unknown: &Mask,
    guide: Option<&Guide>,
    norm: &TileNorm,
) -> Vec<f32> {
    if conditioning == Conditioning::None {
        return Vec::new();
    }
    let mut scaled = filled.clone();
    norm.apply(&mut scaled);
    let mut channels = scaled.data;
    channels.extend(unknown.data.iter().map(|m| f32::from(u8::from(*m))));
    if conditioning == Conditioning::Guided {
        match guide {
            Some(guide) => {
                channels.extend(guide.detail.data.iter().map(|v| v / norm.scale));
                channels.extend_from_slice(&guide.trust);
            }
            None => channels.resize(2 * channels.len(), 0.0),
        }
    }
    channels
}

/// One tile in network units, with what is known and what is to be learnt.
#[derive(Debug, Clone)]
pub struct Prepared {
    /// Bands, height and width.
    pub size: (usize, usize, usize),
    /// The extra channels, see [`channels`]; empty for an unconditional network.
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
    /// [`depths`](super::cold::depths); empty but for cold diffusion.
    pub depths: Vec<f32>,
}

/// How a conditioned example is prepared.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Preparation {
    /// What the network makes of what it is shown.
    pub task: Task,
    /// Which channels the network is given.
    pub conditioning: Conditioning,
    /// Bound of the fill's search, pixels.
    pub max_distance_px: usize,
    /// Smallest contrast, input units.
    pub floor: f32,
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
/// soft fill, or to what the hint makes of it, in units of the visible contrast. Pixels that are
/// not `valid` are neither shown nor counted.
pub fn prepare(
    truth: &Raster,
    mask: &Mask,
    valid: &Mask,
    hint: &Hint,
    how: &Preparation,
) -> Prepared {
    if how.task.redraws() {
        return prepare_redrawn(truth, valid, how);
    }
    let unknown = mask.or(&valid.invert());
    // Nodata is filled like a hole: the network never sees its value.
    let everywhere = Mask::new(truth.height, truth.width, true);
    let soft = |image: &Raster| fill::soft(image, &unknown, &everywhere, how.max_distance_px);
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
            let prediction = guide::predict(reference, observed, &transfer, how.max_distance_px);
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
    let norm = TileNorm::from_visible(truth, &unknown.invert(), how.floor);
    let conditioning = channels(how.conditioning, &filled, &unknown, guide.as_ref(), &norm);
    example(truth, filled, mask.and(valid), conditioning, norm)
}

/// The training example of a network that draws the whole tile anew from what its task shows.
fn prepare_redrawn(truth: &Raster, valid: &Mask, how: &Preparation) -> Prepared {
    let shown = how.task.shown(truth);
    let norm = TileNorm::from_visible(&shown, valid, how.floor);
    let everything = Mask::new(truth.height, truth.width, true);
    let conditioning = channels(how.conditioning, &shown, &everything, None, &norm);
    example(truth, shown, valid.clone(), conditioning, norm)
}

/// The residual of a tile to `filled` where it counts.
fn example(
    truth: &Raster,
    filled: Raster,
    counted: Mask,
    conditioning: Vec<f32>,
    norm: TileNorm,
) -> Prepared {
    let pixels = truth.height * truth.width;
    let residual = |i: usize| match counted.data[i % pixels] {
        true => (truth.data[i] - filled.data[i]) / norm.scale,
        false => 0.0,
    };
    Prepared {
        size: (truth.bands, truth.height, truth.width),
        conditioning,
        clean: (0..truth.data.len()).map(residual).collect(),
        mask: counted
            .data
            .iter()
            .map(|m| f32::from(u8::from(*m)))
            .collect(),
        filled,
        norm,
        class: None,
        depths: Vec::new(),
    }
}

/// The training example of an unconditional network: the whole tile in units of its contrast.
pub fn prepare_unconditional(truth: &Raster, valid: &Mask, floor: f32) -> Prepared {
    let norm = TileNorm::from_visible(truth, valid, floor);
    let mut scaled = truth.clone();
    norm.apply(&mut scaled);
    Prepared {
        size: (truth.bands, truth.height, truth.width),
        conditioning: Vec::new(),
        clean: scaled.data,
        mask: valid.data.iter().map(|m| f32::from(u8::from(*m))).collect(),
        filled: truth.clone(),
        norm,
        class: None,
        depths: Vec::new(),
    }
}

/// Summation (thesis, sect. 4.2): an unconditional denoiser fills a hole by being shown, at
/// every step, the known pixels at that step's noise level:
/// `x <- x * mask + (alpha * known + sigma * n) * (1 - mask)`.
pub struct Summation<'a> {
    /// The unconditional denoiser.
    pub inner: &'a dyn Denoiser,
    /// The known image, `[batch, bands, height, width]`; anything where masked.
    pub known: Tensor<4>,
    /// 1 = fill, `[batch, 1, height, width]`.
    pub mask: Tensor<4>,
    /// The noise of the known pixels, fixed over the steps, shaped like `known`.
    pub noise: Tensor<4>,
}

impl Denoiser for Summation<'_> {
    fn denoise(&self, x: Tensor<4>, level: NoiseLevel) -> Tensor<4> {
        let visible = self.mask.clone().neg() + 1.0;
        let known_t = self.known.clone() * level.alpha + self.noise.clone() * level.sigma;
        let x = x * self.mask.clone() + known_t * visible.clone();
        let denoised = self.inner.denoise(x, level);
        denoised * self.mask.clone() + self.known.clone() * visible
    }
}
