//! What the tasks of a shard share.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

use parking_lot::Mutex;
use swarmmq_broker::Shard as Broker;
use swarmmq_broker::{AutoCreate, Command};
use swarmmq_journal::{GroupId, Journal};
use swarmmq_protocol::limits::MESSAGE_BYTES_MAX;
use swarmmq_protocol::settings::GroupSettings;
use swarmmq_protocol::{DestinationName, ErrorCode, ErrorReply};
use tokio::sync::{Notify, mpsc};
use tokio_util::sync::CancellationToken;

use super::proposal::{Origin, Proposal};
use super::takers::Takers;
use crate::census::Census;
use crate::observer::Observer;
use crate::runtime::Runtime;

/// Most commands that wait to become part of an entry. A session that sends more is told `OVERLOADED`.
const PROPOSALS_MAX: usize = 64 * 1024;
/// Most bytes of commands that wait to become part of an entry.
const PROPOSAL_BYTES_MAX: usize = 128 * 1024 * 1024;

/// What a shard is made of.
pub(crate) struct ShardOptions {
    pub(crate) number: u32,
    pub(crate) group: GroupId,
    pub(crate) journal: Journal,
    pub(crate) runtime: Runtime,
    pub(crate) observer: Arc<dyn Observer>,
    pub(crate) auto_create: Option<AutoCreate>,
    pub(crate) queue_group: GroupSettings,
    pub(crate) census: Arc<Census>,
}

/// A shard on this node.
pub(crate) struct Shard {
    pub(crate) number: u32,
    pub(crate) group: GroupId,
    pub(crate) journal: Journal,
    pub(crate) runtime: Runtime,
    pub(crate) observer: Arc<dyn Observer>,
    pub(crate) auto_create: Option<AutoCreate>,
    pub(crate) queue_group: GroupSettings,
    pub(crate) census: Arc<Census>,
    pub(super) core: Mutex<Core>,
    proposals: mpsc::Sender<Proposal>,
    queued_bytes: AtomicUsize,
    /// Wakes the dispatcher.
    pub(super) work: Notify,
    /// Wakes the forwarder.
    pub(super) outbox: Notify,
    /// Wakes the keeper.
    pub(super) upkeep: Notify,
    /// Bytes of entries applied since the last snapshot was asked for.
    pub(super) log_bytes: AtomicU64,
    /// Bytes of the last snapshot.
    pub(super) snapshot_bytes: Arc<AtomicU64>,
    /// Set while a tick is on its way, so that time asks for one entry and not for many.
    pub(super) tick_under_way: AtomicBool,
    /// Log index of the last applied entry.
    pub(super) applied: AtomicU64,
    pub(crate) stop: CancellationToken,
}

/// What is changed under the shard's lock, which nobody holds across a wait.
pub(crate) struct Core {
    pub(crate) broker: Broker,
    /// The term in which this replica leads and has applied all that came before.
    pub(crate) leading: Option<u64>,
    /// Where the leader is, if it is elsewhere and known.
    pub(crate) leader: Option<String>,
    pub(super) takers: Takers,
    /// Set while a snapshot is installed or the journal lacks room, by the keeper.
    pub(crate) fatal: Option<String>,
}

impl Shard {
    pub(crate) fn new(options: ShardOptions) -> (Arc<Self>, mpsc::Receiver<Proposal>) {
        let (proposals, receiver) = mpsc::channel(PROPOSALS_MAX);
        // The edge keeps to what the node's configuration allows; here is what no node exceeds.
        let limits = swarmmq_broker::ShardLimits {
            message_bytes_max: MESSAGE_BYTES_MAX as u64,
            ..swarmmq_broker::ShardLimits::default()
        };
        let shard = Self {
            number: options.number,
            group: options.group,
            journal: options.journal,
            runtime: options.runtime,
            observer: options.observer,
            auto_create: options.auto_create,
            queue_group: options.queue_group,
            census: options.census,
            core: Mutex::new(Core {
                broker: Broker::new(options.number, limits),
                leading: None,
                leader: None,
                takers: Takers::default(),
                fatal: None,
            }),
            proposals,
            queued_bytes: AtomicUsize::new(0),
            work: Notify::new(),
            outbox: Notify::new(),
            upkeep: Notify::new(),
            log_bytes: AtomicU64::new(0),
            snapshot_bytes: Arc::default(),
            tick_under_way: AtomicBool::new(false),
            applied: AtomicU64::new(0),
            stop: CancellationToken::new(),
        };
        (Arc::new(shard), receiver)
    }

