//! The project's recipes. A person and the continuous integration call the same ones.
//!
//! `verify`, `tidy` and the tests never write to the working tree; `fix` does.

mod chaos;
mod etcd;
mod failure;
mod fix;
mod fuzz;
mod interop;
mod json;
mod peers;
mod step;
mod terminal;
mod tidy;
mod verify;

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
};

use failure::Failure;
use terminal::Paint;

const USAGE: &str = "\
usage: cargo xtask <recipe>

  verify [--require-deny]        format, lints, tidy, documentation, licences; writes nothing
  fix                            formats, and applies what clippy can
  tidy                           the laws that neither the compiler nor clippy keeps
  fuzz [--seconds N] [--jobs N] [target…]
                                 libFuzzer on the stable tool-chain; 30 seconds a target
  interop [pytest arguments]     real ZeroMQ clients against the program
  etcd [test arguments]          service discovery against a real etcd: ETCD_BIN, or the one on PATH
  chaos [arguments]              kills, power cuts, full disks, floods; needs root
  bench-peers [arguments]        side by side with other systems, in one run on this machine";

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    match run(&args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            let paint = Paint::for_terminal();
            eprintln!("{} {}", paint.red("failed:"), failure.message);
            ExitCode::from(failure.exit_code)
        }
    }
}

fn run(args: &[String]) -> Result<(), Failure> {
    let root = root();
    let (recipe, rest) = args.split_first().ok_or_else(|| Failure::usage(USAGE))?;
    match recipe.as_str() {
        "verify" => verify::run(&root, rest),
        "fix" => none_of(rest).and_then(|()| fix::run(&root)),
        "tidy" => none_of(rest).and_then(|()| tidy::run(&root)),
        "fuzz" => fuzz::run(&root, rest),
        "interop" => interop::run(&root, rest),
        "etcd" => etcd::run(&root, rest),
        "chaos" => chaos::run(&root, rest),
        "bench-peers" => peers::run(&root, rest),
        "help" | "--help" | "-h" => {
            println!("{USAGE}");
            Ok(())
        }
        _ => Err(Failure::usage(format!("there is no recipe `{recipe}`\n{USAGE}"))),
    }
}

fn none_of(rest: &[String]) -> Result<(), Failure> {
    match rest.first() {
        None => Ok(()),
        Some(extra) => Err(Failure::usage(format!("`{extra}` is not an argument of this recipe"))),
    }
}

/// The folder above this package. Recipes work from any folder below it.
fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().unwrap_or(here).to_path_buf()
}
