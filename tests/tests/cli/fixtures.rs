//! Small synthetic GeoTIFFs for the end-to-end tests: any data type, size, nodata and mask.

use std::path::{Path, PathBuf};

use gdal::raster::{Buffer, ColorInterpretation, GdalType, RasterCreationOptions};
use gdal::spatial_ref::SpatialRef;
use gdal::{Dataset, DriverManager, Metadata};

/// Data types the program must keep.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Type {
    U8,
    U16,
    I16,
    F32,
}

impl Type {
    /// Darkest and brightest value of the synthetic ground in this type.
    fn range(self) -> (f64, f64) {
        match self {
            Type::U8 => (30.0, 210.0),
            Type::U16 => (400.0, 4200.0),
            Type::I16 => (-300.0, 2800.0),
            Type::F32 => (0.02, 0.61),
        }
    }

    /// Nodata value that the ground never takes.
    pub fn nodata(self) -> f64 {
        match self {
            Type::U8 | Type::U16 => 0.0,
            Type::I16 => -9999.0,
            Type::F32 => f64::NAN,
        }
    }
}

/// A scene to write; `Spec::new` is 48 x 40 pixels, three bands, uint16, UTM, without nodata.
#[derive(Debug, Clone)]
pub struct Spec {
    pub width: usize,
    pub height: usize,
    pub bands: usize,
    pub kind: Type,
    pub epsg: u32,
    /// Declare nodata and put a nodata corner and some single nodata pixels into the scene.
    pub with_nodata: bool,
}

impl Spec {
    pub fn new() -> Self {
        Self {
            width: 48,
            height: 40,
            bands: 3,
            kind: Type::U16,
            epsg: 32643,
            with_nodata: false,
        }
    }

    pub fn size(mut self, width: usize, height: usize) -> Self {
        (self.width, self.height) = (width, height);
        self
    }

    pub fn kind(mut self, kind: Type) -> Self {
        self.kind = kind;
        self
    }

    pub fn bands(mut self, bands: usize) -> Self {
        self.bands = bands;
        self
    }

    pub fn nodata(mut self) -> Self {
        self.with_nodata = true;
        self
    }

    /// Writes the scene and returns its path. A bright cloud lies where [`cloud`] says so.
    pub fn write(&self, path: PathBuf) -> PathBuf {
        match self.kind {
            Type::U8 => self.write_as(&path, |v| v as u8),
            Type::U16 => self.write_as(&path, |v| v as u16),
            Type::I16 => self.write_as(&path, |v| v as i16),
            Type::F32 => self.write_as(&path, |v| v as f32),
        }
        path
    }

    fn write_as<T: GdalType + Copy>(&self, path: &Path, cast: impl Fn(f64) -> T) {
        let mut dataset = create::<T>(path, self.width, self.height, self.bands, self.epsg);
        dataset
            .set_metadata_item("ACQUIRED", "2020-08-23", "")
            .unwrap();
        for band in 0..self.bands {
            let values = (0..self.width * self.height)
                .map(|i| cast(self.value(band, i / self.width, i % self.width)))
                .collect();
            let mut buffer = Buffer::new((self.width, self.height), values);
            let mut target = dataset.rasterband(band + 1).unwrap();
            target
                .set_description(&format!("B{:02} synthetic", band + 2))
                .unwrap();
            if self.bands == 3 {
                use ColorInterpretation::{BlueBand, GreenBand, RedBand};
                let colour = [RedBand, GreenBand, BlueBand]
                    .into_iter()
                    .nth(band)
                    .unwrap();
                target.set_color_interpretation(colour).unwrap();
            }
            if self.with_nodata {
                target.set_no_data_value(Some(self.kind.nodata())).unwrap();
            }
            target
                .write((0, 0), (self.width, self.height), &mut buffer)
                .unwrap();
        }
        dataset.close().unwrap();
    }

