//! The line against a model of what a node promises, without a connection: every order of answers,
//! losses and times.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use proptest::prelude::*;
use swarmmq_protocol::response::{PutOutcome, PutReply};
use swarmmq_protocol::{
    Decode, ErrorCode, ErrorReply, Message, ProducerId, ProducerStamp, Request, Response, Sequence,
};
use tokio::time::Instant;

use crate::connection::Token;
use crate::error::Error;
use crate::producer::confirmation::{Confirmation, Stored};
use crate::producer::line::{Limits, Line};

const TIMEOUT: Duration = Duration::from_secs(10);

fn limits() -> Limits {
    Limits {
        messages_max: 64,
        bytes_max: 1 << 20,
        timeout: TIMEOUT,
        answer_timeout: Duration::from_secs(3),
        wait_when_full: false,
    }
}

/// A put on its way.
#[derive(Debug, Clone)]
struct Put {
    token: Token,
    stamp: ProducerStamp,
    messages: Vec<u64>,
}

struct Bench {
    line: Line,
    now: Instant,
    next: u64,
    confirmations: BTreeMap<u64, Confirmation>,
}

impl Bench {
    fn new(limits: Limits) -> Self {
        let line = Line::new(ProducerId(7), limits);
        Self { line, now: Instant::now(), next: 0, confirmations: BTreeMap::new() }
    }

    /// Accepts a message of its own batch.
    fn accept(&mut self) -> u64 {
        // The age that closes a batch passes between any two.
        self.now += TIMEOUT / 16;
        let number = self.next;
        self.next += 1;
        let confirmation = self.line.accept(&Message::new(number.to_string()), self.now).unwrap();
        self.confirmations.insert(number, confirmation);
        number
    }

    fn puts(&mut self) -> Vec<Put> {
        let mut puts = Vec::new();
        let destination = swarmmq_protocol::DestinationName::new("d").unwrap();
        while let Some(put) = self.line.next_put(self.now) {
            let mut body = bytes::BytesMut::new();
            put.messages.encode_put(&destination, Some(&put.stamp), None, &mut body);
            let Ok(Request::Put(request)) = Request::from_bytes(body.freeze()) else { panic!("not a put") };
            let number = |message: &swarmmq_protocol::EncodedMessage| {
                std::str::from_utf8(&message.decode().unwrap().payload).unwrap().parse().unwrap()
            };
            let messages = request.messages.iter().map(number).collect();
            puts.push(Put { token: put.token, stamp: put.stamp, messages });
        }
        puts
    }

    fn reply(&mut self, put: &Put, reply: Result<Response, Error>) {
        let resolved = self.line.handle_reply(put.token, reply, false, self.now);
        resolved.into_iter().for_each(|one| one.tell());
    }

    fn stored(&mut self, put: &Put, at: u64) {
        let mut reply = PutReply { index: 1, runs: Vec::new() };
        for nth in 0..put.messages.len() as u64 {
            reply.push(PutOutcome::Stored(Sequence(at + nth)));
        }
        self.reply(put, Ok(Response::Put(reply)));
    }

    fn refused(&mut self, put: &Put, code: ErrorCode) {
        self.reply(put, Ok(Response::Error(ErrorReply::new(code, "no"))));
    }

    fn lost(&mut self, put: &Put) {
        self.reply(put, Err(Error::ConnectionLost { reason: "cut".into() }));
    }

    /// Lets time pass, at most until the line wants to be looked at.
    fn pass(&mut self, time: Duration) {
        self.now += time;
        let now = self.now;
        self.line.handle_time(now).into_iter().for_each(|one| one.tell());
    }

    fn outcome(&mut self, number: u64) -> Option<Result<Stored, Error>> {
        let confirmation = pin!(self.confirmations.get_mut(&number).unwrap());
        match confirmation.poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(outcome) => Some(outcome),
            Poll::Pending => None,
        }
    }

    fn error(&mut self, number: u64) -> Error {
        self.outcome(number).expect("it is settled").expect_err("it is refused")
    }
}

