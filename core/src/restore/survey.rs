//! The first pass over a scene: what is masked, what values occur, how bands hang together.

use super::{SceneSource, SceneWindow};
use crate::error::{Error, Result};
use crate::raster::spectral::{Fit, Options, Transfer};
use crate::raster::tiler::Tiling;

/// What the whole scene says before any tile is computed.
pub(super) struct Survey {
    /// Pixels that hold data.
    pub valid_px: usize,
    /// Of these, the masked ones.
    pub masked_px: usize,
    /// Smallest and largest visible value of each band.
    pub range: Vec<(f32, f32)>,
    /// Mean of the visible values of each band.
    pub mean: Vec<f32>,
    /// Standard deviation of the visible values of the bands the model knows, pooled.
    pub contrast: f32,
    /// How the bands the model does not know follow the ones it knows.
    pub transfer: Transfer,
    /// Tiles with masked pixels, for each row of tiles.
    tiles: Vec<usize>,
}

impl Survey {
    /// Reads the scene once.
    ///
    /// # Errors
    /// [`Error::NothingMasked`], [`Error::NothingVisible`], or the source's.
    pub fn run(source: &mut dyn SceneSource, tiling: &Tiling, guides: &[usize]) -> Result<Self> {
        let ((height, width), bands) = (source.size(), source.bands());
        let options = Options::default();
        let mut fit = Fit::new(bands, height, width, guides, &options);
        let mut range = vec![(f32::INFINITY, f32::NEG_INFINITY); bands];
        let mut sums = vec![(0.0f64, 0.0f64); bands];
        let (mut valid_px, mut masked_px) = (0, 0);
        let mut tiles = Vec::new();
        for row in 0..tiling.rows() {
            // Counted once: the rows no other row of tiles finishes.
            let core = tiling.finished(row);
            let band = tiling.band(row);
            let window = core.grow(options.halo_px(), height, width);
            // The halo does not always reach over the whole row of tiles.
            let bottom = window.row_end().max(band.row_end());
            let window = crate::raster::Window {
                height: bottom - window.row,
                ..window
            };
            let SceneWindow { image, mask, valid } = source.read(window)?;
            let holes = valid.and(&mask);
            let inner = core.relative_to(window);
            valid_px += valid.crop(inner).count();
            masked_px += holes.crop(inner).count();
            let of_band = holes.crop(band.relative_to(window));
            tiles.push(tiling.tiles_in_row_touching(row, &of_band).len());
            let visible = valid.and_not(&mask).crop(inner);
            let part = image.crop(inner);
            for band in 0..bands {
                let (low, high) = &mut range[band];
                let (sum, squares) = &mut sums[band];
                for (value, seen) in part.band(band).iter().zip(&visible.data) {
                    if *seen {
                        *low = low.min(*value);
                        *high = high.max(*value);
                        *sum += f64::from(*value);
                        *squares += f64::from(*value).powi(2);
                    }
                }
            }
            fit.add(&image, &mask, &valid, window, core);
        }
        if masked_px == 0 {
            return Err(Error::NothingMasked { valid: valid_px });
        }
        if masked_px == valid_px {
            return Err(Error::NothingVisible { masked: masked_px });
        }
        let visible_px = (valid_px - masked_px) as f64;
        let variance = |band: &usize| {
            let (sum, squares) = sums[*band];
            (squares / visible_px - (sum / visible_px).powi(2)).max(0.0)
        };
        let pooled = guides.iter().map(variance).sum::<f64>() / guides.len().max(1) as f64;
        Ok(Self {
            valid_px,
            masked_px,
            range,
            mean: sums
                .iter()
                .map(|(sum, _)| (sum / visible_px) as f32)
                .collect(),
            contrast: pooled.sqrt() as f32,
            transfer: fit.transfer(),
            tiles,
        })
    }

    /// How many batches the tiles make.
    pub fn batches(&self, samples: usize, batch: usize) -> usize {
        self.tiles
            .iter()
            .map(|tiles| (tiles * samples).div_ceil(batch))
            .sum()
    }
}
