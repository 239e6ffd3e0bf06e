//! An etcd that asks who one is.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DistinguishedName, DnType, ExtendedKeyUsagePurpose,
    IsCa, KeyPair,
};
use swarmmq::TlsOptions;
use swarmmq::discovery::{
    Discovery, DiscoveryError, EtcdDiscovery, EtcdOptions, Registration, RegistrationOptions,
};

use super::Etcd;
use crate::{instance, until_ids, view, within};

/// Writes a CA, and certificates signed by it for a server and a client, into the folder of `etcd`.
fn certificates(etcd: &Etcd) {
    let write = |name: &str, text: String| std::fs::write(etcd.folder().join(name), text).unwrap();
    let mut params = CertificateParams::new(Vec::<String>::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.distinguished_name.push(DnType::CommonName, "ca");
    let ca = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
    write("ca.pem", ca.pem());
    let (serves, connects) = (ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth);
    // The gateway of etcd connects to etcd itself, by the server's certificate.
    for (name, usages) in [("server", vec![serves, connects.clone()]), ("client", vec![connects])] {
        let mut params =
            CertificateParams::new(vec!["127.0.0.1".to_owned(), "localhost".to_owned()]).unwrap();
        params.extended_key_usages = usages;
        // With users, etcd's gateway wants no common name in a client's certificate.
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::OrganizationName, name);
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &ca).unwrap();
        write(&format!("{name}.pem"), certificate.pem());
        write(&format!("{name}.key"), key.serialize_pem());
    }
}

/// A user `events` who may use the keys of services, and nothing else.
async fn users(etcd: &Etcd) {
    let post = |path: &'static str, body: String| async move { etcd.post(path, &body).await };
    post("/v3/auth/user/add", r#"{"name":"root","password":"root"}"#.into()).await;
    post("/v3/auth/role/add", r#"{"name":"root"}"#.into()).await;
    post("/v3/auth/user/grant", r#"{"user":"root","role":"root"}"#.into()).await;
    post("/v3/auth/user/add", r#"{"name":"events","password":"s3cret"}"#.into()).await;
    post("/v3/auth/role/add", r#"{"name":"services"}"#.into()).await;
    let (key, end) = (STANDARD.encode("/services/"), STANDARD.encode("/services0"));
    let permission = format!(
        r#"{{"name":"services","perm":{{"permType":"READWRITE","key":"{key}","range_end":"{end}"}}}}"#
    );
    post("/v3/auth/role/grant", permission).await;
    post("/v3/auth/user/grant", r#"{"user":"events","role":"services"}"#.into()).await;
    post("/v3/auth/enable", "{}".into()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn etcd_asks_for_a_certificate_and_a_password_and_forgets_its_tokens() {
    let mut etcd = Etcd::start().await;
    certificates(&etcd);
    users(&etcd).await;
    etcd.kill();
    let folder = etcd.folder().to_owned();
    let file = |name: &str| folder.join(name).display().to_string();
    let (certificate, key, ca) = (file("server.pem"), file("server.key"), file("ca.pem"));
    let files = ["--cert-file", &certificate, "--key-file", &key, "--trusted-ca-file", &ca];
    // Tokens of a second: a registration outlives several of them.
    let more = [&files[..], &["--client-cert-auth", "--auth-token-ttl", "1"]].concat();
    etcd.spawn("https", &more);

    let endpoint = format!("https://127.0.0.1:{}", etcd.port());
    let tls = TlsOptions::ca_file(file("ca.pem")).client_certificate(file("client.pem"), file("client.key"));
    let options = EtcdOptions::default().endpoint(&endpoint).tls(tls.clone()).user("events", "s3cret");
    let registry: Arc<dyn Discovery> = Arc::new(EtcdDiscovery::new(&options).unwrap());
    let registration =
        Registration::start(registry.clone(), instance("worker/a"), RegistrationOptions::default()).unwrap();
    within("registered", registration.registered()).await;
    let view = view(&registry, "worker");
    until_ids(&view, &["a"]).await;
    // A lease of two seconds that is not renewed runs out: by then the token has, too, and the other is still there.
    registry.announce(&instance("worker/b")).await.unwrap();
    until_ids(&view, &["a", "b"]).await;
    until_ids(&view, &["a"]).await;
    registry.announce(&instance("worker/c")).await.unwrap();

    let refused = |options: EtcdOptions| async move {
        EtcdDiscovery::new(&options).unwrap().list(None).await.unwrap_err()
    };
    let wrong = options.clone().user("events", "guess");
    assert!(matches!(refused(wrong).await, DiscoveryError::Refused(_)));
    let nobody = EtcdOptions::default().endpoint(&endpoint).tls(tls);
    assert!(matches!(refused(nobody).await, DiscoveryError::Refused(_)));
    let no_certificate = options.tls(TlsOptions::ca_file(file("ca.pem")));
    assert!(matches!(refused(no_certificate).await, DiscoveryError::Away(_)));
    let no_trust = EtcdDiscovery::new(&EtcdOptions::default().endpoint(&endpoint));
    assert!(matches!(no_trust.unwrap_err(), DiscoveryError::Options { option: "tls", .. }));
}
