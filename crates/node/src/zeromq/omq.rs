//! [`Zmtp`] on the sans-I/O connection of `omq-proto`.
//!
//! It does the handshake, commands and encryption. The rest is done in front of it, so that what a peer costs is bounded by
//! what it sent, and a plain message costs little:
//! - Until the handshake is done, bytes are collected here, at most
//!   [`HANDSHAKE_BYTES_MAX`], and handed over greeting by greeting and command by command. The connection
//!   itself, which takes a 64 KiB buffer when it is made, is made when the greeting is complete.
//! - After it, [`FrameDecoder`] cuts what comes into frames. Plain ones are messages as they are; the connection
//!   gets the commands, and every frame where all is encrypted.
//! - Commands that subscribe become messages, as ZMTP 3.0 has them, and the other way round.
//! - Plain messages are encoded by [`Chunks`]: small frames side by side, large ones where they are.

use std::collections::VecDeque;
use std::io::IoSlice;
use std::time::Duration;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use omq_proto::proto::command::Command;
use omq_proto::proto::greeting::GREETING_LEN;
use omq_proto::proto::{Connection, ConnectionConfig, Event, MechanismName, Role};
use omq_proto::{Error, Message, SocketType};
use swarmmq_broker::exchange::Frames;
use swarmmq_protocol::limits::HANDSHAKE_BYTES_MAX;

use super::chunks::{COPIED_BYTES_MAX, Chunks};
use super::decoder::{FRAME_SLOT_BYTES, Frame, FrameDecoder, FrameError, Header, Traffic};
use super::drops::Reason;
use super::mechanisms::Mechanisms;
use super::shared::SharedMessage;
use super::subscription;
use super::zmtp::{PeerProperties, SLICES_MAX, SocketKind, Zmtp, ZmtpError};

/// A frame may be this much larger than the limit and is still read, so that its sender can be told.
const SLACK_BYTES: usize = 64 * 1024;
/// Frames up to this size are copied to the connection together with their header.
const FED_WHOLE_BYTES_MAX: usize = 512;
/// What encryption adds to a frame at most: the command's name, a nonce, an authenticator, flags.
const ENCRYPTED_EXTRA_BYTES: usize = 64;
/// Messages that are looked for at most before anybody wants them, to find a PING behind them.
const READY_MAX: usize = 4096;
/// A peer silent for this long after our PING may be given up by its own side, tenths of a second: 0, never.
const PING_TTL: u16 = 0;

/// See the module.
pub(super) struct OmqConnection {
    socket_type: SocketType,
    mechanisms: Mechanisms,
    /// The one that the peer wants, once its greeting is here.
    wanted: Option<MechanismName>,
    /// What is allowed, and what is read of it at most.
    message_bytes_max: usize,
    frames_max: usize,
    size_max: usize,
    connection: Option<Box<Connection>>,
    /// What was read of a greeting or handshake command that is not all there.
    staged: BytesMut,
    handshake_bytes: usize,
    peer: Option<PeerProperties>,
    /// What comes after the handshake.
    decoder: FrameDecoder,
    is_encrypted: bool,
    /// Messages that were looked for before anybody wanted them.
    ready: VecDeque<Frames>,
    /// Nothing more comes.
    has_failed: bool,
    /// Something came after the last PING, so that what this said of silence counts no more.
    has_heard: bool,
    /// Commands of a subscriber, as messages.
    subscriptions: VecDeque<Frames>,
    out: Chunks,
}

impl OmqConnection {
    /// The node's end of a connection whose messages have at most so many bytes and frames.
    pub(super) fn new(
        kind: SocketKind,
        mechanisms: Mechanisms,
        message_bytes_max: usize,
        frames_max: usize,
    ) -> Self {
        let mut out = Chunks::default();
        out.push(&mechanisms.first_part());
        let slots = frames_max.saturating_add(1) * FRAME_SLOT_BYTES;
        Self {
            socket_type: match kind {
                SocketKind::Router => SocketType::Router,
                SocketKind::Pull => SocketType::Pull,
                SocketKind::Dealer => SocketType::Dealer,
                SocketKind::XSub => SocketType::XSub,
                SocketKind::XPub => SocketType::XPub,
                SocketKind::Push => SocketType::Push,
            },
            mechanisms,
            wanted: None,
            message_bytes_max,
            frames_max,
            size_max: message_bytes_max.saturating_add(SLACK_BYTES).saturating_add(slots),
            connection: None,
            staged: BytesMut::new(),
            handshake_bytes: 0,
            peer: None,
            decoder: FrameDecoder::default(),
            is_encrypted: false,
            ready: VecDeque::new(),
            has_failed: false,
            has_heard: false,
            subscriptions: VecDeque::new(),
            out,
        }
    }

