//! TLS, and certificates of clients.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, date_time_ymd};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use swarmmq_node::config::parse;
use swarmmq_node::native::NativeOptions;
use swarmmq_node::security::{Tls, TlsError, TlsFiles};
use swarmmq_protocol::ErrorCode;
use swarmmq_protocol::native::Frame;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::fake::{FakeShards, Node};
use crate::peer::{Client, destination, encoded, hello, hello_with, put};

const API_KEYS: &str =
    "api_keys: [{ name: ada, sha256: 2c70e12b7a0646f92279f427c7b38e7334d8e5389cff167a1dc30e73f826b683 }]";

/// An authority and what it has signed, in files.
struct Authority {
    folder: tempfile::TempDir,
    issuer: CertifiedIssuer<'static, KeyPair>,
}

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, "the authority");
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let authority = Self { folder: tempfile::tempdir().unwrap(), issuer };
        std::fs::write(authority.path("ca.pem"), authority.issuer.pem()).unwrap();
        authority
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Signs a certificate of `name`; its files are `name.pem` and `name.key`.
    fn sign(&self, name: &str, change: impl FnOnce(&mut CertificateParams)) {
        let mut params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        change(&mut params);
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        std::fs::write(self.path(&format!("{name}.pem")), certificate.pem()).unwrap();
        std::fs::write(self.path(&format!("{name}.key")), key.serialize_pem()).unwrap();
    }

    fn files(&self) -> TlsFiles {
        TlsFiles {
            certificate: self.path("node.pem"),
            key: self.path("node.key"),
            client_ca: None,
            client_certificate_is_optional: false,
        }
    }

    /// A node whose clients must be known by certificate, or else by what `security` says.
    fn node(&self, with_client_ca: bool, security: &str) -> Node {
        self.sign("node", |_| ());
        let client_ca =
            if with_client_ca { format!("client_ca: {:?},", self.path("ca.pem")) } else { String::new() };
        let text = format!(
            "security: {{ tls_cert: {:?}, tls_key: {:?}, {client_ca} {security} }}",
            self.path("node.pem"),
            self.path("node.key")
        );
        let config = parse(&text).unwrap();
        let tls = Tls::load(TlsFiles::of(&config.security).unwrap()).unwrap();
        Node::secure(NativeOptions::default(), FakeShards::answering(), &config, Some(Arc::new(tls)))
    }

    fn client(
        &self,
        certificate: Option<&str>,
        versions: &[&'static rustls::SupportedProtocolVersion],
    ) -> TlsConnector {
        let mut roots = RootCertStore::empty();
        roots.add(self.issuer.der().clone()).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(versions)
            .unwrap()
            .with_root_certificates(roots);
        let config = match certificate {
            None => builder.with_no_client_auth(),
            Some(name) => {
                let chain = CertificateDer::from_pem_file(self.path(&format!("{name}.pem"))).unwrap();
                let key = PrivateKeyDer::from_pem_file(self.path(&format!("{name}.key"))).unwrap();
                builder.with_client_auth_cert(vec![chain], key).unwrap()
            }
        };
        TlsConnector::from(Arc::new(config))
    }

    async fn connect(
        &self,
        node: &Node,
        certificate: Option<&str>,
    ) -> std::io::Result<Client<TlsStream<DuplexStream>>> {
        let connector = self.client(certificate, &[&rustls::version::TLS13]);
        let name = ServerName::try_from("localhost").unwrap();
        Ok(Client::new(connector.connect(name, node.connect_from("10.0.0.1:1", 1 << 14)).await?))
    }
}

#[tokio::test]
async fn a_client_is_served_over_tls_by_its_key() {
    let authority = Authority::new();
    let node = authority.node(false, API_KEYS);
    let mut client = authority.connect(&node, None).await.unwrap();
    client.send(0, hello_with("key")).await;
    assert!(matches!(client.receive().await, Some((0, Frame::Welcome(_)))));
    client.request(1, put(300_000)).await;
    assert_eq!(client.reply().await.0, 1);
    let mut stranger = authority.connect(&node, None).await.unwrap();
    stranger.send(0, Frame::Hello(hello())).await;
    assert_eq!(stranger.goodbye().await.code, ErrorCode::Unauthenticated);
}

