//! `swarmmq health`: for people, and for the health checks of containers.

mod answer;

use std::io::{self, ErrorKind, Read, Write};
use std::net::{TcpStream, ToSocketAddrs as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

use self::answer::Answer;
use crate::console::Console;
use crate::failure::Failure;
use crate::quantity::duration;

/// More than any node says of its health.
const ANSWER_BYTES_MAX: u64 = 64 * 1024;

/// Ask a node over HTTP whether it takes requests; exits with 0 if it does and with 1 if not
#[derive(Debug, Args)]
#[command(after_help = "\
EXAMPLES:
  swarmmq health
  swarmmq health --http 10.0.0.5:8080 --timeout 1s
  swarmmq health --http https://node-1:8080 --tls-ca ca.pem

Container runtimes know two answers, so that a node which cannot be reached exits with 1 as well.")]
pub(crate) struct Health {
    /// Address of the node's HTTP listener; https:// in front of it needs --tls-ca
    #[arg(long, value_name = "HOST:PORT", env = "SWARMMQ_HTTP", default_value = "127.0.0.1:8080")]
    http: String,

    /// Certificates (PEM) that vouch for the node
    #[arg(long, value_name = "FILE", env = "SWARMMQ_TLS_CA")]
    tls_ca: Option<PathBuf>,

    /// Name that the node's certificate must have, if it is not the host of --http
    #[arg(long, value_name = "NAME")]
    tls_name: Option<String>,

    /// Give up after this long
    #[arg(long, value_name = "DURATION", value_parser = duration, default_value = "2s")]
    timeout: Duration,
}

impl Health {
    pub(crate) fn run(self, console: Console) -> Result<(), Failure> {
        let target = self.http.trim_end_matches('/');
        let (has_tls, address) = match target.strip_prefix("https://") {
            Some(address) => (true, address),
            None => (false, target.strip_prefix("http://").unwrap_or(target)),
        };
        let tls = if has_tls { Some(self.tls(address)?) } else { None };
        let bytes = self.ask(address, tls).map_err(|error| unreachable(address, &error))?;
        let answer = Answer::parse(&bytes).ok_or_else(|| {
            Failure::failed(format!("{address} answers with something that is not HTTP")).hint(
                "give the address of the node's HTTP listener with --http, and https:// if it speaks TLS",
            )
        })?;
        if answer.status != 200 {
            return Err(Failure::failed(format!("{address} is not healthy: {}", answer.reasons())));
        }
        let state = serde_json::json!({ "http": address, "healthy": true, "report": answer.report });
        let healthy = console.paint.good("healthy");
        let text = match answer.degraded() {
            Some(degraded) => format!("{healthy} {address}, but {degraded}"),
            None => format!("{healthy} {address}"),
        };
        console.done(text, &state)
    }

    fn ask(&self, address: &str, tls: Option<ClientConnection>) -> io::Result<Vec<u8>> {
        let mut last = io::Error::new(ErrorKind::InvalidInput, "the name has no address");
        for candidate in address.to_socket_addrs()? {
            match TcpStream::connect_timeout(&candidate, self.timeout) {
                Ok(stream) => {
                    stream.set_read_timeout(Some(self.timeout))?;
                    stream.set_write_timeout(Some(self.timeout))?;
                    return match tls {
                        Some(tls) => exchange(StreamOwned::new(tls, stream), address),
                        None => exchange(stream, address),
                    };
                }
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    fn tls(&self, address: &str) -> Result<ClientConnection, Failure> {
        let file = self.tls_ca.as_deref().ok_or_else(|| {
            Failure::usage("https:// needs the certificates that vouch for the node")
                .hint("give --tls-ca FILE")
        })?;
        let config = ClientConfig::builder().with_root_certificates(roots(file)?).with_no_client_auth();
        let host = address.rsplit_once(':').map_or(address, |(host, _)| host);
        let name = self.tls_name.as_deref().unwrap_or(host.trim_start_matches('[').trim_end_matches(']'));
        let name = ServerName::try_from(name.to_owned())
            .map_err(|error| Failure::usage(format!("{name} is not a name of a certificate: {error}")))?;
        ClientConnection::new(Arc::new(config), name)
            .map_err(|error| Failure::failed(format!("TLS cannot be used: {error}")))
    }
}

fn roots(file: &Path) -> Result<RootCertStore, Failure> {
    let wrong = |error: &dyn std::fmt::Display| Failure::usage(format!("{}: {error}", file.display()));
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(file).map_err(|error| wrong(&error))? {
        let certificate = certificate.map_err(|error| wrong(&error))?;
        roots.add(certificate).map_err(|error| wrong(&error))?;
    }
    if roots.is_empty() {
        return Err(wrong(&"there is no certificate in it"));
    }
    Ok(roots)
}

fn exchange(mut stream: impl Read + Write, address: &str) -> io::Result<Vec<u8>> {
    let request = format!("GET /health HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes())?;
    let mut answer = Vec::new();
    match stream.take(ANSWER_BYTES_MAX).read_to_end(&mut answer) {
        // Some peers end TLS without saying so; what came has to speak for itself.
        Err(error) if error.kind() != ErrorKind::UnexpectedEof => Err(error),
        _ => Ok(answer),
    }
}

fn unreachable(address: &str, error: &io::Error) -> Failure {
    let failure = Failure::failed(format!("{address} does not answer over HTTP: {error}"));
    failure.hint(match error.kind() {
        ErrorKind::ConnectionRefused => "is a node running there? start one with: swarmmq node",
        _ => "give the address of the node's HTTP listener with --http",
    })
}
