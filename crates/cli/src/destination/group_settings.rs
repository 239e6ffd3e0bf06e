//! Settings of groups on the command line.

use clap::{ArgAction, Args};
use swarmmq::{Condition, DestinationName, GroupSettings, Position};

use super::condition::condition;
use super::position::position;
use crate::quantity::milliseconds;

/// What the user says about a group; everything else stays as it is.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Settings of the group")]
pub(crate) struct GroupChanges {
    /// Time to acknowledge a message before it is delivered again
    #[arg(long, value_name = "DURATION", value_parser = milliseconds)]
    ack_timeout: Option<u64>,

    /// Deliveries after which a message is given up; 0: it is tried for ever
    #[arg(long, value_name = "N")]
    max_deliveries: Option<u32>,

    /// Where messages go that were given up or rejected
    #[arg(long, value_name = "NAME", conflicts_with = "no_dead_letter")]
    dead_letter: Option<DestinationName>,

    /// Drop, and count, messages that were given up or rejected
    #[arg(long)]
    no_dead_letter: bool,

    /// Wait before a redelivery, twice as long each further time
    #[arg(long, value_name = "DURATION", value_parser = milliseconds)]
    redelivery_delay: Option<u64>,

    /// Deliver the messages of one key in order, one at a time
    #[arg(long, value_name = "BOOL", num_args = 0..=1, default_missing_value = "true", action = ArgAction::Set)]
    key_ordered: Option<bool>,

    /// Most messages delivered and not acknowledged in the whole group
    #[arg(long, value_name = "N")]
    max_leased: Option<u32>,

    /// Deliver only messages that fulfil this: key=K, key^=PREFIX, header:NAME=VALUE, priority>=N; may be repeated
    #[arg(long = "filter", value_name = "CONDITION", value_parser = condition, conflicts_with = "no_filter")]
    filters: Vec<Condition>,

    /// Deliver all messages
    #[arg(long)]
    no_filter: bool,
}

impl GroupChanges {
    /// Whether the user said anything.
    pub(crate) fn is_empty(&self) -> bool {
        self.ack_timeout.is_none()
            && self.max_deliveries.is_none()
            && self.dead_letter.is_none()
            && !self.no_dead_letter
            && self.redelivery_delay.is_none()
            && self.key_ordered.is_none()
            && self.max_leased.is_none()
            && self.filters.is_empty()
            && !self.no_filter
    }

    pub(crate) fn apply(&self, settings: &mut GroupSettings) {
        settings.lease_ms = self.ack_timeout.unwrap_or(settings.lease_ms);
        settings.deliveries_max = self.max_deliveries.unwrap_or(settings.deliveries_max);
        settings.redelivery_delay_ms = self.redelivery_delay.unwrap_or(settings.redelivery_delay_ms);
        settings.key_ordered = self.key_ordered.unwrap_or(settings.key_ordered);
        settings.leased_max = self.max_leased.unwrap_or(settings.leased_max);
        if self.no_dead_letter || self.dead_letter.is_some() {
            settings.dead_letter.clone_from(&self.dead_letter);
        }
        if self.no_filter || !self.filters.is_empty() {
            settings.filter.clone_from(&self.filters);
        }
    }
}

/// Where a new group starts.
#[derive(Debug, Clone, Copy, Args)]
pub(crate) struct StartArgument {
    /// Where it starts: earliest, latest, a sequence as 42, a time as 2025-01-31T10:00:00Z, or an age as 2h
    #[arg(long, value_name = "POSITION", value_parser = position, default_value = "earliest")]
    pub(crate) start: Position,
}
