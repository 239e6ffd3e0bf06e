//! A peer of a ZeroMQ endpoint: greeting, handshake and frames, through the connection that sessions have.
//!
//! The first byte has options: 1, the endpoint is PULL; 2, the handshake is done already; 4, the node sends
//! something after each read; 8, 16 and 24: it is DEALER, XSUB or XPUB instead; 32, messages are looked for before they are
//! wanted. Then come the places where the stream is cut, behind a length of one byte,
//! and the stream.
#![no_main]

use std::io::IoSlice;

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use swarmmq_broker::exchange::Frames;
use swarmmq_fuzz::{input::Input, memory::bounded};
use swarmmq_node::zeromq::zmtp::{SLICES_MAX, SocketKind, Zmtp, ZmtpError};
use swarmmq_node::zeromq::{Limits, fuzzing};

const GREETING: [u8; 16] = [0xff, 0, 0, 0, 0, 0, 0, 0, 1, 0x7f, 3, 1, b'N', b'U', b'L', b'L'];
const MESSAGE_BYTES_MAX: usize = 4096;
const FRAMES_MAX: usize = 32;
/// What a message may cost: what it may have, and what the connection counts for its frames.
const MESSAGE_COST_MAX: usize = MESSAGE_BYTES_MAX + 64 * 1024 + 64 * (FRAMES_MAX + 1);

fn handshake(kind: SocketKind) -> Vec<u8> {
    let mut bytes = GREETING.to_vec();
    bytes.resize(64, 0);
    let peer = match kind {
        SocketKind::Router => "DEALER",
        SocketKind::Pull => "PUSH",
        SocketKind::Dealer => "REP",
        SocketKind::XSub => "PUB",
        SocketKind::XPub => "SUB",
        SocketKind::Push => "PULL",
    };
    let mut ready = b"\x05READY\x0bSocket-Type".to_vec();
    ready.extend([0, 0, 0, peer.len() as u8]);
    ready.extend(peer.as_bytes());
    bytes.extend([4, ready.len() as u8]);
    bytes.extend(ready);
    bytes
}

struct Node {
    zmtp: Box<dyn Zmtp>,
    talks: bool,
    looks_ahead: bool,
    messages: Vec<Frames>,
}

impl Node {
    fn take_messages(&mut self) -> Result<(), ZmtpError> {
        if self.looks_ahead {
            self.zmtp.look_ahead()?;
        }
        while let Some(message) = self.zmtp.poll_message()? {
            let bytes: usize = message.iter().map(Bytes::len).sum();
            assert!(bytes <= MESSAGE_COST_MAX, "a message of {bytes} bytes came through");
            self.messages.push(message);
        }
        Ok(())
    }

    /// Writes what is queued, a little at a time.
    fn write(&mut self) {
        while self.zmtp.transmit_pending() > 0 {
            let mut slices = [IoSlice::new(&[]); SLICES_MAX];
            let count = self.zmtp.transmit(&mut slices);
            let length: usize = slices[..count].iter().map(|slice| slice.len()).sum();
            assert!(length > 0, "what is pending can be written");
            self.zmtp.advance_transmit(length.div_ceil(2));
        }
    }

    fn talk(&mut self) {
        let _ = self.zmtp.heartbeat_ttl();
        if self.talks && self.zmtp.peer().is_some() {
            self.zmtp.send(&[Bytes::from_static(b"a"), Bytes::from_static(&[0; 300])]);
            self.zmtp.send_ping();
            self.zmtp.send_error("enough");
        }
    }

    /// Says whether the connection goes on.
    fn read(&mut self, bytes: &[u8]) -> bool {
        let mut result = self.zmtp.handle_input(bytes);
        if result.is_ok() {
            result = self.take_messages();
        }
        if self.looks_ahead {
            // Those that were found before an error.
            let _ = self.take_messages();
        }
        if let Err(error) = &result {
            assert!(!error.explanation.is_empty(), "an error says what is wrong");
        }
        self.talk();
        self.write();
        result.is_ok()
    }
}

/// The messages that come of a stream, up to the first error.
fn messages(
    kind: SocketKind,
    [talks, looks_ahead]: [bool; 2],
    start: &[u8],
    pieces: &[&[u8]],
) -> Vec<Frames> {
    let mut limits = Limits::default();
    (limits.message_bytes_max, limits.frames_max) = (MESSAGE_BYTES_MAX, FRAMES_MAX);
    let mut node =
        Node { zmtp: fuzzing::connection(kind, &limits), talks, looks_ahead, messages: Vec::new() };
    let mut goes_on = start.is_empty() || node.read(start);
    let mut pieces = pieces.iter();
    while goes_on && let Some(piece) = pieces.next() {
        goes_on = node.read(piece);
    }
    node.messages
}

fuzz_target!(|data: &[u8]| {
    let mut input = Input::new(data);
    let options = input.u8();
    let kind = match (options >> 3 & 3, options & 1) {
        (0, 0) => SocketKind::Router,
        (0, _) => SocketKind::Pull,
        (1, _) => SocketKind::Dealer,
        (2, _) => SocketKind::XSub,
        _ => SocketKind::XPub,
    };
    let start = if options & 2 == 0 { Vec::new() } else { handshake(kind) };
    let ways = [options & 4 != 0, options & 32 != 0];
    let cuts = input.short();
    let whole = input.clone().rest();
    let most = 256 * data.len() + (512 << 10);
    let at_once = bounded(most, || messages(kind, ways, &start, &[whole]));
    let in_pieces = bounded(2 * most, || messages(kind, ways, &start, &input.pieces(cuts)));
    assert_eq!(at_once, in_pieces, "how a stream is cut changes nothing");
});
