//! Host-made Gaussian noise keyed by (seed, sample, draw, band, row, col) of the scene.
//!
//! Device generators differ between backends, and overlapping tiles must see the same noise
//! whatever their order, so every value is a pure function of its place.

use burn::tensor::{Device, Tensor, TensorData};

use crate::raster::Window;
use crate::raster::turn::{Turn, turn_into};

/// Where a sampler takes its noise from.
pub trait NoiseSource {
    /// Standard normal values for the `draw`-th request of a sampler (0 is the starting noise).
    ///
    /// # Shapes
    /// - output: `[batch, bands, height, width]` of the batch being sampled
    fn draw(&mut self, draw: usize, device: &Device) -> Tensor<4>;
}

/// Noise of a batch of tiles, each an ensemble member over a window of the scene.
///
/// Members 2k and 2k + 1 are antithetic: the noise of one is that of the other negated. Their
/// mean is then far closer to the mean over all fills than that of two independent ones, at no
/// cost (Hammersley & Morton 1956).
#[derive(Debug, Clone)]
pub struct SceneNoise {
    /// The run's seed.
    pub seed: u64,
    /// Bands of the image being denoised.
    pub bands: usize,
    /// For each item of the batch, the ensemble member and the window it covers.
    pub items: Vec<(u64, Window)>,
    /// Height and width of the network's input; at least those of every window.
    pub size: (usize, usize),
    /// How each item is turned before the network sees it; the noise turns with the scene.
    pub turns: Vec<Turn>,
}

impl NoiseSource for SceneNoise {
    fn draw(&mut self, draw: usize, device: &Device) -> Tensor<4> {
        let (height, width) = self.size;
        let mut values = Vec::with_capacity(self.items.len() * self.bands * height * width);
        for ((sample, window), turn) in self.items.iter().zip(&self.turns) {
            let sign = if sample % 2 == 0 { 1.0 } else { -1.0 };
            for band in 0..self.bands {
                let plane = [self.seed, sample / 2, draw as u64, band as u64];
                let area = Window {
                    height,
                    width,
                    ..*window
                };
                let mut noise = gaussian_window(&plane, area);
                noise.iter_mut().for_each(|value| *value *= sign);
                turn_into(&noise, height, width, *turn, &mut values);
            }
        }
        let shape = [self.items.len(), self.bands, height, width];
        Tensor::from_data(TensorData::new(values, shape), device)
    }
}

/// `count` standard normal values of the stream named by `parts`.
pub fn gaussian_stream(parts: &[u64], count: usize) -> Vec<f32> {
    let stream = key(parts);
    (0..count as u64)
        .map(|i| gaussian(mix(stream ^ mix(i))))
        .collect()
}

/// Standard normal values of the plane named by `parts`, one for each pixel of a window: windows
/// that overlap see the same ones.
pub fn gaussian_window(parts: &[u64], window: Window) -> Vec<f32> {
    let bits = bits_at(parts);
    let pixels = (window.row..window.row_end())
        .flat_map(|row| (window.col..window.col_end()).map(move |col| (row, col)));
    pixels.map(|(row, col)| gaussian(bits(row, col))).collect()
}

/// Random bits of the plane named by `parts`, by row and column.
pub fn bits_at(parts: &[u64]) -> impl Fn(usize, usize) -> u64 {
    let plane = key(parts);
    move |row, col| mix(plane ^ mix(((row as u64) << 32) | col as u64))
}

/// Folds several numbers into one key; order matters.
fn key(parts: &[u64]) -> u64 {
    parts
        .iter()
        .fold(0x243F_6A88_85A3_08D3, |k, p| mix(k ^ mix(*p)))
}

/// The finaliser of SplitMix64 (Steele, Lea & Flood 2014): a bijection that scrambles all bits.
fn mix(z: u64) -> u64 {
    let z = z.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

/// One standard normal value from 64 random bits (Box & Muller 1958).
fn gaussian(bits: u64) -> f32 {
    const SCALE: f64 = 1.0 / (1u64 << 32) as f64;
    // Half a step off zero keeps the logarithm finite.
    let u = ((bits >> 32) as f64 + 0.5) * SCALE;
    let v = (bits & 0xFFFF_FFFF) as f64 * SCALE;
    ((-2.0 * u.ln()).sqrt() * (std::f64::consts::TAU * v).cos()) as f32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stream_is_standard_normal() {
        let n = 200_000;
        let x = gaussian_stream(&[1, 2], n);
        let mean = x.iter().map(|v| f64::from(*v)).sum::<f64>() / n as f64;
        let moment = |p: i32| {
            x.iter()
                .map(|v| (f64::from(*v) - mean).powi(p))
                .sum::<f64>()
                / n as f64
        };
        assert!(mean.abs() < 0.01, "mean {mean}");
        assert!((moment(2) - 1.0).abs() < 0.02, "variance {}", moment(2));
        assert!((moment(4) - 3.0).abs() < 0.15, "kurtosis {}", moment(4));
    }

    fn tile(sample: u64, row: usize, col: usize) -> Vec<f32> {
        let window = Window {
            row,
            col,
            height: 8,
            width: 8,
        };
        let mut noise = SceneNoise {
            seed: 7,
            bands: 2,
            items: vec![(sample, window)],
            size: (8, 8),
            turns: vec![0],
        };
        noise
            .draw(0, &Device::flex())
            .into_data()
            .iter::<f32>()
            .collect()
    }

    #[test]
    fn overlapping_tiles_see_the_same_noise() {
        let (a, b) = (tile(3, 16, 4), tile(3, 20, 10));
        // Scene pixel (21, 11) of band 1 in both tiles.
        assert_eq!(a[64 + 5 * 8 + 7], b[64 + 8 + 1]);
        assert_ne!(a, b);
    }

    #[test]
    fn members_come_in_antithetic_pairs() {
        let negated: Vec<f32> = tile(4, 0, 0).iter().map(|v| -v).collect();
        assert_eq!(tile(5, 0, 0), negated);
        assert_ne!(tile(6, 0, 0), tile(4, 0, 0));
        assert_ne!(tile(6, 0, 0), negated);
    }

    #[test]
    fn every_part_of_the_key_matters() {
        let base = gaussian_stream(&[1, 2, 3], 4);
        for other in [[2, 2, 3], [1, 3, 3], [1, 2, 4], [2, 1, 3]] {
            assert_ne!(base, gaussian_stream(&other, 4));
        }
    }
}
