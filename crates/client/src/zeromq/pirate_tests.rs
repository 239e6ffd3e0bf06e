//! What the request machine promises, against any network and any server.

use std::time::Duration;

use bytes::Bytes;
use proptest::prelude::*;

use super::machine::{Machine, Output};
use super::pirate::{Answer, Dialect, LazyPirate, NoReply, PirateEvent};
use super::request_options::RequestOptions;
use super::socket::Frames;

/// Requests and replies of one frame, of which nothing tells whose they are: the hardest case.
struct Anonymous;

impl Dialect for Anonymous {
    type Request = Bytes;

    fn write(&self, _: u64, request: &Bytes) -> Frames {
        vec![request.clone()]
    }

    fn read(&self, _: u64, _: &Bytes, mut frames: Frames) -> Option<Answer> {
        let body = frames.pop()?;
        match body.first()? {
            b'?' => None,
            b'+' => Some(Answer::Partial(vec![body])),
            _ => Some(Answer::Final(vec![body])),
        }
    }
}

fn options(attempts: u32) -> RequestOptions {
    RequestOptions::default()
        .timeout(Duration::from_millis(100))
        .attempts(attempts)
        .pauses(Duration::from_millis(10), Duration::from_millis(80))
}

/// A machine, and a network in which each socket has its own answers under way.
struct World {
    machine: LazyPirate<Anonymous>,
    now_ms: u64,
    /// The number of the open socket; sockets are numbered as they are opened.
    socket: Option<usize>,
    sockets: usize,
    /// Answers under way: when they arrive, on which socket, and what they say.
    under_way: Vec<(u64, usize, Bytes)>,
    sent: Vec<(u64, usize, Bytes)>,
    opened_ms: Vec<u64>,
}

impl World {
    fn new(attempts: u32, seed: u64) -> Self {
        Self {
            machine: LazyPirate::new(Anonymous, options(attempts), seed),
            now_ms: 0,
            socket: None,
            sockets: 0,
            under_way: Vec::new(),
            sent: Vec::new(),
            opened_ms: Vec::new(),
        }
    }

    /// Performs what the machine wants, up to the next event. `answers` says when an attempt is answered, if it is.
    fn perform(&mut self, answers: &mut impl Iterator<Item = Option<u64>>) -> Option<PirateEvent> {
        while let Some(output) = self.machine.poll_output() {
            match output {
                Output::Open => {
                    self.sockets += 1;
                    self.socket = Some(self.sockets);
                    self.opened_ms.push(self.now_ms);
                }
                Output::Close { .. } => self.socket = None,
                Output::Send(frames) => {
                    let socket = self.socket.expect("a machine sends to an open socket");
                    let request = frames[0].clone();
                    self.sent.push((self.now_ms, socket, request.clone()));
                    if let Some(delay) = answers.next().flatten() {
                        self.under_way.push((self.now_ms + delay, socket, request));
                    }
                }
                Output::Event(event) => return Some(event),
            }
        }
        None
    }

    /// Lets time pass until the machine has something to tell.
    fn run(&mut self, answers: &mut impl Iterator<Item = Option<u64>>) -> PirateEvent {
        for _ in 0..100_000 {
            if let Some(event) = self.perform(answers) {
                return event;
            }
            let due = self.machine.next_due().expect("a busy machine waits for some time");
            let open = self.socket;
            self.under_way.retain(|(_, socket, _)| Some(*socket) == open);
            let next = (0..self.under_way.len()).min_by_key(|at| self.under_way[*at].0);
            match next.filter(|at| self.under_way[*at].0 <= due) {
                Some(at) => {
                    let (arrives_ms, _, body) = self.under_way.remove(at);
                    self.now_ms = self.now_ms.max(arrives_ms);
                    self.machine.handle_message(self.now_ms, vec![body]);
                }
                None => {
                    self.now_ms = self.now_ms.max(due);
                    self.machine.handle_timeout(self.now_ms);
                }
            }
        }
        panic!("the machine never came to an end");
    }

    fn ask(&mut self, request: &Bytes, answers: &mut impl Iterator<Item = Option<u64>>) -> PirateEvent {
        self.machine.start(self.now_ms, request.clone());
        self.run(answers)
    }
}

fn request(number: usize) -> Bytes {
    Bytes::from(format!("request {number}"))
}

