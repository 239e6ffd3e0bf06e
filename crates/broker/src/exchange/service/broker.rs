//! The state of a `service` endpoint.

use swarmmq_protocol::zeromq::mdp::{
    self, BrokerCommand, ClientRequest, Framing, MdpError, RequestId, ServiceName, ToBroker, WorkerCommand,
};

use super::dialect::{Back, Mdp};
use super::limits::RepeatLimits;
use super::mmi;
use super::repeats::{Asker, Repeats};
use crate::exchange::pool::{Pool, PoolLimits, Refused};
use crate::exchange::{Drop, Exchange, Figure, Frames, PeerId, PeerInfo, Peers, Verb, own};

/// A Majordomo broker.
#[derive(Debug)]
pub struct Majordomo {
    pub(in crate::exchange) pool: Pool<Mdp>,
    /// Services that no worker may register for, beside those of management: whoever has the broker answers them.
    own: &'static [&'static str],
    /// Requests that clients may repeat, if those are recognised.
    pub(super) repeats: Option<Repeats>,
    /// The last of the clients inside.
    insiders: u64,
}

impl Majordomo {
    /// A broker without peers. `life` tells it from those that had its address before: a worker of theirs that replies
    /// late must not be taken for one of its own. Any number will do that is not used twice, as the time of the start.
    #[must_use]
    pub fn new(limits: PoolLimits, life: u64) -> Self {
        Self::with_own(limits, life, &[])
    }

    /// A broker as part of something that answers these services itself.
    pub(in crate::exchange) fn with_own(limits: PoolLimits, life: u64, own: &'static [&'static str]) -> Self {
        Self { pool: Pool::new(limits, life), own, repeats: None, insiders: 0 }
    }

    /// The same, which recognises the requests that clients repeat, where that is not [off](RepeatLimits::keep_ms). To
    /// be called before any peer is there.
    #[must_use]
    pub fn deduplicating(self, limits: RepeatLimits) -> Self {
        Self { repeats: (limits.keep_ms > 0).then(|| Repeats::new(limits)), ..self }
    }

    /// A client inside that there was not before.
    pub(in crate::exchange) fn next_inside(&mut self) -> PeerId {
        self.insiders += 1;
        PeerId::inside(self.insiders)
    }

    /// Whether nobody can be a worker of a service, since the broker is.
    pub(in crate::exchange) fn is_own(&self, service: &ServiceName) -> bool {
        service.is_management() || self.own.iter().any(|own| own.as_bytes() == service.as_bytes())
    }

    /// Requests that are not answered.
    #[must_use]
    pub fn requests(&self) -> usize {
        self.pool.requests_len()
    }

    /// Registered workers.
    #[must_use]
    pub fn workers(&self) -> usize {
        self.pool.workers_len()
    }

    /// Services with a worker or a request.
    #[must_use]
    pub fn services(&self) -> usize {
        self.pool.services().count()
    }

    /// A peer has said something. Whatever a worker says shows that it lives; only then is it asked who does not.
    pub(in crate::exchange) fn hear(&mut self, now_ms: u64, peer: PeerId, peers: &mut dyn Peers) {
        self.pool.heard(now_ms, peer);
        self.tick(now_ms, peers);
    }

    /// A peer has sent this, after [`hear`](Self::hear).
    pub(in crate::exchange) fn handle_parsed(
        &mut self,
        now_ms: u64,
        peer: PeerId,
        parsed: Result<ToBroker, MdpError>,
        peers: &mut dyn Peers,
    ) {
        self.with_inside(now_ms, peers, |broker, peers| match parsed {
            Ok(ToBroker::Client(request)) => broker.handle_client(now_ms, peer, request, peers),
            Ok(ToBroker::Worker(framing, command)) => {
                broker.handle_worker(now_ms, peer, framing, command, peers);
            }
            Err(_) => {
                peers.dropped(peer, Drop::Malformed);
                broker.pool.dismiss(now_ms, peer, peers);
            }
        });
    }

    fn handle_client(&mut self, now_ms: u64, peer: PeerId, request: ClientRequest, peers: &mut dyn Peers) {
        let ClientRequest { version, address, service, mut body } = request;
        let back = Back::Client { version, address: own(&address) };
        if service.is_management() {
            return mmi::answer(&self.pool, self.own, peer, &back, &service, &body, peers);
        }
        if !peers.may(peer, Verb::Request, service.as_bytes()) {
            return peers.dropped(peer, Drop::Forbidden);
        }
        let service = service.detached().frame();
        let id = match self.repeats {
            Some(_) => RequestId::take_from(&mut body),
            None => Ok(None),
        };
        match id {
            Ok(None) => self.pool.request(now_ms, peer, service, back, body, peers),
            Ok(Some(id)) => self.request_once(now_ms, Asker { peer, back }, service, id, body, peers),
            Err(_) => peers.dropped(peer, Drop::Malformed),
        }
    }

    fn handle_worker(
        &mut self,
        now_ms: u64,
        peer: PeerId,
        framing: Framing,
        command: WorkerCommand,
        peers: &mut dyn Peers,
    ) {
        if let WorkerCommand::Disconnect = command {
            self.pool.leave(now_ms, peer, peers);
            return self.pool.mark_former(peer);
        }
        match self.pool.form_of(peer) {
            // A worker does not change its version on the way.
            Some(form) if form.version != framing.version => {
                peers.dropped(peer, Drop::Unexpected);
                return self.pool.dismiss(now_ms, peer, peers);
            }
            Some(_) => {}
            None => return self.handle_stranger(now_ms, peer, framing, command, peers),
        }
        let (tag, is_final, body) = match command {
            WorkerCommand::Heartbeat | WorkerCommand::Disconnect => return,
            WorkerCommand::Ready { .. } => {
                peers.dropped(peer, Drop::Unexpected);
                return self.pool.dismiss(now_ms, peer, peers);
            }
            WorkerCommand::Partial { client, body } => (client, false, body),
            WorkerCommand::Final { client, body } => (client, true, body),
        };
        if self.pool.reply(now_ms, peer, &tag, is_final, body, peers).is_err() {
            peers.dropped(peer, Drop::Unexpected);
            self.pool.dismiss(now_ms, peer, peers);
        }
    }

    /// A peer that is no worker, or none any more, speaks like one.
    fn handle_stranger(
        &mut self,
        now_ms: u64,
        peer: PeerId,
        framing: Framing,
        command: WorkerCommand,
        peers: &mut dyn Peers,
    ) {
        let refusal = match command {
            WorkerCommand::Ready { service } => self.register(now_ms, peer, framing, &service, peers).err(),
            WorkerCommand::Partial { .. } | WorkerCommand::Final { .. } => Some(Drop::Unexpected),
            // It carries nothing that could be lost.
            WorkerCommand::Heartbeat | WorkerCommand::Disconnect => None,
        };
        if let Some(reason) = refusal {
            peers.dropped(peer, reason);
        }
        let is_told = self.pool.form_of(peer).is_some() || self.pool.is_former(peer);
        if !is_told && !peers.room(peer).is_full() {
            self.pool.mark_former(peer);
            peers.send(peer, BrokerCommand::Disconnect.encode(framing));
        }
    }

    fn register(
        &mut self,
        now_ms: u64,
        peer: PeerId,
        framing: Framing,
        service: &ServiceName,
        peers: &mut dyn Peers,
    ) -> Result<(), Drop> {
        // What it was before does not count when it begins anew; a refusal is answered again.
        self.pool.forget_former(peer);
        if self.is_own(service) || !peers.may(peer, Verb::Serve, service.as_bytes()) {
            return Err(Drop::Forbidden);
        }
        let registered = self.pool.register(now_ms, peer, service.detached().frame(), framing, peers);
        registered.map_err(|refused| match refused {
            Refused::Twice => Drop::Unexpected,
            Refused::LimitReached => Drop::LimitReached,
        })
    }
}

