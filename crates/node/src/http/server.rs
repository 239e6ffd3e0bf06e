//! Connections of HTTP: how many, how long, and how they end.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::Extension;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use rustls::ServerConfig;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{debug, warn};

use super::routes::{From, Http};
use crate::telemetry::OperatorCode;
use crate::telemetry::metrics::{HandshakeFailure, ListenerMetrics};

/// Most bytes of a request's head.
const HEAD_BYTES_MAX: usize = 32 * 1024;
/// A connection older than this ends after the request it is at, or a client that does not read would hold one of few
/// for ever. Clients connect again.
const AGE_MAX: Duration = Duration::from_secs(300);
/// How long a connection has to finish the request it is at, once it must end.
const FINISH_TIME_MAX: Duration = Duration::from_secs(5);
/// Waited after a connection could not be accepted: the reason, too few file descriptors, does not go at once.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Gives the TLS configuration for the next connection, so that certificates can be renewed.
pub type TlsSource = Arc<dyn Fn() -> Arc<ServerConfig> + Send + Sync>;

/// Serves `http` on `listener` until `stop` is cancelled, then lets requests under way finish.
///
/// Cancel it last when the node stops: until then `/health` tells that it does. HTTP/1.1 with keep-alive; at most
/// `limits.max_http_connections` connections, further ones wait to be accepted.
pub async fn serve(listener: TcpListener, http: Http, tls: Option<TlsSource>, stop: CancellationToken) {
    let permits = Arc::new(Semaphore::new(http.config.limits.max_http_connections as usize));
    let metrics = http.metrics.listener("http");
    let connections = TaskTracker::new();
    loop {
        let accepted = tokio::select! {
            () = stop.cancelled() => break,
            accepted = async {
                // The semaphore is never closed.
                let permit = Arc::clone(&permits).acquire_owned().await.ok()?;
                Some((permit, listener.accept().await))
            } => accepted,
        };
        match accepted {
            None => break,
            Some((permit, Ok((stream, peer)))) => {
                let connection = Connection {
                    http: http.clone(),
                    peer,
                    tls: tls.clone(),
                    metrics: Arc::clone(&metrics),
                    stop: stop.clone(),
                };
                connections.spawn(async move {
                    connection.run(stream).await;
                    drop(permit);
                });
            }
            Some((_, Err(error))) => {
                warn!(code = %OperatorCode::AcceptFailed, listener = "http", %error, "cannot accept a connection");
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
    drop(listener);
    connections.close();
    connections.wait().await;
}

pub(super) struct Connection {
    pub(super) http: Http,
    pub(super) peer: SocketAddr,
    pub(super) tls: Option<TlsSource>,
    pub(super) metrics: Arc<ListenerMetrics>,
    pub(super) stop: CancellationToken,
}

impl Connection {
    async fn run(self, stream: TcpStream) {
        let _open = self.metrics.open();
        // Answers are small and whole; waiting for more to send only delays them.
        let _ = stream.set_nodelay(true);
        let Some(source) = &self.tls else { return self.talk(stream).await };
        let mut config = ServerConfig::clone(&source());
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        let limit = self.http.config.limits.http_header_timeout;
        match timeout(limit, TlsAcceptor::from(Arc::new(config)).accept(stream)).await {
            Ok(Ok(stream)) => self.talk(stream).await,
            Ok(Err(error)) => {
                debug!(peer = %self.peer, %error, "TLS failed");
                self.metrics.handshake_failed(HandshakeFailure::Tls);
            }
            Err(_) => self.metrics.handshake_failed(HandshakeFailure::Timeout),
        }
    }

    pub(super) async fn talk(&self, stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static) {
        let service = TowerToHyperService::new(self.http.router().layer(Extension(From(self.peer))));
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(self.http.config.limits.http_header_timeout)
            .max_buf_size(HEAD_BYTES_MAX)
            .serve_connection(TokioIo::new(stream), service);
        tokio::pin!(connection);
        let ended = tokio::select! {
            ended = connection.as_mut() => Some(ended),
            () = self.stop.cancelled() => None,
            () = sleep(AGE_MAX) => None,
        };
        let ended = match ended {
            Some(ended) => ended,
            None => {
                connection.as_mut().graceful_shutdown();
                timeout(FINISH_TIME_MAX, connection).await.unwrap_or(Ok(()))
            }
        };
        if let Err(error) = ended {
            debug!(peer = %self.peer, %error, "HTTP connection ended");
        }
    }
}
