//! `cargo xtask verify`: everything that can be said without running a test, and nothing written.

use std::path::Path;

use crate::{failure::Failure, step::Step, terminal::Paint, tidy};

/// Runs every check, also after one failed: a person wants the whole list.
pub(crate) fn run(root: &Path, args: &[String]) -> Result<(), Failure> {
    let require_deny = match args {
        [] => false,
        [flag] if flag == "--require-deny" => true,
        _ => return Err(Failure::usage("verify takes `--require-deny` or nothing")),
    };
    let checks =
        [format(root), tidy::run(root), lints(root), documentation(root), dependencies(root, require_deny)];
    let failed: Vec<_> = checks.into_iter().filter_map(Result::err).map(|one| one.message).collect();
    if failed.is_empty() {
        eprintln!("verify: {}", Paint::for_terminal().green("ok"));
        return Ok(());
    }
    Err(Failure::new(format!("verify\n  {}", failed.join("\n  "))))
}

/// Packages that are workspaces of their own, so that what they pull in stays out of the product's.
const APART: [&str; 3] = ["fuzz", "tests/chaos", "benches/peers"];

fn format(root: &Path) -> Result<(), Failure> {
    Step::cargo("format").args(["fmt", "--all", "--check"]).current_dir(root).run()?;
    for package in APART {
        let manifest = root.join(package).join("Cargo.toml");
        Step::cargo(format!("format {package}"))
            .args(["fmt", "--check", "--manifest-path"])
            .args([&manifest])
            .current_dir(root)
            .run()?;
    }
    Ok(())
}

fn lints(root: &Path) -> Result<(), Failure> {
    Step::cargo("lints")
        .args(["clippy", "--quiet", "--workspace", "--all-targets", "--locked"])
        .args(["--features", "swarmmq/real-etcd"])
        .args(["--", "-D", "warnings"])
        .current_dir(root)
        .run()
}

/// Libraries only: the program and the client library share a name, and rustdoc would write both
/// to one folder.
fn documentation(root: &Path) -> Result<(), Failure> {
    Step::cargo("documentation")
        .args(["doc", "--quiet", "--no-deps", "--workspace", "--lib", "--locked"])
        .args(["--features", "swarmmq/zeromq"])
        .env("RUSTDOCFLAGS", "-D warnings")
        .current_dir(root)
        .run()
}

fn dependencies(root: &Path, required: bool) -> Result<(), Failure> {
    let cargo = |name: &str| Step::cargo(name).current_dir(root);
    if !cargo("deny").args(["deny", "--version"]).works() {
        return skipped(
            required,
            "licences, banned packages and sources were not checked: cargo-deny is not installed \
             (cargo install --locked cargo-deny)",
        );
    }
    cargo("dependencies").args(["deny", "--locked", "check", "bans", "licenses", "sources"]).run()?;
    if !cargo("advisories").args(["deny", "fetch", "db"]).works() {
        return skipped(required, "known vulnerabilities were not checked: the database did not download");
    }
    cargo("advisories").args(["deny", "--locked", "check", "--disable-fetch", "advisories"]).run()
}

fn skipped(required: bool, what: &str) -> Result<(), Failure> {
    if required {
        return Err(Failure::new(what));
    }
    let paint = Paint::for_terminal();
    eprintln!("{}", paint.yellow(&format!("!! SKIPPED: {what}")));
    Ok(())
}
