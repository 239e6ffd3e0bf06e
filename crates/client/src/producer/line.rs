//! The messages of a producer from their acceptance to their acknowledgement, in order.
//!
//! This is the pure part: it is told the time and the answers, and says what to send.
//!
//! ```text
//!                  handle_reply: stored, or refused for good
//!   accept ─▶ Queued ──next_put──▶ Sent ──────────────────────────▶ told, gone
//!                ▲                   │ try again, or connection lost
//!                └─────resume──── Answered
//! ```
//!
//! The line is sent in *attempts*. Batches are pipelined; as soon as one of them has to be sent again
//! the line is *stalled*: nothing new is sent until everything sent has been answered or lost and the
//! pause is over, then all that is left is sent again from the front, in order, with the same stamps.
//! The node refuses a put whose predecessor it has not stored, so nothing overtakes.
//!
//! A batch that is refused for good has used its sequences up without being stored, and the node would
//! refuse all behind it. Then the line goes on with the next *epoch*, and gives new stamps to those
//! batches of which it is certain that they are not stored. An uncertain batch keeps its stamp for
//! ever: a second stamp could store it twice.

use std::collections::VecDeque;
use std::time::Duration;

use swarmmq_protocol::limits::BATCH_MAX;
use swarmmq_protocol::message::MessageError;
use swarmmq_protocol::response::{PutOutcome, PutReply};
use swarmmq_protocol::{ErrorCode, ErrorReply, Message, MessageBatch, ProducerId, ProducerStamp, Response};
use tokio::time::Instant;

use crate::backoff::Backoff;
use crate::connection::Token;
use crate::error::{Error, says_nothing_was_done};
use crate::producer::batch::{Batch, Progress, Resolved};
use crate::producer::confirmation::Confirmation;
use crate::request::{HOPS_MAX, RETRY_DELAYS};

/// A batch takes no more messages when it has so many bytes.
const BATCH_BYTES: usize = 256 * 1024;
/// A batch takes no more messages when its first is older than this part of the timeout, so that all
/// of a batch expire at about the same time.
const BATCH_AGE_PART: u32 = 16;

/// What a line allows itself.
#[derive(Debug, Clone)]
pub(super) struct Limits {
    pub(super) messages_max: usize,
    pub(super) bytes_max: usize,
    /// How long a message is tried.
    pub(super) timeout: Duration,
    /// How long one answer is waited for.
    pub(super) answer_timeout: Duration,
    pub(super) wait_when_full: bool,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Line {
    limits: Limits,
    producer: ProducerId,
    epoch: u32,
    next_sequence: u64,
    next_number: u64,
    last_ticket: u64,
    batches: VecDeque<Batch>,
    /// How many batches at the front are [`Progress::Sent`], while the line is not stalled.
    sent: usize,
    messages: usize,
    bytes: usize,
    attempt: u32,
    /// Batches sent in this attempt and not answered.
    in_flight: usize,
    /// When the line may be resumed, if it is stalled.
    stalled: Option<Instant>,
    /// From this stamp on nothing of its epoch will ever be stored.
    broken: Option<(u32, u64)>,
    backoff: Backoff,
    hops: u32,
}

/// A put to be written.
pub(super) struct NextPut<'a> {
    pub(super) token: Token,
    pub(super) stamp: ProducerStamp,
    pub(super) messages: &'a MessageBatch,
}

