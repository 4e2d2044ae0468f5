//! What an unfinished run has finished: rows beside the output, so that `--resume` goes on there.
//!
//! The file is `.NAME.unclouded-resume` in the folder of the output NAME: a header with the key
//! of the run, then one record for each row of tiles, with a checksum, on the disk before the
//! next is begun. A key of other inputs, settings or versions starts anew; a record that was cut
//! off is dropped with all that follow it. As long as a run lives it holds a lock on the file.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use flate2::Compression;
use flate2::read::ZlibDecoder;
use flate2::write::ZlibEncoder;
use sha2::{Digest, Sha256};
use unclouded_core::raster::{Mask, Raster, Window};
use unclouded_core::restore::FilledRows;

use super::pending::PendingFile;
use crate::failure::{Failure, Result};
use crate::interrupt;

const MAGIC: &[u8; 16] = b"unclouded rows 1";
/// Magic, key, whether the outputs are being renamed.
const HEADER: usize = 16 + 32 + 1;
/// Row, height, bytes, checksum.
const RECORD: usize = 8 + 8 + 8 + 32;

/// What stands for everything a result depends on.
pub type Key = [u8; 32];

/// The rows of one run.
#[derive(Debug)]
pub struct Journal {
    file: File,
    path: PathBuf,
    /// Place and bytes of the records an earlier run left, by their first row and height.
    found: Vec<((usize, usize), u64, usize)>,
    /// Where the next record goes.
    end: u64,
    /// Whether an earlier run had begun to rename its outputs.
    committing: bool,
    /// Whether the file stays when the run does not end.
    keep: bool,
}

/// What was there before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Found {
    /// Nothing.
    Nothing,
    /// So many rows of the scene are finished.
    Rows(usize),
    /// Rows of other inputs, settings or another version, which are of no use.
    Other,
    /// Rows that could have been used, if that had been asked for.
    Unwanted,
}

impl Journal {
    /// Where the journal of an output lies.
    pub fn path(output: &Path) -> PathBuf {
        let name = output.file_name().unwrap_or_default().to_string_lossy();
        output.with_file_name(format!(".{name}.unclouded-resume"))
    }

    /// Whether a run of this output was stopped while it renamed its files.
    pub fn was_committing(output: &Path) -> bool {
        let mut header = [0; HEADER];
        File::open(Self::path(output))
            .and_then(|mut file| file.read_exact(&mut header))
            .is_ok_and(|()| header.starts_with(MAGIC) && header[HEADER - 1] == 1)
    }

