//! A collection of broken, hostile and odd rasters: each is read correctly or refused with a
//! message; nothing panics, hangs, takes memory without bound or leaves a file.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use gdal::raster::{Buffer, GdalType};
use gdal::{Dataset, DatasetOptions, DriverManager, GdalOpenFlags, Metadata};

use crate::fixtures::{Spec, Type, read, write_mask};
use crate::run::{Bench, Run, unclouded};

/// No case is worth more time than this.
const LONGEST: Duration = Duration::from_secs(60);
/// Nor more memory: address space, in KiB, of a program that needs a tenth of it.
const MOST_MEMORY_KIB: usize = 6_000_000;

/// What has to come out.
#[derive(Debug, Clone, Copy)]
enum Expected {
    /// Exit 2, or 1 where the damage shows while reading, with a message that holds this.
    Refused(&'static str),
    /// Exit 0 and clear pixels unchanged.
    Filled,
}
use Expected::{Filled, Refused};

struct Case {
    bench: Bench,
}

impl Case {
    fn new() -> Self {
        Case {
            bench: Bench::new(&Spec::new()),
        }
    }

    fn of(spec: &Spec) -> Self {
        Case {
            bench: Bench::new(spec),
        }
    }

    /// Changes the scene through GDAL.
    fn edit(self, change: impl Fn(&mut Dataset)) -> Self {
        let options = DatasetOptions {
            open_flags: GdalOpenFlags::GDAL_OF_UPDATE,
            ..Default::default()
        };
        let mut dataset = Dataset::open_ex(&self.bench.scene, options).unwrap();
        change(&mut dataset);
        dataset.close().unwrap();
        self
    }

    /// Changes the scene's bytes.
    fn bytes(self, change: impl Fn(&mut Vec<u8>)) -> Self {
        let mut bytes = std::fs::read(&self.bench.scene).unwrap();
        change(&mut bytes);
        std::fs::write(&self.bench.scene, bytes).unwrap();
        self
    }

    /// Replaces the scene by a text in a file of another name.
    fn text(mut self, name: &str, text: &str) -> Self {
        std::fs::remove_file(&self.bench.scene).unwrap();
        self.bench.scene = self.bench.path(name);
        std::fs::write(&self.bench.scene, text).unwrap();
        self
    }

    fn run(&self) -> Run {
        // ulimit: an allocation without bound fails instead of filling the machine.
        let mut restore = self.bench.restore("out.tif", &[]);
        let words: Vec<String> = std::iter::once(restore.get_program())
            .chain(restore.get_args())
            .map(|word| word.to_str().unwrap().to_owned())
            .collect();
        restore = Command::new("sh");
        restore.args([
            "-c",
            &format!("ulimit -v {MOST_MEMORY_KIB}; exec \"$@\""),
            "sh",
        ]);
        restore.args(words).output().unwrap().into()
    }

    fn check(&self, name: &str, expected: Expected) {
        let before: Vec<String> = self.bench.files();
        let started = Instant::now();
        let run = self.run();
        assert!(
            started.elapsed() < LONGEST,
            "{name} took {:?}",
            started.elapsed()
        );
        for word in ["panicked", "internal error", "memory allocation"] {
            assert!(!run.stderr.contains(word), "{name}: {run:#?}");
        }
        match expected {
            Filled => {
                assert_eq!(run.code, Some(0), "{name}: {run:#?}");
                assert!(run.stdout.contains(" 0 of "), "{name}: {run:#?}");
            }
            Refused(word) => {
                assert!(matches!(run.code, Some(1 | 2)), "{name}: {run:#?}");
                assert!(run.stderr.contains("error: "), "{name}: {run:#?}");
                let said = run.stderr.to_lowercase();
                assert!(
                    said.contains(&word.to_lowercase()),
                    "{name}: no {word:?} in {run:#?}"
                );
                assert_eq!(self.bench.files(), before, "{name} left a file");
            }
        }
    }
}

/// A 48 x 40 raster without anything but its values.
fn bare<T: GdalType + Copy>(path: &Path, bands: usize, value: impl Fn(usize) -> T) {
    let driver = DriverManager::get_driver_by_name("GTiff").unwrap();
    let mut dataset = driver
        .create_with_band_type::<T, _>(path, 48, 40, bands)
        .unwrap();
    for number in 1..=bands {
        let values = (0..48 * 40).map(&value).collect();
        let mut buffer = Buffer::new((48, 40), values);
        let mut band = dataset.rasterband(number).unwrap();
        band.write((0, 0), (48, 40), &mut buffer).unwrap();
    }
    dataset.flush_cache().unwrap();
}

fn with<T: GdalType + Copy>(bands: usize, value: impl Fn(usize) -> T) -> Case {
    let case = Case::new();
    bare(&case.bench.scene, bands, value);
    case
}

/// Sets the value of a tag of a classic little-endian TIFF's first directory.
fn set_tag(bytes: &mut [u8], tag: u16, value: u32) {
    let at = |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap()) as usize;
    let directory = at(4);
    let entries = u16::from_le_bytes(bytes[directory..directory + 2].try_into().unwrap());
    for entry in 0..usize::from(entries) {
        let entry = directory + 2 + 12 * entry;
        if u16::from_le_bytes(bytes[entry..entry + 2].try_into().unwrap()) == tag {
            let short = bytes[entry + 2] == 3;
            bytes[entry + 8..entry + 12].copy_from_slice(&value.to_le_bytes());
            if short && value > 65_535 {
                bytes[entry + 2] = 4;
            }
            return;
        }
    }
    panic!("no tag {tag}");
}

