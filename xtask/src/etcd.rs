//! `cargo xtask etcd`: the tests of service discovery that take a real etcd, which `cargo test` leaves out.

use std::path::Path;

use crate::{failure::Failure, step::Step};

/// Runs them; they fail where there is no etcd.
pub(crate) fn run(root: &Path, args: &[String]) -> Result<(), Failure> {
    Step::cargo("etcd")
        .args(["test", "--locked", "--package", "swarmmq", "--features", "real-etcd", "--test", "discovery"])
        .args(["--", "etcd::"])
        .args(args)
        .current_dir(root)
        .run()
}
