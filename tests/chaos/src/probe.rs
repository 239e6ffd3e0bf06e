//! What the machine must have, asked before anything is started.

use std::path::{Path, PathBuf};

use anyhow::{Result, bail, ensure};

use crate::scenario::Scenario;

/// File descriptors for a flood, its clients and what the process has open.
const DESCRIPTORS_MIN: u64 = 12_000;

/// Says everything that is missing for these scenarios at once.
pub(crate) fn check(scenarios: &[Scenario], binary: &Path) -> Result<()> {
    let mut missing = Vec::new();
    if !binary.is_file() {
        missing.push(format!("the program {}: build it with `cargo build --release`", binary.display()));
    }
    if scenarios.iter().any(|scenario| scenario.needs_disk()) {
        if !rustix::process::geteuid().is_root() {
            missing.push("root: disks are mounted".into());
        }
        if !Path::new("/dev/loop-control").exists() {
            missing.push("loop devices: /dev/loop-control is not there".into());
        }
        for tool in ["mkfs.ext4", "mount", "umount"] {
            missing.extend(missing_tool(tool, "a disk for a node"));
        }
    }
    if scenarios.contains(&Scenario::Fsync) {
        missing.extend(missing_tool("strace", "failing syncs"));
    }
    if scenarios.contains(&Scenario::Floods) {
        let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile).current;
        if limit.is_some_and(|limit| limit < DESCRIPTORS_MIN) {
            missing.push(format!("{DESCRIPTORS_MIN} file descriptors: `ulimit -n` says {limit:?}"));
        }
    }
    ensure!(missing.is_empty(), "this needs what is not there:\n  {}", missing.join("\n  "));
    Ok(())
}

fn missing_tool(name: &str, purpose: &str) -> Option<String> {
    find(name).is_err().then(|| format!("{name} ({purpose})"))
}

fn find(name: &str) -> Result<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut candidates = std::env::split_paths(&path).map(|folder| folder.join(name));
    match candidates.find(|candidate| candidate.is_file()) {
        Some(found) => Ok(found),
        None => bail!("{name} is not installed"),
    }
}
