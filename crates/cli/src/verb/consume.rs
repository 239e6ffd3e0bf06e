//! `swarmmq consume`.

mod record;
mod source;

use std::io::{BufWriter, Write as _};
use std::time::Duration;

use clap::Args;
use futures_util::future::{BoxFuture, FutureExt as _, join_all};
use swarmmq::{Delivered, DestinationName, Error, GroupName};
use tokio::task::JoinSet;

use self::record::Style;
use self::source::{Ended, Source};
use crate::connection::Connection;
use crate::console::Console;
use crate::failure::{Exit, Failure};
use crate::quantity::{count, duration, show_count};
use crate::signals::Signals;

/// How long to wait for the next message unless `--timeout` or `--follow` says otherwise.
const IDLE: Duration = Duration::from_secs(5);
/// Settlements under way, in batches: one is being written while others are being synced.
const SETTLING_MAX: usize = 16;

/// Receive messages and acknowledge them
///
/// A message is acknowledged once it is written out. Without --follow the verb ends when no message
/// came for --timeout; it exits with 4 if none came, or fewer than --count.
#[derive(Debug, Args)]
#[command(after_help = "\
EXAMPLES:
  swarmmq consume --node localhost:9001 --destination test-queue
  swarmmq consume --destination test-queue --count 10 --json
  swarmmq consume --destination events --group audit --follow --metadata
  swarmmq consume --destination orders --count 1 --reject \"not an order\"")]
pub(crate) struct Consume {
    /// Queue or stream to receive from
    #[arg(short, long, value_name = "NAME")]
    destination: DestinationName,

    /// Group to receive for
    #[arg(short, long, value_name = "NAME", default_value = "default")]
    group: GroupName,

    /// End after this many messages; no more are taken from the destination
    #[arg(short = 'n', long, value_name = "N", value_parser = count)]
    count: Option<u64>,

    /// Wait for more until interrupted
    #[arg(short, long)]
    follow: bool,

    /// Time to acknowledge a message [default: the group's]
    #[arg(long, value_name = "DURATION", value_parser = duration, conflicts_with = "count")]
    lease: Option<Duration>,

    /// Messages that may be underway to us and not acknowledged [default: the node's performance.batch_size]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=65_536))]
    in_flight: Option<u32>,

    /// Show each message's sequence, time, attempt, key and headers in front of it
    #[arg(long)]
    metadata: bool,

    #[command(flatten)]
    verdict: Verdict,

    #[command(flatten)]
    connection: Connection,
}

/// What becomes of a message that was written out.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "What becomes of the messages")]
#[group(multiple = false)]
struct Verdict {
    /// Do not acknowledge: the messages come again when their lease ends
    #[arg(long)]
    no_ack: bool,

    /// Put the messages back, to be delivered again after this long
    #[arg(
        long,
        value_name = "DELAY",
        value_parser = duration,
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "0",
        requires = "count"
    )]
    nack: Option<Duration>,

    /// Give the messages up: they become dead letters, with this reason
    #[arg(long, value_name = "REASON", allow_hyphen_values = true)]
    reject: Option<String>,
}

type Settlement = BoxFuture<'static, Result<(), Error>>;

impl Verdict {
    fn settle(&self, delivered: Delivered) -> Option<Settlement> {
        match (self.nack, &self.reject) {
            (Some(delay), _) => Some(delivered.nack(delay).boxed()),
            (None, Some(reason)) => Some(delivered.reject(reason.clone()).boxed()),
            (None, None) if self.no_ack => None,
            (None, None) => Some(delivered.ack().boxed()),
        }
    }

    fn participle(&self) -> &'static str {
        match (self.nack, &self.reject) {
            (Some(_), _) => "put back",
            (None, Some(_)) => "rejected",
            (None, None) if self.no_ack => "not acknowledged",
            (None, None) => "acknowledged",
        }
    }
}

