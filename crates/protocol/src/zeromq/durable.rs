//! Requests of the durable protocol.
//!
//! ```text
//! [address …] ["SWMQ1"] [correlation] [verb] [arguments …] [name=value …]
//! ```
//!
//! The address is whatever stands before the protocol's name: nothing, or frames up to and with an
//! empty one, as REQ sockets and proxies write it. It comes back unchanged in front of the answer.

use bytes::Bytes;

use crate::error::{ErrorCode, ErrorReply};
use crate::id::{MessageId, Receipt};
use crate::limits::FIELD_BYTES_MAX;
use crate::message::MessageError;
use crate::name::{DestinationName, GroupName};
use crate::request::{Pull, Put, Request, Settle, Subscribe, Verdict};
use crate::settings::{DestinationKind, DestinationSettings};
use crate::zeromq::options::{self, PutOptions, malformed, numeric, option, quoted};

/// The frame that names the protocol and its version.
pub const PROTOCOL: &[u8] = b"SWMQ1";
/// What the names of all versions of the protocol begin with.
const PROTOCOL_FAMILY: &[u8] = b"SWMQ";
/// Most frames of a message to or from a durable endpoint, its address included; a delivery of
/// several messages has at most this many for each.
pub const FRAMES_MAX: usize = 512;
/// Most frames of an address, the empty one included: a REQ socket behind 15 proxies.
pub const ADDRESS_FRAMES_MAX: usize = 16;
/// Most bytes of a frame of an address; ZMTP allows no longer routing id.
pub const ADDRESS_FRAME_BYTES_MAX: usize = 255;
/// Most bytes of a correlation.
pub const CORRELATION_BYTES_MAX: usize = FIELD_BYTES_MAX;
/// Most receipts in one settlement.
pub const RECEIPTS_MAX: usize = 256;
/// Most messages in one pull. An answer is one ZeroMQ message and stands in memory as a whole.
pub const PULL_MESSAGES_MAX: u32 = 256;

/// Where an answer goes: what the client wrote before the verb and gets back.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct ReturnPath {
    /// Frames before the protocol's name; if there are any, the last one is empty.
    pub address: Vec<Bytes>,
    /// The client's own mark, of 0 to 255 bytes.
    pub correlation: Bytes,
}

/// A request with the way back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Envelope {
    /// Where the answer goes.
    pub path: ReturnPath,
    /// What is asked.
    pub call: Call,
}

/// What a client can ask of a durable endpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Call {
    /// `PUT`, `PULL`, `ACK`, `NACK`, `EXTEND`, `REJECT`, `SUBSCRIBE`, `CREATE` or `DESCRIBE`: for a shard.
    Request(Request),
    /// `UNSUBSCRIBE`: end the subscription of this path.
    Unsubscribe,
    /// `CREDIT`: give the subscription of this path so much more. It is not answered.
    Credit {
        /// How many messages.
        messages: u32,
    },
    /// `PING`: are you there, and what do you speak?
    Ping,
}

/// Why a message is not a request, and where to say so.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{error}")]
pub struct EnvelopeError {
    /// As much of the way back as could be read.
    pub path: ReturnPath,
    /// What to answer.
    pub error: ErrorReply,
}

/// Reads a request.
///
/// # Errors
/// [`EnvelopeError`] for anything that is not one, never a panic, whatever the frames hold.
pub fn parse(frames: &[Bytes]) -> Result<Envelope, EnvelopeError> {
    let (address, frames) = split_address(frames);
    let mut path = ReturnPath { address: address.to_vec(), correlation: Bytes::new() };
    let call = match read_header(address, frames, &mut path.correlation) {
        Ok((verb, arguments)) => read_call(verb, arguments),
        Err(error) => Err(error),
    };
    match call {
        Ok(call) => Ok(Envelope { path, call }),
        Err(error) => Err(EnvelopeError { path, error }),
    }
}

/// Whether a frame names a version of this protocol, known or not.
fn names_protocol(frame: &[u8]) -> bool {
    frame
        .strip_prefix(PROTOCOL_FAMILY)
        .is_some_and(|version| (1..=4).contains(&version.len()) && version.iter().all(u8::is_ascii_digit))
}

/// The frames up to and with the first empty one, unless the message begins with the protocol's name.
fn split_address(frames: &[Bytes]) -> (&[Bytes], &[Bytes]) {
    if frames.first().is_some_and(|frame| names_protocol(frame)) {
        return (&[], frames);
    }
    let end = frames.iter().take(ADDRESS_FRAMES_MAX).position(Bytes::is_empty).map_or(0, |empty| empty + 1);
    match frames.get(..end) {
        Some(address) if address.iter().all(|frame| frame.len() <= ADDRESS_FRAME_BYTES_MAX) => {
            frames.split_at(end)
        }
        _ => (&[], frames),
    }
}

