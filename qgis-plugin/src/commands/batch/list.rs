//! Lists of scenes: CSV, or a STAC ItemCollection.

use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::cli::RestoreArgs;
use crate::failure::{Failure, Result};
use crate::gdal_io::is_gdal_name;

/// A longer list is a mistake, or no list.
const LARGEST_BYTES: u64 = 64 << 20;
const COLUMNS: [&str; 5] = ["scene", "output", "mask", "reference", "reference_mask"];

/// What a list says about one scene.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Entry {
    /// The scene.
    pub scene: PathBuf,
    /// Where its filled scene goes.
    pub output: Option<PathBuf>,
    /// Where to fill.
    pub mask: Option<PathBuf>,
    /// An image of another date.
    pub reference: Option<PathBuf>,
    /// Its clouds.
    pub reference_mask: Option<PathBuf>,
    /// The name of the item, for its output.
    pub id: Option<String>,
}

impl Entry {
    /// A scene of which nothing else is said.
    pub fn of(scene: &Path) -> Self {
        Entry {
            scene: scene.to_owned(),
            ..Entry::default()
        }
    }

    /// What its output is called in a folder, without the ending.
    pub fn name(&self) -> String {
        match &self.id {
            // An id may hold what a file name may not.
            Some(id) => id
                .chars()
                .map(|letter| match letter {
                    letter if letter.is_alphanumeric() || "-_.".contains(letter) => letter,
                    _ => '_',
                })
                .collect(),
            None => self
                .scene
                .file_stem()
                .unwrap_or_default()
                .to_string_lossy()
                .into_owned(),
        }
    }
}

/// Reads the list at `path`; its paths are relative to its folder.
///
/// # Errors
/// Exit 2 if it cannot be read or names no scene.
pub fn read(path: &Path, args: &RestoreArgs) -> Result<Vec<Entry>> {
    let unreadable = |why: String| {
        Failure::usage(format!("--batch: cannot read {} ({why})", path.display()))
            .hint("a CSV with the columns scene, mask and output, or a STAC ItemCollection")
    };
    let bytes = std::fs::metadata(path).map_err(|error| unreadable(error.to_string()))?;
    if bytes.len() > LARGEST_BYTES {
        return Err(unreadable(format!("{} bytes", bytes.len())));
    }
    let text = std::fs::read_to_string(path).map_err(|error| unreadable(error.to_string()))?;
    let folder = path.parent().unwrap_or(Path::new(""));
    let entries = if text.trim_start().starts_with('{') {
        stac(&text, folder, &args.asset, &args.mask_asset)
    } else {
        csv(&text, folder)
    };
    entries.map_err(|failure| Failure {
        message: format!("--batch {}: {}", path.display(), failure.message),
        ..failure
    })
}

/// The scenes of a CSV text with a header line; fields may stand in double quotes (RFC 4180).
///
/// # Errors
/// Exit 2 for unknown or missing columns, a line of another length, an open quote, no scene.
pub fn csv(text: &str, folder: &Path) -> Result<Vec<Entry>> {
    let mut records = records(text.trim_start_matches('\u{feff}'))?.into_iter();
    let (_, header) = records.next().unwrap_or_default();
    let header: Vec<String> = header
        .iter()
        .map(|name| name.trim().to_lowercase())
        .collect();
    if let Some(unknown) = header.iter().find(|name| !COLUMNS.contains(&name.as_str())) {
        return Err(Failure::mismatch(
            "column of the list",
            COLUMNS.join(", "),
            format!("{unknown:?}"),
        )
        .hint("the first line names the columns, e.g. scene,mask,output"));
    }
    if !header.iter().any(|name| name == "scene") {
        return Err(Failure::mismatch(
            "list",
            "a column scene",
            header.join(", "),
        ));
    }
    let mut entries = Vec::new();
    for (line, fields) in records {
        if fields.len() != header.len() {
            return Err(Failure::mismatch(
                format!("line {line} of the list"),
                format!("{} fields", header.len()),
                fields.len(),
            ));
        }
        let field = |name: &str| {
            let at = header.iter().position(|column| column == name)?;
            let text = fields[at].trim();
            (!text.is_empty()).then(|| place(folder, text))
        };
        let scene = field("scene").ok_or_else(|| {
            Failure::mismatch(format!("line {line} of the list"), "a scene", "none")
        })?;
        entries.push(Entry {
            scene,
            output: field("output"),
            mask: field("mask"),
            reference: field("reference"),
            reference_mask: field("reference_mask"),
            id: None,
        });
    }
    some(entries)
}

/// Lines with their numbers, as fields; blank lines are left out.
fn records(text: &str) -> Result<Vec<(usize, Vec<String>)>> {
    let mut records = Vec::new();
    let (mut fields, mut field) = (Vec::new(), String::new());
    let (mut line, mut began, mut quoted) = (1, 1, false);
    let mut letters = text.chars().peekable();
    while let Some(letter) = letters.next() {
        match letter {
            '"' if quoted && letters.peek() == Some(&'"') => {
                letters.next();
                field.push('"');
            }
            '"' if quoted => quoted = false,
            '"' if field.trim().is_empty() => {
                field.clear();
                quoted = true;
            }
            ',' if !quoted => fields.push(std::mem::take(&mut field)),
            '\n' if !quoted => {
                fields.push(std::mem::take(&mut field));
                let record = std::mem::take(&mut fields);
                if record.iter().any(|field| !field.trim().is_empty()) {
                    records.push((began, record));
                }
                line += 1;
                began = line;
            }
            letter => {
                line += usize::from(letter == '\n');
                field.push(letter);
            }
        }
    }
    if quoted {
        return Err(Failure::mismatch(
            format!("line {began} of the list"),
            "a closing quote",
            "none",
        ));
    }
    fields.push(field);
    if fields.iter().any(|field| !field.trim().is_empty()) {
        records.push((began, fields));
    }
    Ok(records)
}

