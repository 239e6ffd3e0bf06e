//! Runs every rule on the working tree and prints what they found.

use std::{path::Path, process::Command};

use super::{
    arrows,
    finding::{Finding, Severity},
    length, lints, names, outside, patched, purity, roots,
    source::{self, Source},
    unfinished,
};
use crate::{failure::Failure, json::Json, terminal::Paint};

type Rule = fn(&[Source]) -> Vec<Finding>;

const RULES: [Rule; 8] = [
    names::check,
    length::check,
    purity::check,
    roots::check,
    unfinished::check,
    lints::check,
    patched::check,
    outside::check,
];

/// Prints every finding; an error among them is a failure, a warning is not.
pub(crate) fn run(root: &Path) -> Result<(), Failure> {
    let paint = Paint::for_terminal();
    let sources = source::read_all(root)
        .map_err(|error| Failure::new(format!("the files below {} do not read: {error}", root.display())))?;
    let mut findings = arrows::check(&metadata(root)?, &root.to_string_lossy(), &sources);
    findings.extend(RULES.iter().flat_map(|rule| rule(&sources)));
    findings.sort_by(|a, b| (a.severity, &a.path, a.line).cmp(&(b.severity, &b.path, b.line)));
    for finding in &findings {
        eprintln!("{}", finding.show(paint));
    }
    let errors = findings.iter().filter(|finding| finding.is_error()).count();
    let warnings = findings.iter().filter(|one| one.severity == Severity::Warning).count();
    let tally = format!("{} files, {errors} errors, {warnings} warnings", sources.len());
    if errors > 0 {
        return Err(Failure::new(format!("tidy: {tally}")));
    }
    eprintln!("tidy: {}: {tally}", paint.green("ok"));
    Ok(())
}

fn metadata(root: &Path) -> Result<Json, Failure> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .args(["metadata", "--no-deps", "--format-version", "1", "--offline"])
        .current_dir(root)
        .output()
        .map_err(|error| Failure::new(format!("cargo metadata did not start: {error}")))?;
    if !output.status.success() {
        let reason = String::from_utf8_lossy(&output.stderr).into_owned();
        return Err(Failure::new(format!("cargo metadata failed:\n{reason}")));
    }
    Json::read(&String::from_utf8_lossy(&output.stdout))
        .map_err(|error| Failure::new(format!("cargo metadata: {error}")))
}