fn vrt(body: &str, width: &str, height: &str) -> String {
    format!("<VRTDataset rasterXSize=\"{width}\" rasterYSize=\"{height}\">{body}</VRTDataset>")
}

#[test]
fn damaged_files() {
    for (name, keep, expected) in [
        ("empty", 0.0, Refused("scene.tif")),
        ("a few bytes", 0.01, Refused("scene")),
        ("a third", 0.33, Refused("scene")),
        ("nine tenths", 0.9, Refused("scene")),
    ] {
        Case::of(&Spec::new().size(120, 100))
            .bytes(|bytes| bytes.truncate((bytes.len() as f64 * keep) as usize))
            .check(name, expected);
    }
    Case::new()
        .bytes(|bytes| bytes.fill(0xff))
        .check("all ones", Refused("scene.tif"));
    Case::new()
        .bytes(|bytes| *bytes = b"II*\0\x08\0\0\0\0\0".to_vec())
        .check("no directory entries", Refused("scene.tif"));
    Case::new()
        .bytes(|bytes| bytes[4..8].copy_from_slice(&u32::MAX.to_le_bytes()))
        .check("directory beyond the file", Refused("scene.tif"));
    Case::new()
        .bytes(|bytes| {
            // The compressed pixels become noise; the header stays.
            let middle = bytes.len() / 2;
            bytes[16..middle]
                .iter_mut()
                .enumerate()
                .for_each(|(at, byte)| *byte ^= at as u8 | 1);
        })
        .check("noise for pixels", Refused("scene"));
}

#[test]
fn absurd_headers() {
    for (name, tag, value) in [
        ("four thousand million columns", 256, u32::MAX),
        ("two thousand million rows", 257, 2_000_000_000),
        ("no columns", 256, 0),
        ("no rows", 257, 0),
        ("7 bits a sample", 258, 7),
        ("an unknown compression", 259, 60_000),
        ("65535 bands", 277, 65_535),
        ("strips of no rows", 278, 0),
        ("an unknown sample format", 339, 77),
    ] {
        // Bit depth, format and band count may be stored elsewhere for several bands.
        let case = Case::new();
        bare::<u16>(&case.bench.scene, 1, |at| at as u16 + 500);
        let case = case.bytes(|bytes| set_tag(bytes, tag, value));
        let run = case.run();
        assert!(matches!(run.code, Some(0..=2)), "{name}: {run:#?}");
        for word in ["panicked", "internal error", "memory allocation"] {
            assert!(!run.stderr.contains(word), "{name}: {run:#?}");
        }
        if run.code != Some(0) {
            assert!(run.stderr.contains("error: "), "{name}: {run:#?}");
            assert!(!case.bench.path("out.tif").exists(), "{name}");
        }
    }
}

#[test]
fn virtual_rasters_that_lie() {
    let band = |number: &str, more: &str| {
        format!("<VRTRasterBand dataType=\"UInt16\" band=\"{number}\">{more}</VRTRasterBand>")
    };
    let source = "<SimpleSource><SourceFilename>missing.tif</SourceFilename>\
        <SourceBand>1</SourceBand></SimpleSource>";
    let itself = "<SimpleSource><SourceFilename relativeToVRT=\"1\">scene.vrt</SourceFilename>\
        <SourceBand>1</SourceBand></SimpleSource>";
    for (name, text, expected) in [
        ("no bands", vrt("", "48", "40"), Refused("bands")),
        (
            "negative size",
            vrt(&band("1", ""), "-48", "40"),
            Refused("scene.vrt"),
        ),
        (
            "a million times a million",
            vrt(&band("1", ""), "999999", "999999"),
            Refused("memory-mb"),
        ),
        (
            "larger than any scene",
            vrt(&band("1", ""), "2000000000", "2000000000"),
            Refused("size"),
        ),
        (
            "a source that is missing",
            vrt(&band("1", source), "48", "40"),
            Refused("scene"),
        ),
        (
            "a source that is itself",
            vrt(&band("1", itself), "48", "40"),
            Refused("scene"),
        ),
        (
            "half a document",
            vrt("", "48", "40")[..30].to_owned(),
            Refused("scene.vrt"),
        ),
    ] {
        Case::new().text("scene.vrt", &text).check(name, expected);
    }
    Case::new()
        .text("scene.txt", "\u{0}\u{1}not a raster")
        .check("text", Refused("scene.txt"));
    Case::new()
        .text(
            "scene.asc",
            "ncols 99999999999\nnrows 5\nxllcorner 0\nyllcorner 0\ncellsize 1\n1 2",
        )
        .check("a grid with too many columns", Refused("scene.asc"));
}

