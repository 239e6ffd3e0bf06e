//! From an accepted byte stream to a peer that is welcome.

use std::net::SocketAddr;

use bytes::{BufMut, BytesMut};
use swarmmq_protocol::limits::HANDSHAKE_BYTES_MAX;
use swarmmq_protocol::native::{Frame, FrameKind, Hello, VERSION, Welcome, decode_frame, encode_frame};
use swarmmq_protocol::{ErrorCode, ErrorReply};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio_rustls::TlsAcceptor;

use crate::native::arrival::{Prelude, Stranger, Wire, frame_header};
use crate::native::farewell;
use crate::native::shared::{Phase, Shared, stopping};
use crate::security::{CertificateSummary, Principal, Refusal, Tls};

/// Bytes a peer may send in all until it has authenticated, where TLS comes before the Hello: a chain of
/// client certificates does not fit in what a Hello may have.
const TLS_BYTES_MAX: usize = 16 * 1024 + HANDSHAKE_BYTES_MAX;
/// Bytes of a frame behind its length field, so that frame and length fit in the limit.
const HELLO_BYTES_MAX: usize = HANDSHAKE_BYTES_MAX - 4;
/// First bytes of a TLS record's header that tell it from anything else.
const TLS_PROLOGUE_BYTES: usize = 5;

/// A peer that is welcome.
pub(crate) struct Arrived<S> {
    pub(crate) wire: Wire<S>,
    pub(crate) principal: Principal,
    /// What it sent behind its Hello.
    pub(crate) early: BytesMut,
}

/// A peer that was not let in, and has been told so if it could be.
pub(crate) struct TurnedAway {
    pub(crate) reason: &'static str,
    pub(crate) text: String,
}

impl TurnedAway {
    pub(crate) fn new(reason: &'static str, text: impl Into<String>) -> Self {
        Self { reason, text: text.into() }
    }
}

impl From<std::io::Error> for TurnedAway {
    fn from(error: std::io::Error) -> Self {
        match error.kind() {
            std::io::ErrorKind::UnexpectedEof => Self::new("left", "it left before it said Hello"),
            _ => Self::new("io", error.to_string()),
        }
    }
}

/// Takes a peer in, or turns it away.
pub(crate) async fn welcome<S>(stream: S, peer: SocketAddr, shared: &Shared) -> Result<Arrived<S>, TurnedAway>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut wire = match &shared.tls {
        None => Wire::Plain(Prelude::new(stream, HANDSHAKE_BYTES_MAX)),
        Some(tls) => Box::pin(secure(stream, peer, shared, tls)).await?,
    };
    let certificate = match &wire {
        Wire::Plain(_) => None,
        Wire::Tls(stream) => stream.get_ref().1.peer_certificates().and_then(|chain| chain.first()),
    };
    // A certificate we cannot read names nobody.
    let certificate = certificate.and_then(|certificate| CertificateSummary::read(certificate).ok());
    let mut buffer = BytesMut::new();
    let hello = match read_hello(&mut wire, &mut buffer, shared.tls.is_some()).await? {
        Ok(hello) => hello,
        Err((reason, error)) => return Err(turn_away(&mut wire, reason, error).await),
    };
    match judge(&hello, peer, shared, certificate.as_ref()) {
        Ok(principal) => {
            let mut out = BytesMut::new();
            encode_frame(0, &Frame::Welcome(greeting(shared)), &mut out);
            wire.write_all(&out).await?;
            wire.flush().await?;
            wire.lift_allowance();
            Ok(Arrived { wire, principal, early: buffer })
        }
        Err((reason, error)) => Err(turn_away(&mut wire, reason, error).await),
    }
}

async fn turn_away<S>(wire: &mut Wire<S>, reason: &'static str, error: ErrorReply) -> TurnedAway
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let text = error.explanation.clone();
    farewell::goodbye(wire, error).await;
    TurnedAway::new(reason, text)
}

