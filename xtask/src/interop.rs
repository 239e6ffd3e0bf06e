//! `cargo xtask interop`: ZeroMQ clients that we did not write, against the program that we ship.

use std::{
    fs,
    path::{Path, PathBuf},
};

use crate::{
    failure::Failure,
    step::{Step, release_binary, target_folder},
};

/// What the tests stand on. The wheel of pyzmq brings libzmq 4.3.5 with CURVE.
const BASE: &str = "pyzmq==27.1.0\npytest==8.4.2\n";

pub(crate) fn run(root: &Path, args: &[String]) -> Result<(), Failure> {
    let tests = root.join("tests/interop");
    if !tests.is_dir() {
        return Err(Failure::new("tests/interop is not there yet"));
    }
    let own = fs::read_to_string(tests.join("requirements.txt")).unwrap_or_default();
    let python = environment(root, &requirements(&own))?;
    let binary = release_binary(root)?;
    let patterns = patterns(root)?;
    let (chat, events) = (example(root, "swarmmq-chat")?, example(root, "security-events")?);
    Step::new("interop", python)
        .args(["-m", "pytest", "-q", "-p", "no:cacheprovider"])
        .args([tests])
        .args(args)
        .env("SWARMMQ_BIN", binary)
        .env("SWARMMQ_PATTERNS", patterns)
        .env("SWARMMQ_CHAT", chat)
        .env("SWARMMQ_SECURITY_EVENTS", events)
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .current_dir(root)
        .run()
}

/// The example of the client library in which its patterns run, each of them a verb.
fn patterns(root: &Path) -> Result<PathBuf, Failure> {
    Step::cargo("build the patterns")
        .args(["build", "--quiet", "--release", "--locked", "--package", "swarmmq"])
        .args(["--features", "zeromq", "--example", "patterns"])
        .current_dir(root)
        .run()?;
    Ok(target_folder(root).join("release/examples/patterns"))
}

/// A program of `examples/`, which meets others in Python.
fn example(root: &Path, package: &str) -> Result<PathBuf, Failure> {
    Step::cargo("build an example")
        .args(["build", "--quiet", "--release", "--locked", "--package", package])
        .current_dir(root)
        .run()?;
    Ok(target_folder(root).join("release").join(package))
}

/// The base, less what the tests pin themselves, and then what the tests ask for.
fn requirements(own: &str) -> String {
    let name = |line: &str| {
        let end = line.find(|char: char| !(char.is_alphanumeric() || "-_.".contains(char)));
        line.get(..end.unwrap_or(line.len())).unwrap_or_default().to_lowercase()
    };
    let pinned: Vec<_> = own.lines().map(|line| name(line.trim())).collect();
    let base = BASE.lines().filter(|line| !pinned.contains(&name(line)));
    base.chain(own.lines()).map(|line| format!("{line}\n")).collect()
}

/// A Python of our own with these packages; made again only when the list changes.
fn environment(root: &Path, requirements: &str) -> Result<PathBuf, Failure> {
    let folder = target_folder(root).join("venv");
    let python = folder.join("bin/python");
    let made_for = folder.join("made-for.txt");
    if python.is_file() && fs::read_to_string(&made_for).is_ok_and(|text| text == requirements) {
        return Ok(python);
    }
    Step::new("python environment", "python3").args(["-m", "venv", "--clear"]).args([&folder]).run()?;
    let list = folder.join("requirements.txt");
    let write = |path: &Path| {
        fs::write(path, requirements).map_err(|error| Failure::new(format!("{}: {error}", path.display())))
    };
    write(&list)?;
    Step::new("python packages", &python)
        .args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "-r"])
        .args([&list])
        .run()?;
    // Last, so that an environment that was interrupted is made again.
    write(&made_for)?;
    Ok(python)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_tests_pin_replaces_the_base() {
        assert_eq!(requirements(""), BASE);
        let own = requirements("# why\nPyZMQ == 26.0.0\nnumpy==2.0\n");
        assert_eq!(own, "pytest==8.4.2\n# why\nPyZMQ == 26.0.0\nnumpy==2.0\n");
    }
}
