//! The state of a `titanic` endpoint.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt;

use bytes::Bytes;
use swarmmq_protocol::EncodedMessage;
use swarmmq_protocol::zeromq::mdp::{self, ToBroker, WorkerCommand};
use swarmmq_protocol::zeromq::tsp;

use super::clients::Clients;
use super::ledger::{Ledger, Place};
use super::limits::TitanicLimits;
use super::receipts::Receipts;
use super::record::{Kind, Record};
use super::recovery::Recovery;
use crate::exchange::inside::{Inside, Outcome};
use crate::exchange::service::{Majordomo, RepeatLimits};
use crate::exchange::{
    Exchange, Figure, Frames, PeerId, PeerInfo, Peers, PoolLimits, StorageEvent, StorageRequest,
};

/// What the queue could not do is asked of it again after this long.
pub(super) const RETRY_MS: u64 = 1000;
/// Until the queue has been read for the first time no peer is read, so that nobody hears 500 because the node has just
/// started; but not longer than this.
const PATIENCE_MS: u64 = 5000;

/// Gives random ids, none of which can be guessed; `None` where there is no chance to be had.
pub type Ids = Box<dyn FnMut() -> Option<u128> + Send>;

/// A Majordomo broker that answers `titanic.request`, `titanic.reply` and `titanic.close` itself.
pub struct Titanic {
    pub(super) majordomo: Majordomo,
    pub(super) limits: TitanicLimits,
    client_requests_max: usize,
    pub(super) ids: Ids,
    pub(super) clients: Clients,
    pub(super) ledger: Ledger,
    pub(super) receipts: Receipts,
    /// While the queue is being read.
    pub(super) recovery: Option<Recovery>,
    /// The queue has been read and can be used.
    pub(super) is_open: bool,
    /// Until when no peer is read, while the queue is read for the first time.
    pub(super) patience_ms: Option<u64>,
    /// The requests that the pool has.
    pub(super) jobs: BTreeMap<PeerId, u128>,
    /// One of them for each service that waits there beside those of clients, so that it has its turn among them.
    pub(super) beside: BTreeMap<Bytes, PeerId>,
    pub(super) outcomes: VecDeque<(PeerId, Outcome)>,
    /// Services for which requests wait, and for which there may be a worker since that was looked at.
    pub(super) eager: BTreeSet<Bytes>,
    pub(super) puts: BTreeMap<u64, (u128, Kind)>,
    puts_made: u64,
    pub(super) outgoing: VecDeque<StorageRequest>,
    pub(super) settle_again_ms: Option<u64>,
    /// There were so many bytes of replies, or one that the queue did not take, that nothing was given to workers.
    pub(super) is_out_of_room: bool,
}

impl fmt::Debug for Titanic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Titanic").field("ledger", &self.ledger).finish_non_exhaustive()
    }
}

impl Titanic {
    /// A broker without peers, whose queue is not read yet. `life` is as for [`Majordomo::new`]. Whoever has an id may
    /// have the reply, if it is the same user.
    #[must_use]
    pub fn new(pool: PoolLimits, limits: TitanicLimits, life: u64, ids: Ids) -> Self {
        let joined_bytes_max = pool.joined_bytes_max.min(limits.message_bytes_max);
        Self {
            client_requests_max: pool.client_requests_max,
            majordomo: Majordomo::with_own(PoolLimits { joined_bytes_max, ..pool }, life, &tsp::SERVICES),
            limits,
            ids,
            clients: Clients::default(),
            ledger: Ledger::default(),
            receipts: Receipts::default(),
            recovery: None,
            is_open: false,
            patience_ms: Some(PATIENCE_MS),
            jobs: BTreeMap::new(),
            beside: BTreeMap::new(),
            outcomes: VecDeque::new(),
            eager: BTreeSet::new(),
            puts: BTreeMap::new(),
            puts_made: 0,
            outgoing: VecDeque::new(),
            settle_again_ms: None,
            is_out_of_room: false,
        }
    }

