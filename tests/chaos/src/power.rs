//! Cutting the power of a file system.

use std::fs::File;
use std::path::Path;

use anyhow::{Context as _, Result};
use rustix::ioctl::{Setter, ioctl};

/// `FS_IOC_SHUTDOWN`, which is `_IOR('X', 125, __u32)` although it is read by the kernel.
const FS_IOC_SHUTDOWN: rustix::ioctl::Opcode = 0x8004_587d;
/// `FS_SHUTDOWN_FLAGS_NOLOGFLUSH`: what was synced stays, and everything else is lost.
const NO_LOG_FLUSH: u32 = 2;

/// From now on nothing reaches the disk under the mount at `mount_point`: every write and sync fails, and what
/// was not synced is gone after the next mount.
#[expect(unsafe_code, reason = "an ioctl for which no library has a safe wrapper")]
pub(crate) fn cut(mount_point: &Path) -> Result<()> {
    let root = File::open(mount_point)?;
    // SAFETY: the opcode is the kernel's for this call, it reads one `u32` through the pointer that `Setter`
    // makes, and keeps none of it.
    unsafe { ioctl(&root, Setter::<FS_IOC_SHUTDOWN, u32>::new(NO_LOG_FLUSH)) }
        .with_context(|| format!("cannot cut the power of {}", mount_point.display()))
}
