//! Geometry under a mask of polygons: the scene's place, polygons brought to it, pixels in them.

use gdal::DriverManager;
use gdal::errors::GdalError;
use gdal::raster::{RasterizeOptions, rasterize};
use gdal::spatial_ref::CoordTransform;
use gdal::vector::Geometry;
use geo::{
    BooleanOps, BoundingRect, Coord, Densify, Euclidean, Intersects, LineString, MapCoords,
    MultiPolygon, Polygon, Rect,
};
use unclouded_core::raster::{Mask, Window};

use super::super::scene::Scene;
use super::grid;
use crate::failure::{Failure, Result};

/// An edge is cut into this many pieces over the width of the scene before it is reprojected,
/// since a straight line in one CRS is a curve in another.
const PIECES: f64 = 256.0;
/// How far around the scene polygons are kept before they are reprojected, in sizes of the scene.
const MARGIN: f64 = 0.5;

/// The scene's place.
pub struct Frame {
    /// From pixels to coordinates.
    pub geotransform: [f64; 6],
    /// What the scene covers, in its CRS.
    pub bounds: Rect,
}

impl Frame {
    /// The place of a scene.
    ///
    /// # Errors
    /// Exit 2 if it has none.
    pub fn of(scene: &Scene) -> Result<Self> {
        let geotransform = scene
            .info
            .geotransform
            .filter(|numbers| grid::inverse(*numbers).is_some())
            .ok_or_else(|| {
                Failure::mismatch(
                    "scene under a mask of polygons",
                    "a georeferenced scene",
                    "one that is not",
                )
                .hint("georeference it (gdal_edit.py -a_srs -a_ullr), or give a mask raster of its size")
            })?;
        let mut frame = Frame {
            geotransform,
            bounds: Rect::new((0.0, 0.0), (0.0, 0.0)),
        };
        frame.bounds = frame.rect(Window::full(scene.info.height, scene.info.width));
        Ok(frame)
    }

    /// What a window covers, in the CRS of the scene.
    pub fn rect(&self, window: Window) -> Rect {
        let (left, right) = (window.col as f64, window.col_end() as f64);
        let (top, bottom) = (window.row as f64, window.row_end() as f64);
        bounding(
            [(left, top), (right, top), (left, bottom), (right, bottom)]
                .map(|(col, row)| grid::apply(self.geotransform, col, row)),
        )
    }

    /// The surroundings of the scene in the layer's CRS, outside which nothing matters; `None`
    /// where a part of them has no coordinates there.
    pub fn around(&self, back: Option<&CoordTransform>) -> Option<Rect> {
        let (low, high) = (self.bounds.min(), self.bounds.max());
        let mut points = Vec::new();
        // Points all around, since edges bend.
        for step in 0..=16 {
            let share = f64::from(step) / 16.0;
            let x = low.x + (high.x - low.x) * share;
            let y = low.y + (high.y - low.y) * share;
            points.extend([(x, low.y), (x, high.y), (low.x, y), (high.x, y)]);
        }
        if let Some(back) = back {
            for point in &mut points {
                *point = grid::transformed(back, *point);
            }
        }
        if points.iter().any(|(x, y)| !x.is_finite() || !y.is_finite()) {
            return None;
        }
        let inner = bounding(points);
        let (dx, dy) = (inner.width() * MARGIN, inner.height() * MARGIN);
        Some(Rect::new(
            (inner.min().x - dx, inner.min().y - dy),
            (inner.max().x + dx, inner.max().y + dy),
        ))
    }
}

fn bounding(points: impl IntoIterator<Item = (f64, f64)>) -> Rect {
    let (mut low, mut high) = ((f64::MAX, f64::MAX), (f64::MIN, f64::MIN));
    for (x, y) in points {
        low = (low.0.min(x), low.1.min(y));
        high = (high.0.max(x), high.1.max(y));
    }
    Rect::new(low, high)
}

/// A polygon in the scene's CRS, cut to the surroundings of the scene where it reaches beyond.
pub fn placed(
    polygon: Polygon,
    around: Option<Rect>,
    there: Option<&CoordTransform>,
) -> Vec<Polygon> {
    let mut parts = MultiPolygon::new(vec![polygon]);
    let mut longest = None;
    if let Some(around) = around {
        let Some(bounds) = parts.bounding_rect() else {
            return Vec::new();
        };
        if !around.intersects(&bounds) {
            return Vec::new();
        }
        let within = |axis: fn(Coord) -> f64| {
            axis(around.min()) <= axis(bounds.min()) && axis(bounds.max()) <= axis(around.max())
        };
        if !(within(|at| at.x) && within(|at| at.y)) {
            parts = parts.intersection(&around.to_polygon());
        }
        longest = Some(around.width().max(around.height()) / PIECES);
    }
    let Some(there) = there else {
        return parts.0;
    };
    if let Some(longest) = longest.filter(|longest| *longest > 0.0) {
        parts = Euclidean.densify(&parts, longest);
    }
    let moved = parts.map_coords(|at| {
        let (x, y) = grid::transformed(there, (at.x, at.y));
        Coord { x, y }
    });
    // A point without coordinates in the scene's CRS is left out of its ring.
    let sound = |ring: &LineString| {
        let points = ring
            .0
            .iter()
            .filter(|at| at.x.is_finite() && at.y.is_finite());
        LineString::new(points.copied().collect())
    };
    moved
        .0
        .iter()
        .map(|polygon| {
            Polygon::new(
                sound(polygon.exterior()),
                polygon.interiors().iter().map(sound).collect(),
            )
        })
        .filter(|polygon| polygon.exterior().0.len() >= 4)
        .collect()
}

/// Pixels of a window whose centre lies in a polygon.
///
/// # Errors
/// What GDAL says.
pub fn burn(
    polygons: &[&Geometry],
    window: Window,
    geotransform: [f64; 6],
) -> std::result::Result<Mask, GdalError> {
    let (x, y) = grid::apply(geotransform, window.col as f64, window.row as f64);
    let [_, a, b, _, c, d] = geotransform;
    let mut canvas =
        DriverManager::get_driver_by_name("MEM")?.create("", window.width, window.height, 1)?;
    canvas.set_geo_transform(&[x, a, b, y, c, d])?;
    let geometries: Vec<Geometry> = polygons.iter().map(|polygon| (*polygon).clone()).collect();
    let values = vec![1.0; geometries.len()];
    rasterize(
        &mut canvas,
        &[1],
        &geometries,
        &values,
        Some(RasterizeOptions::default()),
    )?;
    // (cols, rows)
    let size = (window.width, window.height);
    let buffer = canvas
        .rasterband(1)?
        .read_as::<u8>((0, 0), size, size, None)?;
    Ok(Mask {
        height: window.height,
        width: window.width,
        data: buffer.data().iter().map(|value| *value != 0).collect(),
    })
}
