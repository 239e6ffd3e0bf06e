//! `swarmmq bench put`.

use clap::Args;
use tokio::time::Instant;

use super::flight::{Flight, Payloads};
use super::ground::Ground;
use super::report::{Measured, Report};
use super::{Extent, Load, RateArgument, Setting};
use crate::console::Console;
use crate::failure::Failure;
use crate::pace::Pace;

#[derive(Debug, Clone, Args)]
pub(super) struct Put {
    #[command(flatten)]
    load: Load,

    #[command(flatten)]
    rate: RateArgument,

    #[command(flatten)]
    pub(super) setting: Setting,
}

impl Put {
    pub(super) async fn measure(&self, ground: &Ground, console: &Console) -> Result<Report, Failure> {
        let (setting, rate) = (&self.setting, self.rate.rate);
        let payloads = Payloads::new(setting.payload_bytes());
        let producer = Flight::producer(&ground.client, &ground.name, setting.in_flight);
        let flight = Flight::new(producer, setting.in_flight, console.progress(self.load.count))?;
        let begun = Instant::now();
        let start = begun + self.load.warm_up;
        let pace = rate.map(|rate| Pace::new(begun, rate));
        let (mut sent, mut measured) = (0, 0);
        loop {
            let planned = match pace {
                Some(pace) => Some(pace.reach(sent).await),
                None => None,
            };
            let room = flight.room().await?;
            // At a rate a message is late from when it was planned; else it is sent as soon as there is room.
            let since = planned.unwrap_or_else(Instant::now);
            let over = match self.load.extent() {
                Extent::Messages(count) => measured >= count,
                Extent::Time(length) => since >= start + length,
            };
            if over {
                break;
            }
            let since = (since >= start).then_some(since);
            if !flight.send(payloads.numbered(sent), since, room).await? {
                break;
            }
            sent += 1;
            measured += u64::from(since.is_some());
        }
        let confirmed = flight.land().await?;
        Ok(Report::from(Measured {
            bench: "put",
            latency_of: "from sending to being stored",
            kind: ground.kind,
            payload_bytes: setting.payload_bytes(),
            in_flight: setting.in_flight,
            rate,
            messages: confirmed.messages,
            redelivered: 0,
            elapsed: confirmed.last.saturating_duration_since(start),
            latencies: confirmed.latencies,
        }))
    }
}
