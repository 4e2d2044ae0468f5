//! Ctrl-C: a flag that long work looks at, and temporary files that must not stay behind.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard};

use crate::failure::{Exit, Failure, Result};

static REQUESTED: AtomicBool = AtomicBool::new(false);
static TEMPORARY: Mutex<Vec<PathBuf>> = Mutex::new(Vec::new());

/// Catch Ctrl-C and termination: the first asks the work to stop at the next good moment, the
/// second removes the temporary files and ends the process at once.
pub fn install() -> Result<()> {
    ctrlc::set_handler(|| {
        if REQUESTED.swap(true, Ordering::SeqCst) {
            remove_temporary_files();
            std::process::exit(Exit::Interrupted as i32);
        }
        // Not through the progress bar: its lock may be held by the thread we interrupt.
        eprintln!("\nstopping (press Ctrl-C again to stop at once)");
    })
    .map_err(|error| Failure::failed(format!("cannot listen to Ctrl-C: {error}")))
}

/// Whether the user asked to stop.
pub fn requested() -> bool {
    REQUESTED.load(Ordering::SeqCst)
}

/// An error if the user asked to stop.
pub fn check() -> Result<()> {
    if requested() {
        Err(Failure::interrupted())
    } else {
        Ok(())
    }
}

/// Remember a file that has to go if the process is stopped the hard way.
pub fn register(path: &Path) {
    temporary().push(path.to_owned());
}

/// Forget a file that was finished or removed.
pub fn unregister(path: &Path) {
    temporary().retain(|known| known != path);
}

fn remove_temporary_files() {
    for path in temporary().drain(..) {
        // Nothing can be done about a file that will not go: the process ends here.
        let _ = std::fs::remove_file(path);
    }
}

fn temporary() -> MutexGuard<'static, Vec<PathBuf>> {
    TEMPORARY
        .lock()
        .unwrap_or_else(|poisoned| poisoned.into_inner())
}