#[tokio::test]
async fn a_client_is_known_by_its_certificate_and_has_its_rights() {
    let authority = Authority::new();
    let node = authority.node(true, "permissions: [{ who: grace, destinations: a, allow: [produce] }]");
    authority.sign("grace", |_| ());
    let mut client = authority.connect(&node, Some("grace")).await.unwrap();
    client.send(0, Frame::Hello(hello())).await;
    assert!(matches!(client.receive().await, Some((0, Frame::Welcome(_)))));
    client.request(1, put(100)).await;
    assert_eq!(client.reply().await.0, 1);
    let mut elsewhere = put(100);
    if let swarmmq_protocol::Request::Put(put) = &mut elsewhere {
        put.destination = destination("payroll");
    }
    client.request(2, elsewhere).await;
    let error = client.error(2).await;
    assert_eq!(error.explanation, "user grace may not produce to payroll");
}

#[tokio::test]
async fn without_a_certificate_of_the_authority_nobody_gets_as_far_as_a_hello() {
    let authority = Authority::new();
    let node = authority.node(true, "");
    let other = Authority::new();
    other.sign("mallory", |_| ());
    for file in ["mallory.pem", "mallory.key"] {
        std::fs::copy(other.path(file), authority.path(file)).unwrap();
    }
    authority.sign("late", |params| params.not_after = date_time_ymd(2020, 1, 1));
    for certificate in [None, Some("mallory"), Some("late")] {
        // In TLS 1.3 the client hears of it with its first read.
        if let Ok(mut client) = authority.connect(&node, certificate).await {
            let _sent = client.stream.write_all(&encoded(0, &Frame::Hello(hello()))).await;
            let _sent = client.stream.flush().await;
            assert!(client.stream.read_u8().await.is_err(), "{certificate:?}");
        }
    }
    node.shared.emptied().await;
    assert_eq!(node.gate.refusals().total(), 3);
    assert_eq!(node.shared.counters().refused_total("tls_handshake"), 3);
}

#[tokio::test]
async fn a_certificate_is_optional_where_a_key_will_do() {
    let authority = Authority::new();
    let node = authority.node(true, API_KEYS);
    let mut client = authority.connect(&node, None).await.unwrap();
    client.send(0, hello_with("key")).await;
    assert!(matches!(client.receive().await, Some((0, Frame::Welcome(_)))));
    let mut stranger = authority.connect(&node, None).await.unwrap();
    stranger.send(0, Frame::Hello(hello())).await;
    assert_eq!(stranger.goodbye().await.code, ErrorCode::Unauthenticated);
}

#[tokio::test]
async fn tls_1_2_is_refused() {
    let authority = Authority::new();
    let node = authority.node(false, API_KEYS);
    let connector = authority.client(None, &[&rustls::version::TLS12]);
    let name = ServerName::try_from("localhost").unwrap();
    assert!(connector.connect(name, node.connect(1 << 14)).await.is_err());
}

