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
    /// What the temporary file is made from, where that takes two steps.
    draft: Option<PathBuf>,
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
            draft: None,
            target: target.to_owned(),
            overwrite,
            committed: false,
        })
    }

    /// The same file, made in two steps: a draft, then what is kept.
    pub fn with_draft(mut self) -> Self {
        let draft = beside(&self.temporary, ".draft");
        interrupt::register(&draft);
        self.draft = Some(draft);
        self
    }

    /// Where the first step writes.
    pub fn making(&self) -> &Path {
        self.draft.as_deref().unwrap_or(&self.temporary)
    }

    /// The second step is done.
    pub fn drop_draft(&mut self) {
        if let Some(draft) = self.draft.take() {
            remove_family(&draft);
            interrupt::unregister(&draft);
        }
    }

    /// Remove what earlier runs left beside `target` when they were killed. Only for who knows
    /// that none of them is still running.
    pub fn remove_leftovers(target: &Path) {
        let Some(name) = target.file_name() else {
            return;
        };
        let start = format!(".{}.unclouded-", name.to_string_lossy());
        let own = format!("{start}{}.", std::process::id());
        for path in siblings(target, &start) {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            if name.contains(".tmp") && !name.starts_with(&own) {
                // Nothing can be done about a file that will not go, and it does no harm.
                let _ = fs::remove_file(path);
            }
        }
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
        self.drop_draft();
        if !self.committed {
            remove_family(&self.temporary);
        }
        interrupt::unregister(&self.temporary);
    }
}

/// Writes a whole file; an older one stays until the new one is complete.
///
/// # Errors
/// Exit 1 if the disk refuses, exit 2 if there is an older one and `overwrite` is not set.
pub fn write(target: &Path, overwrite: bool, bytes: &[u8]) -> Result<()> {
    let file = PendingFile::new(target, overwrite)?;
    fs::write(file.path(), bytes).map_err(|error| {
        Failure::failed(format!("cannot write {} ({error})", target.display()))
            .hint("is there room on the disk, and may you write there?")
    })?;
    file.commit()
}

/// Remove a temporary file and what GDAL put beside it.
fn remove_family(path: &Path) {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    for member in siblings(path, &name) {
        let _ = fs::remove_file(member);
    }
}

/// Files of the same folder whose names begin like this.
fn siblings(path: &Path, start: &str) -> Vec<PathBuf> {
    let folder = path
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty());
    let entries = fs::read_dir(folder.unwrap_or(Path::new(".")));
    let entries = entries.into_iter().flatten().flatten();
    entries
        .filter(|entry| entry.file_name().to_string_lossy().starts_with(start))
        .map(|entry| entry.path())
        .collect()
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

    /// As readable as any new file of this user: the mode follows the umask.
    #[cfg(unix)]
    #[test]
    fn a_file_is_as_readable_as_any_other() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().expect("a folder");
        let mode = |name: &str| {
            let about = fs::metadata(folder.path().join(name)).expect("a file");
            about.permissions().mode() & 0o777
        };
        write(&folder.path().join("ours"), false, b"ours").expect("written");
        File::create(folder.path().join("plain")).expect("created");
        assert_eq!(mode("ours"), mode("plain"));
        // Another umask than the usual one, set for a process of its own.
        if std::env::var_os("UNCLOUDED_UMASK_TEST").is_none() {
            let own = std::env::current_exe().expect("this test");
            let again = format!(
                "umask 077 && UNCLOUDED_UMASK_TEST=1 {} a_file_is_as_readable --test-threads 1",
                own.display()
            );
            let status = std::process::Command::new("sh")
                .args(["-c", &again])
                .status();
            assert!(status.expect("a shell").success());
        }
    }

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
    fn drafts_and_leftovers_of_killed_runs_go() -> Result<()> {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let target = folder.path().join("out.tif");
        let names = || -> Vec<String> {
            let entries = fs::read_dir(folder.path()).expect("read").flatten();
            let mut names: Vec<_> = entries
                .map(|e| e.file_name().to_string_lossy().into())
                .collect();
            names.sort();
            names
        };
        for left in [
            ".out.tif.unclouded-1.tmp",
            ".out.tif.unclouded-1.tmp.draft.ovr",
        ] {
            fs::write(folder.path().join(left), "half").expect("written");
        }
        let kept = [".out.tif.unclouded-resume", "out.tif.unclouded-1.tmp"];
        for kept in kept {
            fs::write(folder.path().join(kept), "whole").expect("written");
        }
        PendingFile::remove_leftovers(&target);
        assert_eq!(names(), kept);
        {
            let mut pending = PendingFile::new(&target, false)?.with_draft();
            fs::write(pending.making(), "draft").expect("written");
            fs::write(beside(pending.path(), ".ovr.tmp"), "overview").expect("written");
            assert_ne!(pending.making(), pending.path());
            pending.drop_draft();
            assert_eq!(names().len(), 3);
        }
        assert_eq!(names(), kept);
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
