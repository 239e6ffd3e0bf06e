//! The one task of a peer.
//!
//! ```text
//! handshake ──▶ serving ──▶ draining ──▶ closed
//!     │            │ the peer closed, broke a rule, was silent; the node stops
//!     └────────────┴─▶ closed, counted, and told why where ZMTP can say it
//! ```
//!
//! Each round hands over all messages that were read, takes all answers that are there, and then moves
//! bytes: it writes what it can and reads only while the service wants more. Not reading is the
//! back-pressure: TCP tells the peer, whose ZeroMQ queue fills up to its high-water mark.

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use swarmmq_broker::exchange::{Frames, Side};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use super::admission::HandshakeSlot;
use super::drops::{Drops, Reason};
use super::durable::Durable;
use super::egress::Egress;
use super::hub::{Hub, Member};
use super::ingest::Ingest;
use super::listener::phrase;
use super::mailbox::Mailbox;
use super::mechanisms::Mechanisms;
use super::omq::OmqConnection;
use super::options::{EndpointKind, EndpointOptions, Limits};
use super::peers::{PeerList, PeerRecord};
use super::shared::Outbound;
use super::tap::{Direction, Point};
use super::wakeup::Wakeup;
use super::wire::{Moved, Wire};
use super::zmtp::{Authenticate, PeerProperties, Shown, ZmtpError};
use crate::security::{Changes, Gate, Principal};
use crate::shards::Shards;

/// What is read at most of a peer whose messages nobody takes now. Its connection is watched that way: one that has
/// not sent more and goes is noticed.
const READ_AHEAD_BYTES: usize = 64 * 1024;

/// After so many bytes of messages, they are written before more are taken: the peer need not wait until megabytes of them are
/// encrypted, and what was just encrypted is still in the processor's cache.
const WRITE_BYTES: usize = 64 * 1024;

/// A message to the peer, or several.
pub(super) struct Outgoing {
    pub(super) message: Outbound,
    /// The subscription it delivers for, and the bytes of its messages.
    pub(super) delivered: Option<(u64, usize)>,
}

/// What an endpoint does, without I/O.
pub(super) trait Service: Send {
    /// What wakes the session when there is something for the peer, or room for more of it.
    fn wakeup(&self) -> Arc<Wakeup>;
    /// Whether there is room for more requests.
    fn wants_input(&self) -> bool;
    /// Takes a message of the peer.
    fn handle_message(&mut self, frames: Frames);
    /// All messages of a batch were handed over, or the shards have answered, or time has passed.
    fn handle_round(&mut self, now: Instant);
    /// The next message to the peer.
    fn poll_transmit(&mut self) -> Option<Outgoing>;
    /// Whether others are to run before more of the peer is handed over. It is asked once for each time.
    fn poll_pause(&mut self) -> bool {
        false
    }
    /// The peer may do something else than before.
    fn handle_rights(&mut self, principal: &Principal);
    /// A delivery has been written.
    fn handle_written(&mut self, subscription: u64, bytes: usize);
    /// The peer does not take what is written, and more of it than may wait in the session.
    fn handle_full(&mut self) {}
    /// Messages were taken, and there is nobody to get them any more.
    fn handle_unsent(&mut self, _messages: usize) {}
    /// Nothing more is read of the peer: what is under way is to be finished and nothing to be begun.
    fn handle_stop(&mut self) {}
    /// Whether a peer that will send no more is gone, so that nothing more is written to it either.
    fn ends_with_input(&self) -> bool {
        false
    }
    /// Whether a peer that answers no PING is gone. One that is slow may not have read it yet.
    fn counts_silence(&self) -> bool {
        true
    }
    /// When [`Service::handle_round`] wants to be called at the latest.
    fn poll_timeout(&self) -> Option<Instant>;
    /// Why the service has done with the peer, if it has: the connection is closed once the rest is written.
    fn poll_close(&mut self) -> Option<ZmtpError> {
        None
    }
    /// Whether what was read waits for others, however long that takes.
    fn is_held(&self) -> bool {
        false
    }
    /// Whether nothing is under way that should be waited for.
    fn is_done(&self) -> bool;
    /// Messages that were read and are not known to be stored, and that nobody will be told of.
    fn unconfirmed(&self) -> usize;
}