    fn handle_handshake(&mut self, bytes: &[u8]) -> Result<(), ZmtpError> {
        self.staged.extend_from_slice(bytes);
        while self.peer.is_none() {
            let Some(length) = self.handshake_item()? else { break };
            let item = self.staged.split_to(length).freeze();
            self.handshake_bytes += length;
            self.feed(item)?;
        }
        if self.peer.is_none() {
            return Ok(());
        }
        self.is_encrypted =
            self.connection.as_ref().is_some_and(|connection| connection.has_frame_transform());
        let extra = if self.is_encrypted { ENCRYPTED_EXTRA_BYTES } else { 0 };
        self.decoder = FrameDecoder::new(self.size_max.saturating_add(extra));
        let rest = std::mem::take(&mut self.staged);
        if !rest.is_empty() {
            self.decoder.push(&rest);
        }
        Ok(())
    }

    /// The length of the greeting or command at the start of what is staged, if it is all there.
    fn handshake_item(&mut self) -> Result<Option<usize>, ZmtpError> {
        let mut staged = &self.staged[..];
        if self.connection.is_none() {
            let wanted = check_greeting(staged, &self.mechanisms.offered())?;
            if let Some(wanted) = wanted {
                self.wanted = Some(wanted);
                self.out.push(&self.mechanisms.second_part(wanted));
            }
            return Ok(wanted.map(|_| GREETING_LEN));
        }
        let Ok(flags) = staged.try_get_u8() else { return Ok(None) };
        let length = match flags & 2 {
            0 => staged.try_get_u8().map(u64::from),
            _ => staged.try_get_u64(),
        };
        let Ok(length) = length else { return Ok(None) };
        match usize::try_from(length) {
            Ok(length) if self.handshake_bytes.saturating_add(length) <= HANDSHAKE_BYTES_MAX => {
                let header = self.staged.len() - staged.len();
                Ok((staged.len() >= length).then_some(header + length))
            }
            _ => Err(handshake_too_large(usize::try_from(length).unwrap_or(usize::MAX))),
        }
    }

    /// Hands a greeting, a command or a frame to the connection, which it makes if need be.
    fn feed(&mut self, bytes: Bytes) -> Result<(), ZmtpError> {
        let connection = match &mut self.connection {
            Some(connection) => connection,
            none => {
                let setup = self.wanted.and_then(|wanted| self.mechanisms.setup(wanted));
                let config = ConnectionConfig::new(Role::Server, self.socket_type)
                    .max_message_size(self.size_max)
                    .mechanism(setup.unwrap_or_default());
                let mut connection = Connection::new(config);
                // Ours was sent when the peer connected.
                connection.advance_transmit(GREETING_LEN);
                none.insert(Box::new(connection))
            }
        };
        let result = connection.handle_input(bytes);
        self.after(result)
    }

    /// Takes over what the connection has to say after it was given something.
    fn after(&mut self, result: Result<(), Error>) -> Result<(), ZmtpError> {
        let Some(connection) = &mut self.connection else { return Ok(()) };
        while let Some(event) = connection.poll_event() {
            match event {
                Event::HandshakeSucceeded { peer_minor, peer_properties } => {
                    self.peer = Some(PeerProperties {
                        socket_type: peer_properties.socket_type.map_or("", SocketType::as_str),
                        routing_id: peer_properties.identity.clone().unwrap_or_default(),
                        knows_ping: peer_minor >= 1,
                        principal: self.mechanisms.principal(),
                    });
                }
                Event::Command(command) if self.socket_type == SocketType::XPub => {
                    self.subscriptions.extend(subscription::message_of(&command));
                }
                // Commands of other socket types say nothing to ours, and a peer may send what it likes.
                _ => {}
            }
        }
        let pending = connection.pending_transmit_size();
        if pending < COPIED_BYTES_MAX {
            for slice in connection.transmit_chunks() {
                self.out.copy(&slice);
            }
        } else {
            for chunk in connection.clone_transmit_chunks() {
                self.out.push(&chunk);
            }
        }
        connection.advance_transmit(pending);
        result.map_err(|error| self.explain(&error))
    }

    fn explain_frame(&self, error: &FrameError) -> ZmtpError {
        match error {
            FrameError::Flags(_) | FrameError::Length(_) => {
                ZmtpError::new(Reason::Protocol, error.to_string())
            }
            FrameError::TooLarge { .. } => self.oversized(&error.to_string()),
        }
    }

