//! Sends dead letters to the destinations they are for, each exactly once.
//!
//! The outbox is replicated. What leaves it is put under a producer session of the outbox itself, so
//! that a put repeated after a crash or a change of leader is recognised by its sequence; then the
//! outbox is told, and lets the message go.

use std::sync::Arc;
use std::time::Duration;

use swarmmq_broker::{Command, DeadLetter, OutboxBatch, Outcome};
use swarmmq_protocol::request::Put;
use swarmmq_protocol::response::{PutOutcome, PutReply};
use swarmmq_protocol::{EncodedMessage, ErrorCode, ErrorReply, ProducerStamp};
use tokio::sync::oneshot;

use super::proposal::Origin;
use super::state::Shard;
use super::submit::SMALL_COMMAND_BYTES;
use crate::shards::Shards;

/// Most dead letters on their way to one target at once.
const BATCH_MAX: usize = 64;
/// Bytes of dead letters after which a put takes no further one.
const BATCH_BYTES_MAX: usize = 256 * 1024;
/// How long to wait before trying again what did not go.
const RETRY: Duration = Duration::from_secs(1);

/// Runs until the shard stops.
pub(super) async fn run(shard: Arc<Shard>, shards: Arc<Shards>) {
    loop {
        tokio::select! {
            biased;
            () = shard.stop.cancelled() => return,
            () = shard.outbox.notified() => {}
            () = tokio::time::sleep(RETRY) => {}
        }
        let mut progress = true;
        while progress {
            let batches = {
                let core = shard.core.lock();
                if core.leading.is_some() { core.broker.outbox(BATCH_MAX) } else { Vec::new() }
            };
            progress = false;
            for batch in batches {
                let target = batch.target.clone();
                match forward(&shard, &shards, batch).await {
                    Ok(moved) => progress |= moved,
                    Err(error) => {
                        tracing::warn!(shard = shard.number, %target, %error, "dead letters wait");
                    }
                }
            }
        }
    }
}

/// Puts dead letters of one target and tells the outbox. Says whether any arrived.
async fn forward(shard: &Arc<Shard>, shards: &Shards, mut batch: OutboxBatch) -> Result<bool, ErrorReply> {
    batch.letters.truncate(fitting(&batch.letters));
    let Some(first) = batch.letters.first() else { return Ok(false) };
    let stamp =
        ProducerStamp { producer: batch.producer, epoch: batch.epoch, sequence: first.outbox_sequence };
    let locations = batch.letters.iter().map(|letter| letter.location).collect();
    let originals = shard
        .read(locations)
        .await
        .map_err(|error| ErrorReply::new(ErrorCode::Internal, error.to_string()))?;
    let limit = shards.of(&batch.target).message_bytes_max(&batch.target);
    let messages = batch
        .letters
        .iter()
        .zip(originals)
        .map(|(letter, original)| dead_letter(letter, &original, limit))
        .collect();
    let put = Put { destination: batch.target.clone(), stamp: Some(stamp), expected_last: None, messages };
    let (tx, rx) = oneshot::channel();
    shards.of(&batch.target).put_letters(put, Origin::Task(tx));
    let command = match answer(rx).await {
        Ok(Outcome::Put(reply)) => done(&batch, &reply),
        Ok(_) => return Ok(false),
        Err(error) if matches!(error.code, ErrorCode::UnknownProducer | ErrorCode::SequenceGap) => {
            Command::OutboxRestart { target: batch.target.clone(), epoch: batch.epoch }
        }
        Err(error) => return Err(error),
    };
    let moved = match &command {
        Command::OutboxDone { again, .. } => again.len() < batch.letters.len(),
        _ => true,
    };
    let (tx, rx) = oneshot::channel();
    shard.propose(command, SMALL_COMMAND_BYTES, Origin::Task(tx));
    answer(rx).await?;
    Ok(moved)
}

/// How many of the first letters go into one put: at least one, and what has room.
fn fitting(letters: &[DeadLetter]) -> usize {
    let mut bytes = 0;
    let full = letters.iter().position(|letter| {
        bytes += letter.location.length as usize;
        bytes > BATCH_BYTES_MAX
    });
    full.unwrap_or(letters.len()).max(1)
}

/// What the outbox is told of a put: all its letters are done, but those that were refused, which wait.
fn done(batch: &OutboxBatch, reply: &PutReply) -> Command {
    let mut again = Vec::new();
    let mut through = 0;
    for (letter, outcome) in batch.letters.iter().zip(reply.outcomes()) {
        through = letter.outbox_sequence;
        if let PutOutcome::Refused(code) = outcome {
            again.push(letter.outbox_sequence);
            if !code.is_retryable() {
                tracing::warn!(target_queue = %batch.target, source = %letter.destination,
                    sequence = letter.sequence, %code, "a dead letter waits: its destination does not take it");
            }
        }
    }
    Command::OutboxDone { target: batch.target.clone(), epoch: batch.epoch, through, again }
}

async fn answer(rx: oneshot::Receiver<Result<(u64, Outcome), ErrorReply>>) -> Result<Outcome, ErrorReply> {
    match rx.await.unwrap_or_else(|_| Err(crate::cluster::stopping()))? {
        (_, Outcome::Error(error)) => Err(error),
        (_, done) => Ok(done),
    }
}

/// The message with what became of it in its headers. What cannot take the headers goes without.
///
/// Its id is a header, too, and no longer its id: the same message may die again after somebody has put it
/// back, and is another letter then. That no letter comes twice is the outbox's session's business.
fn dead_letter(letter: &DeadLetter, original: &EncodedMessage, limit: usize) -> EncodedMessage {
    let Ok(mut message) = original.decode() else { return original.clone() };
    message.delay_ms = None;
    message.ttl_ms = None;
    let id = std::mem::take(&mut message.id);
    let bare = message.clone();
    if !id.is_nil() {
        message = message.header("swarmmq-dead-letter-id", id.to_string());
    }
    message
        .header("swarmmq-dead-letter-source", letter.destination.to_string())
        .header("swarmmq-dead-letter-group", letter.group.to_string())
        .header("swarmmq-dead-letter-sequence", letter.sequence.to_string())
        .header("swarmmq-dead-letter-deliveries", letter.attempts.to_string())
        .header("swarmmq-dead-letter-reason", letter.reason.clone())
        .encode()
        .ok()
        .filter(|letter| letter.len() <= limit)
        .or_else(|| bare.encode().ok())
        .unwrap_or_else(|| original.clone())
}
