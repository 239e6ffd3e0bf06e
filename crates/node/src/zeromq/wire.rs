//! A byte stream with ZMTP on it.

use std::cell::RefCell;
use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::time::timeout;

use super::drops::Drops;
use super::shared::Outbound;
use super::zmtp::{PeerProperties, SLICES_MAX, Zmtp, ZmtpError};

/// Bytes of one read. The buffer belongs to the thread, so that an idle peer holds none.
const READ_BYTES: usize = 64 * 1024;
/// A peer that is refused gets this long to take the reason.
const FAREWELL: Duration = Duration::from_secs(1);

thread_local! {
    static SCRATCH: RefCell<Vec<u8>> = RefCell::new(vec![0; READ_BYTES]);
}

/// A byte stream with ZMTP on it.
pub(super) struct Wire<S> {
    stream: S,
    pub(super) zmtp: Box<dyn Zmtp>,
    /// Bytes written so far.
    pub(super) written: u64,
    drops: Drops,
}

/// What moving bytes came to.
pub(super) enum Moved {
    Wrote,
    /// What was read, and how many bytes.
    Read(Result<(), ZmtpError>, usize),
    End,
}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Wire<S> {
    pub(super) fn new(stream: S, zmtp: Box<dyn Zmtp>, drops: Drops) -> Self {
        Self { stream, zmtp, written: 0, drops }
    }

    /// Writes, or reads if `read` says so, whichever is possible first.
    pub(super) async fn move_bytes(&mut self, read: bool) -> io::Result<Moved> {
        poll_fn(|context| {
            if self.zmtp.transmit_pending() > 0
                && let Poll::Ready(result) = self.poll_write(context)
            {
                return Poll::Ready(result.map(|()| Moved::Wrote));
            }
            if read { self.poll_read(context) } else { Poll::Pending }
        })
        .await
    }

    /// Writes what the kernel takes at once; nothing, if it takes none now.
    pub(super) async fn write_now(&mut self) -> Option<io::Result<()>> {
        poll_fn(|context| match self.poll_write(context) {
            Poll::Ready(result) => Poll::Ready(Some(result)),
            Poll::Pending => Poll::Ready(None),
        })
        .await
    }

    fn poll_write(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut slices = [IoSlice::new(&[]); SLICES_MAX];
        let filled = self.zmtp.transmit(&mut slices);
        let slices = slices.get(..filled).unwrap_or_default();
        let written = match Pin::new(&mut self.stream).poll_write_vectored(context, slices) {
            Poll::Ready(Ok(0)) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
            Poll::Ready(Ok(written)) => written,
            Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
            Poll::Pending => return Poll::Pending,
        };
        self.zmtp.advance_transmit(written);
        self.written += written as u64;
        self.drops.listener().written_bytes.increment(written as u64);
        Poll::Ready(Ok(()))
    }

    fn poll_read(&mut self, context: &mut Context<'_>) -> Poll<io::Result<Moved>> {
        SCRATCH.with_borrow_mut(|scratch| {
            let mut buffer = ReadBuf::new(scratch);
            match Pin::new(&mut self.stream).poll_read(context, &mut buffer) {
                Poll::Ready(Ok(())) if buffer.filled().is_empty() => Poll::Ready(Ok(Moved::End)),
                Poll::Ready(Ok(())) => {
                    self.drops.listener().read_bytes.increment(buffer.filled().len() as u64);
                    let bytes = buffer.filled().len();
                    Poll::Ready(Ok(Moved::Read(self.zmtp.handle_input(buffer.filled()), bytes)))
                }
                Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
                Poll::Pending => Poll::Pending,
            }
        })
    }

    /// Reads until the peer has said who it is. `Err(None)`: it went.
    pub(super) async fn handshake(&mut self) -> Result<PeerProperties, Option<ZmtpError>> {
        loop {
            if let Some(peer) = self.zmtp.peer() {
                return Ok(peer.clone());
            }
            match self.move_bytes(true).await {
                Ok(Moved::Wrote) => {}
                Ok(Moved::Read(result, _)) => result.map_err(Some)?,
                Ok(Moved::End) | Err(_) => return Err(None),
            }
        }
    }

    /// Gives the peer time to take what is queued for it, and closes.
    pub(super) async fn close(mut self) {
        let farewell = async {
            while self.zmtp.transmit_pending() > 0 {
                self.move_bytes(false).await?;
            }
            // Closing while bytes of the peer are unread would reset the connection, and it would not see why.
            self.stream.shutdown().await?;
            let mut rest = [0; 1024];
            while self.stream.read(&mut rest).await? > 0 {}
            io::Result::Ok(())
        };
        let _ = timeout(FAREWELL, farewell).await;
    }

    /// Queues messages and returns how many bytes will have been written when they have.
    pub(super) fn send(&mut self, message: &Outbound) -> u64 {
        match message {
            Outbound::Own(frames) => self.zmtp.send(frames),
            Outbound::Shared(message) => self.zmtp.send_shared(message),
            Outbound::Packed(packed) => self.zmtp.send_encoded(&packed.bytes),
        }
        self.written + self.zmtp.transmit_pending() as u64
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::super::mechanisms::Mechanisms;
    use super::super::omq::OmqConnection;
    use super::super::zmtp::SocketKind;
    use super::*;
    use crate::telemetry::metrics::Metrics;

    #[tokio::test]
    async fn what_is_not_taken_at_once_waits() {
        let mechanisms = Mechanisms::new(Arc::default(), Arc::new(|_| None));
        let connection = OmqConnection::new(SocketKind::Router, mechanisms, 2000, 8);
        let greeting = connection.transmit_pending();
        let (ours, mut theirs) = tokio::io::duplex(5);
        let mut wire = Wire::new(ours, Box::new(connection), Drops::new("test", &Metrics::new(0)));

        assert!(matches!(wire.write_now().await, Some(Ok(()))));
        assert!(wire.write_now().await.is_none(), "its five bytes are full");
        assert_eq!((wire.written, wire.zmtp.transmit_pending()), (5, greeting - 5));

        let mut taken = [0; 5];
        theirs.read_exact(&mut taken).await.unwrap();
        assert_eq!(taken, [0xFF, 0, 0, 0, 0]);
        assert!(matches!(wire.write_now().await, Some(Ok(()))));
        drop(theirs);
        assert!(matches!(wire.write_now().await, Some(Err(_))));
    }
}