    fn oversized(&self, what: &str) -> ZmtpError {
        let (bytes, frames) = (self.message_bytes_max, self.frames_max);
        let text = format!("{what}, where {bytes} bytes and {frames} frames are allowed");
        ZmtpError::new(Reason::Oversized, text)
    }

    fn explain(&self, error: &Error) -> ZmtpError {
        let reason = match error {
            Error::MessageTooLarge { size, .. } => {
                return self.oversized(&format!("a message that counts for at least {size} bytes"));
            }
            _ if self.peer.is_some() => Reason::Protocol,
            _ if self.mechanisms.is_refused() => {
                return ZmtpError::new(Reason::Credentials, "no user of this node has what it shows");
            }
            Error::HandshakeFailed(text) if text.contains("HELLO signature invalid") => {
                return ZmtpError::new(
                    Reason::ServerKey,
                    "its CURVE handshake is for another server's key: compare its server key with this node's public key",
                );
            }
            Error::HandshakeFailed(text) if text.starts_with("incompatible socket types") => {
                Reason::SocketType
            }
            _ => Reason::Handshake,
        };
        ZmtpError::new(reason, error.to_string())
    }

    fn next_message(&mut self) -> Result<Option<Frames>, ZmtpError> {
        if self.has_failed {
            return Ok(None);
        }
        let next = self.decode_message();
        self.has_failed = next.is_err();
        next
    }

    /// The next message, as far as what was read goes.
    fn decode_message(&mut self) -> Result<Option<Frames>, ZmtpError> {
        loop {
            if let Some(subscription) = self.subscriptions.pop_front() {
                return Ok(Some(subscription));
            }
            if !self.is_encrypted {
                match self.decoder.poll().map_err(|error| self.explain_frame(&error))? {
                    None => return Ok(None),
                    Some(Traffic::Message(frames)) => {
                        self.has_heard = true;
                        return Ok(Some(frames));
                    }
                    Some(Traffic::Command(header, body)) => self.feed_frame(header, body)?,
                }
                continue;
            }
            if let Some(message) = self.connection.as_mut().and_then(|connection| connection.poll_message()) {
                self.has_heard = true;
                return Ok(Some((0..message.len()).filter_map(|part| message.part_bytes(part)).collect()));
            }
            match self.decoder.poll_frame().map_err(|error| self.explain_frame(&error))? {
                None => return Ok(None),
                Some(Frame::Whole(bytes)) => {
                    self.has_heard = false;
                    self.feed(bytes)?;
                }
                Some(Frame::Apart(header, body)) => self.feed_frame(header, body)?,
            }
        }
    }

    fn feed_frame(&mut self, header: Header, body: Bytes) -> Result<(), ZmtpError> {
        self.has_heard = false;
        let mut bytes = BytesMut::with_capacity(FED_WHOLE_BYTES_MAX.min(body.len()) + 9);
        header.put(&mut bytes);
        if body.len() <= FED_WHOLE_BYTES_MAX {
            bytes.put_slice(&body);
            return self.feed(bytes.freeze());
        }
        self.feed(bytes.freeze())?;
        let Some(connection) = &mut self.connection else { return Ok(()) };
        let result = match connection.begin_supplied_payload() {
            Some(_) => connection.supply_payload(body),
            None => connection.handle_input(body),
        };
        self.after(result)
    }

    fn send_command(&mut self, command: &Command) {
        let Some(connection) = &mut self.connection else { return };
        let result = connection.send_command(command);
        // Only a connection that is not ready refuses a command, and then nobody is there to be told.
        let _ = self.after(result);
    }
}

fn handshake_too_large(bytes: usize) -> ZmtpError {
    ZmtpError::new(
        Reason::HandshakeTooLarge,
        format!("a handshake of {bytes} bytes, more than {HANDSHAKE_BYTES_MAX}"),
    )
}

