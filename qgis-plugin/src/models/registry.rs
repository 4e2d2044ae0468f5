//! The models that have a name: inside the program, beside it, or in the user's data folder.
//!
//! A model is installed by laying NAME.safetensors into a folder `models` beside the program, or
//! into the user's (`unclouded info` says where). A file NAME.sha256 beside it, as `sha256sum`
//! writes it, is checked whenever the model is used.

use std::borrow::Cow;
use std::path::{Path, PathBuf};

use unclouded_core::model::{bundled, sha256};

use crate::failure::{Failure, Result};

/// Names another folder of models, before all others.
const FOLDER_VARIABLE: &str = "UNCLOUDED_MODELS";

/// A model that `--model NAME` finds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Installed {
    /// Its name.
    pub name: String,
    /// Its file; none for one inside the program.
    pub path: Option<PathBuf>,
}

/// The folders that are looked into, in this order.
pub fn folders() -> Vec<PathBuf> {
    let variable = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
    let beside = std::env::current_exe().ok();
    let beside = beside.and_then(|program| Some(program.parent()?.join("models")));
    let data = if cfg!(windows) {
        variable("APPDATA").map(PathBuf::from)
    } else if cfg!(target_os = "macos") {
        variable("HOME").map(|home| PathBuf::from(home).join("Library/Application Support"))
    } else {
        // The XDG base directory specification.
        let home = || variable("HOME").map(|home| PathBuf::from(home).join(".local/share"));
        variable("XDG_DATA_HOME").map(PathBuf::from).or_else(home)
    };
    let data = data.map(|folder| folder.join("unclouded").join("models"));
    let asked = variable(FOLDER_VARIABLE).map(PathBuf::from);
    [asked, beside, data].into_iter().flatten().collect()
}

/// All models with a name; the first is the default. A name that comes twice is the first one's.
pub fn installed() -> Vec<Installed> {
    let inside = bundled().iter().map(|(name, _)| Installed {
        name: (*name).to_owned(),
        path: None,
    });
    let mut all: Vec<Installed> = inside.collect();
    for folder in folders() {
        let Ok(entries) = std::fs::read_dir(folder) else {
            continue;
        };
        let mut files: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
        files.sort();
        for path in files {
            if path
                .extension()
                .is_none_or(|ending| ending != "safetensors")
            {
                continue;
            }
            let name = path
                .file_stem()
                .unwrap_or_default()
                .to_string_lossy()
                .into_owned();
            if all.iter().all(|known| known.name != name) {
                all.push(Installed {
                    name,
                    path: Some(path),
                });
            }
        }
    }
    all
}

/// Their names.
pub fn names() -> Vec<String> {
    installed().into_iter().map(|model| model.name).collect()
}

/// The name and the bytes of a model by its name, the default's without one; none where no
/// installed model is called so.
///
/// # Errors
/// Exit 2 if its file cannot be read or is not the one its checksum was made of.
pub fn find(name: Option<&str>) -> Result<Option<(String, Cow<'static, [u8]>)>> {
    let inside = match name {
        None => bundled().first(),
        Some(name) => bundled().iter().find(|(known, _)| *known == name),
    };
    if let Some((name, bytes)) = inside {
        return Ok(Some(((*name).to_owned(), Cow::Borrowed(*bytes))));
    }
    let found = installed()
        .into_iter()
        .find(|model| Some(model.name.as_str()) == name);
    let Some(Installed {
        name,
        path: Some(path),
    }) = found
    else {
        return Ok(None);
    };
    let bytes = std::fs::read(&path).map_err(|error| {
        Failure::usage(format!("model: cannot read {} ({error})", path.display()))
    })?;
    verify(&path, &bytes)?;
    Ok(Some((name, Cow::Owned(bytes))))
}

/// Fails where a checksum lies beside the file and is another's.
fn verify(path: &Path, bytes: &[u8]) -> Result<()> {
    let Ok(text) = std::fs::read_to_string(path.with_extension("sha256")) else {
        return Ok(());
    };
    let expected = text
        .split_whitespace()
        .next()
        .unwrap_or_default()
        .to_lowercase();
    let got = sha256(bytes);
    if expected == got {
        return Ok(());
    }
    Err(Failure::mismatch(
        format!("model {}", path.display()),
        format!("a file with the SHA-256 {expected}"),
        got,
    )
    .hint("the file is damaged or another version: install the model again"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_is_not_the_one_of_its_checksum_is_refused() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("mine.safetensors");
        assert!(verify(&path, b"weights").is_ok());
        let sum = format!("{}  mine.safetensors\n", sha256(b"weights"));
        std::fs::write(path.with_extension("sha256"), sum).expect("written");
        assert!(verify(&path, b"weights").is_ok());
        let failure = verify(&path, b"other").expect_err("another file");
        assert_eq!(failure.exit as u8, 2);
        assert!(failure.hint.is_some());
    }
}
