//! TLS: 1.3 towards the node, and 1.2 too towards others.

use std::fs::File;
use std::io::BufReader;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
#[cfg(feature = "etcd")]
use rustls::version::TLS12;
use rustls::version::TLS13;
use rustls::{ClientConfig, RootCertStore, SupportedProtocolVersion};

use crate::error::Error;

/// Whom to trust, and who we are, by certificates.
///
/// There are no roots built in: what may vouch for a node is named here, by a file of certificates or
/// by a whole configuration.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct TlsOptions {
    /// A PEM file of the certificates that vouch for nodes.
    pub ca_file: Option<PathBuf>,
    /// A PEM file of the client's certificate, and those between it and the root.
    pub certificate_file: Option<PathBuf>,
    /// A PEM file of the client's private key.
    pub key_file: Option<PathBuf>,
    /// The name a node's certificate must have. Default: the host of the address.
    pub server_name: Option<String>,
    /// A configuration that is used as it is, in place of the files.
    pub config: Option<Arc<ClientConfig>>,
}

impl TlsOptions {
    /// Trusts the certificates of a PEM file.
    #[must_use]
    pub fn ca_file(path: impl Into<PathBuf>) -> Self {
        Self { ca_file: Some(path.into()), ..Self::default() }
    }

    /// Uses a configuration made elsewhere.
    #[must_use]
    pub fn config(config: Arc<ClientConfig>) -> Self {
        Self { config: Some(config), ..Self::default() }
    }

    /// Shows a client certificate.
    #[must_use]
    pub fn client_certificate(mut self, certificate: impl Into<PathBuf>, key: impl Into<PathBuf>) -> Self {
        self.certificate_file = Some(certificate.into());
        self.key_file = Some(key.into());
        self
    }

    /// Expects this name in the node's certificate, whatever the address is.
    #[must_use]
    pub fn server_name(mut self, name: impl Into<String>) -> Self {
        self.server_name = Some(name.into());
        self
    }

    /// The configuration towards a node: TLS 1.3 only, by the one provider that the program is built with.
    pub(crate) fn client_config(&self) -> Result<Arc<ClientConfig>, Error> {
        self.config_of(&[&TLS13])
    }

    /// The configuration towards a server that may be old: etcd 3.5.1 knows nothing newer than TLS 1.2.
    #[cfg(feature = "etcd")]
    pub(crate) fn compatible_config(&self) -> Result<Arc<ClientConfig>, Error> {
        self.config_of(&[&TLS13, &TLS12])
    }

    fn config_of(&self, versions: &[&'static SupportedProtocolVersion]) -> Result<Arc<ClientConfig>, Error> {
        if let Some(config) = &self.config {
            return Ok(config.clone());
        }
        let ca_file = self.ca_file.as_ref().ok_or_else(|| wrong("there is no CA file to trust"))?;
        let mut roots = RootCertStore::empty();
        for certificate in certificates(ca_file)? {
            roots.add(certificate).map_err(|error| wrong(format!("{}: {error}", ca_file.display())))?;
        }
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(versions)
            .map_err(wrong)?
            .with_root_certificates(roots);
        let config = match (&self.certificate_file, &self.key_file) {
            (Some(certificate), Some(key)) => {
                builder.with_client_auth_cert(certificates(certificate)?, private_key(key)?).map_err(wrong)?
            }
            (None, None) => builder.with_no_client_auth(),
            _ => return Err(wrong("a client certificate needs both its file and its key's file")),
        };
        Ok(Arc::new(config))
    }

    /// The name that the certificate of the node at `address` must have.
    pub(crate) fn name_for(&self, address: &str) -> Result<ServerName<'static>, Error> {
        let host = address.rsplit_once(':').map_or(address, |(host, _)| host);
        let host = host.trim_start_matches('[').trim_end_matches(']');
        let name = self.server_name.as_deref().unwrap_or(host);
        ServerName::try_from(name.to_owned()).map_err(|error| wrong(format!("{name}: {error}")))
    }
}

fn wrong(reason: impl ToString) -> Error {
    Error::Tls { reason: reason.to_string() }
}

fn open(path: &Path) -> Result<BufReader<File>, Error> {
    File::open(path).map(BufReader::new).map_err(|error| wrong(format!("{}: {error}", path.display())))
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, Error> {
    let found: Vec<_> = rustls_pemfile::certs(&mut open(path)?)
        .collect::<Result<_, _>>()
        .map_err(|error| wrong(format!("{}: {error}", path.display())))?;
    if found.is_empty() {
        return Err(wrong(format!("{}: there is no certificate in it", path.display())));
    }
    Ok(found)
}

fn private_key(path: &Path) -> Result<PrivateKeyDer<'static>, Error> {
    rustls_pemfile::private_key(&mut open(path)?)
        .map_err(|error| wrong(format!("{}: {error}", path.display())))?
        .ok_or_else(|| wrong(format!("{}: there is no private key in it", path.display())))
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, KeyPair};
    use rustls::{ClientConnection, ServerConfig, ServerConnection};

    use super::*;

    /// Whether the handshake with a server of TLS 1.2 comes to its end.
    fn greets_an_old_server(config: Arc<ClientConfig>, server: Arc<ServerConfig>) -> bool {
        let name = ServerName::try_from("localhost").unwrap();
        let (mut client, mut server) =
            (ClientConnection::new(config, name).unwrap(), ServerConnection::new(server).unwrap());
        for _ in 0..10 {
            let mut bytes = Vec::new();
            while client.wants_write() {
                client.write_tls(&mut bytes).unwrap();
            }
            server.read_tls(&mut &bytes[..]).unwrap();
            if server.process_new_packets().is_err() {
                return false;
            }
            let mut bytes = Vec::new();
            while server.wants_write() {
                server.write_tls(&mut bytes).unwrap();
            }
            client.read_tls(&mut &bytes[..]).unwrap();
            client.process_new_packets().unwrap();
        }
        !client.is_handshaking() && !server.is_handshaking()
    }

    #[test]
    fn an_old_server_is_spoken_to_where_that_is_meant_and_nowhere_else() {
        let key = KeyPair::generate().unwrap();
        let certificate =
            CertificateParams::new(vec!["localhost".into()]).unwrap().self_signed(&key).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let ca = folder.path().join("ca.pem");
        std::fs::write(&ca, certificate.pem()).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let server = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&TLS12])
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(
                vec![certificate.der().clone()],
                PrivateKeyDer::try_from(key.serialize_der()).unwrap(),
            )
            .unwrap();
        let (options, server) = (TlsOptions::ca_file(ca), Arc::new(server));
        assert!(greets_an_old_server(options.compatible_config().unwrap(), server.clone()));
        assert!(!greets_an_old_server(options.client_config().unwrap(), server));
    }
}
