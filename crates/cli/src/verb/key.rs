//! `swarmmq key`.

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use serde::Serialize;
use swarmmq_node::security::{KeyFileError, curve_public_key, new_curve_key, read_curve_secret};

use crate::console::Console;
use crate::failure::{Exit, Failure};

/// Make and show the keys of ZeroMQ's CURVE
#[derive(Debug, Args)]
pub(crate) struct Key {
    #[command(subcommand)]
    deed: Deed,
}

#[derive(Debug, Subcommand)]
enum Deed {
    /// Make a key pair: the secret key goes into a new file that only you can read, the public key is shown
    #[command(after_help = "\
EXAMPLES:
  swarmmq key new node.key               # of a node: zeromq.endpoints[].curve_secret_key_file
  swarmmq key new ada.key                # of a user: its public key goes into security.users
  swarmmq key new ada.key --json | jq -r .public_key")]
    New(File),
    /// Show the public key that belongs to a file with a secret key
    #[command(after_help = "\
EXAMPLES:
  swarmmq key show node.key")]
    Show(File),
}

#[derive(Debug, Args)]
struct File {
    /// File with the secret key, 40 characters of Z85
    file: PathBuf,
}

/// A key pair as a program reads it. The secret key stays in its file.
#[derive(Debug, Serialize)]
struct KeyRecord<'a> {
    file: &'a Path,
    public_key: String,
}

impl Key {
    pub(crate) fn run(self, console: Console) -> Result<(), Failure> {
        match self.deed {
            Deed::New(File { file }) => {
                let public_key = new_curve_key(&file).map_err(failure)?;
                if !console.is_json() {
                    console.note(format!("the secret key is in {}; the public key is", file.display()));
                }
                show(console, &file, public_key)
            }
            Deed::Show(File { file }) => {
                let secret = read_curve_secret(&file).map_err(failure)?;
                show(console, &file, curve_public_key(&secret))
            }
        }
    }
}

fn show(console: Console, file: &Path, public_key: String) -> Result<(), Failure> {
    if console.is_json() {
        return console.object(&KeyRecord { file, public_key });
    }
    console.line(public_key)
}

fn failure(error: KeyFileError) -> Failure {
    let failure = Failure::new(Exit::Usage, error.to_string());
    match error {
        KeyFileError::Io { source, .. } if source.kind() == std::io::ErrorKind::AlreadyExists => {
            failure.hint("a key is never written over: choose another file, or remove this one first")
        }
        _ => failure,
    }
}
