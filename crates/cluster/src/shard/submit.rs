//! Requests of sessions, turned into commands, waits or answers.

use std::sync::Arc;
use std::time::Duration;

use swarmmq_broker::{AutoCreate, Command, Outcome};
use swarmmq_protocol::request::{Pull, Put, Request, Settle};
use swarmmq_protocol::response::Response;
use swarmmq_protocol::settings::DestinationSettings;
use swarmmq_protocol::{DestinationName, ErrorCode, ErrorReply};
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::proposal::{Origin, Waiting};
use super::state::{Shard, refusal};
use super::takers::{Key, PullWaiter, Subscription};

/// About what a command without messages adds to an entry.
pub(super) const SMALL_COMMAND_BYTES: usize = 256;
/// About what a put adds to an entry beside its messages.
const PUT_BYTES: usize = 64;
/// About what a message adds to an entry beside its bytes.
const PUT_MESSAGE_BYTES: usize = 4;
/// About what a settled receipt adds to an entry.
const RECEIPT_BYTES: usize = 16;
/// Most pulls that wait on one shard.
const PULLS_MAX: usize = 65_536;

impl Shard {
    /// Takes on a request about a destination of this shard.
    pub(crate) fn submit(
        self: &Arc<Self>,
        attachment: u64,
        consumer: u64,
        waiting: Waiting,
        request: Request,
    ) {
        match request {
            Request::Put(put) => self.put(waiting, put),
            Request::Settle(settle) => self.settle(waiting, &settle),
            Request::Pull(pull) => self.pull(attachment, consumer, waiting, pull),
            Request::DescribeDestination { destination } => {
                let response = self.describe(&destination);
                waiting.answer(response);
            }
            other => self.administer(waiting, other),
        }
    }

    /// Stores messages.
    pub(crate) fn put(&self, waiting: Waiting, put: Put) {
        let auto_create = || match &self.auto_create {
            Some(settings) => self.census.admit().map(|()| Some(settings.clone())),
            None => Ok(None),
        };
        self.put_for(put, auto_create, Origin::Peer(waiting));
    }

    /// Stores dead letters; a queue that is not there is made for them, as they have nowhere else to go.
    pub(super) fn put_letters(&self, put: Put, origin: Origin) {
        let queue = DestinationSettings::queue();
        let auto_create = || Ok(Some(AutoCreate { destination: queue, group: self.queue_group.clone() }));
        self.put_for(put, auto_create, origin);
    }

    /// Stores messages for anybody. `auto_create` says what to make a destination with that is not there,
    /// and is not asked where it is: the log has that once, and not with every put.
    fn put_for(
        &self,
        put: Put,
        auto_create: impl FnOnce() -> Result<Option<AutoCreate>, ErrorReply>,
        origin: Origin,
    ) {
        let (refusal, is_there) = {
            let core = self.core.lock();
            (refusal(&core, self.number), core.broker.has_destination(&put.destination))
        };
        if let Some(error) = refusal {
            return origin.fail(error);
        }
        let auto_create = if is_there { Ok(None) } else { auto_create() };
        let auto_create = match auto_create {
            Ok(auto_create) => auto_create,
            Err(error) => return origin.fail(error),
        };
        let messages: usize = put.messages.iter().map(|message| message.len() + PUT_MESSAGE_BYTES).sum();
        let bytes = PUT_BYTES + put.destination.as_str().len() + messages;
        if !self.journal.admits(bytes) {
            return origin.fail(disk_full());
        }
        self.propose(Command::Put { put, auto_create }, bytes, origin);
    }

    fn settle(&self, waiting: Waiting, settle: &Settle) {
        let plan = {
            let now_ms = self.runtime.now_ms();
            let mut core = self.core.lock();
            match refusal(&core, self.number) {
                Some(error) => Err(error),
                None => core.broker.settle(now_ms, settle),
            }
        };
        self.observer.settled(settle.receipts.len() as u64);
        match plan {
            Err(error) => waiting.answer(error.into()),
            Ok(mut plan) => match plan.command.take() {
                Some(command) => {
                    let bytes = SMALL_COMMAND_BYTES + settle.receipts.len() * RECEIPT_BYTES;
                    self.propose(command, bytes, Origin::Settlement(waiting, Box::new(plan)));
                }
                None => waiting.answer(Response::Settled(plan.complete(0, &Outcome::Done))),
            },
        }
        // An extension changes when the next lease runs out; a settlement may make another message ready.
        self.work.notify_one();
    }

