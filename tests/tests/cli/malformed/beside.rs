//! What lies beside a scene or deep inside it: side cars, references, masks, directories.

use super::*;

/// Files that GDAL reads along with the scene may be broken too.
#[test]
fn broken_side_cars() {
    for (ending, text, expected) in [
        (".aux.xml", "<PAMDataset><SRS>nowhere</SRS>", Filled),
        (
            ".aux.xml",
            "<PAMDataset><GeoTransform>1,2</GeoTransform></PAMDataset>",
            Filled,
        ),
        (
            ".aux.xml",
            "<PAMDataset><PAMRasterBand band=\"7\"><NoDataValue>x</NoDataValue></PAMRasterBand></PAMDataset>",
            Filled,
        ),
        (".ovr", "no overview", Filled),
        (".msk", "no mask", Filled),
    ] {
        let case = Case::new();
        std::fs::write(case.bench.path(&format!("scene.tif{ending}")), text).unwrap();
        case.check(&format!("{ending}: {text}"), expected);
    }
    // A CRS that is none: the mask, which has one, cannot be brought onto the scene's grid, or
    // lies on it anyway.
    let bands: String = (1..=3)
        .map(|band| {
            format!(
                "<VRTRasterBand dataType=\"UInt16\" band=\"{band}\"><SimpleSource>\
                 <SourceFilename relativeToVRT=\"1\">source.tif</SourceFilename>\
                 <SourceBand>{band}</SourceBand></SimpleSource></VRTRasterBand>"
            )
        })
        .collect();
    let hostile = "PROJCS[&quot;".to_owned() + &"x".repeat(50_000);
    let body = format!("<SRS>{hostile}</SRS>{bands}");
    let case = Case::new();
    Spec::new().write(case.bench.path("source.tif"));
    let case = case.text("scene.vrt", &vrt(&body, "48", "40"));
    let run = case.run();
    assert!(matches!(run.code, Some(0 | 2)), "{run:#?}");
    assert!(!run.stderr.contains("internal error"), "{run:#?}");
}

#[test]
fn complex_values_and_directories_without_end() {
    // Complex numbers are no image.
    let made = Case::new();
    let converted = Command::new("gdal_translate")
        .args(["-q", "-ot", "CFloat32"])
        .arg(&made.bench.scene)
        .arg(made.bench.path("complex.tif"))
        .status()
        .unwrap();
    assert!(converted.success());
    let bytes = std::fs::read(made.bench.path("complex.tif")).unwrap();
    std::fs::remove_file(made.bench.path("complex.tif")).unwrap();
    made.bytes(|scene| *scene = bytes.clone())
        .check("complex numbers", Refused("type"));
    // The directory says that it is followed by itself.
    let case = Case::new();
    bare::<u16>(&case.bench.scene, 3, |at| at as u16 + 500);
    case.bytes(|bytes| {
        let directory: [u8; 4] = bytes[4..8].try_into().unwrap();
        let at = u32::from_le_bytes(directory) as usize;
        let entries = u16::from_le_bytes(bytes[at..at + 2].try_into().unwrap());
        let next = at + 2 + 12 * usize::from(entries);
        bytes[next..next + 4].copy_from_slice(&directory);
    })
    .check("a directory that follows itself", Filled);
}

/// So may the image of another date.
#[test]
fn broken_references() {
    let spec = Spec::new();
    let bench = Bench::new(&spec);
    let good = std::fs::read(&bench.scene).unwrap();
    let huge = bench.path("huge.tif");
    bare::<f32>(&huge, 3, |at| if at == 7 { f32::MAX } else { at as f32 });
    let blank = bench.path("blank.tif");
    bare::<f32>(&blank, 3, |_| f32::NAN);
    std::fs::write(bench.path("half.tif"), &good[..good.len() / 2]).unwrap();
    std::fs::write(bench.path("text.tif"), "no raster").unwrap();
    for (name, word) in [
        ("none.tif", "none.tif"),
        ("text.tif", "text.tif"),
        ("half.tif", "reference"),
        ("huge.tif", "no data"),
        ("blank.tif", "nodata or cloud everywhere"),
    ] {
        let reference = bench.path(name);
        let run = bench.restored("out.tif", &["--reference", reference.to_str().unwrap()]);
        assert!(matches!(run.code, Some(1 | 2)), "{name}: {run:#?}");
        assert!(run.stderr.contains(word), "{name}: no {word:?} in {run:#?}");
        for word in ["panicked", "internal error"] {
            assert!(!run.stderr.contains(word), "{name}: {run:#?}");
        }
        assert!(!bench.path("out.tif").exists(), "{name}");
    }
}

