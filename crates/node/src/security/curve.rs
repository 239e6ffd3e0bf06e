//! Files with CURVE secret keys.

use std::fs;
use std::io::{self, Write as _};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use omq_proto::{CurveKeypair, CurveSecretKey as Secret};

use crate::config::CurveSecretKey;

/// What a key file may have at most: a key and white space around it.
const FILE_BYTES_MAX: u64 = 4096;

/// Why a key file cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeyFileError {
    /// It cannot be read or written.
    #[error("the key file {}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Others than its owner can read it.
    #[error("the key file {} can be read by others (mode {mode:o}): chmod 600 {}", path.display(), path.display())]
    Exposed {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// It has no key.
    #[error("the key file {} has no CURVE secret key: 40 characters of Z85, as `swarmmq key new` writes", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
    },
}

/// Reads the secret key of a server or client. Only its owner may be able to read the file.
///
/// # Errors
/// [`KeyFileError`].
pub fn read_curve_secret(path: &Path) -> Result<CurveSecretKey, KeyFileError> {
    let failed = |source| KeyFileError::Io { path: path.to_owned(), source };
    let metadata = fs::metadata(path).map_err(failed)?;
    let mode = metadata.mode() & 0o777;
    if mode & 0o077 != 0 {
        return Err(KeyFileError::Exposed { path: path.to_owned(), mode });
    }
    let malformed = || KeyFileError::Malformed { path: path.to_owned() };
    if !metadata.is_file() || metadata.len() > FILE_BYTES_MAX {
        return Err(malformed());
    }
    let text = fs::read_to_string(path).map_err(failed)?;
    CurveSecretKey::from_z85(&text).ok_or_else(malformed)
}

/// Makes a new key pair, writes the secret key into a file that must not be there yet and that only its owner can read,
/// and returns the public key in Z85.
///
/// # Errors
/// [`KeyFileError::Io`].
pub fn new_curve_key(path: &Path) -> Result<String, KeyFileError> {
    let failed = |source| KeyFileError::Io { path: path.to_owned(), source };
    let pair = CurveKeypair::generate();
    let mut file =
        fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).map_err(failed)?;
    file.write_all(format!("{}\n", pair.secret.to_z85()).as_bytes()).map_err(failed)?;
    file.sync_all().map_err(failed)?;
    Ok(pair.public.to_z85())
}

/// The public key, in Z85, that belongs to a secret key.
#[must_use]
pub fn curve_public_key(secret: &CurveSecretKey) -> String {
    Secret::from_bytes(secret.0).derive_public().to_z85()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_new_key_is_read_again_and_only_by_its_owner() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("node.key");
        let public = new_curve_key(&path).unwrap();
        let secret = read_curve_secret(&path).unwrap();
        assert_eq!(curve_public_key(&secret), public);
        assert!(!format!("{secret:?}").contains(&fs::read_to_string(&path).unwrap()[..40]));
        assert!(matches!(new_curve_key(&path), Err(KeyFileError::Io { .. })), "it is not written over");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        assert!(matches!(read_curve_secret(&path), Err(KeyFileError::Exposed { mode: 0o644, .. })));
    }

    #[test]
    fn the_key_pair_of_the_rfc() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("server.key");
        fs::write(&path, "  JTKVSB%%)wK0E.X)V>+}o?pNmC{O&4W4b!Ni{Lh6\n").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        let public = curve_public_key(&read_curve_secret(&path).unwrap());
        assert_eq!(public, "rq:rM>}U?@Lns47E1%kR.o@n%FcmmsL/@{H8]yf7");
        fs::write(&path, "not a key").unwrap();
        assert!(matches!(read_curve_secret(&path), Err(KeyFileError::Malformed { .. })));
    }
}