    /// The same, which recognises the requests that clients repeat, but for those that are stored.
    #[must_use]
    pub fn deduplicating(self, limits: RepeatLimits) -> Self {
        Self { majordomo: self.majordomo.deduplicating(limits), ..self }
    }

    /// Requests that are not forgotten, answered or not.
    #[must_use]
    pub fn stored(&self) -> usize {
        self.ledger.len()
    }

    /// The record of a request or a reply, unless that is too large to be one.
    pub(super) fn write(&self, record: &Record, body: &[Bytes]) -> Option<EncodedMessage> {
        let bytes: usize = body.iter().map(Bytes::len).sum();
        if bytes > self.limits.message_bytes_max {
            return None;
        }
        record.write(body).ok()
    }

    /// Puts a record, and says so in the entry.
    pub(super) fn put(&mut self, id: u128, kind: Kind, message: EncodedMessage) {
        self.puts_made += 1;
        let token = self.puts_made;
        self.puts.insert(token, (id, kind));
        self.ledger.change(id, |entry| *entry.place(kind) = Place::UnderWay(token));
        self.outgoing.push_back(StorageRequest::Put { token, message });
    }

    /// Lets the pool do something, and does what follows from it.
    pub(super) fn with_pool(
        &mut self,
        now_ms: u64,
        peers: &mut dyn Peers,
        call: impl FnOnce(&mut Majordomo, &mut dyn Peers),
    ) {
        call(&mut self.majordomo, &mut Inside { peers, outcomes: &mut self.outcomes });
        self.follow_up(now_ms, peers);
    }
}

impl Exchange for Titanic {
    fn attach(&mut self, now_ms: u64, peer: PeerId, info: &PeerInfo, peers: &mut dyn Peers) {
        self.clients.attach(peer, info.user.clone());
        self.majordomo.attach(now_ms, peer, info, peers);
    }

    fn handle(&mut self, now_ms: u64, peer: PeerId, frames: Frames, peers: &mut dyn Peers) {
        self.with_pool(now_ms, peers, |majordomo, peers| {
            majordomo.hear(now_ms, peer, peers);
        });
        match mdp::parse(&frames) {
            Ok(ToBroker::Client(request))
                if !request.service.is_management() && self.majordomo.is_own(&request.service) =>
            {
                self.handle_ask(now_ms, peer, request, peers);
                self.follow_up(now_ms, peers);
            }
            parsed => {
                let service = match &parsed {
                    Ok(ToBroker::Worker(_, WorkerCommand::Ready { service })) => {
                        Some(service.clone().frame())
                    }
                    Ok(ToBroker::Worker(..)) => self.majordomo.pool.service_of(peer).cloned(),
                    Ok(ToBroker::Client(request)) => Some(request.service.clone().frame()),
                    Err(_) => None,
                };
                self.look_at_service(service);
                self.with_pool(now_ms, peers, |majordomo, peers| {
                    majordomo.handle_parsed(now_ms, peer, parsed, peers);
                });
            }
        }
    }

    fn detach(&mut self, now_ms: u64, peer: PeerId, peers: &mut dyn Peers) {
        self.clients.detach(peer, peers);
        self.with_pool(now_ms, peers, |majordomo, peers| majordomo.detach(now_ms, peer, peers));
    }

    fn drained(&mut self, now_ms: u64, peer: PeerId, peers: &mut dyn Peers) {
        self.clients.send_unsent(peer, peers);
        let service = self.majordomo.pool.service_of(peer).cloned();
        self.look_at_service(service);
        self.with_pool(now_ms, peers, |majordomo, peers| majordomo.drained(now_ms, peer, peers));
    }

    fn rights_changed(&mut self, now_ms: u64, peer: PeerId, peers: &mut dyn Peers) {
        self.with_pool(now_ms, peers, |majordomo, peers| majordomo.rights_changed(now_ms, peer, peers));
    }

