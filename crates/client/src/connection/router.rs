//! Which link leads to a destination.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;
use swarmmq_protocol::DestinationName;
use tokio_util::sync::CancellationToken;

use crate::connection::link::{Link, LinkCounters, Target};
use crate::connection::transport::Transport;
use crate::options::ClientOptions;

/// Most links besides the home link: a cluster has up to seven nodes, and one may have moved.
const LEADERS_MAX: usize = 8;
/// Most destinations whose leader is remembered. The others are asked for at the home link again.
const ROUTES_MAX: usize = 4096;

/// The links of a client: the home link, and those to leaders that the nodes have named.
pub(crate) struct Router {
    home: Arc<Link>,
    options: Arc<ClientOptions>,
    transport: Arc<Transport>,
    closing: CancellationToken,
    counters: Arc<LinkCounters>,
    routes: Mutex<Routes>,
}

#[derive(Default)]
struct Routes {
    leaders: HashMap<String, Arc<Link>>,
    by_destination: HashMap<DestinationName, Arc<Link>>,
}

impl Router {
    /// Starts the home link.
    pub(crate) fn start(
        options: Arc<ClientOptions>,
        transport: Transport,
        closing: CancellationToken,
        counters: Arc<LinkCounters>,
    ) -> Self {
        let transport = Arc::new(transport);
        let home = Link::start(
            Target::Home,
            options.clone(),
            transport.clone(),
            closing.child_token(),
            counters.clone(),
        );
        Self { home, options, transport, closing, counters, routes: Mutex::default() }
    }

    pub(crate) fn home(&self) -> &Arc<Link> {
        &self.home
    }

    /// The link to the leader of `destination`'s shard, as far as is known.
    pub(crate) fn link_for(&self, destination: Option<&DestinationName>) -> Arc<Link> {
        let Some(destination) = destination else { return self.home.clone() };
        let mut routes = self.routes.lock();
        match routes.by_destination.get(destination) {
            Some(link) if !link.is_closed() => link.clone(),
            Some(_) => {
                routes.by_destination.remove(destination);
                self.home.clone()
            }
            None => self.home.clone(),
        }
    }

    /// Learns from a node on `from` who leads the shard of `destination`. Says whether that is
    /// somewhere else.
    pub(crate) fn redirect(
        &self,
        destination: &DestinationName,
        from: &Arc<Link>,
        leader: Option<&str>,
    ) -> bool {
        let mut routes = self.routes.lock();
        let Some(leader) = leader else {
            // The node knows no leader. Ask the home link next time, which may be at another node.
            routes.by_destination.remove(destination);
            return !Arc::ptr_eq(from, &self.home);
        };
        if from.leads_to(leader) {
            return false;
        }
        if self.home.leads_to(leader) {
            routes.by_destination.remove(destination);
            return true;
        }
        let Some(link) = self.leader_link(&mut routes, leader) else { return false };
        if routes.by_destination.len() >= ROUTES_MAX {
            routes.by_destination.clear();
        }
        routes.by_destination.insert(destination.clone(), link);
        true
    }

    fn leader_link(&self, routes: &mut Routes, leader: &str) -> Option<Arc<Link>> {
        routes.leaders.retain(|_, link| !link.is_closed());
        if let Some(link) = routes.leaders.get(leader) {
            return Some(link.clone());
        }
        if routes.leaders.len() >= LEADERS_MAX || self.closing.is_cancelled() {
            return None;
        }
        let link = Link::start(
            Target::Leader(leader.to_owned()),
            self.options.clone(),
            self.transport.clone(),
            self.closing.child_token(),
            self.counters.clone(),
        );
        routes.leaders.insert(leader.to_owned(), link.clone());
        Some(link)
    }
}
