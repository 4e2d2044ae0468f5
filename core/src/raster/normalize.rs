//! The scale a tile is brought to before the network sees it, taken from its visible pixels.

use super::{Mask, Raster};

/// Per-band shift and one common scale: `normalised = (value - mean[band]) / scale`.
///
/// One scale for all bands keeps the ratios between bands (the colour) of the tile's contrast.
#[derive(Debug, Clone, PartialEq)]
pub struct TileNorm {
    /// Mean of the visible pixels, one a band, in scene units.
    pub mean: Vec<f32>,
    /// Standard deviation of the visible pixels of all bands about their band's mean, in scene
    /// units; never below the floor it was made with.
    pub scale: f32,
}

impl TileNorm {
    /// The norm of a tile from its visible pixels (`true` = visible: data and not masked).
    ///
    /// `scale` = sqrt(mean over bands and visible pixels of (value - mean of the band)^2), at
    /// least `floor` (scene units, above 0), so that a flat tile (water) does not blow up noise.
    /// Without a visible pixel the means are 0 and the scale is `floor`: finite, but only good
    /// for a tile that gets its values from elsewhere.
    pub fn from_visible(tile: &Raster, visible: &Mask, floor: f32) -> Self {
        let count = visible.count();
        if count == 0 {
            return TileNorm {
                mean: vec![0.0; tile.bands],
                scale: floor,
            };
        }
        let mut mean = Vec::with_capacity(tile.bands);
        let mut squares = 0.0f64;
        for band in 0..tile.bands {
            let pixels = tile.band(band).iter().zip(&visible.data);
            let values = pixels
                .filter(|&(_, &seen)| seen)
                .map(|(&v, _)| f64::from(v));
            let band_mean = values.clone().sum::<f64>() / count as f64;
            squares += values.map(|v| (v - band_mean).powi(2)).sum::<f64>();
            mean.push(band_mean as f32);
        }
        let scale = (squares / (count * tile.bands.max(1)) as f64).sqrt() as f32;
        TileNorm {
            mean,
            scale: scale.max(floor),
        }
    }

    /// Scene units to normalised values, in place; `tile` has the bands of the norm.
    pub fn apply(&self, tile: &mut Raster) {
        for (band, &mean) in self.mean.iter().enumerate() {
            for value in tile.band_mut(band) {
                *value = (*value - mean) / self.scale;
            }
        }
    }

    /// Normalised values back to scene units, in place.
    pub fn undo(&self, tile: &mut Raster) {
        for (band, &mean) in self.mean.iter().enumerate() {
            for value in tile.band_mut(band) {
                *value = *value * self.scale + mean;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn masked_values_do_not_count() {
        let data = vec![1.0, 3.0, f32::NAN, 10.0, 10.0, 1e30];
        let tile = Raster::from_vec(2, 1, 3, data).unwrap();
        let visible = Mask::from_vec(1, 3, vec![true, true, false]).unwrap();
        let norm = TileNorm::from_visible(&tile, &visible, 0.1);
        assert_eq!(norm.mean, [2.0, 10.0]);
        assert!((norm.scale - 0.5f32.sqrt()).abs() < 1e-7);
    }

    #[test]
    fn nothing_visible_and_flat_tiles_take_the_floor() {
        let tile = Raster::from_vec(1, 1, 2, vec![7.0, 7.0]).unwrap();
        let norm = TileNorm::from_visible(&tile, &Mask::new(1, 2, false), 0.25);
        assert_eq!((norm.mean, norm.scale), (vec![0.0], 0.25));
        let norm = TileNorm::from_visible(&tile, &Mask::new(1, 2, true), 0.25);
        assert_eq!((norm.mean, norm.scale), (vec![7.0], 0.25));
    }

    proptest! {
        #[test]
        fn undo_undoes(values in prop::collection::vec(0f32..10_000.0, 2 * 12)) {
            let tile = Raster::from_vec(2, 3, 4, values).unwrap();
            let norm = TileNorm::from_visible(&tile, &Mask::new(3, 4, true), 1.0);
            let mut there = tile.clone();
            norm.apply(&mut there);
            let spread = there.data.iter().map(|v| v * v).sum::<f32>() / 24.0;
            prop_assert!((spread - 1.0).abs() < 1e-3 || norm.scale == 1.0);
            norm.undo(&mut there);
            for (a, b) in there.data.iter().zip(&tile.data) {
                prop_assert!((a - b).abs() < 1e-2);
            }
        }
    }
}
