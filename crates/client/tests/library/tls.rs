//! TLS 1.3, towards a node with a certificate.

use std::path::PathBuf;
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::pki_types::PrivateKeyDer;
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig, SupportedProtocolVersion};
use swarmmq::{Client, Error, TlsOptions};
use tempfile::TempDir;

use crate::node::{Manners, Node, World};
use crate::soon;

/// A certificate authority with its files.
struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    folder: TempDir,
}

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("ca.pem"), issuer.pem()).unwrap();
        Self { issuer, folder }
    }

    fn ca_file(&self) -> PathBuf {
        self.folder.path().join("ca.pem")
    }

    /// Issues a certificate, and writes it and its key to files.
    fn issue(&self, name: &str) -> (PathBuf, PathBuf) {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        let (certificate_file, key_file) =
            (self.folder.path().join("client.pem"), self.folder.path().join("client.key"));
        std::fs::write(&certificate_file, certificate.pem()).unwrap();
        std::fs::write(&key_file, key.serialize_pem()).unwrap();
        (certificate_file, key_file)
    }

    fn server(
        &self,
        name: &str,
        wants_client: bool,
        version: &'static SupportedProtocolVersion,
    ) -> Arc<ServerConfig> {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder =
            ServerConfig::builder_with_provider(provider.clone()).with_protocol_versions(&[version]).unwrap();
        let builder = if wants_client {
            let mut roots = RootCertStore::empty();
            roots.add(self.issuer.der().clone()).unwrap();
            let verifier =
                WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build().unwrap();
            builder.with_client_cert_verifier(verifier)
        } else {
            builder.with_no_client_auth()
        };
        let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
        Arc::new(builder.with_single_cert(vec![certificate.der().clone()], key).unwrap())
    }
}

async fn node(tls: Arc<ServerConfig>) -> Node {
    let manners = Manners { tls: Some(tls), ..Manners::default() };
    Node::start_with(World::new(), manners).await
}

async fn connect(node: &Node, tls: TlsOptions) -> Result<Client, Error> {
    let address = format!("localhost:{}", node.port());
    soon("an answer", Client::builder().address(address).tls(tls).connect()).await
}

#[tokio::test]
async fn a_node_is_believed_by_the_authority_named_and_no_other() {
    let (authority, other) = (Authority::new(), Authority::new());
    let node = node(authority.server("localhost", false, &rustls::version::TLS13)).await;
    let client = connect(&node, TlsOptions::ca_file(authority.ca_file())).await.unwrap();
    assert!(client.list_destinations("", None, 10).await.unwrap().is_empty());
    let error = connect(&node, TlsOptions::ca_file(other.ca_file())).await.unwrap_err();
    assert!(matches!(&error, Error::Connect { .. }), "{error}");
}

#[tokio::test]
async fn a_node_must_have_the_name_that_is_asked_for() {
    let authority = Authority::new();
    let node = node(authority.server("node-1.example", false, &rustls::version::TLS13)).await;
    let tls = TlsOptions::ca_file(authority.ca_file());
    assert!(connect(&node, tls.clone()).await.is_err());
    connect(&node, tls.server_name("node-1.example")).await.unwrap();
}

#[tokio::test]
async fn a_client_shows_its_certificate() {
    let authority = Authority::new();
    let node = node(authority.server("localhost", true, &rustls::version::TLS13)).await;
    let (certificate, key) = authority.issue("billing");
    let tls = TlsOptions::ca_file(authority.ca_file());
    let client = connect(&node, tls.clone().client_certificate(certificate, key)).await.unwrap();
    assert!(client.list_destinations("", None, 10).await.unwrap().is_empty());
    assert!(connect(&node, tls).await.is_err(), "without one it is not let in");
}

#[tokio::test]
async fn nothing_older_than_tls_1_3_is_spoken() {
    let authority = Authority::new();
    let node = node(authority.server("localhost", false, &rustls::version::TLS12)).await;
    assert!(connect(&node, TlsOptions::ca_file(authority.ca_file())).await.is_err());
}

#[tokio::test]
async fn files_that_cannot_be_used_are_named() {
    let authority = Authority::new();
    let node = node(authority.server("localhost", false, &rustls::version::TLS13)).await;
    for (tls, expected) in
        [(TlsOptions::default(), "no CA file"), (TlsOptions::ca_file("/nowhere/ca.pem"), "/nowhere/ca.pem")]
    {
        let error = connect(&node, tls).await.unwrap_err();
        assert!(matches!(&error, Error::Tls { .. }), "{error}");
        assert!(error.to_string().contains(expected), "{error}");
    }
    let empty = authority.folder.path().join("empty.pem");
    std::fs::write(&empty, "").unwrap();
    let error = connect(&node, TlsOptions::ca_file(&empty)).await.unwrap_err();
    assert!(error.to_string().contains("no certificate"), "{error}");
}
