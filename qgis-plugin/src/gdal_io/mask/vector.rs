//! Polygons of a vector layer (GeoPackage, GeoJSON, Shapefile, ...) as a mask: reprojected to the
//! CRS of the scene and rasterised. A pixel is marked when its centre lies inside a polygon.

use std::path::Path;

use gdal::vector::OGRwkbGeometryType::{
    wkbGeometryCollection, wkbMultiPolygon, wkbPolygon, wkbUnknown,
};
use gdal::vector::{Envelope, Geometry, LayerAccess, ToGdal};
use gdal::vector::{geometry_type_flatten, geometry_type_to_name};
use gdal::{Dataset, errors::GdalError};
use geo::{BoundingRect, Coord, Intersects, LineString, Polygon, Rect};
use unclouded_core::raster::Window;
use unclouded_core::raster::bits::BitMask;

use super::super::reason;
use super::super::scene::{Scene, crs_name};
use super::grid;
use super::place::{Frame, burn, placed};
use crate::failure::{Failure, Result};

/// Rows that are rasterised at once.
const STRIP_ROWS: usize = 1024;
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
