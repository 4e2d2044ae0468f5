//! Which band of a scene sees which colour, for the cloud detector: by description, else by the
//! number of bands.

use unclouded_core::raster::detect::Roles;

use super::rgb;
use super::scene::SceneInfo;
use crate::failure::{Failure, Result};

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
    let names: Vec<&str> = data
        .iter()
        .map(|number| info.bands[number - 1].description.as_str())
        .collect();
    if let Some(roles) = Roles::by_name(&names) {
        return Ok((roles, "by their descriptions".into()));
    }
    let usual = ["B04", "B03", "B02"].map(str::to_owned);
    let choice = rgb::choose(info, None, &usual)?;
    // `rgb::choose` takes none but data bands.
    let place = |number: usize| data.iter().position(|band| *band == number).unwrap_or(0);
    let rgb = [0, 1, 2].map(|index| place(choice.bands[index]));
    Ok((Roles::by_number(data.len(), rgb), choice.reason))
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
