//! Polygons of a vector layer (GeoPackage, GeoJSON, Shapefile, ...) as a mask: reprojected to the
//! CRS of the scene and rasterised. A pixel is marked when its centre lies inside a polygon.

use std::path::Path;

use gdal::raster::{RasterizeOptions, rasterize};
use gdal::spatial_ref::CoordTransform;
use gdal::vector::OGRwkbGeometryType::{
    wkbGeometryCollection, wkbMultiPolygon, wkbPolygon, wkbUnknown,
};
use gdal::vector::{Envelope, Geometry, LayerAccess, ToGdal};
use gdal::vector::{geometry_type_flatten, geometry_type_to_name};
use gdal::{Dataset, DriverManager, errors::GdalError};
use geo::{
    BooleanOps, BoundingRect, Coord, Densify, Euclidean, Intersects, LineString, MapCoords,
    MultiPolygon, Polygon, Rect,
};
use unclouded_core::raster::bits::BitMask;
use unclouded_core::raster::{Mask, Window};

use super::super::reason;
use super::super::scene::{Scene, crs_name};
use super::grid;
use crate::failure::{Failure, Result};

/// Rows that are rasterised at once.
const STRIP_ROWS: usize = 1024;
/// An edge is cut into this many pieces over the width of the scene before it is reprojected,
/// since a straight line in one CRS is a curve in another.
const PIECES: f64 = 256.0;
/// How far around the scene polygons are kept before they are reprojected, in sizes of the scene.
const MARGIN: f64 = 0.5;

/// The polygons of a layer on the scene's grid.
pub struct VectorMask {
    polygons: Vec<(Rect, Geometry)>,
    /// What the user should know.
    pub notes: Vec<String>,
}

/// Whether a path is a vector layer: nothing GDAL sees as a raster, and some layer in it.
pub fn layers(dataset: &Dataset) -> bool {
    dataset.raster_count() == 0 && dataset.layer_count() > 0
}

impl VectorMask {
    /// Read the polygons of an open vector dataset and bring them to the scene.
    ///
    /// # Errors
    /// Exit 2 if the scene is not georeferenced, there are no polygons, there are several
    /// layers of them and none was chosen, or none meets the scene.
    pub fn open(
        dataset: &Dataset,
        layer: Option<&str>,
        path: &Path,
        scene: &Scene,
    ) -> Result<Self> {
        let name = path.display();
        let frame = Frame::of(scene)?;
        let index = choose(dataset, layer, path)?;
        let mut layer = dataset
            .layer(index)
            .map_err(|error| damaged(path, &error))?;
        let mut notes = Vec::new();
        let (own, theirs) = (layer.spatial_ref(), scene.dataset.spatial_ref().ok());
        if own.is_none() {
            notes.push(format!(
                "mask {name} has no CRS: taken to be in that of the scene"
            ));
        }
        let pair = grid::crs_pair(own, theirs);
        let there = match &pair {
            Some((own, scene)) => Some(grid::coordinates(own, scene, "mask")?),
            None => None,
        };
        let back = match &pair {
            Some((own, scene)) => Some(grid::coordinates(scene, own, "mask")?),
            None => None,
        };
        let around = frame.around(back.as_ref());
        let (mut found, mut polygons) = (0_u64, Vec::new());
        let mut others: Vec<String> = Vec::new();
        for feature in layer.features() {
            crate::interrupt::check()?;
            let Some(geometry) = feature.geometry() else {
                continue;
            };
            let mut parts = Vec::new();
            collect(geometry, &mut parts, &mut others);
            for polygon in parts {
                found += 1;
                for polygon in placed(polygon, around, there.as_ref()) {
                    let Some(bounds) = polygon.bounding_rect() else {
                        continue;
                    };
                    if frame.bounds.intersects(&bounds) {
                        let geometry = polygon.to_gdal().map_err(|error| damaged(path, &error))?;
                        polygons.push((bounds, geometry));
                    }
                }
            }
        }
        if found == 0 {
            let got = match others.first() {
                Some(kind) => format!("only {}", kind.to_lowercase()),
                None => "none".to_owned(),
            };
            return Err(Failure::mismatch(
                format!("mask {name}"),
                "polygons around the clouds",
                got,
            )
            .hint("buffer points and lines into polygons first"));
        }
        if let Some(kind) = others.first() {
            notes.push(format!(
                "{} geometries of mask {name} are no polygons ({}, ...) and are ignored",
                others.len(),
                kind.to_lowercase()
            ));
        }
        if polygons.is_empty() {
            return Err(elsewhere(path, found, &mut layer, pair.as_ref(), &frame));
        }
        Ok(VectorMask { polygons, notes })
    }

