//! One command of a recipe: shown before it runs, timed, and named when it fails.

use std::{
    ffi::{OsStr, OsString},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Instant,
};

use crate::{failure::Failure, terminal::Paint};

/// A command that inherits the terminal but not the input: no recipe waits for a person.
#[derive(Debug)]
pub(crate) struct Step {
    name: String,
    command: Command,
}

impl Step {
    pub(crate) fn new(name: impl Into<String>, program: impl AsRef<OsStr>) -> Self {
        let mut command = Command::new(program);
        command.stdin(Stdio::null());
        Self { name: name.into(), command }
    }

    /// The cargo that runs this recipe.
    pub(crate) fn cargo(name: impl Into<String>) -> Self {
        Self::new(name, std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
    }

    pub(crate) fn args<I: IntoIterator<Item = S>, S: AsRef<OsStr>>(mut self, args: I) -> Self {
        self.command.args(args);
        self
    }

    pub(crate) fn env(mut self, key: &str, value: impl AsRef<OsStr>) -> Self {
        self.command.env(key, value);
        self
    }

    pub(crate) fn without_env(mut self, key: &str) -> Self {
        self.command.env_remove(key);
        self
    }

    pub(crate) fn current_dir(mut self, folder: impl AsRef<Path>) -> Self {
        self.command.current_dir(folder);
        self
    }

    pub(crate) fn run(mut self) -> Result<(), Failure> {
        let paint = Paint::for_terminal();
        eprintln!("{} {}", paint.bold(&format!("── {}:", self.name)), self.shown());
        let began = Instant::now();
        let status = self.command.status().map_err(|error| {
            Failure::new(format!("{}: {} did not start: {error}", self.name, self.shown()))
        })?;
        let seconds = began.elapsed().as_secs_f32();
        if status.success() {
            eprintln!("   {} in {seconds:.1} s", paint.green("ok"));
            return Ok(());
        }
        Err(Failure::new(format!("{}: failed after {seconds:.1} s with {status}", self.name)))
    }

    /// Runs and says only whether it worked.
    pub(crate) fn works(mut self) -> bool {
        let quiet = self.command.stdout(Stdio::null()).stderr(Stdio::null());
        quiet.status().is_ok_and(|status| status.success())
    }

    fn shown(&self) -> String {
        let program = Path::new(self.command.get_program()).file_name().unwrap_or_default();
        let words = std::iter::once(program).chain(self.command.get_args());
        words.map(OsStr::to_string_lossy).collect::<Vec<_>>().join(" ")
    }
}

/// Whether a program of that name is in the search path.
pub(crate) fn is_installed(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    // An ordinary user's path often lacks the folders of the tools that administer a machine.
    let system = ["/usr/sbin", "/sbin"].map(PathBuf::from);
    std::env::split_paths(&path).chain(system).any(|folder| folder.join(program).is_file())
}

/// Where cargo builds: what the environment says, else `target` below the root.
pub(crate) fn target_folder(root: &Path) -> PathBuf {
    let configured = std::env::var_os("CARGO_TARGET_DIR").filter(|folder| !folder.is_empty());
    root.join(configured.unwrap_or_else(|| OsString::from("target")))
}

/// Builds the program in release and returns its path, for the tests that drive it from outside.
pub(crate) fn release_binary(root: &Path) -> Result<PathBuf, Failure> {
    Step::cargo("build the program")
        .args(["build", "--quiet", "--release", "--locked", "--package", "swarmmq-cli"])
        .current_dir(root)
        .run()?;
    let binary = target_folder(root).join("release/swarmmq");
    if binary.is_file() {
        return Ok(binary);
    }
    Err(Failure::new(format!("the build left no program at {}", binary.display())))
}
