//! A file in the making: written beside its target, renamed when complete, removed if not.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use crate::failure::{Failure, Result};
use crate::interrupt;

/// Endings of what GDAL puts beside a raster. A leftover of an older file would lend its
/// statistics or overviews to the new one.
const SIDECARS: [&str; 3] = [".aux.xml", ".ovr", ".msk"];

/// A temporary file that becomes `target` on [`PendingFile::commit`] and vanishes otherwise.
#[derive(Debug)]
pub struct PendingFile {
    temporary: PathBuf,
    target: PathBuf,
    overwrite: bool,
    committed: bool,
}

impl PendingFile {
    /// Choose a temporary name in the target's folder, so that the rename is atomic.
    ///
    /// # Errors
    /// Exit 2 if the target has no file name.
    pub fn new(target: &Path, overwrite: bool) -> Result<Self> {
        let name = target
            .file_name()
            .ok_or_else(|| Failure::mismatch("output", "a file name", target.display()))?;
        // The process id keeps two runs apart; the ending keeps GDAL's drivers content.
        let name = format!(
            ".{}.unclouded-{}.tmp",
            name.to_string_lossy(),
            std::process::id()
        );
        let temporary = target.with_file_name(name);
        interrupt::register(&temporary);
        Ok(PendingFile {
            temporary,
            target: target.to_owned(),
            overwrite,
            committed: false,
        })
    }

    /// Where to write.
    pub fn path(&self) -> &Path {
        &self.temporary
    }

    /// Where it will be.
    pub fn target(&self) -> &Path {
        &self.target
    }

    /// Give the finished file its name. The data is on the disk before the name is.
    ///
    /// # Errors
    /// Exit 1 if that fails, exit 2 if the target appeared meanwhile and may not be replaced.
    pub fn commit(mut self) -> Result<()> {
        let failed = |error: std::io::Error| {
            Failure::failed(format!("cannot finish {} ({error})", self.target.display()))
                .hint("is there room on the disk, and may you write there?")
        };
        if !self.overwrite && self.target.exists() {
            return Err(exists(&self.target));
        }
        File::open(&self.temporary)
            .and_then(|file| file.sync_all())
            .map_err(failed)?;
        for ending in SIDECARS {
            let (new, old) = (
                beside(&self.temporary, ending),
                beside(&self.target, ending),
            );
            if new.exists() {
                fs::rename(&new, &old).map_err(failed)?;
            } else if old.exists() {
                fs::remove_file(&old).map_err(failed)?;
            }
        }
        fs::rename(&self.temporary, &self.target).map_err(failed)?;
        self.committed = true;
        // Not every file system can sync a folder, and the file itself is safe already.
        if let Some(folder) = self.target.parent() {
            let folder = if folder.as_os_str().is_empty() {
                Path::new(".")
            } else {
                folder
            };
            let _ = File::open(folder).and_then(|folder| folder.sync_all());
        }
        Ok(())
    }
}

impl Drop for PendingFile {
    fn drop(&mut self) {
        if !self.committed {
            let _ = fs::remove_file(&self.temporary);
            for ending in SIDECARS {
                let _ = fs::remove_file(beside(&self.temporary, ending));
            }
        }
        interrupt::unregister(&self.temporary);
    }
}

/// The failure for an output that is already there.
pub fn exists(target: &Path) -> Failure {
    Failure::usage(format!(
        "output: expected a new file, got {} which exists",
        target.display()
    ))
    .hint("choose another name, or replace it with --overwrite")
}

fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(ending);
    PathBuf::from(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_committed_file_gets_its_name() -> Result<()> {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let target = folder.path().join("out.tif");
        {
            let pending = PendingFile::new(&target, false)?;
            fs::write(pending.path(), "half").expect("written");
        }
        assert_eq!(fs::read_dir(folder.path()).expect("read").count(), 0);

        let pending = PendingFile::new(&target, false)?;
        fs::write(pending.path(), "whole").expect("written");
        pending.commit()?;
        assert_eq!(fs::read_to_string(&target).expect("read"), "whole");
        assert_eq!(fs::read_dir(folder.path()).expect("read").count(), 1);

        let pending = PendingFile::new(&target, false)?;
        fs::write(pending.path(), "other").expect("written");
        assert!(
            pending
                .commit()
                .is_err_and(|failure| failure.message.contains("exists"))
        );
        assert_eq!(fs::read_to_string(&target).expect("read"), "whole");
        Ok(())
    }

    #[test]
    fn stale_sidecars_go_with_the_file_they_described() -> Result<()> {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let target = folder.path().join("out.tif");
        fs::write(&target, "old").expect("written");
        fs::write(beside(&target, ".ovr"), "old").expect("written");
        let pending = PendingFile::new(&target, true)?;
        fs::write(pending.path(), "new").expect("written");
        pending.commit()?;
        assert!(!beside(&target, ".ovr").exists());
        Ok(())
    }
}
