//! Making, changing and removing destinations and groups.

use swarmmq_protocol::error::{ErrorCode, ErrorReply};
use swarmmq_protocol::settings::{DestinationSettings, GroupSettings, Position};
use swarmmq_protocol::{DestinationName, GroupName};

use crate::destination::Destination;
use crate::fault::fault;
use crate::group::Group;
use crate::shard::{Shard, unknown_destination, unknown_group};
use crate::work::Work;

type Done = Result<(), ErrorReply>;

impl Shard {
    pub(super) fn create_destination(
        &mut self,
        name: &DestinationName,
        settings: &DestinationSettings,
        group: &GroupSettings,
        work: &mut Work,
    ) -> Done {
        if let Some(existing) = self.destinations.get(name) {
            return same_settings(existing.settings == *settings, &format!("destination {name}"));
        }
        settings.validate().map_err(invalid)?;
        let mut destination = Destination::new(name.clone(), settings.clone());
        if destination.is_queue() {
            group.validate(name).map_err(invalid)?;
        }
        if self.destinations.len() as u64 >= self.limits.destinations_max {
            return Err(ErrorReply::new(
                ErrorCode::LimitReached,
                format!("shard {} has {} destinations, its limit", self.shard, self.destinations.len()),
            ));
        }
        if destination.is_queue() {
            let generation = self.take_generation();
            destination.add_group(GroupName::default_group(), group.clone(), generation, work);
        }
        self.destinations.insert(name.clone(), destination);
        Ok(())
    }

    pub(super) fn update_destination(
        &mut self,
        name: &DestinationName,
        settings: &DestinationSettings,
        work: &mut Work,
    ) -> Done {
        let destination = self.destinations.get_mut(name).ok_or_else(|| unknown_destination(name))?;
        settings.validate().map_err(invalid)?;
        if destination.settings.kind != settings.kind {
            return Err(ErrorReply::new(
                ErrorCode::InvalidSettings,
                format!("the kind of {name} cannot be changed: delete it and create it anew"),
            ));
        }
        destination.settings = settings.clone();
        destination.retire(work);
        self.volatile.arm_retention(destination, work.now_ms);
        Ok(())
    }

    pub(super) fn delete_destination(&mut self, name: &DestinationName, work: &mut Work) -> Done {
        let mut destination = self.destinations.remove(name).ok_or_else(|| unknown_destination(name))?;
        destination.empty(work);
        self.volatile.disarm(&mut destination);
        let error = ErrorReply::new(ErrorCode::UnknownDestination, format!("{name} was deleted"));
        for group in destination.groups.into_keys() {
            work.group_gone(name, group, error.clone());
        }
        Ok(())
    }

    pub(super) fn purge_destination(&mut self, name: &DestinationName, work: &mut Work) -> Done {
        let destination = self.destinations.get_mut(name).ok_or_else(|| unknown_destination(name))?;
        destination.purge(work);
        Ok(())
    }

    pub(super) fn create_group(
        &mut self,
        name: &DestinationName,
        group: &GroupName,
        settings: &GroupSettings,
        work: &mut Work,
    ) -> Done {
        let groups_max = self.limits.groups_max as usize;
        let generation = self.next_generation;
        let destination = self.destinations.get_mut(name).ok_or_else(|| unknown_destination(name))?;
        if destination.is_queue() {
            return Err(unsupported(format!(
                "{name} is a queue and has exactly one group, default: update that, or create a stream"
            )));
        }
        if let Some(existing) = destination.groups.get(group) {
            return same_settings(existing.settings == *settings, &format!("group {group} of {name}"));
        }
        settings.validate(name).map_err(invalid)?;
        if destination.groups.len() >= groups_max {
            return Err(ErrorReply::new(
                ErrorCode::LimitReached,
                format!("{name} has {groups_max} groups, the limit"),
            ));
        }
        destination.add_group(group.clone(), settings.clone(), generation, work);
        self.next_generation += 1;
        Ok(())
    }

    pub(super) fn update_group(
        &mut self,
        name: &DestinationName,
        group: &GroupName,
        settings: &GroupSettings,
        work: &mut Work,
    ) -> Done {
        let found = self.group_mut(name, group)?;
        settings.validate(name).map_err(invalid)?;
        let order_changed = found.settings.key_ordered != settings.key_ordered;
        found.settings = settings.clone();
        let floor = found.floor;
        if order_changed && let Some(dispatch) = &mut found.dispatch {
            dispatch.look_again(floor);
        }
        if found.is_attended() {
            work.wake(name, group);
        }
        Ok(())
    }

    pub(super) fn delete_group(
        &mut self,
        name: &DestinationName,
        group: &GroupName,
        work: &mut Work,
    ) -> Done {
        let destination = self.destinations.get_mut(name).ok_or_else(|| unknown_destination(name))?;
        if destination.is_queue() {
            return Err(unsupported(format!(
                "{name} is a queue and keeps its group default: delete the queue"
            )));
        }
        destination.groups.remove(group).ok_or_else(|| unknown_group(name, group))?;
        let error = ErrorReply::new(ErrorCode::UnknownGroup, format!("group {group} of {name} was deleted"));
        work.group_gone(name, group.clone(), error);
        Ok(())
    }

    pub(super) fn pause_group(
        &mut self,
        name: &DestinationName,
        group: &GroupName,
        paused: bool,
        work: &mut Work,
    ) -> Done {
        let found = self.group_mut(name, group)?;
        found.paused = paused;
        if found.is_attended() {
            work.wake(name, group);
        }
        Ok(())
    }

    pub(super) fn reset_group(
        &mut self,
        name: &DestinationName,
        group: &GroupName,
        to: Position,
        work: &mut Work,
    ) -> Done {
        let generation = self.next_generation;
        let destination = self.destinations.get_mut(name).ok_or_else(|| unknown_destination(name))?;
        let floor = destination.resolve(to);
        let found = destination.groups.get_mut(group).ok_or_else(|| unknown_group(name, group))?;
        if fault!(ResetKeepsLeases) {
            found.floor = floor;
            return Ok(());
        }
        found.restart(floor, generation, work.token_bound, work.token_bound_here);
        self.next_generation += 1;
        if found.is_attended() {
            work.wake(name, group);
        }
        // A queue lets go what its group was reset past.
        destination.retire(work);
        self.volatile.arm_retention(destination, work.now_ms);
        Ok(())
    }

    fn group_mut(&mut self, name: &DestinationName, group: &GroupName) -> Result<&mut Group, ErrorReply> {
        let destination = self.destinations.get_mut(name).ok_or_else(|| unknown_destination(name))?;
        destination.groups.get_mut(group).ok_or_else(|| unknown_group(name, group))
    }

    fn take_generation(&mut self) -> u64 {
        let generation = self.next_generation;
        self.next_generation += 1;
        generation
    }
}

fn same_settings(same: bool, what: &str) -> Done {
    if same {
        return Ok(());
    }
    Err(ErrorReply::new(
        ErrorCode::AlreadyExists,
        format!("{what} exists with other settings: update it, or ask for the settings it has"),
    ))
}

fn invalid(explanation: String) -> ErrorReply {
    ErrorReply::new(ErrorCode::InvalidSettings, explanation)
}

fn unsupported(explanation: String) -> ErrorReply {
    ErrorReply::new(ErrorCode::Unsupported, explanation)
}
