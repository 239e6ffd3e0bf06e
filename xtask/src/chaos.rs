//! `cargo xtask chaos`: real processes that are killed, cut off from power, starved of disk and flooded.

use std::path::Path;

use crate::{
    failure::Failure,
    step::{Step, is_installed, release_binary},
};

/// What the package uses, and for what. It probes the rest, such as the kernel's features, itself.
const TOOLS: [(&str, &str); 4] = [
    ("mkfs.ext4", "a disk for each node"),
    ("mount", "a disk for each node"),
    ("umount", "power cuts"),
    ("strace", "a sync that fails"),
];

pub(crate) fn run(root: &Path, args: &[String]) -> Result<(), Failure> {
    let manifest = root.join("tests/chaos/Cargo.toml");
    if !manifest.is_file() {
        return Err(Failure::new("tests/chaos is not there yet"));
    }
    let missing: Vec<_> = TOOLS.iter().filter(|(tool, _)| !is_installed(tool)).collect();
    if !missing.is_empty() {
        let list: Vec<_> = missing.iter().map(|(tool, use_)| format!("{tool} ({use_})")).collect();
        return Err(Failure::new(format!("chaos needs what is not installed: {}", list.join(", "))));
    }
    if !is_root() {
        return Err(Failure::new("chaos needs root: it mounts disks"));
    }
    // What finds no fault is believed only if it finds those that are put before it.
    Step::cargo("the checker's tests")
        .args(["test", "--quiet", "--locked", "--manifest-path"])
        .args([&manifest])
        .current_dir(root)
        .run()?;
    let binary = release_binary(root)?;
    Step::cargo("chaos")
        .args(["run", "--quiet", "--release", "--locked", "--manifest-path"])
        .args([&manifest])
        .args(["--"])
        .args(args)
        .env("SWARMMQ_BIN", binary)
        .current_dir(root)
        .run()
}

fn is_root() -> bool {
    let output = std::process::Command::new("id").arg("-u").output();
    output.is_ok_and(|output| output.stdout.trim_ascii() == b"0")
}
