//! `cargo xtask fuzz`: libFuzzer on the stable tool-chain.
//!
//! A target is an ordinary program of the package in `fuzz/`, instrumented by flags that the stable
//! compiler has. Inputs that found new paths stay in `fuzz/corpus/<target>`, which is not kept in
//! git; inputs worth keeping are in `fuzz/seeds/<target>`.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use crate::{
    failure::Failure,
    step::{Step, target_folder},
};

/// What makes a plain program a libFuzzer one. Debug assertions are on, as a fuzzer looks for them.
const RUSTFLAGS: &str = "--cfg fuzzing -Cpasses=sancov-module \
    -Cllvm-args=-sanitizer-coverage-level=4 \
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters \
    -Cllvm-args=-sanitizer-coverage-pc-table \
    -Cllvm-args=-sanitizer-coverage-trace-compares \
    -Cdebug-assertions -Ccodegen-units=1";

const SECONDS: u32 = 30;

/// One input may take this long before it counts as a hang.
const INPUT_SECONDS_MAX: u32 = 10;

/// More memory than this for one input is a length that was believed before it was checked.
const MEMORY_MB_MAX: u32 = 1024;

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
        .args(["build", "--quiet", "--release", "--target", &triple, "--manifest-path"])
        .args([&manifest])
        .env("RUSTFLAGS", RUSTFLAGS)
        .without_env("CARGO_ENCODED_RUSTFLAGS")
        .env("CARGO_TARGET_DIR", &built)
        .run()?;
    let programs = built.join(triple).join("release");
    let runs = targets.iter().map(|target| fuzz(root, &programs, &built, target, wanted.seconds));
    let failed: Vec<_> = runs.filter_map(Result::err).map(|failure| failure.message).collect();
    if failed.is_empty() { Ok(()) } else { Err(Failure::new(failed.join("\n  "))) }
}

fn fuzz(root: &Path, programs: &Path, built: &Path, target: &str, seconds: u32) -> Result<(), Failure> {
    let corpus = root.join("fuzz/corpus").join(target);
    let seeds = root.join("fuzz/seeds").join(target);
    let artifacts = built.join("artifacts").join(target);
    for folder in [&corpus, &artifacts] {
        fs::create_dir_all(folder).map_err(|error| Failure::new(format!("{}: {error}", folder.display())))?;
    }
    let mut folders: Vec<PathBuf> = vec![corpus];
    folders.extend(Some(seeds).filter(|folder| folder.is_dir()));
    Step::new(format!("fuzz {target}"), programs.join(target))
        .args([
            format!("-max_total_time={seconds}"),
            format!("-timeout={INPUT_SECONDS_MAX}"),
            format!("-rss_limit_mb={MEMORY_MB_MAX}"),
            format!("-artifact_prefix={}/", artifacts.display()),
            "-print_final_stats=1".to_owned(),
            "-verbosity=0".to_owned(),
        ])
        .args(folders)
        .run()
        .map_err(|failure| {
            Failure::new(format!(
                "{}; the input is in {}; run it again with {} <input>",
                failure.message,
                artifacts.display(),
                programs.join(target).display()
            ))
        })
}

/// What the command line asks for.
#[derive(Debug, PartialEq)]
struct Wanted {
    seconds: u32,
    targets: Vec<String>,
}

impl Wanted {
    fn parse(args: &[String]) -> Result<Self, Failure> {
        let mut wanted = Self { seconds: SECONDS, targets: Vec::new() };
        let mut args = args.iter();
        while let Some(arg) = args.next() {
            match arg.strip_prefix("--seconds") {
                Some(value) => {
                    let value = match value.strip_prefix('=') {
                        Some(value) => Some(value),
                        None if value.is_empty() => args.next().map(String::as_str),
                        None => None,
                    };
                    // Zero would mean for ever to libFuzzer.
                    let seconds = value.and_then(|value| value.parse().ok()).filter(|value| *value > 0);
                    wanted.seconds =
                        seconds.ok_or_else(|| Failure::usage("--seconds takes a whole number above zero"))?;
                }
                None if arg.starts_with('-') => {
                    return Err(Failure::usage(format!("fuzz does not know `{arg}`")));
                }
                None => wanted.targets.push(arg.clone()),
            }
        }
        Ok(wanted)
    }

    fn choose(&self, all: Vec<String>) -> Result<Vec<String>, Failure> {
        if let Some(unknown) = self.targets.iter().find(|target| !all.contains(target)) {
            let all = all.join(", ");
            return Err(Failure::usage(format!("there is no target `{unknown}`; there are: {all}")));
        }
        if all.is_empty() {
            return Err(Failure::new("fuzz/Cargo.toml names no [[bin]]"));
        }
        Ok(if self.targets.is_empty() { all } else { self.targets.clone() })
    }
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

    fn parse(args: &[&str]) -> Result<Wanted, Failure> {
        Wanted::parse(&args.iter().map(|arg| (*arg).to_owned()).collect::<Vec<_>>())
    }

    #[test]
    fn seconds_and_targets_are_read_in_any_order() {
        let wanted = Wanted { seconds: 5, targets: vec!["frame".into()] };
        assert_eq!(parse(&["--seconds", "5", "frame"]).unwrap(), wanted);
        assert_eq!(parse(&["frame", "--seconds=5"]).unwrap(), wanted);
        for wrong in [&["--seconds"][..], &["--seconds", "0"], &["--seconds5"], &["--jobs"]] {
            assert_eq!(parse(wrong).unwrap_err().exit_code, 2, "{wrong:?}");
        }
    }

    #[test]
    fn targets_are_the_names_of_the_bin_tables() {
        let manifest = "[package]\nname = \"fuzz\"\n[[bin]]\nname = \"frame\"\npath = \"a.rs\"\n\n[[bin]]\nname=\"envelope\"\n[lib]\nname = \"x\"\n";
        assert_eq!(targets(manifest), ["frame", "envelope"]);
        assert!(parse(&["nothing"]).unwrap().choose(targets(manifest)).is_err());
        assert!(parse(&[]).unwrap().choose(Vec::new()).is_err());
    }
}
