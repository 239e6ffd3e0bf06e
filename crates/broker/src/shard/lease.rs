//! Leasing: which message a consumer is given next.

use swarmmq_protocol::error::ErrorReply;
use swarmmq_protocol::{Receipt, Sequence};

use crate::destination::Destination;
use crate::fault::fault;
use crate::group::dispatch::Dispatch;
use crate::group::lease::Lease;
use crate::plan::{LeaseRequest, Leased, Leases, Wakeup};
use crate::shard::volatile::Volatile;
use crate::shard::{Shard, unknown_destination, unknown_group};

/// Messages that one call looks at and passes over (behind their key, delayed, expired), so that no
/// call takes long.
const LOOKS_MAX: usize = 8192;

impl Shard {
    /// Leases messages, in the order of their priority and then of their sequence. In a key-ordered
    /// group, of each key only the first unsettled message.
    ///
    /// Only at the leader, and only after an entry of its own term was applied. A paused group, or one
    /// that has as many leases as it may, gives none.
    ///
    /// # Errors
    /// `UnknownDestination`, `UnknownGroup`.
    pub fn lease(&mut self, now_ms: u64, request: &LeaseRequest) -> Result<Leases, ErrorReply> {
        let LeaseRequest { destination: name, group, consumer, .. } = request;
        let destination = self.destinations.get_mut(name).ok_or_else(|| unknown_destination(name))?;
        let leases = destination
            .lease(now_ms, request, &mut self.volatile)
            .ok_or_else(|| unknown_group(name, group))?;
        if !leases.leased.is_empty() {
            let here = Wakeup { destination: name.clone(), group: group.clone() };
            self.volatile.consumers.entry(*consumer).or_default().insert(here);
        }
        self.arm_group(name, group);
        Ok(leases)
    }
}

/// What a look at a message says.
enum Look {
    /// It may be leased.
    Take,
    /// It is put aside: its time, or the one before it, brings it back.
    Pass,
}

impl Destination {
    fn lease(&mut self, now_ms: u64, request: &LeaseRequest, volatile: &mut Volatile) -> Option<Leases> {
        let group = self.groups.get_mut(&request.group)?;
        let floor = group.floor;
        let mut dispatch = group.dispatch.take().unwrap_or_else(|| Box::new(Dispatch::new(floor)));
        let mut leases = Leases::default();
        if !group.paused {
            let log = &self.log;
            dispatch.promote(now_ms, |sequence| log.get(sequence).map(|stored| stored.rank));
            leases = self.fill(now_ms, request, &mut dispatch, volatile);
        }
        self.groups.get_mut(&request.group)?.dispatch = Some(dispatch);
        Some(leases)
    }

    fn fill(
        &self,
        now_ms: u64,
        request: &LeaseRequest,
        dispatch: &mut Dispatch,
        volatile: &mut Volatile,
    ) -> Leases {
        let mut leases = Leases::default();
        let Some(group) = self.groups.get(&request.group) else { return leases };
        let lease_ms = if request.lease_ms == 0 { group.settings.lease_ms } else { request.lease_ms };
        let deadline_ms = now_ms.saturating_add(lease_ms);
        let leased_max = group.settings.leased_max as usize;
        let (mut bytes, mut looks) = (0_usize, 0_usize);
        while dispatch.leases.len() < leased_max {
            if leases.leased.len() >= request.messages_max || looks >= LOOKS_MAX {
                leases.more = true;
                break;
            }
            let fresh = dispatch.next_fresh(&self.log, group.floor, group.skip());
            let returned = dispatch.returned.first().copied();
            let Some((rank, sequence)) = returned.into_iter().chain(fresh).min() else { break };
            let is_returned = returned == Some((rank, sequence));
            let Some(stored) = self.log.get(sequence) else {
                dispatch.returned.remove(&(rank, sequence));
                continue;
            };
            if stored.expires_ms() <= now_ms && !fault!(ExpiredIsDelivered) {
                // The next tick retires it.
                dispatch.returned.remove(&(rank, sequence));
                if !is_returned {
                    dispatch.pass(rank, sequence + 1);
                }
                looks += 1;
                continue;
            }
            if !is_returned && let Look::Pass = self.look(sequence, &request.group, dispatch, now_ms) {
                looks += 1;
                continue;
            }
            let length = stored.length as usize;
            if !leases.leased.is_empty() && bytes + length > request.bytes_max {
                leases.more = true;
                break;
            }
            bytes += length;
            if is_returned {
                dispatch.returned.pop_first();
            } else {
                dispatch.pass(rank, sequence + 1);
            }
            let token = volatile.next_token();
            dispatch.insert_lease(sequence, Lease::new(token, request.consumer, deadline_ms));
            leases.leased.push(Leased {
                receipt: Receipt { sequence: Sequence(sequence), token },
                attempt: group.attempts_of(sequence).saturating_add(1),
                stored_ms: stored.stored_ms,
                location: stored.location(),
                check_filter: !group.settings.filter.is_empty(),
            });
        }
        leases
    }

    /// Looks at a fresh message; one that may not be leased now is passed and put where it belongs.
    fn look(
        &self,
        sequence: u64,
        group: &swarmmq_protocol::GroupName,
        dispatch: &mut Dispatch,
        now_ms: u64,
    ) -> Look {
        let (Some(stored), Some(group)) = (self.log.get(sequence), self.groups.get(group)) else {
            return Look::Pass;
        };
        let behind = group.is_behind_its_key(stored) && !fault!(KeyIsIgnored);
        let available_ms = group.available_ms(sequence, stored);
        let waits = available_ms > now_ms && !fault!(DelayIsIgnored);
        let leased = dispatch.leases.contains_key(&sequence);
        if !behind && !waits && !leased {
            return Look::Take;
        }
        dispatch.pass(stored.rank, sequence + 1);
        if waits && !behind && !leased {
            dispatch.waiting.insert((available_ms, sequence));
        }
        Look::Pass
    }
}