impl Line {
    pub(super) fn new(producer: ProducerId, limits: Limits) -> Self {
        Self {
            limits,
            producer,
            epoch: 0,
            next_sequence: 1,
            next_number: 0,
            last_ticket: 0,
            batches: VecDeque::new(),
            sent: 0,
            messages: 0,
            bytes: 0,
            attempt: 0,
            in_flight: 0,
            stalled: None,
            broken: None,
            backoff: Backoff::new(RETRY_DELAYS.0, RETRY_DELAYS.1),
            hops: 0,
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.batches.is_empty()
    }

    pub(super) fn is_stalled(&self) -> bool {
        self.stalled.is_some()
    }

    /// How long a message is tried.
    pub(super) fn timeout(&self) -> Duration {
        self.limits.timeout
    }

    /// A number that all messages accepted so far are below.
    pub(super) fn next_number(&self) -> u64 {
        self.next_number
    }

    /// Whether every message accepted before that number was given is settled.
    pub(super) fn is_settled_below(&self, number: u64) -> bool {
        self.batches.iter().all(|batch| batch.number >= number || batch.expired)
    }

    /// Whether the window has room for a message of `bytes`. One message always has, whatever its size.
    pub(super) fn has_room(&self, bytes: usize) -> bool {
        self.messages == 0
            || self.messages < self.limits.messages_max
                && self.bytes.saturating_add(bytes) <= self.limits.bytes_max
    }

    /// Takes a message behind all others.
    pub(super) fn accept(&mut self, message: &Message, now: Instant) -> Result<Confirmation, MessageError> {
        let open = self.batches.back().is_some_and(|batch| self.is_open(batch, message, now));
        let mut batch = match open.then(|| self.batches.pop_back()).flatten() {
            Some(batch) => batch,
            None => Batch::new(self.next_number, now),
        };
        let result = batch.add(message);
        if let Ok((_, bytes)) = result {
            self.next_number = self.next_number.max(batch.number + 1);
            self.messages += 1;
            self.bytes += bytes;
        }
        if !batch.messages.is_empty() {
            self.batches.push_back(batch);
        }
        result.map(|(confirmation, _)| confirmation)
    }

    fn is_open(&self, batch: &Batch, message: &Message, now: Instant) -> bool {
        batch.progress == Progress::Queued
            && !batch.is_tried()
            && batch.last.is_none()
            && (batch.messages.count() as usize) < BATCH_MAX
            && batch.messages.bytes() + message.encoded_len() <= BATCH_BYTES
            && now.duration_since(batch.accepted) < self.limits.timeout / BATCH_AGE_PART
    }

    /// Whether there is something to send.
    pub(super) fn has_put(&self) -> bool {
        self.stalled.is_none() && self.batches.get(self.sent).is_some_and(|batch| self.is_in_turn(batch))
    }

    /// A batch of a new epoch waits for those of the old one: it would fence them out.
    fn is_in_turn(&self, batch: &Batch) -> bool {
        let epoch_of = |batch: &Batch| batch.stamp.map_or(self.epoch, |stamp| stamp.epoch);
        self.batches.front().is_some_and(|front| epoch_of(front) == epoch_of(batch))
    }

    /// The next put to send. It counts as sent.
    pub(super) fn next_put(&mut self, now: Instant) -> Option<NextPut<'_>> {
        if !self.has_put() {
            return None;
        }
        let (producer, epoch) = (self.producer, self.epoch);
        let batch = self.batches.get_mut(self.sent)?;
        let stamp = match batch.stamp {
            Some(stamp) => stamp,
            None => {
                let stamp = ProducerStamp { producer, epoch, sequence: self.next_sequence };
                self.next_sequence += u64::from(batch.messages.count());
                self.last_ticket += 1;
                batch.ticket = self.last_ticket;
                *batch.stamp.insert(stamp)
            }
        };
        batch.progress = Progress::Sent(now);
        self.sent += 1;
        self.in_flight += 1;
        let token = Token { number: batch.ticket, attempt: self.attempt };
        Some(NextPut { token, stamp, messages: &batch.messages })
    }

    /// Takes an answer, or that there will be none. `moved` says that another node is asked from now
    /// on.
    pub(super) fn handle_reply(
        &mut self,
        token: Token,
        reply: Result<Response, Error>,
        moved: bool,
        now: Instant,
    ) -> Vec<Resolved> {
        let is_current = token.attempt == self.attempt;
        if is_current {
            self.in_flight = self.in_flight.saturating_sub(1);
        }
        let Some(place) = self.batches.iter().position(|batch| batch.ticket == token.number) else {
            return Vec::new();
        };
        match reply {
            // True whichever attempt it answers.
            Ok(Response::Put(reply)) if self.fits(place, &reply) => self.handle_stored(place, reply, now),
            _ if !is_current => Vec::new(),
            Ok(Response::Error(reply)) => self.handle_refusal(place, reply, moved, now),
            Ok(_) => {
                let error = Error::Protocol { reason: "its answer does not fit the put".into() };
                self.doubt(place);
                self.give_up(place, error, now)
            }
            Err(error) => {
                self.doubt(place);
                let pause = if matches!(error, Error::ConnectionLost { .. } | Error::Closed) {
                    // The link pauses before it connects again.
                    Duration::ZERO
                } else {
                    self.backoff.next_delay()
                };
                self.try_again(place, Some(error), now + pause);
                Vec::new()
            }
        }
    }

    fn fits(&self, place: usize, reply: &PutReply) -> bool {
        let answered: u64 = reply.runs.iter().map(|run| u64::from(run.count)).sum();
        self.batches.get(place).is_some_and(|batch| u64::from(batch.messages.count()) == answered)
    }

