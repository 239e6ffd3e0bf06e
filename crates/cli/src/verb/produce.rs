//! `swarmmq produce`.

mod payload;
mod tally;

use std::path::PathBuf;

use clap::Args;
use swarmmq::{DestinationName, MessageId, Producer};
use tokio::sync::mpsc;
use tokio::time::Instant;

use self::payload::{Origin, Payloads};
use self::tally::{Sent, Tally, Watch};
use crate::connection::Connection;
use crate::console::Console;
use crate::failure::Failure;
use crate::pace::Pace;
use crate::quantity::{bytes, count, milliseconds, rate};
use crate::signals::Signals;
use crate::time::now_ms;

/// Store messages: one, a message a line, or many of a size
///
/// A message counts as stored once it is synced on a majority. Each is stored once, also where the
/// connection is lost meanwhile.
#[derive(Debug, Args)]
#[command(after_help = "\
EXAMPLES:
  swarmmq produce --node localhost:9001 --destination test-queue --message \"Hello SwarmMQ\"
  swarmmq produce --destination test-queue < lines.txt
  swarmmq produce --destination orders --key eu --header source=shop --message \"two coffees\"
  swarmmq produce --destination load --count 100000 --size 1KiB --rate 5000")]
pub(crate) struct Produce {
    /// Queue or stream to store in
    #[arg(short, long, value_name = "NAME")]
    destination: DestinationName,

    /// Text of the message; without it, --file and --size, each line of standard input is a message
    #[arg(short, long, value_name = "TEXT", conflicts_with_all = ["file", "size"], allow_hyphen_values = true)]
    message: Option<String>,

    /// File whose content is the message
    #[arg(long, value_name = "FILE", conflicts_with = "size")]
    file: Option<PathBuf>,

    /// Make messages of this size up
    #[arg(long, value_name = "SIZE", value_parser = bytes)]
    size: Option<u64>,

    /// How many messages [default: 1, or as many as there are lines]
    #[arg(short = 'n', long, value_name = "N", value_parser = count)]
    count: Option<u64>,

    /// Messages a second [default: as fast as they are stored]
    #[arg(long, value_name = "N", value_parser = rate)]
    rate: Option<f64>,

    /// Messages that may wait for being stored at once
    #[arg(long, value_name = "N", default_value = "1024", value_parser = clap::value_parser!(u32).range(1..))]
    in_flight: u32,

    /// Wait while the destination is full, in place of failing
    #[arg(long)]
    wait_when_full: bool,

    #[command(flatten)]
    template: Template,

    #[command(flatten)]
    connection: Connection,
}

/// What all messages have beside their payload.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Message")]
struct Template {
    /// What the messages are about: those of one key can be delivered in order
    #[arg(short, long, value_name = "KEY", allow_hyphen_values = true)]
    key: Option<String>,

    /// A header; may be repeated
    #[arg(short = 'H', long = "header", value_name = "NAME=VALUE", value_parser = header)]
    headers: Vec<(String, String)>,

    /// 1 to 10; 10 is delivered first [default: 5]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u8).range(1..=10))]
    priority: Option<u8>,

    /// How long the messages are worth delivering
    #[arg(long, value_name = "DURATION", value_parser = milliseconds)]
    ttl: Option<u64>,

    /// How long the messages must not be delivered yet
    #[arg(long, value_name = "DURATION", value_parser = milliseconds)]
    delay: Option<u64>,

    /// Id of the message, a UUID: a second message with it is not stored
    #[arg(long, value_name = "UUID", value_parser = message_id, conflicts_with_all = ["count", "size"])]
    id: Option<MessageId>,

    /// Ties replies to the messages
    #[arg(long, value_name = "TEXT")]
    correlation: Option<String>,

    /// Where replies should go
    #[arg(long, value_name = "NAME")]
    reply_to: Option<DestinationName>,
}

