//! Destinations and groups: their settings on the command line, and how they are shown.
//!
//! `queue` and `stream` differ in what they offer, not in how it is done; what they share is here.

mod condition;
mod deed;
mod group_settings;
mod position;
mod record;
mod settings;
mod shown;

pub(crate) use deed::{Deeds, Removal};
pub(crate) use group_settings::{GroupChanges, StartArgument};
pub(crate) use position::position;
pub(crate) use record::GroupRecord;
pub(crate) use settings::DestinationChanges;
pub(crate) use shown::{group_facts, group_table};
