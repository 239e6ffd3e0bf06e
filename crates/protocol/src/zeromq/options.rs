//! `name=value` frames: how a request says what it may leave out.

use bytes::{BufMut, Bytes, BytesMut};

use crate::error::{ErrorCode, ErrorReply};
use crate::id::{MessageId, ProducerId, ProducerStamp, Receipt, Sequence};
use crate::message::{Header, Message};
use crate::name::{DestinationName, GroupName, NameError};

/// Most bytes of a word of a frame that an explanation repeats.
const QUOTED_BYTES_MAX: usize = 60;
/// Digits of the largest number that fits in 64 bits.
const DIGITS_MAX: usize = 20;

pub(super) fn malformed(explanation: impl Into<String>) -> ErrorReply {
    ErrorReply::new(ErrorCode::Malformed, explanation)
}

/// What was sent, made fit for a sentence.
pub(super) fn quoted(bytes: &[u8]) -> String {
    let shown = bytes.get(..QUOTED_BYTES_MAX).unwrap_or(bytes);
    let rest = if shown.len() < bytes.len() { "…" } else { "" };
    format!("\"{}{rest}\"", shown.escape_ascii())
}

/// Splits an option at its first `=`.
pub(super) fn split(frame: &Bytes) -> Option<(&[u8], Bytes)> {
    let equals = frame.iter().position(|byte| *byte == b'=')?;
    Some((frame.get(..equals)?, frame.slice(equals + 1..)))
}

pub(super) fn text<'a>(what: &str, bytes: &'a [u8]) -> Result<&'a str, ErrorReply> {
    std::str::from_utf8(bytes).map_err(|_| malformed(format!("{what} {} is not UTF-8", quoted(bytes))))
}

pub(super) fn number<T: TryFrom<u64>>(what: &str, bytes: &[u8]) -> Result<T, ErrorReply> {
    let digits = (1..=DIGITS_MAX).contains(&bytes.len()) && bytes.iter().all(u8::is_ascii_digit);
    let value =
        if digits { std::str::from_utf8(bytes).ok().and_then(|text| text.parse().ok()) } else { None };
    value.and_then(|value: u64| T::try_from(value).ok()).ok_or_else(|| {
        malformed(format!("{what} is {}, it must be a decimal number in range", quoted(bytes)))
    })
}

fn invalid_name(error: &NameError) -> ErrorReply {
    ErrorReply::new(ErrorCode::InvalidName, error.to_string())
}

pub(super) fn destination(bytes: &[u8]) -> Result<DestinationName, ErrorReply> {
    DestinationName::new(text("the destination", bytes)?).map_err(|error| invalid_name(&error))
}

pub(super) fn group(bytes: &[u8]) -> Result<GroupName, ErrorReply> {
    GroupName::new(text("the group", bytes)?).map_err(|error| invalid_name(&error))
}

/// Reads what [`Receipt`] displays: the sequence in decimal, `-`, the token in hexadecimal.
pub(super) fn receipt(bytes: &[u8]) -> Result<Receipt, ErrorReply> {
    let parse = || {
        let (sequence, token) = std::str::from_utf8(bytes).ok()?.split_once('-')?;
        let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        if !digits(sequence) || !digits(token) {
            return None;
        }
        Some(Receipt {
            sequence: Sequence(sequence.parse().ok()?),
            token: u64::from_str_radix(token, 16).ok()?,
        })
    };
    parse().ok_or_else(|| {
        malformed(format!("{} is not a receipt: send it back as it was delivered", quoted(bytes)))
    })
}

/// Writes `name=value`.
pub(super) fn option(name: &str, value: impl AsRef<[u8]>) -> Bytes {
    let value = value.as_ref();
    let mut out = BytesMut::with_capacity(name.len() + 1 + value.len());
    out.put_slice(name.as_bytes());
    out.put_u8(b'=');
    out.put_slice(value);
    out.freeze()
}

/// Writes `name=` and a decimal number.
pub(super) fn numeric(name: &str, value: impl Into<u64>) -> Bytes {
    option(name, value.into().to_string())
}

/// The options of a put: the message's fields, the producer's stamp, the expected last sequence.
#[derive(Debug)]
pub(super) struct PutOptions {
    pub(super) message: Message,
    pub(super) expected_last: Option<u64>,
    pub(super) priority: Option<u8>,
    producer: Option<ProducerId>,
    epoch: Option<u32>,
    sequence: Option<u64>,
}

impl PutOptions {
    pub(super) fn new(payload: Bytes) -> Self {
        Self {
            message: Message::new(payload),
            expected_last: None,
            priority: None,
            producer: None,
            epoch: None,
            sequence: None,
        }
    }

