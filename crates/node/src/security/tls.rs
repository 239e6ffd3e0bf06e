//! TLS 1.3 of the native and the HTTP listener.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use parking_lot::RwLock;
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::sign::CertifiedKey;
use rustls::{RootCertStore, ServerConfig, version};

use crate::config::SecurityConfig;
use crate::security::certificate::CertificateSummary;

/// The files that TLS is made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsFiles {
    /// PEM, the node's certificate first, then those that lead to the authority.
    pub certificate: PathBuf,
    /// PEM, the certificate's key.
    pub key: PathBuf,
    /// PEM, the authorities whose client certificates are accepted. Default none.
    pub client_ca: Option<PathBuf>,
    /// Whether a client that shows no certificate may still show an API key.
    pub client_certificate_is_optional: bool,
}

impl TlsFiles {
    /// The files the configuration names, if it turns TLS on.
    #[must_use]
    pub fn of(security: &SecurityConfig) -> Option<Self> {
        Some(Self {
            certificate: security.tls_cert.clone()?,
            key: security.tls_key.clone()?,
            client_ca: security.client_ca.clone(),
            client_certificate_is_optional: !security.api_keys.is_empty() || security.allow_unauthenticated,
        })
    }
}

/// Why TLS could not be set up. Each names the file and says what to do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TlsError {
    /// A file cannot be read.
    #[error("{file}: {error}", file = .file.display())]
    Unreadable {
        /// Which.
        file: PathBuf,
        /// What the file system says.
        error: std::io::Error,
    },
    /// A file is not PEM, or holds none of what it should.
    #[error("{file} has no {expected} in PEM ({found})", file = .file.display())]
    NotPem {
        /// Which.
        file: PathBuf,
        /// What it should hold.
        expected: &'static str,
        /// What was found.
        found: String,
    },
    /// The key is not the certificate's, or of a kind that is not supported.
    #[error("the key in {key} is not that of the certificate in {certificate}: {reason}", key = .key.display(), certificate = .certificate.display())]
    Mismatch {
        /// Where the certificate is.
        certificate: PathBuf,
        /// Where the key is.
        key: PathBuf,
        /// What the TLS library says.
        reason: String,
    },
    /// The certificate is not valid now.
    #[error("the certificate in {file} {problem}: put a valid one there", file = .file.display())]
    NotValidNow {
        /// Where it is.
        file: PathBuf,
        /// Since when, or until when.
        problem: String,
    },
    /// A certificate is damaged, or of a kind that is not supported.
    #[error("{file}: {reason}", file = .file.display())]
    Unsupported {
        /// Where it is.
        file: PathBuf,
        /// What is wrong.
        reason: String,
    },
}

/// The TLS side of listeners, whose certificates can be read again while they listen.
pub struct Tls {
    files: TlsFiles,
    config: RwLock<Arc<ServerConfig>>,
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls").field("files", &self.files).finish_non_exhaustive()
    }
}

impl Tls {
    /// Reads the files.
    ///
    /// # Errors
    /// [`TlsError`].
    pub fn load(files: TlsFiles) -> Result<Self, TlsError> {
        let config = RwLock::new(Arc::new(read(&files, now())?));
        Ok(Self { files, config })
    }

    /// Reads the files again. Connections that stand keep what they have; with an error, everything
    /// stays as it is.
    ///
    /// # Errors
    /// [`TlsError`].
    pub fn reload(&self) -> Result<(), TlsError> {
        *self.config.write() = Arc::new(read(&self.files, now())?);
        Ok(())
    }

    /// What the next connection is served with.
    #[must_use]
    pub fn config(&self) -> Arc<ServerConfig> {
        self.config.read().clone()
    }

    /// Whether clients must show a certificate.
    #[must_use]
    pub fn requires_client_certificate(&self) -> bool {
        self.files.client_ca.is_some() && !self.files.client_certificate_is_optional
    }
}

fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| i64::try_from(since.as_secs()).unwrap_or(i64::MAX))
}

fn read(files: &TlsFiles, now: i64) -> Result<ServerConfig, TlsError> {
    let chain = certificates(&files.certificate)?;
    check_validity(&files.certificate, &chain, now)?;
    let key = key(&files.key)?;
    let provider = Arc::new(aws_lc_rs::default_provider());
    check_match(files, &chain, &key, &provider)?;
    let unsupported = |file: &Path, error: &dyn fmt::Display| TlsError::Unsupported {
        file: file.to_owned(),
        reason: error.to_string(),
    };
    let builder = ServerConfig::builder_with_provider(provider.clone())
        .with_protocol_versions(&[&version::TLS13])
        .map_err(|error| unsupported(&files.certificate, &error))?;
    let builder = match &files.client_ca {
        None => builder.with_no_client_auth(),
        Some(file) => {
            let mut roots = RootCertStore::empty();
            for authority in certificates(file)? {
                roots.add(authority).map_err(|error| unsupported(file, &error))?;
            }
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
            let verifier = match files.client_certificate_is_optional {
                true => verifier.allow_unauthenticated(),
                false => verifier,
            };
            builder.with_client_cert_verifier(verifier.build().map_err(|error| unsupported(file, &error))?)
        }
    };
    let mut config =
        builder.with_single_cert(chain, key).map_err(|error| unsupported(&files.certificate, &error))?;
    // A session ticket is work for each handshake, and the connections here live long.
    config.send_tls13_tickets = 0;
    Ok(config)
}

fn check_match(
    files: &TlsFiles,
    chain: &[CertificateDer<'static>],
    key: &PrivateKeyDer<'static>,
    provider: &CryptoProvider,
) -> Result<(), TlsError> {
    let certified = CertifiedKey::from_der(chain.to_vec(), key.clone_key(), provider);
    certified.map(drop).map_err(|error| TlsError::Mismatch {
        certificate: files.certificate.clone(),
        key: files.key.clone(),
        reason: error.to_string(),
    })
}

fn check_validity(file: &Path, chain: &[CertificateDer<'static>], now: i64) -> Result<(), TlsError> {
    let Some(own) = chain.first() else { return Ok(()) };
    let summary = CertificateSummary::read(own)
        .map_err(|error| TlsError::Unsupported { file: file.to_owned(), reason: error.to_string() })?;
    let days = |seconds: i64| seconds / 86_400;
    let problem = if now > summary.not_after {
        format!("expired {} days ago", days(now - summary.not_after))
    } else if now < summary.not_before {
        format!("is not valid before {} days from now", days(summary.not_before - now))
    } else {
        return Ok(());
    };
    Err(TlsError::NotValidNow { file: file.to_owned(), problem })
}

fn certificates(file: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let found = CertificateDer::pem_slice_iter(&bytes(file)?)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| not_pem(file, "certificate", &error))?;
    if found.is_empty() {
        return Err(not_pem(file, "certificate", &pem::Error::NoItemsFound));
    }
    Ok(found)
}

fn key(file: &Path) -> Result<PrivateKeyDer<'static>, TlsError> {
    PrivateKeyDer::from_pem_slice(&bytes(file)?).map_err(|error| not_pem(file, "private key", &error))
}

fn bytes(file: &Path) -> Result<Vec<u8>, TlsError> {
    std::fs::read(file).map_err(|error| TlsError::Unreadable { file: file.to_owned(), error })
}

fn not_pem(file: &Path, expected: &'static str, error: &pem::Error) -> TlsError {
    TlsError::NotPem { file: file.to_owned(), expected, found: error.to_string() }
}
