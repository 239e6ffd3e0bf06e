//! A stream to a node: TCP, by TLS where that is asked for, and the first two frames.

use std::sync::Arc;

use bytes::BytesMut;
use rustls::ClientConfig;
use swarmmq_protocol::limits::HANDSHAKE_BYTES_MAX;
use swarmmq_protocol::native::{Frame, Hello, VERSION, Welcome, decode_frame, encode_frame};
use swarmmq_protocol::{ErrorCode, ErrorReply, Response};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::error::Error;
use crate::options::ClientOptions;

/// Any stream of bytes both ways.
pub(super) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// A stream on which the node has welcomed the client.
pub(super) struct Welcomed {
    pub(super) stream: Box<dyn Stream>,
    pub(super) welcome: Welcome,
    /// Bytes that came behind the welcome.
    pub(super) read: BytesMut,
}

/// Makes streams.
pub(crate) struct Transport {
    options: Arc<ClientOptions>,
    tls: Option<Arc<ClientConfig>>,
}

impl Transport {
    pub(crate) fn new(options: Arc<ClientOptions>) -> Result<Self, Error> {
        let tls = options.tls.as_ref().map(|tls| tls.client_config()).transpose()?;
        Ok(Self { options, tls })
    }

    /// Connects to `address` and shakes hands, all within the time for it.
    pub(super) async fn open(&self, address: &str) -> Result<Welcomed, Error> {
        let limit = self.options.connect_timeout;
        match tokio::time::timeout(limit, self.connect(address)).await {
            Ok(result) => result,
            Err(_) => Err(Error::Connect {
                address: address.to_owned(),
                reason: format!("no welcome came within {limit:?}"),
            }),
        }
    }

    async fn connect(&self, address: &str) -> Result<Welcomed, Error> {
        let failed =
            |error: std::io::Error| Error::Connect { address: address.to_owned(), reason: error.to_string() };
        let tcp = TcpStream::connect(address).await.map_err(failed)?;
        tcp.set_nodelay(true).map_err(failed)?;
        match (&self.tls, &self.options.tls) {
            (Some(config), Some(options)) => {
                let name = options.name_for(address)?;
                let connector = TlsConnector::from(config.clone());
                let stream = connector.connect(name, tcp).await.map_err(failed)?;
                self.shake_hands(address, Box::new(stream)).await
            }
            _ => self.shake_hands(address, Box::new(tcp)).await,
        }
    }

    async fn shake_hands(&self, address: &str, mut stream: Box<dyn Stream>) -> Result<Welcomed, Error> {
        let hello = Frame::Hello(Hello {
            version_min: VERSION,
            version_max: VERSION,
            client: self.options.name.clone(),
            credential: self.options.credential.clone(),
        });
        let mut bytes = BytesMut::new();
        encode_frame(0, &hello, &mut bytes);
        // What the node said before it hung up is worth more than that the write failed.
        let written = match stream.write_all(&bytes).await {
            Ok(()) => stream.flush().await,
            Err(error) => Err(error),
        };
        let mut read = BytesMut::new();
        loop {
            let frame = decode_frame(&mut read, HANDSHAKE_BYTES_MAX)
                .map_err(|error| Error::Protocol { reason: error.to_string() })?;
            match frame {
                None => {}
                Some((_, Frame::Welcome(welcome))) => return accept(welcome, stream, read),
                Some((_, Frame::Goodbye(error) | Frame::Reply(Response::Error(error)))) => {
                    return Err(refused(address, error));
                }
                Some(_) => {
                    return Err(Error::Protocol { reason: "its first frame is not a welcome".into() });
                }
            }
            let lost = |reason: String| Error::Connect { address: address.to_owned(), reason };
            match stream.read_buf(&mut read).await {
                Ok(0) => {
                    let why = written.err().map(|error| error.to_string());
                    return Err(lost(why.unwrap_or_else(|| "it hung up before the welcome".into())));
                }
                Ok(_) => {}
                Err(error) => return Err(lost(error.to_string())),
            }
        }
    }
}

fn accept(welcome: Welcome, stream: Box<dyn Stream>, read: BytesMut) -> Result<Welcomed, Error> {
    if welcome.version != VERSION {
        let version = welcome.version;
        return Err(Error::Protocol { reason: format!("it chose version {version}, which was not offered") });
    }
    Ok(Welcomed { stream, welcome, read })
}

/// A node that is only busy is as good as one that cannot be reached: another may be better.
fn refused(address: &str, error: ErrorReply) -> Error {
    match error.code {
        ErrorCode::Unauthenticated | ErrorCode::Forbidden | ErrorCode::UnsupportedVersion => {
            Error::HandshakeRefused(error)
        }
        code if code.is_retryable() => {
            Error::Connect { address: address.to_owned(), reason: error.to_string() }
        }
        _ => Error::HandshakeRefused(error),
    }
}
