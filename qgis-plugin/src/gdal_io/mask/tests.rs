//! Masks on made-up scenes: warping, polygons, classifications, specks, growth, extents.

mod classes;
mod polygons;

use std::path::PathBuf;

use gdal::raster::{Buffer, GdalType};
use gdal::spatial_ref::SpatialRef;
use gdal::vector::{Geometry, LayerAccess, LayerOptions, OGRwkbGeometryType};
use gdal::{DriverManager, Metadata};
use tempfile::TempDir;
use unclouded_core::raster::{Mask, Window};

use super::MaskReader;
use super::growth::Growth;
use super::request::{MaskFrom, MaskRequest};
use crate::dataset::rng::Rng;
use crate::failure::{Failure, Result};
use crate::gdal_io::scene::Scene;

const HEIGHT: usize = 60;
const WIDTH: usize = 84;
const SCENE: [f64; 6] = [500_000.0, 10.0, 0.0, 3_400_020.0, 0.0, -10.0];
const UTM_43N: u32 = 32643;

struct Bench {
    folder: TempDir,
}

impl Bench {
    fn new() -> Self {
        Bench::at(SCENE, Some(UTM_43N))
    }

    fn at(geotransform: [f64; 6], epsg: Option<u32>) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let bench = Bench { folder };
        bench.raster(
            "scene.tif",
            (WIDTH, HEIGHT),
            Some(geotransform),
            epsg,
            |row, col| (row * WIDTH + col) as u16 + 1,
        );
        bench
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn scene(&self) -> Scene {
        Scene::open(&self.path("scene.tif"), "scene").expect("a scene")
    }

    /// Size is (columns, rows).
    fn raster<T: GdalType + Copy>(
        &self,
        name: &str,
        size: (usize, usize),
        geotransform: Option<[f64; 6]>,
        epsg: Option<u32>,
        value: impl Fn(usize, usize) -> T,
    ) -> PathBuf {
        let driver = DriverManager::get_driver_by_name("GTiff").expect("GeoTIFF");
        let path = self.path(name);
        let mut dataset = driver
            .create_with_band_type::<T, _>(&path, size.0, size.1, 1)
            .expect("created");
        if let Some(numbers) = geotransform {
            dataset.set_geo_transform(&numbers).expect("placed");
        }
        if let Some(code) = epsg {
            let crs = SpatialRef::from_epsg(code).expect("known");
            dataset.set_spatial_ref(&crs).expect("placed");
        }
        let values = (0..size.0 * size.1)
            .map(|at| value(at / size.0, at % size.0))
            .collect();
        let mut buffer = Buffer::new(size, values);
        let mut band = dataset.rasterband(1).expect("a band");
        band.write((0, 0), size, &mut buffer).expect("written");
        path
    }

    /// A layer of WKT geometries.
    fn layer(&self, name: &str, driver: &str, epsg: Option<u32>, geometries: &[String]) -> PathBuf {
        let path = self.path(name);
        let driver = DriverManager::get_driver_by_name(driver).expect("a driver");
        let mut dataset = driver.create_vector_only(&path).expect("created");
        let crs = epsg.map(|code| {
            let mut crs = SpatialRef::from_epsg(code).expect("known");
            let order = gdal::spatial_ref::AxisMappingStrategy::TraditionalGisOrder;
            crs.set_axis_mapping_strategy(order);
            crs
        });
        let mut layer = dataset
            .create_layer(LayerOptions {
                name: "clouds",
                srs: crs.as_ref(),
                ty: OGRwkbGeometryType::wkbUnknown,
                options: None,
            })
            .expect("a layer");
        for wkt in geometries {
            let geometry = Geometry::from_wkt(wkt).expect("sound");
            layer.create_feature(geometry).expect("written");
        }
        dataset.close().expect("written");
        path
    }

    fn read(&self, request: &MaskRequest) -> Result<Mask> {
        let mask = MaskReader::prepare(request, &self.scene(), &mut |_| ())?;
        mask.check_values()?;
        mask.read(Window::full(HEIGHT, WIDTH))
    }
}

/// Not grown, whatever its kind.
fn of(path: PathBuf) -> MaskRequest {
    MaskRequest {
        path: Some(path),
        growth: Growth::Pixels(0),
        ..MaskRequest::default()
    }
}

fn refused(outcome: Result<Mask>, words: &[&str]) {
    let failure: Failure = outcome.expect_err("refused");
    assert_eq!(failure.exit as u8, 2);
    for word in words {
        assert!(
            failure.message.contains(word),
            "{word}: {}",
            failure.message
        );
    }
    assert!(failure.hint.is_some(), "{}", failure.message);
}

