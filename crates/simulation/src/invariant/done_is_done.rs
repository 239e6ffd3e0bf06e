//! A message whose acknowledgement or rejection was confirmed is not delivered afterwards.

use std::collections::BTreeSet;

use crate::history::Event;

pub(super) fn check(events: &[Event]) -> Result<(), String> {
    let mut done = BTreeSet::new();
    for event in events {
        match event {
            Event::Acked { at } | Event::Rejected { at } => {
                done.insert(*at);
            }
            Event::Delivered { at, attempt, .. } if done.contains(at) => {
                return Err(format!(
                    "sequence {at} was delivered (attempt {attempt}) after it was confirmed as done"
                ));
            }
            _ => {}
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::Effect;

    #[test]
    fn a_delivery_after_a_confirmed_acknowledgement_is_found() {
        let effect = Effect { producer: 1, sequence: 1 };
        let delivered = Event::Delivered { effect, at: 4, attempt: 2 };
        assert!(check(&[Event::Acked { at: 4 }, delivered.clone()]).is_err());
        assert!(check(&[delivered, Event::Acked { at: 4 }]).is_ok());
    }
}
