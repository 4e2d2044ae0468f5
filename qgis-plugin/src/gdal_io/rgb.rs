//! Which bands of a scene feed the model: as asked, else guessed, and saying so.

use super::scene::SceneInfo;
use crate::failure::{Failure, Result};

/// The bands that feed the model, in its order, counted from 1.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BandChoice {
    /// Bands of the scene.
    pub bands: Vec<usize>,
    /// Why these.
    pub reason: String,
}

/// Names that tell red, green and blue; Sentinel-2 names first.
const NAMES: [&[&str]; 3] = [
    &["B04", "B4", "RED"],
    &["B03", "B3", "GREEN"],
    &["B02", "B2", "BLUE"],
];
/// GDAL's numbers for red, green and blue.
const COLORS: [i32; 3] = [3, 4, 5];

/// Choose the bands for a model whose inputs are `model` (e.g. `B04 B03 B02`).
///
/// # Errors
/// Exit 2 if the asked bands are not in the scene or not as many as the model takes, and if a
/// model that is not RGB meets a scene of another band count.
pub fn choose(info: &SceneInfo, asked: Option<&[usize]>, model: &[String]) -> Result<BandChoice> {
    let count = model.len();
    let data = info.data_bands();
    if let Some(asked) = asked {
        check_asked(info, asked, model)?;
        return Ok(BandChoice {
            bands: asked.to_vec(),
            reason: "as asked".into(),
        });
    }
    if count != 3 {
        return if data.len() == count {
            Ok(BandChoice {
                bands: data,
                reason: "all bands of the scene, in their order".into(),
            })
        } else if count == 1 {
            Ok(BandChoice {
                bands: vec![data[0]],
                reason: "the first band".into(),
            })
        } else {
            Err(Failure::mismatch(
                "bands",
                format!("{count} as the model ({})", model.join(" ")),
                format!("{} in the scene", data.len()),
            )
            .hint("choose them with --bands"))
        };
    }
    Ok(guess_rgb(info, &data))
}

fn check_asked(info: &SceneInfo, asked: &[usize], model: &[String]) -> Result<()> {
    if asked.len() != model.len() {
        return Err(Failure::mismatch(
            "--bands",
            format!(
                "{} numbers for the model's inputs ({})",
                model.len(),
                model.join(" ")
            ),
            format!("{}", asked.len()),
        )
        .hint("e.g. --bands 3,2,1"));
    }
    for &band in asked {
        let Some(found) = band.checked_sub(1).and_then(|index| info.bands.get(index)) else {
            return Err(
                Failure::mismatch("--bands", format!("1 to {}", info.bands.len()), band)
                    .hint("bands are counted from 1; `unclouded info SCENE` lists them"),
            );
        };
        if !found.is_image() {
            let what = if found.is_alpha() { "alpha" } else { "classes" };
            return Err(Failure::mismatch(
                "--bands",
                "bands with an image",
                format!("{band}, which is {what}"),
            )
            .hint("`unclouded info SCENE` lists the bands"));
        }
    }
    Ok(())
}

fn guess_rgb(info: &SceneInfo, data: &[usize]) -> BandChoice {
    let by_name = NAMES.map(|names| named(info, data, names));
    if let [Some(red), Some(green), Some(blue)] = by_name {
        return BandChoice {
            bands: vec![red, green, blue],
            reason: "by their descriptions".into(),
        };
    }
    let by_color = COLORS.map(|color| {
        data.iter()
            .copied()
            .find(|band| info.bands[band - 1].color_number == color)
    });
    if let [Some(red), Some(green), Some(blue)] = by_color {
        return BandChoice {
            bands: vec![red, green, blue],
            reason: "by their colour interpretation".into(),
        };
    }
    let (order, reason) = match data.len() {
        1 | 2 => ([1, 1, 1], "one band stands for all three"),
        3 => ([1, 2, 3], "guessed for 3 bands: red, green, blue"),
        4 => ([3, 2, 1], "guessed for 4 bands: B02, B03, B04, B08"),
        12 => ([4, 3, 2], "guessed for 12 bands: Sentinel-2 L2A"),
        13 => ([4, 3, 2], "guessed for 13 bands: Sentinel-2 L1C"),
        _ => (
            [3, 2, 1],
            "guessed: blue, green, red come first; choose with --bands if not",
        ),
    };
    BandChoice {
        bands: order.map(|position| data[position - 1]).to_vec(),
        reason: reason.into(),
    }
}

/// The band with one of these names, the earlier name winning. "Red Edge 1" is not red.
fn named(info: &SceneInfo, data: &[usize], names: &[&str]) -> Option<usize> {
    names.iter().find_map(|name| {
        data.iter().copied().find(|band| {
            let description = info.bands[band - 1].description.to_uppercase();
            let words: Vec<&str> = description
                .split(|letter: char| !letter.is_ascii_alphanumeric())
                .collect();
            words.contains(name) && !words.contains(&"EDGE")
        })
    })
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::gdal_io::dtype::DataType;
    use crate::gdal_io::scene::BandInfo;

    /// A scene of 8 x 8 pixels with these descriptions and colour interpretations.
    pub fn info(bands: &[(&str, i32)]) -> SceneInfo {
        let band = |(index, (description, color)): (usize, &(&str, i32))| BandInfo {
            number: index + 1,
            description: (*description).into(),
            color: String::new(),
            color_number: *color,
            scale: None,
            offset: None,
            unit: String::new(),
        };
        SceneInfo {
            encoding: crate::gdal_io::encoding::Encoding::plain(),
            path: "scene.tif".into(),
            driver: "GTiff".into(),
            width: 8,
            height: 8,
            dtype: DataType::U16,
            nodata: None,
            usual_nodata: None,
            mask_band: false,
            crs: None,
            geotransform: None,
            bands: bands.iter().enumerate().map(band).collect(),
        }
    }

    fn rgb() -> Vec<String> {
        ["B04", "B03", "B02"].map(str::to_owned).to_vec()
    }

    fn chosen(bands: &[(&str, i32)]) -> Vec<usize> {
        choose(&info(bands), None, &rgb())
            .map(|choice| choice.bands)
            .unwrap_or_default()
    }

    #[test]
    fn bands_are_guessed_from_names_colours_and_count() {
        assert_eq!(
            chosen(&[("B08", 1), ("B04", 0), ("B03", 0), ("B02", 0)]),
            [2, 3, 4]
        );
        assert_eq!(
            chosen(&[("blue", 0), ("green", 0), ("Red Edge 1", 0), ("red", 0)]),
            [4, 2, 1]
        );
        assert_eq!(chosen(&[("", 5), ("", 4), ("", 3), ("", 6)]), [3, 2, 1]);
        assert_eq!(chosen(&[("", 1), ("", 0), ("", 0), ("", 0)]), [3, 2, 1]);
        assert_eq!(chosen(&[("", 1); 3]), [1, 2, 3]);
        assert_eq!(chosen(&[("", 1); 13]), [4, 3, 2]);
        assert_eq!(chosen(&[("", 6), ("", 1)]), [2, 2, 2]);
    }

    #[test]
    fn asked_bands_must_be_there() {
        let scene = info(&[("", 1), ("", 0), ("", 6)]);
        assert!(choose(&scene, Some(&[1, 2, 2]), &rgb()).is_ok());
        for wrong in [&[1, 2][..], &[0, 1, 2], &[1, 2, 4], &[1, 2, 3]] {
            assert!(choose(&scene, Some(wrong), &rgb()).is_err(), "{wrong:?}");
        }
    }
}