/// What a session is told.
#[derive(Clone)]
pub(super) struct SessionOptions {
    pub(super) endpoint: Arc<EndpointOptions>,
    /// Which of the endpoint's addresses the peer connected to.
    pub(super) side: Side,
    /// Where its peers meet, if they talk to each other.
    pub(super) hub: Option<Arc<Hub>>,
    pub(super) shards: Arc<dyn Shards>,
    pub(super) gate: Arc<Gate>,
    pub(super) drops: Drops,
    pub(super) peers: PeerList,
    /// Where others watch what passes.
    pub(super) point: Arc<Point>,
    pub(super) stop: CancellationToken,
}

/// Serves a peer until it goes: one of this machine, if it has no address. `admitted` is held during the handshake only.
pub(super) async fn run<S>(
    stream: S,
    from: Option<SocketAddr>,
    options: SessionOptions,
    admitted: HandshakeSlot,
) where
    S: AsyncRead + AsyncWrite + Unpin + Send,
{
    let address = from.map_or_else(|| "ipc".to_owned(), |from| from.to_string());
    let is_local = from.is_none_or(|from| from.ip().to_canonical().is_loopback());
    let limits = &options.endpoint.limits;
    let kind = options.endpoint.kind.socket(options.side);
    let frames_max = options.endpoint.kind.frames_max(limits);
    let mechanisms = Mechanisms::new(options.endpoint.security.clone(), authenticate(&options, from));
    let zmtp = OmqConnection::new(kind, mechanisms, limits.message_bytes_max, frames_max);
    // From before it shows who it is, so that no change is missed.
    let changes = options.gate.changes();
    let mut wire = Wire::new(stream, Box::new(zmtp), options.drops.clone());
    let greeted = tokio::select! {
        greeted = timeout(limits.handshake_timeout, wire.handshake()) => greeted,
        () = options.stop.cancelled() => return,
    };
    let peer = match greeted {
        Ok(Ok(peer)) => peer,
        Ok(Err(None)) => return,
        Ok(Err(Some(error))) if matches!(error.reason, Reason::Credentials | Reason::ServerKey) => {
            admitted.failed();
            return refuse(wire, &options, &address, &error).await;
        }
        Ok(Err(Some(error))) => return refuse(wire, &options, &address, &error).await,
        Err(_) => {
            let error = ZmtpError::new(Reason::HandshakeTimeout, "its handshake took too long");
            return refuse(wire, &options, &address, &error).await;
        }
    };
    drop(admitted);
    // The mechanism NULL has no way to say who one is.
    let shown = peer.principal.clone().unwrap_or_else(|| options.gate.unidentified(is_local));
    // Users may have changed since it showed who it is.
    let Some(principal) = options.gate.renew(&shown, is_local) else {
        let error = ZmtpError::new(Reason::Revoked, format!("{} is not let in any more", shown.name()));
        return refuse(wire, &options, &address, &error).await;
    };
    if !options.endpoint.kind.peers(options.side).contains(&peer.socket_type) {
        let goes = options.endpoint.kind.peers(options.side).join(" and ");
        let text = format!("{} does not go with this endpoint, {goes} do", peer.socket_type);
        wire.zmtp.send_error(&text);
        return refuse(wire, &options, &address, &ZmtpError::new(Reason::SocketType, text)).await;
    }
    if let Some((action, queue)) = options.endpoint.kind.demands()
        && !principal.may(action, queue)
    {
        // Closed, and not read: what the peer has not sent yet stays with it.
        let text = format!("{} may not {} {queue}", principal.name(), phrase(action));
        wire.zmtp.send_error(&text);
        return refuse(wire, &options, &address, &ZmtpError::new(Reason::Forbidden, text)).await;
    }
    debug!(
        endpoint = options.endpoint.name, address, socket_type = peer.socket_type,
        user = principal.name(), routing_id = %peer.routing_id.escape_ascii(), "a ZeroMQ peer is connected"
    );
    let service = service(&options, &peer, principal.clone(), wire.zmtp.takes_encoded());
    let record = Arc::new(PeerRecord::new(
        options.side,
        from,
        peer.socket_type,
        peer.routing_id.clone(),
        principal.name(),
    ));
    let _listed = options.peers.add(record.clone());
    let guard = Guard { principal, is_local, changes, record };
    Session::new(wire, service, peer, guard, &options, &address).serve().await;
}

