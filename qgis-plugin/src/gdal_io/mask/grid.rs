//! From a pixel of the scene to the pixel of another raster at the same place, whatever its grid
//! and CRS.

use gdal::Dataset;
use gdal::spatial_ref::{AxisMappingStrategy, CoordTransform, SpatialRef};

use super::super::scene::{Scene, crs_name, geotransform};
use super::super::{last_error, reason};
use crate::failure::{Failure, Result};

/// How far apart the corners of scene and mask may lie, in pixels of the scene, to count as one
/// grid.
const GRID_TOLERANCE_PX: f64 = 0.05;
/// A reprojected position may be interpolated between exact ones when it is off by no more than
/// this, in pixels of the other raster.
const APPROXIMATION_PX: f64 = 0.02;
/// A centre that falls onto the border of two pixels belongs to the right or lower one, also
/// when rounding put it a hair to the left.
const SNAP_PX: f64 = 1e-6;

/// Where pixels of the scene lie in another raster.
pub enum GridMap {
    /// The other raster has the scene's own pixels.
    Same,
    /// Another grid, perhaps in another CRS.
    Warped(Warp),
}

/// The way from the scene's grid to another: centre of a pixel, coordinates, CRS, pixel.
pub struct Warp {
    scene: [f64; 6],
    inverse: [f64; 6],
    transform: Option<CoordTransform>,
}

impl GridMap {
    /// Compare the grids of a scene and of another raster; `what` is what that is to the user.
    ///
    /// # Errors
    /// Exit 2 if they differ in size and one of them is not georeferenced, if the geotransform
    /// is degenerate, or if there is no way between the two CRS.
    pub fn new(scene: &Scene, other: &Dataset, what: &str) -> Result<Self> {
        let info = &scene.info;
        // (cols, rows)
        let same_size = other.raster_size() == (info.width, info.height);
        let (own, theirs) = (geotransform(other), info.geotransform);
        let (Some(own), Some(theirs)) = (own, theirs) else {
            return if same_size {
                Ok(GridMap::Same)
            } else {
                Err(other_size(other, scene, what, own.is_none()))
            };
        };
        let crs = crs_pair(other.spatial_ref().ok(), scene.dataset.spatial_ref().ok());
        if crs.is_none() && same_size {
            let apart = corner_distance_px(own, theirs, info.width as f64, info.height as f64);
            if apart <= GRID_TOLERANCE_PX {
                return Ok(GridMap::Same);
            }
        }
        let transform = crs
            .map(|(other, scene)| coordinates(&scene, &other, what))
            .transpose()?;
        let inverse = inverse(own).ok_or_else(|| {
            Failure::mismatch(
                format!("geotransform of the {what}"),
                "six numbers that place every pixel",
                format!("{own:?}"),
            )
            .hint("set it with gdal_edit.py -a_ullr, or make the raster again")
        })?;
        if inverse_is_missing(theirs) {
            return Err(Failure::mismatch(
                "geotransform of the scene",
                "six numbers that place every pixel",
                format!("{theirs:?}"),
            )
            .hint("set it with gdal_edit.py -a_ullr; or give a mask of the scene's own size without georeference"));
        }
        Ok(GridMap::Warped(Warp {
            scene: theirs,
            inverse,
            transform,
        }))
    }
}

fn inverse_is_missing(numbers: [f64; 6]) -> bool {
    inverse(numbers).is_none()
}

impl Warp {
    /// Columns and rows of the other raster under the pixels `cols` of row `row` of the scene;
    /// NaN where there is no such place. May lie outside the other raster.
    pub fn row(&self, row: usize, cols: std::ops::Range<usize>, out: &mut Vec<(f64, f64)>) {
        let Some(last) = cols.end.checked_sub(1) else {
            return;
        };
        let Some(transform) = &self.transform else {
            out.extend(cols.map(|col| self.pixel(self.centre(row, col))));
            return;
        };
        let exact = |col: usize| self.pixel(transformed(transform, self.centre(row, col)));
        let first = exact(cols.start);
        out.push(first);
        if last > cols.start {
            between((cols.start, first), (last, exact(last)), &exact, out);
        }
    }

