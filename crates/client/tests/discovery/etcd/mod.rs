//! A real etcd of a test's own, and what is to hold with one.

mod authenticated;
mod outage;

use std::ffi::OsString;
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use swarmmq::discovery::{Discovery, EtcdDiscovery, EtcdOptions};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::conformance::keeps_what_it_promises;
use crate::{instance, within};

fn program() -> OsString {
    std::env::var_os("ETCD_BIN").unwrap_or_else(|| "etcd".into())
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// An etcd, with a data directory that outlives its process.
pub(crate) struct Etcd {
    folder: TempDir,
    client_port: u16,
    peer_port: u16,
    name: String,
    /// The members of its cluster, as etcd wants them.
    cluster: String,
    process: Option<Child>,
}

impl Etcd {
    pub(crate) async fn start() -> Self {
        let mut etcd = Self::alone("one");
        etcd.spawn("http", &[]);
        etcd.answers().await;
        etcd
    }

    /// Three members of one cluster.
    pub(crate) async fn start_cluster() -> Vec<Self> {
        let mut members: Vec<Self> = ["one", "two", "three"].map(Self::alone).into();
        let cluster = members.iter().map(|one| one.cluster.clone()).collect::<Vec<_>>().join(",");
        for member in &mut members {
            member.cluster.clone_from(&cluster);
            member.spawn("http", &[]);
        }
        for member in &members {
            member.answers().await;
        }
        members
    }

    fn alone(name: &str) -> Self {
        let peer_port = free_port();
        Self {
            folder: tempfile::tempdir().unwrap(),
            client_port: free_port(),
            peer_port,
            name: name.into(),
            cluster: format!("{name}=http://127.0.0.1:{peer_port}"),
            process: None,
        }
    }

    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn port(&self) -> u16 {
        self.client_port
    }

    /// Starts the process again on the data it has.
    pub(crate) fn spawn(&mut self, scheme: &str, more: &[&str]) {
        let client = format!("{scheme}://127.0.0.1:{}", self.client_port);
        let peer = format!("http://127.0.0.1:{}", self.peer_port);
        let spawned = Command::new(program())
            .args(["--name", &self.name, "--initial-cluster", &self.cluster, "--data-dir"])
            .arg(self.folder.path().join("data"))
            .args(["--listen-client-urls", &client, "--advertise-client-urls", &client])
            .args(["--listen-peer-urls", &peer, "--initial-advertise-peer-urls", &peer])
            // Elections in a tenth of a second, and with them leases of as little as one.
            .args(["--heartbeat-interval", "10", "--election-timeout", "100"])
            .args(more)
            .stdout(Stdio::null())
            .stderr(std::fs::File::create(self.folder.path().join("log")).unwrap())
            .spawn();
        self.process = Some(spawned.unwrap_or_else(|error| {
            panic!(
                "cannot start {:?}, which these tests need: {error}. Install etcd-server, or set ETCD_BIN",
                program()
            )
        }));
    }

    /// Waits until it answers, without TLS.
    pub(crate) async fn answers(&self) {
        let registry = self.registry();
        within("etcd answers", async {
            while registry.list(None).await.is_err() {
                // sleep: between two looks at the condition, with a deadline.
                tokio::time::sleep(std::time::Duration::from_millis(20)).await;
            }
        })
        .await;
    }

    pub(crate) async fn start_again(&mut self) {
        self.spawn("http", &[]);
        self.answers().await;
    }

    /// As a power cut does to a process.
    pub(crate) fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.kill().unwrap();
            process.wait().unwrap();
        }
    }

    pub(crate) fn options(&self) -> EtcdOptions {
        EtcdOptions::default().endpoint(format!("http://127.0.0.1:{}", self.client_port))
    }

    /// A registry of its own on this etcd.
    pub(crate) fn registry(&self) -> Arc<dyn Discovery> {
        Arc::new(EtcdDiscovery::new(&self.options()).unwrap())
    }

    /// Posts to the gateway, by hand.
    pub(crate) async fn post(&self, path: &str, body: &str) -> String {
        let mut stream = TcpStream::connect(("127.0.0.1", self.client_port)).await.unwrap();
        let length = body.len();
        let request = format!(
            "POST {path} HTTP/1.1\r\nHost: etcd\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n{body}"
        );
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 200"), "{path}: {answer}");
        answer
    }

    /// Forgets the history before now.
    pub(crate) async fn compact(&self) {
        let answer = self.post("/v3/kv/range", r#"{"key":"YQ=="}"#).await;
        let (_, rest) = answer.split_once(r#""revision":""#).unwrap();
        let (revision, _) = rest.split_once('"').unwrap();
        self.post("/v3/kv/compaction", &format!(r#"{{"revision":"{revision}"}}"#)).await;
    }
}

impl Drop for Etcd {
    fn drop(&mut self) {
        self.kill();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn etcd_keeps_what_a_registry_promises() {
    let etcd = Etcd::start().await;
    keeps_what_it_promises(etcd.registry(), etcd.registry()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_leaves_does_not_take_its_successor_along() {
    let etcd = Etcd::start().await;
    let (old, new) = (etcd.registry(), etcd.registry());
    old.announce(&instance("worker/a")).await.unwrap();
    new.announce(&instance("worker/a")).await.unwrap();
    old.withdraw(&"worker/a".parse().unwrap()).await.unwrap();
    assert_eq!(new.list(None).await.unwrap().len(), 1);
    new.withdraw(&"worker/a".parse().unwrap()).await.unwrap();
    assert!(new.list(None).await.unwrap().is_empty());
}