    /// Opens or begins the journal of `outputs`, the filled scene first. With `resume` the rows of
    /// an earlier run are kept for [`Journal::recall`], and so is the file if this run ends early.
    ///
    /// # Errors
    /// Exit 1 if the file cannot be written; exit 2 if another run is writing this output.
    pub fn open(outputs: &[&Path], key: &Key, resume: bool) -> Result<(Self, Found)> {
        let path = Self::path(outputs.first().copied().unwrap_or(Path::new("")));
        let refused = |error: &std::io::Error| refused(&path, error);
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path)
            .map_err(|error| refused(&error))?;
        match file.try_lock() {
            Ok(()) => outputs
                .iter()
                .for_each(|output| PendingFile::remove_leftovers(output)),
            Err(TryLockError::WouldBlock) => {
                return Err(Failure::mismatch(
                    "output",
                    "a file no other run is writing",
                    outputs.first().copied().unwrap_or(&path).display(),
                )
                .hint("wait for the other run, or choose another name"));
            }
            // A file system without locks.
            Err(TryLockError::Error(_)) => {}
        }
        let mut header = [0; HEADER];
        let known = file.read_exact(&mut header).is_ok() && header.starts_with(MAGIC);
        let same = known && header[16..48] == key[..];
        let mut journal = Journal {
            file,
            path,
            found: Vec::new(),
            end: HEADER as u64,
            committing: false,
            keep: resume,
        };
        let outcome = if same && resume {
            journal.committing = header[HEADER - 1] == 1;
            journal.scan()?;
            Found::Rows(journal.found.iter().map(|((_, height), _, _)| height).sum())
        } else if same {
            Found::Unwanted
        } else if known && resume {
            Found::Other
        } else {
            Found::Nothing
        };
        if !(same && resume) {
            header[..16].copy_from_slice(MAGIC);
            header[16..48].copy_from_slice(key);
            header[48] = 0;
            journal.write_at(0, &header)?;
        }
        if !resume {
            // Nothing of it is to stay when the run is stopped the hard way.
            interrupt::register(&journal.path);
        }
        // Without the torn end, or the rows of another run.
        let file = &journal.file;
        file.set_len(journal.end)
            .and_then(|()| file.sync_all())
            .map_err(|error| journal.refused(&error))?;
        Ok((journal, outcome))
    }

    /// Whether an earlier run had begun to rename its outputs.
    pub fn committing(&self) -> bool {
        self.committing
    }

    /// Finds the records that are whole.
    fn scan(&mut self) -> Result<()> {
        let length = self
            .file
            .metadata()
            .map_err(|error| self.refused(&error))?
            .len();
        let mut next_row = 0;
        loop {
            let mut head = [0; RECORD];
            if self.end + RECORD as u64 > length || self.read_at(self.end, &mut head).is_err() {
                return Ok(());
            }
            let number = |at: usize| {
                let mut bytes = [0; 8];
                bytes.copy_from_slice(&head[at..at + 8]);
                u64::from_le_bytes(bytes)
            };
            let (row, height, bytes) = (number(0), number(8), number(16));
            let start = self.end + RECORD as u64;
            if row != next_row || bytes > length - start {
                return Ok(());
            }
            let mut body = vec![0; bytes as usize];
            let whole = self.read_at(start, &mut body).is_ok();
            if !whole || checksum(&head[..24], &body) != head[24..] {
                return Ok(());
            }
            let rows = (row as usize, height as usize);
            self.found.push((rows, start, bytes as usize));
            self.end = start + bytes;
            next_row = row.saturating_add(height);
        }
    }

    /// Rows that an earlier run finished; only their filled pixels hold values.
    ///
    /// # Errors
    /// Exit 1 if they cannot be read.
    pub fn recall(&mut self, window: Window, bands: usize) -> Result<Option<FilledRows>> {
        let wanted = (window.row, window.height);
        let Some((_, at, bytes)) = self.found.iter().find(|(rows, _, _)| *rows == wanted) else {
            return Ok(None);
        };
        let mut body = vec![0; *bytes];
        self.read_at(*at, &mut body)
            .map_err(|error| self.refused(&error))?;
        unpack(&body, window, bands).map(Some).ok_or_else(|| {
            Failure::failed(format!(
                "{} holds other rows than expected",
                self.path.display()
            ))
            .hint("leave out --resume to start anew")
        })
    }

    /// Keeps finished rows. They are on the disk when this returns.
    ///
    /// # Errors
    /// Exit 1 if the disk refuses them.
    pub fn append(&mut self, rows: &FilledRows) -> Result<()> {
        let body = pack(rows).map_err(|error| self.refused(&error))?;
        let mut record = Vec::with_capacity(RECORD + body.len());
        for number in [rows.window.row, rows.window.height, body.len()] {
            record.extend((number as u64).to_le_bytes());
        }
        let sum = checksum(&record, &body);
        record.extend(sum);
        record.extend(&body);
        self.write_at(self.end, &record)?;
        self.sync()?;
        self.end += record.len() as u64;
        Ok(())
    }

    /// Notes that the outputs are complete and about to get their names.
    ///
    /// # Errors
    /// Exit 1 if the disk refuses that.
    pub fn commit(&mut self) -> Result<()> {
        self.keep = true;
        interrupt::unregister(&self.path);
        self.write_at(HEADER as u64 - 1, &[1])?;
        self.sync()
    }

    /// The outputs have their names.
    pub fn finish(mut self) {
        self.keep = false;
    }

    fn sync(&self) -> Result<()> {
        self.file.sync_data().map_err(|error| self.refused(&error))
    }

    fn read_at(&self, at: u64, bytes: &mut [u8]) -> std::io::Result<()> {
        let mut file = &self.file;
        file.seek(SeekFrom::Start(at))?;
        file.read_exact(bytes)
    }

    fn write_at(&self, at: u64, bytes: &[u8]) -> Result<()> {
        let mut file = &self.file;
        file.seek(SeekFrom::Start(at))
            .and_then(|_| file.write_all(bytes))
            .map_err(|error| self.refused(&error))
    }

    fn refused(&self, error: &std::io::Error) -> Failure {
        refused(&self.path, error)
    }
}