#[test]
fn warping_is_exact_on_integer_factors() {
    let mut rng = Rng::new(7);
    for case in 0..60 {
        let random = |rng: &mut Rng, below: usize| (rng.next_u64() % below as u64) as usize;
        // Odd origins and sizes, so that nothing is exact by luck.
        let pixel = [10.0, 0.6, 28.5, 1.0 / 3.0][random(&mut rng, 4)];
        let origin = (
            f64::from(random(&mut rng, 900_000) as u32) + 0.1 * f64::from(case),
            f64::from(random(&mut rng, 9_000_000) as u32) + 0.7,
        );
        let bench = Bench::at([origin.0, pixel, 0.0, origin.1, 0.0, -pixel], Some(UTM_43N));
        let bits: Vec<bool> = (0..WIDTH * HEIGHT)
            .map(|_| rng.next_u64().is_multiple_of(3))
            .collect();
        let factor = 1 + random(&mut rng, 7);
        // Coarser: every pixel of the mask covers factor x factor pixels of the scene, and its
        // grid begins some pixels before the scene's.
        let before = (random(&mut rng, 5), random(&mut rng, 5));
        let coarse = [
            origin.0 - pixel * (before.1 * factor) as f64,
            pixel * factor as f64,
            0.0,
            origin.1 + pixel * (before.0 * factor) as f64,
            0.0,
            -pixel * factor as f64,
        ];
        let size = (
            WIDTH.div_ceil(factor) + before.1,
            HEIGHT.div_ceil(factor) + before.0,
        );
        let value = |row: usize, col: usize| u8::from(bits[(row * size.0 + col) % bits.len()]);
        let path = bench.raster("coarse.tif", size, Some(coarse), Some(UTM_43N), value);
        let expected = Mask::from_fn(HEIGHT, WIDTH, |row, col| {
            value(row / factor + before.0, col / factor + before.1) == 1
        });
        if let Ok(mask) = bench.read(&of(path)) {
            assert!(mask == expected, "case {case}: {factor} times coarser");
        }
        // Finer: the pixel of the mask at the centre decides (right and below it for an even
        // factor, whose centre is a corner).
        let finer = pixel / factor as f64;
        let size = (WIDTH * factor, HEIGHT * factor);
        let fine = [origin.0, finer, 0.0, origin.1, 0.0, -finer];
        let value = |row: usize, col: usize| u8::from(bits[(row * 31 + col * 17) % bits.len()]);
        let path = bench.raster("fine.tif", size, Some(fine), Some(UTM_43N), value);
        let expected = Mask::from_fn(HEIGHT, WIDTH, |row, col| {
            value(row * factor + factor / 2, col * factor + factor / 2) == 1
        });
        let mask = bench.read(&of(path)).expect("some pixels are marked");
        assert!(mask == expected, "case {case}: {factor} times finer");
    }
}

#[test]
fn a_mask_in_another_crs_lies_where_it_lies() {
    let bench = Bench::new();
    // 3 m pixels in degrees around the scene; marked is what lies in a rectangle of the scene.
    let (west, north) = (74.9999, 30.7335);
    let size = (500, 400);
    let step = 3e-5;
    let scene = bench.scene();
    let degrees = {
        let mut crs = SpatialRef::from_epsg(4326).expect("known");
        crs.set_axis_mapping_strategy(gdal::spatial_ref::AxisMappingStrategy::TraditionalGisOrder);
        crs
    };
    let mut own = scene.dataset.spatial_ref().expect("a CRS");
    own.set_axis_mapping_strategy(gdal::spatial_ref::AxisMappingStrategy::TraditionalGisOrder);
    let there = super::grid::coordinates(&degrees, &own, "mask").expect("a way");
    let value = |row: usize, col: usize| {
        let at = (
            west + step * (col as f64 + 0.5),
            north - step * (row as f64 + 0.5),
        );
        let (x, y) = super::grid::transformed(&there, at);
        let (c, r) = ((x - SCENE[0]) / 10.0, (SCENE[3] - y) / 10.0);
        u8::from((20.0..40.0).contains(&r) && (10.0..50.0).contains(&c))
    };
    let numbers = [west, step, 0.0, north, 0.0, -step];
    let path = bench.raster("degrees.tif", size, Some(numbers), Some(4326), value);
    let mask = bench.read(&of(path)).expect("marked");
    // Off by less than a pixel of the mask: at the border of the rectangle only.
    let inner = Mask::from_fn(HEIGHT, WIDTH, |r, c| {
        (21..39).contains(&r) && (11..49).contains(&c)
    });
    let outer = Mask::from_fn(HEIGHT, WIDTH, |r, c| {
        (19..41).contains(&r) && (9..51).contains(&c)
    });
    assert!(mask.and(&inner) == inner);
    assert_eq!(mask.and_not(&outer).count(), 0);
    assert!(
        (mask.count() as f64 / 800.0 - 1.0).abs() < 0.03,
        "{}",
        mask.count()
    );
}

