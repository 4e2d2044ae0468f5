//! Lists of scenes: CSV, or a STAC ItemCollection.

mod stac;

use std::path::{Path, PathBuf};

pub use self::stac::{Asset, stac};
use chrono::NaiveDate;

use crate::cli::RestoreArgs;
use crate::failure::{Failure, Result};
use crate::gdal_io::is_gdal_name;
use crate::gdal_io::mask::request::MaskFrom;

/// A longer list is a mistake, or no list.
const LARGEST_BYTES: u64 = 64 << 20;
/// So many scenes are a year's work; more are a mistake, and memory would grow with them.
const MOST_SCENES: usize = 10_000;
const COLUMNS: [&str; 6] = [
    "scene",
    "output",
    "mask",
    "reference",
    "reference_mask",
    "date",
];

/// What a list says about one scene.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Entry {
    /// The scene; of one in several files, the name it gets in memory.
    pub scene: PathBuf,
    /// Its bands, if each lies in a file of its own.
    pub bands: Vec<Asset>,
    /// Where its filled scene goes.
    pub output: Option<PathBuf>,
    /// Where to fill.
    pub mask: Option<PathBuf>,
    /// An image of another date.
    pub reference: Vec<PathBuf>,
    /// Its clouds.
    pub reference_mask: Vec<PathBuf>,
    /// When it was taken, if the list says so.
    pub date: Option<NaiveDate>,
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
        stac(&text, folder, &args.asset, &mask_assets(args))
    } else {
        csv(&text, folder)
    };
    entries.map_err(|failure| Failure {
        message: format!("--batch {}: {}", path.display(), failure.message),
        ..failure
    })
}

/// The assets that may be the mask: as asked, else the classification that is to be read.
fn mask_assets(args: &RestoreArgs) -> Vec<String> {
    let usual: &[&str] = match args.mask_from {
        _ if !args.mask_asset.is_empty() || args.mask.is_some() => return args.mask_asset.clone(),
        Some(MaskFrom::Scl) => &["scl", "SCL"],
        Some(MaskFrom::QaPixel) => &["qa_pixel", "QA_PIXEL"],
        _ => &[],
    };
    usual.iter().map(|key| (*key).to_owned()).collect()
}

/// The scenes of a CSV text with a header line; fields may stand in double quotes (RFC 4180).
///
/// # Errors
/// Exit 2 for unknown or missing columns, a line of another length, an open quote, no scene.
pub fn csv(text: &str, folder: &Path) -> Result<Vec<Entry>> {
    let mut records = Records::new(text.trim_start_matches('\u{feff}'));
    let (_, header) = records.next().transpose()?.unwrap_or_default();
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
    for record in records {
        let (line, fields) = record?;
        if fields.len() != header.len() {
            return Err(Failure::mismatch(
                format!("line {line} of the list"),
                format!("{} fields", header.len()),
                fields.len(),
            ));
        }
        if entries.len() == MOST_SCENES {
            return Err(
                Failure::mismatch("list", format!("at most {MOST_SCENES} scenes"), "more")
                    .hint("divide it into several lists"),
            );
        }
        let field = |name: &str| {
            let at = header.iter().position(|column| column == name)?;
            let text = fields[at].trim();
            (!text.is_empty()).then(|| place(folder, text))
        };
        // Several in one field, as a path holds no semicolon.
        let several = |name: &str| {
            let at = header.iter().position(|column| column == name);
            let texts = at.map(|at| fields[at].split(';').map(str::trim));
            let texts = texts.into_iter().flatten().filter(|text| !text.is_empty());
            texts.map(|text| place(folder, text)).collect::<Vec<_>>()
        };
        let at = header.iter().position(|column| column == "date");
        let date = at
            .map(|at| fields[at].trim())
            .filter(|text| !text.is_empty());
        let date = date.map(|text| {
            text.parse::<NaiveDate>().map_err(|error| {
                Failure::mismatch(
                    format!("date in line {line} of the list"),
                    "YYYY-MM-DD",
                    text,
                )
                .hint(error.to_string())
            })
        });
        let scene = field("scene").ok_or_else(|| {
            Failure::mismatch(format!("line {line} of the list"), "a scene", "none")
        })?;
        entries.push(Entry {
            scene,
            output: field("output"),
            mask: field("mask"),
            reference: several("reference"),
            reference_mask: several("reference_mask"),
            date: date.transpose()?,
            ..Entry::default()
        });
    }
    some(entries)
}

/// The lines of a CSV text with their numbers, as fields; blank lines are left out.
struct Records<'a> {
    letters: std::iter::Peekable<std::str::Chars<'a>>,
    line: usize,
}

impl<'a> Records<'a> {
    fn new(text: &'a str) -> Self {
        Records {
            letters: text.chars().peekable(),
            line: 1,
        }
    }

    /// The fields up to the end of a line, outside quotes, or of the text.
    fn record(&mut self) -> Result<Vec<String>> {
        let began = self.line;
        let (mut fields, mut field, mut quoted) = (Vec::new(), String::new(), false);
        while let Some(letter) = self.letters.next() {
            self.line += usize::from(letter == '\n');
            match letter {
                '"' if quoted && self.letters.peek() == Some(&'"') => {
                    self.letters.next();
                    field.push('"');
                }
                '"' if quoted => quoted = false,
                '"' if field.trim().is_empty() => {
                    field.clear();
                    quoted = true;
                }
                ',' if !quoted => fields.push(std::mem::take(&mut field)),
                '\n' if !quoted => break,
                letter => field.push(letter),
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
        Ok(fields)
    }
}

impl Iterator for Records<'_> {
    type Item = Result<(usize, Vec<String>)>;

    fn next(&mut self) -> Option<Self::Item> {
        while self.letters.peek().is_some() {
            let began = self.line;
            match self.record() {
                Ok(fields) if fields.iter().all(|field| field.trim().is_empty()) => {}
                Ok(fields) => return Some(Ok((began, fields))),
                Err(failure) => return Some(Err(failure)),
            }
        }
        None
    }
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
    let path = text.strip_prefix("file://");
    let text = path.filter(|path| !path.is_empty()).unwrap_or(text);
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
    fn a_list_without_end_is_refused() {
        let list = |count: usize| format!("scene\n{}", "a\n".repeat(count));
        assert_eq!(paths(&list(MOST_SCENES)).expect("read").len(), MOST_SCENES);
        let failure = paths(&list(MOST_SCENES + 1)).expect_err("too long");
        assert!(failure.message.contains("at most"), "{}", failure.message);
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
}