proptest! {
    #[test]
    fn a_request_ends_in_bounded_time_with_its_own_answer_or_a_failure(
        attempts in 1_u32..6,
        seed in any::<u64>(),
        answers in proptest::collection::vec(proptest::option::of(0_u64..400), 1..60),
        dropped in proptest::collection::vec(any::<bool>(), 1..12),
    ) {
        let mut world = World::new(attempts, seed);
        let mut answers = answers.into_iter();
        for (number, dropped) in dropped.into_iter().enumerate() {
            let request = request(number);
            let (started_ms, sent) = (world.now_ms, world.sent.len());
            if dropped {
                // The program loses patience in the middle.
                world.machine.start(world.now_ms, request);
                prop_assert_eq!(world.perform(&mut answers), None);
                world.now_ms += 7;
                continue;
            }
            match world.ask(&request, &mut answers) {
                PirateEvent::Final(reply) => prop_assert_eq!(&reply[0], &request),
                PirateEvent::Failed(NoReply { attempts: made, waited_ms, reason }) => {
                    prop_assert_eq!(made, attempts);
                    prop_assert_eq!(waited_ms, world.now_ms - started_ms);
                    prop_assert_eq!(reason, None);
                    prop_assert!(world.socket.is_none());
                }
                other => prop_assert!(false, "{:?}", other),
            }
            prop_assert!(!world.machine.is_busy());
            prop_assert!(world.now_ms - started_ms <= options(attempts).longest().as_millis() as u64);
            let tries = &world.sent[sent..];
            prop_assert!(tries.len() <= attempts as usize);
            prop_assert!(tries.windows(2).all(|pair| pair[0].1 != pair[1].1), "every attempt has its own socket");
            // Pauses keep to their bounds, which double up to the most.
            for (pair, bound) in tries.windows(2).zip([10, 20, 40, 80, 80]) {
                let pause = pair[1].0 - pair[0].0 - 100;
                prop_assert!(pause <= bound, "{} ms of at most {}", pause, bound);
            }
        }
    }

    #[test]
    fn what_is_no_answer_ends_nothing_and_gives_no_time(seed in any::<u64>(), noise in 0_usize..50) {
        let mut world = World::new(1, seed);
        world.machine.start(0, request(0));
        prop_assert_eq!(world.perform(&mut std::iter::empty()), None);
        let due = world.machine.next_due();
        for at in 0..noise {
            world.machine.handle_message(at as u64, vec![Bytes::from_static(b"?")]);
            world.machine.handle_message(at as u64, vec![]);
            prop_assert_eq!(world.machine.next_due(), due);
        }
        prop_assert!(world.machine.poll_output().is_none());
        let event = world.run(&mut std::iter::empty());
        prop_assert!(matches!(event, PirateEvent::Failed(_)));
        prop_assert_eq!(world.now_ms, 100);
    }
}

#[test]
fn an_answered_socket_is_used_again_and_an_unanswered_one_never() {
    let mut world = World::new(1, 1);
    let mut answers = [Some(5), Some(5), None, Some(5)].into_iter();
    for number in 0..2 {
        assert_eq!(world.ask(&request(number), &mut answers), PirateEvent::Final(vec![request(number)]));
    }
    assert_eq!(world.sockets, 1);
    assert!(matches!(world.ask(&request(2), &mut answers), PirateEvent::Failed(_)));
    assert!(matches!(world.ask(&request(3), &mut answers), PirateEvent::Final(_)));
    assert_eq!(world.sockets, 2);
}

#[test]
fn a_socket_on_which_something_came_unasked_is_left() {
    let mut world = World::new(1, 1);
    let mut answers = std::iter::repeat(Some(5));
    world.ask(&request(0), &mut answers);
    world.machine.handle_message(6, vec![request(0)]);
    world.ask(&request(1), &mut answers);
    assert_eq!(world.sockets, 2);
}

#[test]
fn parts_give_time_and_are_void_when_the_request_is_made_again() {
    let mut world = World::new(2, 1);
    let mut answers = [None, Some(20)].into_iter();
    world.machine.start(0, request(0));
    assert_eq!(world.perform(&mut answers), None);
    let part = vec![Bytes::from_static(b"+ part")];
    world.machine.handle_message(90, part.clone());
    world.now_ms = 90;
    assert_eq!(world.run(&mut answers), PirateEvent::Partial(part));
    assert_eq!(world.run(&mut answers), PirateEvent::Restarted);
    assert_eq!(world.now_ms, 190);
    assert_eq!(world.run(&mut answers), PirateEvent::Final(vec![request(0)]));
}

#[test]
fn a_socket_that_fails_costs_an_attempt_and_its_reason_is_told() {
    let mut world = World::new(2, 1);
    world.machine.start(0, request(0));
    world.machine.handle_failure(3, "no memory".into());
    assert!(
        matches!(world.machine.poll_output(), Some(Output::Close { .. })),
        "nothing is sent to what failed"
    );
    let due = world.machine.next_due().unwrap();
    assert!((3..=13).contains(&due));
    world.machine.handle_timeout(due);
    world.machine.handle_failure(due, "no memory".into());
    let expected = NoReply { attempts: 2, waited_ms: due, reason: Some("no memory".into()) };
    assert_eq!(expected.to_string(), format!("no reply to 2 attempts in {due} ms; the last: no memory"));
    assert_eq!(world.perform(&mut std::iter::empty()), Some(PirateEvent::Failed(expected)));
}

#[test]
fn the_longest_is_all_attempts_and_the_bounds_of_the_pauses_between_them() {
    assert_eq!(options(1).longest(), Duration::from_millis(100));
    assert_eq!(options(6).longest(), Duration::from_millis(600 + 10 + 20 + 40 + 80 + 80));
    assert_eq!(RequestOptions::default().longest(), Duration::from_millis(7500 + 3000));
}

#[test]
fn options_out_of_range_are_refused() {
    assert!(RequestOptions::default().validate().is_ok());
    for bad in [
        options(0),
        options(1001),
        options(1).timeout(Duration::ZERO),
        options(1).pauses(Duration::from_secs(2), Duration::from_secs(1)),
        options(1).pauses(Duration::ZERO, Duration::from_secs(4000)),
    ] {
        assert!(bad.validate().is_err(), "{bad:?}");
    }
}
