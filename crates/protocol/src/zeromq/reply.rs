//! Answers and deliveries of the durable protocol.
//!
//! ```text
//! [address …] ["SWMQ1"] [correlation] ["OK"]       [result …]
//! [address …] ["SWMQ1"] [correlation] ["ERROR"]    [code] [explanation] [detail …]
//! [address …] ["SWMQ1"] [correlation] ["DELIVERY"] [receipt] [payload] [name=value …] [""] …
//! [address …] ["SWMQ1"] [correlation] ["ENDED"]    [code] [explanation]
//! ```

use bytes::Bytes;

use crate::error::{ErrorCode, ErrorReply};
use crate::response::{Delivery, PutOutcome, Response, SettleOutcome, SettleReply};
use crate::service::ServiceNews;
use crate::settings::DestinationKind;
use crate::zeromq::durable::{PROTOCOL, ReturnPath, receipt_frame};
use crate::zeromq::options::{self, numeric, option};

const OK: Bytes = Bytes::from_static(b"OK");
const ERROR: Bytes = Bytes::from_static(b"ERROR");

fn head(path: &ReturnPath, status: Bytes) -> Vec<Bytes> {
    let mut out = Vec::with_capacity(path.address.len() + 8);
    out.extend_from_slice(&path.address);
    out.push(Bytes::from_static(PROTOCOL));
    out.push(path.correlation.clone());
    out.push(status);
    out
}

/// The answer to a request.
#[must_use]
pub fn encode_response(path: &ReturnPath, response: &Response) -> Vec<Bytes> {
    let mut out = head(path, OK);
    match response {
        Response::Error(error) => return encode_error(path, error),
        Response::Done { .. } | Response::Subscribed => {}
        Response::Put(reply) => {
            let (word, sequence) = match reply.outcomes().next() {
                Some(PutOutcome::Stored(sequence)) => ("stored", sequence),
                Some(PutOutcome::Duplicate(sequence)) => ("duplicate", sequence),
                Some(PutOutcome::Refused(code)) => {
                    return encode_error(path, &ErrorReply::new(code, "the destination refused the message"));
                }
                None => {
                    return encode_error(
                        path,
                        &ErrorReply::new(ErrorCode::Internal, "a put without outcome"),
                    );
                }
            };
            out.push(Bytes::from_static(word.as_bytes()));
            out.push(Bytes::from(sequence.to_string()));
            out.push(Bytes::from(reply.index.to_string()));
        }
        Response::Messages(deliveries) => put_deliveries(deliveries, &mut out),
        Response::Settled(reply) => return encode_settled(path, reply),
        Response::Destination(info) => {
            let kind = match info.settings.kind {
                DestinationKind::Queue => "queue",
                DestinationKind::Stream => "stream",
            };
            out.push(option("kind", kind));
            for (name, value) in [
                ("first", info.first),
                ("last", info.last),
                ("messages", info.messages),
                ("bytes", info.bytes),
                ("oldest-age-ms", info.oldest_age_ms),
                ("dropped", info.dropped),
                ("expired", info.expired),
                ("duplicates", info.duplicates),
            ] {
                out.push(numeric(name, value));
            }
        }
        // No request of these protocols is answered with it; whoever sees one sees the instances.
        Response::Services(reply) => {
            if let ServiceNews::All(instances) = &reply.news {
                out.extend(instances.iter().map(|one| Bytes::from(one.key.to_string())));
            }
        }
        Response::Destinations(infos) => {
            out.extend(infos.iter().map(|info| Bytes::copy_from_slice(info.name.as_str().as_bytes())));
        }
    }
    out
}

/// A settlement is an error where a receipt was refused, so that a client that looks no further than
/// `OK` is right; the outcome of each receipt follows either way.
fn encode_settled(path: &ReturnPath, reply: &SettleReply) -> Vec<Bytes> {
    let refused = |outcome: &SettleOutcome| matches!(outcome, SettleOutcome::Stale | SettleOutcome::Unknown);
    let mut out = match reply.outcomes.iter().filter(|outcome| refused(outcome)).count() {
        0 => head(path, OK),
        count => encode_error(
            path,
            &ErrorReply::new(
                ErrorCode::StaleReceipt,
                format!(
                    "{count} of {} receipts say nothing any more: their messages were leased again, or were never delivered to this group",
                    reply.outcomes.len()
                ),
            ),
        ),
    };
    out.extend(reply.outcomes.iter().map(|outcome| {
        Bytes::from_static(match outcome {
            SettleOutcome::Done => b"done",
            SettleOutcome::AlreadySettled => b"already-settled",
            SettleOutcome::Stale => b"stale",
            SettleOutcome::Unknown => b"unknown",
        })
    }));
    out
}

/// The answer to a request that failed.
#[must_use]
pub fn encode_error(path: &ReturnPath, error: &ErrorReply) -> Vec<Bytes> {
    let mut out = head(path, ERROR);
    put_error(error, &mut out);
    out
}

fn put_error(error: &ErrorReply, out: &mut Vec<Bytes>) {
    out.push(Bytes::from_static(error.code.as_str().as_bytes()));
    out.push(Bytes::copy_from_slice(error.explanation.as_bytes()));
    out.extend(error.leader.as_ref().map(|leader| option("leader", leader)));
}

/// The answer to a ping.
#[must_use]
pub fn encode_pong(path: &ReturnPath, software: &str) -> Vec<Bytes> {
    let mut out = head(path, OK);
    out.push(Bytes::from_static(PROTOCOL));
    out.push(Bytes::copy_from_slice(software.as_bytes()));
    out
}

/// Messages for a subscription.
#[must_use]
pub fn encode_delivery(path: &ReturnPath, deliveries: &[Delivery]) -> Vec<Bytes> {
    let mut out = head(path, Bytes::from_static(b"DELIVERY"));
    put_deliveries(deliveries, &mut out);
    out
}

/// The end of a subscription.
#[must_use]
pub fn encode_ended(path: &ReturnPath, error: &ErrorReply) -> Vec<Bytes> {
    let mut out = head(path, Bytes::from_static(b"ENDED"));
    put_error(error, &mut out);
    out
}

/// Each message ends with an empty frame, which no option is.
fn put_deliveries(deliveries: &[Delivery], out: &mut Vec<Bytes>) {
    for delivery in deliveries {
        // Stored messages were checked when they were put; one that does not read any more is
        // delivered as it stands rather than lost.
        let message = delivery.message.decode();
        out.push(receipt_frame(&delivery.receipt));
        out.push(match &message {
            Ok(message) => message.payload.clone(),
            Err(_) => delivery.message.as_bytes().clone(),
        });
        out.push(numeric("attempt", delivery.attempt));
        out.push(numeric("stored-ms", delivery.stored_ms));
        if let Ok(message) = &message {
            options::put_message(message, out);
        }
        out.push(Bytes::new());
    }
}