const PAUSE: Duration = Duration::from_secs(2);

#[test]
fn a_batch_to_be_sent_again_holds_up_those_behind_it() {
    let mut bench = Bench::new(limits());
    (0..3).for_each(|_| _ = bench.accept());
    let first = bench.puts();
    assert_eq!(first.iter().map(|put| put.stamp.sequence).collect::<Vec<_>>(), [1, 2, 3]);
    bench.refused(&first[0], ErrorCode::Overloaded);
    bench.refused(&first[1], ErrorCode::SequenceGap);
    bench.accept();
    assert!(bench.puts().is_empty(), "nothing is sent while one is not answered");
    bench.pass(PAUSE);
    assert!(bench.puts().is_empty());
    bench.refused(&first[2], ErrorCode::SequenceGap);
    bench.pass(PAUSE);
    let again = bench.puts();
    let stamps: Vec<_> = again.iter().map(|put| (put.stamp.epoch, put.stamp.sequence)).collect();
    assert_eq!(stamps, [(0, 1), (0, 2), (0, 3), (0, 4)], "the same stamps, in order");
    for (place, put) in again.iter().enumerate() {
        bench.stored(put, place as u64 + 1);
    }
    for number in 0..4 {
        assert_eq!(bench.outcome(number).unwrap().unwrap().sequence.0, number + 1);
    }
    assert!(bench.line.is_empty());
}

#[test]
fn a_message_refused_by_itself_has_used_its_sequence_and_the_next_go_on() {
    let mut bench = Bench::new(limits());
    let first = bench.line.accept(&Message::new("0"), bench.now).unwrap();
    let second = bench.line.accept(&Message::new("1"), bench.now).unwrap();
    bench.confirmations.extend([(0, first), (1, second)]);
    bench.next = 2;
    let put = bench.puts().remove(0);
    assert_eq!(put.messages, [0, 1]);
    let mut reply = PutReply { index: 1, runs: Vec::new() };
    reply.push(PutOutcome::Refused(ErrorCode::TooLarge));
    reply.push(PutOutcome::Stored(Sequence(1)));
    bench.reply(&put, Ok(Response::Put(reply)));
    assert_eq!(bench.error(0).code(), Some(ErrorCode::TooLarge));
    assert!(!bench.error(0).is_uncertain());
    assert_eq!(bench.outcome(1).unwrap().unwrap().sequence.0, 1);
    bench.accept();
    let next = bench.puts().remove(0);
    assert_eq!((next.stamp.epoch, next.stamp.sequence), (0, 3));
}

#[test]
fn a_batch_refused_for_good_lets_the_others_go_on_in_a_new_epoch() {
    let mut bench = Bench::new(limits());
    (0..3).for_each(|_| _ = bench.accept());
    let puts = bench.puts();
    bench.refused(&puts[0], ErrorCode::Forbidden);
    assert_eq!(bench.error(0).code(), Some(ErrorCode::Forbidden));
    assert!(!bench.error(0).is_uncertain());
    bench.refused(&puts[1], ErrorCode::SequenceGap);
    bench.refused(&puts[2], ErrorCode::SequenceGap);
    bench.pass(Duration::ZERO);
    let again = bench.puts();
    let stamps: Vec<_> = again.iter().map(|put| (put.stamp.epoch, put.stamp.sequence)).collect();
    assert_eq!(stamps, [(1, 1), (1, 2)]);
}

#[test]
fn those_behind_a_batch_that_is_certainly_not_stored_are_not_stored_either() {
    let mut bench = Bench::new(limits());
    (0..2).for_each(|_| _ = bench.accept());
    let puts = bench.puts();
    bench.refused(&puts[0], ErrorCode::Forbidden);
    bench.lost(&puts[1]);
    bench.pass(Duration::ZERO);
    let again = bench.puts();
    assert_eq!((again.len(), again[0].stamp.epoch, again[0].stamp.sequence), (1, 1, 1));
}

