//! All clients together.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use swarmmq::{Client, ClientOptions, DestinationName, DestinationSettings, GroupName, GroupSettings};
use tokio::task::JoinSet;

use crate::history::{account, check};
use crate::workload::audit;
use crate::workload::consumer::{Consuming, Manners, bury, consume};
use crate::workload::producer::{Producing, session, singles};
use crate::workload::recorder::{Counts, Recorder};

/// Longer than any restart; what is still unknown then is really lost.
const REQUEST_MAX: Duration = Duration::from_secs(30);
const RECONNECT_DELAYS: (Duration, Duration) = (Duration::from_millis(10), Duration::from_millis(100));
/// Everything must be consumed so long after the last put.
const DRAIN_MAX: Duration = Duration::from_secs(60);
/// How often it is looked whether it is.
const DRAIN_POLL: Duration = Duration::from_millis(50);
/// Most breaches that a report tells at length.
const TOLD_MAX: usize = 5;

const CAREFUL: Manners = Manners { nack: 5, expire: 0, reject: 0, is_restless: false };
const CARELESS: Manners = Manners { nack: 40, expire: 5, reject: 10, is_restless: true };

/// How the load is.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Plan {
    pub(crate) seed: u64,
    /// Whether consumers work from the beginning.
    pub(crate) consumes: bool,
}

/// Clients that work until [`Load::finish`].
#[derive(Debug)]
pub(crate) struct Load {
    client: Client,
    plan: Plan,
    queue: Target,
    stream: Target,
    letters: DestinationName,
    producers: JoinSet<()>,
    consumers: JoinSet<()>,
    producers_stop: Arc<AtomicBool>,
    consumers_stop: Arc<AtomicBool>,
}

#[derive(Debug, Clone)]
struct Target {
    name: DestinationName,
    groups: Vec<GroupName>,
    recorder: Arc<Recorder>,
}

impl Target {
    fn new(name: &str, groups: &[&str]) -> Result<Self> {
        let name = DestinationName::new(name)?;
        let groups = groups.iter().map(|group| GroupName::new(*group)).collect::<Result<_, _>>()?;
        let recorder = Arc::new(Recorder::new(&name));
        Ok(Self { name, groups, recorder })
    }
}

impl Load {
    /// Makes the destinations at the node at `address`, and begins to work.
    pub(crate) async fn start(address: &str, plan: Plan) -> Result<Self> {
        let client = connect(address).await?;
        let mut load = Self {
            queue: Target::new("chaos.queue", &["default"])?,
            stream: Target::new("chaos.stream", &["left", "right"])?,
            letters: DestinationName::new("chaos.dead")?,
            client,
            plan,
            producers: JoinSet::new(),
            consumers: JoinSet::new(),
            producers_stop: Arc::default(),
            consumers_stop: Arc::default(),
        };
        load.create().await.context("cannot make the destinations")?;
        for target in [load.queue.clone(), load.stream.clone()] {
            load.produce(address, &target).await?;
        }
        if plan.consumes {
            load.consume(address).await?;
        }
        Ok(load)
    }

    /// How much there was so far.
    pub(crate) fn counts(&self) -> Counts {
        self.queue.recorder.counts() + self.stream.recorder.counts()
    }

    /// Lets consumers work.
    pub(crate) async fn consume(&mut self, address: &str) -> Result<()> {
        for target in [&self.queue, &self.stream] {
            for group in &target.groups {
                for (nth, manners) in [CAREFUL, CARELESS].into_iter().enumerate() {
                    // Only the queue has somewhere for the dead.
                    let reject = if target.name == self.queue.name { manners.reject } else { 0 };
                    let consuming = Consuming {
                        client: connect(address).await?,
                        destination: target.name.clone(),
                        group: group.clone(),
                        recorder: target.recorder.clone(),
                        stopping: self.consumers_stop.clone(),
                        manners: Manners { reject, ..manners },
                        seed: self.plan.seed.wrapping_add(nth as u64),
                    };
                    self.consumers.spawn(consume(consuming));
                }
            }
        }
        let (client, letters) = (connect(address).await?, self.letters.clone());
        let recorder = self.queue.recorder.clone();
        self.consumers.spawn(bury(client, letters, recorder, self.consumers_stop.clone()));
        Ok(())
    }