/// The scenes of a STAC ItemCollection (a GeoJSON FeatureCollection of items), or of one item.
/// Of the `assets` named the first that an item has is its scene, and so for the mask.
///
/// # Errors
/// Exit 2 for what is no such thing, or an item without the asset.
pub fn stac(text: &str, folder: &Path, assets: &[String], masks: &[String]) -> Result<Vec<Entry>> {
    let root: Value = serde_json::from_str(text)
        .map_err(|error| Failure::mismatch("list", "CSV or JSON", error))?;
    let items: Vec<&Value> = match (&root["features"], &root["assets"]) {
        (Value::Array(items), _) => items.iter().collect(),
        (_, Value::Object(_)) => vec![&root],
        _ => {
            return Err(Failure::mismatch(
                "list",
                "a STAC ItemCollection",
                "JSON without features",
            ));
        }
    };
    let mut entries = Vec::new();
    for item in items {
        let id = item["id"].as_str().unwrap_or("without id").to_owned();
        let href = |keys: &[String]| {
            let found = keys
                .iter()
                .find_map(|key| item["assets"][key]["href"].as_str());
            found.map(|href| place(folder, href))
        };
        let scene = href(assets).ok_or_else(|| {
            let has = item["assets"].as_object();
            let has: Vec<&str> = has
                .into_iter()
                .flatten()
                .map(|(key, _)| key.as_str())
                .collect();
            Failure::mismatch(
                format!("item {id}"),
                format!("an asset {}", assets.join(" or ")),
                has.join(", "),
            )
            .hint("say which asset is the scene: --asset KEY")
        })?;
        entries.push(Entry {
            scene,
            mask: href(masks),
            id: Some(id),
            ..Entry::default()
        });
    }
    some(entries)
}

/// A path of a list: relative to its folder, a GDAL name, or an address that GDAL reads.
fn place(folder: &Path, text: &str) -> PathBuf {
    let is_address = ["http://", "https://"]
        .iter()
        .any(|start| text.starts_with(start));
    if is_address {
        return PathBuf::from(format!("/vsicurl/{text}"));
    }
    if let Some(rest) = text.strip_prefix("s3://") {
        return PathBuf::from(format!("/vsis3/{rest}"));
    }
    let text = text.strip_prefix("file://").unwrap_or(text);
    match is_gdal_name(Path::new(text)) {
        true => PathBuf::from(text),
        false => folder.join(text),
    }
}

fn some(entries: Vec<Entry>) -> Result<Vec<Entry>> {
    match entries.is_empty() {
        true => Err(Failure::mismatch("list", "at least one scene", "none")),
        false => Ok(entries),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn paths(text: &str) -> Result<Vec<(PathBuf, Option<PathBuf>)>> {
        let entries = csv(text, Path::new("in"))?;
        Ok(entries.into_iter().map(|e| (e.scene, e.mask)).collect())
    }

    #[test]
    fn csv_with_quotes_blank_lines_and_windows_ends() {
        let text = "\u{feff}Scene,mask\r\n\"a, b.tif\",m.tif\r\n\r\n\"say \"\"x\"\".tif\",\r\n/abs.tif,/vsizip/z.zip/m.tif";
        let expected = [
            (
                PathBuf::from("in/a, b.tif"),
                Some(PathBuf::from("in/m.tif")),
            ),
            (PathBuf::from("in/say \"x\".tif"), None),
            (
                PathBuf::from("/abs.tif"),
                Some(PathBuf::from("/vsizip/z.zip/m.tif")),
            ),
        ];
        assert_eq!(paths(text).expect("read"), expected);
    }

    #[test]
    fn what_is_no_list_is_said() {
        for (text, said) in [
            ("", "column scene"),
            ("scene\n", "at least one scene"),
            ("scene,colour\na.tif,red\n", "colour"),
            ("mask\na.tif\n", "column scene"),
            ("scene,mask\na.tif\n", "line 2"),
            ("scene,mask\n\na.tif,b,c\n", "line 3"),
            ("scene,mask\n,m.tif\n", "a scene"),
            ("scene\n\"a.tif\n", "closing quote"),
        ] {
            let failure = paths(text).expect_err(text);
            assert_eq!(failure.exit as u8, 2);
            assert!(
                failure.message.contains(said),
                "{text:?}: {}",
                failure.message
            );
        }
    }

    #[test]
    fn stac_items_give_their_assets() {
        let text = r#"{"type": "FeatureCollection", "features": [
            {"id": "S2/one", "assets": {"visual": {"href": "one.tif"}, "scl": {"href": "https://x.org/scl.tif"}}},
            {"id": "two", "assets": {"data": {"href": "file:///d/two.tif"}, "visual": {"href": "v.tif"}}}]}"#;
        let keys = |keys: &[&str]| keys.iter().map(|key| (*key).to_owned()).collect::<Vec<_>>();
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
        let failure = stac(text, folder, &keys(&["nir"]), &[]).expect_err("no such asset");
        assert!(failure.message.contains("S2/one") && failure.message.contains("visual"));
        for text in ["{", "{}", r#"{"features": []}"#, r#"{"features": 3}"#] {
            assert!(stac(text, folder, &keys(&["data"]), &[]).is_err(), "{text}");
        }
    }
}