    fn handle_stored(&mut self, place: usize, reply: PutReply, now: Instant) -> Vec<Resolved> {
        self.hops = 0;
        let full = PutOutcome::Refused(ErrorCode::DestinationFull);
        let is_full = reply.runs.iter().any(|run| run.outcome == full);
        let Some(batch) = self.remove(place) else { return Vec::new() };
        if !is_full || !self.limits.wait_when_full || batch.expired {
            self.backoff.reset();
            return vec![batch.answered(reply)];
        }
        let (again, settled) = batch.split_refused_as_full(&reply);
        if let Some(mut again) = again {
            // Those in flight are ahead of it now: their stamps are lower than the one it will get.
            let is_ahead = |batch: &&Batch| batch.is_tried() || batch.number < again.number;
            let behind = self.batches.iter().take_while(is_ahead).count();
            again.progress = Progress::Answered;
            self.messages += again.messages.count() as usize;
            self.bytes += again.messages.bytes();
            self.batches.insert(behind, again);
            let pause = self.backoff.next_delay();
            self.stall(now + pause);
        }
        settled
    }

    fn handle_refusal(
        &mut self,
        place: usize,
        reply: ErrorReply,
        moved: bool,
        now: Instant,
    ) -> Vec<Resolved> {
        let code = reply.code;
        if !says_nothing_was_done(code) {
            self.doubt(place);
        }
        let error = Error::Refused(reply);
        let is_lost_session = matches!(code, ErrorCode::SequenceGap | ErrorCode::UnknownProducer);
        if code.is_retryable() && (code != ErrorCode::DestinationFull || self.limits.wait_when_full) {
            let pause =
                if moved && self.hops < HOPS_MAX { Duration::ZERO } else { self.backoff.next_delay() };
            self.hops += u32::from(moved);
            self.try_again(place, Some(error), now + pause);
            Vec::new()
        } else if is_lost_session && place > 0 {
            // One before it is not stored, as its own answer says or has said.
            self.try_again(place, None, now);
            Vec::new()
        } else if is_lost_session && self.may_restamp(place) {
            if let Some(batch) = self.batches.get_mut(place) {
                batch.restamped = true;
            }
            self.break_at(place);
            self.try_again(place, Some(error), now);
            Vec::new()
        } else {
            self.give_up(place, error, now)
        }
    }

    fn may_restamp(&self, place: usize) -> bool {
        self.batches.get(place).is_some_and(|batch| !batch.restamped && !self.is_doubtful(batch))
    }

    /// Whether a batch may be stored: it was sent without an answer, and the node could store it.
    fn is_doubtful(&self, batch: &Batch) -> bool {
        batch.uncertain
            && !batch
                .stamp
                .zip(self.broken)
                .is_some_and(|(stamp, (epoch, sequence))| stamp.epoch == epoch && stamp.sequence > sequence)
    }

    fn doubt(&mut self, place: usize) {
        if let Some(batch) = self.batches.get_mut(place) {
            batch.uncertain = true;
        }
    }

    /// Notes that nothing behind the batch at `place` can be stored under its epoch, as it is not
    /// stored itself and never will be under this stamp.
    fn break_at(&mut self, place: usize) {
        let Some(batch) = self.batches.get(place) else { return };
        if let (Some(stamp), false) = (batch.stamp, self.is_doubtful(batch)) {
            let here = (stamp.epoch, stamp.sequence);
            self.broken = match self.broken {
                Some(broken) if broken.0 == here.0 => Some(broken.min(here)),
                _ => Some(here),
            };
        } else if let Some(stamp) = batch.stamp {
            // Whether it is stored is not known: only what was never stored may go on in a new epoch.
            self.broken = self.broken.or(Some((stamp.epoch, u64::MAX)));
        }
    }

    fn try_again(&mut self, place: usize, error: Option<Error>, until: Instant) {
        if let Some(batch) = self.batches.get_mut(place) {
            batch.progress = Progress::Answered;
            batch.last = error.or(batch.last.take());
        }
        self.stall(until);
    }

    fn give_up(&mut self, place: usize, error: Error, now: Instant) -> Vec<Resolved> {
        self.break_at(place);
        let doubtful = self.batches.get(place).is_some_and(|batch| self.is_doubtful(batch));
        self.stall(now);
        let Some(mut batch) = self.remove(place) else { return Vec::new() };
        batch.uncertain = doubtful;
        vec![batch.failed(error)]
    }

    fn stall(&mut self, until: Instant) {
        self.stalled = Some(self.stalled.map_or(until, |stalled| stalled.max(until)));
    }

    fn remove(&mut self, place: usize) -> Option<Batch> {
        let batch = self.batches.remove(place)?;
        if place < self.sent {
            self.sent -= 1;
        }
        self.messages -= batch.messages.count() as usize;
        self.bytes -= batch.messages.bytes();
        Some(batch)
    }

