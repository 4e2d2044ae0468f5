//! `--extent`: the rectangle of coordinates inside which masked pixels are filled.

use std::ops::Range;

use unclouded_core::raster::Window;

use super::super::scene::Scene;
use super::grid::{apply, inverse};
use crate::failure::{Failure, Result};

/// A rectangle in the scene's CRS over the scene's grid.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Extent {
    geotransform: [f64; 6],
    /// xmin, ymin, xmax, ymax
    bounds: [f64; 4],
}

impl Extent {
    /// Lay xmin, ymin, xmax, ymax over a scene.
    ///
    /// # Errors
    /// Exit 2 if the numbers are no rectangle, the scene is not georeferenced, or no centre of a
    /// pixel lies inside.
    pub fn new(bounds: [f64; 4], scene: &Scene) -> Result<Self> {
        let [xmin, ymin, xmax, ymax] = bounds;
        let shown = format!("{xmin},{ymin},{xmax},{ymax}");
        // Written so that NaN is no rectangle.
        if !(xmin < xmax && ymin < ymax) || bounds.iter().any(|number| number.is_infinite()) {
            return Err(Failure::mismatch(
                "--extent",
                "XMIN,YMIN,XMAX,YMAX with XMIN < XMAX and YMIN < YMAX",
                shown,
            )
            .hint("QGIS and some other programs write xmin, xmax, ymin, ymax: mind the order"));
        }
        let geotransform = scene
            .info
            .geotransform
            .filter(|numbers| inverse(*numbers).is_some())
            .ok_or_else(|| {
                Failure::mismatch("--extent", "a georeferenced scene", "one that is not")
                    .hint("georeference the scene, or mark the part to fill in the mask")
            })?;
        let extent = Extent {
            geotransform,
            bounds,
        };
        let (height, width) = (scene.info.height, scene.info.width);
        let (rows, cols) = extent.candidates(height, width);
        let meets = rows
            .into_iter()
            .any(|row| cols.clone().any(|col| extent.contains(row, col)));
        if !meets {
            let corners = [(0, 0), (width, 0), (0, height), (width, height)]
                .map(|(col, row)| apply(geotransform, col as f64, row as f64));
            let of = |pick: fn(f64, f64) -> f64, start: f64, axis: fn(&(f64, f64)) -> f64| {
                corners.iter().map(axis).fold(start, pick)
            };
            let (low, high) = (f64::INFINITY, f64::NEG_INFINITY);
            return Err(Failure::mismatch(
                "--extent",
                format!(
                    "a part of the scene ({},{},{},{})",
                    of(f64::min, low, |point| point.0),
                    of(f64::min, low, |point| point.1),
                    of(f64::max, high, |point| point.0),
                    of(f64::max, high, |point| point.1)
                ),
                shown,
            )
            .hint("the extent is in the CRS of the scene, which `unclouded info SCENE` names"));
        }
        Ok(extent)
    }

    /// Rows and columns outside which no pixel can lie inside.
    fn candidates(&self, height: usize, width: usize) -> (Range<usize>, Range<usize>) {
        let Some(back) = inverse(self.geotransform) else {
            return (0..0, 0..0);
        };
        let [xmin, ymin, xmax, ymax] = self.bounds;
        let corners = [(xmin, ymin), (xmin, ymax), (xmax, ymin), (xmax, ymax)]
            .map(|(x, y)| apply(back, x, y));
        let range = |axis: fn(&(f64, f64)) -> f64, size: usize| {
            let of = corners.iter().map(axis);
            let low = of.clone().fold(f64::INFINITY, f64::min);
            let high = of.fold(f64::NEG_INFINITY, f64::max);
            // The casts saturate; a pixel more at either end does no harm.
            (low.floor() - 1.0) as usize..((high.ceil() + 1.0) as usize).min(size)
        };
        (range(|at| at.1, height), range(|at| at.0, width))
    }

    /// Whether the centre of a pixel lies inside.
    pub fn contains(&self, row: usize, col: usize) -> bool {
        let (x, y) = apply(self.geotransform, col as f64 + 0.5, row as f64 + 0.5);
        let [xmin, ymin, xmax, ymax] = self.bounds;
        (xmin..=xmax).contains(&x) && (ymin..=ymax).contains(&y)
    }

    /// For every pixel of a window whether it lies inside.
    pub fn flags(&self, window: Window) -> impl Iterator<Item = bool> {
        let extent = *self;
        (window.row..window.row_end()).flat_map(move |row| {
            (window.col..window.col_end()).map(move |col| extent.contains(row, col))
        })
    }
}
