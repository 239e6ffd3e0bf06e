//! Leasing: which message a consumer is given next.

use swarmmq_protocol::error::ErrorReply;
use swarmmq_protocol::{Receipt, Sequence};

use crate::destination::Destination;
use crate::fault::fault;
use crate::group::Group;
use crate::group::dispatch::Dispatch;
use crate::group::lease::Lease;
use crate::log::{Log, RANK_DEFAULT, Stored, Walk};
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
        let now_ms = self.tell_time(now_ms);
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

impl Destination {
    fn lease(&mut self, now_ms: u64, request: &LeaseRequest, volatile: &mut Volatile) -> Option<Leases> {
        let group = self.groups.get_mut(&request.group)?;
        let floor = group.floor;
        let mut dispatch = group.dispatch.take().unwrap_or_else(|| Box::new(Dispatch::new(floor)));
        let mut leases = Leases::default();
        if !group.paused {
            let log = &self.log;
            dispatch.promote(now_ms, |sequence| log.get(sequence).map(|stored| stored.rank));
            leases = Lessor { now_ms, log, group, request }.fill(&mut dispatch, volatile);
        }
        group.dispatch = Some(dispatch);
        Some(leases)
    }
}

/// One call of a consumer; its group's dispatch is held apart.
struct Lessor<'a> {
    now_ms: u64,
    log: &'a Log,
    group: &'a Group,
    request: &'a LeaseRequest,
}

impl<'a> Lessor<'a> {
    fn fill(&self, dispatch: &mut Dispatch, volatile: &mut Volatile) -> Leases {
        let Self { now_ms, log, group, request } = *self;
        let mut leases = Leases::default();
        let lease_ms = if request.lease_ms == 0 { group.settings.lease_ms } else { request.lease_ms };
        let deadline_ms = now_ms.saturating_add(lease_ms);
        let leased_max = group.settings.leased_max as usize;
        let mut walk = log.walk(dispatch.cursor(RANK_DEFAULT).max(group.floor));
        let (mut bytes, mut looks) = (0_usize, 0_usize);
        while dispatch.leases.len() < leased_max {
            if leases.leased.len() >= request.messages_max || looks >= LOOKS_MAX {
                leases.more = true;
                break;
            }
            let Some((sequence, stored, is_fresh)) = self.next(dispatch, &mut walk) else { break };
            let rank = stored.rank;
            let pass = |dispatch: &mut Dispatch, walk: &mut Walk<'a>| match (is_fresh, rank) {
                (false, _) => {
                    dispatch.returned.remove(&(rank, sequence));
                }
                (true, RANK_DEFAULT) => {
                    dispatch.pass(rank, sequence + 1);
                    walk.step();
                }
                (true, _) => dispatch.pass(rank, sequence + 1),
            };
            if !self.may_be_leased(sequence, stored, is_fresh, dispatch) {
                looks += 1;
                pass(dispatch, &mut walk);
                continue;
            }
            let length = stored.length as usize;
            if !leases.leased.is_empty() && bytes + length > request.bytes_max {
                leases.more = true;
                break;
            }
            bytes += length;
            pass(dispatch, &mut walk);
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

    /// The next message in the order of delivery, and whether it is fresh.
    fn next(&self, dispatch: &mut Dispatch, walk: &mut Walk<'a>) -> Option<(u64, &'a Stored, bool)> {
        let Self { log, group, .. } = *self;
        loop {
            let fresh = dispatch.next_fresh(log, walk, group.floor, group.skip());
            let order = |rank: u8, sequence: u64| {
                if fault!(PriorityIsIgnored) { (0, sequence) } else { (rank, sequence) }
            };
            let returned = dispatch.returned.first().copied();
            match (returned, fresh) {
                (Some((rank, sequence)), fresh)
                    if fresh.is_none_or(|(other, fresh, _)| order(rank, sequence) < order(other, fresh)) =>
                {
                    if let Some(stored) = log.get(sequence) {
                        return Some((sequence, stored, false));
                    }
                    dispatch.returned.pop_first();
                }
                (_, Some((_, sequence, stored))) => return Some((sequence, stored, true)),
                (_, None) => return None,
            }
        }
    }

    /// Whether the message may be leased now. If not, it is to be passed, and is put where its time or
    /// the one before it brings it back.
    fn may_be_leased(&self, sequence: u64, stored: &Stored, is_fresh: bool, dispatch: &mut Dispatch) -> bool {
        let Self { now_ms, group, .. } = *self;
        // The next tick retires what has expired.
        if stored.expires_ms() <= now_ms && !fault!(ExpiredIsDelivered) {
            return false;
        }
        if !is_fresh {
            return true;
        }
        if dispatch.is_leased(sequence) || (group.is_behind_its_key(stored) && !fault!(KeyIsIgnored)) {
            return false;
        }
        let available_ms = group.available_ms(sequence, stored);
        if available_ms > now_ms && !fault!(DelayIsIgnored) {
            dispatch.waiting.insert((available_ms, sequence));
            return false;
        }
        true
    }
}
