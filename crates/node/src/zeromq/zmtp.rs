//! ZMTP as the sessions use it: a state machine without I/O (RFC 37).
//!
//! Bytes go in by [`Zmtp::handle_input`], messages come out by [`Zmtp::poll_message`], and bytes to be
//! written by [`Zmtp::transmit`]. Security mechanisms are behind the same trait: what comes out is
//! authenticated and decrypted. The one implementation is on the crate `omq-proto`.

use std::io::IoSlice;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use swarmmq_broker::exchange::Frames;

use super::chunks;
use super::drops::Reason;
use super::shared::SharedMessage;
use crate::security::Principal;

/// Slices in one [`Zmtp::transmit`].
pub const SLICES_MAX: usize = chunks::SLICES_MAX;

/// What an endpoint announces itself as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SocketKind {
    /// ROUTER, for REQ and DEALER.
    Router,
    /// PULL, for PUSH.
    Pull,
    /// DEALER, for REP, ROUTER and DEALER.
    Dealer,
    /// XSUB, for PUB and XPUB.
    XSub,
    /// XPUB, for SUB and XSUB.
    XPub,
    /// PUSH, for PULL.
    Push,
}

/// What a peer said of itself in its handshake.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PeerProperties {
    /// Its socket type, as `DEALER`.
    pub socket_type: &'static str,
    /// Its routing id, of 0 to 255 bytes. Nobody has checked it.
    pub routing_id: Bytes,
    /// Whether it speaks ZMTP 3.1, which has PING.
    pub knows_ping: bool,
    /// Who it has shown to be, by PLAIN or CURVE.
    pub principal: Option<Principal>,
}

/// What a peer shows in its handshake.
#[derive(Debug, Clone, Copy)]
pub enum Shown<'a> {
    /// A name and a password, by PLAIN.
    Password(&'a [u8], &'a [u8]),
    /// A public key, by CURVE, that it has the secret of.
    CurveKey(&'a [u8; 32]),
}

/// Says who a peer is by what it shows, or refuses it.
pub type Authenticate = Arc<dyn Fn(Shown<'_>) -> Option<Principal> + Send + Sync>;

/// Why a connection cannot go on.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{explanation}")]
pub struct ZmtpError {
    /// What it is counted as.
    pub reason: Reason,
    /// What was wrong.
    pub explanation: String,
}

impl ZmtpError {
    /// An error.
    #[must_use]
    pub fn new(reason: Reason, explanation: impl Into<String>) -> Self {
        Self { reason, explanation: explanation.into() }
    }
}

/// One end of a ZMTP connection.
pub trait Zmtp: Send {
    /// Takes bytes that were read.
    ///
    /// # Errors
    /// [`ZmtpError`]: the handshake has failed and the connection must be closed. What is to be transmitted tells the peer
    /// why.
    fn handle_input(&mut self, bytes: &[u8]) -> Result<(), ZmtpError>;

    /// The peer, once its handshake is done.
    fn peer(&self) -> Option<&PeerProperties>;

    /// The next whole message, as its frames, of what was read. Commands before it are answered on the way.
    ///
    /// # Errors
    /// [`ZmtpError`], once: the connection must be closed. What is to be transmitted tells the peer why.
    fn poll_message(&mut self) -> Result<Option<Frames>, ZmtpError>;

    /// Looks for commands behind messages that nobody wants yet, which are kept for [`poll_message`](Self::poll_message).
    /// Says whether more may be read to be looked at.
    ///
    /// # Errors
    /// As of [`poll_message`](Self::poll_message).
    fn look_ahead(&mut self) -> Result<bool, ZmtpError>;

    /// For how long the peer may be silent, by the last PING it sent.
    fn heartbeat_ttl(&self) -> Option<Duration>;

    /// Queues a message. After the handshake.
    fn send(&mut self, frames: &[Bytes]);

    /// Queues a message that other peers get too. After the handshake.
    fn send_shared(&mut self, message: &SharedMessage) {
        self.send(message.frames());
    }

    /// Whether messages may be queued encoded. After the handshake.
    fn takes_encoded(&self) -> bool;

    /// Queues messages that were encoded as the frames of ZMTP, if it [takes](Self::takes_encoded) those.
    fn send_encoded(&mut self, messages: &Bytes);

    /// Queues a PING. After the handshake.
    fn send_ping(&mut self);

    /// Queues an ERROR that tells the peer why it is refused. After the handshake.
    fn send_error(&mut self, reason: &str);

    /// Bytes queued to be written.
    fn transmit_pending(&self) -> usize;

    /// Fills `slices` with the bytes to be written next and says how many slices.
    fn transmit<'a>(&'a mut self, slices: &mut [IoSlice<'a>; SLICES_MAX]) -> usize;

    /// Says that so many bytes were written.
    fn advance_transmit(&mut self, bytes: usize);
}