    fn centre(&self, row: usize, col: usize) -> (f64, f64) {
        apply(self.scene, col as f64 + 0.5, row as f64 + 0.5)
    }

    fn pixel(&self, (x, y): (f64, f64)) -> (f64, f64) {
        let (col, row) = apply(self.inverse, x, y);
        (col + SNAP_PX, row + SNAP_PX)
    }
}

/// A pixel of the scene's column and where it lies.
type Placed = (usize, (f64, f64));

/// Positions right of `a` up to `b`: interpolated if the one in the middle shows that this is
/// good enough, else by halves (as GDAL's approximating transformer does).
fn between(a: Placed, b: Placed, exact: &impl Fn(usize) -> (f64, f64), out: &mut Vec<(f64, f64)>) {
    let steps = b.0 - a.0;
    if steps > 1 {
        let middle = a.0 + steps / 2;
        let at = |col: usize| {
            let share = (col - a.0) as f64 / steps as f64;
            (
                a.1.0 + (b.1.0 - a.1.0) * share,
                a.1.1 + (b.1.1 - a.1.1) * share,
            )
        };
        let (guess, truth) = (at(middle), exact(middle));
        // False for NaN, from a place the CRS does not know.
        let good = (guess.0 - truth.0).hypot(guess.1 - truth.1) <= APPROXIMATION_PX;
        if !good {
            between(a, (middle, truth), exact, out);
            between((middle, truth), b, exact, out);
            return;
        }
        out.extend((a.0 + 1..b.0).map(at));
    }
    out.push(b.1);
}

/// A point in the other CRS; NaN where it has no coordinates there.
pub fn transformed(transform: &CoordTransform, (x, y): (f64, f64)) -> (f64, f64) {
    let (mut xs, mut ys) = ([x], [y]);
    let known = transform
        .transform_coords(&mut xs, &mut ys, &mut [])
        .is_ok();
    if known && xs[0].is_finite() && ys[0].is_finite() {
        (xs[0], ys[0])
    } else {
        (f64::NAN, f64::NAN)
    }
}

/// The transformation between two CRS, in x, y order whatever the authority says.
///
/// # Errors
/// Exit 2 if there is none.
pub fn coordinates(from: &SpatialRef, to: &SpatialRef, what: &str) -> Result<CoordTransform> {
    CoordTransform::new(from, to).map_err(|error| {
        let why = match reason(&error) {
            why if why.is_empty() => last_error(),
            why => why,
        };
        Failure::mismatch(
            format!("CRS of the {what}"),
            format!("one that can be reached from {}", crs_name(from)),
            format!("{} ({why})", crs_name(to)),
        )
        .hint("reproject it to the CRS of the scene first, with gdalwarp or ogr2ogr -t_srs")
    })
}

/// Both CRS, with x before y, if both are known and differ.
pub fn crs_pair(
    own: Option<SpatialRef>,
    scene: Option<SpatialRef>,
) -> Option<(SpatialRef, SpatialRef)> {
    let (mut own, mut scene) = (own?, scene?);
    own.set_axis_mapping_strategy(AxisMappingStrategy::TraditionalGisOrder);
    scene.set_axis_mapping_strategy(AxisMappingStrategy::TraditionalGisOrder);
    (own != scene && crs_name(&own) != crs_name(&scene)).then_some((own, scene))
}

/// Coordinates of a place in pixels.
pub fn apply(numbers: [f64; 6], col: f64, row: f64) -> (f64, f64) {
    (
        numbers[0] + col * numbers[1] + row * numbers[2],
        numbers[3] + col * numbers[4] + row * numbers[5],
    )
}

/// The geotransform from coordinates to pixels; `None` if there is none.
pub fn inverse(numbers: [f64; 6]) -> Option<[f64; 6]> {
    let [x, a, b, y, c, d] = numbers;
    let determinant = a * d - b * c;
    let scale = (a.abs() + b.abs()) * (c.abs() + d.abs());
    let sound = numbers.iter().all(|number| number.is_finite())
        && determinant.abs() > scale * 1e-12
        && determinant.is_normal();
    let (a, b, c, d) = (
        d / determinant,
        -b / determinant,
        -c / determinant,
        a / determinant,
    );
    let back = [-(a * x + b * y), a, b, -(c * x + d * y), c, d];
    (sound && back.iter().all(|number| number.is_finite())).then_some(back)
}

