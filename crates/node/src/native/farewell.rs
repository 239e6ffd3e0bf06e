//! Closing a connection so that the peer hears why.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::time::Duration;

use bytes::BytesMut;
use swarmmq_protocol::ErrorReply;
use swarmmq_protocol::native::{Frame, encode_frame};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::time::timeout;

/// How long a peer has to take a Goodbye and close its side.
const LINGER: Duration = Duration::from_secs(1);
/// So much of what the peer still sends is read and thrown away.
const LINGER_BYTES_MAX: usize = 64 * 1024;

/// Says Goodbye, and closes.
pub(crate) async fn goodbye<W>(wire: &mut W, error: ErrorReply)
where
    W: AsyncRead + AsyncWrite + Unpin,
{
    let mut out = BytesMut::new();
    encode_frame(0, &Frame::Goodbye(error), &mut out);
    let said = timeout(LINGER, async {
        wire.write_all(&out).await?;
        wire.flush().await
    });
    if matches!(said.await, Ok(Ok(()))) {
        close(wire).await;
    }
}

/// Closes our side and waits a little for the peer to close its own.
///
/// A connection closed while bytes of the peer are unread is reset, and a reset takes away what the
/// peer has not read yet: the Goodbye.
pub(crate) async fn close<W>(wire: &mut W)
where
    W: AsyncRead + AsyncWrite + Unpin,
{
    let linger = timeout(LINGER, async {
        wire.shutdown().await?;
        let mut left = LINGER_BYTES_MAX;
        while left > 0 {
            match throw_away(wire).await? {
                0 => break,
                count => left = left.saturating_sub(count),
            }
        }
        Ok::<_, io::Error>(())
    });
    // Whatever comes of it, the connection is over.
    let _over = linger.await;
}

/// Reads something. Its memory is the stack's, so that a connection that closes costs none.
async fn throw_away<R: AsyncRead + Unpin>(stream: &mut R) -> io::Result<usize> {
    poll_fn(|cx| {
        let mut bytes = [0; 1024];
        let mut buffer = ReadBuf::new(&mut bytes);
        Pin::new(&mut *stream).poll_read(cx, &mut buffer).map_ok(|()| buffer.filled().len())
    })
    .await
}

/// Says Goodbye if that takes no waiting, and closes: for connections there is no room for.
pub(crate) async fn goodbye_at_once<W>(mut wire: W, error: ErrorReply)
where
    W: AsyncWrite + Unpin,
{
    let mut out = BytesMut::new();
    encode_frame(0, &Frame::Goodbye(error), &mut out);
    let _said = timeout(Duration::ZERO, wire.write_all(&out)).await;
}