    /// Does what is due: gives up waiting for answers, tells those whose time is over, and resumes a
    /// stalled line.
    pub(super) fn handle_time(&mut self, now: Instant) -> Vec<Resolved> {
        let waited = |batch: &Batch| match batch.progress {
            Progress::Sent(at) => now >= at + self.limits.answer_timeout,
            _ => false,
        };
        if self.batches.iter().take(self.sent).any(waited) {
            self.stop_waiting(now);
        }
        let resolved = self.expire(now);
        if self.in_flight == 0 && self.stalled.is_some_and(|until| now >= until) {
            self.resume();
        }
        resolved
    }

    /// Whether a stalled line can be resumed now.
    pub(super) fn is_due(&self, now: Instant) -> bool {
        self.in_flight == 0 && self.stalled.is_some_and(|until| now >= until)
    }

    /// When [`Self::handle_time`] has something to do next, if nothing else happens.
    pub(super) fn next_time(&self) -> Option<Instant> {
        let resume = self.stalled.filter(|_| self.in_flight == 0);
        let waited = self.batches.iter().take(self.sent).find_map(|batch| match batch.progress {
            Progress::Sent(at) => Some(at + self.limits.answer_timeout),
            _ => None,
        });
        let expiry = self
            .batches
            .iter()
            .find(|batch| !batch.expired)
            .map(|batch| batch.accepted + self.limits.timeout);
        [resume, waited, expiry].into_iter().flatten().min()
    }

    /// Takes the answers as lost. What comes of them later is still believed where it says "stored".
    fn stop_waiting(&mut self, now: Instant) {
        let silent = Error::TimedOut {
            operation: "the answer to a put",
            limit: self.limits.answer_timeout,
            last: None,
        };
        for batch in self.batches.iter_mut().filter(|batch| matches!(batch.progress, Progress::Sent(_))) {
            batch.progress = Progress::Answered;
            batch.uncertain = true;
            batch.last = Some(silent.clone());
        }
        self.in_flight = 0;
        self.attempt = self.attempt.wrapping_add(1);
        let pause = self.backoff.next_delay();
        self.stall(now + pause);
    }

    fn expire(&mut self, now: Instant) -> Vec<Resolved> {
        let mut resolved = Vec::new();
        let mut place = 0;
        while let Some(batch) = self.batches.get(place) {
            if now < batch.accepted + self.limits.timeout {
                break;
            }
            let limit = self.limits.timeout;
            let last = batch.last.clone().map(Box::new);
            let error = Error::TimedOut { operation: "the put", limit, last };
            if self.may_withdraw(place) {
                self.break_at(place);
                resolved.extend(self.remove(place).map(|batch| batch.failed(error)));
                continue;
            }
            if let Some(batch) = self.batches.get_mut(place).filter(|batch| !batch.expired) {
                resolved.push(batch.expire(error));
            }
            place += 1;
        }
        resolved
    }

    /// Whether the batch at `place` can be taken out for certain: it was never sent, or nothing is
    /// under way and neither it nor any other may be stored.
    fn may_withdraw(&self, place: usize) -> bool {
        let is_tried = self.batches.get(place).is_none_or(Batch::is_tried);
        let nothing_is_open =
            self.in_flight == 0 && self.batches.iter().all(|batch| !self.is_doubtful(batch));
        !is_tried || self.stalled.is_some() && nothing_is_open
    }

    /// Begins the next attempt.
    fn resume(&mut self) {
        self.stalled = None;
        self.attempt = self.attempt.wrapping_add(1);
        self.sent = 0;
        if self.broken.is_some() {
            for place in 0..self.batches.len() {
                let doubtful = self.batches.get(place).is_some_and(|batch| self.is_doubtful(batch));
                if let Some(batch) = self.batches.get_mut(place) {
                    batch.uncertain = doubtful;
                    if !doubtful {
                        batch.stamp = None;
                    }
                }
            }
            self.broken = None;
            self.epoch = self.epoch.wrapping_add(1);
            self.next_sequence = 1;
        }
        for batch in &mut self.batches {
            batch.progress = Progress::Queued;
        }
    }

    /// Gives everything up, because of `error`.
    pub(super) fn abandon(&mut self, error: &Error) -> Vec<Resolved> {
        let batches = std::mem::take(&mut self.batches);
        (self.messages, self.bytes, self.sent, self.in_flight) = (0, 0, 0, 0);
        let is_open = |batch: &Batch| batch.uncertain || matches!(batch.progress, Progress::Sent(_));
        batches
            .into_iter()
            .map(|mut batch| {
                batch.uncertain = is_open(&batch);
                batch.failed(error.clone())
            })
            .collect()
    }
}