#[test]
fn a_forgotten_session_ends_what_is_uncertain_and_goes_on_with_the_rest() {
    let mut bench = Bench::new(limits());
    (0..2).for_each(|_| _ = bench.accept());
    let puts = bench.puts();
    bench.stored(&puts[0], 1);
    bench.lost(&puts[1]);
    bench.accept();
    bench.pass(Duration::ZERO);
    let again = bench.puts();
    assert_eq!(again.iter().map(|put| put.stamp.sequence).collect::<Vec<_>>(), [2, 3]);
    bench.refused(&again[0], ErrorCode::UnknownProducer);
    bench.refused(&again[1], ErrorCode::UnknownProducer);
    let error = bench.error(1);
    assert!(matches!(error, Error::OutcomeUnknown { .. }), "{error}");
    assert_eq!(error.code(), Some(ErrorCode::UnknownProducer));
    bench.pass(Duration::ZERO);
    let fresh = bench.puts();
    assert_eq!(fresh.len(), 1);
    assert_eq!((fresh[0].messages[0], fresh[0].stamp.epoch, fresh[0].stamp.sequence), (2, 1, 1));
}

#[test]
fn an_idle_producer_that_was_forgotten_starts_again_without_an_error() {
    let mut bench = Bench::new(limits());
    bench.accept();
    let put = bench.puts().remove(0);
    bench.stored(&put, 1);
    bench.accept();
    let put = bench.puts().remove(0);
    bench.refused(&put, ErrorCode::UnknownProducer);
    bench.pass(Duration::ZERO);
    let put = bench.puts().remove(0);
    assert_eq!((put.stamp.epoch, put.stamp.sequence), (1, 1));
    bench.refused(&put, ErrorCode::UnknownProducer);
    assert_eq!(bench.error(1).code(), Some(ErrorCode::UnknownProducer), "once is enough");
}

#[test]
fn an_uncertain_batch_keeps_its_stamp_and_the_new_epoch_waits_for_it() {
    let mut bench = Bench::new(limits());
    (0..3).for_each(|_| _ = bench.accept());
    let puts = bench.puts();
    puts.iter().for_each(|put| bench.lost(put));
    bench.pass(Duration::ZERO);
    let again = bench.puts();
    // Whether the first is stored is not known, and never will be: the others may be stored too.
    bench.refused(&again[0], ErrorCode::Forbidden);
    assert!(matches!(bench.error(0), Error::OutcomeUnknown { .. }));
    bench.lost(&again[1]);
    bench.lost(&again[2]);
    bench.accept();
    bench.pass(Duration::ZERO);
    let third = bench.puts();
    let stamps: Vec<_> = third.iter().map(|put| (put.stamp.epoch, put.stamp.sequence)).collect();
    assert_eq!(stamps, [(0, 2), (0, 3)], "the message never sent waits, it would fence these out");
    bench.stored(&third[0], 2);
    bench.stored(&third[1], 3);
    let last = bench.puts();
    assert_eq!((last.len(), last[0].stamp.epoch, last[0].stamp.sequence), (1, 1, 1));
}

#[test]
fn a_message_that_was_never_sent_times_out_for_certain() {
    let mut bench = Bench::new(limits());
    bench.accept();
    bench.pass(TIMEOUT);
    assert!(matches!(bench.error(0), Error::TimedOut { .. }));
    assert!(bench.line.is_empty());
    bench.accept();
    assert_eq!(bench.puts()[0].stamp.sequence, 1, "it used no sequence up");
}

#[test]
fn a_message_that_was_only_ever_refused_times_out_for_certain() {
    let mut bench = Bench::new(limits());
    bench.accept();
    let put = bench.puts().remove(0);
    bench.refused(&put, ErrorCode::DiskFull);
    bench.pass(TIMEOUT);
    let error = bench.error(0);
    assert!(matches!(error, Error::TimedOut { .. }), "{error}");
    assert_eq!(error.code(), Some(ErrorCode::DiskFull));
    assert!(bench.line.is_empty());
    bench.pass(Duration::ZERO);
    bench.accept();
    let put = bench.puts().remove(0);
    assert_eq!((put.stamp.epoch, put.stamp.sequence), (1, 1));
}