    fn pull(&self, attachment: u64, consumer: u64, waiting: Waiting, pull: Pull) {
        let mut core = self.core.lock();
        if let Some(error) = refusal(&core, self.number) {
            drop(core);
            return waiting.answer(error.into());
        }
        if core.takers.pulls() >= PULLS_MAX {
            drop(core);
            let text = format!("{PULLS_MAX} pulls wait on this shard already");
            return waiting.answer(ErrorReply::new(ErrorCode::Overloaded, text).into());
        }
        let waiter = PullWaiter {
            waiting,
            attachment,
            consumer,
            messages_max: pull.messages_max,
            lease_ms: u64::from(pull.lease_ms),
            deadline: Instant::now() + Duration::from_millis(u64::from(pull.wait_ms)),
        };
        core.takers.pull((pull.destination, pull.group), waiter);
        drop(core);
        self.work.notify_one();
    }

    /// Adds a subscription, or says why not.
    pub(crate) fn subscribe(&self, subscription: &Arc<Subscription>) -> Result<(), ErrorReply> {
        let mut core = self.core.lock();
        if let Some(error) = refusal(&core, self.number) {
            return Err(error);
        }
        let (destination, group) = &subscription.key;
        if core.broker.group_settings(destination, group).is_none() {
            match core.broker.describe(self.runtime.now_ms(), destination) {
                Ok(_) => {
                    let text = format!("{destination} has no group {group}: create it first");
                    return Err(ErrorReply::new(ErrorCode::UnknownGroup, text));
                }
                Err(error) if self.auto_create.is_none() => return Err(error),
                Err(_to_be_made) => self.census.admit()?,
            }
        }
        core.takers.subscribe(subscription.clone());
        drop(core);
        self.work.notify_one();
        Ok(())
    }

    /// Ends a subscription; what it leased is ready again, the deliveries counted.
    pub(crate) fn unsubscribe(self: &Arc<Self>, subscription: &Subscription) {
        if !subscription.end() {
            return;
        }
        let commands = {
            let mut core = self.core.lock();
            core.takers.unsubscribe(subscription);
            core.broker.release_consumer(subscription.consumer)
        };
        for command in commands {
            propose_internal(self, command);
        }
    }

    /// Gives a subscription more credit.
    pub(crate) fn add_credit(&self, subscription: &Subscription, messages: u32) {
        subscription.add_credit(messages);
        self.look_at(&subscription.key);
    }

    /// Looks whether a group has something for those who wait.
    pub(crate) fn look_at(&self, key: &Key) {
        if self.core.lock().takers.mark(key.clone()) {
            self.work.notify_one();
        }
    }

    /// A session has gone: nobody waits for its pulls any more.
    pub(crate) fn forget_pulls(&self, attachment: u64) {
        self.core.lock().takers.forget_pulls(attachment);
    }

    /// The node stops: whoever waits is told.
    pub(super) fn dismiss_all(&self) {
        self.core.lock().takers.dismiss_all(&crate::cluster::stopping());
    }

    /// What the shard counts.
    pub(crate) fn stats(&self, destinations_max: usize) -> swarmmq_broker::ShardStats {
        let now_ms = self.runtime.now_ms();
        self.core.lock().broker.stats(now_ms, destinations_max)
    }

    fn describe(&self, destination: &DestinationName) -> Response {
        let now_ms = self.runtime.now_ms();
        let core = self.core.lock();
        if let Some(error) = refusal(&core, self.number) {
            return error.into();
        }
        match core.broker.describe(now_ms, destination) {
            Ok(mut info) => {
                for group in &mut info.groups {
                    group.consumers = core.takers.consumers(&(destination.clone(), group.name.clone()));
                }
                Response::Destination(Box::new(info))
            }
            Err(error) => error.into(),
        }
    }

