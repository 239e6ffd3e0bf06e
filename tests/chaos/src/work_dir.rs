//! The folder of a run.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

/// A folder of this process, removed when dropped unless it is to be looked at.
#[derive(Debug)]
pub(crate) struct WorkDir {
    path: PathBuf,
    is_kept: bool,
}

impl WorkDir {
    /// Makes a folder under `parent` that no other run uses.
    pub(crate) fn create(parent: &Path) -> Result<Self> {
        let path = parent.join(format!("swarmmq-chaos-{}", std::process::id()));
        fs::create_dir_all(&path).with_context(|| format!("cannot make {}", path.display()))?;
        Ok(Self { path, is_kept: false })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Leaves it where it is.
    pub(crate) fn keep(&mut self) {
        self.is_kept = true;
    }
}

impl Drop for WorkDir {
    fn drop(&mut self) {
        if self.is_kept {
            eprintln!("data and logs are left in {}", self.path.display());
        } else if let Err(error) = fs::remove_dir_all(&self.path) {
            eprintln!("cannot remove {}: {error}", self.path.display());
        }
    }
}
