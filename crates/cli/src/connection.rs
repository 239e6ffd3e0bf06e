//! The options that every verb which talks to a node has in common.

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use swarmmq::{Client, ClientOptions, TlsOptions};

use crate::console::Console;
use crate::failure::{Exit, Failure};
use crate::quantity::duration;

/// Time for a request unless `--timeout` says otherwise.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);
/// Longest time for one address to answer: who waits longer for a TCP handshake waits for nothing.
const CONNECT_TIMEOUT_MAX: Duration = Duration::from_secs(5);

/// Where the node is, and who we are.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Connection")]
pub(crate) struct Connection {
    /// Address of a node; several are tried in turn
    #[arg(
        long = "node",
        value_name = "HOST:PORT",
        env = "SWARMMQ_NODE",
        default_value = "localhost:9001",
        value_delimiter = ','
    )]
    nodes: Vec<String>,

    /// API key; others on this machine can read command lines, so prefer the variable or the file
    #[arg(
        long,
        value_name = "KEY",
        env = "SWARMMQ_API_KEY",
        hide_env_values = true,
        conflicts_with = "api_key_file"
    )]
    api_key: Option<String>,

    /// File that holds the API key
    #[arg(long, value_name = "FILE", env = "SWARMMQ_API_KEY_FILE")]
    api_key_file: Option<PathBuf>,

    /// Certificates (PEM) that vouch for the node; switches TLS on
    #[arg(long, value_name = "FILE", env = "SWARMMQ_TLS_CA")]
    tls_ca: Option<PathBuf>,

    /// Our certificate (PEM), where the node asks for one
    #[arg(long, value_name = "FILE", env = "SWARMMQ_TLS_CERT", requires = "tls_ca", requires = "tls_key")]
    tls_cert: Option<PathBuf>,

    /// Our private key (PEM)
    #[arg(long, value_name = "FILE", env = "SWARMMQ_TLS_KEY", requires = "tls_cert")]
    tls_key: Option<PathBuf>,

    /// Name that the node's certificate must have, if it is not the host of --node
    #[arg(long, value_name = "NAME", requires = "tls_ca")]
    tls_name: Option<String>,

    /// Give up after this long: a request, or in `consume` the wait for the next message
    /// [default: 30s, consume: 5s]
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    timeout: Option<Duration>,
}

impl Connection {
    /// What `--timeout` says.
    pub(crate) fn timeout(&self) -> Option<Duration> {
        self.timeout
    }

    /// Connects to the first node that answers.
    pub(crate) async fn connect(&self, console: &Console) -> Result<Client, Failure> {
        self.connect_with(console, self.timeout).await
    }

    /// As [`Self::connect`], for a verb that gives `--timeout` another meaning.
    pub(crate) async fn connect_with(
        &self,
        console: &Console,
        timeout: Option<Duration>,
    ) -> Result<Client, Failure> {
        let options = self.options(timeout)?;
        if self.tls_ca.is_none() && self.has_key() && !self.nodes.iter().all(|node| is_loopback(node)) {
            console.warn("the API key is readable on the way to the node: switch TLS on with --tls-ca");
        }
        Ok(options.connect().await?)
    }

    fn has_key(&self) -> bool {
        self.api_key.is_some() || self.api_key_file.is_some()
    }

    fn options(&self, timeout: Option<Duration>) -> Result<ClientOptions, Failure> {
        let timeout = timeout.unwrap_or(REQUEST_TIMEOUT);
        let mut options = Client::builder()
            .name(concat!("swarmmq-cli/", env!("CARGO_PKG_VERSION")))
            .request_timeout(timeout)
            .connect_timeout(timeout.min(CONNECT_TIMEOUT_MAX));
        for node in &self.nodes {
            options = options.address(node);
        }
        if let Some(key) = self.key()? {
            options = options.api_key(key);
        }
        if let Some(ca) = &self.tls_ca {
            let mut tls = TlsOptions::ca_file(ca);
            if let (Some(certificate), Some(key)) = (&self.tls_cert, &self.tls_key) {
                tls = tls.client_certificate(certificate, key);
            }
            if let Some(name) = &self.tls_name {
                tls = tls.server_name(name);
            }
            options = options.tls(tls);
        }
        options.validate().map_err(|error| Failure::usage(format!("--node, --api-key: {error}")))?;
        Ok(options)
    }

    fn key(&self) -> Result<Option<Vec<u8>>, Failure> {
        match (&self.api_key, &self.api_key_file) {
            (Some(key), _) => Ok(Some(key.clone().into_bytes())),
            (None, Some(file)) => key_of(file).map(Some),
            (None, None) => Ok(None),
        }
    }
}

/// The key that a file holds, without the line break that editors put behind it.
fn key_of(file: &Path) -> Result<Vec<u8>, Failure> {
    let text = std::fs::read(file).map_err(|error| {
        Failure::new(Exit::Usage, format!("cannot read the API key from {}: {error}", file.display()))
    })?;
    let key = text.trim_ascii();
    if key.is_empty() {
        return Err(Failure::usage(format!("{}: there is no API key in it", file.display())));
    }
    Ok(key.to_vec())
}

/// Whether what goes to `node` stays on this machine.
fn is_loopback(node: &str) -> bool {
    let host = node.rsplit_once(':').map_or(node, |(host, _)| host);
    let host = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loopback_is_told_from_the_network() {
        for node in ["localhost:9001", "127.0.0.1:1", "127.3.4.5:1", "[::1]:9001"] {
            assert!(is_loopback(node), "{node}");
        }
        for node in ["10.0.0.1:9001", "node-1:9001", "[fe80::1]:9001"] {
            assert!(!is_loopback(node), "{node}");
        }
    }

    #[test]
    fn a_key_file_ends_with_a_line_break() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "s3cret\n").unwrap();
        assert_eq!(key_of(file.path()).unwrap(), b"s3cret");
        std::fs::write(file.path(), " \n").unwrap();
        assert_eq!(key_of(file.path()).unwrap_err().exit, Exit::Usage);
    }
}
