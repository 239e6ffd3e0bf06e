//! The byte stream of a connection: its first bytes looked at, and TLS or not.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::{Buf, BytesMut};
use swarmmq_protocol::native::{FrameHeader, FrameKind};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};
use tokio_rustls::server::TlsStream;

/// What a peer seems to speak that is not what this port speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stranger {
    Http,
    Zmtp,
    Tls,
    Native,
    Unknown,
}

impl Stranger {
    /// Tells by the first bytes. Four are enough for all but the native protocol.
    pub(crate) fn recognise(first: &[u8]) -> Self {
        const METHODS: [&[u8; 4]; 9] =
            [b"GET ", b"HEAD", b"POST", b"PUT ", b"DELE", b"OPTI", b"PATC", b"CONN", b"PRI "];
        match first {
            [0xff, 0, 0, 0, ..] => Self::Zmtp,
            [0x16, 0x03, ..] => Self::Tls,
            _ if METHODS.iter().any(|method| first.starts_with(*method)) => Self::Http,
            // What needs more than a whole header to be told from a Hello is none.
            [0, 0, _, _, kind, ..] if *kind == FrameKind::Hello as u8 => Self::Native,
            _ => Self::Unknown,
        }
    }

    pub(crate) fn label(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Zmtp => "zmtp",
            Self::Tls => "tls",
            Self::Native => "native",
            Self::Unknown => "unknown_protocol",
        }
    }

    /// What it looks like, and what to do.
    pub(crate) fn text(self, speaks_tls: bool) -> &'static str {
        match self {
            Self::Http => {
                "looks like HTTP: this is the port of the native protocol, HTTP has one of its own (listen.http)"
            }
            Self::Zmtp => {
                "looks like ZeroMQ (ZMTP): this is the port of the native protocol, ZeroMQ has others (zeromq.endpoints)"
            }
            Self::Tls if !speaks_tls => {
                "looks like TLS: this port speaks without, connect without or configure security.tls_cert"
            }
            Self::Native if speaks_tls => {
                "looks like the native protocol without TLS: this port speaks TLS 1.3"
            }
            _ if speaks_tls => "a connection begins with a TLS 1.3 handshake",
            _ => "a connection begins with a Hello frame of the native protocol",
        }
    }
}

/// A byte stream whose first bytes were looked at, and that ends where its peer sends too much too early.
pub(crate) struct Prelude<S> {
    looked_at: BytesMut,
    inner: S,
    /// How much more the peer may send; `None` once it has authenticated.
    allowance: Option<usize>,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Prelude<S> {
    pub(crate) fn new(inner: S, allowance: usize) -> Self {
        Self { looked_at: BytesMut::new(), inner, allowance: Some(allowance) }
    }

    /// Reads until there are `count` bytes to look at, and leaves them to be read.
    pub(crate) async fn look_at(&mut self, count: usize) -> io::Result<&[u8]> {
        while self.looked_at.len() < count {
            if self.inner.read_buf(&mut self.looked_at).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
        Ok(&self.looked_at)
    }

    pub(crate) fn lift_allowance(&mut self) {
        self.allowance = None;
    }

    fn poll_inner(&mut self, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if !self.looked_at.is_empty() {
            let count = self.looked_at.len().min(buffer.remaining());
            buffer.put_slice(self.looked_at.get(..count).unwrap_or_default());
            self.looked_at.advance(count);
            if self.looked_at.is_empty() {
                self.looked_at = BytesMut::new();
            }
            return Poll::Ready(Ok(()));
        }
        Pin::new(&mut self.inner).poll_read(cx, buffer)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for Prelude<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let polled = self.poll_inner(cx, buffer);
        if let Some(allowance) = &mut self.allowance {
            match allowance.checked_sub(buffer.filled().len() - before) {
                Some(left) => *allowance = left,
                None => return Poll::Ready(Err(io::Error::other("too many bytes before authentication"))),
            }
        }
        polled
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Prelude<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }
}

/// A connection with TLS or without.
pub(crate) enum Wire<S> {
    Plain(Prelude<S>),
    Tls(Box<TlsStream<Prelude<S>>>),
}

impl<S: AsyncRead + AsyncWrite + Unpin> Wire<S> {
    pub(crate) fn lift_allowance(&mut self) {
        match self {
            Self::Plain(stream) => stream.lift_allowance(),
            Self::Tls(stream) => stream.get_mut().0.lift_allowance(),
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for Wire<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match &mut *self {
            Self::Plain(stream) => Pin::new(stream).poll_read(cx, buffer),
            Self::Tls(stream) => Pin::new(stream).poll_read(cx, buffer),
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Wire<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match &mut *self {
            Self::Plain(stream) => Pin::new(stream).poll_write(cx, bytes),
            Self::Tls(stream) => Pin::new(stream).poll_write(cx, bytes),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut *self {
            Self::Plain(stream) => Pin::new(stream).poll_flush(cx),
            Self::Tls(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut *self {
            Self::Plain(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Tls(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match &mut *self {
            Self::Plain(stream) => Pin::new(stream).poll_write_vectored(cx, slices),
            Self::Tls(stream) => Pin::new(stream).poll_write_vectored(cx, slices),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Self::Plain(stream) => stream.is_write_vectored(),
            Self::Tls(stream) => stream.is_write_vectored(),
        }
    }
}

/// Whether enough has come to tell a frame from anything else.
pub(crate) fn frame_header(buffer: &[u8], limit: usize) -> Result<Option<FrameHeader>, Stranger> {
    FrameHeader::peek(buffer, limit).map_err(|_| Stranger::recognise(buffer))
}

#[cfg(test)]
mod tests {
    use swarmmq_protocol::limits::HANDSHAKE_BYTES_MAX;

    use super::*;

    #[test]
    fn strangers_are_told_apart_by_their_first_bytes() {
        let told = |bytes: &[u8]| frame_header(bytes, HANDSHAKE_BYTES_MAX).err();
        assert_eq!(told(b"GET / HTTP/1.1\r\n"), Some(Stranger::Http));
        assert_eq!(told(b"PRI * HTTP/2.0\r\n"), Some(Stranger::Http));
        assert_eq!(told(&[0xff, 0, 0, 0, 0, 0, 0, 0, 1, 0x7f]), Some(Stranger::Zmtp));
        assert_eq!(told(&[0x16, 0x03, 0x01, 0x02, 0x00, 0x01]), Some(Stranger::Tls));
        assert_eq!(told(b"SSH-2.0-x"), Some(Stranger::Unknown));
        assert_eq!(told(&[0, 0, 0, 40]), None, "this may become a Hello");
        assert_eq!(Stranger::recognise(&[0, 0, 0, 40, 1]), Stranger::Native);
    }

    #[tokio::test]
    async fn what_was_looked_at_is_read_and_counts() {
        let (mut client, server) = tokio::io::duplex(64);
        tokio::io::AsyncWriteExt::write_all(&mut client, b"abcdefgh").await.unwrap();
        let mut prelude = Prelude::new(server, 6);
        assert_eq!(&prelude.look_at(2).await.unwrap()[..2], b"ab");
        let mut four = [0; 4];
        prelude.read_exact(&mut four).await.unwrap();
        assert_eq!(&four, b"abcd");
        assert!(prelude.read_exact(&mut four).await.is_err(), "eight bytes are more than six");
        let (mut client, server) = tokio::io::duplex(64);
        tokio::io::AsyncWriteExt::write_all(&mut client, b"abcdefgh").await.unwrap();
        let mut prelude = Prelude::new(server, 6);
        prelude.lift_allowance();
        prelude.read_exact(&mut [0; 8]).await.unwrap();
    }
}
