//! A STAC ItemCollection, or one Item, as a list of scenes.
//!
//! Catalogues such as Earth Search and the Planetary Computer hold one file for each band; such
//! assets are stacked into one scene. Nothing of an item is kept but what is needed, so that
//! memory stays within a small multiple of the text.

use std::fmt;
use std::marker::PhantomData;
use std::path::{Path, PathBuf};

use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::{Entry, MOST_SCENES, place, some};
use crate::failure::{Failure, Result};

/// Common names of the bands that show the ground, by wavelength (STAC's extension `eo`).
const COMMON_NAMES: [&str; 15] = [
    "coastal",
    "blue",
    "green",
    "green05",
    "yellow",
    "red",
    "rededge",
    "rededge071",
    "rededge075",
    "rededge078",
    "nir",
    "nir08",
    "nir09",
    "swir16",
    "swir22",
];
/// The same with the band that sees high clouds only, in its place.
const CIRRUS: (&str, usize) = ("cirrus", 13);
/// A longer name is no name.
const LONGEST_NAME: usize = 64;

/// One band of a scene, in a file of its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asset {
    /// The file.
    pub path: PathBuf,
    /// What the band is called, e.g. `B04 red`.
    pub name: String,
}

/// What is read of a list.
#[derive(serde::Deserialize)]
struct Root {
    features: Option<Few<Item>>,
    assets: Option<Assets>,
    id: Option<String>,
}

#[derive(serde::Deserialize)]
struct Item {
    id: Option<String>,
    assets: Assets,
}

/// Keys and assets, sorted by their keys.
struct Assets(Vec<(String, Described)>);

/// What is read of an asset.
#[derive(serde::Deserialize)]
struct Described {
    href: Option<String>,
    /// Before STAC 1.1.
    #[serde(rename = "eo:bands")]
    eo_bands: Option<First>,
    bands: Option<First>,
}

#[derive(serde::Deserialize, Default)]
struct Band {
    name: Option<Box<str>>,
    common_name: Option<Box<str>>,
    #[serde(rename = "eo:common_name")]
    eo_common_name: Option<Box<str>>,
}

/// The first of some bands, and how many there are.
#[derive(Default)]
struct First {
    band: Band,
    count: usize,
}

/// As many as a list may have, and an error beyond.
struct Few<T>(Vec<T>);

/// The scenes of a STAC ItemCollection (a GeoJSON FeatureCollection of items), or of one item.
///
/// Of the `assets` named the first that an item has is its scene; `A+B+C` are bands in files of
/// their own. Without a name all assets with one band that shows the ground are stacked, by their
/// wavelength. Of the `masks` named the first that an item has is its mask.
///
/// # Errors
/// Exit 2 for what is no such thing, or an item without the asset.
pub fn stac(text: &str, folder: &Path, assets: &[String], masks: &[String]) -> Result<Vec<Entry>> {
    let root: Root = serde_json::from_str(text)
        .map_err(|error| Failure::mismatch("list", "a STAC ItemCollection", error))?;
    let items = match (root.features, root.assets) {
        (Some(Few(items)), _) => items,
        (None, Some(assets)) => vec![Item {
            id: root.id,
            assets,
        }],
        (None, None) => {
            return Err(Failure::mismatch(
                "list",
                "a STAC ItemCollection",
                "JSON without features",
            ));
        }
    };
    let mut entries = Vec::new();
    for item in items {
        let id = item.id.unwrap_or_else(|| "without id".to_owned());
        let Some(chosen) = item.assets.chosen(assets) else {
            return Err(without_scene(&id, &item.assets, assets));
        };
        let mask = masks.iter().find_map(|key| item.assets.href(key));
        let mut entry = Entry {
            mask: mask.map(|href| place(folder, href)),
            id: Some(id),
            ..Entry::default()
        };
        match &chosen[..] {
            [(_, _, href)] => entry.scene = place(folder, href),
            several => {
                let asset = |(key, described, href): &(&str, &Described, &str)| Asset {
                    path: place(folder, href),
                    name: described.name(key),
                };
                entry.bands = several.iter().map(asset).collect();
                entry.scene = PathBuf::from(format!("/vsimem/unclouded/{}.vrt", entry.name()));
            }
        }
        entries.push(entry);
    }
    some(entries)
}