    /// Destinations of this shard in the order of their names.
    pub(crate) fn list(
        &self,
        prefix: &str,
        after: Option<&DestinationName>,
        limit: usize,
    ) -> Result<Vec<swarmmq_protocol::info::DestinationInfo>, ErrorReply> {
        let now_ms = self.runtime.now_ms();
        let core = self.core.lock();
        if let Some(error) = refusal(&core, self.number) {
            return Err(error);
        }
        let mut infos = core.broker.list(now_ms, prefix, after, limit);
        for info in &mut infos {
            for group in &mut info.groups {
                group.consumers = core.takers.consumers(&(info.name.clone(), group.name.clone()));
            }
        }
        Ok(infos)
    }

    /// Whether a command that makes this destination may be put forward: where it is there, none is made.
    fn admit_destination(&self, destination: &DestinationName) -> Result<(), ErrorReply> {
        let is_there = self.core.lock().broker.has_destination(destination);
        if is_there { Ok(()) } else { self.census.admit() }
    }

    fn administer(&self, waiting: Waiting, request: Request) {
        if let Some(error) = self.refusal() {
            return waiting.answer(error.into());
        }
        let command = match request {
            Request::CreateDestination { destination, settings } => {
                if let Err(error) = self.admit_destination(&destination) {
                    return waiting.answer(error.into());
                }
                Command::CreateDestination { destination, settings, group: self.queue_group.clone() }
            }
            Request::UpdateDestination { destination, settings } => {
                Command::UpdateDestination { destination, settings }
            }
            Request::DeleteDestination { destination } => Command::DeleteDestination { destination },
            Request::PurgeDestination { destination } => Command::PurgeDestination { destination },
            Request::CreateGroup { destination, group, settings } => {
                Command::CreateGroup { destination, group, settings }
            }
            Request::UpdateGroup { destination, group, settings } => {
                Command::UpdateGroup { destination, group, settings }
            }
            Request::DeleteGroup { destination, group } => Command::DeleteGroup { destination, group },
            Request::PauseGroup { destination, group, paused } => {
                Command::PauseGroup { destination, group, paused }
            }
            Request::ResetGroup { destination, group, to } => Command::ResetGroup { destination, group, to },
            _ => {
                let text = "this request is not about a destination's administration";
                return waiting.answer(ErrorReply::new(ErrorCode::Unsupported, text).into());
            }
        };
        self.propose(command, SMALL_COMMAND_BYTES, Origin::Peer(waiting));
    }
}

/// Puts a command forward that nobody waits for.
pub(super) fn propose_internal(shard: &Shard, command: Command) {
    shard.propose(command, SMALL_COMMAND_BYTES, Origin::Nobody);
}

/// Settles messages for the shard itself.
pub(super) fn settle_internal(shard: &Shard, settle: &Settle) {
    let now_ms = shard.runtime.now_ms();
    let plan = shard.core.lock().broker.settle(now_ms, settle);
    if let Ok(plan) = plan
        && let Some(command) = plan.command
    {
        let bytes = SMALL_COMMAND_BYTES + settle.receipts.len() * RECEIPT_BYTES;
        shard.propose(command, bytes, Origin::Nobody);
    }
}

/// Makes a queue that somebody waits for messages of, and then looks at it again.
pub(super) fn create_then_serve(shard: &Arc<Shard>, key: Key, auto_create: &AutoCreate) {
    if let Err(error) = shard.admit_destination(&key.0) {
        return shard.core.lock().takers.dismiss(&key, &error);
    }
    let (tx, rx) = oneshot::channel();
    let command = Command::CreateDestination {
        destination: key.0.clone(),
        settings: auto_create.destination.clone(),
        group: auto_create.group_of(&key.0),
    };
    shard.propose(command, SMALL_COMMAND_BYTES, Origin::Task(tx));
    let shard = shard.clone();
    tokio::spawn(async move {
        match rx.await {
            Ok(Ok(_)) => shard.look_at(&key),
            Ok(Err(error)) => shard.core.lock().takers.dismiss(&key, &error),
            Err(_stopping) => {}
        }
    });
}

fn disk_full() -> ErrorReply {
    ErrorReply::new(
        ErrorCode::DiskFull,
        "the node's disk has no room for new messages: reading and acknowledging go on; free space and put again",
    )
}
