//! The data directory: whose it is, and that nobody else uses it.
//!
//! ```text
//! data/
//!   node.json    whose directory it is
//!   node.lock    locked while a node uses it; holds its process id
//!   journal/     everything that was acknowledged
//! ```

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::telemetry::OperatorCode;

const IDENTITY: &str = "node.json";
const LOCK: &str = "node.lock";
const JOURNAL: &str = "journal";
/// The version of this layout.
const FORMAT: u32 = 1;
/// An identity is small; more is not one.
const IDENTITY_BYTES_MAX: u64 = 64 * 1024;

/// Why a data directory cannot be used. Nothing in it was changed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DirectoryError {
    /// Another node uses it.
    #[error("{path} is used by another node{}: stop it, or give this one a directory of its own (node.data_dir)", .pid.as_ref().map(|pid| format!(" (process {pid})")).unwrap_or_default(), path = .path.display())]
    Locked {
        /// The directory.
        path: PathBuf,
        /// The other node's process, if it says so.
        pid: Option<String>,
    },
    /// It holds files, and none says that it is a node's.
    #[error("{path} is not a node's data directory: it holds {found:?} and no node.json; give an empty directory (node.data_dir)", path = .path.display())]
    Foreign {
        /// The directory.
        path: PathBuf,
        /// One of the files.
        found: String,
    },
    /// It belongs to another node, or to a node of another cluster.
    #[error("{path} is the data directory of {found}, this is {configured}: correct the {what} in the configuration, or give another directory", path = .path.display())]
    Another {
        /// The directory.
        path: PathBuf,
        /// What differs.
        what: &'static str,
        /// What stands in the directory.
        found: String,
        /// What the configuration says.
        configured: String,
    },
    /// A later version has made it.
    #[error("{path} was made by a later version (format {found}, this one knows {FORMAT}): use that version", path = .path.display())]
    Later {
        /// The directory.
        path: PathBuf,
        /// Its format.
        found: u32,
    },
    /// Its identity is not readable as one.
    #[error("{path} is damaged: {error}; put it back from a copy, it is never written again after it was made", path = .path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        error: String,
    },
    /// The file system refuses.
    #[error("{operation} {path}: {error}", path = .path.display())]
    Io {
        /// What was tried.
        operation: &'static str,
        /// On what.
        path: PathBuf,
        /// What the system says.
        error: io::Error,
    },
}

impl DirectoryError {
    /// The stable code.
    #[must_use]
    pub fn code(&self) -> OperatorCode {
        match self {
            Self::Locked { .. } => OperatorCode::DataDirectoryLocked,
            Self::Another { .. } | Self::Later { .. } | Self::Foreign { .. } => {
                OperatorCode::DataDirectoryDiffers
            }
            Self::Damaged { .. } | Self::Io { .. } => OperatorCode::DataDirectoryUnusable,
        }
    }
}

#[derive(Debug, Serialize, Deserialize)]
struct Identity {
    format: u32,
    node: String,
    cluster: String,
}

/// A data directory that is this node's, locked until it is dropped.
#[derive(Debug)]
pub struct DataDirectory {
    path: PathBuf,
    _lock: File,
}

fn failed<'a>(operation: &'static str, path: &'a Path) -> impl FnOnce(io::Error) -> DirectoryError + 'a {
    move |error| DirectoryError::Io { operation, path: path.to_owned(), error }
}

impl DataDirectory {
    /// Opens the directory at `path` for this node, making it if it is not there.
    ///
    /// # Errors
    /// [`DirectoryError`].
    pub fn open(path: &Path, node: &str, cluster: &str) -> Result<Self, DirectoryError> {
        let mut builder = fs::DirBuilder::new();
        builder.recursive(true).mode(0o700).create(path).map_err(failed("making", path))?;
        let identity = read_identity(path)?;
        if identity.is_none()
            && let Some(found) = stranger(path)?
        {
            return Err(DirectoryError::Foreign { path: path.to_owned(), found });
        }
        let lock = lock(path)?;
        // Whoever had the lock before may have made the directory its own.
        match read_identity(path)? {
            Some(identity) => check(path, &identity, node, cluster)?,
            None => write_identity(path, node, cluster)?,
        }
        Ok(Self { path: path.to_owned(), _lock: lock })
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Where the journal is.
    #[must_use]
    pub fn journal(&self) -> PathBuf {
        self.path.join(JOURNAL)
    }
}

/// A file that a node has not put there. What file systems and their owners put everywhere does not count.
fn stranger(path: &Path) -> Result<Option<String>, DirectoryError> {
    for entry in fs::read_dir(path).map_err(failed("reading", path))? {
        let name = entry.map_err(failed("reading", path))?.file_name();
        let name = name.to_string_lossy();
        if name != LOCK && name != "lost+found" && !name.starts_with('.') {
            return Ok(Some(name.into_owned()));
        }
    }
    Ok(None)
}

fn lock(path: &Path) -> Result<File, DirectoryError> {
    let file_path = path.join(LOCK);
    let opened =
        OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(&file_path);
    let mut file = opened.map_err(failed("opening", &file_path))?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let mut pid = String::new();
            // Only for the message.
            let _read = Read::by_ref(&mut file).take(20).read_to_string(&mut pid);
            let pid = Some(pid.trim().to_owned()).filter(|pid| !pid.is_empty());
            return Err(DirectoryError::Locked { path: path.to_owned(), pid });
        }
        Err(TryLockError::Error(error)) => return Err(failed("locking", &file_path)(error)),
    }
    let noted =
        file.set_len(0).and_then(|()| file.rewind()).and_then(|()| writeln!(file, "{}", std::process::id()));
    noted.map_err(failed("writing", &file_path))?;
    Ok(file)
}

