//! A disk of its own for a node: an ext4 image, mounted by a loop device.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};

use crate::power;

/// An image that is mounted, unless it was unmounted. Dropping it unmounts; the image stays.
#[derive(Debug)]
pub(crate) struct Disk {
    image: PathBuf,
    mount_point: PathBuf,
    is_mounted: bool,
}

impl Disk {
    /// Makes a sparse image of `bytes` in `dir`, with an empty ext4, and mounts it.
    pub(crate) fn create(dir: &Path, bytes: u64) -> Result<Self> {
        let (image, mount_point) = (dir.join("disk.img"), dir.join("disk"));
        File::create(&image)?.set_len(bytes)?;
        fs::create_dir_all(&mount_point)?;
        run(Command::new("mkfs.ext4").args(["-q", "-F", "-m", "0"]).arg(&image))?;
        let mut disk = Self { image, mount_point, is_mounted: false };
        disk.mount()?;
        Ok(disk)
    }

    /// Where it is mounted.
    pub(crate) fn path(&self) -> &Path {
        &self.mount_point
    }

    /// Loses everything that was not synced, and lets nothing be synced any more.
    pub(crate) fn cut_power(&self) -> Result<()> {
        power::cut(&self.mount_point)
    }

    /// Takes it away and back, as a machine that starts again does. Nobody may have a file open on it.
    pub(crate) fn remount(&mut self) -> Result<()> {
        self.unmount()?;
        self.mount()
    }

    fn mount(&mut self) -> Result<()> {
        run(Command::new("mount")
            .args(["-t", "ext4", "-o", "loop"])
            .arg(&self.image)
            .arg(&self.mount_point))?;
        self.is_mounted = true;
        Ok(())
    }

    /// The loop device goes with the mount: `mount -o loop` sets it up so.
    fn unmount(&mut self) -> Result<()> {
        run(Command::new("umount").arg(&self.mount_point))?;
        self.is_mounted = false;
        Ok(())
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        if self.is_mounted
            && let Err(error) = self.unmount()
        {
            eprintln!("{error:#}");
        }
    }
}

fn run(command: &mut Command) -> Result<()> {
    let program = command.get_program().to_owned();
    let output = command.output().with_context(|| format!("cannot run {}", program.display()))?;
    if !output.status.success() {
        bail!("{command:?} failed: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(())
}
