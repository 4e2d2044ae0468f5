//! Which band of a scene sees which colour, for the cloud detector: by description, else by the
//! number of bands.

use unclouded_core::raster::detect::Roles;

use super::rgb;
use super::scene::SceneInfo;
use crate::failure::{Failure, Result};

/// Names of Sentinel-2's bands, and words that other programs use.
const SENTINEL2: [(&str, &[&str]); 7] = [
    ("blue", &["B02", "B2", "BLUE"]),
    ("green", &["B03", "B3", "GREEN"]),
    ("red", &["B04", "B4", "RED"]),
    ("nir", &["B08", "B8", "NIR", "B8A"]),
    ("cirrus", &["B10", "CIRRUS"]),
    ("swir1", &["B11", "SWIR1", "SWIR16"]),
    ("swir2", &["B12", "SWIR2", "SWIR22"]),
];
/// Landsat 8 and 9 (OLI).
const LANDSAT_OLI: [(&str, &[&str]); 7] = [
    ("blue", &["B2", "BLUE"]),
    ("green", &["B3", "GREEN"]),
    ("red", &["B4", "RED"]),
    ("nir", &["B5", "NIR", "NIR08"]),
    ("cirrus", &["B9", "CIRRUS"]),
    ("swir1", &["B6", "SWIR1", "SWIR16"]),
    ("swir2", &["B7", "SWIR2", "SWIR22"]),
];
/// Landsat 4 to 7 (TM, ETM+).
const LANDSAT_TM: [(&str, &[&str]); 7] = [
    ("blue", &["B1", "BLUE"]),
    ("green", &["B2", "GREEN"]),
    ("red", &["B3", "RED"]),
    ("nir", &["B4", "NIR", "NIR08"]),
    ("cirrus", &[]),
    ("swir1", &["B5", "SWIR1", "SWIR16"]),
    ("swir2", &["B7", "SWIR2", "SWIR22"]),
];

/// The bands the detector can use, and how they were chosen. Numbers are positions among the
/// image bands, from 0.
///
/// # Errors
/// Exit 2 for a scene with fewer than three bands.
pub fn choose(info: &SceneInfo) -> Result<(Roles, String)> {
    let data = info.data_bands();
    if data.len() < 3 {
        return Err(Failure::mismatch(
            "--mask-from auto",
            "a scene with blue, green and red at least",
            format!("{} band(s)", data.len()),
        )
        .hint("give a mask with --mask, or the scene with all its bands"));
    }
    if let Some(roles) = by_name(info, &data) {
        return Ok((roles, "by their descriptions".into()));
    }
    let usual = ["B04", "B03", "B02"].map(str::to_owned);
    let choice = rgb::choose(info, None, &usual)?;
    // `rgb::choose` takes none but data bands.
    let place = |number: usize| data.iter().position(|band| *band == number).unwrap_or(0);
    let [red, green, blue] = [0, 1, 2].map(|index| place(choice.bands[index]));
    // Blue, green, red in their places: the rest follows from the number of bands.
    let (nir, cirrus, swir1, swir2) = match (data.len(), [red, green, blue]) {
        (13, [3, 2, 1]) => (Some(7), Some(10), Some(11), Some(12)),
        (12, [3, 2, 1]) => (Some(7), None, Some(10), Some(11)),
        (10, [2, 1, 0]) => (Some(6), None, Some(8), Some(9)),
        // Landsat 4 to 7 without its thermal band.
        (6, [2, 1, 0]) => (Some(3), None, Some(4), Some(5)),
        (4, [2, 1, 0] | [0, 1, 2]) => (Some(3), None, None, None),
        _ => (None, None, None, None),
    };
    let roles = Roles {
        blue,
        green,
        red,
        nir,
        cirrus,
        swir1,
        swir2,
    };
    Ok((roles, choice.reason))
}

fn by_name(info: &SceneInfo, data: &[usize]) -> Option<Roles> {
    let names = match landsat(info, data) {
        None => SENTINEL2,
        Some(true) => LANDSAT_OLI,
        Some(false) => LANDSAT_TM,
    };
    let find = |role: &str| {
        let (_, names) = names.iter().find(|(name, _)| *name == role)?;
        names.iter().find_map(|name| {
            data.iter().position(|number| {
                let words = words(&info.bands[number - 1].description);
                words.iter().any(|word| word == name) && !words.iter().any(|word| word == "EDGE")
            })
        })
    };
    Some(Roles {
        blue: find("blue")?,
        green: find("green")?,
        red: find("red")?,
        nir: find("nir"),
        cirrus: find("cirrus"),
        swir1: find("swir1"),
        swir2: find("swir2"),
    })
}

fn words(description: &str) -> Vec<String> {
    let upper = description.to_uppercase();
    upper
        .split(|letter: char| !letter.is_ascii_alphanumeric())
        .map(str::to_owned)
        .collect()
}

/// Whether the bands are Landsat's, and if so whether of the newer kind, which has SR_B6.
fn landsat(info: &SceneInfo, data: &[usize]) -> Option<bool> {
    let described = |name: &str| {
        data.iter().any(|number| {
            info.bands[number - 1]
                .description
                .to_uppercase()
                .contains(name)
        })
    };
    described("SR_B").then(|| described("SR_B6"))
}

#[cfg(test)]
mod tests {
    use super::super::rgb::tests::info;
    use super::*;

    fn roles(descriptions: &[&str]) -> Option<Roles> {
        let bands: Vec<(&str, i32)> = descriptions.iter().map(|name| (*name, 0)).collect();
        choose(&info(&bands)).ok().map(|(roles, _)| roles)
    }

    #[test]
    fn bands_are_known_by_name() {
        let stack = roles(&["B02", "B03", "B04", "B08"]).expect("roles");
        assert_eq!(
            (stack.blue, stack.red, stack.nir, stack.swir1),
            (0, 2, Some(3), None)
        );
        let gdal = roles(&["B4, central wavelength 665 nm", "B3", "B2", "B8"]).expect("roles");
        assert_eq!((gdal.blue, gdal.red, gdal.nir), (2, 0, Some(3)));
        let oli = [
            "SR_B1", "SR_B2", "SR_B3", "SR_B4", "SR_B5", "SR_B6", "SR_B7", "QA_PIXEL",
        ];
        let oli = roles(&oli).expect("roles");
        assert_eq!(
            (oli.blue, oli.nir, oli.swir1, oli.swir2),
            (1, Some(4), Some(5), Some(6))
        );
        let tm = roles(&["SR_B1", "SR_B2", "SR_B3", "SR_B4", "SR_B5", "SR_B7"]).expect("roles");
        assert_eq!(
            (tm.blue, tm.nir, tm.swir1, tm.swir2),
            (0, Some(3), Some(4), Some(5))
        );
        let edge = roles(&["blue", "green", "red", "red edge 1", "nir"]).expect("roles");
        assert_eq!((edge.red, edge.nir), (2, Some(4)));
    }

    #[test]
    fn bands_are_guessed_by_number() {
        let l1c = roles(&[""; 13]).expect("roles");
        assert_eq!((l1c.blue, l1c.cirrus, l1c.swir2), (1, Some(10), Some(12)));
        let l2a = roles(&[""; 12]).expect("roles");
        assert_eq!((l2a.cirrus, l2a.swir1), (None, Some(10)));
        assert_eq!(roles(&[""; 3]).map(|roles| roles.nir), Some(None));
        assert_eq!(roles(&["", ""]), None);
    }
}