fn read_identity(path: &Path) -> Result<Option<Identity>, DirectoryError> {
    let path = path.join(IDENTITY);
    let file = match File::open(&path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(failed("opening", &path)(error)),
    };
    let mut text = String::new();
    file.take(IDENTITY_BYTES_MAX).read_to_string(&mut text).map_err(failed("reading", &path))?;
    let identity = serde_json::from_str(&text);
    identity.map(Some).map_err(|error| DirectoryError::Damaged { path, error: error.to_string() })
}

fn check(path: &Path, identity: &Identity, node: &str, cluster: &str) -> Result<(), DirectoryError> {
    let another = |what, found: &str, configured: &str| DirectoryError::Another {
        path: path.to_owned(),
        what,
        found: format!("{what} {found}"),
        configured: format!("{what} {configured}"),
    };
    if identity.format > FORMAT {
        return Err(DirectoryError::Later { path: path.to_owned(), found: identity.format });
    }
    if identity.cluster != cluster {
        return Err(another("cluster", &identity.cluster, cluster));
    }
    if identity.node != node {
        return Err(another("node", &identity.node, node));
    }
    Ok(())
}

/// Writes the identity so that it is there wholly or not at all, whenever the power goes.
fn write_identity(path: &Path, node: &str, cluster: &str) -> Result<(), DirectoryError> {
    let identity = Identity { format: FORMAT, node: node.to_owned(), cluster: cluster.to_owned() };
    let text = serde_json::to_string_pretty(&identity).map_err(io::Error::from);
    let temporary = path.join(".node.json.new");
    let written = text.and_then(|text| {
        let mut file =
            OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&temporary)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        fs::rename(&temporary, path.join(IDENTITY))?;
        File::open(path)?.sync_all()
    });
    written.map_err(failed("writing", &path.join(IDENTITY)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_is_one_nodes_at_a_time() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a/b");
        let first = DataDirectory::open(&path, "node-1", "swarm").unwrap();
        let error = DataDirectory::open(&path, "node-1", "swarm").unwrap_err();
        assert_eq!(error.code(), OperatorCode::DataDirectoryLocked);
        assert!(error.to_string().contains(&format!("process {}", std::process::id())), "{error}");
        drop(first);
        DataDirectory::open(&path, "node-1", "swarm").unwrap();
    }

    #[test]
    fn a_directory_stays_with_its_node_and_cluster() {
        let folder = tempfile::tempdir().unwrap();
        drop(DataDirectory::open(folder.path(), "node-1", "swarm").unwrap());
        let error = DataDirectory::open(folder.path(), "node-2", "swarm").unwrap_err().to_string();
        assert!(error.contains("node node-1") && error.contains("node node-2"), "{error}");
        assert!(DataDirectory::open(folder.path(), "node-1", "bees").is_err());
        fs::write(folder.path().join(IDENTITY), r#"{"format":2,"node":"node-1","cluster":"swarm"}"#).unwrap();
        assert!(matches!(
            DataDirectory::open(folder.path(), "node-1", "swarm"),
            Err(DirectoryError::Later { found: 2, .. })
        ));
        fs::write(folder.path().join(IDENTITY), "{").unwrap();
        assert!(matches!(
            DataDirectory::open(folder.path(), "node-1", "swarm"),
            Err(DirectoryError::Damaged { .. })
        ));
    }

    #[test]
    fn a_directory_of_something_else_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("photos.tar"), "x").unwrap();
        let error = DataDirectory::open(folder.path(), "node-1", "swarm").unwrap_err();
        assert!(matches!(&error, DirectoryError::Foreign { found, .. } if found == "photos.tar"), "{error}");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "nothing was made in it");
        let fresh = tempfile::tempdir().unwrap();
        fs::create_dir(fresh.path().join("lost+found")).unwrap();
        assert!(DataDirectory::open(fresh.path(), "node-1", "swarm").is_ok(), "a new volume is empty");
    }
}
