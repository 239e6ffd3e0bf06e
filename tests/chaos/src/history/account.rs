//! The story of one message, for whoever has to find out what went wrong.

use crate::history::{History, Key, Kind, Moment};

/// Most lines of the story of one message.
const LINES_MAX: usize = 60;

/// Everything recorded about a message, in the order in which it was seen.
pub(crate) fn account(history: &History, key: Key) -> Vec<String> {
    let mut lines: Vec<(Moment, String)> = Vec::new();
    for attempt in history.puts.get(&key).iter().flat_map(|put| &put.attempts) {
        lines.push((attempt.began, "put".into()));
        if let Some((at, outcome)) = &attempt.ended {
            lines.push((*at, format!("put: {outcome:?}")));
        }
    }
    for (name, group) in &history.groups {
        for delivery in group.deliveries.iter().filter(|delivery| delivery.key == key) {
            let text = format!(
                "group {name}: delivered from {} as number {} under lease {:x}",
                delivery.sequence, delivery.attempt, delivery.token
            );
            lines.push((delivery.at, text));
        }
        for settlement in group.settlements.iter().filter(|settlement| settlement.key == key) {
            let kind = match settlement.kind {
                Kind::Ack => "ack",
                Kind::Nack => "nack",
                Kind::Reject => "reject",
            };
            let what = format!("group {name}: {kind} of lease {:x}", settlement.token);
            lines.push((settlement.began, what.clone()));
            match &settlement.ended {
                Some((at, Ok(()))) => lines.push((*at, format!("{what}: confirmed"))),
                Some((at, Err(error))) => lines.push((*at, format!("{what}: {error}"))),
                None => {}
            }
        }
    }
    for dead in history.dead.iter().filter(|dead| dead.key == key) {
        lines.push((dead.at, format!("dead letter {}", dead.sequence)));
    }
    lines.sort();
    let mut lines: Vec<String> =
        lines.into_iter().take(LINES_MAX).map(|(Moment(at), text)| format!("{at:>10}  {text}")).collect();
    for (sequence, _) in history.log.iter().flatten().filter(|(_, logged)| *logged == key) {
        lines.push(format!("{:>10}  in the log at {sequence}", "end"));
    }
    lines
}