fn without_scene(id: &str, has: &Assets, asked: &[String]) -> Failure {
    let has: Vec<&str> = has.0.iter().map(|(key, _)| key.as_str()).collect();
    let expected = match asked.is_empty() {
        true => "assets with one band of the ground each".to_owned(),
        false => format!("an asset {}", asked.join(" or ")),
    };
    Failure::mismatch(format!("item {id}"), expected, has.join(", ")).hint(
        "say which asset is the scene: --asset KEY, or --asset KEY+KEY+KEY for bands in files of their own",
    )
}

impl Assets {
    fn get(&self, key: &str) -> Option<(&str, &Described, &str)> {
        let at = self
            .0
            .binary_search_by(|(own, _)| own.as_str().cmp(key))
            .ok()?;
        let (key, described) = &self.0[at];
        Some((key, described, described.href()?))
    }

    fn href(&self, key: &str) -> Option<&str> {
        self.get(key).map(|(_, _, href)| href)
    }

    /// The assets that make up the scene, with their keys and places.
    fn chosen(&self, asked: &[String]) -> Option<Vec<(&str, &Described, &str)>> {
        if asked.is_empty() {
            return self.of_the_ground();
        }
        asked.iter().find_map(|name| match self.get(name) {
            Some(one) => Some(vec![one]),
            None => name.split('+').map(|key| self.get(key)).collect(),
        })
    }

    /// All assets with one band that shows the ground, each band once.
    fn of_the_ground(&self) -> Option<Vec<(&str, &Described, &str)>> {
        let mut found: Vec<(usize, &str, (&str, &Described, &str))> = Vec::new();
        for (key, described) in &self.0 {
            let (Some(href), Some(place)) = (described.href(), described.wavelength()) else {
                continue;
            };
            let name = described.band().and_then(|band| band.name.as_deref());
            let name = name.unwrap_or(key);
            // Earth Search offers each band twice, as GeoTIFF and as JPEG 2000.
            if !found.iter().any(|(_, known, _)| *known == name) {
                found.push((place, name, (key, described, href)));
            }
        }
        found.sort_by_key(|(place, _, _)| *place);
        let found: Vec<_> = found.into_iter().map(|(_, _, asset)| asset).collect();
        (!found.is_empty()).then_some(found)
    }
}

impl Described {
    /// Where it lies, if that is said.
    fn href(&self) -> Option<&str> {
        self.href.as_deref().filter(|href| !href.trim().is_empty())
    }

    /// Its band, if it has exactly one.
    fn band(&self) -> Option<&Band> {
        let bands = self.eo_bands.as_ref().or(self.bands.as_ref())?;
        (bands.count == 1).then_some(&bands.band)
    }

    /// Where its only band lies among those that show the ground, or the clouds.
    fn wavelength(&self) -> Option<usize> {
        let common = self.band()?.common()?;
        if common == CIRRUS.0 {
            return Some(2 * CIRRUS.1 - 1);
        }
        let at = COMMON_NAMES.iter().position(|name| *name == common)?;
        Some(2 * at)
    }

    /// What the band is called: its own name and the common one, or the key of the asset.
    fn name(&self, key: &str) -> String {
        let band = self.band();
        let own = band.and_then(|band| band.name.as_deref()).unwrap_or(key);
        let common = band.and_then(Band::common).unwrap_or("");
        let name = match own.eq_ignore_ascii_case(common) || common.is_empty() {
            true => own.to_owned(),
            false => format!("{own} {common}"),
        };
        let printable = name.chars().filter(|letter| !letter.is_control());
        printable.take(LONGEST_NAME).collect()
    }
}

