//! Each rule is shown a history that breaks it and nothing else.

use super::*;

const KEY: Key = Key { producer: 1, number: 1 };
const NEXT: Key = Key { producer: 1, number: 2 };

/// A destination of which every message was put, delivered and acknowledged.
#[derive(Default)]
struct Story {
    history: History,
    clock: u64,
}

impl Story {
    fn now(&mut self) -> Moment {
        self.clock += 1;
        Moment(self.clock)
    }

    fn put(mut self, key: Key, outcome: Outcome) -> Self {
        let (began, ended) = (self.now(), self.now());
        let put = self.history.puts.entry(key).or_insert(Put { is_ordered: true, attempts: Vec::new() });
        put.attempts.push(Attempt { began, ended: Some((ended, outcome)) });
        self
    }

    fn stored(self, key: Key, sequence: u64) -> Self {
        self.put(key, Outcome::Stored { sequence, duplicate: false })
    }

    fn unordered(mut self) -> Self {
        self.history.puts.values_mut().for_each(|put| put.is_ordered = false);
        self
    }

    fn delivered(mut self, key: Key, sequence: u64, token: u64) -> Self {
        let at = self.now();
        let delivery = Delivery { at, key, sequence, token, attempt: 1 };
        self.group().deliveries.push(delivery);
        self
    }

    fn settled(mut self, key: Key, token: u64, kind: Kind, result: Result<(), &str>) -> Self {
        let (began, ended) = (self.now(), self.now());
        let ended = Some((ended, result.map_err(str::to_owned)));
        self.group().settlements.push(Settlement { began, key, token, kind, ended });
        self
    }

    fn acked(self, key: Key, token: u64) -> Self {
        self.settled(key, token, Kind::Ack, Ok(()))
    }

    fn dead(mut self, key: Key, sequence: u64) -> Self {
        let at = self.now();
        self.history.dead.push(Dead { at, key, sequence });
        self
    }

    fn group(&mut self) -> &mut Group {
        let group = self.history.groups.entry("default".into()).or_default();
        group.is_drained = true;
        group
    }

    fn broken(&self) -> Vec<Rule> {
        let mut rules: Vec<Rule> = check(&self.history).into_iter().map(|violation| violation.rule).collect();
        rules.dedup();
        rules
    }
}

fn unknown() -> Outcome {
    Outcome::Unknown("the connection was lost".into())
}

#[test]
fn a_history_as_it_should_be_breaks_nothing() {
    let story = Story::default()
        .stored(KEY, 1)
        .put(NEXT, unknown())
        .put(NEXT, Outcome::Stored { sequence: 2, duplicate: true })
        .delivered(KEY, 1, 7)
        .settled(KEY, 7, Kind::Nack, Ok(()))
        .delivered(KEY, 1, 8)
        .acked(KEY, 8)
        .delivered(NEXT, 2, 7)
        .settled(NEXT, 7, Kind::Reject, Err("the connection was lost"))
        .dead(NEXT, 1);
    assert_eq!(check(&story.history), []);
}

#[test]
fn an_unknown_or_refused_put_that_never_came_is_no_loss() {
    let mut story = Story::default().put(KEY, unknown()).put(NEXT, Outcome::Refused("DISK-FULL".into()));
    story.group();
    assert_eq!(story.broken(), []);
}

#[test]
fn an_acknowledged_message_that_never_came_is_lost() {
    let story = Story::default().stored(KEY, 1).stored(NEXT, 2).delivered(NEXT, 2, 7).acked(NEXT, 7);
    assert_eq!(story.broken(), [Rule::NothingLost]);
}

#[test]
fn an_acknowledged_message_that_one_of_two_groups_did_not_get_is_lost() {
    let mut story = Story::default().stored(KEY, 1).delivered(KEY, 1, 7).acked(KEY, 7);
    story.history.groups.insert("other".into(), Group { is_drained: true, ..Group::default() });
    assert_eq!(story.broken(), [Rule::NothingLost]);
}

#[test]
fn a_message_that_came_was_put_back_and_never_came_again_is_lost() {
    let story = Story::default().stored(KEY, 1).delivered(KEY, 1, 7).settled(KEY, 7, Kind::Nack, Ok(()));
    assert_eq!(story.broken(), [Rule::NothingLost]);
}

#[test]
fn an_acknowledged_message_that_is_not_in_the_log_is_lost() {
    let mut story = Story::default().stored(KEY, 1).stored(NEXT, 2);
    story.history.log = Some(vec![(2, NEXT)]);
    assert_eq!(story.broken(), [Rule::NothingLost]);
}

#[test]
fn a_group_that_was_not_drained_has_lost_nothing_yet() {
    let mut story = Story::default().stored(KEY, 1);
    story.group().is_drained = false;
    assert_eq!(story.broken(), []);
}

