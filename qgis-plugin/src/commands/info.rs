//! `unclouded info`: what a model, a scene or a device is.

use std::fmt::Write;
use std::path::Path;

use serde_json::{Value, json};
use unclouded_core::model::{Model, ModelCard};

use crate::cli::InfoArgs;
use crate::device::{self, DeviceChoice};
use crate::failure::{Failure, Result};
use crate::gdal_io::is_gdal_name;
use crate::gdal_io::rgb;
use crate::gdal_io::scene::{Scene, SceneInfo};
use crate::models::{Checkpoint, registry};
use crate::progress::Reporter;

/// Run the command.
///
/// # Errors
/// Exit 2 if the argument is neither a model nor a raster nor a device.
pub fn run(args: InfoArgs, reporter: &mut Reporter) -> Result<()> {
    let (text, json) = match &args.what {
        None => models(),
        Some(what) if is_model(what) => model(what)?,
        Some(what) => match (what.parse(), Path::new(what).exists()) {
            (Ok(choice), false) => device_of(choice)?,
            _ => scene(what)?,
        },
    };
    if args.json {
        reporter.done(&format!("{json:#}"), Value::Null);
    } else {
        reporter.done(&text, Value::Null);
    }
    Ok(())
}

/// The models that are here, and where more are looked for.
fn models() -> (String, Value) {
    let installed = registry::installed();
    let folders = registry::folders();
    let mut text = "models:\n".to_owned();
    for (index, model) in installed.iter().enumerate() {
        let place = match &model.path {
            Some(path) => path.display().to_string(),
            None => "inside the program".to_owned(),
        };
        let default = if index == 0 { ", the default" } else { "" };
        // Writing to a String cannot fail.
        let _ = writeln!(text, "  {} ({place}{default})", model.name);
    }
    text += "more are looked for in:\n";
    for folder in &folders {
        let _ = writeln!(text, "  {}", folder.display());
    }
    let listed: Vec<Value> = installed
        .iter()
        .map(|model| json!({"name": model.name, "path": model.path}))
        .collect();
    let json = json!({"kind": "models", "models": listed, "folders": folders});
    (text, json)
}

/// What a word for the device stands for on this machine.
fn device_of(choice: DeviceChoice) -> Result<(String, Value)> {
    let chosen = device::choose(choice)?;
    let json = json!({
        "kind": "device", "device": chosen.kind, "name": chosen.name, "reason": chosen.reason,
    });
    Ok((chosen.describe(), json))
}

/// The name of a model that is here, a file called as checkpoints are, or a folder of diffusers.
fn is_model(what: &str) -> bool {
    let path = Path::new(what);
    registry::names().iter().any(|name| name == what)
        || path
            .extension()
            .is_some_and(|ending| ending == "safetensors")
        || ["config.json", "unet/config.json"]
            .iter()
            .any(|file| path.join(file).exists())
}

fn model(what: &str) -> Result<(String, Value)> {
    let checkpoint = Checkpoint::find(Some(what))?;
    let card = checkpoint.card()?;
    // Loading proves that the weights are complete and fit the architecture.
    let cpu = device::choose(DeviceChoice::Cpu)?;
    let Model { sha256, .. } = checkpoint.load(&cpu.device)?;
    let bytes = checkpoint.len();
    Ok((
        model_text(&card, &sha256, bytes),
        json!({"kind": "model", "card": card, "sha256": sha256, "bytes": bytes}),
    ))
}

fn model_text(card: &ModelCard, sha256: &str, bytes: usize) -> String {
    let defaults = &card.defaults;
    let mut text = format!(
        "{}: {}\n  bands: {}\n  defaults: {}, {} steps, {} samples, tiles of {} px with {} px overlap\n  \
         trained: {} steps on {} tiles by unclouded {}\n  file: {:.1} MB, sha256 {sha256}\n",
        card.name,
        card.description,
        card.bands.join(" "),
        defaults.sampler.name(),
        defaults.steps,
        defaults.samples,
        defaults.tile_px,
        defaults.overlap_px,
        card.training.steps,
        card.training.samples_seen,
        card.version,
        bytes as f64 / 1e6,
    );
    if let Some(factor) = card.direct_factor {
        let _ = writeln!(
            text,
            "  direct estimate: learnt, its spread counts {factor} times"
        );
    }
    if card.task != Default::default() {
        let _ = writeln!(text, "  task: {}", card.task.name());
    }
    if !card.classes.is_empty() {
        let _ = writeln!(text, "  classes: {}", card.classes.join(", "));
    }
    for data in &card.training.data {
        // Writing to a String cannot fail.
        let _ = writeln!(
            text,
            "  data: {} ({}), {}",
            data.name, data.licence, data.attribution
        );
    }
    for (name, value) in &card.metrics {
        let _ = writeln!(text, "  {name}: {value:.4}");
    }
    text
}

fn scene(what: &str) -> Result<(String, Value)> {
    if !Path::new(what).exists() && !is_gdal_name(Path::new(what)) {
        let known = registry::names();
        return Err(Failure::mismatch(
            "info",
            format!(
                "a model that is here ({}), a checkpoint or a raster",
                known.join(", ")
            ),
            format!("{what}, which is none of them"),
        )
        .hint("check the spelling and the folder"));
    }
    let scene = Scene::open(Path::new(what), "raster")?;
    let rgb: Vec<String> = ["B04", "B03", "B02"].map(str::to_owned).to_vec();
    let choice = rgb::choose(&scene.info, None, &rgb)?;
    Ok((
        scene_text(&scene.info, &choice),
        json!({
            "kind": "scene", "scene": scene.info,
            "rgb": {"bands": choice.bands, "reason": choice.reason},
        }),
    ))
}

fn scene_text(info: &SceneInfo, choice: &rgb::BandChoice) -> String {
    let mut text = format!(
        "{}: {}, {} x {} px (width x height), {} bands of {}\n",
        info.path.display(),
        info.driver,
        info.width,
        info.height,
        info.bands.len(),
        info.dtype.name()
    );
    let _ = writeln!(text, "  CRS: {}", info.crs.as_deref().unwrap_or("none"));
    match info.geotransform {
        Some(g) if g[2] == 0.0 && g[4] == 0.0 => {
            let _ = writeln!(
                text,
                "  upper left: {}, {}; pixel: {} x {}",
                g[0], g[3], g[1], g[5]
            );
        }
        Some(g) => {
            let _ = writeln!(text, "  geotransform: {g:?}");
        }
        None => text += "  not georeferenced\n",
    }
    let nodata = info
        .nodata
        .map_or_else(|| "none".to_owned(), |nodata| nodata.to_string());
    let usual = info.usual_nodata.map_or_else(String::new, |value| {
        format!(" tagged, {value} by the kind of product")
    });
    let mask_band = if info.mask_band { ", mask band" } else { "" };
    let _ = writeln!(text, "  nodata: {nodata}{usual}{mask_band}");
    if !info.encoding.reason.is_empty() {
        let _ = writeln!(text, "  values: {}", info.encoding.reason);
    }
    for band in &info.bands {
        let _ = write!(
            text,
            "  band {}: {} {}",
            band.number, band.color, band.description
        );
        if let Some(scale) = band.scale {
            let _ = write!(text, ", scale {scale}");
        }
        if let Some(offset) = band.offset {
            let _ = write!(text, ", offset {offset}");
        }
        text.push('\n');
    }
    let _ = writeln!(
        text,
        "  red, green, blue: {:?} ({})",
        choice.bands, choice.reason
    );
    text
}
