//! Who is let in: how many connections there may be, by address and before their handshake is done.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;
use tracing::warn;

use super::drops::{Drops, Reason};
use super::options::Limits;
use super::session::SessionOptions;
use crate::telemetry::OperatorCode;

/// So many handshakes from one address may fail for a wrong key or password within [`FAILURE_WINDOW`]; then it has to wait
/// for the end of the window. A program with a wrong key that connects ten times a second does not get there.
const FAILURES_MAX: u32 = 200;
/// See [`FAILURES_MAX`].
const FAILURE_WINDOW: Duration = Duration::from_secs(10);
/// Addresses whose failures are counted at a time. Those of more are not.
const FAILED_ADDRESSES_MAX: usize = 10_000;

/// How many are there.
#[derive(Default)]
pub(super) struct Admission {
    counts: Mutex<Counts>,
}

#[derive(Default)]
struct Counts {
    connections: usize,
    handshakes: usize,
    per_address: HashMap<IpAddr, usize>,
    failures: HashMap<IpAddr, Failures>,
}

/// Handshakes from one address that failed for what was shown.
struct Failures {
    since: Instant,
    count: u32,
}

impl Admission {
    /// Lets a connection in, or counts why not.
    pub(super) fn admit(
        admission: &Arc<Self>,
        address: Option<IpAddr>,
        options: &SessionOptions,
    ) -> Option<(Slot, HandshakeSlot)> {
        // A socket for both versions of IP shows an address of the older one in the form of the newer.
        let address = address.map(|address| address.to_canonical());
        let refused = admission.count(address, &options.endpoint.limits).err();
        if let Some(reason) = refused {
            options.drops.count(reason);
            if let Some(silent) = options.drops.admits_line_of(reason) {
                let (endpoint, reason) = (&options.endpoint.name, reason.as_str());
                let address = address.map(tracing::field::display);
                let code = OperatorCode::ConnectionsAtLimit;
                warn!(%code, endpoint, address, reason, silent, "a ZeroMQ connection is closed: a limit is reached");
            }
            return None;
        }
        options.drops.listener().opened();
        let slot = Slot { admission: admission.clone(), address, drops: options.drops.clone() };
        Some((slot, HandshakeSlot { admission: admission.clone(), address }))
    }

    fn count(&self, address: Option<IpAddr>, limits: &Limits) -> Result<(), Reason> {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        if counts.connections >= limits.connections_max {
            return Err(Reason::ConnectionsMax);
        }
        if counts.handshakes >= limits.handshakes_max {
            return Err(Reason::HandshakesMax);
        }
        if let Some(address) = address {
            if counts.has_failed_too_often(address) {
                return Err(Reason::FailedTooOften);
            }
            let of_address = counts.per_address.entry(address).or_default();
            if *of_address >= limits.connections_per_address_max {
                return Err(Reason::ConnectionsPerAddressMax);
            }
            *of_address += 1;
        }
        counts.connections += 1;
        counts.handshakes += 1;
        Ok(())
    }
}

impl Counts {
    fn has_failed_too_often(&mut self, address: IpAddr) -> bool {
        let Some(failures) = self.failures.get(&address) else { return false };
        if failures.since.elapsed() >= FAILURE_WINDOW {
            self.failures.remove(&address);
            return false;
        }
        failures.count >= FAILURES_MAX
    }

    fn failed(&mut self, address: IpAddr) {
        if self.failures.len() >= FAILED_ADDRESSES_MAX {
            self.failures.retain(|_, failures| failures.since.elapsed() < FAILURE_WINDOW);
        }
        if self.failures.len() < FAILED_ADDRESSES_MAX || self.failures.contains_key(&address) {
            let new = || Failures { since: Instant::now(), count: 0 };
            self.failures.entry(address).or_insert_with(new).count += 1;
        }
    }
}

/// A connection's place.
pub(super) struct Slot {
    admission: Arc<Admission>,
    address: Option<IpAddr>,
    drops: Drops,
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.drops.listener().closed();
        let mut counts = self.admission.counts.lock().unwrap_or_else(PoisonError::into_inner);
        counts.connections -= 1;
        let Some(address) = self.address else { return };
        if let Some(of_address) = counts.per_address.get_mut(&address) {
            *of_address -= 1;
            if *of_address == 0 {
                counts.per_address.remove(&address);
            }
        }
    }
}

/// A connection's place among those that have not finished their handshake.
pub(super) struct HandshakeSlot {
    admission: Arc<Admission>,
    address: Option<IpAddr>,
}

impl HandshakeSlot {
    /// What the peer showed was refused.
    pub(super) fn failed(&self) {
        if let Some(address) = self.address {
            self.admission.counts.lock().unwrap_or_else(PoisonError::into_inner).failed(address);
        }
    }
}

impl Drop for HandshakeSlot {
    fn drop(&mut self) {
        self.admission.counts.lock().unwrap_or_else(PoisonError::into_inner).handshakes -= 1;
    }
}