#[test]
fn a_message_that_may_be_stored_times_out_as_unknown_and_is_still_sent_again() {
    let mut bench = Bench::new(limits());
    bench.accept();
    let put = bench.puts().remove(0);
    bench.lost(&put);
    bench.pass(TIMEOUT);
    assert!(matches!(bench.error(0), Error::OutcomeUnknown { .. }));
    bench.accept();
    let puts = bench.puts();
    assert_eq!(puts.iter().map(|put| put.stamp.sequence).collect::<Vec<_>>(), [1, 2]);
}

#[test]
fn an_answer_that_does_not_come_is_not_waited_for_for_ever() {
    let mut bench = Bench::new(limits());
    bench.accept();
    let put = bench.puts().remove(0);
    bench.pass(Duration::from_secs(3));
    bench.pass(PAUSE);
    let again = bench.puts().remove(0);
    assert_eq!(again.stamp, put.stamp);
    assert_ne!(again.token, put.token);
    bench.refused(&put, ErrorCode::Forbidden);
    assert!(bench.outcome(0).is_none(), "a late error is of no interest");
    bench.stored(&put, 1);
    assert_eq!(bench.outcome(0).unwrap().unwrap().sequence.0, 1, "a late success is true all the same");
    bench.stored(&again, 1);
    bench.accept();
    assert_eq!(bench.puts().len(), 1, "the second answer has settled the account");
}

#[test]
fn with_wait_when_full_refused_messages_are_sent_again_in_their_order() {
    let mut bench = Bench::new(Limits { wait_when_full: true, ..limits() });
    let confirmations: Vec<_> = (0..3)
        .map(|number: u64| bench.line.accept(&Message::new(number.to_string()), bench.now).unwrap())
        .collect();
    bench.confirmations.extend((0..).zip(confirmations));
    bench.next = 3;
    bench.accept();
    let puts = bench.puts();
    assert_eq!(puts.iter().map(|put| put.messages.clone()).collect::<Vec<_>>(), [vec![0, 1, 2], vec![3]]);
    let full = PutOutcome::Refused(ErrorCode::DestinationFull);
    let mut reply = PutReply { index: 1, runs: Vec::new() };
    [PutOutcome::Stored(Sequence(1)), full, full].into_iter().for_each(|outcome| reply.push(outcome));
    bench.reply(&puts[0], Ok(Response::Put(reply)));
    let mut reply = PutReply { index: 2, runs: Vec::new() };
    reply.push(full);
    bench.accept();
    bench.reply(&puts[1], Ok(Response::Put(reply)));
    assert_eq!(bench.outcome(0).unwrap().unwrap().sequence.0, 1);
    assert!(bench.outcome(1).is_none());
    bench.pass(PAUSE);
    let again = bench.puts();
    let messages: Vec<_> = again.iter().map(|put| put.messages.clone()).collect();
    assert_eq!(messages, [vec![1, 2], vec![3], vec![4]]);
    assert_eq!(again.iter().map(|put| put.stamp.sequence).collect::<Vec<_>>(), [5, 7, 8]);
    bench.stored(&again[0], 2);
    assert_eq!(bench.outcome(2).unwrap().unwrap().sequence.0, 3);
}

#[test]
fn the_late_answer_to_a_batch_is_none_to_what_is_left_of_it() {
    let mut bench = Bench::new(Limits { wait_when_full: true, ..limits() });
    let confirmations: Vec<_> = (0..2)
        .map(|number: u64| bench.line.accept(&Message::new(number.to_string()), bench.now).unwrap())
        .collect();
    bench.confirmations.extend((0..).zip(confirmations));
    let first = bench.puts().remove(0);
    bench.lost(&first);
    bench.pass(PAUSE);
    let second = bench.puts().remove(0);
    let answer = || {
        let mut reply = PutReply { index: 1, runs: Vec::new() };
        reply.push(PutOutcome::Stored(Sequence(1)));
        reply.push(PutOutcome::Refused(ErrorCode::DestinationFull));
        Ok(Response::Put(reply))
    };
    // The node has answered both, as the connection was lost only for a while.
    bench.reply(&first, answer());
    bench.reply(&second, answer());
    assert!(bench.outcome(1).is_none(), "it is neither settled nor doubtful");
    bench.pass(PAUSE);
    let again = bench.puts().remove(0);
    assert_eq!(again.messages, [1]);
    bench.reply(&second, answer());
    bench.stored(&again, 2);
    assert_eq!(bench.outcome(1).unwrap().unwrap().sequence.0, 2);
}