/// The mechanism that a greeting names, if it is all there. What is wrong is told as soon as it can be seen, so that a browser
/// is not kept waiting for the rest of a greeting it will never send.
fn check_greeting(bytes: &[u8], offered: &[MechanismName]) -> Result<Option<MechanismName>, ZmtpError> {
    if bytes.first().is_some_and(|first| *first != 0xFF) || bytes.get(9).is_some_and(|tenth| tenth & 1 == 0) {
        return Err(ZmtpError::new(Reason::NotZmtp, "it does not begin with the signature of ZMTP"));
    }
    if let Some(major) = bytes.get(10).filter(|major| **major < 3) {
        return Err(ZmtpError::new(Reason::Version, format!("it speaks version {major} of ZMTP, not 3")));
    }
    let Some(wanted) = bytes.get(..GREETING_LEN).and_then(|greeting| greeting.get(12..32)) else {
        return Ok(None);
    };
    if let Some(found) = offered.iter().find(|mechanism| mechanism.as_padded() == wanted) {
        return Ok(Some(*found));
    }
    let offered: Vec<String> = offered.iter().map(|one| one.as_bytes().escape_ascii().to_string()).collect();
    let wanted = wanted.escape_ascii().to_string();
    let (wanted, offered) = (wanted.trim_end_matches("\\x00"), offered.join(" and "));
    Err(ZmtpError::new(
        Reason::Mechanism,
        format!("it wants the mechanism {wanted}, the endpoint has {offered}"),
    ))
}

impl Zmtp for OmqConnection {
    fn handle_input(&mut self, bytes: &[u8]) -> Result<(), ZmtpError> {
        if self.peer.is_none() {
            return self.handle_handshake(bytes);
        }
        self.decoder.push(bytes);
        Ok(())
    }

    fn peer(&self) -> Option<&PeerProperties> {
        self.peer.as_ref()
    }

    fn poll_message(&mut self) -> Result<Option<Frames>, ZmtpError> {
        match self.ready.pop_front() {
            Some(message) => Ok(Some(message)),
            None => self.next_message(),
        }
    }

    fn look_ahead(&mut self) -> Result<bool, ZmtpError> {
        while self.ready.len() < READY_MAX
            && let Some(message) = self.next_message()?
        {
            self.ready.push_back(message);
        }
        Ok(self.ready.len() < READY_MAX)
    }

    fn heartbeat_ttl(&self) -> Option<Duration> {
        self.connection.as_ref().filter(|_| !self.has_heard)?.peer_heartbeat_ttl()
    }

    fn send(&mut self, frames: &[Bytes]) {
        if self.socket_type == SocketType::XSub
            && let Some(command) = subscription::command_of(frames)
        {
            // To a peer of ZMTP 3.0 it is sent as a message.
            return self.send_command(&command);
        }
        let Some(connection) = &mut self.connection else { return };
        if connection.has_frame_transform() {
            let result = connection.send_message(&Message::multipart(frames.iter().cloned()));
            let _ = self.after(result);
        } else {
            self.out.push_message(frames);
        }
    }

    fn send_shared(&mut self, message: &SharedMessage) {
        match message.plain() {
            Some(bytes) if self.takes_encoded() => self.out.push(bytes),
            _ => self.send(message.frames()),
        }
    }

    fn takes_encoded(&self) -> bool {
        // What an XSUB sends may have to become a command.
        self.peer.is_some() && !self.is_encrypted && self.socket_type != SocketType::XSub
    }

    fn send_encoded(&mut self, messages: &Bytes) {
        debug_assert!(self.takes_encoded(), "the peer expects something else than plain frames");
        self.out.push(messages);
    }

    fn send_ping(&mut self) {
        self.send_command(&Command::Ping { ttl_deciseconds: PING_TTL, context: Bytes::new() });
    }

    fn send_error(&mut self, reason: &str) {
        self.send_command(&Command::Error { reason: reason.to_owned() });
    }

    fn transmit_pending(&self) -> usize {
        self.out.pending()
    }

    fn transmit<'a>(&'a mut self, slices: &mut [IoSlice<'a>; SLICES_MAX]) -> usize {
        self.out.fill(slices)
    }