#[test]
fn odd_places() {
    let place = |numbers: [f64; 6]| {
        Case::new().edit(move |dataset| dataset.set_geo_transform(&numbers).unwrap())
    };
    // The mask lies on the ordinary grid: these are warped, refused, or taken as they are.
    for (name, numbers, expected) in [
        (
            "turned by 30 degrees",
            [499_980.0, 8.66, 5.0, 3_400_020.0, 5.0, -8.66],
            Filled,
        ),
        (
            "south up",
            [499_980.0, 10.0, 0.0, 3_399_620.0, 0.0, 10.0],
            Filled,
        ),
        (
            "pixels without size",
            [499_980.0, 0.0, 0.0, 3_400_020.0, 0.0, 0.0],
            Refused("geotransform"),
        ),
        (
            "not a number",
            [f64::NAN, 10.0, 0.0, 3_400_020.0, 0.0, -10.0],
            Refused("geotransform"),
        ),
        (
            "infinite",
            [f64::INFINITY, 10.0, 0.0, 3_400_020.0, 0.0, -10.0],
            Refused("geotransform"),
        ),
        (
            "beyond the earth",
            [1e30, 10.0, 0.0, 1e30, 0.0, -10.0],
            Refused("mask"),
        ),
    ] {
        place(numbers).check(name, expected);
    }
    // No CRS and no geotransform at all: size has to do.
    with::<u16>(3, |at| at as u16 + 500).check("no place", Filled);
    Case::of(&Spec {
        epsg: 4326,
        ..Spec::new()
    })
    .check("metres said to be degrees", Filled);
}

#[test]
fn odd_values() {
    let case = |spec: Spec| Case::of(&spec);
    with::<f32>(3, |_| f32::NAN).check("nothing but NaN", Refused("nodata"));
    with::<f32>(3, |at| [f32::INFINITY, f32::NEG_INFINITY][at % 2])
        .check("nothing but infinities", Refused("nodata"));
    with::<f32>(3, |at| if at % 3 == 0 { f32::MAX } else { -f32::MAX })
        .check("the largest floats", Refused("no data"));
    with::<f64>(3, |at| 1e300 * (at as f64 + 1.0)).check("beyond f32", Refused("nodata"));
    with::<f32>(3, |at| f32::from_bits(at as u32 + 1)).check("subnormal floats", Filled);
    with::<u16>(3, |_| 7).check("one value", Filled);
    with::<u16>(3, |at| [0, u16::MAX][at % 2]).check("extremes", Filled);
    with::<u8>(1, |at| at as u8).check("one band", Filled);
    with::<u16>(40, |at| at as u16).check("forty bands", Filled);
    case(Spec::new().size(1, 1)).check("one pixel", Refused("mask"));
    case(Spec::new().kind(Type::F32)).check("floats", Filled);
    Case::new()
        .edit(|dataset| {
            for number in 1..=3 {
                let mut band = dataset.rasterband(number).unwrap();
                band.set_no_data_value(Some(1e40)).unwrap();
            }
        })
        .check("a nodata value no pixel can have", Filled);
    Case::new()
        .edit(|dataset| {
            let long = "x".repeat(100_000);
            dataset.set_metadata_item("LONG", &long, "").unwrap();
            dataset.set_metadata_item("KEY\u{7}", "bell", "").unwrap();
            let mut band = dataset.rasterband(1).unwrap();
            band.set_description("\u{202e}../../etc/passwd\u{0301}")
                .unwrap();
            band.set_scale(f64::INFINITY).unwrap();
            band.set_offset(f64::NAN).unwrap();
        })
        .check("hostile tags", Filled);
    Case::new()
        .edit(|dataset| {
            dataset
                .set_metadata_item("PROCESSING_BASELINE", "NaN", "")
                .unwrap();
            dataset
                .set_metadata_item("BOA_ADD_OFFSET_1", "<script>", "")
                .unwrap();
        })
        .check("tags that are no numbers", Filled);
}

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
    // One that shows the ground nowhere is as good as none.
    let blank = blank.to_str().unwrap();
    let run = bench.restored("out.tif", &["--reference", blank]).ok();
    assert!(run.stdout.contains(" 0 of "), "{run:#?}");
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