#[test]
fn the_window_counts_messages_and_bytes_until_they_are_settled() {
    let mut bench = Bench::new(Limits { messages_max: 2, bytes_max: 100, ..limits() });
    assert!(bench.line.has_room(1_000_000), "one message is always let in");
    bench.accept();
    assert!(!bench.line.has_room(80), "of bytes there is no room");
    assert!(bench.line.has_room(30));
    bench.accept();
    assert!(!bench.line.has_room(1), "of messages there is no room");
    let put = bench.puts().remove(0);
    bench.stored(&put, 1);
    assert!(bench.line.has_room(30));
}

#[test]
fn giving_up_tells_the_sent_from_the_unsent() {
    let mut bench = Bench::new(limits());
    bench.accept();
    bench.puts();
    bench.accept();
    bench.line.abandon(&Error::Closed).into_iter().for_each(|one| one.tell());
    assert!(matches!(bench.error(0), Error::OutcomeUnknown { .. }));
    assert!(matches!(bench.error(1), Error::Closed));
}

/// A node as the line may count on it: one session, in order, each sequence once.
#[derive(Debug, Default)]
struct Model {
    epoch: u32,
    outcomes: Vec<Option<u64>>,
    log: Vec<u64>,
}

impl Model {
    fn put(&mut self, put: &Put) -> Result<PutReply, ErrorCode> {
        if put.stamp.epoch < self.epoch {
            return Err(ErrorCode::Fenced);
        }
        if put.stamp.epoch == self.epoch && self.outcomes.is_empty() && put.stamp.sequence > 1 {
            return Err(ErrorCode::UnknownProducer);
        }
        let known = if put.stamp.epoch > self.epoch { 0 } else { self.outcomes.len() as u64 };
        if put.stamp.sequence > known + 1 {
            return Err(ErrorCode::SequenceGap);
        }
        if put.stamp.epoch > self.epoch {
            (self.epoch, self.outcomes) = (put.stamp.epoch, Vec::new());
        }
        let mut reply = PutReply { index: 1, runs: Vec::new() };
        for (sequence, message) in (put.stamp.sequence..).zip(&put.messages) {
            let outcome = match self.outcomes.get(usize::try_from(sequence).unwrap() - 1) {
                Some(Some(at)) => PutOutcome::Duplicate(Sequence(*at)),
                Some(None) => PutOutcome::Refused(ErrorCode::TooLarge),
                None if message % 7 == 3 => {
                    self.outcomes.push(None);
                    PutOutcome::Refused(ErrorCode::TooLarge)
                }
                None => {
                    self.log.push(*message);
                    self.outcomes.push(Some(self.log.len() as u64));
                    PutOutcome::Stored(Sequence(self.log.len() as u64))
                }
            };
            reply.push(outcome);
        }
        Ok(reply)
    }
}

#[derive(Debug, Clone)]
enum Step {
    Accept(u8),
    /// Writes what there is.
    Write,
    /// The node does the next put, and answers.
    Serve,
    /// The node does the next put; the answer is lost with the connection.
    ServeAndCut,
    /// The connection is cut before the node has done anything more.
    Cut,
    /// A put that was lost with a connection arrives after all.
    Straggle(prop::sample::Index),
    Refuse(ErrorCode),
    /// The session is forgotten.
    Forget,
    Pass(u16),
}

