//! Who may hold a connection: the bounds over all connections of a listener.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::sync::Arc;

use parking_lot::Mutex;
use swarmmq_protocol::{ErrorCode, ErrorReply};
use tokio::sync::{Notify, oneshot};

use crate::native::counters::NativeCounters;
use crate::native::options::NativeOptions;
use crate::telemetry::metrics::OpenConnection;

/// Counts connections and says whether one more may come.
///
/// A connection that has authenticated is never sent away for a new one. One that has not makes room:
/// when there are too many, the one that has waited longest goes, so that a flood of peers that say
/// nothing keeps nobody out who speaks at once.
pub struct Admission {
    connections_max: usize,
    connections_per_address_max: usize,
    handshakes_max: usize,
    state: Mutex<State>,
    left: Notify,
    counters: Arc<NativeCounters>,
}

#[derive(Default)]
struct State {
    connections: usize,
    by_address: HashMap<IpAddr, usize>,
    /// By age. Dropping a sender sends its connection away.
    half_open: BTreeMap<u64, (IpAddr, oneshot::Sender<()>)>,
    next: u64,
}

impl State {
    fn leave(&mut self, address: IpAddr) {
        self.connections -= 1;
        if let Some(count) = self.by_address.get_mut(&address) {
            *count -= 1;
            if *count == 0 {
                self.by_address.remove(&address);
            }
        }
    }

    fn evict_oldest(&mut self) -> bool {
        let Some((_, (address, _sender))) = self.half_open.pop_first() else { return false };
        self.leave(address);
        true
    }
}

impl Admission {
    pub(crate) fn new(options: &NativeOptions, counters: Arc<NativeCounters>) -> Arc<Self> {
        Arc::new(Self {
            connections_max: options.connections_max,
            connections_per_address_max: options.connections_per_address_max,
            handshakes_max: options.handshakes_max.max(1),
            state: Mutex::default(),
            left: Notify::new(),
            counters,
        })
    }

    /// Lets a connection from `address` in, as one that has not authenticated.
    ///
    /// # Errors
    /// `LIMIT-REACHED`, with the limit.
    pub fn enter(self: &Arc<Self>, address: IpAddr) -> Result<Permit, ErrorReply> {
        let address = address.to_canonical();
        let mut state = self.state.lock();
        let from_address = state.by_address.get(&address).copied().unwrap_or(0);
        if from_address >= self.connections_per_address_max {
            let text =
                format!("there are {from_address} connections from {address} already, which is the limit");
            return Err(ErrorReply::new(ErrorCode::LimitReached, text));
        }
        let is_full = state.connections >= self.connections_max;
        if (is_full || state.half_open.len() >= self.handshakes_max) && !state.evict_oldest() {
            let text = format!("there are {} connections already, which is the limit", state.connections);
            return Err(ErrorReply::new(ErrorCode::LimitReached, text));
        }
        state.connections += 1;
        *state.by_address.entry(address).or_default() += 1;
        let id = state.next;
        state.next += 1;
        let (sender, receiver) = oneshot::channel();
        state.half_open.insert(id, (address, sender));
        drop(state);
        let open = self.counters.listener.open();
        Ok(Permit {
            admission: self.clone(),
            address,
            id,
            standing: Standing::HalfOpen(receiver),
            _open: open,
        })
    }

    /// How many connections there are.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.state.lock().connections
    }

    /// How many of them have not authenticated.
    #[must_use]
    pub fn half_open(&self) -> usize {
        self.state.lock().half_open.len()
    }

    /// Waits until there is no connection.
    pub async fn emptied(&self) {
        loop {
            let left = self.left.notified();
            if self.connections() == 0 {
                return;
            }
            left.await;
        }
    }
}

/// A connection's place among those that may be. Dropping it gives the place back.
pub struct Permit {
    admission: Arc<Admission>,
    address: IpAddr,
    id: u64,
    standing: Standing,
    _open: OpenConnection,
}

