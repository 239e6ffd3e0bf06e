//! What the state machines of this module have in common: what goes in, and what comes out.
//!
//! ```text
//!                  handle_message ──▶ ┌─────────┐ ──▶ Open, Close, Send   to the socket
//!  the driver      handle_timeout ──▶ │ Machine │
//!                  handle_failure ──▶ └─────────┘ ──▶ Event               to the program
//! ```
//!
//! A machine has no clock and no socket. Times are milliseconds of a clock that never runs backwards.

use crate::zeromq::socket::Frames;

/// What a machine wants done, in the order of the wants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Output<E> {
    /// Drop the socket, if there is one, with all that it queued and received, and connect a fresh one, which no peer
    /// takes for the old.
    Open,
    /// Close the socket.
    Close {
        /// Whether what was queued is still to be sent first.
        linger: bool,
    },
    /// Queue a message. There is an open socket.
    Send(Frames),
    /// Tell the program.
    Event(E),
}

/// A protocol over one socket.
pub(crate) trait Machine {
    /// What the program is told.
    type Event;

    /// The socket received a message.
    fn handle_message(&mut self, now_ms: u64, frames: Frames);

    /// The time of [`next_due`](Self::next_due) has come.
    fn handle_timeout(&mut self, now_ms: u64);

    /// The socket could not be opened, or could not take a message, or is closed.
    fn handle_failure(&mut self, now_ms: u64, reason: String);

    /// What is wanted next; `None` when nothing is, until something is handled.
    fn poll_output(&mut self) -> Option<Output<Self::Event>>;

    /// When [`handle_timeout`](Self::handle_timeout) is to be called, if at all.
    fn next_due(&self) -> Option<u64>;
}
