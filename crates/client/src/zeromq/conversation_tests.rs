//! What the worker machine promises, against any broker.

use std::time::Duration;

use bytes::Bytes;
use proptest::prelude::*;
use swarmmq_protocol::zeromq::mdp::{Part, ServiceName, Version};

use super::conversation::{
    Conversation, REQUESTS_WAITING_MAX, ReplyError, WorkId, WorkerDialect, WorkerEvent,
};
use super::machine::{Machine, Output};
use super::socket::Frames;
use super::worker_dialects::{Majordomo, ParanoidPirate};
use super::worker_options::WorkerOptions;

const INTERVAL_MS: u64 = 100;
const SILENCE_MS: u64 = 300;
const PAUSE_MAX_MS: u64 = 160;

fn options() -> WorkerOptions {
    WorkerOptions::default()
        .heartbeats(Duration::from_millis(INTERVAL_MS), 3)
        .pauses(Duration::from_millis(10), Duration::from_millis(PAUSE_MAX_MS))
}

fn frames(words: &[&[u8]]) -> Frames {
    words.iter().map(|word| Bytes::copy_from_slice(word)).collect()
}

fn majordomo(version: Version) -> Majordomo {
    Majordomo { version, service: ServiceName::new("echo").unwrap() }
}

/// A machine and what it did, checked against the laws at every step.
struct World<D> {
    machine: Conversation<D>,
    now_ms: u64,
    open: bool,
    /// What was sent on the socket that is open, in order and with the time.
    sent: Vec<(u64, Frames)>,
    registrations: usize,
    opened_ms: Vec<u64>,
    lost_ms: u64,
    held: Option<(WorkId, Frames)>,
    stopped: bool,
    ready: Frames,
    heartbeat: Frames,
}

impl<D: WorkerDialect> World<D> {
    fn new(dialect: D, seed: u64) -> Self {
        let (ready, heartbeat) = (dialect.ready(), dialect.heartbeat());
        let mut world = Self {
            machine: Conversation::new(dialect, options(), seed),
            now_ms: 0,
            open: false,
            sent: Vec::new(),
            registrations: 0,
            opened_ms: Vec::new(),
            lost_ms: 0,
            held: None,
            stopped: false,
            ready,
            heartbeat,
        };
        world.pass(0);
        world
    }

    fn perform(&mut self) {
        while let Some(output) = self.machine.poll_output() {
            match output {
                Output::Open => {
                    assert!(!self.open && !self.stopped);
                    assert!(self.held.is_none(), "a worker that works cannot take requests");
                    self.open = true;
                    self.registrations += 1;
                    self.opened_ms.push(self.now_ms);
                    self.sent.clear();
                }
                Output::Close { .. } => {
                    self.open = false;
                    self.lost_ms = self.now_ms;
                }
                Output::Send(frames) => {
                    assert!(self.open, "{frames:?} is sent to no socket");
                    assert_eq!(frames == self.ready, self.sent.is_empty(), "READY comes first and once");
                    self.sent.push((self.now_ms, frames));
                }
                Output::Event(WorkerEvent::Request { id, body }) => {
                    assert!(self.held.is_none(), "a second request while one is worked on");
                    self.held = Some((id, body));
                }
                Output::Event(WorkerEvent::Stopped) => self.stopped = true,
            }
        }
    }

    /// Lets time pass, with every time-out at its time.
    fn pass(&mut self, span_ms: u64) {
        let end = self.now_ms + span_ms;
        for _ in 0..100_000 {
            self.perform();
            match self.machine.next_due().filter(|due| *due <= end) {
                Some(due) => {
                    self.now_ms = self.now_ms.max(due);
                    self.machine.handle_timeout(self.now_ms);
                }
                None => {
                    self.now_ms = end;
                    return;
                }
            }
        }
        panic!("time stands still");
    }

    fn hear(&mut self, words: &[&[u8]]) {
        if self.open {
            self.machine.handle_message(self.now_ms, frames(words));
        }
        self.perform();
    }

    fn reply(&mut self, part: Part, body: &[u8]) -> Result<(), ReplyError> {
        let (id, _) = self.held.clone().expect("there is a request");
        let result = self.machine.reply(self.now_ms, id, part, frames(&[body]));
        if part == Part::Final {
            self.held = None;
        }
        self.perform();
        result
    }
}

