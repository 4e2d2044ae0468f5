//! Bands the model does not know: they follow the bands it restored (regression kriging with
//! inverse distance as the interpolator).
//!
//! Inside the hole, band b = smooth fill of b + beta_b . (restored guides - smooth fill of the
//! guides). The coefficients come from the visible pixels, from the local detail of band and
//! guides (value minus the mean of the visible neighbourhood), so that only what varies
//! together at the scale of a hole is transferred. A band whose detail does not follow the
//! guides gets beta near 0, that is, the smooth fill.

use super::summed_area::SummedArea;
use super::{Mask, Raster, Window, cholesky};

/// Folds of the cross-validation: a grid of `SIDE` x `SIDE` blocks, repeated over the scene.
const SIDE: usize = 4;

/// How the coefficients are estimated. The defaults were chosen on clear Sentinel-2 scenes of 4
/// and 13 bands under real cloud masks, with the true and with simulated guides.
#[derive(Debug, Clone, PartialEq)]
pub struct Options {
    /// Half side of the square that local detail is taken against, in pixels.
    pub radius_px: usize,
    /// Visible pixels within this distance (a square) of masked ones count more.
    pub near_px: usize,
    /// Ridge strength, relative to the mean variance of the guides' detail.
    pub ridge: f64,
    /// Share of explained variance at which the coefficients are halved: weaker relations are
    /// mostly chance.
    pub doubt: f64,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            radius_px: 12,
            near_px: 16,
            ridge: 0.002,
            doubt: 0.03,
        }
    }
}

impl Options {
    /// Pixels around a window that [`Fit::add`] needs so that the cut does not show.
    pub fn halo_px(&self) -> usize {
        self.radius_px.max(self.near_px)
    }
}

/// The estimate in the making: sums over visible pixels, window after window, so that a scene
/// that is never whole in memory has one set of coefficients and therefore no seams.
#[derive(Debug, Clone)]
pub struct Fit {
    options: Options,
    guide: Vec<usize>,
    others: Vec<usize>,
    block_px: usize,
    folds: Vec<Sums>,
}

/// Weighted sums of products of local detail.
#[derive(Debug, Clone, PartialEq)]
struct Sums {
    /// Guide with guide, `[guides, guides]`.
    gg: Vec<f64>,
    /// Guide with other, `[others, guides]`.
    go: Vec<f64>,
    /// Other with itself, `[others]`.
    oo: Vec<f64>,
    /// Sum of the weights.
    weight: f64,
}

/// Coefficients that carry what was restored in the guide bands over to the other bands.
#[derive(Debug, Clone, PartialEq)]
pub struct Transfer {
    /// Guide bands (0-based bands of the scene).
    pub guide: Vec<usize>,
    /// The other bands, ascending.
    pub others: Vec<usize>,
    /// `[others, guides]`: change of the other band for a change of the guide, each in its own
    /// units.
    pub beta: Vec<f32>,
    /// Variance of each other band's local detail that the guides do not explain, `[others]`,
    /// in squared units of the band: what a fill of that band cannot know.
    pub unexplained: Vec<f32>,
}

/// The coefficients of a scene, or part of one, that is in memory; see [`Fit`].
pub fn fit(
    image: &Raster,
    mask: &Mask,
    valid: &Mask,
    guide: &[usize],
    options: &Options,
) -> Transfer {
    let whole = Window::full(image.height, image.width);
    let mut fit = Fit::new(image.bands, image.height, image.width, guide, options);
    fit.add(image, mask, valid, whole, whole);
    fit.transfer()
}

impl Fit {
    /// A fit for a scene of `bands` bands and `height` x `width` pixels. `guide` names the bands
    /// the model restores (0-based); all others are to follow them.
    pub fn new(
        bands: usize,
        height: usize,
        width: usize,
        guide: &[usize],
        options: &Options,
    ) -> Self {
        let others: Vec<usize> = (0..bands).filter(|band| !guide.contains(band)).collect();
        let (g, o) = (guide.len(), others.len());
        let none = Sums {
            gg: vec![0.0; g * g],
            go: vec![0.0; g * o],
            oo: vec![0.0; o],
            weight: 0.0,
        };
        Fit {
            options: options.clone(),
            guide: guide.to_vec(),
            others,
            block_px: height.max(width).div_ceil(SIDE).clamp(8, 64),
            folds: vec![none; SIDE * SIDE],
        }
    }

