//! What a process and a folder take.

use std::fs::{self, File};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use anyhow::{Context as _, Result};
use rustix::fs::{SeekFrom, seek};
use rustix::io::Errno;

/// Memory of a process, bytes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Memory {
    /// Now.
    pub(crate) resident: u64,
    /// The most it ever was.
    pub(crate) peak: u64,
}

/// Reads what the kernel says of process `pid`.
pub(crate) fn of_process(pid: u32) -> Result<Memory> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let field = |name: &str| -> Result<u64> {
        let line =
            status.lines().find_map(|line| line.strip_prefix(name)).context("the process has ended")?;
        let kib: u64 = line.trim().trim_end_matches("kB").trim().parse()?;
        Ok(kib * 1024)
    };
    Ok(Memory { resident: field("VmRSS:")?, peak: field("VmHWM:")? })
}

/// Disk of a folder.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Disk {
    /// What was written, bytes.
    pub(crate) written: u64,
    /// What was reserved and not written yet: files ready for what comes next, which cost the same whatever
    /// is stored.
    pub(crate) reserved: u64,
    pub(crate) files: u64,
}

/// Reads what the files below `dir` take on the disk.
pub(crate) fn of_folder(dir: &Path) -> Result<Disk> {
    let mut all = Disk::default();
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        let one = if path.is_dir() { of_folder(&path)? } else { of_file(&path)? };
        all.written += one.written;
        all.reserved += one.reserved;
        all.files += one.files;
    }
    Ok(all)
}

fn of_file(path: &Path) -> Result<Disk> {
    let file = File::open(path)?;
    let metadata = file.metadata()?;
    let allocated = metadata.blocks() * 512;
    let mut written = 0;
    let mut position = 0;
    // The file system tells reserved space from written as it tells holes from data.
    while position < metadata.len() {
        let data = match seek(&file, SeekFrom::Data(position)) {
            Ok(data) => data,
            Err(Errno::NXIO) => break,
            Err(error) => return Err(error.into()),
        };
        position = seek(&file, SeekFrom::Hole(data))?;
        written += position - data;
    }
    Ok(Disk { written, reserved: allocated.saturating_sub(written), files: 1 })
}

/// Bytes as people read them.
pub(crate) fn mib(bytes: u64) -> String {
    format!("{:.1} MiB", bytes as f64 / (1 << 20) as f64)
}
