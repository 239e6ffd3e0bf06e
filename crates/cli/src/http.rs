//! Asking a node over HTTP.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{TcpStream, ToSocketAddrs as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use serde_json::Value;

use crate::failure::Failure;
use crate::quantity::duration;

/// More than any node says in one answer.
const ANSWER_BYTES_MAX: u64 = 16 * 1024 * 1024;

/// Which node to ask, and how.
#[derive(Debug, Args)]
pub(crate) struct HttpTarget {
    /// Address of the node's HTTP listener; https:// in front of it needs --tls-ca
    #[arg(long, value_name = "HOST:PORT", env = "SWARMMQ_HTTP", default_value = "127.0.0.1:8080")]
    http: String,

    /// Certificates (PEM) that vouch for the node
    #[arg(long, value_name = "FILE", env = "SWARMMQ_TLS_CA")]
    tls_ca: Option<PathBuf>,

    /// Name that the node's certificate must have, if it is not the host of --http
    #[arg(long, value_name = "NAME")]
    tls_name: Option<String>,

    /// API key, where the node asks for one
    #[arg(long, value_name = "KEY", env = "SWARMMQ_API_KEY", hide_env_values = true)]
    api_key: Option<String>,

    /// Give up after this long
    #[arg(long, value_name = "DURATION", value_parser = duration, default_value = "2s")]
    timeout: Duration,
}

/// An answer over HTTP.
#[derive(Debug, PartialEq)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// The body, if it is JSON.
    pub(crate) body: Value,
}

impl Answer {
    fn parse(bytes: &[u8]) -> Option<Self> {
        let end = bytes.windows(4).position(|window| window == b"\r\n\r\n")?;
        let (head, body) = bytes.split_at_checked(end)?;
        let mut words = std::str::from_utf8(head).ok()?.lines().next()?.split(' ');
        let status = words.next()?.starts_with("HTTP/1.").then(|| words.next())??.parse().ok()?;
        let body = serde_json::from_slice(body.get(4..)?).unwrap_or(Value::Null);
        Some(Self { status, body })
    }

    /// Why a request was refused, in the node's words.
    pub(crate) fn explanation(&self) -> Option<&str> {
        self.body.get("error")?.get("explanation")?.as_str()
    }
}

impl HttpTarget {
    fn scheme_and_address(&self) -> (bool, &str) {
        let target = self.http.trim_end_matches('/');
        match target.strip_prefix("https://") {
            Some(address) => (true, address),
            None => (false, target.strip_prefix("http://").unwrap_or(target)),
        }
    }

    /// The node's address, as it was given.
    pub(crate) fn address(&self) -> &str {
        self.scheme_and_address().1
    }

    /// Asks for a path, and returns what the node answers, whatever its status.
    pub(crate) fn get(&self, path: &str) -> Result<Answer, Failure> {
        let (has_tls, address) = self.scheme_and_address();
        let tls = if has_tls { Some(self.tls(address)?) } else { None };
        let key = self.api_key.as_ref();
        let authorization = key.map(|key| format!("Authorization: Bearer {key}\r\n")).unwrap_or_default();
        let request =
            format!("GET {path} HTTP/1.1\r\nHost: {address}\r\n{authorization}Connection: close\r\n\r\n");
        let bytes = self.ask(address, tls, &request).map_err(|error| unreachable(address, &error))?;
        Answer::parse(&bytes).ok_or_else(|| {
            Failure::failed(format!("{address} answers with something that is not HTTP")).hint(
                "give the address of the node's HTTP listener with --http, and https:// if it speaks TLS",
            )
        })
    }

    fn ask(&self, address: &str, tls: Option<ClientConnection>, request: &str) -> io::Result<Vec<u8>> {
        let mut last = io::Error::new(ErrorKind::InvalidInput, "the name has no address");
        for candidate in address.to_socket_addrs()? {
            match TcpStream::connect_timeout(&candidate, self.timeout) {
                Ok(stream) => {
                    stream.set_read_timeout(Some(self.timeout))?;
                    stream.set_write_timeout(Some(self.timeout))?;
                    return match tls {
                        Some(tls) => exchange(StreamOwned::new(tls, stream), request),
                        None => exchange(stream, request),
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

fn exchange(mut stream: impl Read + Write, request: &str) -> io::Result<Vec<u8>> {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_is_read_from_the_first_line() {
        let answer =
            Answer::parse(b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 2\r\n\r\nno").unwrap();
        assert_eq!(answer, Answer { status: 503, body: Value::Null });
        assert_eq!(Answer::parse(b"SSH-2.0-OpenSSH\r\n\r\n"), None);
        assert_eq!(Answer::parse(b"HTTP/1.1 200 OK\r\n"), None);
    }
}
