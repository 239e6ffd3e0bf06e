//! A broker whose workers beat once a second.

mod dialects;
mod dispatch;
mod pressure;
mod refusals;
mod repeats;

use super::*;
use crate::exchange::pool::model::{Model, frames, info};
use crate::exchange::{Drop, Exchange, Figure, Frames, PeerId, PoolLimits, Side, Verb};

/// A broker whose workers beat once a second.
struct World {
    broker: Majordomo,
    peers: Model,
    now: u64,
}

impl World {
    fn new() -> Self {
        Self::with(|_| {})
    }

    fn with(change: impl FnOnce(&mut PoolLimits)) -> Self {
        let mut limits = PoolLimits { heartbeat_ms: 1000, ..PoolLimits::default() };
        change(&mut limits);
        Self { broker: Majordomo::new(limits, 7), peers: Model::new(100), now: 0 }
    }

    fn attach(&mut self) -> PeerId {
        let peer = self.peers.connect();
        self.broker.attach(self.now, peer, &info(Side::Front), &mut self.peers);
        peer
    }

    fn say(&mut self, peer: PeerId, words: &[&[u8]]) {
        self.broker.handle(self.now, peer, frames(words), &mut self.peers);
        self.broker.pool.check(self.now);
    }

    fn send(&mut self, peer: PeerId, message: Frames) {
        self.broker.handle(self.now, peer, message, &mut self.peers);
        self.broker.pool.check(self.now);
    }

    fn detach(&mut self, peer: PeerId) {
        self.peers.disconnect_abruptly(peer);
        self.broker.detach(self.now, peer, &mut self.peers);
        self.broker.pool.check(self.now);
    }

    /// Time passes, and the broker is called whenever it wants to be.
    fn pass(&mut self, ms: u64) {
        let end = self.now + ms;
        while let Some(due) = self.broker.next_due().filter(|due| *due <= end) {
            self.now = self.now.max(due);
            self.broker.tick(self.now, &mut self.peers);
            self.broker.pool.check(self.now);
        }
        self.now = end;
    }

    fn read(&mut self, peer: PeerId) -> Vec<Frames> {
        let (messages, was_full) = self.peers.read(peer);
        if was_full {
            self.broker.drained(self.now, peer, &mut self.peers);
        }
        messages
    }

    /// The one message that a peer was sent.
    fn only(&mut self, peer: PeerId) -> Frames {
        let mut messages = self.read(peer);
        assert_eq!(messages.len(), 1, "{messages:?}");
        messages.remove(0)
    }

    fn worker_01(&mut self, service: &[u8]) -> PeerId {
        let worker = self.attach();
        self.say(worker, &[b"", b"MDPW01", b"\x01", service]);
        worker
    }

    fn worker_02(&mut self, service: &[u8]) -> PeerId {
        let worker = self.attach();
        self.say(worker, &[b"MDPW02", b"\x01", service]);
        worker
    }

    fn client_01(&mut self, service: &[u8], body: &[u8]) -> PeerId {
        let client = self.attach();
        self.say(client, &[b"", b"MDPC01", service, body]);
        client
    }

    fn client_02(&mut self, service: &[u8], body: &[u8]) -> PeerId {
        let client = self.attach();
        self.say(client, &[b"MDPC02", b"\x01", service, body]);
        client
    }

    /// Answers a request as it was read, with a command of the version.
    fn reply(&mut self, worker: PeerId, request: &Frames, command: &[u8], body: &[u8]) {
        let mut reply = request.clone();
        let header = reply.iter().position(|frame| frame.starts_with(b"MDPW")).unwrap();
        reply[header + 1] = bytes::Bytes::copy_from_slice(command);
        reply.truncate(header + 4);
        reply.extend(frames(&[body]));
        self.send(worker, reply);
    }
}

const DISCONNECT_01: &[&[u8]] = &[b"", b"MDPW01", b"\x05"];

const DISCONNECT_02: &[&[u8]] = &[b"MDPW02", b"\x06"];

/// Those of its peers that it is told about may do something else than before.
fn rights_changed(world: &mut World, peers: &[PeerId]) {
    for peer in peers {
        world.broker.rights_changed(world.now, *peer, &mut world.peers);
        world.broker.pool.check(world.now);
    }
}

/// Asks one of the broker's own services and returns the reply's body.
fn ask(world: &mut World, service: &[u8], body: &[u8]) -> Vec<String> {
    let client = world.client_01(service, body);
    let reply = world.only(client);
    assert_eq!(reply[..3], frames(&[b"", b"MDPC01", service]));
    world.detach(client);
    reply[3..].iter().map(|frame| String::from_utf8(frame.to_vec()).unwrap()).collect()
}

/// A broker that keeps replies for a minute.
fn deduplicating() -> World {
    let mut world = World::new();
    let limits = RepeatLimits { keep_ms: 60_000, ..RepeatLimits::default() };
    world.broker =
        Majordomo::new(PoolLimits { heartbeat_ms: 60_000, ..PoolLimits::default() }, 7).deduplicating(limits);
    world
}

const ASK_01: &[&[u8]] = &[b"", b"MDPC01", b"echo", b"swarmmq-id:7", b"hello"];

const ASK_02: &[&[u8]] = &[b"MDPC02", b"\x01", b"echo", b"swarmmq-id:7", b"hello"];