    fn advance_transmit(&mut self, bytes: usize) {
        self.out.advance(bytes);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use proptest::prelude::*;

    use super::*;

    fn connection() -> OmqConnection {
        let mechanisms = Mechanisms::new(Arc::default(), Arc::new(|_| None));
        OmqConnection::new(SocketKind::Router, mechanisms, 2000, 512)
    }

    fn handshake() -> Vec<u8> {
        let mut bytes = vec![0xFF, 0, 0, 0, 0, 0, 0, 0, 1, 0x7F, 3, 1];
        bytes.extend(b"NULL");
        bytes.resize(64, 0);
        bytes.extend(b"\x04\x1b\x05READY\x0bSocket-Type\x00\x00\x00\x06DEALER");
        bytes[65] = u8::try_from(bytes.len() - 66).unwrap();
        bytes
    }

    /// Feeds bytes in pieces and returns the messages up to the first error, and whether there was one.
    fn messages(bytes: &[u8], pieces: &[usize]) -> (Vec<Frames>, bool) {
        let mut connection = connection();
        let (mut rest, mut pieces, mut out) = (bytes, pieces.iter().cycle(), Vec::new());
        while !rest.is_empty() {
            let (piece, left) = rest.split_at(rest.len().min(*pieces.next().unwrap_or(&1)));
            rest = left;
            if connection.handle_input(piece).is_err() {
                return (out, true);
            }
            loop {
                match connection.poll_message() {
                    Ok(Some(message)) => out.push(message),
                    Ok(None) => break,
                    Err(_) => return (out, true),
                }
            }
        }
        (out, false)
    }

    fn any_wire() -> impl Strategy<Value = Vec<u8>> {
        let frame = prop_oneof![
            8 => (0..2_u8, 0..200_usize).prop_map(|(more, size)| {
                [vec![more, u8::try_from(size).unwrap()], vec![b'a'; size]].concat()
            }),
            4 => (0..2_u8, 0..2200_usize).prop_map(|(more, size)| {
                [vec![more | 2], (size as u64).to_be_bytes().to_vec(), vec![b'b'; size]].concat()
            }),
            1 => Just(b"\x04\x07\x04PING\x00\x00".to_vec()),
            1 => Just(b"\x04\x04\x03ODD".to_vec()),
            1 => proptest::collection::vec(any::<u8>(), 0..20),
        ];
        proptest::collection::vec(frame, 0..12).prop_map(|frames| frames.concat())
    }

    proptest! {
        #[test]
        fn how_bytes_are_cut_changes_nothing(
            wire in any_wire(), pieces in proptest::collection::vec(1..700_usize, 1..10)
        ) {
            let bytes = [handshake(), wire].concat();
            prop_assert_eq!(messages(&bytes, &pieces), messages(&bytes, &[bytes.len()]));
        }

        #[test]
        fn any_bytes_give_messages_or_an_error(
            start in 0..97_usize, noise in proptest::collection::vec(any::<u8>(), 0..300)
        ) {
            let mut bytes = handshake();
            bytes.truncate(start);
            bytes.extend(noise);
            messages(&bytes, &[7]);
        }
    }

    #[test]
    fn a_ping_behind_messages_that_nobody_wants_is_answered() {
        let mut connection = connection();
        connection
            .handle_input(&[&handshake()[..], b"\x00\x01a\x00\x01b\x04\x07\x04PING\x00\x00"].concat())
            .unwrap();
        assert!(connection.look_ahead().unwrap(), "more may be read");
        let mut slices = [IoSlice::new(&[]); SLICES_MAX];
        let filled = connection.transmit(&mut slices);
        let sent: Vec<u8> = slices[..filled].iter().flat_map(|slice| slice.to_vec()).collect();
        assert!(sent.ends_with(b"\x04\x05\x04PONG"), "{sent:?}");
        for body in ["a", "b"] {
            assert_eq!(connection.poll_message().unwrap().unwrap(), [body]);
        }
        assert!(connection.poll_message().unwrap().is_none());
    }

    #[test]
    fn what_is_too_large_is_told_with_the_limits_that_were_configured() {
        let mut connection = connection();
        connection.handle_input(&handshake()).unwrap();
        connection.handle_input(b"\x01\x01a\x02\x00\x00\x00\x00\x40\x00\x00\x00").unwrap();
        let plain = connection.poll_message().unwrap_err();
        let encrypted = connection.explain(&Error::MessageTooLarge { size: 5000, max: 77_777 });
        for (error, size) in [(plain, "1073741825 bytes in 2 frames"), (encrypted, "5000 bytes")] {
            assert_eq!(error.reason, Reason::Oversized);
            let told = format!("{size}, where 2000 bytes and 512 frames are allowed");
            assert!(error.explanation.ends_with(&told), "{error}");
        }
    }

    #[test]
    fn silence_is_counted_from_a_ping_only_if_nothing_follows() {
        let mut connection = connection();
        connection.handle_input(&handshake()).unwrap();
        connection.handle_input(b"\x04\x07\x04PING\x00\x05").unwrap();
        assert!(connection.poll_message().unwrap().is_none());
        assert_eq!(connection.heartbeat_ttl(), Some(Duration::from_millis(500)));
        connection.handle_input(b"\x00\x01a").unwrap();
        assert!(connection.poll_message().unwrap().is_some());
        assert_eq!(connection.heartbeat_ttl(), None);
    }
}
