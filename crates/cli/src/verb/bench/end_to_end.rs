//! `swarmmq bench end-to-end`.

use std::time::Duration;

use clap::Args;
use swarmmq::{Consumer, Error};
use tokio::time::{Instant, timeout};

use super::flight::{Confirmed, Flight, Payloads};
use super::ground::Ground;
use super::report::{Latencies, Measured, Report};
use super::{Extent, Load, Setting};
use crate::console::{Console, Progress};
use crate::failure::{Exit, Failure};
use crate::pace::Pace;
use crate::quantity::{rate, show_count};

/// A message that is not there after this long does not come any more.
const SILENCE_MAX: Duration = Duration::from_secs(30);
/// From when the consumer is ready to the first message.
const LEAD: Duration = Duration::from_millis(50);

#[derive(Debug, Clone, Args)]
pub(super) struct EndToEnd {
    /// Messages a second
    #[arg(long, value_name = "N", value_parser = rate, default_value = "1000")]
    rate: f64,

    #[command(flatten)]
    load: Load,

    #[command(flatten)]
    pub(super) setting: Setting,
}

/// Which messages there are, and when each should be sent.
#[derive(Debug, Clone, Copy)]
struct Plan {
    pace: Pace,
    /// The first ones are not measured.
    warm_up: u64,
    total: u64,
}

impl EndToEnd {
    pub(super) async fn measure(&self, ground: &Ground, console: &Console) -> Result<Report, Failure> {
        let setting = &self.setting;
        // The way back has a connection of its own, as with any two programs.
        let other = setting.connection.connect(console).await?;
        let mut consumer = other.consumer(&ground.name).credit(setting.in_flight).build().await?;
        let plan = self.plan();
        let flight = Flight::new(
            Flight::producer(&ground.client, &ground.name, setting.in_flight),
            setting.in_flight,
            Progress::hidden(),
        )?;
        let payloads = Payloads::new(setting.payload_bytes());
        let progress = console.progress(Some(plan.total));
        let (sent, received) =
            tokio::try_join!(send(flight, plan, &payloads), receive(&mut consumer, plan, progress))?;
        consumer.close().await;
        other.close().await;
        let measured_from = plan.pace.moment(plan.warm_up);
        Ok(Report::from(Measured {
            bench: "end-to-end",
            latency_of: "from when it should be sent to its arrival",
            kind: ground.kind,
            payload_bytes: setting.payload_bytes(),
            in_flight: setting.in_flight,
            rate: Some(self.rate),
            messages: sent.messages,
            redelivered: received.redelivered,
            elapsed: received.last.saturating_duration_since(measured_from),
            latencies: received.latencies,
        }))
    }

    /// Whether the options can be measured with.
    pub(super) fn check(&self) -> Result<(), Failure> {
        if self.setting.existing {
            return Err(Failure::usage("end-to-end needs a destination of its own, not an existing one"));
        }
        if self.setting.payload_bytes() < Payloads::NUMBER_BYTES {
            let least = Payloads::NUMBER_BYTES;
            return Err(Failure::usage(format!(
                "--size must be at least {least}: a payload holds its number"
            )));
        }
        Ok(())
    }

    fn plan(&self) -> Plan {
        let messages_in = |time: Duration| (time.as_secs_f64() * self.rate).ceil() as u64;
        let warm_up = messages_in(self.load.warm_up);
        let measured = match self.load.extent() {
            Extent::Messages(count) => count,
            Extent::Time(length) => messages_in(length).max(1),
        };
        Plan { pace: Pace::new(Instant::now() + LEAD, self.rate), warm_up, total: warm_up + measured }
    }
}

async fn send(flight: Flight, plan: Plan, payloads: &Payloads) -> Result<Confirmed, Failure> {
    for number in 0..plan.total {
        let moment = plan.pace.reach(number).await;
        let room = flight.room().await?;
        let since = (number >= plan.warm_up).then_some(moment);
        if !flight.send(payloads.numbered(number), since, room).await? {
            break;
        }
    }
    flight.land().await
}

/// What the consumer found.
#[derive(Debug)]
struct Received {
    latencies: Latencies,
    redelivered: u64,
    last: Instant,
}

async fn receive(consumer: &mut Consumer, plan: Plan, progress: Progress) -> Result<Received, Failure> {
    let mut found = Received { latencies: Latencies::new()?, redelivered: 0, last: Instant::now() };
    let mut seen = vec![false; usize::try_from(plan.total).unwrap_or(usize::MAX)];
    let mut missing = plan.total;
    while missing > 0 {
        let delivered = match timeout(SILENCE_MAX, consumer.next()).await {
            Ok(Some(delivered)) => delivered?,
            Ok(None) => return Err(Error::Closed.into()),
            Err(_) => {
                let (missing, total) = (show_count(missing), show_count(plan.total));
                let message = format!("{missing} of {total} messages did not come within {SILENCE_MAX:?}");
                return Err(Failure::new(Exit::TimedOut, message));
            }
        };
        let now = Instant::now();
        found.redelivered += u64::from(delivered.attempt() > 1);
        let number = Payloads::number(&delivered.message().payload);
        delivered.ack_later();
        let Some(number) = number.filter(|number| *number < plan.total) else {
            return Err(Failure::failed("somebody else puts messages into the destination that is measured"));
        };
        let first = seen.get_mut(number as usize).is_some_and(|seen| !std::mem::replace(seen, true));
        if !first {
            continue;
        }
        missing -= 1;
        progress.set(plan.total - missing);
        if number >= plan.warm_up {
            found.latencies.record(now.saturating_duration_since(plan.pace.moment(number)));
            found.last = now;
        }
    }
    Ok(found)
}
