//! A file of records, a line each, that is only ever appended to.

use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::fs::FileExt;
use std::path::PathBuf;

use crate::record::Record;
use crate::store::StoreError;
use crate::whole_file;

/// Longest line that is read: a record at its limits, with every character of its text escaped.
const LINE_BYTES_MAX: u64 = 256 * 1024;

/// An open file.
#[derive(Debug)]
pub(crate) struct LineFile {
    path: PathBuf,
    file: File,
    bytes: u64,
}

/// A record of a file, and where it stands.
pub(crate) struct Line {
    pub(crate) record: Record,
    pub(crate) offset: u64,
    pub(crate) bytes: u32,
}

impl LineFile {
    /// Opens a file, or makes it, and reads it. A program that was killed in the middle of a write leaves a last line
    /// that is not whole: it is cut off, and its bytes are counted. Nobody was told that it was kept.
    ///
    /// # Errors
    /// [`StoreError::Damaged`] for any other line that is no record.
    pub(crate) fn open(path: PathBuf, mut each: impl FnMut(Line)) -> Result<(Self, u64), StoreError> {
        let failed = |error| StoreError::Disk { path: path.clone(), error };
        let file = OpenOptions::new().create(true).read(true).append(true).open(&path).map_err(failed)?;
        whole_file::sync_folder(&path).map_err(failed)?;
        let mut reader = BufReader::new(&file);
        let (mut good, mut number) = (0_u64, 0_usize);
        let mut torn = None;
        let mut line = Vec::new();
        loop {
            line.clear();
            let bytes =
                io::Read::take(&mut reader, LINE_BYTES_MAX).read_until(b'\n', &mut line).map_err(failed)?;
            if bytes == 0 {
                break;
            }
            number += 1;
            // Only the last line may be torn, so there is none behind one that is.
            if let Some((line, reason)) = torn.take() {
                return Err(StoreError::Damaged { path, line, reason });
            }
            match read(&line) {
                Ok(record) => {
                    each(Line { record, offset: good, bytes: bytes.try_into().unwrap_or(u32::MAX) });
                    good += bytes as u64;
                }
                Err(reason) => torn = Some((number, reason)),
            }
        }
        let length = file.metadata().map_err(failed)?.len();
        if good < length {
            file.set_len(good).and_then(|()| file.sync_all()).map_err(failed)?;
        }
        Ok((Self { path, file, bytes: good }, length - good))
    }

    /// Appends lines, and has them on disk when it returns. Where they begin is returned.
    pub(crate) fn append(&mut self, lines: &[u8]) -> Result<u64, StoreError> {
        let written = self.file.write_all(lines).and_then(|()| self.file.sync_data());
        written.map_err(|error| StoreError::Disk { path: self.path.clone(), error })?;
        let begin = self.bytes;
        self.bytes += lines.len() as u64;
        Ok(begin)
    }

    /// Reads one line.
    pub(crate) fn read(&self, offset: u64, bytes: u32) -> Result<Record, StoreError> {
        let mut line = vec![0; bytes as usize];
        let got = self.file.read_exact_at(&mut line, offset);
        got.map_err(|error| StoreError::Disk { path: self.path.clone(), error })?;
        read(&line).map_err(|reason| StoreError::Damaged { path: self.path.clone(), line: 0, reason })
    }
}

fn read(line: &[u8]) -> Result<Record, String> {
    let text = line.strip_suffix(b"\n").ok_or("a linha não termina")?;
    let record: Record = serde_json::from_slice(text).map_err(|error| error.to_string())?;
    if !record.is_sound() {
        return Err("o registro tem campos fora dos limites".into());
    }
    Ok(record)
}
