//! `--mask-from auto`: runs the core's detector over the scene.

use std::ops::ControlFlow;

use gdal::Metadata;
use gdal::spatial_ref::CoordTransform;
use unclouded_core::raster::bits::BitMask;
use unclouded_core::raster::detect::{ReflectanceSource, Settings, Sun, detect};
use unclouded_core::raster::{Mask, Raster, Window};

use super::super::dtype::{DataType, StoredValue};
use super::super::scene::Scene;
use super::super::source::{hide_transparent, read_native};
use super::super::{roles, unreadable};
use super::growth::pixel_m;
use super::{Marked, grid};
use crate::failure::Result;
use crate::{for_dtype, interrupt};

/// Metadata items that hold the sun's azimuth in degrees, in any of these spellings.
const SUN_AZIMUTH: [&str; 5] = [
    "SOLAR_AZIMUTH_ANGLE",
    "SUN_AZIMUTH",
    "MEAN_SUN_AZIMUTH_ANGLE",
    "MEAN_SOLAR_AZIMUTH_ANGLE",
    "SATELLITE_SUN_AZIMUTH",
];
/// Walks of the detector over the scene.
const WALKS: usize = 4;

/// Mark clouds and shadows.
///
/// # Errors
/// Exit 2 if the scene has fewer than three bands or cannot be read, 130 when interrupted.
pub fn mark(scene: &Scene, bits: &mut BitMask, progress: &mut dyn FnMut(u64)) -> Result<Marked> {
    let info = &scene.info;
    let (roles, reason) = roles::choose(info)?;
    let data = info.data_bands();
    let bands: Vec<usize> = roles.bands().iter().map(|role| data[*role]).collect();
    let largest = largest_blue(scene, bands[0])?;
    let (gain, bias) = info.encoding.reflectance(info.dtype, largest);
    let settings = Settings {
        pixel_m: pixel_m(scene).unwrap_or(Settings::default().pixel_m),
        sun: sun(scene),
        calibrated: info.dtype != DataType::U8 || info.encoding.gain.is_some(),
    };
    let mut source = Reflectance {
        scene,
        bands: &bands,
        gain,
        bias,
    };
    let detected = detect(&mut source, &roles, &settings, &mut |done| {
        progress((done / WALKS) as u64);
        if interrupt::requested() {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    })?;
    bits.or(&detected.cloud);
    bits.or(&detected.shadow);
    let mut notes = vec![format!(
        "mask: clouds and shadows detected in bands {} ({reason})",
        bands
            .iter()
            .map(usize::to_string)
            .collect::<Vec<_>>()
            .join(", ")
    )];
    if info.encoding.gain.is_none() {
        notes.push(match settings.calibrated {
            true => format!("mask: values times {gain} taken for reflectance; --offset and scale tags say otherwise"),
            false => "mask: 8-bit values are brightness, not reflectance: look at the mask before you rely on it".into(),
        });
    }
    if detected.cloud.any() && detected.offset_px.is_none() {
        notes.push("mask: no shadows found that fit the clouds".into());
    }
    Ok(Marked {
        clear: !bits.any(),
        shadow: Some(detected.shadow),
        notes,
        ..Marked::default()
    })
}

/// The scene as reflectance.
struct Reflectance<'a> {
    scene: &'a Scene,
    /// From 1.
    bands: &'a [usize],
    gain: f32,
    bias: f32,
}

impl ReflectanceSource for Reflectance<'_> {
    fn size(&self) -> (usize, usize) {
        (self.scene.info.height, self.scene.info.width)
    }

    fn read(&mut self, window: Window) -> unclouded_core::Result<(Raster, Mask)> {
        interrupt::check()?;
        let info = &self.scene.info;
        let shift = info.encoding.shift as f32;
        let mut valid = Mask::new(window.height, window.width, true);
        let mut data = Vec::with_capacity(self.bands.len() * window.pixels());
        for &band in self.bands {
            for_dtype!(info.dtype, T => {
                let values = read_native::<T>(&self.scene.dataset, band, window)
                    .map_err(|error| unreadable("scene", &error))?;
                let nodata = info.missing_value().and_then(T::nodata);
                for (value, valid) in values.iter().zip(&mut valid.data) {
                    let known = value.is_finite_value() && !value.is_nodata(nodata);
                    *valid &= known;
                    let value = (value.to_f32() + shift) * self.gain + self.bias;
                    data.push(if known && value.is_finite() { value } else { 0.0 });
                }
            });
        }
        hide_transparent(self.scene, window, &mut valid)?;
        let image = Raster::from_vec(self.bands.len(), window.height, window.width, data)?;
        Ok((image, valid))
    }
}

/// The largest of some values of a band all over the scene, to tell 0..1 from 0..10000.
fn largest_blue(scene: &Scene, band: usize) -> Result<f32> {
    let info = &scene.info;
    // (cols, rows)
    let size = (info.width, info.height);
    let few = (info.width.min(64), info.height.min(64));
    let values = scene
        .dataset
        .rasterband(band)
        .and_then(|band| band.read_as::<f32>((0, 0), size, few, None))
        .map_err(|error| unreadable("scene", &error))?;
    let missing = info.missing_value().map(|value| value as f32);
    let finite = values.data().iter().filter(|value| value.is_finite());
    let known = finite.filter(|value| Some(**value) != missing);
    Ok(known.fold(0.0, |largest: f32, value| largest.max(*value)))
}

/// Where the sun stands: from the metadata, else in the morning, unless north is not up.
fn sun(scene: &Scene) -> Sun {
    let north_up = scene.info.geotransform.is_none_or(|[_, a, b, _, c, d]| {
        a > 0.0 && d < 0.0 && b.abs() < 0.1 * a && c.abs() < -0.1 * d
    });
    if !north_up {
        return Sun::Unknown;
    }
    let azimuth = ["", "IMAGERY"].iter().find_map(|domain| {
        SUN_AZIMUTH.iter().find_map(|key| {
            let text = scene.dataset.metadata_item(key, domain)?;
            text.parse()
                .ok()
                .filter(|degrees| (0.0..=360.0).contains(degrees))
        })
    });
    match azimuth {
        Some(degrees) => Sun::Azimuth(degrees),
        None => Sun::Morning {
            latitude: latitude(scene),
        },
    }
}

/// Degrees north of the middle of the scene.
fn latitude(scene: &Scene) -> Option<f64> {
    use gdal::spatial_ref::{AxisMappingStrategy, SpatialRef};
    let info = &scene.info;
    let (x, y) = grid::apply(
        info.geotransform?,
        info.width as f64 / 2.0,
        info.height as f64 / 2.0,
    );
    let mut own = scene.dataset.spatial_ref().ok()?;
    let mut degrees = SpatialRef::from_epsg(4326).ok()?;
    own.set_axis_mapping_strategy(AxisMappingStrategy::TraditionalGisOrder);
    degrees.set_axis_mapping_strategy(AxisMappingStrategy::TraditionalGisOrder);
    let transform = CoordTransform::new(&own, &degrees).ok()?;
    let (_, latitude) = grid::transformed(&transform, (x, y));
    latitude.is_finite().then_some(latitude)
}
