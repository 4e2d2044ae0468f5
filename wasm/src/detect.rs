//! The cloud detector of the core for the page: the same pixels as on the command line.

use std::ops::ControlFlow;

use js_sys::{Array, Reflect, Uint8Array};
use unclouded_core::raster::detect::{ReflectanceSource, Roles, Settings, Sun, detect};
use unclouded_core::raster::growth::grow_classes;
use unclouded_core::raster::{Mask, Raster, Window};
use wasm_bindgen::prelude::*;

use crate::failure::{failure, from_core};
use crate::input::{flags, get, image, size};

#[wasm_bindgen(typescript_custom_section)]
const TYPES: &str = r#"
/** A scene to find clouds in. */
export interface CloudyScene {
  /** [bands, height, width] in scene units. */
  image: Float32Array;
  /** [height, width], 1 = data. */
  valid: Uint8Array;
  bands: number; height: number; width: number;
  /** What the bands are called; "" for one without a name. */
  names: string[];
  /** Red, green and blue, from 0, for bands that have no names. */
  rgb: [number, number, number];
  /** Reflectance = value * gain. */
  gain: number;
  /** Whether that is reflectance, and not the brightness of a picture. */
  calibrated: boolean;
  /** Size of a pixel, metres. */
  pixelM?: number;
  /** Degrees north of the middle. */
  latitude?: number;
  /** Whether north is up; else a shadow is looked for on every side. */
  northUp: boolean;
  /** How far clouds and shadows grow, pixels. */
  growPx: number;
}
"#;

/// Finds clouds and their shadows: a class a pixel, 0 clear, 1 cloud, 2 shadow.
///
/// # Errors
/// "input" for an object of another form, or a scene with fewer than three bands.
#[wasm_bindgen(js_name = detectClouds)]
pub fn detect_clouds(
    #[wasm_bindgen(unchecked_param_type = "CloudyScene")] scene: JsValue,
) -> Result<Uint8Array, JsValue> {
    let (height, width) = (size(&scene, "height")?, size(&scene, "width")?);
    let all = image(&scene, height, width)?;
    if all.bands < 3 {
        return Err(failure(
            "input",
            "clouds are told by their colour: expected 3 bands or more",
            None,
        ));
    }
    let roles = roles(&scene, all.bands)?;
    let gain = number(&scene, "gain").unwrap_or(1.0) as f32;
    let bands = roles.bands();
    let mut seen = all.select_bands(&bands);
    for value in &mut seen.data {
        *value = if value.is_finite() {
            *value * gain
        } else {
            0.0
        };
    }
    let settings = Settings {
        pixel_m: number(&scene, "pixelM").unwrap_or(Settings::default().pixel_m),
        sun: match get(&scene, "northUp")?.is_truthy() {
            true => Sun::Morning {
                latitude: number(&scene, "latitude"),
            },
            false => Sun::Unknown,
        },
        calibrated: get(&scene, "calibrated")?.is_truthy(),
    };
    let mut source = Whole {
        image: seen,
        valid: flags(&scene, "valid", height, width)?,
    };
    let found = detect(&mut source, &roles, &settings, &mut |_| {
        ControlFlow::Continue(())
    })
    .map_err(from_core)?;
    let whole = Window::full(height, width);
    let grow_px = number(&scene, "growPx").unwrap_or(0.0).max(0.0) as usize;
    let (cloud, shadow) =
        grow_classes(&found.cloud.read(whole), &found.shadow.read(whole), grow_px);
    let classes: Vec<u8> = cloud
        .data
        .iter()
        .zip(&shadow.data)
        .map(|(cloud, shadow)| u8::from(*cloud) + 2 * u8::from(*shadow))
        .collect();
    Ok(Uint8Array::from(&classes[..]))
}

/// A scene in memory, as reflectance.
struct Whole {
    image: Raster,
    valid: Mask,
}

impl ReflectanceSource for Whole {
    fn size(&self) -> (usize, usize) {
        (self.image.height, self.image.width)
    }

    fn read(&mut self, window: Window) -> unclouded_core::Result<(Raster, Mask)> {
        Ok((self.image.crop(window), self.valid.crop(window)))
    }
}

fn roles(scene: &JsValue, bands: usize) -> Result<Roles, JsValue> {
    let list = |name: &str| -> Result<Array, JsValue> {
        get(scene, name)?
            .dyn_into()
            .map_err(|_| failure("input", &format!("{name}: expected an array"), None))
    };
    let names: Vec<String> = list("names")?
        .iter()
        .map(|name| name.as_string().unwrap_or_default())
        .collect();
    if let Some(roles) = Roles::by_name(&names).filter(|_| names.len() == bands) {
        return Ok(roles);
    }
    let rgb: Vec<usize> = list("rgb")?
        .iter()
        .filter_map(|band| band.as_f64())
        .map(|band| (band as usize).min(bands - 1))
        .collect();
    match rgb[..] {
        [red, green, blue] => Ok(Roles::by_number(bands, [red, green, blue])),
        _ => Err(failure("input", "rgb: expected three bands", None)),
    }
}

fn number(scene: &JsValue, name: &str) -> Option<f64> {
    let value = Reflect::get(scene, &name.into()).ok()?.as_f64()?;
    value.is_finite().then_some(value)
}

/// Grows a mask by a disc of `px` pixels, as on the command line.
///
/// # Errors
/// "input" for flags of another length than the sizes say.
#[wasm_bindgen(js_name = growMask)]
pub fn grow_mask(
    flags: &[u8],
    height: usize,
    width: usize,
    px: usize,
) -> Result<Uint8Array, JsValue> {
    let flags = flags.iter().map(|flag| *flag != 0).collect();
    let grown = Mask::from_vec(height, width, flags)
        .map_err(from_core)?
        .dilate(px);
    let bytes: Vec<u8> = grown.data.iter().map(|flag| u8::from(*flag)).collect();
    Ok(Uint8Array::from(&bytes[..]))
}