    /// Adds the visible pixels of `core`, a part of the scene given by scene coordinates.
    ///
    /// `image`, `mask` (true = fill) and `valid` (true = data) are the scene inside `window`,
    /// which contains `core` and, inside the scene, [`Options::halo_px`] around it. Windows
    /// whose cores cover the scene once give the coefficients of the scene in one piece.
    pub fn add(&mut self, image: &Raster, mask: &Mask, valid: &Mask, window: Window, core: Window) {
        if self.others.is_empty() || self.guide.is_empty() {
            return;
        }
        let visible = valid.and_not(mask);
        let hole = valid.and(mask);
        let core = core.relative_to(window);
        let pixels = self.weighted_pixels(&visible, &hole, window, core);
        let counts = SummedArea::new(image.height, image.width, |i| {
            f64::from(u8::from(visible.data[i]))
        });
        let radius = self.options.radius_px;
        let detail = |band: usize| -> Vec<f64> {
            let plane = image.band(band);
            let table = SummedArea::new(image.height, image.width, |i| match visible.data[i] {
                true => f64::from(plane[i]),
                false => 0.0,
            });
            let of = |p: &Pixel| {
                let (row, col) = (p.index / image.width, p.index % image.width);
                let mean = table.square(row, col, radius) / counts.square(row, col, radius);
                f64::from(plane[p.index]) - mean
            };
            pixels.iter().map(of).collect()
        };
        let guides: Vec<Vec<f64>> = self.guide.iter().map(|&band| detail(band)).collect();
        let g = guides.len();
        for (k, pixel) in pixels.iter().enumerate() {
            let fold = &mut self.folds[pixel.fold];
            fold.weight += pixel.weight;
            let gg = &mut fold.gg;
            for i in 0..g {
                for j in 0..g {
                    gg[i * g + j] += pixel.weight * guides[i][k] * guides[j][k];
                }
            }
        }
        for o in 0..self.others.len() {
            let other = detail(self.others[o]);
            for (k, pixel) in pixels.iter().enumerate() {
                let fold = &mut self.folds[pixel.fold];
                let weighted = pixel.weight * other[k];
                for (i, guide) in guides.iter().enumerate() {
                    fold.go[o * g + i] += weighted * guide[k];
                }
                fold.oo[o] += weighted * other[k];
            }
        }
    }

    /// The visible pixels of `core` (in window coordinates), with weight and fold.
    fn weighted_pixels(
        &self,
        visible: &Mask,
        hole: &Mask,
        window: Window,
        core: Window,
    ) -> Vec<Pixel> {
        let near = self.options.near_px;
        let holes = SummedArea::new(hole.height, hole.width, |i| {
            f64::from(u8::from(hole.data[i]))
        });
        let area = ((2 * near + 1) * (2 * near + 1)) as f64;
        let mut pixels = Vec::new();
        for row in core.row..core.row_end() {
            for col in core.col..core.col_end() {
                let index = row * visible.width + col;
                if !visible.data[index] {
                    continue;
                }
                let block_row = (window.row + row) / self.block_px % SIDE;
                let block_col = (window.col + col) / self.block_px % SIDE;
                pixels.push(Pixel {
                    index,
                    // Far from any hole a little weight remains, so that there always is a fit.
                    weight: 0.05 + holes.square(row, col, near) / area,
                    fold: block_row * SIDE + block_col,
                });
            }
        }
        pixels
    }

    /// The coefficients: ridge regression of each other band's detail on the guides', shrunk by
    /// how well it predicts blocks it was not fitted on.
    ///
    /// With p the prediction of the blocks left out and y their detail, the slope
    /// c = sum(p y) / sum(p^2), held to 0..1, and the squared correlation r2 of p and y give the
    /// factor c^2 r2 / (r2 + doubt). Without visible pixels, or with those of one block only,
    /// every coefficient is 0.
    pub fn transfer(&self) -> Transfer {
        let (g, o) = (self.guide.len(), self.others.len());
        let mut total = Sums {
            gg: vec![0.0; g * g],
            go: vec![0.0; g * o],
            oo: vec![0.0; o],
            weight: 0.0,
        };
        for fold in &self.folds {
            total.add(fold, 1.0);
        }
        let ridge = self.options.ridge;
        let mut beta = total.solve(g, ridge);
        let (mut py, mut pp) = (vec![0.0; o], vec![0.0; o]);
        for fold in &self.folds {
            let mut rest = total.clone();
            rest.add(fold, -1.0);
            let left_out = rest.solve(g, ridge);
            for (band, b) in left_out.chunks_exact(g.max(1)).enumerate() {
                for i in 0..g {
                    py[band] += b[i] * fold.go[band * g + i];
                    for j in 0..g {
                        pp[band] += b[i] * fold.gg[i * g + j] * b[j];
                    }
                }
            }
        }
        for (band, b) in beta.chunks_exact_mut(g.max(1)).enumerate() {
            let known = py[band] > 0.0 && pp[band] > 0.0 && total.oo[band] > 0.0;
            let factor = if known {
                let slope = (py[band] / pp[band]).min(1.0);
                let r2 = (py[band].powi(2) / (pp[band] * total.oo[band])).min(1.0);
                slope * slope * r2 / (r2 + self.options.doubt)
            } else {
                0.0
            };
            b.iter_mut().for_each(|value| *value *= factor);
        }
        let unexplained = (0..o)
            .map(|band| total.unexplained(g, band, &beta) as f32)
            .collect();
        Transfer {
            guide: self.guide.clone(),
            others: self.others.clone(),
            beta: beta.iter().map(|&b| b as f32).collect(),
            unexplained,
        }
    }
}

