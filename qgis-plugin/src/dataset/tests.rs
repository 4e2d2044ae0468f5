//! Tests of the whole way from files to batches, on generated tiles.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::holdout::Role;
use super::masks::read_npy;
use super::rng::Rng;
use super::*;
use crate::recipe::{AugmentConfig, DataConfig, HintConfig, MaskConfig, TrainConfig};

mod tasks;

/// A folder of `count` random RGB tiles `class/class_N.png` and three files that are no tiles.
fn folder_of_tiles(folder: &Path, count: u64, side: u32) {
    for n in 0..count {
        let class = if n % 2 == 0 { "Forest" } else { "River" };
        std::fs::create_dir_all(folder.join(class)).unwrap();
        let mut rng = Rng::new(n);
        let image = image::RgbImage::from_fn(side, side, |_, _| {
            image::Rgb([n as u8, rng.below(256) as u8, rng.below(256) as u8])
        });
        image
            .save(folder.join(format!("{class}/{class}_{n}.png")))
            .unwrap();
    }
    std::fs::write(folder.join("broken_12.jpg"), b"not a jpeg").unwrap();
    std::fs::write(folder.join("._Forest_2.png"), b"resource fork").unwrap();
    std::fs::write(folder.join("readme.txt"), b"text").unwrap();
    image::RgbImage::new(8, 40)
        .save(folder.join("small_3.png"))
        .unwrap();
    image::GrayImage::new(side, side)
        .save(folder.join("z_grey_4.png"))
        .unwrap();
}

fn tar_of(folder: &Path, path: &Path, gzip: bool) {
    let file = std::fs::File::create(path).unwrap();
    let writer: Box<dyn std::io::Write> = if gzip {
        Box::new(flate2::write::GzEncoder::new(
            file,
            flate2::Compression::fast(),
        ))
    } else {
        Box::new(file)
    };
    let mut tar = tar::Builder::new(writer);
    tar.append_dir_all(".", folder).unwrap();
    tar.into_inner().unwrap();
}

fn config(source: &Path) -> DataConfig {
    let text = "[data]\nsources = []\ntile_px = 16\nexclude_remainders = [0]\n\
                [train]\nsteps = 1\n[output]\ndir = 'o'\nname = 'n'\n"
        .replace("[]", &format!("['{}']", source.display()));
    TrainConfig::parse(&text, Path::new("")).unwrap().data
}

fn names(tiles: &Tiles, indices: &[usize]) -> Vec<String> {
    indices
        .iter()
        .map(|&i| tiles.name(i).trim_start_matches("./").to_string())
        .collect()
}

fn noise_only() -> Arc<MaskPool> {
    Arc::new(MaskPool::load(&MaskConfig::default()).unwrap())
}

#[test]
fn folder_tar_and_gzipped_tar_hold_the_same_tiles() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("tiles");
    folder_of_tiles(&folder, 40, 16);
    let mut expected: Option<Vec<String>> = None;
    let tar = dir.path().join("tiles.tar");
    let gz = dir.path().join("tiles.tar.gz");
    tar_of(&folder, &tar, false);
    tar_of(&folder, &gz, true);
    for source in [&folder, &tar, &gz] {
        let config = config(source);
        let tiles = Tiles::load(&config).unwrap();
        // Of 40, 4 are excluded (N % 10 == 0) and 4 are for validation.
        assert_eq!(
            (tiles.train().len(), tiles.validation().len(), tiles.bands()),
            (32, 4, 3)
        );
        let mut skipped: Vec<&str> = tiles
            .skipped()
            .iter()
            .map(|s| s.name.trim_start_matches("./"))
            .collect();
        skipped.sort_unstable();
        assert_eq!(skipped, ["broken_12.jpg", "small_3.png", "z_grey_4.png"]);
        let train = names(&tiles, tiles.train());
        assert!(train.is_sorted());
        let holdout = config.holdout();
        assert!(train.iter().all(|name| holdout.role(name) == Role::Train));
        let validation = names(&tiles, tiles.validation());
        assert!(
            validation
                .iter()
                .all(|name| holdout.role(name) == Role::Validate)
        );
        // The first band of tile N holds N everywhere.
        for &i in tiles.train() {
            let (image, valid) = tiles.crop_at(i, 0, 0);
            let name = tiles.name(i);
            let n = name.rsplit_once('_').unwrap().1.trim_end_matches(".png");
            assert!(
                image.data[..256]
                    .iter()
                    .all(|&v| v == n.parse::<f32>().unwrap()),
                "{name}"
            );
            assert!(valid.data.iter().all(|&v| v));
        }
        assert_eq!(*expected.get_or_insert_with(|| train.clone()), train);
    }
}