async fn secure<S>(stream: S, peer: SocketAddr, shared: &Shared, tls: &Tls) -> Result<Wire<S>, TurnedAway>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut prelude = Prelude::new(stream, TLS_BYTES_MAX);
    // No TLS state is made for a peer that says nothing.
    let stranger = Stranger::recognise(prelude.look_at(TLS_PROLOGUE_BYTES).await?);
    if stranger != Stranger::Tls {
        let error = ErrorReply::new(ErrorCode::Malformed, stranger.text(true));
        return Err(turn_away(&mut Wire::Plain(prelude), stranger.label(), error).await);
    }
    match TlsAcceptor::from(tls.config()).accept(prelude).await {
        Ok(stream) => Ok(Wire::Tls(Box::new(stream))),
        Err(error) => {
            let refusal = Refusal::Tls { reason: error.to_string() };
            shared.gate.refusals().record(peer, shared.listener(), &refusal);
            Err(TurnedAway::new("tls_handshake", refusal.to_string()))
        }
    }
}

type Problem = (&'static str, ErrorReply);

/// Reads the first frame. What comes behind it stays in `buffer`, which never holds more than a
/// handshake may have.
async fn read_hello<S>(
    wire: &mut Wire<S>,
    buffer: &mut BytesMut,
    speaks_tls: bool,
) -> Result<Result<Hello, Problem>, TurnedAway>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let malformed = |text: &str| ErrorReply::new(ErrorCode::Malformed, text);
    loop {
        match frame_header(buffer, HELLO_BYTES_MAX) {
            Ok(Some(header)) if header.kind != FrameKind::Hello => {
                let text = "the first frame must be a Hello";
                return Ok(Err(("first_frame", malformed(text))));
            }
            Ok(_) => {}
            Err(stranger) => return Ok(Err((stranger.label(), malformed(stranger.text(speaks_tls))))),
        }
        match decode_frame(buffer, HELLO_BYTES_MAX) {
            Ok(Some((_, Frame::Hello(hello)))) => return Ok(Ok(hello)),
            Ok(_) => {}
            Err(error) => return Ok(Err(("malformed_hello", malformed(&error.to_string())))),
        }
        let room = HANDSHAKE_BYTES_MAX - buffer.len();
        if wire.read_buf(&mut (&mut *buffer).limit(room)).await? == 0 {
            return Err(std::io::Error::from(std::io::ErrorKind::UnexpectedEof).into());
        }
    }
}

fn judge(
    hello: &Hello,
    peer: SocketAddr,
    shared: &Shared,
    certificate: Option<&CertificateSummary>,
) -> Result<Principal, Problem> {
    if !(hello.version_min..=hello.version_max).contains(&VERSION) {
        let text = format!(
            "this node speaks version {VERSION} of the protocol, the client {} to {}",
            hello.version_min, hello.version_max
        );
        return Err(("version", ErrorReply::new(ErrorCode::UnsupportedVersion, text)));
    }
    if *shared.phase().borrow() != Phase::Serving {
        return Err(("stopping", stopping()));
    }
    shared.gate.authenticate(shared.listener(), peer, &hello.credential, certificate).map_err(|refusal| {
        ("unauthenticated", ErrorReply::new(ErrorCode::Unauthenticated, refusal.to_string()))
    })
}

fn greeting(shared: &Shared) -> Welcome {
    let number = |value: usize| u32::try_from(value).unwrap_or(u32::MAX);
    let options = &shared.options;
    Welcome {
        version: VERSION,
        node: shared.greeting.node.clone(),
        cluster: shared.greeting.cluster.clone(),
        software: env!("CARGO_PKG_VERSION").to_owned(),
        message_bytes_max: number(options.message_bytes_max),
        in_flight_max: number(options.in_flight_max),
        idle_ms: u32::try_from(options.idle.as_millis()).unwrap_or(u32::MAX),
        credit_default: options.credit_default,
    }
}
