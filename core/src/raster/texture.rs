//! Texture from the scene itself: an estimate drawn anew from pieces of the visible ground.
//!
//! The mean of an ensemble is smooth where little is known, and a network that has seen little
//! ground of this kind draws samples unlike it. But the scene shows its own fields, roads and
//! roofs around the hole. From coarse to fine, the estimate gets noise and is brought back to an
//! image all of whose patches come from the visible part: a reverse diffusion whose denoiser is
//! not learnt but looked up. The way of looking up is that of Granot, Feinstein, Shocher, Bagon &
//! Irani 2022, "Drop the GAN: In Defense of Patches Nearest Neighbors as Single Image Generative
//! Models": nearest patches by a distance that is divided by how near the piece already is to
//! another place, so that the dull pieces that resemble every mean are not taken over and over.

mod bank;
mod matching;
#[cfg(test)]
mod tests;

use super::coarse::{block_means, enlarge_by};
use super::normalize::TileNorm;
use super::{Mask, Raster, Window};
use crate::raster::random::gaussian_window;
pub use bank::SIDE_PX as PATCH_PX;
use bank::{Patches, Positions};

/// What the noise is keyed with, so that it is not that of the ensemble.
const STREAM: u64 = 0x7465_7874_7572_6564;

/// One scale of the walk.
struct Scale {
    /// How many scene pixels a side of its pixels has.
    factor: usize,
    /// Noise before the first and before the last look-up, in units of the ground's contrast.
    noise: (f32, f32),
    /// Look-ups.
    steps: usize,
    /// Patches to be replaced lie this far apart.
    stride: usize,
}

/// Coarse scales decide what lies where, the finest only how it looks.
const SCALES: [Scale; 3] = [
    Scale {
        factor: 4,
        noise: (0.5, 0.05),
        steps: 8,
        stride: 1,
    },
    Scale {
        factor: 2,
        noise: (0.3, 0.03),
        steps: 6,
        stride: 1,
    },
    Scale {
        factor: 1,
        noise: (0.1, 0.02),
        steps: 4,
        stride: 2,
    },
];

/// Side of the pixels of the coarsest scale: parts of a scene that begin at multiples of it see
/// the same blocks and the same noise.
pub const COARSEST: usize = SCALES[0].factor;

/// Share of the contrast of all bands below which a band counts as flat.
const FLAT: f32 = 1e-3;

/// With fewer visible patches a scale is left out; without the finest nothing is drawn.
const FEWEST_PATCHES: usize = 128;

/// A part of a scene to be drawn into.
#[derive(Debug, Clone, Copy)]
pub struct Ground<'a> {
    /// Where it lies in the scene.
    pub window: Window,
    /// `[bands, height, width]` in scene units: what is visible, and an estimate elsewhere.
    pub image: &'a Raster,
    /// Standard deviation of the estimate, alike: no pixel gets more noise than that.
    pub spread: Option<&'a Raster>,
    /// True = may be copied from.
    pub visible: &'a Mask,
    /// True = is to be drawn; none of it visible.
    pub drawn: &'a Mask,
}

/// The image with its `drawn` pixels replaced by a draw that looks like the visible ones.
///
/// A function of the ground, its place in the scene and `seed`. Without enough visible ground to
/// copy from, the image comes back as it is. Values stay within those of the visible pixels.
pub fn draw(ground: &Ground, seed: u64) -> Raster {
    let bands = ground.image.bands;
    let smallest = f32::MIN_POSITIVE / f32::EPSILON;
    let all = TileNorm::from_visible(ground.image, ground.visible, smallest);
    let largest = all
        .mean
        .iter()
        .fold(0.0f32, |most, mean| most.max(mean.abs()));
    // What is flat but for rounding must not become contrast.
    let floor = (FLAT * all.scale).max(1e-6 * largest).max(smallest);
    let norms: Vec<TileNorm> = (0..bands)
        .map(|band| {
            let plane = ground.image.select_bands(&[band]);
            TileNorm::from_visible(&plane, ground.visible, floor)
        })
        .collect();
    let mut image = ground.image.clone();
    for (band, norm) in norms.iter().enumerate() {
        let values = image.band_mut(band).iter_mut();
        values.for_each(|value| *value = (*value - norm.mean[0]) / norm.scale);
    }
    let spread = ground.spread.map(|spread| {
        let mut spread = spread.clone();
        for (band, norm) in norms.iter().enumerate() {
            let values = spread.band_mut(band).iter_mut();
            values.for_each(|value| *value /= norm.scale);
        }
        spread
    });
    let mut coarser: Option<(usize, Raster)> = None;
    for scale in &SCALES {
        let mut level = Level::new(scale.factor, ground, &image, spread.as_ref());
        let sources = level.sources(seed);
        if sources.len() < FEWEST_PATCHES {
            continue;
        }
        if let Some((factor, coarser)) = coarser.take() {
            let size = (level.image.height, level.image.width);
            level.replace(&enlarge_by(&coarser, factor / scale.factor, size));
        }
        level.walk(scale, &sources, seed);
        coarser = Some((scale.factor, level.image));
    }
    let Some((1, drawn)) = coarser else {
        return ground.image.clone();
    };
    let mut outcome = ground.image.clone();
    for (band, norm) in norms.iter().enumerate() {
        let values = drawn.band(band).iter().zip(&ground.drawn.data);
        let pixels = outcome.band_mut(band).iter_mut().zip(values);
        for (pixel, (value, _)) in pixels.filter(|(_, (_, drawn))| **drawn) {
            *pixel = value * norm.scale + norm.mean[0];
        }
    }
    outcome
}

