//! One HTTP/1.1 request on a connection of its own.
//!
//! A registration asks for something a few times a minute: a pool of connections would cost more thought than it saves
//! time, and a connection that is new is never one that died unnoticed.

use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper::{Request, StatusCode, header};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use super::super::error::DiscoveryError;
use super::options::{EtcdOptions, wrong};
use super::target::Target;
use crate::tls::TlsOptions;

/// Most bytes of an answer, or of one piece of an answer that does not end: a page of instances fits.
const ANSWER_BYTES_MAX: usize = 16 * 1024 * 1024;

/// Makes requests.
pub(super) struct Http {
    tls: Option<(TlsConnector, TlsOptions)>,
    request_timeout: Duration,
}

/// An answer whose body is still coming.
pub(super) struct Answer {
    pub(super) status: StatusCode,
    body: Incoming,
    /// What has come and is not a whole line.
    rest: BytesMut,
    driver: JoinHandle<()>,
}

impl Drop for Answer {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

impl Http {
    pub(super) fn new(options: &EtcdOptions) -> Result<Self, DiscoveryError> {
        let tls = match &options.tls {
            Some(tls) => {
                let config = tls.compatible_config().map_err(|error| wrong("tls", error.to_string()))?;
                Some((TlsConnector::from(config), tls.clone()))
            }
            None => None,
        };
        Ok(Self { tls, request_timeout: options.timeout() })
    }

    /// Posts `body` and gives the answer once its head has come.
    pub(super) async fn post(
        &self,
        target: &Target,
        path: &str,
        headers: &[(&'static str, &str)],
        body: Vec<u8>,
    ) -> Result<Answer, DiscoveryError> {
        let limit = self.request_timeout;
        match timeout(limit, self.exchange(target, path, headers, body)).await {
            Ok(answer) => answer,
            Err(_) => Err(away(target, format!("no answer within {limit:?}"))),
        }
    }

    async fn exchange(
        &self,
        target: &Target,
        path: &str,
        headers: &[(&'static str, &str)],
        body: Vec<u8>,
    ) -> Result<Answer, DiscoveryError> {
        let tcp = TcpStream::connect(&target.authority).await.map_err(|error| away(target, error))?;
        tcp.set_nodelay(true).map_err(|error| away(target, error))?;
        let mut request = Request::post(path)
            .header(header::HOST, &target.authority)
            .header(header::CONTENT_TYPE, "application/json");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Full::new(Bytes::from(body)));
        let request = request.map_err(|error| DiscoveryError::Protocol(error.to_string()))?;
        if !target.has_tls {
            return send(target, tcp, request).await;
        }
        let Some((connector, options)) = &self.tls else {
            return Err(wrong("tls", format!("https://{} needs to know whom to trust", target.authority)));
        };
        let name = options.name_for(&target.authority).map_err(|error| wrong("tls", error.to_string()))?;
        let stream = connector.connect(name, tcp).await.map_err(|error| away(target, error))?;
        send(target, stream, request).await
    }
}

async fn send<S>(target: &Target, stream: S, request: Request<Full<Bytes>>) -> Result<Answer, DiscoveryError>
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let (mut sender, connection) =
        http1::handshake(TokioIo::new(stream)).await.map_err(|error| away(target, error))?;
    let driver = tokio::spawn(async move {
        // Whoever reads the answer hears of what ends it.
        let _ = connection.await;
    });
    match sender.send_request(request).await {
        Ok(response) => {
            let (head, body) = response.into_parts();
            Ok(Answer { status: head.status, body, rest: BytesMut::new(), driver })
        }
        Err(error) => {
            driver.abort();
            Err(away(target, error))
        }
    }
}

impl Answer {
    /// The whole body.
    pub(super) async fn whole(mut self) -> Result<Bytes, DiscoveryError> {
        while self.more().await? {}
        Ok(self.rest.split().freeze())
    }

    /// The next line of a body that consists of lines; `None` at its end.
    pub(super) async fn line(&mut self) -> Result<Option<Bytes>, DiscoveryError> {
        // What was looked through is not looked through again.
        let mut seen = 0;
        loop {
            let unseen = self.rest.get(seen..).unwrap_or_default();
            if let Some(at) = unseen.iter().position(|byte| *byte == b'\n') {
                let line = self.rest.split_to(seen + at);
                self.rest.advance(1);
                return Ok(Some(line.freeze()));
            }
            seen = self.rest.len();
            if !self.more().await? {
                let last = self.rest.split().freeze();
                return Ok((!last.is_empty()).then_some(last));
            }
        }
    }

    /// Reads on; false at the end.
    async fn more(&mut self) -> Result<bool, DiscoveryError> {
        match self.body.frame().await {
            None => Ok(false),
            Some(Ok(frame)) => {
                if let Ok(data) = frame.into_data() {
                    if self.rest.len() + data.len() > ANSWER_BYTES_MAX {
                        let text = format!("an answer has more than {ANSWER_BYTES_MAX} bytes");
                        return Err(DiscoveryError::Protocol(text));
                    }
                    self.rest.extend_from_slice(&data);
                }
                Ok(true)
            }
            Some(Err(error)) => Err(DiscoveryError::Away(format!("the connection was lost: {error}"))),
        }
    }
}

fn away(target: &Target, error: impl std::fmt::Display) -> DiscoveryError {
    DiscoveryError::Away(format!("{}: {error}", target.authority))
}
