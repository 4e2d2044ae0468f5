//! A collection of broken, hostile and odd rasters: each is read correctly or refused with a
//! message; nothing panics, hangs, takes memory without bound or leaves a file.

mod beside;

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
