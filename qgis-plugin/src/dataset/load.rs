//! Reads the images of folders and tars with all processors, in a deterministic order.

use std::fs::File;
use std::io::{BufReader, Read};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Mutex, PoisonError};

use super::decode::{Encoded, Kind, Tile, decode};
use super::file_problem;
use crate::failure::{Failure, Result};

/// A member of a tar larger than this is not a tile.
const MAX_MEMBER_BYTES: u64 = 1 << 30;

/// A file that was left out, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Skipped {
    /// Name of the file.
    pub name: String,
    /// Short reason.
    pub reason: String,
}

/// One image on its way to a decoder.
struct Job {
    source: usize,
    name: String,
    kind: Kind,
    encoded: Encoded,
}

/// An image or the reason for its absence, with the number of its source.
type Decoded = (usize, std::result::Result<Tile, Skipped>);

/// Decodes every image of `sources` whose name is `wanted`, sorted by source, then name.
///
/// # Errors
/// A folder or tar cannot be read. Single broken images are skipped, not errors.
pub fn load(
    sources: &[PathBuf],
    bands: Option<&[usize]>,
    wanted: &(dyn Fn(&str) -> bool + Sync),
) -> Result<(Vec<Tile>, Vec<Skipped>)> {
    let workers = std::thread::available_parallelism().map_or(1, usize::from);
    // The queue is short, so that a tar is never in memory as a whole.
    let (sender, receiver) = sync_channel::<Job>(workers * 16);
    let receiver = Mutex::new(receiver);
    let mut done: Vec<Decoded> = std::thread::scope(|scope| {
        let handles: Vec<_> = (0..workers)
            .map(|_| scope.spawn(|| work(&receiver, bands)))
            .collect();
        let sent = sources
            .iter()
            .enumerate()
            .try_for_each(|(number, source)| send_source(number, source, wanted, &sender));
        drop(sender);
        let mut done = Vec::new();
        for handle in handles {
            done.extend(handle.join().map_err(|_| {
                Failure::mismatch(
                    "[data] sources",
                    "decodable images",
                    "a decoder that crashed",
                )
                .hint("find the damaged image by halving the sources")
            })?);
        }
        sent.map(|()| done)
    })?;
    done.sort_by(|(a_source, a), (b_source, b)| {
        (a_source, name_of(a)).cmp(&(b_source, name_of(b)))
    });
    let (mut tiles, mut skipped) = (Vec::new(), Vec::new());
    for (_, result) in done {
        match result {
            Ok(tile) => tiles.push(tile),
            Err(skip) => skipped.push(skip),
        }
    }
    Ok((tiles, skipped))
}

fn name_of(result: &std::result::Result<Tile, Skipped>) -> &str {
    match result {
        Ok(tile) => &tile.name,
        Err(skip) => &skip.name,
    }
}

/// Decodes until the queue is closed.
fn work(queue: &Mutex<Receiver<Job>>, bands: Option<&[usize]>) -> Vec<Decoded> {
    let mut done = Vec::new();
    loop {
        // The lock is held only while taking one job.
        let job = queue.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(Job {
            source,
            name,
            kind,
            encoded,
        }) = job
        else {
            return done;
        };
        let result = decode(name.clone(), kind, encoded, bands);
        done.push((source, result.map_err(|reason| Skipped { name, reason })));
    }
}

fn send_source(
    number: usize,
    source: &Path,
    wanted: &(dyn Fn(&str) -> bool + Sync),
    queue: &SyncSender<Job>,
) -> Result<()> {
    let send = |name: String, encoded: Encoded| {
        if let Some(kind) = Kind::of(&name)
            && wanted(&name)
        {
            // The receivers outlive the senders, so sending cannot fail.
            let _ = queue.send(Job {
                source: number,
                name,
                kind,
                encoded,
            });
        }
    };
    let unreadable = |error: std::io::Error| {
        file_problem(
            source,
            "a folder or .tar(.gz) of tiles",
            error,
            "is it complete and readable?",
        )
    };
    if source.is_dir() {
        let mut files = Vec::new();
        walk(source, &mut files).map_err(unreadable)?;
        for file in files {
            let name = file
                .strip_prefix(source)
                .unwrap_or(&file)
                .to_string_lossy()
                .into_owned();
            send(name, Encoded::File(file));
        }
        return Ok(());
    }
    let name = source
        .file_name()
        .map(|n| n.to_string_lossy().into_owned())
        .unwrap_or_default();
    if Kind::of(&name).is_some() {
        std::fs::metadata(source).map_err(unreadable)?;
        send(name, Encoded::File(source.to_path_buf()));
        return Ok(());
    }
    send_tar(source, wanted, &send).map_err(unreadable)
}

/// Collects the files below a folder; links to folders are not followed (they may loop).
fn walk(folder: &Path, files: &mut Vec<PathBuf>) -> std::io::Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            walk(&entry.path(), files)?;
        } else if entry.path().is_file() {
            files.push(entry.path());
        }
    }
    Ok(())
}

fn send_tar(
    path: &Path,
    wanted: &dyn Fn(&str) -> bool,
    send: &dyn Fn(String, Encoded),
) -> std::io::Result<()> {
    let mut file = BufReader::with_capacity(1 << 20, File::open(path)?);
    let gzipped = std::io::BufRead::fill_buf(&mut file)?.starts_with(&[0x1f, 0x8b]);
    let reader: Box<dyn Read> = if gzipped {
        Box::new(flate2::bufread::MultiGzDecoder::new(file))
    } else {
        Box::new(file)
    };
    let mut archive = tar::Archive::new(reader);
    for entry in archive.entries()? {
        let mut entry = entry?;
        let name = entry.path()?.to_string_lossy().into_owned();
        let is_tile = entry.header().entry_type().is_file() && Kind::of(&name).is_some();
        if !is_tile || !wanted(&name) || entry.size() > MAX_MEMBER_BYTES {
            continue;
        }
        // The size in a header is a claim: memory is taken as bytes really come.
        let mut bytes = Vec::new();
        entry.read_to_end(&mut bytes)?;
        if bytes.len() as u64 != entry.size() {
            return Err(std::io::Error::other(format!("{name} is cut off")));
        }
        send(name, Encoded::Bytes(bytes));
    }
    Ok(())
}
