//! The state of a `service` endpoint.

use swarmmq_protocol::zeromq::mdp::{
    self, BrokerCommand, ClientRequest, Framing, MdpError, ServiceName, ToBroker, WorkerCommand,
};

use super::dialect::{Back, Mdp};
use super::mmi;
use crate::exchange::pool::{Pool, PoolLimits, Refused};
use crate::exchange::{Drop, Exchange, Figure, Frames, PeerId, PeerInfo, Peers, Verb};

/// A Majordomo broker.
#[derive(Debug)]
pub struct Majordomo {
    pub(in crate::exchange) pool: Pool<Mdp>,
    /// Services that no worker may register for, beside those of management: whoever has the broker answers them.
    own: &'static [&'static str],
}

impl Majordomo {
    /// A broker without peers. `life` tells it from those that had its address before: a worker of theirs that replies
    /// late must not be taken for one of its own. Any number will do that is not used twice, as the time of the start.
    #[must_use]
    pub fn new(limits: PoolLimits, life: u64) -> Self {
        Self { pool: Pool::new(limits, life), own: &[] }
    }

    /// A broker as part of something that answers these services itself.
    pub(in crate::exchange) fn with_own(limits: PoolLimits, life: u64, own: &'static [&'static str]) -> Self {
        Self { pool: Pool::new(limits, life), own }
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

    /// A peer has sent this, after [`Pool::heard`] and [`Pool::advance`].
    pub(in crate::exchange) fn handle_parsed(
        &mut self,
        now_ms: u64,
        peer: PeerId,
        parsed: Result<ToBroker, MdpError>,
        peers: &mut dyn Peers,
    ) {
        match parsed {
            Ok(ToBroker::Client(request)) => self.handle_client(now_ms, peer, request, peers),
            Ok(ToBroker::Worker(framing, command)) => {
                self.handle_worker(now_ms, peer, framing, command, peers);
            }
            Err(_) => {
                peers.dropped(peer, Drop::Malformed);
                self.pool.dismiss(now_ms, peer, peers);
            }
        }
    }

    fn handle_client(&mut self, now_ms: u64, peer: PeerId, request: ClientRequest, peers: &mut dyn Peers) {
        let ClientRequest { version, address, service, body } = request;
        let back = Back::Client { version, address };
        if service.is_management() {
            return mmi::answer(&self.pool, self.own, peer, &back, &service, &body, peers);
        }
        if !peers.may(peer, Verb::Request, service.as_bytes()) {
            return peers.dropped(peer, Drop::Forbidden);
        }
        self.pool.request(now_ms, peer, service.detached().frame(), back, body, peers);
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
    fn attach(&mut self, _now_ms: u64, _peer: PeerId, _info: &PeerInfo, _peers: &mut dyn Peers) {}

    fn handle(&mut self, now_ms: u64, peer: PeerId, frames: Frames, peers: &mut dyn Peers) {
        // Whatever a worker says shows that it lives; only then is it asked who does not.
        self.pool.heard(now_ms, peer);
        self.pool.advance(now_ms, peers);
        self.handle_parsed(now_ms, peer, mdp::parse(&frames), peers);
    }

    fn detach(&mut self, now_ms: u64, peer: PeerId, peers: &mut dyn Peers) {
        self.pool.detach(now_ms, peer, peers);
    }

    fn drained(&mut self, now_ms: u64, peer: PeerId, peers: &mut dyn Peers) {
        self.pool.drained(now_ms, peer, peers);
    }

    fn accepts(&self, peer: PeerId, peers: &dyn Peers) -> bool {
        self.pool.accepts(peer, peers)
    }

    fn next_due(&self) -> Option<u64> {
        self.pool.next_due()
    }

    fn tick(&mut self, now_ms: u64, peers: &mut dyn Peers) {
        self.pool.advance(now_ms, peers);
    }

    fn figures(&self) -> Vec<(Figure, u64)> {
        self.pool.figures()
    }
}