#[test]
fn a_worker_that_hears_nothing_registers_again_after_pauses_that_double_up_to_their_most() {
    for seed in 0..50 {
        let mut world = World::new(ParanoidPirate, seed);
        world.pass(20_000);
        assert!(world.registrations >= 20_000 / (SILENCE_MS + PAUSE_MAX_MS) as usize);
        for (pair, attempt) in world.opened_ms.windows(2).zip(0_u32..) {
            let pause = pair[1] - pair[0] - SILENCE_MS;
            assert!(pause <= (10 << attempt.min(10)).min(PAUSE_MAX_MS), "pause {attempt} of {pause} ms");
        }
        // Nearly all pauses are at their longest by now, so a broker that speaks makes a difference.
        while !world.open {
            world.pass(1);
        }
        world.hear(&[b"\x02"]);
        let (heard_ms, lost_ms) = (world.now_ms, world.lost_ms);
        while world.lost_ms == lost_ms {
            world.pass(1);
        }
        assert_eq!(world.lost_ms - heard_ms, SILENCE_MS);
        world.pass(11);
        let pause = world.opened_ms.last().unwrap().checked_sub(world.lost_ms);
        assert!(
            pause.is_some_and(|pause| pause <= 10),
            "the pauses begin again with the least, not {pause:?}"
        );
    }
}

#[test]
fn heartbeats_go_out_at_their_interval_also_while_the_worker_works() {
    let mut world = World::new(ParanoidPirate, 1);
    world.hear(&[b"client", b"", b"work"]);
    world.pass(1000);
    let heartbeats: Vec<_> = world.sent.iter().filter(|(_, frames)| *frames == world.heartbeat).collect();
    assert_eq!(heartbeats.len(), 10);
    assert!(world.open, "a broker that is silent to a worker that works is not gone");
    assert_eq!(world.reply(Part::Final, b"done"), Ok(()));
    assert_eq!(world.sent.last().unwrap().1, frames(&[b"client", b"", b"done"]));
    world.pass(SILENCE_MS - 1);
    assert!(world.open);
    world.pass(1);
    assert!(!world.open, "an idle worker does not wait for a broker that is gone");
}

#[test]
fn a_reply_is_not_sent_to_a_broker_that_did_not_give_the_request() {
    let mut world = World::new(majordomo(Version::V02), 1);
    world.hear(&[b"MDPW02", b"\x02", b"client", b"", b"work"]);
    assert_eq!(world.reply(Part::Partial, b"half"), Ok(()));
    assert_eq!(world.sent.last().unwrap().1, frames(&[b"MDPW02", b"\x03", b"client", b"", b"half"]));
    world.hear(&[b"MDPW02", b"\x06"]);
    assert!(!world.open);
    world.pass(10_000);
    assert_eq!(world.registrations, 1, "it works, so it registers with nobody");
    assert_eq!(world.reply(Part::Partial, b"more"), Err(ReplyError::BrokerLost));
    assert_eq!(world.reply(Part::Final, b"all"), Err(ReplyError::BrokerLost));
    world.pass(0);
    assert_eq!(world.registrations, 2);
    assert_eq!(world.sent.len(), 1);
    assert_eq!(world.sent[0].1, world.ready);
}

#[test]
fn a_request_of_a_lost_broker_that_the_program_was_not_told_of_is_forgotten() {
    let mut world = World::new(majordomo(Version::V02), 1);
    world.machine.handle_message(0, frames(&[b"MDPW02", b"\x02", b"client", b"", b"work"]));
    world.machine.handle_message(0, frames(&[b"MDPW02", b"\x06"]));
    world.pass(11);
    assert!(world.held.is_none());
    assert_eq!(world.registrations, 2);
}

#[test]
fn a_request_given_back_is_said_to_majordomo_and_leaves_the_worker_able() {
    let mut world = World::new(majordomo(Version::V01), 1);
    world.hear(&[b"", b"MDPW01", b"\x02", b"client", b"", b"work"]);
    let (id, _) = world.held.take().unwrap();
    world.machine.give_back(world.now_ms, id);
    world.perform();
    assert_eq!(world.sent.last().unwrap().1, frames(&[b"", b"MDPW01", b"\x05"]));
    assert!(!world.open);
    world.pass(11);
    assert_eq!((world.open, world.registrations), (true, 2));
}

#[test]
fn a_protocol_without_partial_replies_refuses_them_and_still_takes_the_whole() {
    for words in [&[&b""[..], b"MDPW01", b"\x02", b"c", b"", b"work"][..], &[b"c", b"", b"work"]] {
        let mut results = Vec::new();
        let partial_then_whole = |reply: &mut dyn FnMut(Part) -> Result<(), ReplyError>| {
            (reply(Part::Partial), reply(Part::Final))
        };
        if words.len() == 6 {
            let mut world = World::new(majordomo(Version::V01), 1);
            world.hear(words);
            results.push(partial_then_whole(&mut |part| world.reply(part, b"x")));
        } else {
            let mut world = World::new(ParanoidPirate, 1);
            world.hear(words);
            results.push(partial_then_whole(&mut |part| world.reply(part, b"x")));
        }
        assert_eq!(results, [(Err(ReplyError::NoPartialReplies), Ok(()))]);
    }
}

