//! A broker beside a queue that does at once what it is asked.

mod protocol;
mod room;
mod storage;
mod working;

use bytes::Bytes;
use swarmmq_protocol::Message;

use super::ledger::State;
use super::queue::{Fate, Queue};
use super::record::{Kind, Record};
use super::*;
use crate::exchange::pool::model::{Model, frames, info};
use crate::exchange::{
    Drop, Exchange, Frames, PeerId, PeerInfo, PoolLimits, Refusal, Side, StorageEvent, Verb,
};

const DAY: u64 = 24 * 3_600_000;

/// A broker beside a queue that does at once what it is asked.
struct World {
    titanic: Titanic,
    peers: Model,
    queue: Queue,
    now: u64,
    change: fn(&mut PoolLimits, &mut TitanicLimits),
}

impl World {
    fn new() -> Self {
        Self::with(|_, _| {})
    }

    fn with(change: fn(&mut PoolLimits, &mut TitanicLimits)) -> Self {
        let mut world = Self {
            titanic: titanic(change),
            peers: Model::new(100),
            queue: Queue::default(),
            now: 0,
            change,
        };
        world.queue.read(0, &mut world.titanic, &mut world.peers);
        world
    }

    /// The process ends, and another begins.
    fn crash(&mut self) {
        self.queue.crash(|| true);
        self.titanic = titanic(self.change);
        self.peers = Model::new(100);
        self.now = 0;
        self.queue.read(0, &mut self.titanic, &mut self.peers);
    }

    fn connect(&mut self, user: &str) -> PeerId {
        let peer = self.peers.connect();
        let info = PeerInfo { user: user.into(), ..info(Side::Front) };
        self.titanic.attach(self.now, peer, &info, &mut self.peers);
        peer
    }

    fn say(&mut self, peer: PeerId, message: Frames) {
        self.titanic.handle(self.now, peer, message, &mut self.peers);
        self.titanic.check(self.now);
    }

    fn run(&mut self) {
        self.queue.run(self.now, &mut self.titanic, &mut self.peers);
        self.titanic.check(self.now);
    }

    fn pass(&mut self, ms: u64) {
        let end = self.now + ms;
        while let Some(due) = self.titanic.next_due().filter(|due| *due <= end) {
            self.now = self.now.max(due);
            self.titanic.tick(self.now, &mut self.peers);
            self.titanic.check(self.now);
        }
        self.queue.now_ms += ms;
        self.now = end;
        self.run();
    }

    fn begin(&mut self, client: PeerId, service: &str, body: &[&[u8]]) {
        let head = [b"", &b"MDPC01"[..], service.as_bytes()];
        self.say(client, frames(&[&head, body].concat()));
    }

    /// The one answer, without what stands before its body.
    fn answer(&mut self, client: PeerId, service: &str) -> Frames {
        let mut messages = self.peers.read(client).0;
        assert_eq!(messages.len(), 1, "{messages:?}");
        let mut message = messages.remove(0);
        assert_eq!(message[..3], frames(&[b"", b"MDPC01", service.as_bytes()]));
        message.split_off(3)
    }

    fn ask(&mut self, client: PeerId, service: &str, body: &[&[u8]]) -> Frames {
        self.run();
        self.begin(client, service, body);
        self.run();
        self.answer(client, service)
    }

    fn store(&mut self, client: PeerId, body: &[u8]) -> Bytes {
        let answer = self.ask(client, "titanic.request", &[b"echo", body]);
        assert_eq!(answer[0], "200");
        assert!(answer[1].len() == 32 && answer.len() == 2);
        answer[1].clone()
    }

    /// Stores a request, of which its worker gives the reply.
    fn store_replied(&mut self, client: PeerId, worker: PeerId, reply: &[u8]) -> Bytes {
        let id = self.store(client, b"1");
        let request = self.request(worker).unwrap();
        self.reply(worker, &request, &[reply]);
        id
    }

    fn retrieve(&mut self, client: PeerId, id: &[u8]) -> Frames {
        self.ask(client, "titanic.reply", &[id])
    }

    fn close(&mut self, client: PeerId, id: &[u8]) -> Frames {
        self.ask(client, "titanic.close", &[id])
    }

    fn worker(&mut self) -> PeerId {
        let worker = self.connect("worker");
        self.say(worker, frames(&[b"", b"MDPW01", b"\x01", b"echo"]));
        worker
    }

    /// The request that a worker was given, if any.
    fn request(&mut self, worker: PeerId) -> Option<Frames> {
        let messages = self.peers.read(worker).0;
        messages.into_iter().find(|message| message.get(2).is_some_and(|command| command == "\x02"))
    }

    fn reply(&mut self, worker: PeerId, request: &Frames, body: &[&[u8]]) {
        let head = [b"", &b"MDPW01"[..], b"\x03", &request[3], b""];
        self.say(worker, frames(&[&head, body].concat()));
    }

    fn worker_02(&mut self) -> PeerId {
        let worker = self.connect("worker");
        self.say(worker, frames(&[b"MDPW02", b"\x01", b"echo"]));
        worker
    }

    /// The request that a worker of 0.2 was given, if any.
    fn request_02(&mut self, worker: PeerId) -> Option<Frames> {
        let messages = self.peers.read(worker).0;
        messages.into_iter().find(|message| message[1] == "\x02")
    }

    /// A part of a reply, or the last of it.
    fn part(&mut self, worker: PeerId, request: &Frames, is_final: bool, body: &[u8]) {
        let command: &[u8] = if is_final { b"\x04" } else { b"\x03" };
        self.say(worker, frames(&[b"MDPW02", command, &request[2], b"", body]));
    }

    fn beat(&mut self, worker: PeerId) {
        self.say(worker, frames(&[b"", b"MDPW01", b"\x04"]));
    }

    fn detach(&mut self, peer: PeerId) {
        self.peers.disconnect_abruptly(peer);
        self.titanic.detach(self.now, peer, &mut self.peers);
        self.titanic.check(self.now);
    }
}

fn titanic(change: fn(&mut PoolLimits, &mut TitanicLimits)) -> Titanic {
    let (mut pool, mut limits) = (PoolLimits::default(), TitanicLimits::default());
    change(&mut pool, &mut limits);
    let mut last = 0;
    let ids = Box::new(move || {
        last += 1;
        Some(last * 0x1234_5678_9abc_def0_1234)
    });
    Titanic::new(pool, limits, 7, ids)
}