impl Template {
    fn message(&self, payload: bytes::Bytes) -> swarmmq::Message {
        let mut message = swarmmq::Message::new(payload);
        message.timestamp_ms = Some(now_ms());
        message.id = self.id.unwrap_or(MessageId::NIL);
        message.priority = self.priority.unwrap_or(message.priority);
        message.ttl_ms = self.ttl;
        message.delay_ms = self.delay;
        message.key = self.key.clone().map(Into::into);
        message.correlation = self.correlation.clone().map(Into::into);
        message.reply_to.clone_from(&self.reply_to);
        for (name, value) in &self.headers {
            message = message.header(name.clone(), value.clone());
        }
        message
    }
}

fn header(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err("a header is NAME=VALUE".into()),
    }
}

fn message_id(text: &str) -> Result<MessageId, String> {
    MessageId::parse(text)
        .filter(|id| !id.is_nil())
        .ok_or_else(|| "an id is a UUID, 32 hexadecimal digits, that is not zero".into())
}

impl Produce {
    pub(crate) async fn run(self: Box<Self>, console: Console, signals: Signals) -> Result<(), Failure> {
        // What can be wrong with the input is said before anything is sent.
        let payloads = Payloads::new(self.origin()?, self.count, &console);
        let client = self.connection.connect(&console).await?;
        let producer = client
            .producer(&self.destination)
            .messages_in_flight_max(self.in_flight as usize)
            .wait_when_full(self.wait_when_full)
            .build();
        let progress = console.progress(payloads.total());
        let (sent, confirmations) = mpsc::channel(self.in_flight as usize);
        let watch = Watch::new();
        let tally = Tally::new(console, self.destination.clone(), watch.clone(), progress);
        let tally = tokio::spawn(tally.collect(confirmations));
        let interrupted = self.feed(payloads, &producer, sent, &watch, signals, &console).await;
        let tally = tally.await.map_err(|error| {
            Failure::failed(format!("the task that collects confirmations ended: {error}"))
        })?;
        client.close().await;
        tally.report(interrupted)
    }

    fn origin(&self) -> Result<Origin, Failure> {
        if let Some(text) = &self.message {
            return Ok(Origin::Fixed(text.clone().into()));
        }
        if let Some(file) = &self.file {
            let content = std::fs::read(file)
                .map_err(|error| Failure::usage(format!("cannot read {}: {error}", file.display())))?;
            return Ok(Origin::Fixed(content.into()));
        }
        match self.size {
            Some(size) => Ok(Origin::MadeUp(usize::try_from(size).unwrap_or(usize::MAX))),
            None => Ok(Origin::Lines),
        }
    }

    /// Sends until there is no more, something failed, or a signal came, of which it tells.
    async fn feed(
        &self,
        mut payloads: Payloads,
        producer: &Producer,
        sent: mpsc::Sender<Sent>,
        watch: &Watch,
        mut signals: Signals,
        console: &Console,
    ) -> Result<bool, Failure> {
        let pace = self.rate.map(|rate| Pace::new(Instant::now(), rate));
        let mut nth = 0;
        while !watch.is_over() {
            let next = async {
                if let Some(pace) = pace {
                    pace.reach(nth).await;
                }
                let Some(payload) = payloads.next().await else { return Ok::<_, Failure>(false) };
                let outcome = producer.enqueue(self.template.message(payload?)).await;
                // The receiver ends after this task only.
                let _ = sent.send(Sent { nth, outcome }).await;
                Ok(true)
            };
            let more = tokio::select! {
                more = next => more?,
                () = watch.over() => false,
                signal = signals.asked() => {
                    console.note(format!("{}: waiting for what is under way", signal.name()));
                    return Ok(true);
                }
            };
            if !more {
                break;
            }
            nth += 1;
        }
        Ok(false)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_may_hold_an_equals_sign() {
        assert_eq!(header("a=b=c"), Ok(("a".into(), "b=c".into())));
        assert_eq!(header("a="), Ok(("a".into(), String::new())));
        assert!(header("=b").is_err());
        assert!(header("ab").is_err());
    }

    #[test]
    fn the_nil_id_is_no_id() {
        assert!(message_id("00000000-0000-0000-0000-000000000000").is_err());
        assert!(message_id("0123").is_err());
        assert!(message_id("01234567-89ab-cdef-0011-223344556677").is_ok());
    }
}
