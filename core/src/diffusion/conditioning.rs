//! What the network sees besides the noisy image, and the summation that needs no training.
//!
//! Concatenation (thesis, sect. 4.3): the network is given `[filled image, mask]` as extra
//! channels, here in units of the tile's own contrast around its own mean, and denoises the
//! RESIDUAL to the soft inverse-distance fill, which is zero wherever the ground is visible.

use burn::tensor::Tensor;

use super::denoiser::{Denoiser, NoiseLevel};
use crate::raster::fill;
use crate::raster::normalize::TileNorm;
use crate::raster::{Mask, Raster};

/// Channels of the concatenation for an image of `bands` bands: the filled image and the mask.
pub fn concat_bands(bands: usize) -> usize {
    bands + 1
}

/// The concatenated channels of one tile, `[bands + 1, height, width]`: the smoothly filled
/// image in units of the tile's contrast, then the mask (1 = unknown).
pub fn concat(filled: &Raster, unknown: &Mask, norm: &TileNorm) -> Vec<f32> {
    let mut scaled = filled.clone();
    norm.apply(&mut scaled);
    let mut channels = scaled.data;
    channels.extend(unknown.data.iter().map(|m| f32::from(u8::from(*m))));
    channels
}

/// One tile in network units, with what is known and what is to be learnt.
#[derive(Debug, Clone)]
pub struct Prepared {
    /// Bands, height and width.
    pub size: (usize, usize, usize),
    /// The concatenated channels, see [`concat`]; empty for an unconditional network.
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
}

/// The training example of a clear tile seen through `mask` (true = fill): the residual to the
/// soft fill, in units of the visible contrast.
///
/// `max_distance_px` bounds the search of the fill; `floor` is the smallest contrast, in input
/// units. Pixels that are not `valid` are neither shown nor counted.
pub fn prepare_concat(
    truth: &Raster,
    mask: &Mask,
    valid: &Mask,
    max_distance_px: usize,
    floor: f32,
) -> Prepared {
    let unknown = mask.or(&valid.invert());
    // Nodata is filled like a hole: the network never sees its value.
    let everywhere = Mask::new(truth.height, truth.width, true);
    let filled = fill::soft(truth, &unknown, &everywhere, max_distance_px);
    let norm = TileNorm::from_visible(truth, &unknown.invert(), floor);
    let counted = mask.and(valid);
    let pixels = truth.height * truth.width;
    let residual = |i: usize| match counted.data[i % pixels] {
        true => (truth.data[i] - filled.data[i]) / norm.scale,
        false => 0.0,
    };
    Prepared {
        size: (truth.bands, truth.height, truth.width),
        conditioning: concat(&filled, &unknown, &norm),
        clean: (0..truth.data.len()).map(residual).collect(),
        mask: counted
            .data
            .iter()
            .map(|m| f32::from(u8::from(*m)))
            .collect(),
        filled,
        norm,
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