impl Band {
    fn common(&self) -> Option<&str> {
        let name = self.common_name.as_ref().or(self.eo_common_name.as_ref());
        name.map(|name| &**name)
    }
}

impl<'de> Deserialize<'de> for Assets {
    fn deserialize<D: Deserializer<'de>>(from: D) -> std::result::Result<Self, D::Error> {
        struct Pairs;
        impl<'de> Visitor<'de> for Pairs {
            type Value = Assets;
            fn expecting(&self, out: &mut fmt::Formatter) -> fmt::Result {
                out.write_str("an object of assets")
            }
            fn visit_map<A: MapAccess<'de>>(
                self,
                mut map: A,
            ) -> std::result::Result<Assets, A::Error> {
                let mut pairs = Vec::new();
                while let Some(pair) = map.next_entry()? {
                    pairs.push(pair);
                }
                // The first of one name counts, as the sort is stable.
                pairs.sort_by(|(a, _): &(String, Described), (b, _)| a.cmp(b));
                pairs.dedup_by(|later, first| later.0 == first.0);
                Ok(Assets(pairs))
            }
        }
        from.deserialize_map(Pairs)
    }
}

impl<'de> Deserialize<'de> for First {
    fn deserialize<D: Deserializer<'de>>(from: D) -> std::result::Result<Self, D::Error> {
        struct Counted;
        impl<'de> Visitor<'de> for Counted {
            type Value = First;
            fn expecting(&self, out: &mut fmt::Formatter) -> fmt::Result {
                out.write_str("an array of bands")
            }
            fn visit_seq<A: SeqAccess<'de>>(
                self,
                mut seq: A,
            ) -> std::result::Result<First, A::Error> {
                let mut first = First::default();
                if let Some(band) = seq.next_element()? {
                    first = First { band, count: 1 };
                }
                while seq.next_element::<IgnoredAny>()?.is_some() {
                    first.count += 1;
                }
                Ok(first)
            }
        }
        from.deserialize_seq(Counted)
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Few<T> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> std::result::Result<Self, D::Error> {
        struct Counted<T>(PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for Counted<T> {
            type Value = Few<T>;
            fn expecting(&self, out: &mut fmt::Formatter) -> fmt::Result {
                write!(out, "an array of at most {MOST_SCENES} items")
            }
            fn visit_seq<A: SeqAccess<'de>>(
                self,
                mut seq: A,
            ) -> std::result::Result<Few<T>, A::Error> {
                let mut few = Vec::new();
                while let Some(one) = seq.next_element()? {
                    if few.len() == MOST_SCENES {
                        return Err(serde::de::Error::invalid_length(MOST_SCENES + 1, &self));
                    }
                    few.push(one);
                }
                Ok(Few(few))
            }
        }
        from.deserialize_seq(Counted(PhantomData))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(keys: &[&str]) -> Vec<String> {
        keys.iter().map(|key| (*key).to_owned()).collect()
    }

    #[test]
    fn items_give_their_assets() {
        let text = r#"{"type": "FeatureCollection", "features": [
            {"id": "S2/one", "assets": {"visual": {"href": "one.tif"}, "scl": {"href": "https://x.org/scl.tif"}}},
            {"id": "two", "assets": {"data": {"href": "file:///d/two.tif"}, "visual": {"href": "v.tif"}}}]}"#;
        let folder = Path::new("in");
        let entries =
            stac(text, folder, &keys(&["data", "visual"]), &keys(&["scl"])).expect("read");
        assert_eq!(entries[0].scene, Path::new("in/one.tif"));
        assert_eq!(
            entries[0].mask.as_deref(),
            Some(Path::new("/vsicurl/https://x.org/scl.tif"))
        );
        assert_eq!(entries[0].name(), "S2_one");
        assert_eq!(entries[1].scene, Path::new("/d/two.tif"));
        assert!(entries.iter().all(|entry| entry.bands.is_empty()));
        let failure = stac(text, folder, &keys(&["nir"]), &[]).expect_err("no such asset");
        assert!(failure.message.contains("S2/one") && failure.message.contains("visual"));
        for text in ["{", "{}", r#"{"features": []}"#, r#"{"features": 3}"#] {
            assert!(stac(text, folder, &keys(&["data"]), &[]).is_err(), "{text}");
        }
    }

    /// As the Planetary Computer, Earth Search and STAC 1.1 write it.
    #[test]
    fn bands_in_files_of_their_own_are_stacked() {
        let text = r#"{"id": "S2B_48QUE", "type": "Feature", "assets": {
            "B8A": {"href": "B8A.tif", "eo:bands": [{"name": "B8A", "common_name": "nir08"}]},
            "B08": {"href": "B08.tif", "eo:bands": [{"name": "B08", "common_name": "nir"}]},
            "B04": {"href": "B04.tif", "eo:bands": [{"name": "B04", "common_name": "red"}]},
            "blue": {"href": "b.tif", "eo:bands": [{"name": "blue", "common_name": "blue"}]},
            "blue-jp2": {"href": "b.jp2", "eo:bands": [{"name": "blue", "common_name": "blue"}]},
            "green": {"href": "g.tif", "bands": [{"name": "B03", "eo:common_name": "green"}]},
            "cirrus": {"href": "c.tif", "eo:bands": [{"name": "B10", "common_name": "cirrus"}]},
            "swir": {"href": "s.tif", "eo:bands": [{"name": "B11", "common_name": "swir16"}]},
            "lwir": {"href": "t.tif", "eo:bands": [{"name": "B10", "common_name": "lwir"}]},
            "visual": {"href": "v.tif", "eo:bands": [{"name": "red"}, {}, {}]},
            "scl": {"href": "scl.tif"}, "thumbnail": {"href": "t.jpg"}, "B99": {},
            "B05": {"href": "", "eo:bands": [{"name": "B05", "common_name": "rededge"}]}}}"#;
        let folder = Path::new("in");
        let bands = |asked: &[&str]| {
            let entries = stac(text, folder, &keys(asked), &keys(&["scl"])).expect("read");
            assert_eq!(
                entries[0].scene,
                Path::new("/vsimem/unclouded/S2B_48QUE.vrt")
            );
            assert_eq!(entries[0].mask.as_deref(), Some(Path::new("in/scl.tif")));
            let of = |asset: &Asset| (asset.path.display().to_string(), asset.name.clone());
            entries[0].bands.iter().map(of).collect::<Vec<_>>()
        };
        let named = |pairs: &[(&str, &str)]| {
            let own = |(path, name): &(&str, &str)| ((*path).to_owned(), (*name).to_owned());
            pairs.iter().map(own).collect::<Vec<_>>()
        };
        let all = [
            ("in/b.tif", "blue"),
            ("in/g.tif", "B03 green"),
            ("in/B04.tif", "B04 red"),
            ("in/B08.tif", "B08 nir"),
            ("in/B8A.tif", "B8A nir08"),
            ("in/c.tif", "B10 cirrus"),
            ("in/s.tif", "B11 swir16"),
        ];
        assert_eq!(bands(&[]), named(&all));
        let asked = ["red+green", "B04+green+scl", "B04"];
        assert_eq!(
            bands(&asked),
            named(&[all[2], all[1], ("in/scl.tif", "scl")])
        );
        let failure = stac(text, folder, &keys(&["B04+B99"]), &[]).expect_err("no place");
        assert!(failure.message.contains("B04+B99"), "{}", failure.message);
    }

    #[test]
    fn a_list_without_end_is_refused() {
        let item = r#"{"assets":{"data":{"href":"a.tif"}}},"#;
        let list = |count: usize| {
            let items = item.repeat(count);
            let text = format!(r#"{{"features":[{}]}}"#, items.trim_end_matches(','));
            stac(&text, Path::new(""), &keys(&["data"]), &[]).map(|entries| entries.len())
        };
        assert_eq!(list(MOST_SCENES).expect("read"), MOST_SCENES);
        assert!(list(MOST_SCENES + 1).is_err());
    }
}
