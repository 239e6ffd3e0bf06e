//! `swarmmq bench consume`.

use std::time::Duration;

use clap::Args;
use futures_util::future::{BoxFuture, FutureExt as _};
use swarmmq::{Consumer, Error};
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout};

use super::Setting;
use super::flight::{FILL_IN_FLIGHT, Flight, Payloads, fill};
use super::ground::Ground;
use super::report::{Latencies, Measured, Report};
use crate::console::{Console, Progress};
use crate::failure::{Exit, Failure};
use crate::quantity::{count, show_count};

/// A backlog that gives no message for this long gives none any more.
const SILENCE_MAX: Duration = Duration::from_secs(30);

#[derive(Debug, Clone, Args)]
pub(super) struct Consume {
    /// Messages to measure
    #[arg(short = 'n', long, value_name = "N", value_parser = count, default_value = "100000")]
    count: u64,

    #[command(flatten)]
    pub(super) setting: Setting,
}

/// An acknowledgement that is not confirmed yet.
struct Ack {
    confirmed: BoxFuture<'static, Result<(), Error>>,
    /// When the message came; none: it is not measured.
    since: Option<Instant>,
}

impl Consume {
    pub(super) async fn measure(&self, ground: &Ground, console: &Console) -> Result<Report, Failure> {
        let setting = &self.setting;
        // A tenth more than is measured goes first, to warm up.
        let warm_up = if setting.existing { 0 } else { self.count / 10 };
        if !setting.existing {
            let producer = Flight::producer(&ground.client, &ground.name, FILL_IN_FLIGHT);
            let total = self.count + warm_up;
            let payloads = Payloads::new(setting.payload_bytes());
            fill(producer, &payloads, total, console.progress(Some(total))).await?;
        }
        let mut consumer = ground.client.consumer(&ground.name).credit(setting.in_flight).build().await?;
        let run = self.run(&mut consumer, warm_up, console.progress(Some(self.count))).await;
        consumer.close().await;
        let (start, confirmed, redelivered) = run?;
        Ok(Report::from(Measured {
            bench: "consume",
            latency_of: "from arriving to being acknowledged",
            kind: ground.kind,
            payload_bytes: setting.payload_bytes(),
            in_flight: setting.in_flight,
            rate: None,
            messages: self.count,
            redelivered,
            elapsed: confirmed.1.saturating_duration_since(start),
            latencies: confirmed.0,
        }))
    }

    /// When the measured part began, its latencies and when its last acknowledgement was confirmed, and how many
    /// messages had been delivered before.
    async fn run(
        &self,
        consumer: &mut Consumer,
        warm_up: u64,
        progress: Progress,
    ) -> Result<(Instant, (Latencies, Instant), u64), Failure> {
        // Credit bounds the channel: no more is delivered than may be unacknowledged.
        let (acks, confirmations) = mpsc::unbounded_channel();
        let collector = tokio::spawn(collect(confirmations, Latencies::new()?, progress));
        let (mut start, mut redelivered) = (Instant::now(), 0);
        for number in 0..warm_up + self.count {
            if number == warm_up {
                start = Instant::now();
            }
            let delivered = match timeout(SILENCE_MAX, consumer.next()).await {
                Ok(Some(delivered)) => delivered?,
                Ok(None) => return Err(Error::Closed.into()),
                Err(_) => return Err(too_few(number, warm_up + self.count)),
            };
            redelivered += u64::from(delivered.attempt() > 1);
            let since = (number >= warm_up).then(Instant::now);
            if acks.send(Ack { confirmed: delivered.ack().boxed(), since }).is_err() {
                break;
            }
        }
        drop(acks);
        let collected = collector.await;
        let collected = collected
            .map_err(|error| Failure::failed(format!("the task that measures ended: {error}")))??;
        Ok((start, collected, redelivered))
    }
}

fn too_few(received: u64, expected: u64) -> Failure {
    let (received, expected) = (show_count(received), show_count(expected));
    Failure::new(
        Exit::TimedOut,
        format!("{received} of {expected} messages came, and no more for {SILENCE_MAX:?}"),
    )
}

async fn collect(
    mut acks: mpsc::UnboundedReceiver<Ack>,
    mut latencies: Latencies,
    progress: Progress,
) -> Result<(Latencies, Instant), Failure> {
    let (mut confirmed, mut last) = (0, Instant::now());
    while let Some(ack) = acks.recv().await {
        ack.confirmed.await?;
        last = Instant::now();
        if let Some(since) = ack.since {
            confirmed += 1;
            latencies.record(last.saturating_duration_since(since));
            progress.set(confirmed);
        }
    }
    Ok((latencies, last))
}
