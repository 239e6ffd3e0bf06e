//! Titanic: the bodies of its messages, and what comes of any series of questions, replies of workers and answers of a queue.
//!
//! A step is a byte that says what happens, and what that needs. A body is a byte for the number of frames, and the
//! frames: a length of one byte and so many bytes, or, from 250 on, a word.
#![no_main]

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use swarmmq_broker::exchange::{
    Exchange, Frames, PeerId, PeerInfo, PoolLimits, Refusal, Side, StorageEvent, StorageRequest, Titanic,
    TitanicLimits,
};
use swarmmq_fuzz::{input::Input, memory::bounded, peers::QUEUE, peers::Sent};
use swarmmq_protocol::response::SettleOutcome;
use swarmmq_protocol::zeromq::tsp::{
    CLOSE_SERVICE, CloseReply, REPLY_SERVICE, REQUEST_SERVICE, Request, RequestId, RetrieveReply, StoreReply,
};
use swarmmq_protocol::{EncodedMessage, Receipt, Sequence};

const PEERS: u64 = 4;
const SERVICES: [&str; 3] = [REQUEST_SERVICE, REPLY_SERVICE, CLOSE_SERVICE];
const OUTCOMES: [SettleOutcome; 4] =
    [SettleOutcome::Done, SettleOutcome::AlreadySettled, SettleOutcome::Stale, SettleOutcome::Unknown];
const REFUSALS: [Refusal; 3] = [Refusal::Never, Refusal::Later, Refusal::Unknown];

fn body(input: &mut Input<'_>, ids: u128) -> Frames {
    let count = usize::from(input.u8() % 4);
    let mut frames = Frames::new();
    for _ in 0..count {
        let length = input.u8();
        frames.push(match length {
            250 => Bytes::from_static(b"echo"),
            251 => Bytes::from_static(b"200"),
            252 => Bytes::from_static(b"300 words"),
            // An id that may have been given.
            253.. => RequestId::from_value(u128::from(input.u8()) % (ids + 2)).frame(),
            _ => Bytes::copy_from_slice(input.take(usize::from(length))),
        });
    }
    frames
}

fn check_bodies(frames: &Frames) {
    for service in SERVICES {
        if let Ok(request) = Request::parse(service.as_bytes(), frames) {
            assert_eq!((request.service(), request.body()), (service, frames.clone()));
        }
    }
    // A status may have words behind it, which are not written.
    if let Ok(reply) = StoreReply::parse(frames) {
        assert_eq!(StoreReply::parse(&reply.body()), Ok(reply));
    }
    if let Ok(reply) = RetrieveReply::parse(frames) {
        assert_eq!(RetrieveReply::parse(&reply.clone().body()), Ok(reply));
    }
    if let Ok(reply) = CloseReply::parse(frames) {
        assert_eq!(CloseReply::parse(&reply.body()), Ok(reply));
    }
}

/// A queue that answers as the input says, which a real one need not.
#[derive(Default)]
struct Queue {
    asked: Vec<StorageRequest>,
    stored: Vec<EncodedMessage>,
    tokens: u64,
}

impl Queue {
    /// What becomes of the oldest thing that was asked.
    fn answer(&mut self, input: &mut Input<'_>) -> Option<StorageEvent> {
        let fate = usize::from(input.u8());
        let request = if self.asked.is_empty() { return None } else { self.asked.remove(0) };
        Some(match request {
            StorageRequest::Put { token, .. } if fate >= 200 => {
                StorageEvent::Refused { token, refusal: REFUSALS[fate % 3] }
            }
            StorageRequest::Put { token, message } => {
                self.stored.push(message);
                StorageEvent::Stored { token, sequence: Sequence(self.stored.len() as u64) }
            }
            StorageRequest::Settle { .. } if fate >= 240 => StorageEvent::Unsettled,
            StorageRequest::Settle { receipts } => {
                StorageEvent::Settled { outcomes: receipts.iter().map(|_| OUTCOMES[fate % 4]).collect() }
            }
            _ => return None,
        })
    }

