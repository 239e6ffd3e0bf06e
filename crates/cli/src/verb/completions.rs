//! `swarmmq completions`.

use std::io::Write as _;

use clap::{Args, CommandFactory as _, ValueEnum};
use clap_complete::Shell;

use crate::command::Command;
use crate::failure::Failure;

/// Write a shell's completions
#[derive(Debug, Args)]
#[command(after_help = "\
EXAMPLES:
  swarmmq completions bash > /etc/bash_completion.d/swarmmq
  swarmmq completions zsh > ~/.zfunc/_swarmmq
  swarmmq completions fish > ~/.config/fish/completions/swarmmq.fish")]
pub(crate) struct Completions {
    /// The shell
    shell: Kind,
}

/// The shells there are completions for.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum Kind {
    Bash,
    Zsh,
    Fish,
}

impl Completions {
    pub(crate) fn run(self) -> Result<(), Failure> {
        let shell = match self.shell {
            Kind::Bash => Shell::Bash,
            Kind::Zsh => Shell::Zsh,
            Kind::Fish => Shell::Fish,
        };
        // Generated in memory first: the generator panics where its writer fails.
        let mut script = Vec::new();
        clap_complete::generate(shell, &mut Command::command(), "swarmmq", &mut script);
        let mut out = std::io::stdout().lock();
        out.write_all(&script)?;
        Ok(out.flush()?)
    }
}