    /// Mark the pixels of the scene whose centre lies inside a polygon.
    ///
    /// # Errors
    /// Exit 2 if no centre of a pixel does, exit 1 if GDAL cannot rasterise.
    pub fn mark(
        &self,
        bits: &mut BitMask,
        scene: &Scene,
        path: &Path,
        progress: &mut dyn FnMut(u64),
    ) -> Result<()> {
        let frame = Frame::of(scene)?;
        let (height, width) = bits.size();
        for row in (0..height).step_by(STRIP_ROWS) {
            crate::interrupt::check()?;
            let window = Window {
                row,
                col: 0,
                height: STRIP_ROWS.min(height - row),
                width,
            };
            let strip = frame.rect(window);
            let inside: Vec<&Geometry> = self
                .polygons
                .iter()
                .filter(|(bounds, _)| bounds.intersects(&strip))
                .map(|(_, polygon)| polygon)
                .collect();
            if !inside.is_empty() {
                let part = burn(&inside, window, frame.geotransform).map_err(|error| {
                    Failure::failed(format!(
                        "cannot rasterise mask {} ({})",
                        path.display(),
                        reason(&error)
                    ))
                })?;
                bits.set(row, 0, &part);
            }
            progress(window.row_end() as u64);
        }
        if bits.any() {
            return Ok(());
        }
        Err(Failure::mismatch(
            format!("mask {}", path.display()),
            "polygons around the centre of at least one pixel",
            format!(
                "{} polygons that lie between the centres",
                self.polygons.len()
            ),
        )
        .hint("they are smaller than a pixel: buffer them first"))
    }
}

/// The scene's place.
struct Frame {
    geotransform: [f64; 6],
    bounds: Rect,
}