    async fn create(&self) -> Result<()> {
        let Self { client, queue, stream, letters, .. } = self;
        client.create_destination(letters, DestinationSettings::queue()).await?;
        client.create_destination(&queue.name, DestinationSettings::queue()).await?;
        let mut settings = GroupSettings::default();
        settings.dead_letter = Some(letters.clone());
        client.update_group(&queue.name, &GroupName::default_group(), settings).await?;
        client.create_destination(&stream.name, DestinationSettings::stream()).await?;
        for group in stream.groups.iter().chain([&audit_group()?]) {
            client.create_group(&stream.name, group, GroupSettings::default()).await?;
        }
        Ok(())
    }

    async fn produce(&mut self, address: &str, target: &Target) -> Result<()> {
        for producer in 0..3 {
            let producing = Producing {
                client: connect(address).await?,
                destination: target.name.clone(),
                recorder: target.recorder.clone(),
                stopping: self.producers_stop.clone(),
                producer,
                groups: target.groups.len() as u64,
                is_throttled: self.plan.consumes,
            };
            match producer {
                0 => self.producers.spawn(singles(producing)),
                _ => self.producers.spawn(session(producing)),
            };
        }
        Ok(())
    }

    /// Lets producers finish, and gives back when each put is answered.
    pub(crate) async fn stop_producers(&mut self) -> Result<()> {
        self.producers_stop.store(true, Ordering::Relaxed);
        while let Some(ended) = self.producers.join_next().await {
            ended.context("a producer failed")?;
        }
        Ok(())
    }

    /// Lets producers finish, has everything consumed, and holds what was seen against the promises.
    pub(crate) async fn finish(mut self) -> Result<Counts> {
        self.stop_producers().await?;
        self.drain().await?;
        self.consumers_stop.store(true, Ordering::Relaxed);
        while let Some(ended) = self.consumers.join_next().await {
            ended.context("a consumer failed")?;
        }
        audit::read_log(&self.client, &self.stream.name, &audit_group()?, &self.stream.recorder).await?;
        let counts = self.counts();
        for target in [&self.queue, &self.stream] {
            target.recorder.amend(|history| {
                for group in &target.groups {
                    history.groups.entry(group.to_string()).or_default().is_drained = true;
                }
            });
            judge(&target.recorder)?;
        }
        ensure!(counts.stored > 0 && counts.acked > 0, "nothing was stored or acknowledged: {counts:?}");
        Ok(counts)
    }

    /// Waits until every group has settled everything. The auditor's group of the stream has settled nothing.
    async fn drain(&self) -> Result<()> {
        let deadline = Instant::now() + DRAIN_MAX;
        loop {
            let queue = audit::unsettled(&self.client, &self.queue.name, &self.queue.groups).await?;
            let stream = audit::unsettled(&self.client, &self.stream.name, &self.stream.groups).await?;
            let taken = audit::are_letters_taken(&self.client, &self.queue.name, &self.letters).await?;
            if queue == 0 && stream == 0 && taken {
                return Ok(());
            }
            if Instant::now() > deadline {
                bail!(
                    "not everything was consumed {DRAIN_MAX:?} after the last put: {queue} messages wait in the queue, {stream} in the stream, dead letters were all taken: {taken}"
                );
            }
            // sleep: between two looks at a condition that has a deadline.
            tokio::time::sleep(DRAIN_POLL).await;
        }
    }
}

/// The group that reads the stream's log at the end.
fn audit_group() -> Result<GroupName> {
    Ok(GroupName::new("audit")?)
}

async fn connect(address: &str) -> Result<Client> {
    let (min, max) = RECONNECT_DELAYS;
    let options =
        ClientOptions::default().address(address).request_timeout(REQUEST_MAX).reconnect_delay(min, max);
    Ok(options.connect().await?)
}

/// Holds a history against the rules, and tells the breaches at length.
fn judge(recorder: &Recorder) -> Result<()> {
    let history = recorder.take();
    let violations = check(&history);
    if violations.is_empty() {
        return Ok(());
    }
    eprintln!("{}: {} breaches", history.destination, violations.len());
    for violation in violations.iter().take(TOLD_MAX) {
        eprintln!("  {violation}");
        for line in violation.key.iter().flat_map(|&key| account(&history, key)) {
            eprintln!("    {line}");
        }
    }
    let rules: std::collections::BTreeSet<String> =
        violations.iter().map(|violation| violation.rule.to_string()).collect();
    let rules: Vec<String> = rules.into_iter().collect();
    bail!("{}: {}", history.destination, rules.join("; "))
}
