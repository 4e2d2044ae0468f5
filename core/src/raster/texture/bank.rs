//! Square patches of an image: where they lie, what they hold, and how they are put together.

use crate::raster::random::bits_at;
use crate::raster::summed_area::SummedArea;
use crate::raster::{Mask, Raster, Window};

/// Side of a patch, pixels, as in the paper.
pub const SIDE_PX: usize = 7;
/// Pixels of a patch.
const PIXELS: usize = SIDE_PX * SIDE_PX;
/// A patch counts less towards its rim: Gaussians of these deviations in pixels, where patches
/// are compared and where they are laid. Narrower ones are laid sharper.
const COMPARED_PX: f32 = 1.5;
const LAID_PX: f32 = 1.0;
/// More patches than this are not compared with: a choice of them looks the same.
pub const MOST_SOURCES: usize = 5000;

/// Upper left pixels of patches, row by row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Positions(pub Vec<(usize, usize)>);

impl Positions {
    /// Every patch of which all pixels are set.
    pub fn inside(mask: &Mask) -> Self {
        Self::where_count(mask, |_, _, count| count == PIXELS)
    }

    /// Patches of which some pixel is set, `stride` apart in the scene (its own place is
    /// `window`'s) and along the last row and column, so that they cover every pixel set.
    pub fn touching(mask: &Mask, window: Window, stride: usize) -> Self {
        let last = |size: usize| size.saturating_sub(SIDE_PX);
        let (rows, cols) = (last(mask.height), last(mask.width));
        Self::where_count(mask, |row, col, count| {
            let taken = |at: usize, origin: usize, last: usize| {
                at == 0 || at == last || (at + origin).is_multiple_of(stride)
            };
            count > 0 && taken(row, window.row, rows) && taken(col, window.col, cols)
        })
    }

    fn where_count(mask: &Mask, wanted: impl Fn(usize, usize, usize) -> bool) -> Self {
        let (height, width) = (mask.height, mask.width);
        if height < SIDE_PX || width < SIDE_PX {
            return Self(Vec::new());
        }
        let set = SummedArea::new(height, width, |i| f64::from(u8::from(mask.data[i])));
        let half = SIDE_PX / 2;
        let places =
            (0..=height - SIDE_PX).flat_map(|row| (0..=width - SIDE_PX).map(move |col| (row, col)));
        let count = |&(row, col): &(usize, usize)| {
            let count = set.square(row + half, col + half, half);
            wanted(row, col, count.round() as usize)
        };
        Self(places.filter(count).collect())
    }

    /// How many.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// At most a few thousand of them, chosen by their place in the scene: parts of a scene that
    /// overlap choose alike.
    pub fn thinned(self, window: Window, key: &[u64]) -> Self {
        if self.len() <= MOST_SOURCES {
            return self;
        }
        let lot = bits_at(key);
        let drawn = |&(row, col): &(usize, usize)| {
            let lot = lot(window.row + row, window.col + col);
            (lot, (row, col))
        };
        let mut lots: Vec<_> = self.0.iter().map(drawn).collect();
        lots.select_nth_unstable(MOST_SOURCES);
        let mut kept: Vec<_> = lots[..MOST_SOURCES].iter().map(|(_, at)| *at).collect();
        kept.sort_unstable();
        Self(kept)
    }
}

/// Patches as vectors whose plain distance is the weighted one.
pub struct Patches {
    /// Values a patch.
    pub dims: usize,
    /// `[patches, dims]`, each value times the root of its weight.
    pub values: Vec<f32>,
    /// Squared length of each.
    pub squares: Vec<f32>,
}

impl Patches {
    /// The patches of an image.
    pub fn gather(image: &Raster, positions: &Positions) -> Self {
        let roots = weights(COMPARED_PX).map(f32::sqrt);
        let dims = image.bands * PIXELS;
        let mut values = Vec::with_capacity(dims * positions.len());
        for &(row, col) in &positions.0 {
            for band in 0..image.bands {
                let plane = image.band(band);
                for (line, roots) in roots.chunks_exact(SIDE_PX).enumerate() {
                    let pixels = &plane[(row + line) * image.width + col..][..SIDE_PX];
                    values.extend(pixels.iter().zip(roots).map(|(value, root)| value * root));
                }
            }
        }
        let squares = values.chunks_exact(dims.max(1));
        let squares = squares.map(|patch| patch.iter().map(|v| v * v).sum());
        Self {
            dims,
            squares: squares.collect(),
            values,
        }
    }
}

/// The image that patches `sources[chosen[i]]` laid at `targets[i]` make: their weighted mean
/// where they overlap, and the image itself where none lies.
pub fn vote(image: &Raster, targets: &Positions, sources: &Positions, chosen: &[usize]) -> Raster {
    let weights = weights(LAID_PX);
    let mut voted = Raster::new(image.bands, image.height, image.width);
    let mut total = vec![0.0f32; image.height * image.width];
    for (&(row, col), &chosen) in targets.0.iter().zip(chosen) {
        let (from_row, from_col) = sources.0[chosen];
        for (line, weights) in weights.chunks_exact(SIDE_PX).enumerate() {
            let to = (row + line) * image.width + col;
            let from = (from_row + line) * image.width + from_col;
            let sums = total[to..][..SIDE_PX].iter_mut().zip(weights);
            sums.for_each(|(sum, weight)| *sum += weight);
            for band in 0..image.bands {
                let pieces = image.band(band)[from..][..SIDE_PX].iter().zip(weights);
                let sums = voted.band_mut(band)[to..][..SIDE_PX].iter_mut();
                sums.zip(pieces)
                    .for_each(|(sum, (value, weight))| *sum += weight * value);
            }
        }
    }
    for band in 0..image.bands {
        let places = voted.band_mut(band).iter_mut().zip(&total);
        for ((sum, &weight), own) in places.zip(image.band(band)) {
            *sum = if weight > 0.0 { *sum / weight } else { *own };
        }
    }
    voted
}

/// Weights of a patch's pixels, adding up to 1.
fn weights(deviation_px: f32) -> [f32; PIXELS] {
    let half = (SIDE_PX / 2) as f32;
    let mut weights = [0.0; PIXELS];
    for (index, weight) in weights.iter_mut().enumerate() {
        let (row, col) = ((index / SIDE_PX) as f32, (index % SIDE_PX) as f32);
        let square = (row - half).powi(2) + (col - half).powi(2);
        *weight = (-0.5 * square / deviation_px.powi(2)).exp();
    }
    let total: f32 = weights.iter().sum();
    weights.map(|weight| weight / total)
}
