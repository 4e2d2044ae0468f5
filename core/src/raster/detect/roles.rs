//! Which band of a scene sees which colour: by its name, else by the number of bands.

use super::Roles;

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

impl Roles {
    /// By the names (descriptions) of the bands, as Sentinel-2, Landsat and usual programs call
    /// them; `None` unless blue, green and red are among them. Positions count the names, from 0.
    pub fn by_name<S: AsRef<str>>(names: &[S]) -> Option<Self> {
        let upper: Vec<String> = names
            .iter()
            .map(|name| name.as_ref().to_uppercase())
            .collect();
        let table = match landsat(&upper) {
            None => SENTINEL2,
            Some(true) => LANDSAT_OLI,
            Some(false) => LANDSAT_TM,
        };
        let find = |role: &str| {
            let (_, wanted) = table.iter().find(|(name, _)| *name == role)?;
            wanted.iter().find_map(|wanted| {
                upper.iter().position(|name| {
                    let mut words = name.split(|letter: char| !letter.is_ascii_alphanumeric());
                    words.clone().any(|word| word == *wanted) && !words.any(|word| word == "EDGE")
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

    /// By the number of bands, where red, green and blue are known: the usual stacks of
    /// Sentinel-2 (13, 12, 10 and 4 bands) and Landsat (6) have the others in their places.
    pub fn by_number(bands: usize, [red, green, blue]: [usize; 3]) -> Self {
        let (nir, cirrus, swir1, swir2) = match (bands, [red, green, blue]) {
            (13, [3, 2, 1]) => (Some(7), Some(10), Some(11), Some(12)),
            (12, [3, 2, 1]) => (Some(7), None, Some(10), Some(11)),
            (10, [2, 1, 0]) => (Some(6), None, Some(8), Some(9)),
            // Landsat 4 to 7 without its thermal band.
            (6, [2, 1, 0]) => (Some(3), None, Some(4), Some(5)),
            (4, [2, 1, 0] | [0, 1, 2]) => (Some(3), None, None, None),
            _ => (None, None, None, None),
        };
        Roles {
            blue,
            green,
            red,
            nir,
            cirrus,
            swir1,
            swir2,
        }
    }
}

/// Whether the bands are Landsat's, and if so whether of the newer kind, which has SR_B6.
fn landsat(names: &[String]) -> Option<bool> {
    let named = |part: &str| names.iter().any(|name| name.contains(part));
    named("SR_B").then(|| named("SR_B6"))
}