impl Drop for Journal {
    fn drop(&mut self) {
        interrupt::unregister(&self.path);
        if !self.keep {
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

fn refused(path: &Path, error: &std::io::Error) -> Failure {
    Failure::failed(format!("cannot write {} ({error})", path.display()))
        .hint("is there room on the disk, and may you write there?")
}

fn checksum(head: &[u8], body: &[u8]) -> [u8; 32] {
    Sha256::new_with_prefix(head)
        .chain_update(body)
        .finalize()
        .into()
}

fn bits(mask: &Mask) -> Vec<u8> {
    let bytes = mask.data.chunks(8);
    bytes
        .map(|flags| {
            flags
                .iter()
                .rev()
                .fold(0, |byte, flag| byte << 1 | u8::from(*flag))
        })
        .collect()
}

/// Which pixels are filled and which hold data, a bit each; whether there are deviations; then
/// the values of the filled pixels and their deviations, band by band.
fn pack(rows: &FilledRows) -> std::io::Result<Vec<u8>> {
    let mut out = ZlibEncoder::new(Vec::new(), Compression::fast());
    out.write_all(&bits(&rows.filled))?;
    out.write_all(&bits(&rows.valid))?;
    out.write_all(&[u8::from(rows.std.is_some())])?;
    for image in [Some(&rows.image), rows.std.as_ref()].into_iter().flatten() {
        for band in 0..image.bands {
            let filled = image.band(band).iter().zip(&rows.filled.data);
            let filled = filled.filter(|(_, filled)| **filled);
            let bytes: Vec<u8> = filled.flat_map(|(value, _)| value.to_le_bytes()).collect();
            out.write_all(&bytes)?;
        }
    }
    out.finish()
}

/// The opposite; `None` if the bytes are not of these rows.
fn unpack(body: &[u8], window: Window, bands: usize) -> Option<FilledRows> {
    let mut input = ZlibDecoder::new(body);
    let (height, width) = (window.height, window.width);
    let mut mask = || -> Option<Mask> {
        let mut bytes = vec![0; window.pixels().div_ceil(8)];
        input.read_exact(&mut bytes).ok()?;
        let data = (0..window.pixels()).map(|at| bytes[at / 8] >> (at % 8) & 1 == 1);
        Mask::from_vec(height, width, data.collect()).ok()
    };
    let (filled, valid) = (mask()?, mask()?);
    let mut with_std = [0];
    input.read_exact(&mut with_std).ok()?;
    let mut values = vec![0; filled.count() * size_of::<f32>()];
    let mut image = || -> Option<Raster> {
        let mut image = Raster::new(bands, height, width);
        for band in 0..bands {
            input.read_exact(&mut values).ok()?;
            let places = image.band_mut(band).iter_mut().zip(&filled.data);
            let places = places.filter(|(_, filled)| **filled);
            for ((place, _), bytes) in places.zip(values.chunks_exact(size_of::<f32>())) {
                *place = f32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
            }
        }
        Some(image)
    };
    let all = image()?;
    let std = match with_std[0] {
        0 => None,
        _ => Some(image()?),
    };
    let rest = input.read(&mut [0]).ok()?;
    (rest == 0).then_some(FilledRows {
        window,
        image: all,
        std,
        filled,
        valid,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const WIDTH: usize = 13;

    fn rows(row: usize, height: usize) -> FilledRows {
        let value = |i: usize| (i as f32 + row as f32 * 0.37).sin();
        let image = |k: usize| {
            let values = (0..2 * height * WIDTH).map(|i| value(i + k)).collect();
            Raster::from_vec(2, height, WIDTH, values).expect("an image")
        };
        FilledRows {
            window: Window {
                row,
                col: 0,
                height,
                width: WIDTH,
            },
            image: image(0),
            std: Some(image(1000)),
            filled: Mask::from_fn(height, WIDTH, |r, c| (r + c) % 3 == 0),
            valid: Mask::from_fn(height, WIDTH, |r, c| r + c > 2),
        }
    }

    /// What a record keeps: values of filled pixels.
    fn kept(rows: &FilledRows) -> (Vec<u32>, &Mask, &Mask) {
        let pixels = rows.window.pixels();
        let values = rows
            .image
            .data
            .iter()
            .chain(&rows.std.as_ref().expect("std").data);
        let filled = values.enumerate();
        let filled = filled.filter(|(i, _)| rows.filled.data[i % pixels]);
        let filled = filled.map(|(_, value)| value.to_bits()).collect();
        (filled, &rows.filled, &rows.valid)
    }

    #[test]
    fn rows_come_back_and_torn_ends_are_dropped() -> Result<()> {
        let folder = tempfile::tempdir().expect("a folder");
        let target = folder.path().join("out.tif");
        let path = Journal::path(&target);
        let (first, second) = (rows(0, 5), rows(5, 7));
        {
            let (mut journal, found) = Journal::open(&[&target], &[1; 32], true)?;
            assert_eq!(found, Found::Nothing);
            journal.append(&first)?;
            journal.append(&second)?;
        }
        let whole = std::fs::read(&path).expect("kept");
        // Cut anywhere, or with any byte of the last record changed: never more than is whole.
        let first_end = HEADER + RECORD + pack(&first).expect("packed").len();
        for cut in [
            0,
            10,
            HEADER,
            HEADER + 5,
            first_end - 1,
            first_end,
            whole.len() - 1,
        ] {
            std::fs::write(&path, &whole[..cut]).expect("cut");
            let (journal, found) = Journal::open(&[&target], &[1; 32], true)?;
            let expected = match cut {
                cut if cut < HEADER => Found::Nothing,
                cut if cut < first_end => Found::Rows(0),
                _ => Found::Rows(5),
            };
            assert_eq!(found, expected, "cut at {cut}");
            drop(journal);
        }
        for at in (first_end..whole.len()).step_by(7) {
            let mut damaged = whole.clone();
            damaged[at] ^= 0x10;
            std::fs::write(&path, &damaged).expect("damaged");
            let (_, found) = Journal::open(&[&target], &[1; 32], true)?;
            assert_eq!(found, Found::Rows(5), "byte {at}");
        }
        std::fs::write(&path, &whole).expect("mended");
        let (mut journal, found) = Journal::open(&[&target], &[1; 32], true)?;
        assert_eq!(found, Found::Rows(12));
        for wanted in [&first, &second] {
            let back = journal.recall(wanted.window, 2)?.expect("there");
            assert_eq!(kept(&back), kept(wanted));
        }
        let elsewhere = Window {
            row: 0,
            height: 6,
            ..first.window
        };
        assert!(journal.recall(elsewhere, 2)?.is_none());
        assert!(
            journal.recall(first.window, 3).is_err(),
            "another number of bands"
        );
        journal.finish();
        assert!(!path.exists());
        Ok(())
    }

    #[test]
    fn another_key_starts_anew_and_a_second_run_is_refused() -> Result<()> {
        let folder = tempfile::tempdir().expect("a folder");
        let target = folder.path().join("out.tif");
        {
            let (mut journal, _) = Journal::open(&[&target], &[1; 32], true)?;
            journal.append(&rows(0, 5))?;
            let second = Journal::open(&[&target], &[1; 32], true);
            assert!(second.is_err_and(|failure| failure.exit as u8 == 2));
        }
        let (journal, found) = Journal::open(&[&target], &[2; 32], true)?;
        assert_eq!(found, Found::Other);
        drop(journal);
        let (journal, found) = Journal::open(&[&target], &[2; 32], false)?;
        assert_eq!(found, Found::Unwanted);
        drop(journal);
        assert!(!Journal::path(&target).exists(), "nobody asked to keep it");
        Ok(())
    }
}