/// Checks what stands before the arguments and returns the verb and them.
fn read_header<'a>(
    address: &[Bytes],
    frames: &'a [Bytes],
    correlation: &mut Bytes,
) -> Result<(&'a Bytes, &'a [Bytes]), ErrorReply> {
    let total = address.len() + frames.len();
    if total > FRAMES_MAX {
        return Err(ErrorReply::new(
            ErrorCode::TooLarge,
            format!("the message has {total} frames, more than {FRAMES_MAX}"),
        ));
    }
    let [protocol, rest @ ..] = frames else { return Err(malformed("the frame that says SWMQ1 is missing")) };
    if protocol != PROTOCOL {
        return Err(if names_protocol(protocol) {
            ErrorReply::new(
                ErrorCode::UnsupportedVersion,
                format!("{} is not spoken here, SWMQ1 is", quoted(protocol)),
            )
        } else {
            malformed(format!("{} stands where SWMQ1 is expected", quoted(protocol)))
        });
    }
    let [mark, rest @ ..] = rest else { return Err(malformed("the correlation frame is missing")) };
    if mark.len() > CORRELATION_BYTES_MAX {
        return Err(ErrorReply::new(
            ErrorCode::TooLarge,
            format!("the correlation has {} bytes, more than {CORRELATION_BYTES_MAX}", mark.len()),
        ));
    }
    *correlation = mark.clone();
    let [verb, arguments @ ..] = rest else {
        return Err(malformed("the verb is missing: SWMQ1, correlation, verb, arguments"));
    };
    Ok((verb, arguments))
}

fn read_call(verb: &Bytes, arguments: &[Bytes]) -> Result<Call, ErrorReply> {
    let request = match verb.as_ref() {
        b"PUT" => Request::Put(read_put(arguments)?),
        b"PULL" => Request::Pull(read_pull(arguments)?),
        b"ACK" | b"NACK" | b"EXTEND" | b"REJECT" => Request::Settle(read_settle(verb, arguments)?),
        b"SUBSCRIBE" => Request::Subscribe(read_subscribe(arguments)?),
        b"CREATE" => read_create(arguments)?,
        b"DESCRIBE" => {
            let (destination, rest) = read_destination(arguments)?;
            nothing_more(rest)?;
            Request::DescribeDestination { destination }
        }
        b"UNSUBSCRIBE" => return nothing_more(arguments).map(|()| Call::Unsubscribe),
        b"CREDIT" => {
            let [messages, rest @ ..] = arguments else { return Err(malformed("CREDIT needs a number")) };
            nothing_more(rest)?;
            return Ok(Call::Credit { messages: options::number("the credit", messages)? });
        }
        b"PING" => return nothing_more(arguments).map(|()| Call::Ping),
        _ => return Err(malformed(format!("there is no verb {}; verbs are in capitals", quoted(verb)))),
    };
    Ok(Call::Request(request))
}

fn nothing_more(frames: &[Bytes]) -> Result<(), ErrorReply> {
    match frames.first() {
        None => Ok(()),
        Some(frame) => Err(malformed(format!("nothing is expected where {} stands", quoted(frame)))),
    }
}

fn read_destination(arguments: &[Bytes]) -> Result<(DestinationName, &[Bytes]), ErrorReply> {
    let [destination, rest @ ..] = arguments else { return Err(malformed("the destination is missing")) };
    Ok((options::destination(destination)?, rest))
}

fn read_put(arguments: &[Bytes]) -> Result<Put, ErrorReply> {
    let (destination, rest) = read_destination(arguments)?;
    let [payload, rest @ ..] = rest else { return Err(malformed("the payload is missing")) };
    let mut options = PutOptions::new(payload.clone());
    for frame in rest {
        options.apply(frame)?;
    }
    let stamp = options.stamp()?;
    options.message.priority = options.priority.unwrap_or(options.message.priority);
    let message = options.message.encode().map_err(|error| match error {
        MessageError::TooLarge { .. } => ErrorReply::new(ErrorCode::TooLarge, error.to_string()),
        _ => malformed(error.to_string()),
    })?;
    Ok(Put { destination, stamp, expected_last: options.expected_last, messages: vec![message] })
}