    /// A record of those there were, again as often as the input likes, or something else.
    fn deliver(&mut self, input: &mut Input<'_>) -> Option<StorageEvent> {
        let nth = usize::from(input.u8());
        let message = match self.stored.get(nth) {
            Some(message) => message.clone(),
            None => EncodedMessage::new(Bytes::copy_from_slice(input.short())).ok()?,
        };
        self.tokens += 1;
        let receipt = Receipt { sequence: Sequence(nth as u64 + 1), token: self.tokens };
        Some(StorageEvent::Delivered { receipt, stored_ms: u64::from(input.u8()), message })
    }
}

fn attach(titanic: &mut Titanic, now_ms: u64, peer: PeerId, peers: &mut Sent) {
    let user = if peer.0.is_multiple_of(2) { "ada" } else { "bob" };
    let info =
        PeerInfo { side: Side::Front, socket_type: "DEALER", routing_id: Bytes::new(), user: user.into() };
    titanic.attach(now_ms, peer, &info, peers);
}

/// What a worker was sent last as a reply to it.
fn reply(request: &Frames) -> Frames {
    let mut reply = request.clone();
    if let Some(command) = reply.get_mut(2) {
        *command = Bytes::from_static(b"\x03");
    }
    reply
}

fn play(titanic: &mut Titanic, data: &[u8]) {
    let (mut input, mut peers, mut queue, mut now_ms) =
        (Input::new(data), Sent::default(), Queue::default(), 0);
    for peer in 0..PEERS {
        attach(titanic, now_ms, PeerId(peer), &mut peers);
    }
    while !input.is_empty() {
        let step = input.u8();
        let peer = PeerId(u64::from(step >> 4) % PEERS);
        let event = match step % 16 {
            0..5 => {
                let service = SERVICES[usize::from(step) % 3];
                let body = body(&mut input, 8);
                check_bodies(&body);
                let head = [b"", &b"MDPC01"[..], service.as_bytes()].map(Bytes::from_static);
                if titanic.accepts(peer, &peers) {
                    titanic.handle(now_ms, peer, head.into_iter().chain(body).collect(), &mut peers);
                }
                None
            }
            5 if titanic.accepts(peer, &peers) => {
                let ready = [b"", &b"MDPW01"[..], b"\x01", b"echo"].map(Bytes::from_static);
                titanic.handle(now_ms, peer, ready.to_vec(), &mut peers);
                None
            }
            6 | 7 => {
                let read = peers.queues.remove(&peer).unwrap_or_default();
                if read.len() == QUEUE {
                    titanic.drained(now_ms, peer, &mut peers);
                }
                if let Some(request) = read.last()
                    && titanic.accepts(peer, &peers)
                {
                    titanic.handle(now_ms, peer, reply(request), &mut peers);
                }
                None
            }
            8 | 9 => queue.answer(&mut input),
            10 | 11 => queue.deliver(&mut input),
            12 => Some(StorageEvent::Counted { messages: u64::from(input.u8() % 8), oldest_age_ms: 0 }),
            13 if queue.asked.is_empty() => Some(StorageEvent::Opened),
            13 => Some(StorageEvent::Closed),
            14 => {
                now_ms += u64::from(input.u16());
                if titanic.next_due().is_some_and(|due| due <= now_ms) {
                    titanic.tick(now_ms, &mut peers);
                    assert!(titanic.next_due().is_none_or(|due| due > now_ms), "time stands still");
                }
                None
            }
            15 => {
                peers.queues.remove(&peer);
                titanic.detach(now_ms, peer, &mut peers);
                attach(titanic, now_ms, peer, &mut peers);
                None
            }
            _ => None,
        };
        if let Some(event) = event {
            titanic.handle_storage(now_ms, event, &mut peers);
        }
        queue.asked.extend(std::iter::from_fn(|| titanic.poll_storage()));
        assert!(!titanic.wants_storage());
    }
}

fuzz_target!(|data: &[u8]| {
    let pool = PoolLimits { heartbeat_ms: 1000, wait_ms: 3000, ..PoolLimits::default() };
    let limits = TitanicLimits {
        requests_max: 8,
        working_max: 2,
        request_ttl_ms: 100_000,
        reply_ttl_ms: 100_000,
        work_ms: 20_000,
        ..TitanicLimits::default()
    };
    let mut last = 0;
    let ids = Box::new(move || {
        last = (last + 1) % 10;
        Some(last)
    });
    let most = 1024 * data.len() + (1 << 20);
    bounded(most, || play(&mut Titanic::new(pool, limits, 1, ids), data));
});
