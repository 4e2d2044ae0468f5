//! From a file through source and sink into a file, with a fill that needs no model.

use std::path::{Path, PathBuf};

use gdal::raster::Buffer;
use gdal::{DriverManager, Metadata};
use tempfile::TempDir;
use unclouded_core::raster::Window;
use unclouded_core::restore::{FilledRows, SceneSink, SceneSource};

use super::dtype::{Native, StoredValue};
use super::format::Format;
use super::mask::MaskReader;
use super::scene::Scene;
use super::sink::{GdalSink, Targets, Written};
use super::source::{Coverage, GdalSource, read_native};
use super::verify::verify;
use crate::failure::Result;

const WIDTH: usize = 40;
const HEIGHT: usize = 30;
const HOLE: std::ops::Range<usize> = 10..20;

/// A two-band scene with a value for every pixel, and a mask with a square hole.
struct Fixture {
    folder: TempDir,
}

impl Fixture {
    fn new<T: Native>(nodata: Option<f64>, value: impl Fn(usize) -> T) -> Self {
        let fixture = Fixture {
            folder: tempfile::tempdir().expect("a temporary folder"),
        };
        let values: Vec<T> = (0..WIDTH * HEIGHT).map(value).collect();
        fixture.raster("scene.tif", &[values.clone(), values], nodata);
        let hole =
            |index: usize| HOLE.contains(&(index / WIDTH)) && HOLE.contains(&(index % WIDTH));
        let mask = (0..WIDTH * HEIGHT)
            .map(|index| u8::from(hole(index)))
            .collect();
        fixture.raster::<u8>("mask.tif", &[mask], None);
        fixture
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn raster<T: Native>(&self, name: &str, bands: &[Vec<T>], nodata: Option<f64>) {
        let driver = DriverManager::get_driver_by_name("GTiff").expect("GeoTIFF");
        let mut dataset = driver
            .create_with_band_type::<T, _>(self.path(name), WIDTH, HEIGHT, bands.len())
            .expect("created");
        dataset
            .set_geo_transform(&[5e5, 10.0, 0.0, 4e6, 0.0, -10.0])
            .expect("placed");
        dataset
            .set_metadata_item("SENSOR", "made up", "")
            .expect("described");
        for (index, values) in bands.iter().enumerate() {
            let mut band = dataset.rasterband(index + 1).expect("a band");
            band.set_no_data_value(nodata).expect("nodata");
            band.set_description(&format!("B0{index}"))
                .expect("described");
            let mut values = Buffer::new((WIDTH, HEIGHT), values.clone());
            band.write((0, 0), (WIDTH, HEIGHT), &mut values)
                .expect("written");
        }
    }

    fn open(&self) -> Result<(Scene, MaskReader)> {
        let scene = Scene::open(&self.path("scene.tif"), "scene")?;
        let mask = MaskReader::open(&self.path("mask.tif"), &scene, &[1.0], 0)?;
        Ok((scene, mask))
    }

    /// Fill the hole with one value and write everything.
    fn fill(&self, scene: &Scene, mask: &MaskReader, value: f32) -> Result<(Written, Coverage)> {
        let mut source = GdalSource::new(scene, mask);
        let coverage = source.coverage(|_| ())?;
        let (out, std, kinds) = (self.path("out.tif"), self.path("u.tif"), self.path("p.tif"));
        let targets = Targets {
            scene: &out,
            uncertainty: Some(&std),
            provenance: Some(&kinds),
            overwrite: false,
            format: Format::default(),
            max_uncertainty: None,
        };
        let mut sink = GdalSink::create(scene, &targets, &[("SEED".into(), "7".into())])?;
        for (row, height) in [(0, 13), (13, HEIGHT - 13)] {
            let window = Window {
                row,
                col: 0,
                height,
                width: WIDTH,
            };
            let read = source.read(window)?;
            let filled = read.mask.and(&read.valid);
            // The sink must take nothing but the filled pixels from here.
            let mut image = read.image.clone();
            image.data.fill(value);
            let std = Some(image.clone());
            sink.write(FilledRows {
                window,
                image,
                std,
                filled,
                valid: read.valid,
            })?;
        }
        Ok((sink.finish()?, coverage))
    }
}

fn band<T: Native>(path: &Path, number: usize) -> Vec<T> {
    let dataset = super::open_raster(path, "test").expect("opened");
    read_native(&dataset, number, Window::full(HEIGHT, WIDTH)).expect("read")
}

/// Write, verify, and compare every pixel with what it has to be.
fn survives<T: Native>(nodata: Option<f64>, value: impl Fn(usize) -> T, fill: f32, stored: T) {
    let fixture = Fixture::new(nodata, value);
    let run = || -> Result<()> {
        let (scene, mask) = fixture.open()?;
        let (written, coverage) = fixture.fill(&scene, &mask, fill)?;
        let verified = verify(&scene, &mask, coverage, written.scene.path(), |_| ())?;
        assert_eq!((verified.changed, verified.clear), (0, coverage.clear()));
        written.commit()
    };
    run().expect("restored");
    let kinds = band::<u8>(&fixture.path("p.tif"), 1);
    let stds = band::<f32>(&fixture.path("u.tif"), 1);
    for number in [1, 2] {
        let before = band::<T>(&fixture.path("scene.tif"), number);
        let after = band::<T>(&fixture.path("out.tif"), number);
        for index in 0..before.len() {
            let expected = if kinds[index] == 2 {
                stored
            } else {
                before[index]
            };
            assert!(
                after[index].same_bits(expected),
                "pixel {index} of band {number}"
            );
            let std = match kinds[index] {
                1 => stds[index] == 0.0,
                2 => stds[index] == fill,
                _ => stds[index].is_nan(),
            };
            assert!(std, "uncertainty of pixel {index}");
        }
    }
    assert!(kinds.contains(&2));
}

#[test]
fn every_type_keeps_its_clear_pixels() {
    survives::<u8>(Some(0.0), |index| (index % 256) as u8, 0.3, 1);
    survives::<u16>(None, |index| (index * 50) as u16, 7000.6, 7001);
    survives::<i16>(Some(-9999.0), |index| (index as i16 - 600) * 40, -12.5, -13);
    // Values f32 cannot hold.
    survives::<u32>(None, |index| u32::MAX - index as u32, 5.0, 5);
    survives::<i32>(None, |index| i32::MIN + 1 + index as i32, -5.0, -5);
    survives::<f32>(
        Some(f64::NAN),
        |index| {
            if index % 7 == 0 {
                f32::NAN
            } else {
                index as f32 * 0.1
            }
        },
        0.5,
        0.5,
    );
    survives::<f64>(None, |index| 1.0 / (index as f64 + 3.0), 0.25, 0.25);
}

/// Any bits at all: the splitmix64 generator (Steele, Lea & Flood 2014).
fn bits(seed: u64, index: usize) -> u64 {
    let mut z = (seed << 32 | index as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ z >> 31
}

#[test]
fn clear_pixels_survive_whatever_their_bits_are() {
    for seed in 1..6 {
        let of = |index| bits(seed, index);
        // A nodata value that occurs, and none.
        let some = |value: f64| (seed % 2 == 0).then_some(value);
        let (byte, word) = (of(3) as u8, of(3) as u16);
        let stored = u8::from_fill(77.4, some(byte.into()).map(|_| byte));
        survives::<u8>(some(byte.into()), |i| of(i) as u8, 77.4, stored);
        let stored = u16::from_fill(-4.0, some(word.into()).map(|_| word));
        survives::<u16>(some(word.into()), |i| of(i) as u16, -4.0, stored);
        survives::<i16>(some(-1.0), |i| of(i) as i16, 12.5, 13);
        survives::<u32>(some(0.0), |i| of(i) as u32, 0.0, u32::from(seed % 2 == 0));
        survives::<i32>(some(7.0), |i| of(i) as i32, -1e6, -1_000_000);
        // NaN with any payload, infinities, denormal numbers, -0.
        survives::<f32>(some(f64::NAN), |i| f32::from_bits(of(i) as u32), 0.5, 0.5);
        survives::<f64>(some(-9999.0), |i| f64::from_bits(of(i)), 0.5, 0.5);
    }
}

#[test]
fn an_offset_comes_back_exactly_for_every_16_bit_value() {
    for shift in [-1000.0_f32, 1000.0, -1.0] {
        for stored in 0..=u16::MAX {
            let (back, signed) = (stored.to_f32() + shift - shift, stored as i16);
            assert_eq!(u16::from_fill(f64::from(back), None), stored);
            let back = signed.to_f32() + shift - shift;
            assert_eq!(i16::from_fill(f64::from(back), None), signed);
        }
    }
}

#[test]
fn names_place_and_metadata_survive() -> Result<()> {
    let fixture = Fixture::new::<u16>(Some(0.0), |index| index as u16 + 1);
    let (scene, mask) = fixture.open()?;
    fixture.fill(&scene, &mask, 9.0)?.0.commit()?;
    let out = Scene::open(&fixture.path("out.tif"), "scene")?;
    assert_eq!(out.info.geotransform, scene.info.geotransform);
    assert_eq!(
        (out.info.dtype, out.info.nodata),
        (scene.info.dtype, Some(0.0))
    );
    assert_eq!(out.info.bands[1].description, "B01");
    assert_eq!(
        out.dataset.metadata_item("SENSOR", "").as_deref(),
        Some("made up")
    );
    assert_eq!(out.dataset.metadata_item("SEED", "").as_deref(), Some("7"));
    Ok(())
}

#[test]
fn a_changed_pixel_is_found_and_an_unfinished_run_leaves_nothing() -> Result<()> {
    let fixture = Fixture::new::<u16>(None, |index| index as u16);
    let (scene, mask) = fixture.open()?;
    let (written, coverage) = fixture.fill(&scene, &mask, 9.0)?;
    // A file that differs from the scene in its first pixel.
    let mut other: Vec<u16> = (0..WIDTH * HEIGHT).map(|index| index as u16).collect();
    other[0] = 1;
    fixture.raster("other.tif", &[other.clone(), other], None);
    let outcome = verify(&scene, &mask, coverage, &fixture.path("other.tif"), |_| ());
    let failure = outcome.expect_err("a change");
    assert!(
        failure.exit as u8 == 1 && failure.message.starts_with("1 of "),
        "{failure}"
    );
    drop(written);
    for name in ["out.tif", "u.tif", "p.tif"] {
        assert!(!fixture.path(name).exists(), "{name}");
    }
    Ok(())
}

#[test]
fn dilation_does_not_depend_on_the_window() -> Result<()> {
    let fixture = Fixture::new::<u8>(None, |_| 1);
    let (scene, _) = fixture.open()?;
    let mask = MaskReader::open(&fixture.path("mask.tif"), &scene, &[1.0], 3)?;
    let whole = mask.read(Window::full(HEIGHT, WIDTH))?;
    assert!(whole.at(HOLE.start - 3, HOLE.start) && !whole.at(HOLE.start - 4, HOLE.start));
    for (row, col) in [(0, 0), (7, 21), (18, 5)] {
        let window = Window {
            row,
            col,
            height: 12,
            width: 19,
        };
        assert_eq!(mask.read(window)?, whole.crop(window));
    }
    Ok(())
}