impl Frame {
    fn of(scene: &Scene) -> Result<Self> {
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
    fn rect(&self, window: Window) -> Rect {
        let (left, right) = (window.col as f64, window.col_end() as f64);
        let (top, bottom) = (window.row as f64, window.row_end() as f64);
        bounding(
            [(left, top), (right, top), (left, bottom), (right, bottom)]
                .map(|(col, row)| grid::apply(self.geotransform, col, row)),
        )
    }

    /// The surroundings of the scene in the layer's CRS, outside which nothing matters; `None`
    /// where a part of them has no coordinates there.
    fn around(&self, back: Option<&CoordTransform>) -> Option<Rect> {
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

/// The layer with polygons: the one asked for, or the only one.
fn choose(dataset: &Dataset, asked: Option<&str>, path: &Path) -> Result<usize> {
    let names: Vec<String> = dataset.layers().map(|layer| layer.name()).collect();
    if let Some(asked) = asked {
        return names.iter().position(|name| name == asked).ok_or_else(|| {
            Failure::mismatch(
                format!("layer of mask {}", path.display()),
                names.join(" or "),
                asked,
            )
            .hint("name one of them after |layername=")
        });
    }
    let may_hold_polygons = |index: &usize| {
        dataset.layer(*index).is_ok_and(|layer| {
            let kind = layer
                .defn()
                .geom_fields()
                .next()
                .map(|field| field.field_type());
            kind.is_some_and(|kind| {
                let flat = geometry_type_flatten(kind);
                [
                    wkbUnknown,
                    wkbPolygon,
                    wkbMultiPolygon,
                    wkbGeometryCollection,
                ]
                .contains(&flat)
            })
        })
    };
    let fitting: Vec<usize> = (0..names.len()).filter(may_hold_polygons).collect();
    match fitting[..] {
        [only] => Ok(only),
        // Let the reading say what is there instead.
        [] => Ok(0),
        _ => {
            let fitting: Vec<&str> = fitting.iter().map(|index| names[*index].as_str()).collect();
            Err(Failure::mismatch(
                format!("mask {}", path.display()),
                "one layer of polygons",
                format!("{}: {}", fitting.len(), fitting.join(", ")),
            )
            .hint(format!(
                "choose one as QGIS writes it: --mask \"{}|layername={}\"",
                path.display(),
                fitting[0]
            )))
        }
    }
}

/// Polygons of a geometry, those inside multi-polygons and collections too; the names of what
/// is none.
fn collect(geometry: &Geometry, polygons: &mut Vec<Polygon>, others: &mut Vec<String>) {
    let kind = geometry_type_flatten(geometry.geometry_type());
    // Compared, not matched: the names are constants of C.
    match kind {
        _ if kind == wkbPolygon => {
            let mut rings = (0..geometry.geometry_count()).map(|index| {
                let mut points = Vec::new();
                geometry.get_geometry(index).get_points(&mut points);
                // What is not finite lies nowhere.
                points
                    .into_iter()
                    .filter(|(x, y, _)| x.is_finite() && y.is_finite())
                    .map(|(x, y, _)| Coord { x, y })
                    .collect::<LineString>()
            });
            if let Some(outer) = rings.next().filter(|ring| ring.0.len() >= 3) {
                polygons.push(Polygon::new(
                    outer,
                    rings.filter(|ring| ring.0.len() >= 3).collect(),
                ));
            }
        }
        _ if kind == wkbMultiPolygon || kind == wkbGeometryCollection => {
            for index in 0..geometry.geometry_count() {
                collect(&geometry.get_geometry(index), polygons, others);
            }
        }
        _ => others.push(geometry_type_to_name(kind)),
    }
}

/// A polygon in the scene's CRS, cut to the surroundings of the scene where it reaches beyond.
fn placed(polygon: Polygon, around: Option<Rect>, there: Option<&CoordTransform>) -> Vec<Polygon> {
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
fn burn(
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

fn elsewhere(
    path: &Path,
    found: u64,
    layer: &mut impl LayerAccess,
    crs: Option<&(gdal::spatial_ref::SpatialRef, gdal::spatial_ref::SpatialRef)>,
    frame: &Frame,
) -> Failure {
    let show = |envelope: &Envelope| {
        format!(
            "{}, {} to {}, {}",
            envelope.MinX, envelope.MinY, envelope.MaxX, envelope.MaxY
        )
    };
    let own = layer.get_extent().ok();
    let (low, high) = (frame.bounds.min(), frame.bounds.max());
    let crs = crs.map_or_else(String::new, |(own, scene)| {
        format!(" ({}, the scene {})", crs_name(own), crs_name(scene))
    });
    Failure::mismatch(
        format!("mask {}", path.display()),
        format!(
            "a polygon that meets the scene ({}, {} to {}, {})",
            low.x, low.y, high.x, high.y
        ),
        format!(
            "{found} polygons elsewhere{}{crs}",
            own.as_ref()
                .map_or_else(String::new, |own| format!(" ({})", show(own)))
        ),
    )
    .hint("does the layer belong to this scene, and is its CRS right? `ogrinfo -so` shows it")
}

fn damaged(path: &Path, error: &GdalError) -> Failure {
    Failure::usage(format!(
        "mask {}: cannot read its polygons ({})",
        path.display(),
        reason(error)
    ))
    .hint("the file may be truncated or damaged; copy it again")
}
