//! The directory a journal lives in, as a trait, so that a simulator can own every byte of it.

mod file;

pub use file::FileDisk;

use std::io::{self, IoSlice};
use std::sync::Arc;

use crate::error::OpenError;

/// The directory of one journal. Names are plain file names, never paths.
pub trait Disk: Send + Sync + 'static {
    /// Opens a file that exists, for reading and writing.
    ///
    /// # Errors
    /// `NotFound` when there is none, or what the disk says.
    fn open(&self, name: &str) -> io::Result<Arc<dyn DiskFile>>;
    /// Makes an empty file, or empties the one that is there.
    ///
    /// # Errors
    /// What the disk says.
    fn create(&self, name: &str) -> io::Result<Arc<dyn DiskFile>>;
    /// The names of all files, in any order.
    ///
    /// # Errors
    /// What the disk says.
    fn list(&self) -> io::Result<Vec<String>>;
    /// Renames a file, replacing the target.
    ///
    /// # Errors
    /// What the disk says.
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;
    /// Removes a file. Files open keep working.
    ///
    /// # Errors
    /// What the disk says.
    fn remove(&self, name: &str) -> io::Result<()>;
    /// Makes creates, renames and removals so far durable.
    ///
    /// # Errors
    /// What the disk says; the journal never retries.
    fn sync_dir(&self) -> io::Result<()>;
    /// Takes the directory for this process until the lock is dropped.
    ///
    /// # Errors
    /// [`OpenError::Locked`] when another one has it.
    fn lock(&self) -> Result<Box<dyn DiskLock>, OpenError>;
    /// Fills `bytes` with random bytes fit for keys.
    ///
    /// # Errors
    /// What the random source says.
    fn random(&self, bytes: &mut [u8]) -> io::Result<()>;
}

/// Holds a directory for as long as it lives.
pub trait DiskLock: Send + Sync {}

/// One open file.
pub trait DiskFile: Send + Sync {
    /// Reads up to `bytes.len()` bytes at `offset`; fewer only at the end of the file or on a signal.
    ///
    /// # Errors
    /// What the disk says.
    fn read_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<usize>;
    /// Writes some of `parts` at `offset` and says how many bytes: it may write short.
    ///
    /// # Errors
    /// What the disk says.
    fn write_vectored_at(&self, parts: &[IoSlice<'_>], offset: u64) -> io::Result<usize>;
    /// Makes the file's data, and the metadata needed to read it, durable.
    ///
    /// # Errors
    /// What the disk says; the journal never retries.
    fn sync_data(&self) -> io::Result<()>;
    /// Makes sure that the first `length` bytes have room, growing the file with zeros.
    ///
    /// # Errors
    /// `StorageFull` when they have not.
    fn allocate(&self, length: u64) -> io::Result<()>;
    /// The file's length.
    ///
    /// # Errors
    /// What the disk says.
    fn length(&self) -> io::Result<u64>;
    /// Cuts or grows the file.
    ///
    /// # Errors
    /// What the disk says.
    fn set_length(&self, length: u64) -> io::Result<()>;
}

/// `pwritev` takes no more parts than this in one call (`IOV_MAX` on Linux).
const PARTS_PER_WRITE: usize = 1024;

/// Reads until `bytes` is full or the file ends; says how many bytes were read.
pub(crate) fn read_full(file: &dyn DiskFile, bytes: &mut [u8], offset: u64) -> io::Result<usize> {
    let mut done = 0;
    while let Some(rest) = bytes.get_mut(done..).filter(|rest| !rest.is_empty()) {
        match file.read_at(rest, offset + done as u64) {
            Ok(0) => break,
            Ok(read) => done += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(done)
}

/// Reads exactly `length` bytes, or fewer if the file ends before.
pub(crate) fn read_up_to(file: &dyn DiskFile, offset: u64, length: usize) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; length];
    let read = read_full(file, &mut bytes, offset)?;
    bytes.truncate(read);
    Ok(bytes)
}

/// Writes all of `parts`, however short the single writes are.
pub(crate) fn write_all(file: &dyn DiskFile, parts: &mut [IoSlice<'_>], mut offset: u64) -> io::Result<()> {
    let mut parts = parts;
    IoSlice::advance_slices(&mut parts, 0);
    while !parts.is_empty() {
        let some = parts.get(..PARTS_PER_WRITE).unwrap_or(parts);
        match file.write_vectored_at(some, offset) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(written) => {
                offset += written as u64;
                IoSlice::advance_slices(&mut parts, written);
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Writes all of `bytes` at `offset`.
pub(crate) fn write_bytes(file: &dyn DiskFile, bytes: &[u8], offset: u64) -> io::Result<()> {
    write_all(file, &mut [IoSlice::new(bytes)], offset)
}