/// The options that verbs of consumers share; each verb says which it has.
#[derive(Default)]
struct Consume {
    group: Option<GroupName>,
    max: Option<u32>,
    wait_ms: Option<u32>,
    lease_ms: Option<u32>,
    credit: Option<u32>,
}

impl Consume {
    fn read(frames: &[Bytes], allowed: &[&[u8]]) -> Result<Self, ErrorReply> {
        let mut consume = Self::default();
        for frame in frames {
            let Some((name, value)) = options::split(frame) else {
                return Err(malformed(format!("{} is not an option: options are name=value", quoted(frame))));
            };
            if !allowed.contains(&name) {
                return Err(options::unknown(name));
            }
            match name {
                b"group" => options::once(name, &mut consume.group, options::group(&value)?)?,
                b"max" => options::once(name, &mut consume.max, options::number("max", &value)?)?,
                b"wait-ms" => options::once(name, &mut consume.wait_ms, options::number("wait-ms", &value)?)?,
                b"lease-ms" => {
                    options::once(name, &mut consume.lease_ms, options::number("lease-ms", &value)?)?;
                }
                b"credit" => options::once(name, &mut consume.credit, options::number("credit", &value)?)?,
                _ => return Err(options::unknown(name)),
            }
        }
        Ok(consume)
    }

    fn group(self) -> GroupName {
        self.group.unwrap_or_else(GroupName::default_group)
    }
}

fn read_pull(arguments: &[Bytes]) -> Result<Pull, ErrorReply> {
    let (destination, rest) = read_destination(arguments)?;
    let consume = Consume::read(rest, &[b"group", b"max", b"wait-ms", b"lease-ms"])?;
    let messages_max = consume.max.unwrap_or(1);
    if !(1..=PULL_MESSAGES_MAX).contains(&messages_max) {
        return Err(malformed(format!("max is {messages_max}, it must be 1 to {PULL_MESSAGES_MAX}")));
    }
    Ok(Pull {
        destination,
        messages_max,
        wait_ms: consume.wait_ms.unwrap_or(0),
        lease_ms: consume.lease_ms.unwrap_or(0),
        group: consume.group(),
    })
}

fn read_subscribe(arguments: &[Bytes]) -> Result<Subscribe, ErrorReply> {
    let (destination, rest) = read_destination(arguments)?;
    let consume = Consume::read(rest, &[b"group", b"credit", b"lease-ms"])?;
    Ok(Subscribe {
        destination,
        credit: consume.credit.unwrap_or(0),
        lease_ms: consume.lease_ms.unwrap_or(0),
        group: consume.group(),
    })
}

/// Receipts hold no `=` and options do, so they may stand in any order.
fn read_settle(verb: &Bytes, arguments: &[Bytes]) -> Result<Settle, ErrorReply> {
    let (destination, rest) = read_destination(arguments)?;
    let (mut group, mut time_ms, mut reason) = (None, None, None);
    let mut receipts = Vec::new();
    for frame in rest {
        match options::split(frame) {
            None if receipts.len() == RECEIPTS_MAX => {
                return Err(malformed(format!("there are more than {RECEIPTS_MAX} receipts")));
            }
            None => receipts.push(options::receipt(frame)?),
            Some((name @ b"group", value)) => options::once(name, &mut group, options::group(&value)?)?,
            Some((name, value)) => match (verb.as_ref(), name) {
                (b"NACK", b"delay-ms") | (b"EXTEND", b"lease-ms") => {
                    options::once(name, &mut time_ms, options::number("the time", &value)?)?;
                }
                (b"REJECT", b"reason") => {
                    options::once(name, &mut reason, options::text("the reason", &value)?.to_owned())?;
                }
                _ => return Err(options::unknown(name)),
            },
        }
    }
    if receipts.is_empty() {
        return Err(malformed("there must be at least one receipt"));
    }
    let reason: String = reason.unwrap_or_default();
    if reason.len() > crate::limits::EXPLANATION_BYTES_MAX {
        return Err(ErrorReply::new(ErrorCode::TooLarge, "the reason has more than 1,024 bytes"));
    }
    let verdict = match verb.as_ref() {
        b"ACK" => Verdict::Ack,
        b"NACK" => Verdict::Nack { delay_ms: time_ms.unwrap_or(0) },
        b"EXTEND" => Verdict::Extend { lease_ms: time_ms.unwrap_or(0) },
        _ => Verdict::Reject { reason },
    };
    Ok(Settle { destination, group: group.unwrap_or_else(GroupName::default_group), verdict, receipts })
}