    /// Value of one pixel: fields, a slope, some texture; clouds are bright, nodata is nodata.
    fn value(&self, band: usize, row: usize, col: usize) -> f64 {
        if self.with_nodata && is_nodata(row, col) {
            return self.kind.nodata();
        }
        let (low, high) = self.kind.range();
        let (y, x, b) = (row as f64, col as f64, band as f64);
        let field = f64::from(((row / 9 + col / 7 + band) % 3) as u8) / 3.0;
        let slope = 0.5 + 0.25 * (x / 17.0 + b).sin() + 0.25 * (y / 13.0).cos();
        let texture = f64::from((row * 7919 + col * 104_729 + band * 1_299_709) as u32 % 97) / 97.0;
        let ground = 0.45 * field + 0.35 * slope + 0.08 * texture;
        let share = if cloud(self.width, self.height, row, col) {
            1.0
        } else {
            ground
        };
        low + (high - low) * share
    }

    /// Whether a pixel of this scene is nodata.
    pub fn is_nodata(&self, row: usize, col: usize) -> bool {
        self.with_nodata && is_nodata(row, col)
    }
}

/// Nodata: a diagonal corner, as at the edge of a swath, and single pixels, two of them in the cloud.
fn is_nodata(row: usize, col: usize) -> bool {
    row + col < 9 || matches!((row, col), (30, 5) | (20, 24) | (21, 25))
}

/// Where the synthetic cloud is: one round cloud and one long one at the lower edge.
pub fn cloud(width: usize, height: usize, row: usize, col: usize) -> bool {
    let (y, x) = (
        (row as f64 + 0.5) / height as f64 - 0.5,
        (col as f64 + 0.5) / width as f64 - 0.5,
    );
    y * y + x * x < 0.07 || (y > 0.42 && x > 0.1)
}

/// Writes a one-band uint8 mask and returns its path.
pub fn write_mask(
    path: PathBuf,
    (width, height): (usize, usize),
    epsg: u32,
    value: impl Fn(usize, usize) -> u8,
) -> PathBuf {
    let dataset = create::<u8>(&path, width, height, 1, epsg);
    let values = (0..width * height)
        .map(|i| value(i / width, i % width))
        .collect();
    let mut buffer = Buffer::new((width, height), values);
    dataset
        .rasterband(1)
        .unwrap()
        .write((0, 0), (width, height), &mut buffer)
        .unwrap();
    dataset.close().unwrap();
    path
}

/// Writes the mask of the synthetic cloud (1 = fill).
pub fn write_cloud_mask(path: PathBuf, spec: &Spec) -> PathBuf {
    let (width, height) = (spec.width, spec.height);
    write_mask(path, (width, height), spec.epsg, |row, col| {
        u8::from(cloud(width, height, row, col))
    })
}

fn create<T: GdalType>(
    path: &Path,
    width: usize,
    height: usize,
    bands: usize,
    epsg: u32,
) -> Dataset {
    let driver = DriverManager::get_driver_by_name("GTiff").unwrap();
    let options = RasterCreationOptions::from_iter(["COMPRESS=DEFLATE"]);
    let mut dataset = driver
        .create_with_band_type_with_options::<T, _>(path, width, height, bands, &options)
        .unwrap();
    dataset
        .set_geo_transform(&[499_980.0, 10.0, 0.0, 3_400_020.0, 0.0, -10.0])
        .unwrap();
    dataset
        .set_spatial_ref(&SpatialRef::from_epsg(epsg).unwrap())
        .unwrap();
    dataset
}

/// All bands of a raster as f64, band by band, row by row.
pub fn read(path: &Path) -> Vec<Vec<f64>> {
    let dataset = Dataset::open(path).unwrap();
    let bands = 1..=dataset.raster_count();
    bands
        .map(|band| {
            dataset
                .rasterband(band)
                .unwrap()
                .read_band_as::<f64>()
                .unwrap()
                .data()
                .to_vec()
        })
        .collect()
}

/// The largest absolute difference of two rasters of the same shape; NaN equals NaN.
pub fn max_difference(left: &Path, right: &Path) -> f64 {
    let (left, right) = (read(left), read(right));
    assert_eq!(left.len(), right.len(), "band counts differ");
    let mut largest = 0.0_f64;
    for (a, b) in left.iter().flatten().zip(right.iter().flatten()) {
        assert_eq!(a.is_nan(), b.is_nan(), "NaN in one raster only");
        if !a.is_nan() {
            largest = largest.max((a - b).abs());
        }
    }
    largest
}