    /// The largest message that a destination takes, as far as its settings say.
    pub(super) fn message_bytes_max(&self, destination: &DestinationName) -> usize {
        let core = self.core.lock();
        let settings = core.broker.destination_settings(destination);
        let own = settings.map(|settings| settings.message_bytes_max).filter(|own| *own > 0);
        own.and_then(|own| usize::try_from(own).ok()).unwrap_or(MESSAGE_BYTES_MAX)
    }

    /// Queues a command for the next entry, or fails its origin.
    pub(crate) fn propose(&self, command: Command, bytes: usize, origin: Origin) {
        let proposal = Proposal { command, bytes, origin };
        if self.stop.is_cancelled() {
            return self.turn_away(proposal, crate::cluster::stopping());
        }
        let queued = self.queued_bytes.fetch_add(bytes, Ordering::AcqRel);
        if queued + bytes > PROPOSAL_BYTES_MAX && queued > 0 {
            self.unqueue(bytes);
            return self.turn_away(proposal, overloaded(format!("{queued} bytes wait to be written")));
        }
        match self.proposals.try_send(proposal) {
            Ok(()) => {}
            Err(mpsc::error::TrySendError::Full(proposal)) => {
                self.unqueue(bytes);
                let why = format!("{PROPOSALS_MAX} commands wait to be written");
                self.turn_away(proposal, overloaded(why));
            }
            Err(mpsc::error::TrySendError::Closed(proposal)) => {
                self.unqueue(bytes);
                self.turn_away(proposal, crate::cluster::stopping());
            }
        }
    }

    /// Fails a command that will never be part of an entry. What it was about can be leased again.
    fn turn_away(&self, proposal: Proposal, error: ErrorReply) {
        let now_ms = self.runtime.now_ms();
        let mut core = self.core.lock();
        let mut ready = false;
        for wakeup in core.broker.abandon(now_ms, &proposal.command) {
            ready |= core.takers.mark((wakeup.destination, wakeup.group));
        }
        drop(core);
        if ready {
            self.work.notify_one();
        }
        proposal.origin.fail(error);
    }

    /// Takes note that a queued command has become part of an entry, or never will.
    pub(super) fn unqueue(&self, bytes: usize) {
        self.queued_bytes.fetch_sub(bytes, Ordering::AcqRel);
    }

    /// Why the shard does not serve clients on this node now, if so.
    pub(crate) fn refusal(&self) -> Option<ErrorReply> {
        refusal(&self.core.lock(), self.number)
    }

    /// Log index of the last applied entry.
    pub(crate) fn applied_index(&self) -> u64 {
        self.applied.load(Ordering::Acquire)
    }
}

/// As [`Shard::refusal`], under the lock.
pub(super) fn refusal(core: &Core, number: u32) -> Option<ErrorReply> {
    if core.leading.is_some() {
        return None;
    }
    Some(match (&core.fatal, &core.leader) {
        (Some(reason), _) => {
            ErrorReply::new(ErrorCode::Unavailable, format!("shard {number} has stopped: {reason}"))
        }
        (None, Some(leader)) => ErrorReply {
            leader: Some(leader.clone()),
            ..ErrorReply::new(ErrorCode::NotLeader, format!("shard {number} is led by {leader}"))
        },
        (None, None) => ErrorReply::new(ErrorCode::Unavailable, format!("shard {number} has no leader yet")),
    })
}

fn overloaded(why: String) -> ErrorReply {
    ErrorReply::new(ErrorCode::Overloaded, format!("{why}: send less at once, or again later"))
}