impl Exchange for Majordomo {
    fn attach(&mut self, _now_ms: u64, peer: PeerId, info: &PeerInfo, _peers: &mut dyn Peers) {
        if let Some(repeats) = &mut self.repeats {
            repeats.attach(peer, info.user.clone());
        }
    }

    fn handle(&mut self, now_ms: u64, peer: PeerId, frames: Frames, peers: &mut dyn Peers) {
        self.hear(now_ms, peer, peers);
        self.handle_parsed(now_ms, peer, mdp::parse(&frames), peers);
    }

    fn detach(&mut self, now_ms: u64, peer: PeerId, peers: &mut dyn Peers) {
        if let Some(repeats) = &mut self.repeats {
            repeats.detach(peer);
        }
        self.with_inside(now_ms, peers, |broker, peers| broker.pool.detach(now_ms, peer, peers));
    }

    fn drained(&mut self, now_ms: u64, peer: PeerId, peers: &mut dyn Peers) {
        self.with_inside(now_ms, peers, |broker, peers| broker.pool.drained(now_ms, peer, peers));
        self.give_what_is_owed(peer, peers);
    }

    fn rights_changed(&mut self, now_ms: u64, peer: PeerId, peers: &mut dyn Peers) {
        self.with_inside(now_ms, peers, |broker, peers| broker.pool.rights_changed(now_ms, peer, peers));
    }

    fn accepts(&self, peer: PeerId, peers: &dyn Peers) -> bool {
        let besides = self.repeats.as_ref().map_or(0, |repeats| repeats.waiting_of(peer));
        let is_worker = self.pool.form_of(peer).is_some();
        self.pool.accepts(peer, peers) && (is_worker || self.pool.may_ask(peer, besides))
    }

    fn next_due(&self) -> Option<u64> {
        let forgets_ms = self.repeats.as_ref().and_then(Repeats::next_due);
        self.pool.next_due().into_iter().chain(forgets_ms).min()
    }

    fn tick(&mut self, now_ms: u64, peers: &mut dyn Peers) {
        self.with_inside(now_ms, peers, |broker, peers| broker.pool.advance(now_ms, peers));
        self.forget_old(now_ms, peers);
    }

    fn figures(&self) -> Vec<(Figure, u64)> {
        let mut figures = self.pool.figures();
        figures.extend(self.repeats.as_ref().map(|repeats| (Figure::KeptReplies, repeats.kept() as u64)));
        figures
    }
}
