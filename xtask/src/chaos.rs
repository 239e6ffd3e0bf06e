//! `cargo xtask chaos`: real processes that are killed, paused, partitioned and cut off from power.

use std::path::Path;

use crate::{
    failure::Failure,
    step::{Step, is_installed, release_binary},
};

/// What the package uses, and for what. It probes the rest, such as the kernel's features, itself.
const TOOLS: [(&str, &str); 5] = [
    ("ip", "a network host for each node"),
    ("nft", "partitions"),
    ("mkfs.ext4", "a disk for each node"),
    ("mount", "a disk for each node"),
    ("umount", "power cuts"),
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
        return Err(Failure::new("chaos needs root: it makes network hosts and mounts disks"));
    }
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