fn other_size(other: &Dataset, scene: &Scene, what: &str, mask_is_bare: bool) -> Failure {
    let (width, height) = other.raster_size();
    let bare = if mask_is_bare { what } else { "scene" };
    Failure::mismatch(
        format!("{what} size"),
        format!(
            "{} x {} px as the scene (width x height), since the {bare} is not georeferenced",
            scene.info.width, scene.info.height
        ),
        format!("{width} x {height}"),
    )
    .hint(format!(
        "georeference the {bare} (gdal_edit.py -a_srs -a_ullr), or bring the {what} onto the scene's grid"
    ))
}

/// The largest distance of corresponding corners, in pixels of `b`.
fn corner_distance_px(a: [f64; 6], b: [f64; 6], width: f64, height: f64) -> f64 {
    let pixel = b[1].abs().max(b[2].abs()).min(b[4].abs().max(b[5].abs()));
    let mut largest = 0.0_f64;
    for (col, row) in [(0.0, 0.0), (width, 0.0), (0.0, height), (width, height)] {
        let (one, other) = (apply(a, col, row), apply(b, col, row));
        let distance = (one.0 - other.0).hypot(one.1 - other.1) / pixel;
        if distance.is_nan() {
            return f64::NAN;
        }
        largest = largest.max(distance);
    }
    largest
}

#[cfg(test)]
mod tests {
    use super::*;

    const SCENE: [f64; 6] = [500_000.0, 10.0, 0.0, 4_000_000.0, 0.0, -10.0];

    #[test]
    fn corners_are_compared_in_pixels() {
        let mut mask = SCENE;
        assert_eq!(corner_distance_px(mask, SCENE, 100.0, 100.0), 0.0);
        mask[0] += 5.0;
        assert!((corner_distance_px(mask, SCENE, 100.0, 100.0) - 0.5).abs() < 1e-9);
        mask[1] = f64::NAN;
        assert!(corner_distance_px(mask, SCENE, 100.0, 100.0).is_nan());
    }

    #[test]
    fn a_rotated_grid_is_inverted_and_a_flat_one_is_not() {
        let rotated = [3.0, 2.0, 0.5, -7.0, 0.25, -4.0];
        let back = inverse(rotated).expect("sound");
        let (x, y) = apply(rotated, 11.5, 3.25);
        let (col, row) = apply(back, x, y);
        assert!((col - 11.5).abs() < 1e-9 && (row - 3.25).abs() < 1e-9);
        for flat in [
            [0.0, 0.0, 0.0, 0.0, 0.0, 0.0],
            [0.0, 1.0, 1.0, 0.0, 1.0, 1.0],
            [0.0, f64::NAN, 0.0, 0.0, 0.0, 1.0],
            [0.0, 1e300, 0.0, 0.0, 0.0, 1e300],
        ] {
            assert_eq!(inverse(flat), None, "{flat:?}");
        }
    }

    #[test]
    fn reprojected_rows_are_interpolated_no_worse_than_promised() {
        let crs = |code| {
            let mut crs = SpatialRef::from_epsg(code).expect("known");
            crs.set_axis_mapping_strategy(AxisMappingStrategy::TraditionalGisOrder);
            crs
        };
        let transform = coordinates(&crs(32643), &crs(4326), "mask").expect("a way");
        // 3 m pixels in degrees: a full tile is far from linear.
        let other = [70.0, 3e-5, 0.0, 40.0, 0.0, -3e-5];
        let warp = Warp {
            scene: SCENE,
            inverse: inverse(other).expect("sound"),
            transform: Some(transform),
        };
        let mut row = Vec::new();
        warp.row(70, 0..10_980, &mut row);
        assert_eq!(row.len(), 10_980);
        let transform = warp.transform.as_ref().expect("another CRS");
        for col in (0..10_980).step_by(613) {
            let exact = warp.pixel(transformed(transform, warp.centre(70, col)));
            let off = (row[col].0 - exact.0).hypot(row[col].1 - exact.1);
            assert!(
                off <= 2.0 * APPROXIMATION_PX,
                "column {col} is off by {off} px"
            );
        }
    }
}
