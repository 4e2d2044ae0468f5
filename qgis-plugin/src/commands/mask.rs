//! `unclouded mask`: write the mask of clouds and shadows of a scene.

use serde_json::json;

use super::settings::{check_output, ending};
use crate::cli::MaskArgs;
use crate::failure::{Failure, Result};
use crate::gdal_io::mask::MaskReader;
use crate::gdal_io::mask::growth::Growth;
use crate::gdal_io::mask::request::{MaskFrom, MaskRequest, Whose};
use crate::gdal_io::scene::Scene;
use crate::gdal_io::source::GdalSource;
use crate::gdal_io::{mask_file, source};
use crate::interrupt;
use crate::progress::Reporter;

/// Run the command. A scene without clouds gives a mask of zeros and exit 0.
///
/// # Errors
/// Exit 2 for arguments and inputs that cannot be worked with, exit 1 if the mask cannot be
/// written, 130 when interrupted. Nothing is written under the final name in any of these cases.
pub fn run(args: &MaskArgs, reporter: &mut Reporter) -> Result<()> {
    let request = check(args)?;
    let scene = Scene::open_with(&args.scene, "scene", args.offset)?;
    let info = &scene.info;
    reporter.start("mask", json!({"scene": info}));
    if args.from.is_none() && request.from == Some(MaskFrom::Auto) {
        reporter.info("mask: neither --mask nor --from is given, so clouds and shadows are detected (--from auto)");
    }
    if !info.encoding.reason.is_empty() {
        reporter.info(format!("values: {}", info.encoding.reason));
    }
    let rows = info.height as u64;
    reporter.stage("mask", rows);
    let mask = MaskReader::prepare(&request, &scene, &mut |done| reporter.advance(done))?;
    for note in &mask.notes {
        reporter.info(note);
    }
    if mask.is_clear() {
        reporter.info("mask: no clouds found");
    } else if let Err(nothing) = mask.check_values() {
        reporter.warning(&nothing.message);
    }
    let (mut data, mut fill, mut shadow) = (0_u64, 0_u64, 0_u64);
    reporter.stage("write", rows);
    let valid = GdalSource::new(&scene, &mask);
    let mut file = mask_file::MaskFile::create(&args.output, args.overwrite, &scene)?;
    for window in source::strips(info.height, info.width) {
        interrupt::check()?;
        let marked = mask.read(window)?;
        let valid = valid.validity(window, &marked)?;
        let dark = mask.shadow(window);
        let mut values: Vec<u8> = marked.data.iter().map(|flag| u8::from(*flag)).collect();
        if let Some(dark) = &dark {
            shadow += dark.and(&valid).count() as u64;
            if args.classes {
                for (value, dark) in values.iter_mut().zip(&dark.data) {
                    *value += u8::from(*dark);
                }
            }
        }
        data += valid.count() as u64;
        fill += valid.and(&marked).count() as u64;
        file.write(window, values)?;
        reporter.advance(window.row_end() as u64);
    }
    file.finish()?;
    let share = 100.0 * fill as f64 / data.max(1) as f64;
    let detected = mask.tells_shadow();
    let of_which = if detected {
        format!(", of which shadow: {shadow}")
    } else {
        String::new()
    };
    reporter.done(
        &format!(
            "{}: {fill} of {data} pixels marked ({share:.1} %){of_which}",
            args.output.display()
        ),
        json!({
            "outputs": {"output": args.output},
            "pixels": {"data": data, "fill": fill, "shadow": detected.then_some(shadow)},
        }),
    );
    Ok(())
}

fn check(args: &MaskArgs) -> Result<MaskRequest> {
    let given = args.mask.is_some() || args.from.is_some();
    let request = MaskRequest {
        whose: Whose::Scene,
        path: args.mask.clone(),
        from: if given {
            args.from
        } else {
            Some(MaskFrom::Auto)
        },
        values: args.mask_values.clone(),
        growth: Growth::of(args.dilate_px, args.dilate_m),
        min_area_px: args.min_area_px,
        extent: None,
    };
    request.check()?;
    if args.classes && request.from != Some(MaskFrom::Auto) {
        return Err(
            Failure::mismatch("--classes", "--from auto", "a mask made by others")
                .hint("only the detector tells cloud from shadow; leave out --classes"),
        );
    }
    ending(&args.output, &["tif", "tiff"], "GeoTIFF")?;
    let mut inputs = request.inputs();
    inputs.push(args.scene.clone());
    let inputs: Vec<&std::path::Path> = inputs.iter().map(|path| path.as_path()).collect();
    check_output("--output", &args.output, args.overwrite, &inputs)?;
    Ok(request)
}
