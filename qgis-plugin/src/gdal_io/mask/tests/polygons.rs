//! Polygons as masks: formats, CRS, holes, layers, and what is no polygon.

use gdal::spatial_ref::SpatialRef;
use gdal::vector::{Geometry, LayerAccess, LayerOptions, OGRwkbGeometryType};
use unclouded_core::raster::Mask;

use super::{Bench, HEIGHT, SCENE, UTM_43N, WIDTH, of, refused};
use crate::gdal_io::mask::request::{MaskFrom, MaskRequest};

/// Polygon of a rectangle of pixels of the scene, as WKT.
fn rectangle(rows: std::ops::Range<usize>, cols: std::ops::Range<usize>) -> String {
    let x = |col: usize| SCENE[0] + 10.0 * col as f64;
    let y = |row: usize| SCENE[3] - 10.0 * row as f64;
    let (left, right) = (x(cols.start), x(cols.end));
    let (top, bottom) = (y(rows.start), y(rows.end));
    format!("POLYGON(({left} {top},{right} {top},{right} {bottom},{left} {bottom},{left} {top}))")
}

#[test]
fn polygons_of_every_format_and_crs_mark_the_pixels_they_hold() {
    let bench = Bench::new();
    let expected = Mask::from_fn(HEIGHT, WIDTH, |row, col| {
        let first = (5..25).contains(&row) && (10..40).contains(&col);
        let hole = (10..15).contains(&row) && (20..30).contains(&col);
        let second = (40..50).contains(&row) && (60..84).contains(&col);
        (first && !hole) || second
    });
    let outer = rectangle(5..25, 10..40);
    let hole = rectangle(10..15, 20..30);
    let with_hole = format!(
        "{},{}",
        outer.strip_suffix(')').expect("a polygon"),
        hole.strip_prefix("POLYGON(").expect("a polygon")
    );
    // Reaches beyond the scene, inside a collection, with height.
    let second = rectangle(40..50, 60..2000);
    let collection = format!("GEOMETRYCOLLECTION({second},POINT(500100 3400000))");
    let geometries = [with_hole, collection];
    for (name, driver) in [
        ("m.gpkg", "GPKG"),
        ("m.geojson", "GeoJSON"),
        ("m.sqlite", "SQLite"),
    ] {
        // GeoJSON written by GDAL carries its CRS.
        let path = bench.layer(name, driver, Some(UTM_43N), &geometries);
        let mask = bench.read(&of(path)).expect("polygons");
        assert!(mask == expected, "{name}");
    }
}

#[test]
fn polygons_without_sense_are_refused() {
    let bench = Bench::new();
    let inside = rectangle(5..25, 10..40);
    let layer = |name: &str, epsg: Option<u32>, geometries: &[&str]| {
        let geometries: Vec<String> = geometries.iter().map(|wkt| (*wkt).to_owned()).collect();
        of(bench.layer(name, "GPKG", epsg, &geometries))
    };
    let far = "POLYGON((0 0,1 0,1 1,0 1,0 0))";
    refused(
        bench.read(&layer("far.gpkg", Some(UTM_43N), &[far])),
        &["meets the scene", "1 polygons"],
    );
    refused(
        bench.read(&layer("pole.gpkg", Some(4326), &[far])),
        &["meets the scene", "4326"],
    );
    refused(
        bench.read(&layer("none.gpkg", Some(UTM_43N), &[])),
        &["polygons", "none"],
    );
    let line = "LINESTRING(500100 3400000,500200 3400000)";
    refused(
        bench.read(&layer("line.gpkg", Some(UTM_43N), &[line])),
        &["only line"],
    );
    // Between the centres of four pixels.
    let speck =
        "POLYGON((500009 3400011,500011 3400011,500011 3400009,500009 3400009,500009 3400011))";
    refused(
        bench.read(&layer("speck.gpkg", Some(UTM_43N), &[speck])),
        &["centre"],
    );
    let values = MaskRequest {
        values: vec![3.0],
        ..layer("values.gpkg", Some(UTM_43N), &[&inside])
    };
    refused(bench.read(&values), &["--mask-values", "vector"]);
    let scl = MaskRequest {
        from: Some(MaskFrom::Scl),
        ..layer("scl.gpkg", Some(UTM_43N), &[&inside])
    };
    refused(bench.read(&scl), &["scl", "vector"]);
    // The same polygon over a scene without a place.
    let bare = Bench::at([0.0, 1.0, 0.0, 0.0, 0.0, 1.0], None);
    let request = of(bare.layer("m.gpkg", "GPKG", Some(UTM_43N), &[inside]));
    refused(bare.read(&request), &["georeferenced"]);
}

#[test]
fn a_layer_of_several_has_to_be_named() {
    let bench = Bench::new();
    let path = bench.layer("two.gpkg", "GPKG", Some(UTM_43N), &[rectangle(0..9, 0..9)]);
    {
        let update = gdal::DatasetOptions {
            open_flags: gdal::GdalOpenFlags::GDAL_OF_UPDATE | gdal::GdalOpenFlags::GDAL_OF_VECTOR,
            ..Default::default()
        };
        let mut dataset = gdal::Dataset::open_ex(&path, update).expect("open");
        let crs = SpatialRef::from_epsg(UTM_43N).expect("known");
        let mut layer = dataset
            .create_layer(LayerOptions {
                name: "fields",
                srs: Some(&crs),
                ty: OGRwkbGeometryType::wkbPolygon,
                options: None,
            })
            .expect("a layer");
        let field = Geometry::from_wkt(&rectangle(20..40, 20..40)).expect("sound");
        layer.create_feature(field).expect("written");
    }
    refused(bench.read(&of(path.clone())), &["clouds", "fields"]);
    let named = |layer: &str| of(format!("{}|layername={layer}", path.display()).into());
    let fields = bench.read(&named("fields")).expect("polygons");
    assert_eq!(fields.count(), 400);
    refused(bench.read(&named("roads")), &["roads", "clouds"]);
}
