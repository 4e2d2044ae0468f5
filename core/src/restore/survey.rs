//! The first pass over a scene: what is masked, what values occur, how the bands are correlated.

use super::coarse::Smaller;
use super::{Reference, SceneSource, SceneWindow};
use crate::error::{Error, Hint, Result};
use crate::raster::coarse::Shrunk;
use crate::raster::guide::{reference_options, stack};
use crate::raster::spectral::{Fit, Options, Transfer};
use crate::raster::tiler::Tiling;
use crate::raster::{Mask, Raster, Window};

/// Largest magnitude of a value: sums of squares over a scene of any size stay far below the
/// largest 32-bit float.
const LARGEST: f32 = 1e15;
/// Columns that are surveyed at once, so that memory does not grow with the width of the scene.
const STRIP_COLS: usize = 4096;

/// What a survey is asked for besides.
#[derive(Debug, Clone, Copy)]
pub(super) struct Wants {
    /// The fit to the only reference.
    pub fit: bool,
    /// A smaller copy of what the model knows.
    pub smaller: bool,
}

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
    /// How the bands of the scene follow those of the reference, where there is just one.
    pub reference: Option<ReferenceFit>,
    /// The bands the model knows, shrunk, where that was asked for.
    pub small: Option<Smaller>,
    /// First columns of the tiles with masked pixels, for each row of tiles.
    tiles: Vec<Vec<usize>>,
}

/// What ties a scene to its reference.
pub(super) struct ReferenceFit {
    /// From the bands of the reference to those of the scene.
    pub transfer: Transfer,
    /// Mean of scene minus prediction, for each band of the scene.
    pub offset: Vec<f32>,
}

impl Survey {
    /// Reads the scene once.
    ///
    /// # Errors
    /// [`Error::NothingMasked`], [`Error::NothingVisible`], [`Error::Mismatch`] for values that
    /// cannot be computed with, or the source's.
    pub fn run(
        source: &mut dyn SceneSource,
        tiling: &Tiling,
        guides: &[usize],
        wants: Wants,
    ) -> Result<Self> {
        let ((height, width), bands) = (source.size(), source.bands());
        let options = Options::default();
        let mut reference = match source.references()[..] {
            [one] if wants.fit => Some(ReferenceSums::new(bands, one.bands, height, width)),
            _ => None,
        };
        let halo_px = match &reference {
            Some(_) => options.halo_px().max(reference_options().halo_px()),
            None => options.halo_px(),
        };
        let mut shrunk = wants
            .smaller
            .then(|| Shrunk::new(guides.len(), height, width));
        let mut small = match &shrunk {
            Some(shrunk) => Some(Smaller::new(guides.len(), shrunk.size(), source.scratch()?)),
            None => None,
        };
        let mut fit = Fit::new(bands, height, width, guides, &options);
        let mut range = vec![(f32::INFINITY, f32::NEG_INFINITY); bands];
        let mut sums = vec![(0.0f64, 0.0f64); bands];
        let (mut valid_px, mut masked_px) = (0, 0);
        let mut tiles = Vec::new();
        let starts = tiling.col_starts();
        for row in 0..tiling.rows() {
            let band = tiling.band(row);
            let mut touched = vec![false; starts.len()];
            for col in (0..width).step_by(STRIP_COLS) {
                // Counted once: the rows no other row of tiles finishes.
                let core = Window {
                    col,
                    width: STRIP_COLS.min(width - col),
                    ..tiling.finished(row)
                };
                let window = core.grow(halo_px, height, width);
                // The halo does not always reach over the whole row of tiles.
                let bottom = window.row_end().max(band.row_end());
                let window = Window {
                    height: bottom - window.row,
                    ..window
                };
                let SceneWindow { image, mask, valid } = source.read(window)?;
                let holes = valid.and(&mask);
                let inner = core.relative_to(window);
                valid_px += valid.crop(inner).count();
                masked_px += holes.crop(inner).count();
                for (start, touched) in starts.iter().zip(&mut touched) {
                    let (first, end) = (*start.max(&col), start + tiling.tile_px.min(width));
                    let end = end.min(core.col_end());
                    if !*touched && first < end {
                        let part = Window {
                            col: first,
                            width: end - first,
                            ..band
                        };
                        *touched = holes.any_in(part.relative_to(window));
                    }
                }
                let visible = valid.and_not(&mask);
                let seen = visible.crop(inner);
                let part = image.crop(inner);
                for band in 0..bands {
                    let (low, high) = &mut range[band];
                    let (sum, squares) = &mut sums[band];
                    for (value, seen) in part.band(band).iter().zip(&seen.data) {
                        if *seen {
                            *low = low.min(*value);
                            *high = high.max(*value);
                            *sum += f64::from(*value);
                            *squares += f64::from(*value).powi(2);
                        }
                    }
                }
                fit.add(&image, &mask, &valid, window, core);
                if let Some(sums) = &mut reference {
                    let other = source.read_reference(0, window)?;
                    sums.add(&image, &mask, &valid, &other, window, core);
                }
                if let Some(shrunk) = &mut shrunk {
                    let known = image.select_bands(guides);
                    shrunk.add(&known, &visible, &valid, window, core);
                }
            }
            let touched = starts.iter().zip(touched).filter(|(_, touched)| *touched);
            tiles.push(touched.map(|(start, _)| *start).collect());
            if let Some((shrunk, small)) = shrunk.as_mut().zip(small.as_mut()) {
                let (first, rows) = shrunk.take(tiling.finished(row).row_end());
                small.write(first, &rows)?;
            }
        }
        if masked_px == 0 {
            return Err(Error::NothingMasked { valid: valid_px });
        }
        if masked_px == valid_px {
            return Err(Error::NothingVisible { masked: masked_px });
        }
        let of_scene = range.iter().map(|(low, high)| high.max(-low));
        check_magnitude("values of the scene", of_scene)?;
        if let Some(sums) = &reference {
            let of_reference = sums.largest[bands..].iter().copied();
            check_magnitude("values of the reference", of_reference)?;
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
            reference: reference.map(ReferenceSums::finish),
            small,
            tiles,
        })
    }

    /// The tiles of a row that hold masked pixels.
    pub fn tiles(&self, tiling: &Tiling, row: usize) -> Vec<Window> {
        let (band, width) = (tiling.band(row), tiling.tile_px.min(tiling.width));
        let starts = self.tiles[row].iter();
        starts.map(|&col| Window { col, width, ..band }).collect()
    }

    /// How many tiles hold masked pixels, in these rows of tiles.
    pub fn count(&self, rows: std::ops::Range<usize>) -> usize {
        self.tiles[rows].iter().map(Vec::len).sum()
    }
}

