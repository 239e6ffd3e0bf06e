//! A scenario: lives of a node and their ends, decided by a seed, and the judgement of its history.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use swarmmq_journal::simulated::{CrashPoint, Operation, SimulatedDisk};
use swarmmq_protocol::request::Request;
use swarmmq_protocol::response::Response;
use swarmmq_protocol::settings::GroupSettings;
use swarmmq_protocol::{DestinationName, GroupName};

use crate::history::{Event, History};
use crate::invariant;
use crate::life::Life;
use crate::seed::Seed;
use crate::session::Session;
use crate::workload::{self, Producer};

/// Where simulated time begins, ms since 1970.
const EPOCH_MS: u64 = 1_750_000_000_000;

/// How big a scenario is.
#[derive(Debug, Clone)]
pub struct Scenario {
    /// Decides everything.
    pub seed: u64,
    /// How many lives end in a fault before the last one.
    pub lives: u64,
    /// How long a life lasts at most, simulated.
    pub life_at_most: Duration,
    /// How many producers and consumers there are.
    pub clients: u64,
}

impl Scenario {
    /// The size that runs in the tests: some ten simulated seconds.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self { seed, lives: 5, life_at_most: Duration::from_secs(2), clients: 3 }
    }
}

/// What a scenario came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// The history's hash: the same for the same seed.
    pub hash: u64,
    /// Events in the history.
    pub events: usize,
    /// Puts acknowledged.
    pub stored: usize,
    /// Deliveries.
    pub delivered: usize,
    /// How each life ended.
    pub ends: Vec<String>,
}

/// What went wrong, and the seed that shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// The scenario's seed.
    pub seed: u64,
    /// What.
    pub what: String,
}

impl std::fmt::Display for Violation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let seed = self.seed;
        write!(f, "seed {seed}: {}\nreplay: cargo run -p swarmmq-simulation -- --seed {seed}", self.what)
    }
}

impl std::error::Error for Violation {}

/// How a life is to end.
#[derive(Debug, Clone, Copy)]
enum End {
    /// A graceful stop.
    Stop,
    /// The process is killed; the disk keeps what was written.
    Kill,
    /// The power fails; the disk keeps what was synced, and of the rest what chance decides.
    PowerLoss,
    /// The process ends at one operation of the disk.
    AtOperation { kill: bool, point: CrashPoint },
    /// A sync fails, and with it the process; then the power.
    SyncFails,
}

struct Lives {
    seed: Seed,
    disk: SimulatedDisk,
    now_ms: u64,
    history: History,
    producers: Vec<Arc<Producer>>,
    queue: DestinationName,
    dead: DestinationName,
}

impl Scenario {
    /// Runs the scenario and checks its history.
    ///
    /// # Errors
    /// [`Violation`] with the first invariant that does not hold, or why the node did not start again.
    pub fn run(&self) -> Result<Report, Violation> {
        let violation = |what: String| Violation { seed: self.seed, what };
        let mut seed = Seed::new(self.seed);
        let name = |text: &str| DestinationName::new(text).map_err(|error| violation(error.to_string()));
        let mut lives = Lives {
            disk: SimulatedDisk::new(seed.number()),
            now_ms: EPOCH_MS,
            history: History::default(),
            producers: (1..=self.clients).map(Producer::new).collect(),
            queue: name("work")?,
            dead: name("dead-work")?,
            seed,
        };
        let mut ends = Vec::new();
        for life in 0..self.lives {
            lives.history.add(Event::Began { life });
            let how = lives.live(self).map_err(|what| violation(format!("life {life}: {what}")))?;
            lives.history.add(Event::Ended { how: how.clone() });
            ends.push(how);
        }
        lives.history.add(Event::Began { life: self.lives });
        lives.last().map_err(|what| violation(format!("the last life: {what}")))?;
        let events = lives.history.events();
        for (name, check) in invariant::ALL {
            check(&events).map_err(|what| violation(format!("{name}: {what} (lives: {ends:?})")))?;
        }
        let count = |which: fn(&Event) -> bool| events.iter().filter(|event| which(event)).count();
        Ok(Report {
            hash: lives.history.hash(),
            events: events.len(),
            stored: count(|event| matches!(event, Event::Stored { duplicate: false, .. })),
            delivered: count(|event| matches!(event, Event::Delivered { .. })),
            ends,
        })
    }
}

/// A runtime without threads whose clock is the simulation's.
fn runtime() -> Result<tokio::runtime::Runtime, String> {
    tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .map_err(|error| error.to_string())
}