#[test]
fn a_mask_that_covers_a_part_leaves_the_rest_clear_and_says_so() -> Result<()> {
    let bench = Bench::new();
    let part = [SCENE[0] + 100.0, 10.0, 0.0, SCENE[3] - 50.0, 0.0, -10.0];
    let path = bench.raster("part.tif", (20, 15), Some(part), Some(UTM_43N), |_, _| 1_u8);
    let scene = bench.scene();
    let mask = MaskReader::prepare(&of(path), &scene, &mut |_| ())?;
    let expected = Mask::from_fn(HEIGHT, WIDTH, |r, c| {
        (5..20).contains(&r) && (10..30).contains(&c)
    });
    assert!(mask.read(Window::full(HEIGHT, WIDTH))? == expected);
    assert!(
        mask.notes.iter().any(|note| note.contains("uncovered")),
        "{:?}",
        mask.notes
    );
    let far = [SCENE[0] + 1e5, 10.0, 0.0, SCENE[3], 0.0, -10.0];
    let path = bench.raster("far.tif", (20, 15), Some(far), Some(UTM_43N), |_, _| 1_u8);
    refused(bench.read(&of(path)), &["meets the scene", "elsewhere"]);
    Ok(())
}

#[test]
fn specks_go_before_the_mask_grows() -> Result<()> {
    let bench = Bench::new();
    let path = bench.raster(
        "m.tif",
        (WIDTH, HEIGHT),
        Some(SCENE),
        Some(UTM_43N),
        |row, col| {
            u8::from((row, col) == (5, 5) || ((30..34).contains(&row) && (30..35).contains(&col)))
        },
    );
    let request = |dilate_px, min_area_px| MaskRequest {
        growth: Growth::Pixels(dilate_px),
        min_area_px,
        ..of(path.clone())
    };
    assert_eq!(bench.read(&request(0, 0))?.count(), 21);
    assert_eq!(bench.read(&request(1, 0))?.count(), 5 + 20 + 18);
    assert_eq!(bench.read(&request(1, 2))?.count(), 20 + 18);
    refused(bench.read(&request(1, 21)), &["--min-area-px"]);
    Ok(())
}

#[test]
fn only_the_extent_is_filled_and_the_rest_is_left_out() -> Result<()> {
    let bench = Bench::new();
    let path = bench.raster(
        "m.tif",
        (WIDTH, HEIGHT),
        Some(SCENE),
        Some(UTM_43N),
        |_, col| u8::from(col < 50),
    );
    let request = |extent| MaskRequest {
        extent: Some(extent),
        ..of(path.clone())
    };
    // Columns 40 to 59, rows 10 to 29.
    let inside = [
        SCENE[0] + 400.0,
        SCENE[3] - 300.0,
        SCENE[0] + 600.0,
        SCENE[3] - 100.0,
    ];
    let scene = bench.scene();
    let mask = MaskReader::prepare(&request(inside), &scene, &mut |_| ())?;
    let all = Window::full(HEIGHT, WIDTH);
    let expected = Mask::from_fn(HEIGHT, WIDTH, |r, c| {
        (10..30).contains(&r) && (40..50).contains(&c)
    });
    assert!(mask.read(all)? == expected);
    let left = mask.left_out(all).expect("an extent");
    assert_eq!(left.count(), 50 * HEIGHT - 200);
    assert_eq!(left.and(&expected).count(), 0);
    for (wrong, word) in [
        ([1.0, 1.0, 0.0, 2.0], "XMIN < XMAX"),
        ([0.0, 0.0, f64::NAN, 2.0], "XMIN < XMAX"),
        ([0.0, 0.0, 1.0, 1.0], "a part of the scene"),
    ] {
        refused(bench.read(&request(wrong)), &[word]);
    }
    Ok(())
}

#[test]
fn the_scenes_own_band_of_classes_is_used_and_is_no_image() -> Result<()> {
    let bench = Bench::new();
    let driver = DriverManager::get_driver_by_name("GTiff").expect("GeoTIFF");
    let mut dataset = driver
        .create_with_band_type::<u16, _>(bench.path("scene.tif"), WIDTH, HEIGHT, 3)
        .expect("created");
    dataset.set_geo_transform(&SCENE).expect("placed");
    for (number, name) in [(1, "B04"), (2, "SCL, Scene Classification"), (3, "B8A")] {
        let mut band = dataset.rasterband(number).expect("a band");
        band.set_description(name).expect("described");
        let values = (0..WIDTH * HEIGHT)
            .map(|at| if at % 7 == 0 { 9 } else { 4 })
            .collect();
        let mut buffer = Buffer::new((WIDTH, HEIGHT), values);
        band.write((0, 0), (WIDTH, HEIGHT), &mut buffer)
            .expect("written");
    }
    dataset.close().expect("written");
    let mask = bench.read(&MaskRequest {
        from: Some(MaskFrom::Scl),
        growth: Growth::Pixels(0),
        ..MaskRequest::default()
    })?;
    assert_eq!(mask.count(), WIDTH * HEIGHT / 7);
    assert_eq!(bench.scene().data_bands(), [1, 3]);
    assert_eq!(bench.scene().info.kept_bands(), [2]);
    Ok(())
}