#[test]
fn bands_are_selected_in_order_and_may_repeat() {
    let dir = tempfile::tempdir().unwrap();
    folder_of_tiles(dir.path(), 12, 16);
    let mut config = config(dir.path());
    let all = Tiles::load(&config).unwrap().crop_at(0, 0, 0).0;
    config.bands = Some(vec![3, 1, 1, 2]);
    let chosen = Tiles::load(&config).unwrap().crop_at(0, 0, 0).0;
    let band = |b: usize| &all.data[b * 256..(b + 1) * 256];
    assert_eq!(chosen.data, [band(2), band(0), band(0), band(1)].concat());
    config.bands = Some(vec![5]);
    let error = Tiles::load(&config).unwrap_err();
    assert!(
        error
            .hint
            .as_deref()
            .unwrap_or_default()
            .contains("band 5 of"),
        "{error} {:?}",
        error.hint
    );
}

#[test]
fn limit_keeps_every_class() {
    let dir = tempfile::tempdir().unwrap();
    folder_of_tiles(dir.path(), 60, 16);
    let mut config = config(dir.path());
    config.limit = Some(6);
    let tiles = Tiles::load(&config).unwrap();
    let train = names(&tiles, tiles.train());
    assert_eq!(train.len(), 6);
    assert!(
        train.iter().any(|n| n.contains("Forest")) && train.iter().any(|n| n.contains("River"))
    );
}

#[test]
fn unusable_sources_are_errors_with_a_hint() {
    let dir = tempfile::tempdir().unwrap();
    let empty = dir.path().join("empty");
    std::fs::create_dir(&empty).unwrap();
    assert!(
        Tiles::load(&config(&empty))
            .unwrap_err()
            .hint
            .unwrap()
            .contains("NAME_N")
    );
    let folder = dir.path().join("tiles");
    folder_of_tiles(&folder, 20, 16);
    let whole = dir.path().join("whole.tar.gz");
    tar_of(&folder, &whole, true);
    let cut = dir.path().join("cut.tar.gz");
    let bytes = std::fs::read(&whole).unwrap();
    std::fs::write(&cut, &bytes[..bytes.len() / 2]).unwrap();
    let not_tar = dir.path().join("noise.tar");
    std::fs::write(&not_tar, vec![7u8; 5000]).unwrap();
    for source in [cut, not_tar, dir.path().join("none.tar")] {
        let error = Tiles::load(&config(&source)).unwrap_err();
        assert!(
            error
                .message
                .contains(source.file_name().unwrap().to_str().unwrap())
        );
    }
}

/// A 2-band u16 GeoTIFF with nodata 0 in its first column.
fn geotiff(path: &Path, side: usize) {
    let driver = gdal::DriverManager::get_driver_by_name("GTiff").unwrap();
    let dataset = driver
        .create_with_band_type::<u16, _>(path, side, side, 2)
        .unwrap();
    for number in 1..=2 {
        let mut band = dataset.rasterband(number).unwrap();
        band.set_no_data_value(Some(0.0)).unwrap();
        let data = (0..side * side)
            .map(|i| {
                if i % side == 0 {
                    0
                } else {
                    (number * 1000 + i) as u16
                }
            })
            .collect();
        band.write(
            (0, 0),
            (side, side),
            &mut gdal::raster::Buffer::new((side, side), data),
        )
        .unwrap();
    }
}

#[test]
fn geotiffs_in_folder_and_tar_keep_units_nodata_and_give_random_crops() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("tiffs");
    std::fs::create_dir(&folder).unwrap();
    for n in [1, 2, 3] {
        geotiff(&folder.join(format!("scene_{n}.tif")), 40);
    }
    let tar = dir.path().join("tiffs.tar");
    tar_of(&folder, &tar, false);
    for source in [folder, tar] {
        let tiles = Arc::new(Tiles::load(&config(&source)).unwrap());
        // 40 px hold 2x2 tiles of 16 px.
        assert_eq!(
            (tiles.train().len(), tiles.epoch_len(), tiles.bands()),
            (2, 8, 2)
        );
        assert_eq!(tiles.reflectance_scale(0), 10_000.0);
        let (image, valid) = tiles.crop_at(0, 3, 0);
        // Nodata never enters as a value: it is filled from its neighbours.
        assert!(image.data.iter().all(|&v| v > 1000.0));
        assert_eq!((image.data[1], image.data[256 + 1]), (1121.0, 2121.0));
        assert!(
            valid
                .data
                .iter()
                .enumerate()
                .all(|(i, &v)| v == (i % 16 != 0))
        );
        let mut rng = Rng::new(1);
        let firsts: HashSet<u32> = (0..50)
            .map(|_| tiles.crop(0, &mut rng).0.data[1].to_bits())
            .collect();
        assert!(firsts.len() > 20);
    }
}