enum Standing {
    HalfOpen(oneshot::Receiver<()>),
    Established,
}

impl Permit {
    /// Waits until the connection has to make room.
    pub(crate) async fn evicted(&mut self) {
        match &mut self.standing {
            Standing::HalfOpen(receiver) => drop(receiver.await),
            Standing::Established => std::future::pending().await,
        }
    }

    /// Makes it one that has authenticated, unless it was sent away in the meantime.
    #[must_use]
    pub(crate) fn establish(&mut self) -> bool {
        let stands = self.admission.state.lock().half_open.remove(&self.id).is_some();
        if stands {
            self.standing = Standing::Established;
        }
        stands
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let mut state = self.admission.state.lock();
        let counts = match self.standing {
            Standing::Established => true,
            // Whoever sent it away has counted it out.
            Standing::HalfOpen(_) => state.half_open.remove(&self.id).is_some(),
        };
        if counts {
            state.leave(self.address);
        }
        drop(state);
        self.admission.left.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::metrics::Metrics;

    const ADA: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 1));
    const BOB: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 2));

    fn admission(connections_max: usize, per_address: usize, handshakes_max: usize) -> Arc<Admission> {
        let options = NativeOptions {
            connections_max,
            connections_per_address_max: per_address,
            handshakes_max,
            ..NativeOptions::default()
        };
        Admission::new(&options, Arc::new(NativeCounters::new(Metrics::new(0))))
    }

    fn is_evicted(permit: &mut Permit) -> bool {
        match &mut permit.standing {
            Standing::HalfOpen(receiver) => receiver.try_recv() == Err(oneshot::error::TryRecvError::Closed),
            Standing::Established => false,
        }
    }

    #[test]
    fn the_oldest_half_open_connection_makes_room_for_a_new_one() {
        let admission = admission(10, 10, 2);
        let mut first = admission.enter(ADA).unwrap();
        let mut second = admission.enter(ADA).unwrap();
        assert!(second.establish(), "it does not count as half open any more");
        let mut third = admission.enter(ADA).unwrap();
        assert!(!is_evicted(&mut first));
        let _fourth = admission.enter(ADA).unwrap();
        assert!(is_evicted(&mut first) && !is_evicted(&mut second) && !is_evicted(&mut third));
        assert!(!first.establish(), "too late");
        assert_eq!((admission.connections(), admission.half_open()), (3, 2));
        drop(first);
        assert_eq!(admission.connections(), 3, "it was counted out when it was sent away");
    }

    #[test]
    fn established_connections_are_not_sent_away() {
        let admission = admission(2, 10, 10);
        let mut first = admission.enter(ADA).unwrap();
        let mut second = admission.enter(ADA).unwrap();
        assert!(first.establish() && second.establish());
        assert_eq!(admission.enter(BOB).err().unwrap().code, ErrorCode::LimitReached);
        drop(first);
        assert!(admission.enter(BOB).is_ok());
    }

    #[test]
    fn one_address_cannot_take_all() {
        let admission = admission(10, 2, 10);
        let permits = [admission.enter(ADA).unwrap(), admission.enter(ADA).unwrap()];
        assert!(admission.enter("::ffff:10.0.0.1".parse().unwrap()).is_err(), "it is the same address");
        assert!(admission.enter(BOB).is_ok());
        drop(permits);
        assert!(admission.enter(ADA).is_ok());
        assert_eq!(admission.connections(), 0);
    }

    #[tokio::test]
    async fn somebody_who_waits_hears_that_all_have_left() {
        let admission = admission(10, 10, 10);
        admission.emptied().await;
        let permit = admission.enter(ADA).unwrap();
        let waits = tokio::spawn({
            let admission = admission.clone();
            async move { admission.emptied().await }
        });
        tokio::task::yield_now().await;
        assert!(!waits.is_finished());
        drop(permit);
        waits.await.unwrap();
    }
}
