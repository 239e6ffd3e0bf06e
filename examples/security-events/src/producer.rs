//! A producer: makes events, and sends them to consumers, or into a durable queue.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use prost::Message as _;
use swarmmq::discovery::{Discovery, Instance, Registration, View};
use tokio::time::{Instant, MissedTickBehavior, interval};
use tracing::{debug, info, warn};

use crate::durable::{Outlet, Settled};
use crate::figures::{Figures, INTERVAL};
use crate::generator::Generator;
use crate::options::Producer;
use crate::record::Record;
use crate::registry::{DIAL, DIAL_CONSUMER, advertised, consumers, producers};
use crate::signals::Signals;
use crate::spread::Spread;

/// How events leave.
enum Way {
    Direct(Box<Spread>),
    Durable(Box<Outlet>),
}

pub(crate) async fn run(options: Producer, json: bool) -> Result<()> {
    let mut signals = Signals::listen()?;
    let registry = options.place.registry().await?;
    let key = options.identity.key(producers()?)?;
    let view = registry.clone().map(|registry| Ok::<_, anyhow::Error>(View::start(registry, consumers()?)));
    let view = view.transpose()?;
    let (mut way, endpoint) = tokio::select! {
        opened = open(&options, view.clone()) => opened?,
        () = signals.asked() => return Ok(()),
    };
    let registration = register(&options, registry.as_ref(), Instance::new(key.clone(), endpoint))?;
    let mut generator = Generator::new(key.id.as_str(), options.seed);
    let mut record = Record::open(options.record.as_deref())?;
    let mut figures = Figures::new(if options.queue.durable { "stored" } else { "sent" }, json)?;
    let mut pace = Pace::new(options.rate);
    let mut telling = interval(INTERVAL);
    telling.tick().await;
    let mut made = 0;
    loop {
        let is_done = options.count.is_some_and(|count| made >= count);
        if is_done && !way.has_under_way() {
            break;
        }
        tokio::select! {
            biased;
            () = signals.asked() => break,
            _ = telling.tick() => figures.tell(),
            settled = way.settled(), if way.has_under_way() => {
                take_note(&settled?, &mut record, &mut figures)?;
            }
            () = pace.next(), if !is_done && way.has_room() => {
                made += 1;
                let event = generator.next();
                let bytes = event.encode_to_vec();
                let first = made == 1;
                say_made(first, &event.event_id, bytes.len());
                let began = Instant::now();
                match &mut way {
                    Way::Durable(outlet) => outlet.put(event.event_id, bytes)?,
                    Way::Direct(spread) => {
                        let length = bytes.len();
                        tokio::select! {
                            sent = spread.send(bytes.into()) => sent?,
                            () = signals.asked() => break,
                        }
                        record.add([event.event_id.as_str()])?;
                        figures.add(length, u64::try_from(began.elapsed().as_micros()).unwrap_or(u64::MAX));
                        say_sent(first, &event.event_id);
                    }
                }
            }
        }
    }
    if let Some(registration) = registration {
        registration.deregister().await;
    }
    way.finish(&mut signals, &mut record, &mut figures).await?;
    figures.tell_all();
    Ok(())
}

/// The way out, and where others reach it.
async fn open(options: &Producer, view: Option<View>) -> Result<(Way, String)> {
    if options.queue.durable {
        let outlet = Outlet::open(options.place.client().await?, &options.queue.queue).await?;
        let endpoint = outlet.endpoint();
        return Ok((Way::Durable(Box::new(outlet)), endpoint));
    }
    let spread = Spread::bind(&options.bind, view).await?;
    let endpoint = advertised(options.identity.advertise.as_ref(), spread.endpoint());
    Ok((Way::Direct(Box::new(spread)), endpoint))
}

fn register(
    options: &Producer,
    registry: Option<&Arc<dyn Discovery>>,
    instance: Instance,
) -> Result<Option<Registration>> {
    // Whoever knows this does not connect to us and get twice its part.
    let instance = instance.with(DIAL, DIAL_CONSUMER).with("version", env!("CARGO_PKG_VERSION"));
    registry.map(|registry| options.identity.register(registry, instance)).transpose()
}

impl Way {
    /// Whether another event can be taken.
    fn has_room(&self) -> bool {
        match self {
            Self::Direct(_) => true,
            Self::Durable(outlet) => outlet.has_room(),
        }
    }

    fn has_under_way(&self) -> bool {
        match self {
            Self::Direct(_) => false,
            Self::Durable(outlet) => outlet.has_under_way(),
        }
    }

    /// Waits for the next events that are stored.
    async fn settled(&mut self) -> Result<Vec<Settled>> {
        match self {
            Self::Direct(_) => std::future::pending().await,
            Self::Durable(outlet) => outlet.settled().await,
        }
    }

    /// Waits for what is on its way, as long as somebody who wants us to end lets it.
    async fn finish(self, signals: &mut Signals, record: &mut Record, figures: &mut Figures) -> Result<()> {
        match self {
            Self::Direct(spread) => spread.close().await,
            Self::Durable(mut outlet) => {
                let settling = async {
                    while outlet.has_under_way() {
                        take_note(&outlet.settled().await?, record, figures)?;
                    }
                    Ok::<_, anyhow::Error>(())
                };
                match signals.unless_asked(settling).await {
                    Some(settled) => settled?,
                    None => {
                        let events = outlet.under_way();
                        warn!(events, "it is not known whether the last events are stored");
                    }
                }
            }
        }
        Ok(())
    }
}

/// One sync for all of them.
fn take_note(settled: &[Settled], record: &mut Record, figures: &mut Figures) -> Result<()> {
    record.add(settled.iter().map(|one| one.event_id.as_str()))?;
    settled.iter().for_each(|one| figures.add(one.bytes, one.latency_us));
    Ok(())
}

fn say_made(first: bool, event_id: &str, bytes: usize) {
    if first {
        info!(event_id, "Generated NetworkSecurityEvent with realistic data");
        info!(event_id, "Serialized {bytes} bytes protobuf message");
    } else {
        debug!(event_id, "Serialized {bytes} bytes protobuf message");
    }
}

fn say_sent(first: bool, event_id: &str) {
    if first {
        info!(event_id, "Sent via ZeroMQ");
    } else {
        debug!(event_id, "Sent via ZeroMQ");
    }
}

/// So many events a second.
struct Pace(Option<tokio::time::Interval>);

impl Pace {
    fn new(rate: f64) -> Self {
        let between = (rate > 0.0).then(|| Duration::try_from_secs_f64(1.0 / rate).ok()).flatten();
        Self(between.filter(|between| !between.is_zero()).map(|between| {
            let mut ticks = interval(between);
            // Who was held up goes on at the rate, and does not catch up in a burst.
            ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
            ticks
        }))
    }

    async fn next(&mut self) {
        match &mut self.0 {
            Some(ticks) => {
                ticks.tick().await;
            }
            None => tokio::task::yield_now().await,
        }
    }
}