/// Writes `[shape]` uint8 values as .npy.
fn npy(path: &Path, shape: &[u64], values: &[u8]) {
    let shape: Vec<String> = shape.iter().map(u64::to_string).collect();
    let mut header = format!(
        "{{'descr': '|u1', 'fortran_order': False, 'shape': ({},), }}",
        shape.join(", ")
    );
    while (10 + header.len() + 1) % 64 != 0 {
        header.push(' ');
    }
    header.push('\n');
    let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
    bytes.extend((header.len() as u16).to_le_bytes());
    bytes.extend(header.as_bytes());
    bytes.extend(values);
    std::fs::write(path, bytes).unwrap();
}

/// Three frames of 20x24: clear, masked, left third masked.
fn mask_file(dir: &Path) -> PathBuf {
    let path = dir.join("masks.npy");
    let values: Vec<u8> = (0..3 * 480)
        .map(|i| [0, 1, u8::from(i % 24 < 8)][i / 480])
        .collect();
    npy(&path, &[3, 20, 24, 1], &values);
    path
}

#[test]
fn masks_of_both_kinds_stay_in_the_cover_range() {
    let dir = tempfile::tempdir().unwrap();
    let files = vec![mask_file(dir.path())];
    for noise_fraction in [0.0, 0.5, 1.0] {
        let (min_cover, max_cover) = (0.1, 0.6);
        let config = MaskConfig {
            files: files.clone(),
            noise_fraction,
            min_cover,
            max_cover,
        };
        let pool = MaskPool::load(&config).unwrap();
        assert_eq!(pool.frames(), 1);
        let mut rng = Rng::new(9);
        let mut seen = HashSet::new();
        for side in [8, 16, 64] {
            for _ in 0..200 {
                let mask = pool.draw(&mut rng, side);
                assert_eq!(mask.data.len(), side * side);
                let cover = mask.data.iter().filter(|&&m| m).count() as f32 / (side * side) as f32;
                assert!((min_cover..=max_cover).contains(&cover), "{cover}");
                seen.insert(mask.data);
            }
        }
        assert!(seen.len() > 50);
    }
}

#[test]
fn narrow_cover_ranges_still_leave_holes_and_visible_pixels() {
    for (min_cover, max_cover) in [(1e-6, 1e-3), (0.998, 0.999_99), (0.5, 0.51)] {
        let config = MaskConfig {
            min_cover,
            max_cover,
            ..MaskConfig::default()
        };
        let pool = MaskPool::load(&config).unwrap();
        let mut rng = Rng::new(2);
        for _ in 0..100 {
            let mask = pool.draw(&mut rng, 32).data;
            assert!(mask.contains(&true) && mask.contains(&false));
        }
    }
}

#[test]
fn bad_mask_files_are_named() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("m.npy");
    let check = |shape: &[u64], values: &[u8], says: &str| {
        npy(&path, shape, values);
        let error = read_npy(&path).unwrap_err();
        assert!(error.to_string().contains(says), "{error}");
    };
    check(&[4, 4], &[0; 16], "shape");
    check(&[1, 2, 2], &[0, 1, 2, 0], "value 2");
    check(&[1, 2, 2], &[0, 1], "cut off");
    check(&[1 << 40, 1 << 40, 1 << 40], &[0], "too large");
    std::fs::write(&path, b"text").unwrap();
    assert!(read_npy(&path).is_err());
    npy(&path, &[2, 1, 2], &[0, 0, 1, 1]);
    let config = MaskConfig {
        files: vec![path],
        ..MaskConfig::default()
    };
    assert!(MaskPool::load(&config).is_err());
}

