//! `cargo xtask bench-peers`: other systems and ours, in one run on the same machine.

use std::path::Path;

use crate::{
    failure::Failure,
    step::{Step, release_binary},
};

pub(crate) fn run(root: &Path, args: &[String]) -> Result<(), Failure> {
    let manifest = root.join("benches/peers/Cargo.toml");
    if !manifest.is_file() {
        return Err(Failure::new("benches/peers is not there yet"));
    }
    let binary = release_binary(root)?;
    Step::cargo("peers")
        .args(["run", "--quiet", "--release", "--locked", "--manifest-path"])
        .args([&manifest])
        .args(["--"])
        .args(args)
        .env("SWARMMQ_BIN", binary)
        .current_dir(root)
        .run()
}