    fn accepts(&self, peer: PeerId, peers: &dyn Peers) -> bool {
        self.patience_ms.is_none()
            && self.clients.asked(peer) < self.client_requests_max
            && self.majordomo.accepts(peer, peers)
    }

    fn figures(&self) -> Vec<(Figure, u64)> {
        let mut figures = self.majordomo.figures();
        figures.push((Figure::Stored, self.ledger.len() as u64));
        figures
    }

    fn next_due(&self) -> Option<u64> {
        let own =
            [self.majordomo.next_due(), self.ledger.next_alarm(), self.settle_again_ms, self.patience_ms];
        own.into_iter().flatten().min()
    }

    fn tick(&mut self, now_ms: u64, peers: &mut dyn Peers) {
        let is_over = |at_ms: &u64| *at_ms <= now_ms;
        self.patience_ms.take_if(|at_ms| is_over(at_ms));
        self.settle_again_ms.take_if(|at_ms| is_over(at_ms));
        self.handle_alarms(now_ms, peers);
        self.with_pool(now_ms, peers, |majordomo, peers| majordomo.tick(now_ms, peers));
    }

    fn poll_storage(&mut self) -> Option<StorageRequest> {
        if let Some(put) = self.outgoing.pop_front() {
            return Some(put);
        }
        if !self.may_settle() {
            return None;
        }
        let receipts = self.receipts.poll_settlement()?;
        Some(StorageRequest::Settle { receipts })
    }

    fn wants_storage(&self) -> bool {
        !self.outgoing.is_empty() || (self.may_settle() && self.receipts.wants_settlement())
    }

    fn owed(&self, peer: PeerId) -> usize {
        self.clients.asked(peer)
    }

    fn handle_storage(&mut self, now_ms: u64, event: StorageEvent, peers: &mut dyn Peers) {
        self.handle_event(now_ms, event, peers);
        self.follow_up(now_ms, peers);
    }

    fn has_refused_by_storage(&self) -> bool {
        self.ledger.has_refused_replies()
    }

    fn has_read_storage(&self) -> bool {
        self.is_open || self.recovery.is_none()
    }
}

impl Titanic {
    fn may_settle(&self) -> bool {
        self.is_open && self.settle_again_ms.is_none()
    }
}

#[cfg(test)]
impl Titanic {
    /// Panics where the parts contradict each other or a limit is passed.
    pub(super) fn check(&self, now_ms: u64) {
        use super::ledger::State;

        self.majordomo.pool.check(now_ms);
        self.ledger.check();
        self.receipts.check();
        self.clients.check(self.client_requests_max);
        assert!(self.outcomes.is_empty());
        let working = self.ledger.iter().filter_map(|(id, entry)| match entry.state {
            State::Working { job, .. } => Some((job, id)),
            _ => None,
        });
        assert_eq!(working.collect::<BTreeMap<_, _>>(), self.jobs, "a request at work is a job of the pool");
        for (id, entry) in self.ledger.iter() {
            assert!(!entry.service.is_empty(), "{id}");
            match entry.state {
                State::Storing { .. } => assert!(matches!(entry.request, Place::UnderWay(_))),
                State::Waiting { .. } | State::Working { .. } => {
                    assert!(matches!(entry.request, Place::At(_)), "it is synced before it is worked on");
                }
                State::Replying { .. } => assert!(!matches!(entry.reply, Place::At(_) | Place::Gone)),
                State::Answered { .. } => {
                    assert!(matches!(entry.reply, Place::At(_)), "it is synced before it is given out");
                }
                State::Closing { .. } => {}
            }
        }
        for service in self.ledger.waited_for() {
            assert!(self.ledger.working(service) <= self.limits.working_max);
        }
        let waiting = self.jobs.keys().filter(|job| self.majordomo.pool.waits(**job)).count();
        assert!(
            waiting <= self.beside.len() + self.majordomo.pool.lost_len(),
            "a job waits that has no worker"
        );
    }
}