#[test]
fn batches_are_pure_functions_of_the_step() {
    let dir = tempfile::tempdir().unwrap();
    folder_of_tiles(dir.path(), 40, 24);
    let mask_dir = tempfile::tempdir().unwrap();
    let masks = MaskConfig {
        files: vec![mask_file(mask_dir.path())],
        ..MaskConfig::default()
    };
    let builder = |seed| {
        let augment = AugmentConfig {
            band_mix: 0.3,
            band_repeat: 0.2,
            band_permutation: 0.3,
            gain_jitter: 0.2,
            gamma_jitter: 0.2,
            ..AugmentConfig::default()
        };
        let hints = HintConfig {
            reference: 0.4,
            coarse: 0.3,
        };
        let tiles = Arc::new(Tiles::load(&config(dir.path())).unwrap());
        BatchBuilder::new(
            tiles,
            Arc::new(MaskPool::load(&masks).unwrap()),
            augment,
            hints,
            seed,
            5,
        )
    };
    let one = builder(1);
    let straight: Vec<TrainingBatch> = (0..20).map(|step| one.train(step)).collect();
    for (first, threads) in [(0, 1), (0, 3), (7, 2)] {
        let again = builder(1);
        let resumed = Prefetch::start(first, threads, 2, move |step| again.train(step));
        for (got, want) in resumed.zip(&straight[first as usize..]) {
            assert_eq!(got, *want);
        }
    }
    assert_ne!(builder(2).train(0), straight[0]);
    assert_ne!(straight[0].image(), straight[1].image());
    assert_eq!(straight[0].image().len(), 5 * 3 * 16 * 16);
    assert_eq!(straight[0].mask().len(), 5 * 16 * 16);
    // Validation is in parts what it is in one go, of held out tiles only, and unaugmented.
    let whole = one.validation(0, 9, 9);
    let parts = [
        one.validation(0, 4, 9),
        one.validation(4, 4, 9),
        one.validation(8, 4, 9),
    ];
    assert_eq!(parts.map(|p| p.examples).concat(), whole.examples);
    for example in &whole.examples {
        assert!(one.tiles().validation().contains(&example.tile));
        assert!(example.image.data.iter().all(|v| v.fract() == 0.0));
    }
}

#[test]
fn an_epoch_shows_every_training_tile_once_and_no_other() {
    let dir = tempfile::tempdir().unwrap();
    folder_of_tiles(dir.path(), 40, 16);
    let tiles = Arc::new(Tiles::load(&config(dir.path())).unwrap());
    let builder = BatchBuilder::new(
        Arc::clone(&tiles),
        noise_only(),
        AugmentConfig::default(),
        HintConfig::default(),
        3,
        8,
    );
    let mut seen: Vec<usize> = (0..4)
        .flat_map(|s| builder.train(s).examples)
        .map(|e| e.tile)
        .collect();
    assert_ne!(seen, tiles.train());
    seen.sort_unstable();
    assert_eq!(seen, tiles.train());
}

#[test]
fn mosaics_join_two_training_tiles_and_forget_a_class_they_do_not_share() {
    let dir = tempfile::tempdir().unwrap();
    folder_of_tiles(dir.path(), 40, 16);
    let data = DataConfig {
        class_folders: true,
        ..config(dir.path())
    };
    let builder = |mosaic| {
        let augment = AugmentConfig {
            mosaic,
            ..AugmentConfig::default()
        };
        let tiles = Arc::new(Tiles::load(&data).unwrap());
        BatchBuilder::new(tiles, noise_only(), augment, HintConfig::default(), 3, 8)
    };
    // The red of these tiles is one number per tile.
    let reds = |example: &Example| -> HashSet<u32> {
        let red = &example.image.data[..16 * 16];
        red.iter().map(|v| v.to_bits()).collect()
    };
    let joined: Vec<Example> = (0..4)
        .flat_map(|s| builder(1.0).train(s).examples)
        .collect();
    assert!(joined.iter().all(|e| reds(e).len() <= 2));
    let pairs = joined.iter().filter(|e| reds(e).len() == 2).count();
    assert!(pairs > 25, "{pairs} of 32 joined with another tile");
    let classless = joined.iter().filter(|e| e.class == Some(-1)).count();
    assert!((5..28).contains(&classless), "{classless} without a class");
    let plain = builder(0.0).train(0).examples;
    assert!(
        plain
            .iter()
            .all(|e| reds(e).len() == 1 && e.class != Some(-1))
    );
}