#[test]
fn a_delivery_of_what_nobody_put_is_invented() {
    let story = Story::default().delivered(KEY, 1, 7).acked(KEY, 7);
    assert_eq!(story.broken(), [Rule::NothingInvented]);
}

#[test]
fn a_payload_that_nobody_made_is_invented() {
    let mut story = Story::default();
    story.history.foreign.push("a payload of 3 bytes".into());
    assert_eq!(story.broken(), [Rule::NothingInvented]);
}

#[test]
fn a_refused_message_that_comes_is_found() {
    let refused = Outcome::Refused("DISK-FULL".into());
    let story = Story::default().put(KEY, refused).delivered(KEY, 1, 7).acked(KEY, 7);
    assert_eq!(story.broken(), [Rule::RefusedStaysAway]);
}

#[test]
fn a_message_refused_once_and_stored_later_may_come() {
    let refused = Outcome::Refused("DISK-FULL".into());
    let story = Story::default().put(KEY, refused).stored(KEY, 1).delivered(KEY, 1, 7).acked(KEY, 7);
    assert_eq!(story.broken(), []);
}

#[test]
fn a_retry_that_is_stored_beside_the_first_try_has_two_effects() {
    let story = Story::default().put(KEY, unknown()).stored(KEY, 5).delivered(KEY, 4, 7).acked(KEY, 7);
    assert_eq!(story.broken(), [Rule::OneEffect]);
}

#[test]
fn a_log_that_holds_a_message_twice_shows_two_effects() {
    let mut story = Story::default().stored(KEY, 1);
    story.history.log = Some(vec![(1, KEY), (2, KEY)]);
    assert_eq!(story.broken(), [Rule::OneEffect]);
}

#[test]
fn two_messages_answered_with_one_sequence_are_found() {
    let story = Story::default()
        .stored(KEY, 1)
        .stored(NEXT, 1)
        .unordered()
        .delivered(KEY, 1, 7)
        .acked(KEY, 7)
        .delivered(NEXT, 1, 8)
        .acked(NEXT, 8);
    assert_eq!(story.broken(), [Rule::OnePlaceOneMessage]);
}

#[test]
fn messages_of_a_session_that_overtake_each_other_are_found() {
    let story = || {
        Story::default()
            .stored(KEY, 2)
            .stored(NEXT, 1)
            .delivered(NEXT, 1, 7)
            .acked(NEXT, 7)
            .delivered(KEY, 2, 7)
            .acked(KEY, 7)
    };
    assert_eq!(story().broken(), [Rule::ProducerOrder]);
    assert_eq!(story().unordered().broken(), []);
}

#[test]
fn a_delivery_after_a_confirmed_acknowledgement_is_found() {
    let story = Story::default().stored(KEY, 1).delivered(KEY, 1, 7).acked(KEY, 7).delivered(KEY, 1, 8);
    assert_eq!(story.broken(), [Rule::AckedStaysAway]);
}

#[test]
fn a_delivery_under_an_earlier_lease_that_was_read_late_is_allowed() {
    let story = Story::default().stored(KEY, 1).delivered(KEY, 1, 8).acked(KEY, 8).delivered(KEY, 1, 7);
    assert_eq!(story.broken(), []);
}

#[test]
fn a_delivery_after_an_acknowledgement_that_was_not_confirmed_is_allowed() {
    let story = Story::default()
        .stored(KEY, 1)
        .delivered(KEY, 1, 7)
        .settled(KEY, 7, Kind::Ack, Err("stale"))
        .delivered(KEY, 1, 8)
        .acked(KEY, 8);
    assert_eq!(story.broken(), []);
}

#[test]
fn a_dead_letter_that_comes_twice_is_found() {
    let story = Story::default()
        .stored(KEY, 1)
        .delivered(KEY, 1, 7)
        .settled(KEY, 7, Kind::Reject, Ok(()))
        .dead(KEY, 1)
        .dead(KEY, 2);
    assert_eq!(story.broken(), [Rule::DeadOnce]);
}

#[test]
fn a_dead_letter_that_nobody_rejected_is_found() {
    let story = Story::default().stored(KEY, 1).delivered(KEY, 1, 7).dead(KEY, 1);
    assert_eq!(story.broken(), [Rule::DeadOnce]);
}

#[test]
fn the_account_of_a_message_tells_everything_in_order() {
    let story = Story::default().stored(KEY, 1).delivered(KEY, 1, 7).acked(KEY, 7).stored(NEXT, 2);
    let lines = account(&story.history, KEY);
    assert_eq!(lines.len(), 5);
    assert!(lines[1].contains("Stored"), "{lines:?}");
    assert!(lines[4].ends_with("ack of lease 7: confirmed"), "{lines:?}");
}