#[test]
fn requests_that_come_while_the_worker_works_wait_up_to_a_limit() {
    let mut world = World::new(ParanoidPirate, 1);
    for number in 0..REQUESTS_WAITING_MAX as u8 + 10 {
        world.hear(&[b"client", b"", &[number]]);
    }
    for number in 0..=REQUESTS_WAITING_MAX as u8 {
        assert_eq!(world.held.as_ref().unwrap().1, frames(&[&[number]]));
        world.reply(Part::Final, b"done").unwrap();
    }
    assert!(world.held.is_none());
}

#[test]
fn a_worker_that_stops_says_goodbye_and_nothing_after() {
    let mut world = World::new(majordomo(Version::V02), 1);
    world.hear(&[b"MDPW02", b"\x02", b"client", b"", b"work"]);
    world.machine.stop();
    world.perform();
    assert!(world.stopped && !world.open);
    assert_eq!(world.sent.last().unwrap().1, frames(&[b"MDPW02", b"\x06"]));
    assert_eq!(world.reply(Part::Final, b"done"), Err(ReplyError::Stopped));
    assert_eq!(world.machine.next_due(), None);
    world.machine.stop();
    assert!(world.machine.poll_output().is_none());
}

#[derive(Debug, Clone)]
enum Step {
    Pass(u64),
    Heartbeat,
    Request(u8),
    Disconnect,
    Noise,
    Failure,
    Reply,
    GiveBack,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0_u64..500).prop_map(Step::Pass),
        3 => Just(Step::Heartbeat),
        3 => any::<u8>().prop_map(Step::Request),
        1 => Just(Step::Disconnect),
        1 => Just(Step::Noise),
        1 => Just(Step::Failure),
        3 => Just(Step::Reply),
        1 => Just(Step::GiveBack),
    ]
}

proptest! {
    /// The laws are asserted in `perform`; here is what a broker may count on in the end.
    #[test]
    fn whatever_happens_a_worker_comes_back_and_replies_where_it_was_asked(
        seed in any::<u64>(), steps in proptest::collection::vec(step(), 1..80),
    ) {
        let mut world = World::new(majordomo(Version::V01), seed);
        // The registration in which the request that is held came.
        let mut asked_in = 0;
        for step in steps {
            let before = world.held.as_ref().map(|(id, _)| *id);
            match step {
                Step::Pass(span) => world.pass(span),
                Step::Heartbeat => world.hear(&[b"", b"MDPW01", b"\x04"]),
                Step::Request(number) => {
                    world.hear(&[b"", b"MDPW01", b"\x02", &[number, 1], b"", &[number]]);
                }
                Step::Disconnect => world.hear(&[b"", b"MDPW01", b"\x05"]),
                Step::Noise => {
                    let (due, sent) = (world.machine.next_due(), world.sent.len());
                    for noise in [&[&b"\x02"[..]][..], &[b"", b"MDPW02", b"\x05"], &[b"", b"MDPC01", b"echo", b"x"]] {
                        world.hear(noise);
                    }
                    prop_assert_eq!((world.machine.next_due(), world.sent.len()), (due, sent));
                }
                Step::Failure => {
                    world.open = false;
                    world.machine.handle_failure(world.now_ms, "broken".into());
                    world.perform();
                }
                Step::Reply => if let Some((_, body)) = world.held.clone() {
                    let (same, was_open) = (asked_in == world.registrations, world.open);
                    let sent = world.sent.len();
                    let result = world.reply(Part::Final, b"done");
                    if result.is_ok() {
                        prop_assert!(same && was_open);
                        let client = [body[0][0], 1];
                        let expected = frames(&[b"", b"MDPW01", b"\x03", &client, b"", b"done"]);
                        prop_assert_eq!(&world.sent[sent].1, &expected);
                    } else {
                        prop_assert_eq!(result, Err(ReplyError::BrokerLost));
                        prop_assert!(!was_open);
                    }
                },
                Step::GiveBack => if let Some((id, _)) = world.held.take() {
                    world.machine.give_back(world.now_ms, id);
                    world.perform();
                    prop_assert!(!world.open);
                },
            }
            let after = world.held.as_ref().map(|(id, _)| *id);
            if after.is_some() && after != before {
                asked_in = world.registrations;
            }
        }
        // The program finishes, and then the worker is there within the longest pause, whatever was.
        while world.held.is_some() {
            let _ = world.reply(Part::Final, b"done");
        }
        let registrations = world.registrations;
        if !world.open {
            world.pass(PAUSE_MAX_MS + 1);
            prop_assert!(world.registrations > registrations);
        }
        world.pass(SILENCE_MS + PAUSE_MAX_MS + 1);
        prop_assert!(world.registrations > registrations, "a silent broker is left");
    }
}