fn any_step() -> impl Strategy<Value = Step> {
    let codes = prop::sample::select(vec![
        ErrorCode::Overloaded,
        ErrorCode::Timeout,
        ErrorCode::Unavailable,
        ErrorCode::NotLeader,
        ErrorCode::Forbidden,
        ErrorCode::Internal,
        ErrorCode::DestinationFull,
    ]);
    prop_oneof![
        4 => (1_u8..4).prop_map(Step::Accept),
        4 => Just(Step::Write),
        6 => Just(Step::Serve),
        1 => Just(Step::ServeAndCut),
        1 => Just(Step::Cut),
        1 => any::<prop::sample::Index>().prop_map(Step::Straggle),
        1 => codes.prop_map(Step::Refuse),
        1 => Just(Step::Forget),
        3 => (0_u16..2500).prop_map(Step::Pass),
    ]
}

/// Runs a history and checks what the producer promises at its end.
fn check(steps: Vec<Step>) -> Result<(), TestCaseError> {
    let mut bench = Bench::new(Limits { messages_max: 1000, ..limits() });
    let mut node = Model::default();
    let mut pipe: std::collections::VecDeque<Put> = std::collections::VecDeque::new();
    let mut lost: Vec<Put> = Vec::new();
    let mut forgotten = false;
    let finish = [Step::Pass(2500), Step::Write].into_iter().chain(std::iter::repeat_n(Step::Serve, 200));
    let tail = std::iter::repeat_n(finish, 20).flatten();
    for step in steps.into_iter().chain(tail) {
        match step {
            Step::Accept(count) => (0..count).for_each(|_| _ = bench.accept()),
            Step::Write => pipe.extend(bench.puts()),
            Step::Serve => {
                if let Some(put) = pipe.pop_front() {
                    match node.put(&put) {
                        Ok(reply) => bench.reply(&put, Ok(Response::Put(reply))),
                        Err(code) => bench.refused(&put, code),
                    }
                }
            }
            Step::ServeAndCut | Step::Cut => {
                if let (Step::ServeAndCut, Some(put)) = (&step, pipe.front()) {
                    let _ = node.put(put);
                }
                pipe.iter().for_each(|put| bench.lost(put));
                lost.extend(pipe.drain(..));
            }
            Step::Straggle(which) if !lost.is_empty() => {
                let _ = node.put(&lost.swap_remove(which.index(lost.len())));
            }
            Step::Straggle(_) => {}
            Step::Refuse(code) => {
                if let Some(put) = pipe.pop_front() {
                    bench.refused(&put, code);
                }
            }
            Step::Forget if !forgotten => {
                // Once: a node remembers sessions for days.
                forgotten = true;
                let log = std::mem::take(&mut node.log);
                node = Model { log, ..Model::default() };
            }
            Step::Forget => {}
            Step::Pass(ms) => bench.pass(Duration::from_millis(u64::from(ms))),
        }
    }
    prop_assert!(bench.line.is_empty(), "everything is settled in the end");
    for number in 0..bench.next {
        let count = node.log.iter().filter(|one| **one == number).count();
        // A node that forgot a session takes its first message for a new one.
        let most = if forgotten { usize::MAX } else { 1 };
        match bench.outcome(number) {
            None => prop_assert!(false, "{number} is not settled"),
            Some(Ok(stored)) => {
                prop_assert!((1..=most).contains(&count), "{} is stored {} times", number, count);
                let place = usize::try_from(stored.sequence.0).unwrap() - 1;
                prop_assert_eq!(node.log[place], number, "confirmed under its own sequence");
            }
            Some(Err(error)) if error.is_uncertain() => {
                prop_assert!(count <= most, "{} is stored {} times", number, count);
            }
            Some(Err(_)) => prop_assert!(count == 0 || forgotten, "{} was refused", number),
        }
    }
    prop_assert!(node.log.is_sorted() || forgotten, "in order: {:?}", node.log);
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn whatever_happens_nothing_is_stored_twice_or_lost_or_out_of_order(
        steps in prop::collection::vec(any_step(), 0..120),
    ) {
        check(steps)?;
    }
}