/// Who a peer is by what it shows. A refusal is counted where all refused authentications are.
fn authenticate(options: &SessionOptions, from: Option<SocketAddr>) -> Authenticate {
    let gate = options.gate.clone();
    let is_local = from.is_none_or(|from| from.ip().to_canonical().is_loopback());
    Arc::new(move |shown| {
        let found = match shown {
            Shown::Password(name, password) => gate.password(name, password, is_local),
            Shown::CurveKey(key) => gate.curve_key(key, is_local),
        };
        let peer = from.unwrap_or_else(|| SocketAddr::from(([127, 0, 0, 1], 0)));
        found.inspect_err(|refusal| gate.refusals().record(peer, "zeromq", refusal)).ok()
    })
}

/// Who the peer is, as long as that stays so.
struct Guard {
    principal: Principal,
    is_local: bool,
    changes: Changes,
    record: Arc<PeerRecord>,
}

/// What serves a peer.
fn service(
    options: &SessionOptions,
    peer: &PeerProperties,
    principal: Principal,
    takes_encoded: bool,
) -> Box<dyn Service> {
    let (limits, drops) = (options.endpoint.limits.clone(), options.drops.clone());
    if let Some(hub) = &options.hub {
        let (hub, side) = (hub.clone(), options.side);
        return Box::new(Member::new(hub, side, peer, principal, takes_encoded, limits, drops));
    }
    let mailbox = Arc::new(Mailbox::default());
    let tie = options.shards.attach(mailbox.clone());
    match &options.endpoint.kind {
        EndpointKind::Ingest { queue, multipart } => {
            Box::new(Ingest::new(tie, mailbox, Some(principal), queue.clone(), *multipart, limits, drops))
        }
        EndpointKind::Egress { queue, acknowledge, prefetch } => {
            Box::new(Egress::new(tie, mailbox, queue.clone(), *acknowledge, *prefetch, drops))
        }
        _ => Box::new(Durable::new(tie, mailbox, principal, limits, drops, peer.socket_type == "REQ")),
    }
}

/// Counts, logs and tells a peer why it is refused.
async fn refuse<S>(wire: Wire<S>, options: &SessionOptions, address: &str, error: &ZmtpError)
where
    S: AsyncRead + AsyncWrite + Unpin + Send,
{
    note(options, address, error);
    wire.close().await;
}

fn note(options: &SessionOptions, address: &str, error: &ZmtpError) {
    options.drops.count(error.reason);
    let endpoint = &options.endpoint.name;
    // A peer whose machine sleeps or has lost its network is ordinary. With all others somebody has configured something
    // wrongly, or tries what may be had, and wants to find out what, or should be found out.
    let matters = error.reason != Reason::Silent;
    let line = matters.then(|| options.drops.admits_line_of(error.reason)).flatten();
    let reason = error.reason.as_str();
    match line {
        Some(silent) => warn!(endpoint, address, reason, %error, silent, "a ZeroMQ peer is refused"),
        None => debug!(endpoint, address, reason, %error, "a ZeroMQ peer is refused"),
    }
}

/// A peer after its handshake.
struct Session<'a, S> {
    wire: Wire<S>,
    service: Box<dyn Service>,
    peer: PeerProperties,
    limits: &'a Limits,
    guard: Guard,
    options: &'a SessionOptions,
    address: &'a str,
    /// Deliveries on their way: at how many written bytes, which subscription, how many bytes of it.
    deliveries: VecDeque<(u64, u64, usize)>,
    /// It has lost the right to be here: nothing more of what was read is handed over.
    is_cut_off: bool,
    /// Bytes read while the service wants none, only to learn that the peer is gone.
    ahead: usize,
    reading: bool,
    writing: bool,
    /// Since when the peer is silent. While we do not read it, it is not.
    heard: Instant,
    pinged: bool,
    /// When to stop waiting for what is under way; set once there is nothing more to read.
    end: Option<Instant>,
}

impl<'a, S: AsyncRead + AsyncWrite + Unpin + Send> Session<'a, S> {
    fn new(
        wire: Wire<S>,
        service: Box<dyn Service>,
        peer: PeerProperties,
        guard: Guard,
        options: &'a SessionOptions,
        address: &'a str,
    ) -> Self {
        Self {
            wire,
            service,
            peer,
            limits: &options.endpoint.limits,
            guard,
            options,
            address,
            deliveries: VecDeque::new(),
            is_cut_off: false,
            ahead: 0,
            reading: true,
            writing: true,
            heard: Instant::now(),
            pinged: false,
            end: None,
        }
    }