    /// Takes one option.
    pub(super) fn apply(&mut self, frame: &Bytes) -> Result<(), ErrorReply> {
        let Some((name, value)) = split(frame) else {
            return Err(malformed(format!("{} is not an option: options are name=value", quoted(frame))));
        };
        let message = &mut self.message;
        match name {
            b"id" => {
                let id = std::str::from_utf8(&value).ok().and_then(MessageId::parse);
                let id =
                    id.ok_or_else(|| malformed(format!("id is {}, it must be a UUID", quoted(&value))))?;
                if !message.id.is_nil() {
                    return Err(repeated(name));
                }
                message.id = id;
            }
            b"priority" => once(name, &mut self.priority, number("priority", &value)?)?,
            b"timestamp-ms" => once(name, &mut message.timestamp_ms, number("timestamp-ms", &value)?)?,
            b"ttl-ms" => once(name, &mut message.ttl_ms, number("ttl-ms", &value)?)?,
            b"delay-ms" => once(name, &mut message.delay_ms, number("delay-ms", &value)?)?,
            b"key" => once(name, &mut message.key, value)?,
            b"correlation" => once(name, &mut message.correlation, value)?,
            b"reply-to" => once(name, &mut message.reply_to, destination(&value)?)?,
            b"producer" => once(name, &mut message.producer, text("producer", &value)?.to_owned())?,
            b"session" => once(name, &mut self.producer, session(&value)?)?,
            b"epoch" => once(name, &mut self.epoch, number("epoch", &value)?)?,
            b"sequence" => once(name, &mut self.sequence, number("sequence", &value)?)?,
            b"expect-last" => once(name, &mut self.expected_last, number("expect-last", &value)?)?,
            _ => match name.strip_prefix(b"header:") {
                Some(name) => message.headers.push(Header { name: unescape(name)?, value }),
                None => return Err(unknown(name)),
            },
        }
        Ok(())
    }

    /// The producer's stamp, if the options give one.
    pub(super) fn stamp(&self) -> Result<Option<ProducerStamp>, ErrorReply> {
        match (self.producer, self.sequence) {
            (Some(producer), Some(sequence)) if sequence > 0 => {
                Ok(Some(ProducerStamp { producer, epoch: self.epoch.unwrap_or(0), sequence }))
            }
            (Some(_), Some(_)) => Err(malformed("sequence is 0, it counts from 1")),
            (None, None) if self.epoch.is_none() => Ok(None),
            _ => Err(malformed("session and sequence belong together, and epoch belongs to them")),
        }
    }
}

fn session(bytes: &[u8]) -> Result<ProducerId, ErrorReply> {
    let id = std::str::from_utf8(bytes).ok().and_then(MessageId::parse);
    id.map(|id| ProducerId(id.0))
        .ok_or_else(|| malformed(format!("session is {}, it must be a UUID", quoted(bytes))))
}

/// Sets a field that may be given once.
pub(super) fn once<T>(name: &[u8], field: &mut Option<T>, value: T) -> Result<(), ErrorReply> {
    if field.replace(value).is_some() {
        return Err(repeated(name));
    }
    Ok(())
}

fn repeated(name: &[u8]) -> ErrorReply {
    malformed(format!("the option {} is given twice", quoted(name)))
}

/// An option that the verb does not have is an error: a misspelt `dealy-ms` must not be ignored.
pub(super) fn unknown(name: &[u8]) -> ErrorReply {
    malformed(format!("the verb has no option {}", quoted(name)))
}

/// Writes a message's fields, leaving out those that have their default.
pub(super) fn put_message(message: &Message, out: &mut Vec<Bytes>) {
    if !message.id.is_nil() {
        out.push(option("id", message.id.to_string()));
    }
    if message.priority != crate::limits::PRIORITY_DEFAULT {
        out.push(numeric("priority", message.priority));
    }
    let numbers =
        [("timestamp-ms", message.timestamp_ms), ("ttl-ms", message.ttl_ms), ("delay-ms", message.delay_ms)];
    out.extend(numbers.into_iter().filter_map(|(name, value)| Some(numeric(name, value?))));
    if let Some(key) = &message.key {
        out.push(option("key", key));
    }
    if let Some(correlation) = &message.correlation {
        out.push(option("correlation", correlation));
    }
    if let Some(reply_to) = &message.reply_to {
        out.push(option("reply-to", reply_to.as_str()));
    }
    if let Some(producer) = &message.producer {
        out.push(option("producer", producer));
    }
    for header in &message.headers {
        out.push(option(&format!("header:{}", escape(&header.name)), &header.value));
    }
}

/// A header's name may hold `=`, which would end it: `%` stands as `%25` and `=` as `%3D`.
fn escape(name: &str) -> String {
    name.replace('%', "%25").replace('=', "%3D")
}

fn unescape(name: &[u8]) -> Result<String, ErrorReply> {
    let name = text("the header name", name)?;
    let mut parts = name.split('%');
    let mut out = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        if let Some(rest) = part.strip_prefix("25") {
            out.push('%');
            out.push_str(rest);
        } else if let Some(rest) = part.strip_prefix("3D") {
            out.push('=');
            out.push_str(rest);
        } else {
            return Err(malformed("in a header's name, % stands as %25 and = as %3D"));
        }
    }
    Ok(out)
}
