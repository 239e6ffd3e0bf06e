//! A producer's messages stand in the log in the order it made them.

use std::collections::BTreeMap;

use crate::history::{Effect, Event};

pub(super) fn check(events: &[Event]) -> Result<(), String> {
    let mut places: BTreeMap<Effect, u64> = BTreeMap::new();
    for event in events {
        if let Event::Stored { effect, at, .. } | Event::Delivered { effect, at, .. } = event {
            places.insert(*effect, *at);
        }
    }
    let mut last: Option<(Effect, u64)> = None;
    for (effect, at) in places {
        if let Some((earlier, place)) = last
            && earlier.producer == effect.producer
            && place >= at
        {
            return Err(format!("{earlier:?} stands at {place}, {effect:?} at {at}"));
        }
        last = Some((effect, at));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_out_of_their_producers_order_are_found() {
        let stored = |producer, sequence, at| Event::Stored {
            effect: Effect { producer, sequence },
            at,
            duplicate: false,
        };
        assert!(check(&[stored(1, 1, 2), stored(1, 2, 1)]).is_err());
        assert!(check(&[stored(1, 1, 2), stored(2, 1, 1), stored(1, 2, 3)]).is_ok());
    }
}
