//! About how many bytes an answer holds in memory.

use swarmmq_protocol::info::{DestinationInfo, GroupInfo};
use swarmmq_protocol::response::{Delivery, Response};
use swarmmq_protocol::service::{Instance, InstanceKey, ServiceChange, ServiceNews, ServicesReply};
use swarmmq_protocol::settings::Condition;

/// What an answer holds beyond itself. An error is counted by whoever queues it.
pub(super) fn of_response(response: &Response) -> usize {
    match response {
        Response::Messages(deliveries) => of_deliveries(deliveries),
        Response::Destinations(infos) => infos.iter().map(of_destination).sum(),
        Response::Destination(info) => of_destination(info),
        Response::Services(reply) => of_services(reply),
        Response::Put(reply) => size_of_val(reply.runs.as_slice()),
        Response::Settled(reply) => size_of_val(reply.outcomes.as_slice()),
        _ => 0,
    }
}

/// What messages hold, with what is written around them.
pub(super) fn of_deliveries(deliveries: &[Delivery]) -> usize {
    deliveries.iter().map(|delivery| Delivery::OVERHEAD_BYTES + delivery.message.len()).sum()
}

fn of_destination(info: &DestinationInfo) -> usize {
    let groups: usize = info.groups.iter().map(of_group).sum();
    size_of::<DestinationInfo>() + info.name.as_str().len() + groups
}

fn of_group(group: &GroupInfo) -> usize {
    let filter: usize = group.settings.filter.iter().map(of_condition).sum();
    let dead_letter = group.settings.dead_letter.as_ref().map_or(0, |name| name.as_str().len());
    size_of::<GroupInfo>() + group.name.as_str().len() + dead_letter + filter
}

fn of_condition(condition: &Condition) -> usize {
    let held = match condition {
        Condition::KeyIs(bytes) | Condition::KeyStartsWith(bytes) => bytes.len(),
        Condition::HeaderIs(name, value) => name.len() + value.len(),
        _ => 0,
    };
    size_of::<Condition>() + held
}

fn of_services(reply: &ServicesReply) -> usize {
    match &reply.news {
        ServiceNews::All(all) => all.iter().map(of_instance).sum(),
        ServiceNews::Changes(changes) => changes.iter().map(of_change).sum(),
        _ => 0,
    }
}

fn of_change(change: &ServiceChange) -> usize {
    match change {
        ServiceChange::Registered(instance) => of_instance(instance),
        change => size_of::<ServiceChange>() + of_key(change.key()),
    }
}

fn of_key(key: &InstanceKey) -> usize {
    key.service.as_str().len() + key.id.as_str().len()
}

fn of_instance(instance: &Instance) -> usize {
    let entry = |(name, value): (&String, &String)| 2 * size_of::<String>() + name.len() + value.len();
    let metadata: usize = instance.metadata.iter().map(entry).sum();
    size_of::<Instance>() + of_key(&instance.key) + instance.endpoint.len() + metadata
}