    async fn serve(mut self) {
        let wakeup = self.service.wakeup();
        loop {
            let now = Instant::now();
            // Not left to the select below: a peer that never stops sending keeps it busy.
            if self.reading && self.options.stop.is_cancelled() {
                self.stop_reading();
            }
            if self.guard.changes.have_changed() {
                self.renew();
            }
            if self.end.is_some_and(|end| end <= now) {
                break;
            }
            let left = self.hand_over();
            self.service.handle_round(now);
            let wrote = self.take_answers().await;
            if self.reading
                && let Some(error) = self.service.poll_close()
            {
                self.refuse(&error);
            }
            if self.service.poll_pause() {
                tokio::task::yield_now().await;
                continue;
            }
            // There is room again for what was left lying, and nobody else may ever wake the session for it.
            if left && self.service.wants_input() {
                continue;
            }
            // What follows from it is not to wait until the peer does something.
            if wrote {
                continue;
            }
            if self.is_over(now) {
                break;
            }
            let read = self.reads();
            if !read {
                self.heard = now;
            }
            if read && !self.keeps_alive(now) {
                continue;
            }
            let wake = self.next_timeout();
            let stop = self.options.stop.clone();
            let (reading, writing) = (self.reading, self.writing);
            tokio::select! {
                biased;
                moved = self.wire.move_bytes(read), if read || writing => self.handle_moved(moved),
                // Who is read comes first: what follows from all of that is then written at once, and not in crumbs.
                () = wakeup.woken() => tokio::task::yield_now().await,
                () = self.guard.changes.changed() => self.renew(),
                () = stop.cancelled(), if reading => self.stop_reading(),
                () = sleep_until(wake.unwrap_or(now)), if wake.is_some() => {}
            }
        }
        let mut unconfirmed = self.service.unconfirmed();
        while let Ok(Some(_)) = self.wire.zmtp.poll_message() {
            unconfirmed += 1;
        }
        if unconfirmed > 0 {
            self.options.drops.count_many(Reason::Unconfirmed, unconfirmed as u64);
            warn!(
                endpoint = self.options.endpoint.name,
                address = self.address,
                unconfirmed,
                "messages were read and not known to be stored when their session ended"
            );
        }
    }

    /// Hands over what was read, as long as there is room for it. Says whether there may be more.
    fn hand_over(&mut self) -> bool {
        while self.service.wants_input() && !self.is_cut_off {
            match self.wire.zmtp.poll_message() {
                Ok(Some(frames)) => {
                    self.guard.record.count_received();
                    self.options.point.show(Direction::In, &self.guard.record, &frames);
                    self.service.handle_message(frames);
                }
                Ok(None) => return false,
                Err(error) => {
                    self.refuse(&error);
                    return false;
                }
            }
        }
        !self.is_cut_off
    }

    /// Takes the answers that are there, as long as there is room for them. Says whether it came to writing, and there may be more.
    async fn take_answers(&mut self) -> bool {
        let before = self.wire.zmtp.transmit_pending();
        let mut may_write = true;
        while self.wire.zmtp.transmit_pending() < self.limits.send_queue_bytes
            && let Some(outgoing) = self.service.poll_transmit()
        {
            let messages = outgoing.message.messages();
            if !self.writing {
                self.service.handle_unsent(messages);
                continue;
            }
            self.guard.record.count_sent(messages);
            if self.options.endpoint.kind.is_source()
                && let Some(frames) = outgoing.message.frames()
            {
                self.options.point.show(Direction::Out, &self.guard.record, frames);
            }
            let end = self.wire.send(&outgoing.message);
            if let Some((subscription, bytes)) = outgoing.delivered {
                self.deliveries.push_back((end, subscription, bytes));
            }
            if may_write && self.wire.zmtp.transmit_pending() >= before + WRITE_BYTES {
                if self.write_now().await {
                    return true;
                }
                may_write = false;
            }
        }
        if self.wire.zmtp.transmit_pending() >= self.limits.send_queue_bytes {
            self.service.handle_full();
        }
        false
    }

    /// Writes what the peer takes at once. Says whether that came to anything: to bytes that it took, or to its being gone.
    async fn write_now(&mut self) -> bool {
        let Some(result) = self.wire.write_now().await else { return false };
        self.handle_moved(result.map(|()| Moved::Wrote));
        true
    }