/// Bytes that [`draw`] takes at most for so many pixels.
pub fn draw_bytes(pixels: usize, bands: usize) -> usize {
    let patch = bands * PATCH_PX * PATCH_PX * size_of::<f32>();
    // The level with most patches to look up is the one half as large, or the finest at every
    // other row and column; and about ten copies of the image.
    (pixels / 4 + bank::MOST_SOURCES) * patch + 10 * pixels * bands * size_of::<f32>()
}

/// The ground at one scale, in units of its contrast.
struct Level {
    /// Its place, in pixels of this scale.
    window: Window,
    image: Raster,
    spread: Option<Raster>,
    visible: Mask,
    drawn: Mask,
}

impl Level {
    fn new(factor: usize, ground: &Ground, image: &Raster, spread: Option<&Raster>) -> Self {
        let image = block_means(image, factor);
        let (height, width) = (image.height, image.width);
        let share = |mask: &Mask| block_means(&mask.to_raster(), factor).data;
        let above = |share: Vec<f32>, least: f32| Mask {
            height,
            width,
            data: share.into_iter().map(|share| share > least).collect(),
        };
        Self {
            window: Window {
                row: ground.window.row / factor,
                col: ground.window.col / factor,
                height,
                width,
            },
            spread: spread.map(|spread| block_means(spread, factor)),
            // A block with one hidden pixel is not shown as it is.
            visible: above(share(ground.visible), 0.999),
            drawn: above(share(ground.drawn), 0.0),
            image,
        }
    }

    /// The patches that may be copied.
    fn sources(&self, seed: u64) -> Positions {
        Positions::inside(&self.visible).thinned(self.window, &[seed, STREAM])
    }

    /// Replaces what is to be drawn by what another image of this scale has there.
    fn replace(&mut self, other: &Raster) {
        for band in 0..self.image.bands {
            let pixels = self.image.band_mut(band).iter_mut().zip(other.band(band));
            let drawn = pixels.zip(&self.drawn.data).filter(|(_, drawn)| **drawn);
            drawn.for_each(|((pixel, value), _)| *pixel = *value);
        }
    }

    /// Noise and look-ups in turns, less noise each time and none after the last.
    fn walk(&mut self, scale: &Scale, sources: &Positions, seed: u64) {
        let keys = Patches::gather(&self.image, sources);
        let targets = Positions::touching(&self.drawn, self.window, scale.stride);
        for step in 0..scale.steps {
            let (first, last) = scale.noise;
            let along = step as f32 / (scale.steps - 1).max(1) as f32;
            let sigma = first * (last / first).powf(along);
            self.add_noise(sigma, &[seed, STREAM, scale.factor as u64, step as u64]);
            let queries = Patches::gather(&self.image, &targets);
            let nearest = matching::nearest(&queries, &keys);
            let voted = bank::vote(&self.image, &targets, sources, &nearest);
            self.replace(&voted);
        }
    }

    fn add_noise(&mut self, sigma: f32, key: &[u64]) {
        for band in 0..self.image.bands {
            let noise = gaussian_window(&[key, &[band as u64]].concat(), self.window);
            let spread = self.spread.as_ref().map(|spread| spread.band(band));
            let pixels = self.image.band_mut(band).iter_mut().enumerate();
            for (index, pixel) in pixels.filter(|(index, _)| self.drawn.data[*index]) {
                let most = spread.map_or(sigma, |spread| spread[index].min(sigma));
                *pixel += most * noise[index];
            }
        }
    }
}
