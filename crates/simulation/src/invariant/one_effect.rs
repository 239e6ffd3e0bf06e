//! One place in the log for each (producer, sequence), whatever was retried; and each place holds one.

use std::collections::BTreeMap;

use crate::history::{Effect, Event};

pub(super) fn check(events: &[Event]) -> Result<(), String> {
    let mut places: BTreeMap<Effect, u64> = BTreeMap::new();
    let mut holds: BTreeMap<u64, Effect> = BTreeMap::new();
    let mut dead: BTreeMap<Effect, u64> = BTreeMap::new();
    for event in events {
        let (effect, at) = match event {
            Event::Stored { effect, at, .. } | Event::Delivered { effect, at, .. } => (effect, at),
            Event::Dead { effect } => {
                let times = dead.entry(*effect).or_default();
                *times += 1;
                if *times > 1 {
                    return Err(format!("{effect:?} came to the dead letters {times} times"));
                }
                continue;
            }
            _ => continue,
        };
        let place = places.entry(*effect).or_insert(*at);
        if place != at {
            return Err(format!("{effect:?} stands at {place} and at {at}"));
        }
        let held = holds.entry(*at).or_insert(*effect);
        if held != effect {
            return Err(format!("sequence {at} holds {held:?} and {effect:?}"));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_effect_of_a_put_is_found() {
        let effect = Effect { producer: 1, sequence: 1 };
        let first = Event::Stored { effect, at: 1, duplicate: false };
        let second = Event::Delivered { effect, at: 2, attempt: 1 };
        assert!(check(&[first.clone(), second]).is_err());
        let other = Event::Stored { effect: Effect { producer: 2, sequence: 1 }, at: 1, duplicate: false };
        assert!(check(&[first.clone(), other]).is_err(), "two messages at one place are found");
        assert!(check(&[first, Event::Stored { effect, at: 1, duplicate: true }]).is_ok());
        assert!(check(&[Event::Dead { effect }, Event::Dead { effect }]).is_err());
    }
}