fn read_create(arguments: &[Bytes]) -> Result<Request, ErrorReply> {
    let (destination, rest) = read_destination(arguments)?;
    let settings = match rest {
        [] => DestinationSettings::queue(),
        [kind, rest @ ..] => {
            nothing_more(rest)?;
            match kind.as_ref() {
                b"kind=queue" => DestinationSettings::queue(),
                b"kind=stream" => DestinationSettings::stream(),
                _ => {
                    return Err(malformed(format!(
                        "{} stands where kind=queue or kind=stream may",
                        quoted(kind)
                    )));
                }
            }
        }
    };
    Ok(Request::CreateDestination { destination, settings })
}

/// Writes a request, or nothing where the protocol has no verb for it.
#[must_use]
pub fn encode(envelope: &Envelope) -> Option<Vec<Bytes>> {
    let mut out = envelope.path.address.clone();
    out.push(Bytes::from_static(PROTOCOL));
    out.push(envelope.path.correlation.clone());
    match &envelope.call {
        Call::Request(request) => encode_request(request, &mut out)?,
        Call::Unsubscribe => out.push(Bytes::from_static(b"UNSUBSCRIBE")),
        Call::Credit { messages } => {
            out.extend([Bytes::from_static(b"CREDIT"), Bytes::from(messages.to_string())]);
        }
        Call::Ping => out.push(Bytes::from_static(b"PING")),
    }
    Some(out)
}

fn encode_request(request: &Request, out: &mut Vec<Bytes>) -> Option<()> {
    let word = |text: &'static str| Bytes::from_static(text.as_bytes());
    let name = |name: &DestinationName| Bytes::copy_from_slice(name.as_str().as_bytes());
    let group =
        |group: &GroupName| (*group != GroupName::default_group()).then(|| option("group", group.as_str()));
    let time = |name, time: u64| (time != 0).then(|| numeric(name, time));
    match request {
        Request::Put(put) => {
            let [message] = put.messages.as_slice() else { return None };
            let message = message.decode().ok()?;
            out.extend([word("PUT"), name(&put.destination), message.payload.clone()]);
            options::put_message(&message, out);
            if let Some(stamp) = &put.stamp {
                out.push(option("session", MessageId(stamp.producer.0).to_string()));
                out.push(numeric("epoch", stamp.epoch));
                out.push(numeric("sequence", stamp.sequence));
            }
            out.extend(put.expected_last.map(|last| numeric("expect-last", last)));
        }
        Request::Pull(pull) => {
            out.extend([word("PULL"), name(&pull.destination), numeric("max", pull.messages_max)]);
            out.extend(group(&pull.group));
            out.extend(time("wait-ms", pull.wait_ms.into()));
            out.extend(time("lease-ms", pull.lease_ms.into()));
        }
        Request::Subscribe(subscribe) => {
            let credit = numeric("credit", subscribe.credit);
            out.extend([word("SUBSCRIBE"), name(&subscribe.destination), credit]);
            out.extend(group(&subscribe.group));
            out.extend(time("lease-ms", subscribe.lease_ms.into()));
        }
        Request::Settle(settle) => {
            let (verb, argument) = match &settle.verdict {
                Verdict::Ack => ("ACK", None),
                Verdict::Nack { delay_ms } => ("NACK", time("delay-ms", *delay_ms)),
                Verdict::Extend { lease_ms } => ("EXTEND", time("lease-ms", *lease_ms)),
                Verdict::Reject { reason } => {
                    ("REJECT", (!reason.is_empty()).then(|| option("reason", reason)))
                }
            };
            out.extend([word(verb), name(&settle.destination)]);
            out.extend(settle.receipts.iter().map(receipt_frame));
            out.extend(group(&settle.group));
            out.extend(argument);
        }
        Request::CreateDestination { destination, settings } => {
            let kind = match settings.kind {
                DestinationKind::Queue if *settings == DestinationSettings::queue() => "kind=queue",
                DestinationKind::Stream if *settings == DestinationSettings::stream() => "kind=stream",
                _ => return None,
            };
            out.extend([word("CREATE"), name(destination), word(kind)]);
        }
        Request::DescribeDestination { destination } => out.extend([word("DESCRIBE"), name(destination)]),
        _ => return None,
    }
    Some(())
}

/// A receipt as its frame.
pub(super) fn receipt_frame(receipt: &Receipt) -> Bytes {
    Bytes::from(receipt.to_string())
}

#[cfg(test)]
#[path = "durable_tests.rs"]
mod tests;