#[tokio::test]
async fn what_is_not_tls_is_told_so_in_the_clear() {
    let authority = Authority::new();
    let node = authority.node(false, API_KEYS);
    for (bytes, reason, text) in [
        (&encoded(0, &hello_with("key"))[..], "native", "without TLS"),
        (b"GET / HTTP/1.1\r\n\r\n", "http", "looks like HTTP"),
    ] {
        let mut client = Client::new(node.connect(1 << 14));
        client.send_bytes(bytes).await;
        let error = client.goodbye().await;
        assert!(error.explanation.contains(text), "{}", error.explanation);
        drop(client);
        node.shared.emptied().await;
        assert_eq!(node.shared.counters().refused_total(reason), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn a_tls_handshake_has_no_more_time_and_bytes_than_any() {
    let authority = Authority::new();
    let node = authority.node(false, API_KEYS);
    let mut silent = node.connect(1 << 14);
    let start = tokio::time::Instant::now();
    silent.write_all(&[0x16, 0x03, 0x01, 0x02, 0x00]).await.unwrap();
    assert_eq!(silent.read(&mut [0; 64]).await.unwrap_or(0), 0);
    assert_eq!(start.elapsed(), Duration::from_secs(5));
    // A ClientHello that goes on for ever, in records of 16 KiB.
    let mut talker = node.connect(1 << 20);
    let mut record = vec![0x16, 0x03, 0x01, 0x40, 0x00, 0x01, 0x00, 0xff, 0xff];
    record.resize(5 + 0x4000, 0);
    let start = tokio::time::Instant::now();
    for _ in 0..8 {
        let _refused = talker.write_all(&record).await;
    }
    let _refused = talker.read(&mut [0; 64]).await;
    assert!(start.elapsed() < Duration::from_secs(1), "it was cut off for its bytes, and not for its time");
    node.shared.emptied().await;
}

#[test]
fn every_file_that_is_wrong_is_named() {
    let authority = Authority::new();
    authority.sign("node", |_| ());
    authority.sign("other", |_| ());
    authority.sign("late", |params| params.not_after = date_time_ymd(2020, 1, 1));
    authority.sign("early", |params| params.not_before = date_time_ymd(4000, 1, 1));
    std::fs::write(authority.path("empty.pem"), "").unwrap();
    let load = |change: &dyn Fn(&mut TlsFiles)| {
        let mut files = authority.files();
        change(&mut files);
        Tls::load(files).map(drop)
    };
    load(&|_| ()).unwrap();
    let names = |error: &TlsError, file: &str| assert!(error.to_string().contains(file), "{error}");
    let at = |name: &str| authority.path(name);

    let error = load(&|files| files.certificate = at("missing.pem")).unwrap_err();
    assert!(matches!(error, TlsError::Unreadable { .. }));
    names(&error, "missing.pem");
    let error = load(&|files| files.key = at("missing.key")).unwrap_err();
    names(&error, "missing.key");
    let error = load(&|files| files.certificate = at("empty.pem")).unwrap_err();
    assert!(matches!(error, TlsError::NotPem { .. }));
    names(&error, "empty.pem");
    let error = load(&|files| files.key = at("node.pem")).unwrap_err();
    assert!(matches!(error, TlsError::NotPem { expected: "private key", .. }), "{error}");
    let error = load(&|files| files.key = at("other.key")).unwrap_err();
    assert!(matches!(error, TlsError::Mismatch { .. }), "{error}");
    names(&error, "other.key");
    for (name, text) in [("late", "expired"), ("early", "not valid before")] {
        let error = load(&|files| {
            files.certificate = at(&format!("{name}.pem"));
            files.key = at(&format!("{name}.key"));
        })
        .unwrap_err();
        assert!(error.to_string().contains(text), "{error}");
    }
    let error = load(&|files| files.client_ca = Some(at("empty.pem"))).unwrap_err();
    names(&error, "empty.pem");
}

#[tokio::test]
async fn certificates_are_read_again_while_the_node_serves() {
    let authority = Authority::new();
    authority.sign("node", |_| ());
    let tls = Arc::new(Tls::load(authority.files()).unwrap());
    let config = parse(&format!("security: {{ {API_KEYS} }}")).unwrap();
    let node = Node::secure(NativeOptions::default(), FakeShards::answering(), &config, Some(tls.clone()));
    let shown = |stream: &TlsStream<DuplexStream>| stream.get_ref().1.peer_certificates().unwrap()[0].clone();
    let before = shown(&authority.connect(&node, None).await.unwrap().stream);
    std::fs::write(authority.path("node.pem"), "").unwrap();
    assert!(tls.reload().is_err());
    assert_eq!(
        shown(&authority.connect(&node, None).await.unwrap().stream),
        before,
        "everything stays as it was"
    );
    authority.sign("node", |_| ());
    tls.reload().unwrap();
    assert_ne!(shown(&authority.connect(&node, None).await.unwrap().stream), before);
}
