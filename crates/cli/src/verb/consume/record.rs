//! A received message, as it is written out.

use std::io::{self, Write};

use serde::Serialize;
use swarmmq::{Delivered, DestinationName, GroupName, Header};

use crate::console::{Console, Octets, Paint, printable, write_object};
use crate::time::show_time;

/// How messages are written out.
pub(super) struct Style<'a> {
    destination: &'a DestinationName,
    group: &'a GroupName,
    paint: Paint,
    json: bool,
    terminal: bool,
    metadata: bool,
}

/// A message, as a program reads it. Fields that a message does not have are left out.
#[derive(Serialize)]
struct Record<'a> {
    destination: &'a str,
    group: &'a str,
    sequence: u64,
    attempt: u32,
    stored_ms: u64,
    priority: u8,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    timestamp_ms: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ttl_ms: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    delay_ms: Option<u64>,
    #[serde(flatten)]
    key: Option<Octets<'a>>,
    #[serde(flatten)]
    correlation: Option<Octets<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reply_to: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    producer: Option<&'a str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    headers: Vec<HeaderRecord<'a>>,
    #[serde(flatten)]
    payload: Octets<'a>,
}

#[derive(Serialize)]
struct HeaderRecord<'a> {
    name: &'a str,
    #[serde(flatten)]
    value: Octets<'a>,
}

impl<'a> From<&'a Header> for HeaderRecord<'a> {
    fn from(header: &'a Header) -> Self {
        Self { name: &header.name, value: Octets { names: ("value", "value_base64"), bytes: &header.value } }
    }
}

impl<'a> Style<'a> {
    pub(super) fn new(
        console: &Console,
        destination: &'a DestinationName,
        group: &'a GroupName,
        metadata: bool,
    ) -> Self {
        let (paint, json, terminal) = (console.paint, console.is_json(), console.is_terminal());
        Self { destination, group, paint, json, terminal, metadata }
    }

    pub(super) fn write(&self, out: &mut impl Write, delivered: &Delivered) -> io::Result<()> {
        if self.json {
            return write_object(out, &self.record(delivered));
        }
        if self.metadata {
            write!(out, "{}\t", self.paint.dim(&metadata(delivered)))?;
        }
        let payload = &delivered.message().payload;
        if self.terminal {
            // A message must not be able to drive the terminal; a pipe gets its bytes as they are.
            out.write_all(printable(payload, true).as_bytes())?;
        } else {
            out.write_all(payload)?;
        }
        out.write_all(b"\n")
    }

    fn record<'r>(&'r self, delivered: &'r Delivered) -> Record<'r> {
        let message = delivered.message();
        Record {
            destination: self.destination.as_str(),
            group: self.group.as_str(),
            sequence: delivered.sequence().0,
            attempt: delivered.attempt(),
            stored_ms: delivered.stored_ms(),
            priority: message.priority,
            id: (!message.id.is_nil()).then(|| message.id.to_string()),
            timestamp_ms: message.timestamp_ms,
            ttl_ms: message.ttl_ms,
            delay_ms: message.delay_ms,
            key: message.key.as_ref().map(|bytes| Octets { names: ("key", "key_base64"), bytes }),
            correlation: message
                .correlation
                .as_ref()
                .map(|bytes| Octets { names: ("correlation", "correlation_base64"), bytes }),
            reply_to: message.reply_to.as_ref().map(DestinationName::as_str),
            producer: message.producer.as_deref(),
            headers: message.headers.iter().map(HeaderRecord::from).collect(),
            payload: Octets { names: ("payload", "payload_base64"), bytes: &message.payload },
        }
    }
}

/// `7 2025-01-31T10:00:00.000Z attempt=2 key=eu source=shop`
fn metadata(delivered: &Delivered) -> String {
    let message = delivered.message();
    let mut text = format!("{} {}", delivered.sequence(), show_time(delivered.stored_ms()));
    if delivered.attempt() > 1 {
        text.push_str(&format!(" attempt={}", delivered.attempt()));
    }
    if let Some(key) = &message.key {
        text.push_str(&format!(" key={}", printable(key, false)));
    }
    for header in &message.headers {
        let (name, value) = (printable(header.name.as_bytes(), false), printable(&header.value, false));
        text.push_str(&format!(" {name}={value}"));
    }
    text
}
