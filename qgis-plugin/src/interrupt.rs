//! Ctrl-C: a flag that long work looks at, and temporary files that must not stay behind.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use crate::failure::{Exit, Failure, Result};

/// Set to 1: stop when standard input ends.
pub const WATCH_STDIN: &str = "UNCLOUDED_STOP_WITH_STDIN";
/// Time to stop at a good moment before the process ends the hard way.
const GRACE: Duration = Duration::from_secs(5);

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

/// With [`WATCH_STDIN`] in the environment, the end of standard input is a wish to stop.
///
/// A program that runs this one as a child keeps the other end of a pipe open. When it goes, by
/// whatever way, the system closes the pipe, and no child goes on computing for nobody. (A signal
/// at the parent's death would come at the end of the THREAD that started the child.)
pub fn watch_stdin() -> Result<()> {
    if std::env::var_os(WATCH_STDIN).is_none_or(|value| value != "1") {
        return Ok(());
    }
    let watch = || {
        // What is written to it does not matter; an error is an end as well.
        let _ = std::io::copy(&mut std::io::stdin().lock(), &mut std::io::sink());
        REQUESTED.store(true, Ordering::SeqCst);
        std::thread::sleep(GRACE);
        remove_temporary_files();
        std::process::exit(Exit::Interrupted as i32);
    };
    std::thread::Builder::new()
        .name("stdin".into())
        .spawn(watch)
        .map(drop)
        .map_err(|error| Failure::failed(format!("cannot watch standard input: {error}")))
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
