//! Host-made Gaussian noise keyed by (seed, sample, draw, band, row, col) of the scene.
//!
//! Device generators differ between backends, and overlapping tiles must see the same noise
//! whatever their order, so every value is a pure function of its place.

use burn::tensor::{Device, Tensor, TensorData};

use super::denoiser::NoiseSource;
use crate::raster::Window;
use crate::raster::random::gaussian_window;
use crate::raster::turn::{Turn, turn_into};

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

#[cfg(test)]
mod tests {
    use super::*;

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
}
