//! From the intended sending of a message to its arrival, at a fixed rate.
//!
//! The schedule is fixed before the first message and never waits for the broker: a message that had to be sent
//! late because the broker stalled counts from when it should have been sent. Otherwise a stall of a second
//! would count as one slow message instead of a thousand ("coordinated omission").

use std::num::NonZeroU64;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use tokio::runtime::Handle;
use tokio::sync::oneshot;
use tokio::task::JoinSet;

use super::{DESTINATION, Effort, Payloads};
use crate::broker::{Broker, Consumer, Delivery, Producer, Retention};
use crate::sample::{Latencies, Sample};

/// Time to get both ends going before the first message is due.
const LEAD: Duration = Duration::from_millis(20);
/// The finest slack a thread can ask for: its sleeps end when they are due, not up to 50 µs later.
const TIMER_SLACK_NS: NonZeroU64 = NonZeroU64::MIN;

/// When each message is due.
#[derive(Debug, Clone, Copy)]
struct Schedule {
    first: Instant,
    interval: Duration,
    messages: u64,
}

impl Schedule {
    fn due(&self, number: u64) -> Instant {
        self.first + Duration::from_nanos(self.interval.as_nanos() as u64 * number)
    }
}

/// Sends on schedule from a thread of its own and receives in this task, which acknowledges each message.
pub(super) async fn measure(
    broker: &impl Broker,
    payload_bytes: usize,
    rate: u64,
    effort: &Effort,
) -> Result<Sample> {
    broker.create(DESTINATION, Retention::Stream).await?;
    let mut consumer = broker.consumer(DESTINATION).await?;
    let producer = Arc::new(broker.producer(DESTINATION).await?);

    let interval = Duration::from_secs(1) / u32::try_from(rate).context("the rate is out of range")?;
    let count = |time: Duration| time.as_nanos().div_ceil(interval.as_nanos()) as u64;
    let warm_up = count(effort.warm_up);
    let messages = warm_up + count(effort.end_to_end);
    let schedule = Schedule { first: Instant::now() + LEAD, interval, messages };

    let payloads = Payloads::new(payload_bytes);
    let runtime = Handle::current();
    let (report, sent) = oneshot::channel();
    // Nobody is left to report to once the sample has failed.
    thread::spawn(move || report.send(send_on_schedule(&runtime, &*producer, &payloads, schedule)).is_ok());

    let all_acknowledged = async {
        let mut acknowledgements = sent.await.context("the sending thread panicked")??;
        while let Some(acknowledged) = acknowledgements.join_next().await {
            acknowledged??;
        }
        Ok(())
    };
    let (sample, ()) = tokio::try_join!(receive(&mut consumer, schedule, warm_up), all_acknowledged)?;
    Ok(sample)
}

async fn receive(consumer: &mut impl Consumer, schedule: Schedule, warm_up: u64) -> Result<Sample> {
    let mut latencies = Latencies::new()?;
    for _ in 0..schedule.messages {
        let delivery = consumer.next().await?;
        let arrived = Instant::now();
        let number =
            Payloads::number(delivery.payload()).context("a delivery is too short to be one of ours")?;
        if number >= warm_up {
            latencies.record(arrived.saturating_duration_since(schedule.due(number)));
        }
        delivery.ack().await?;
    }
    let elapsed = schedule.due(warm_up).elapsed();
    Ok(Sample::new(schedule.messages - warm_up, elapsed).with_latency(&latencies))
}

/// The runtime's timers tick in milliseconds, which is coarser than what is measured; a thread's sleep is not.
fn send_on_schedule<P: Producer>(
    runtime: &Handle,
    producer: &P,
    payloads: &Payloads,
    schedule: Schedule,
) -> Result<JoinSet<Result<()>>> {
    rustix::thread::set_current_timer_slack(Some(TIMER_SLACK_NS))?;
    let _entered = runtime.enter();
    let mut acknowledgements = JoinSet::new();
    for number in 0..schedule.messages {
        thread::sleep(schedule.due(number).saturating_duration_since(Instant::now()));
        let acknowledgement = runtime.block_on(producer.send(payloads.numbered(number)))?;
        acknowledgements.spawn(acknowledgement);
    }
    Ok(acknowledgements)
}