impl Consume {
    pub(crate) async fn run(self: Box<Self>, console: Console, mut signals: Signals) -> Result<(), Failure> {
        // `--timeout` is about the next message here; a request has the time it always has.
        let client = self.connection.connect_with(&console, None).await?;
        let idle = if self.follow { None } else { Some(self.connection.timeout().unwrap_or(IDLE)) };
        let mut source = Source::open(&self, &client, idle).await?;
        let mut session = Session::new(&self, console);
        let ended = loop {
            let batch = tokio::select! {
                batch = source.next_batch() => batch,
                _ = signals.asked() => break Ok(Ended::Interrupted),
            };
            match batch {
                Ok(Ok(batch)) => {
                    if let Err(failure) = session.take(batch).await {
                        break Err(failure);
                    }
                }
                Ok(Err(ended)) => break Ok(ended),
                Err(error) => break Err(Failure::from(error)),
            }
        };
        // Also after a failure: what was written out and settled is settled.
        let settled = session.finish().await;
        source.close().await;
        let connected = client.welcome().is_some();
        client.close().await;
        let ended = ended?;
        settled?;
        self.judge(ended, &session, connected)
    }

    /// What the verb ends with.
    fn judge(&self, ended: Ended, session: &Session<'_>, connected: bool) -> Result<(), Failure> {
        let Self { destination, group, .. } = self;
        let received = session.received;
        if received > 0 {
            let (count, verdict) = (show_count(received), self.verdict.participle());
            let noun = if received == 1 { "message" } else { "messages" };
            session.console.note(format!("{count} {noun} of {destination} {verdict}"));
        }
        match ended {
            Ended::Interrupted => Err(Failure::interrupted()),
            Ended::Idle if !connected => {
                Err(Failure::new(Exit::CannotConnect, "the connection was lost and does not come back")
                    .hint("messages that were not acknowledged come again"))
            }
            Ended::Idle if self.count.is_some_and(|count| received < count) => {
                let count = show_count(self.count.unwrap_or_default());
                let message = format!("{} of {count} messages came from {destination}", show_count(received));
                Err(Failure::new(Exit::TimedOut, message)
                    .hint("wait longer with --timeout, or until interrupted with --follow"))
            }
            Ended::Idle if received == 0 => {
                let message = format!("no message came from {destination} for group {group}");
                Err(Failure::new(Exit::TimedOut, message)
                    .hint(format!("see what it holds with: swarmmq group info {destination} {group}")))
            }
            Ended::Idle | Ended::Counted => Ok(()),
        }
    }
}

/// What was received so far, and what of it is being settled.
struct Session<'a> {
    console: Console,
    style: Style<'a>,
    verdict: &'a Verdict,
    received: u64,
    settling: JoinSet<Result<(), Error>>,
    /// Messages that are not to be settled, held so that they are not given back early.
    held: Vec<Delivered>,
}

impl<'a> Session<'a> {
    fn new(verb: &'a Consume, console: Console) -> Self {
        let style = Style::new(&console, &verb.destination, &verb.group, verb.metadata);
        Self {
            console,
            style,
            verdict: &verb.verdict,
            received: 0,
            settling: JoinSet::new(),
            held: Vec::new(),
        }
    }

    /// Writes messages out, and settles them once they are written.
    async fn take(&mut self, batch: Vec<Delivered>) -> Result<(), Failure> {
        {
            let mut out = BufWriter::new(std::io::stdout().lock());
            for delivered in &batch {
                self.style.write(&mut out, delivered)?;
            }
            out.flush()?;
        }
        self.received += batch.len() as u64;
        let mut settlements = Vec::with_capacity(batch.len());
        for delivered in batch {
            if self.verdict.no_ack {
                self.held.push(delivered);
            } else {
                settlements.extend(self.verdict.settle(delivered));
            }
        }
        while self.settling.len() >= SETTLING_MAX {
            self.settled().await?;
        }
        if !settlements.is_empty() {
            self.settling.spawn(async { join_all(settlements).await.into_iter().collect() });
        }
        Ok(())
    }

    async fn settled(&mut self) -> Result<(), Failure> {
        match self.settling.join_next().await {
            Some(Ok(Err(error))) => {
                Err(Failure::from(error).during("a message was received but not settled"))
            }
            Some(Err(error)) => Err(Failure::failed(format!("a task that settles messages ended: {error}"))),
            Some(Ok(Ok(()))) | None => Ok(()),
        }
    }

    /// Waits until everything that was written out is settled.
    async fn finish(&mut self) -> Result<(), Failure> {
        let mut result = Ok(());
        while !self.settling.is_empty() {
            result = result.and(self.settled().await);
        }
        result
    }
}