/// The mask may be as broken as the scene.
#[test]
fn broken_masks() {
    let spec = Spec::new();
    let bench = Bench::new(&spec);
    let good = std::fs::read(&bench.mask).unwrap();
    let write = |name: &str, bytes: &[u8]| -> PathBuf {
        let path = bench.path(name);
        std::fs::write(&path, bytes).unwrap();
        path
    };
    let square = "[[0,0],[1e308,0],[1e308,1e308],[0,1e308],[0,0]]";
    let feature = |ring: &str| {
        format!(
            r#"{{"type":"FeatureCollection","crs":{{"type":"name","properties":{{"name":"urn:ogc:def:crs:EPSG::32643"}}}},"features":[{{"type":"Feature","properties":{{}},"geometry":{{"type":"Polygon","coordinates":[{ring}]}}}}]}}"#
        )
    };
    let bow_tie =
        "[[500000,3400000],[500400,3399700],[500400,3400000],[500000,3399700],[500000,3400000]]";
    let deep = format!("{}{}", "[".repeat(20_000), "]".repeat(20_000));
    for (name, bytes, code) in [
        ("empty.tif", Vec::new(), Some(2)),
        ("half.tif", good[..good.len() / 2].to_vec(), Some(2)),
        (
            "noise.gpkg",
            b"SQLite format 3\0and no more".to_vec(),
            Some(2),
        ),
        ("noise.shp", vec![0, 0, 0x27, 0x0a, 1, 2, 3], Some(2)),
        (
            "open.geojson",
            b"{\"type\":\"FeatureCollection\"".to_vec(),
            Some(2),
        ),
        ("null.geojson", feature("null").into_bytes(), Some(2)),
        (
            "point.geojson",
            feature("[[500100,3399900]]").into_bytes(),
            Some(2),
        ),
        ("deep.geojson", feature(&deep).into_bytes(), Some(2)),
        ("bow_tie.geojson", feature(bow_tie).into_bytes(), Some(0)),
        ("huge.geojson", feature(square).into_bytes(), None),
    ] {
        let mask = write(name, &bytes);
        let mut command = unclouded();
        command
            .arg("restore")
            .arg(&bench.scene)
            .arg("--mask")
            .arg(&mask);
        command.arg("-o").arg(bench.path("out.tif"));
        command.args(["--steps", "1", "--device", "cpu", "--overwrite"]);
        let run: Run = command.output().unwrap().into();
        assert!(!run.stderr.contains("panicked"), "{name}: {run:#?}");
        assert!(!run.stderr.contains("internal error"), "{name}: {run:#?}");
        match code {
            Some(code) => assert_eq!(run.code, Some(code), "{name}: {run:#?}"),
            None => assert!(matches!(run.code, Some(0 | 2)), "{name}: {run:#?}"),
        }
    }
    // A mask of floats with NaN and infinities marks what equals 1, no more.
    let floats = bench.path("floats.tif");
    bare::<f32>(&floats, 1, |at| [f32::NAN, 1.0, f32::INFINITY, 0.0][at % 4]);
    let mask = bench.path("mask_of_floats.tif");
    let mut command = unclouded();
    command
        .arg("mask")
        .arg(&bench.scene)
        .arg("--mask")
        .arg(&floats)
        .arg("-o")
        .arg(&mask);
    let run: Run = command.output().unwrap().into();
    run.ok();
    let marked = read(&mask)[0].iter().filter(|value| **value == 1.0).count();
    assert_eq!(marked, 48 * 40 / 4);
    // One that covers the scene with a million pixels a pixel.
    let fine = write_mask(bench.path("fine.tif"), (48, 40), spec.epsg, |_, _| 1);
    let options = DatasetOptions {
        open_flags: GdalOpenFlags::GDAL_OF_UPDATE,
        ..Default::default()
    };
    let mut dataset = Dataset::open_ex(&fine, options).unwrap();
    dataset
        .set_geo_transform(&[499_980.0, 1e-3, 0.0, 3_400_020.0, 0.0, -1e-3])
        .unwrap();
    dataset.close().unwrap();
    let mut command = unclouded();
    command
        .arg("mask")
        .arg(&bench.scene)
        .arg("--mask")
        .arg(&fine);
    command.arg("-o").arg(bench.path("none.tif"));
    let run: Run = command.output().unwrap().into();
    run.refused(&["meets the scene"]);
}
