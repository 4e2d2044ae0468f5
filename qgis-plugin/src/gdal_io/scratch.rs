//! Scratch on the disk: a file without a name, which vanishes with the process however that ends.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use unclouded_core::restore::Scratch;

use crate::failure::Failure;

/// An array of f32 in a file.
pub struct FileScratch {
    file: File,
    folder: PathBuf,
}

impl FileScratch {
    /// A file in `folder`; beside the output there is room, which a folder for temporary files in
    /// memory may not have.
    ///
    /// # Errors
    /// Exit 1 if it cannot be made.
    pub fn new(folder: &Path) -> crate::failure::Result<Self> {
        let file = tempfile::tempfile_in(folder).map_err(|error| refused(folder, &error))?;
        Ok(Self {
            file,
            folder: folder.to_owned(),
        })
    }

    fn seek(&self, at: usize) -> std::io::Result<&File> {
        let mut file = &self.file;
        file.seek(SeekFrom::Start((at * size_of::<f32>()) as u64))?;
        Ok(file)
    }
}

fn refused(folder: &Path, error: &std::io::Error) -> Failure {
    Failure::failed(format!(
        "cannot keep temporary data in {} ({error})",
        folder.display()
    ))
    .hint("is there room on the disk, and may you write there?")
}

impl Scratch for FileScratch {
    fn write(&mut self, at: usize, values: &[f32]) -> unclouded_core::Result<()> {
        let bytes: Vec<u8> = values
            .iter()
            .flat_map(|value| value.to_le_bytes())
            .collect();
        self.seek(at)
            .and_then(|mut file| file.write_all(&bytes))
            .map_err(|error| refused(&self.folder, &error).into())
    }

    fn read(&self, at: usize, values: &mut [f32]) -> unclouded_core::Result<()> {
        let mut bytes = vec![0; size_of_val(values)];
        self.seek(at)
            .and_then(|mut file| file.read_exact(&mut bytes))
            .map_err(|error| unclouded_core::Error::from(refused(&self.folder, &error)))?;
        for (value, bytes) in values.iter_mut().zip(bytes.chunks_exact(size_of::<f32>())) {
            *value = f32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_come_back_and_no_file_shows() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut scratch = FileScratch::new(folder.path()).expect("room");
        scratch.write(5, &[1.5, f32::MIN, -0.0]).expect("written");
        scratch.write(0, &[7.0; 5]).expect("written");
        let mut values = [0.0; 4];
        scratch.read(4, &mut values).expect("read");
        assert_eq!(values, [7.0, 1.5, f32::MIN, -0.0]);
        assert_eq!(std::fs::read_dir(folder.path()).expect("read").count(), 0);
    }
}