impl Transfer {
    /// Fills all bands of a window.
    ///
    /// * `smooth` `[bands, height, width]`: the window with its hole filled smoothly, all bands
    ///   ([`fill::smooth`](super::fill::smooth)), in scene units.
    /// * `restored` `[guides, height, width]`: the guide bands as the model restored them, in
    ///   the order of [`guide`](Self::guide) and in scene units; used inside the hole only.
    /// * `hole`: true = masked and valid.
    ///
    /// Returns `smooth` with the restored guides and the other bands following them inside the
    /// hole; outside nothing changes.
    pub fn apply(&self, smooth: &Raster, restored: &Raster, hole: &Mask) -> Raster {
        let mut out = smooth.clone();
        let pixels = smooth.pixels();
        let g = self.guide.len();
        let mut change = vec![0.0f32; g];
        for index in (0..pixels).filter(|&index| hole.data[index]) {
            for (i, &band) in self.guide.iter().enumerate() {
                let value = restored.data[i * pixels + index];
                change[i] = value - smooth.data[band * pixels + index];
                out.data[band * pixels + index] = value;
            }
            for (o, &band) in self.others.iter().enumerate() {
                let beta = &self.beta[o * g..][..g];
                let step: f32 = beta.iter().zip(&change).map(|(b, c)| b * c).sum();
                out.data[band * pixels + index] += step;
            }
        }
        out
    }
}

/// A visible pixel: index into a band, weight, and the fold its block belongs to.
struct Pixel {
    index: usize,
    weight: f64,
    fold: usize,
}

impl Sums {
    fn add(&mut self, other: &Sums, sign: f64) {
        let add = |a: &mut Vec<f64>, b: &[f64]| {
            a.iter_mut().zip(b).for_each(|(a, b)| *a += sign * b);
        };
        add(&mut self.gg, &other.gg);
        add(&mut self.go, &other.go);
        add(&mut self.oo, &other.oo);
        self.weight += sign * other.weight;
    }

    /// Mean of `(y - beta . x)²` for other band `band`, with y its detail and x the guides'.
    fn unexplained(&self, g: usize, band: usize, beta: &[f64]) -> f64 {
        if self.weight <= 0.0 {
            return 0.0;
        }
        let b = &beta[band * g..][..g];
        let mut sum = self.oo[band];
        for i in 0..g {
            sum -= 2.0 * b[i] * self.go[band * g + i];
            for j in 0..g {
                sum += b[i] * self.gg[i * g + j] * b[j];
            }
        }
        (sum / self.weight).max(0.0)
    }

    /// (gg + ridge trace / g I) beta = go for each other band, `[others, guides]`; all 0 where
    /// the guides have no detail.
    fn solve(&self, g: usize, ridge: f64) -> Vec<f64> {
        let trace: f64 = (0..g).map(|i| self.gg[i * g + i]).sum();
        // Also true for NaN, should a visible value not be finite.
        if !(trace > 0.0 && trace.is_finite()) {
            return vec![0.0; self.go.len()];
        }
        // A last trace of ridge keeps identical guides solvable.
        let lift = (ridge + 1e-9) * trace / g as f64;
        let mut beta = self.go.clone();
        cholesky::solve(&self.gg, lift, g, &mut beta);
        beta
    }
}

#[cfg(test)]
#[path = "spectral_tests.rs"]
mod tests;
