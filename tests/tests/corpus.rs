//! The inputs of `tests/fuzz/corpus` (seeds, and everything the fuzzer found) through the parsers
//! they are for: no panic, and no allocation beyond a multiple of the input.

use std::alloc::{GlobalAlloc, Layout, System};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

use unclouded_tests::hostile::{CONSTANT, FACTOR, TARGETS, Target};

/// The system's allocator, counting.
struct Counting;

static IN_USE: AtomicUsize = AtomicUsize::new(0);
static PEAK: AtomicUsize = AtomicUsize::new(0);

// SAFETY: every call goes on to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let now = IN_USE.fetch_add(layout.size(), Ordering::Relaxed) + layout.size();
        PEAK.fetch_max(now, Ordering::Relaxed);
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        IN_USE.fetch_sub(layout.size(), Ordering::Relaxed);
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

/// Bytes that were in use at once while a target took an input, beyond those before.
fn peak_of((_, parse): Target, bytes: &[u8]) -> usize {
    let before = IN_USE.load(Ordering::Relaxed);
    PEAK.store(before, Ordering::Relaxed);
    parse(bytes);
    PEAK.load(Ordering::Relaxed).saturating_sub(before)
}

fn check(target: Target, name: &str, bytes: &[u8]) {
    let peak = peak_of(target, bytes);
    let most = FACTOR * bytes.len() + CONSTANT;
    let (kind, size) = (target.0, bytes.len());
    assert!(peak <= most, "{kind}/{name}: {peak} bytes for {size}");
}

fn inputs(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display()));
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

/// One test, so that nothing else allocates meanwhile.
#[test]
fn hostile_bytes_neither_panic_nor_fill_memory() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus");
    let known: Vec<&str> = TARGETS.iter().map(|(name, _)| *name).collect();
    for folder in inputs(&corpus) {
        let name = folder.file_name().unwrap().to_str().unwrap();
        assert!(known.contains(&name), "inputs for no target: {name}");
    }
    // What a target sets up once is nobody's input.
    TARGETS.iter().for_each(|(_, parse)| parse(b""));
    for target in TARGETS {
        let files = inputs(&corpus.join(target.0));
        assert!(files.len() >= 3, "hardly any input for {}", target.0);
        for file in files {
            let name = file.file_name().unwrap().to_string_lossy().into_owned();
            let bytes = std::fs::read(&file).unwrap();
            check(target, &name, &bytes);
            // Cut short, and with single bytes changed: what a fuzzer tries first.
            for part in 1..16 {
                check(target, &name, &bytes[..bytes.len() * part / 16]);
            }
            let mut changed = bytes.clone();
            for at in (0..bytes.len()).step_by(bytes.len() / 24 + 1) {
                for byte in [0, b'9', 0xff] {
                    changed[at] = byte;
                    check(target, &name, &changed);
                }
                changed[at] = bytes[at];
            }
        }
    }
}
