//! `cargo xtask fuzz`: libFuzzer on the stable tool-chain.
//!
//! A target is an ordinary program of the package in `fuzz/`, instrumented by flags that the stable
//! compiler has. Inputs that found new paths stay in `fuzz/corpus/<target>`, which is not kept in
//! git; inputs worth keeping are in `fuzz/seeds/<target>`. Several targets run at a time, and each says a
//! line; the log of one is shown when it fails.

mod target;
mod wanted;

use std::{
    collections::VecDeque,
    fs,
    path::Path,
    process::Command,
    sync::{Mutex, PoisonError},
    thread,
};

use self::{target::Target, wanted::Wanted};
use crate::{
    failure::Failure,
    step::{Step, target_folder},
    terminal::Paint,
};

/// What makes a plain program a libFuzzer one. Debug assertions are on, as a fuzzer looks for them.
const RUSTFLAGS: &str = "--cfg fuzzing -Cpasses=sancov-module \
    -Cllvm-args=-sanitizer-coverage-level=4 \
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters \
    -Cllvm-args=-sanitizer-coverage-pc-table \
    -Cllvm-args=-sanitizer-coverage-trace-compares \
    -Cdebug-assertions -Ccodegen-units=1";

pub(crate) fn run(root: &Path, args: &[String]) -> Result<(), Failure> {
    let wanted = Wanted::parse(args)?;
    let manifest = root.join("fuzz/Cargo.toml");
    let text = fs::read_to_string(&manifest)
        .map_err(|error| Failure::new(format!("{} is not there: {error}", manifest.display())))?;
    let targets = wanted.choose(targets(&text))?;
    let triple = host()?;
    let built = target_folder(root).join("fuzz");
    Step::cargo("build the fuzz targets")
        // With a target given, the flags stay away from build scripts and macros.
        .args(["build", "--quiet", "--release", "--locked", "--target", &triple, "--manifest-path"])
        .args([&manifest])
        .env("RUSTFLAGS", RUSTFLAGS)
        .without_env("CARGO_ENCODED_RUSTFLAGS")
        .env("CARGO_TARGET_DIR", &built)
        .run()?;
    let programs = built.join(triple).join("release");
    let title = format!("── fuzz {} targets:", targets.len());
    let Wanted { seconds, jobs, .. } = wanted;
    eprintln!("{} {seconds} s each, {jobs} at a time", Paint::for_terminal().bold(&title));
    let failed = at_a_time(jobs, &targets, |name| {
        let (package, program) = (&root.join("fuzz"), programs.join(name));
        Target { name, package, program, output: &built }.run(seconds)
    });
    if failed.is_empty() { Ok(()) } else { Err(Failure::new(failed.join("\n  "))) }
}

/// Runs something for each name, so many at a time, and returns what the failures say.
fn at_a_time(jobs: u32, names: &[String], run: impl Fn(&str) -> Result<(), Failure> + Sync) -> Vec<String> {
    let left: Mutex<VecDeque<&String>> = Mutex::new(names.iter().collect());
    let failed = Mutex::new(Vec::new());
    thread::scope(|scope| {
        for _ in 0..jobs {
            scope.spawn(|| {
                loop {
                    // In a statement of its own, so that the lock is not held during the run.
                    let next = left.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
                    let Some(name) = next else { return };
                    if let Err(failure) = run(name) {
                        failed.lock().unwrap_or_else(PoisonError::into_inner).push(failure.message);
                    }
                }
            });
        }
    });
    failed.into_inner().unwrap_or_else(PoisonError::into_inner)
}

/// The names of the `[[bin]]` tables of a manifest.
fn targets(manifest: &str) -> Vec<String> {
    let mut in_bin = false;
    let mut names = Vec::new();
    for line in manifest.lines().map(str::trim) {
        if line.starts_with('[') {
            in_bin = line == "[[bin]]";
        } else if let Some((key, value)) = line.split_once('=')
            && in_bin
            && key.trim() == "name"
        {
            names.push(value.trim().trim_matches('"').to_owned());
        }
    }
    names
}

fn host() -> Result<String, Failure> {
    let unknown = || Failure::new("rustc -vV does not name its host");
    let output = Command::new("rustc").arg("-vV").output().map_err(|_| unknown())?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let host = text.lines().find_map(|line| line.strip_prefix("host: "));
    host.map(str::to_owned).ok_or_else(unknown)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_are_the_names_of_the_bin_tables() {
        let manifest = "[package]\nname = \"fuzz\"\n[[bin]]\nname = \"frame\"\npath = \"a.rs\"\n\n[[bin]]\nname=\"envelope\"\n[lib]\nname = \"x\"\n";
        assert_eq!(targets(manifest), ["frame", "envelope"]);
    }

    #[test]
    fn every_target_runs_once_and_every_failure_is_told() {
        let names: Vec<String> = (0..20).map(|nth| nth.to_string()).collect();
        let ran = Mutex::new(Vec::new());
        let mut failed = at_a_time(3, &names, |name| {
            ran.lock().unwrap().push(name.to_owned());
            if name.ends_with('7') { Err(Failure::new(name)) } else { Ok(()) }
        });
        failed.sort();
        let mut ran = ran.into_inner().unwrap();
        ran.sort_by_key(|name| name.parse::<u32>().unwrap());
        assert_eq!((ran, failed), (names, vec!["17".to_owned(), "7".to_owned()]));
    }
}
