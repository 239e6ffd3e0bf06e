//! Messages to a Majordomo broker and to a Paranoid Pirate queue: the frames, and what comes of any series of them.
//!
//! A message is a byte that says who sends it, one that says after how long, one for the number of frames, and the frames:
//! a length of one byte and so many bytes, or, from 240 on, one of the words that the protocols know.
#![no_main]

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use swarmmq_broker::exchange::{
    Exchange, Frames, Majordomo, ParanoidPirate, PeerId, PeerInfo, PoolLimits, RepeatLimits, Side,
};
use swarmmq_fuzz::{input::Input, memory::bounded, peers::QUEUE, peers::Sent};
use swarmmq_protocol::zeromq::mdp::{self, BrokerCommand, ClientReply, ToBroker};
use swarmmq_protocol::zeromq::ppp::PppMessage;

const PEERS: u64 = 6;
const WORDS: [&[u8]; 16] = [
    b"",
    b"MDPC01",
    b"MDPC02",
    b"MDPW01",
    b"MDPW02",
    b"\x01",
    b"\x02",
    b"\x03",
    b"\x04",
    b"\x05",
    b"\x06",
    b"echo",
    b"mmi.service",
    b"mmi.workers",
    b"mmi.services",
    b"swarmmq-id:1",
];

fn message(input: &mut Input<'_>) -> Frames {
    let count = usize::from(input.u8() % 10).max(1);
    let mut frames = Frames::new();
    for _ in 0..count {
        let length = input.u8();
        let word = length.checked_sub(240).and_then(|word| WORDS.get(usize::from(word)));
        frames.push(match word {
            Some(word) => Bytes::from_static(word),
            None => Bytes::copy_from_slice(input.take(usize::from(length))),
        });
    }
    frames
}

fn check_frames(frames: &Frames) {
    match mdp::parse(frames) {
        Ok(ToBroker::Client(request)) => assert_eq!(request.encode(), *frames),
        Ok(ToBroker::Worker(framing, command)) => assert_eq!(command.encode(framing).as_ref(), Some(frames)),
        Err(error) => assert!(!error.to_string().is_empty()),
    }
    if let Ok(reply) = ClientReply::parse(frames) {
        assert_eq!(reply.encode().as_ref(), Some(frames));
    }
    if let Ok((framing, command)) = BrokerCommand::parse(frames) {
        assert_eq!(command.encode(framing), *frames);
    }
    if let Ok(message) = PppMessage::parse(frames) {
        assert_eq!(message.encode(), *frames);
    }
}

fn peer_info(side: Side) -> PeerInfo {
    PeerInfo { side, socket_type: "DEALER", routing_id: Bytes::new(), user: "anyone".into() }
}

/// A reply to what a worker was sent last, as it stands, with the command of a reply in the place of the other.
fn answer(request: &Frames, input: &mut Input<'_>) -> Frames {
    let mut reply = request.clone();
    let command = usize::from(input.u8());
    if let Some(header) = reply.iter().position(|frame| frame.starts_with(b"MDPW"))
        && let Some(frame) = reply.get_mut(header + 1)
    {
        *frame = Bytes::from_static(WORDS[5 + command % 6]);
    }
    reply
}

/// Plays messages. Whatever is asked may outlive its client for so long.
fn play(exchange: &mut dyn Exchange, outlives_ms: u64, data: &[u8]) {
    let (mut input, mut peers, mut now_ms) = (Input::new(data), Sent::default(), 0);
    for peer in 0..PEERS {
        let side = if peer % 2 == 0 { Side::Front } else { Side::Back };
        exchange.attach(now_ms, PeerId(peer), &peer_info(side), &mut peers);
    }
    while !input.is_empty() {
        let (who, after) = (input.u8(), u64::from(input.u8()) * 16);
        now_ms += after;
        if exchange.next_due().is_some_and(|due| due <= now_ms) {
            exchange.tick(now_ms, &mut peers);
            assert!(exchange.next_due().is_none_or(|due| due > now_ms), "time stands still");
        }
        let peer = PeerId(u64::from(who) % PEERS);
        if who >= 250 {
            exchange.detach(now_ms, peer, &mut peers);
            peers.queues.remove(&peer);
            let side = if peer.0.is_multiple_of(2) { Side::Front } else { Side::Back };
            exchange.attach(now_ms, peer, &peer_info(side), &mut peers);
            continue;
        }
        let read = if who & 64 == 0 { peers.queues.remove(&peer).unwrap_or_default() } else { Vec::new() };
        if read.len() == QUEUE {
            exchange.drained(now_ms, peer, &mut peers);
        }
        let frames = match read.last() {
            Some(request) if who & 32 == 0 => answer(request, &mut input),
            _ => message(&mut input),
        };
        check_frames(&frames);
        if exchange.accepts(peer, &peers) {
            exchange.handle(now_ms, peer, frames, &mut peers);
        }
    }
    for peer in 0..PEERS {
        peers.queues.remove(&PeerId(peer));
        exchange.detach(now_ms, PeerId(peer), &mut peers);
    }
    // Requests with an id go on without those who asked, but not for ever.
    while let Some(due) = exchange.next_due().filter(|due| (now_ms + 1..=now_ms + outlives_ms).contains(due))
    {
        exchange.tick(due, &mut peers);
    }
    assert_eq!(exchange.next_due(), None, "nothing is left of peers that are gone");
}

fuzz_target!(|data: &[u8]| {
    let limits = PoolLimits {
        heartbeat_ms: 1000,
        wait_ms: 3000,
        workers_max: 3,
        services_max: 3,
        ..PoolLimits::default()
    };
    let most = 256 * data.len() + (1 << 20);
    let repeats = RepeatLimits { keep_ms: 2000, replies_max: 3, bytes_max: 4000 };
    let longest_ms = limits.wait_ms + repeats.keep_ms;
    bounded(most, || play(&mut Majordomo::new(limits.clone(), 1), 0, data));
    let deduplicating = || Majordomo::new(limits.clone(), 1).deduplicating(repeats.clone());
    bounded(most, || play(&mut deduplicating(), longest_ms, data));
    bounded(most, || play(&mut ParanoidPirate::new(limits.clone(), 1), 0, data));
});