/// Refuses values that would overflow; `largest` has the largest magnitude of each band.
fn check_magnitude(what: &'static str, mut largest: impl Iterator<Item = f32>) -> Result<()> {
    match largest.position(|value| value > LARGEST) {
        None => Ok(()),
        Some(band) => Err(Error::Mismatch {
            what,
            expected: format!("at most {LARGEST:e} in magnitude"),
            got: format!("larger ones in band {}", band + 1),
            hint: Hint::Advice(
                "if such values mean \"no data\", say so in the file, e.g. gdal_translate \
                   -a_nodata VALUE; else scale them",
            ),
        }),
    }
}

/// The fit to a reference in the making, with the means over what both images show.
struct ReferenceSums {
    fit: Fit,
    sums: Vec<f64>,
    /// Largest magnitude of each band.
    largest: Vec<f32>,
    count: f64,
    bands: usize,
}

impl ReferenceSums {
    fn new(bands: usize, reference_bands: usize, height: usize, width: usize) -> Self {
        let all = bands + reference_bands;
        let guides: Vec<usize> = (bands..all).collect();
        Self {
            fit: Fit::new(all, height, width, &guides, &reference_options()),
            sums: vec![0.0; all],
            largest: vec![0.0; all],
            count: 0.0,
            bands,
        }
    }

    fn add(
        &mut self,
        image: &Raster,
        mask: &Mask,
        valid: &Mask,
        reference: &Reference,
        window: Window,
        core: Window,
    ) {
        let both = stack(image, &reference.image);
        let valid = valid.and(&reference.observed);
        self.fit.add(&both, mask, &valid, window, core);
        let inner = core.relative_to(window);
        let seen = valid.and_not(mask).crop(inner);
        let part = both.crop(inner);
        self.count += seen.count() as f64;
        let observed = reference.observed.crop(inner);
        for (band, sum) in self.sums.iter_mut().enumerate() {
            let values = part.band(band);
            let visible = values.iter().zip(&seen.data).filter(|(_, seen)| **seen);
            *sum += visible.map(|(value, _)| f64::from(*value)).sum::<f64>();
            let known = values.iter().zip(&observed.data).filter(|(_, on)| **on);
            let largest = known.fold(0.0, |most: f32, (value, _)| most.max(value.abs()));
            self.largest[band] = self.largest[band].max(largest);
        }
    }

    fn finish(self) -> ReferenceFit {
        let transfer = self.fit.transfer();
        let mean: Vec<f64> = self.sums.iter().map(|s| s / self.count.max(1.0)).collect();
        let (scene, reference) = mean.split_at(self.bands);
        let betas = transfer.beta.chunks_exact(reference.len().max(1));
        let offset = scene.iter().zip(betas).map(|(mean, beta)| {
            let predicted = beta.iter().zip(reference);
            let predicted: f64 = predicted.map(|(b, r)| f64::from(*b) * r).sum();
            (mean - predicted) as f32
        });
        ReferenceFit {
            offset: offset.collect(),
            transfer,
        }
    }
}
