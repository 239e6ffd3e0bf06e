//! Storing messages: which are new, which are repeated, which are refused.

use std::sync::Arc;

use swarmmq_protocol::error::{ErrorCode, ErrorReply};
use swarmmq_protocol::id::Sequence;
use swarmmq_protocol::limits::PRIORITY_MAX;
use swarmmq_protocol::request::Put;
use swarmmq_protocol::response::{PutOutcome, PutReply};
use swarmmq_protocol::settings::Overflow;

use crate::command::PlacedMessage;
use crate::dedup::ids::Remembered;
use crate::destination::Destination;
use crate::fault::fault;
use crate::log::Incoming;
use crate::work::Work;

/// The error for a put that expected another last sequence.
pub(crate) fn wrong_revision(put: &Put, expected: u64, last: u64) -> ErrorReply {
    ErrorReply::new(
        ErrorCode::WrongRevision,
        format!("the last sequence of {} is {last}, not the expected {expected}", put.destination),
    )
}

impl Destination {
    /// Stores the messages of `put` that are new.
    ///
    /// # Errors
    /// Where the whole put is refused; nothing was changed then.
    pub(crate) fn put(
        &mut self,
        put: &Put,
        messages: &[PlacedMessage],
        message_bytes_max: u64,
        work: &mut Work,
    ) -> Result<PutReply, ErrorReply> {
        let (now_ms, settings) = (work.now_ms, &self.settings);
        let repeated = match &put.stamp {
            Some(stamp) => {
                self.sessions.check(stamp, messages.len() as u64, now_ms, settings.producer_ttl_ms)?
            }
            None => Vec::new(),
        };
        let new = messages.get(repeated.len()..).unwrap_or(&[]);
        if let Some(expected) = put.expected_last
            && expected != self.log.last()
            && !new.is_empty()
        {
            return Err(wrong_revision(put, expected, self.log.last()));
        }
        self.retire(work);
        let mut reply = PutReply { index: work.index, runs: Vec::new() };
        for outcome in &repeated {
            self.counted.duplicates += u64::from(matches!(outcome, PutOutcome::Duplicate(_)));
            reply.push(*outcome);
        }
        let mut outcomes = Vec::with_capacity(if put.stamp.is_some() { new.len() } else { 0 });
        let first_new = self.log.last();
        for message in new {
            let outcome = self.put_one(message, message_bytes_max, work);
            reply.push(outcome);
            if put.stamp.is_some() {
                outcomes.push(outcome);
            }
        }
        if let Some(stamp) = &put.stamp {
            let (ttl_ms, producers_max) = (self.settings.producer_ttl_ms, self.settings.producers_max);
            self.sessions.record(stamp, outcomes.into_iter(), now_ms, ttl_ms, producers_max);
        }
        if self.log.last() != first_new {
            // Each message stored pays for one that must go, so that a full log never grows.
            work.budget += usize::try_from(self.log.last() - first_new).unwrap_or(usize::MAX);
            self.trim(work);
            self.wake_all(work);
        }
        Ok(reply)
    }

    fn put_one(&mut self, message: &PlacedMessage, message_bytes_max: u64, work: &mut Work) -> PutOutcome {
        let PlacedMessage { offset, length, ref summary } = *message;
        if let Err(code) = self.accepts_size(u64::from(length), message_bytes_max) {
            self.counted.refused += 1;
            return PutOutcome::Refused(code);
        }
        let window_ms = self.settings.dedup_window_ms;
        let has_id = window_ms > 0 && !summary.id.is_nil();
        if has_id && let Some(first) = self.ids.find(summary.id.0, work.now_ms, window_ms) {
            self.counted.duplicates += 1;
            return PutOutcome::Duplicate(Sequence(first));
        }
        if self.is_full_for(u64::from(length)) {
            self.counted.refused += 1;
            return PutOutcome::Refused(ErrorCode::DestinationFull);
        }
        let now_ms = work.now_ms;
        let ttl_ms = match (summary.ttl_ms, self.settings.ttl_default_ms) {
            (Some(ttl_ms), _) => Some(ttl_ms),
            (None, 0) => None,
            (None, ttl_ms) => Some(ttl_ms),
        };
        let sequence = self.log.append(Incoming {
            index: work.index,
            offset,
            length,
            stored_ms: now_ms,
            rank: PRIORITY_MAX.saturating_sub(summary.priority),
            expires_ms: ttl_ms.map_or(u64::MAX, |ttl_ms| now_ms.saturating_add(ttl_ms)),
            available_ms: summary.delay_ms.map_or(0, |delay_ms| now_ms.saturating_add(delay_ms)),
            // A copy, since a slice would keep the whole entry in memory.
            key: summary.key.as_deref().map(Arc::from),
        });
        work.held.hold(work.index);
        self.counted.stored += 1;
        if has_id {
            let remembered = Remembered { stored_ms: now_ms, id: summary.id.0, sequence };
            self.ids.remember(remembered, self.settings.dedup_ids_max);
        }
        if self.settings.last_per_key && summary.key.is_some() {
            self.drop_earlier_of_key(sequence, work);
        }
        PutOutcome::Stored(Sequence(sequence))
    }

    /// Whether a message of this size may be stored at all.
    fn accepts_size(&self, length: u64, message_bytes_max: u64) -> Result<(), ErrorCode> {
        let settings = &self.settings;
        let max = if settings.message_bytes_max > 0 { settings.message_bytes_max } else { message_bytes_max };
        if length > max || (settings.bytes_max > 0 && length > settings.bytes_max) {
            return Err(ErrorCode::TooLarge);
        }
        Ok(())
    }

    fn is_full_for(&self, length: u64) -> bool {
        let settings = &self.settings;
        settings.overflow == Overflow::Refuse
            && ((settings.messages_max > 0 && self.log.messages() >= settings.messages_max)
                || (settings.bytes_max > 0 && self.log.bytes() + length > settings.bytes_max))
    }

    /// Of the messages of one key only the last stays. Usually there is one before it; more where the
    /// setting is new, and then they go with the key's next message.
    fn drop_earlier_of_key(&mut self, sequence: u64, work: &mut Work) {
        let mut spare = 1;
        while let Some(previous) = self.log.get(sequence).map(|stored| stored.previous_of_key())
            && previous != 0
            && (std::mem::take(&mut spare) > 0 || work.spend())
            && !fault!(NothingIsDropped)
        {
            self.remove(previous, work);
            self.counted.dropped += 1;
        }
    }
}
