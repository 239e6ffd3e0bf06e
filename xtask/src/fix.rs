//! `cargo xtask fix`: the one recipe that writes to the working tree.

use std::path::Path;

use crate::{failure::Failure, step::Step};

/// Lints first, as their suggestions are not formatted.
pub(crate) fn run(root: &Path) -> Result<(), Failure> {
    Step::cargo("lints")
        .args(["clippy", "--quiet", "--workspace", "--all-targets", "--fix"])
        // The point is to change what is being worked on.
        .args(["--allow-dirty", "--allow-staged"])
        .current_dir(root)
        .run()?;
    Step::cargo("format").args(["fmt", "--all"]).current_dir(root).run()
}