    /// Users, keys or permissions have changed: the peer has its new rights, or is to go. What it asked for before, and the
    /// service has begun, is finished; what was read and not begun is not.
    fn renew(&mut self) {
        let before = &self.guard.principal;
        match self.options.gate.renew(before, self.guard.is_local) {
            Some(principal) if principal == *before => {}
            Some(principal) => {
                self.service.handle_rights(&principal);
                self.guard.principal = principal;
                if let Some(error) = self.service.poll_close() {
                    self.cut_off(&error);
                }
            }
            None => {
                let text = format!("{} is not let in any more", before.name());
                self.service.handle_rights(&Principal::powerless(before.name(), before.method()));
                // Why it is to go is said here.
                let _ = self.service.poll_close();
                self.cut_off(&ZmtpError::new(Reason::Revoked, text));
                self.stop_writing();
            }
        }
    }

    /// It is to go, which is counted once, whatever else changes while it ends.
    fn cut_off(&mut self, error: &ZmtpError) {
        if !std::mem::replace(&mut self.is_cut_off, true) {
            self.refuse(error);
        }
    }

    fn reads(&self) -> bool {
        self.reading
            && (self.service.wants_input() || self.ahead < READ_AHEAD_BYTES)
            && self.wire.zmtp.transmit_pending() < self.limits.send_queue_bytes
    }

    fn is_over(&self, now: Instant) -> bool {
        if self.reading {
            return false;
        }
        let nothing_to_write = !self.writing || self.wire.zmtp.transmit_pending() == 0;
        let done = self.service.is_done() && (self.service.wants_input() || self.service.is_held());
        (done && nothing_to_write) || self.end.is_some_and(|end| end <= now)
    }

    fn stop_reading(&mut self) {
        self.reading = false;
        self.service.handle_stop();
        self.end.get_or_insert(Instant::now() + self.limits.drain_timeout);
    }

    fn stop_writing(&mut self) {
        self.writing = false;
        self.wire.zmtp.advance_transmit(self.wire.zmtp.transmit_pending());
    }

    fn refuse(&mut self, error: &ZmtpError) {
        note(self.options, self.address, error);
        self.stop_reading();
    }

    fn handle_moved(&mut self, moved: io::Result<Moved>) {
        match moved {
            Ok(Moved::Read(result, bytes)) => {
                self.heard = Instant::now();
                self.pinged = false;
                let looked = match self.service.wants_input() {
                    true => {
                        self.ahead = 0;
                        result
                    }
                    false => {
                        self.ahead = self.ahead.saturating_add(bytes);
                        result.and_then(|()| self.wire.zmtp.look_ahead()).map(|has_room| {
                            if !has_room {
                                self.ahead = READ_AHEAD_BYTES;
                            }
                        })
                    }
                };
                if let Err(error) = looked {
                    self.refuse(&error);
                }
            }
            Ok(Moved::Wrote) => {
                while let Some((_, subscription, bytes)) =
                    self.deliveries.pop_front_if(|(end, ..)| *end <= self.wire.written)
                {
                    self.service.handle_written(subscription, bytes);
                }
            }
            Ok(Moved::End) => {
                self.stop_reading();
                if self.service.ends_with_input() {
                    self.stop_writing();
                }
            }
            Err(error) => {
                debug!(endpoint = self.options.endpoint.name, address = self.address, %error, "a ZeroMQ peer is gone");
                self.stop_reading();
                self.stop_writing();
            }
        }
    }

    /// Pings a silent peer. Returns false where it was silent for too long, and gives it up.
    fn keeps_alive(&mut self, now: Instant) -> bool {
        if self.silence_ends().is_some_and(|end| end <= now) {
            let error = ZmtpError::new(Reason::Silent, "it was silent for too long");
            self.refuse(&error);
            self.stop_writing();
            return false;
        }
        if self.ping_at().is_some_and(|at| at <= now) {
            self.pinged = true;
            self.wire.zmtp.send_ping();
        }
        true
    }

    fn pings(&self) -> bool {
        let knows_ping = self.peer.knows_ping && self.service.counts_silence();
        knows_ping && !self.limits.heartbeat_interval.is_zero()
    }

    fn ping_at(&self) -> Option<Instant> {
        (self.pings() && !self.pinged).then(|| self.heard + self.limits.heartbeat_interval)
    }

    /// When a peer that is read and says nothing is given up.
    fn silence_ends(&self) -> Option<Instant> {
        let ours = self.pings().then_some(self.limits.heartbeat_timeout);
        let end = [ours, self.wire.zmtp.heartbeat_ttl()].into_iter().flatten().min();
        end.map(|end| self.heard + end)
    }

    fn next_timeout(&self) -> Option<Instant> {
        let silence = if self.reads() { [self.ping_at(), self.silence_ends()] } else { [None, None] };
        silence.into_iter().chain([self.service.poll_timeout(), self.end]).flatten().min()
    }
}