impl Lives {
    fn choose_end(&mut self) -> End {
        let point = if self.seed.once_in(2) { CrashPoint::Before } else { CrashPoint::After };
        match self.seed.below(6) {
            0 => End::Stop,
            1 => End::Kill,
            2 => End::PowerLoss,
            3 => End::AtOperation { kill: self.seed.once_in(2), point },
            4 => End::AtOperation { kill: false, point },
            _ => End::SyncFails,
        }
    }

    /// One life with clients, until its end. Says how it ended.
    fn live(&mut self, scenario: &Scenario) -> Result<String, String> {
        let end = self.choose_end();
        match end {
            End::AtOperation { point, .. } => {
                let operation = self.disk.operations() + self.seed.below(2_000);
                self.disk.crash_at(operation, point);
            }
            End::SyncFails => self.disk.fail(Operation::Sync, self.seed.below(600)),
            _ => {}
        }
        self.disk.set_short_writes(self.seed.once_in(2));
        let limit_ms = u64::try_from(scenario.life_at_most.as_millis()).unwrap_or(u64::MAX);
        let lasts = Duration::from_millis(200 + self.seed.below(limit_ms));
        let mut seed = self.seed.split();
        let (disk, now_ms) = (self.disk.clone(), self.now_ms);
        let (history, queue, dead) = (self.history.clone(), self.queue.clone(), self.dead.clone());
        let producers = self.producers.clone();
        let runtime = runtime()?;
        let lived_ms = runtime.block_on(async move {
            let began = tokio::time::Instant::now();
            let life = match Life::begin(disk.clone(), now_ms, seed.split()).await {
                Ok(life) => life,
                // A disk that stopped working while the node started is an end like another.
                Err(_) if disk.crashed() || matches!(end, End::SyncFails) => return Ok(began.elapsed()),
                Err(error) => return Err(error),
            };
            let session = Arc::new(Session::new(&life.cluster));
            prepare(&session, &queue, &dead).await;
            for producer in producers {
                tokio::spawn(producer.run(session.clone(), queue.clone(), history.clone(), seed.split()));
                tokio::spawn(workload::consume(
                    session.clone(),
                    queue.clone(),
                    history.clone(),
                    seed.split(),
                ));
            }
            let over = tokio::time::Instant::now() + lasts;
            while tokio::time::Instant::now() < over && !disk.crashed() && !life.fatal.load(Ordering::Acquire)
            {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            if matches!(end, End::Stop) {
                life.stop().await;
            }
            Ok(began.elapsed())
        })?;
        // Whatever tasks are left end here, in the middle of whatever they wait for.
        drop(runtime);
        self.now_ms += u64::try_from(lived_ms.as_millis()).unwrap_or(0) + self.seed.below(5_000);
        let loses_power = match end {
            End::Stop | End::Kill | End::AtOperation { kill: true, .. } => false,
            End::PowerLoss | End::SyncFails | End::AtOperation { .. } => true,
        };
        self.disk = if loses_power { self.disk.power_loss(self.seed.number()) } else { self.disk.crash() };
        Ok(format!("{end:?}"))
    }

    /// The last life: healthy, without producers; takes everything out.
    fn last(&mut self) -> Result<(), String> {
        let (disk, now_ms, seed) = (self.disk.clone(), self.now_ms, self.seed.split());
        let (history, queue, dead) = (self.history.clone(), self.queue.clone(), self.dead.clone());
        runtime()?.block_on(async move {
            let life = Life::begin(disk, now_ms, seed).await?;
            let session = Session::new(&life.cluster);
            workload::drain(&session, &queue, &history, |effect, delivery| Event::Delivered {
                effect,
                at: delivery.receipt.sequence.0,
                attempt: delivery.attempt,
            })
            .await;
            workload::drain(&session, &dead, &history, |effect, _| Event::Dead { effect }).await;
            drop(session);
            life.stop().await;
            Ok(())
        })
    }
}

/// Makes the queue, and says where its dead letters go.
async fn prepare(session: &Session, queue: &DestinationName, dead: &DestinationName) {
    let create = Request::CreateDestination {
        destination: queue.clone(),
        settings: swarmmq_protocol::settings::DestinationSettings::queue(),
    };
    let mut settings = GroupSettings::default();
    settings.dead_letter = Some(dead.clone());
    let update =
        Request::UpdateGroup { destination: queue.clone(), group: GroupName::default_group(), settings };
    for request in [create, update] {
        // Refused only where the life is already ending.
        let _answer: Response = session.ask(request).await;
    }
}
