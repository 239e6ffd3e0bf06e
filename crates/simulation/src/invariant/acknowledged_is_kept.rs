//! `acknowledged ⊆ delivered ∪ dead-lettered`, once everything has been drained; and nothing comes that
//! nobody sent. From the delivery guarantee of the design: an acknowledgement means synced.

use std::collections::BTreeSet;

use crate::history::Event;

pub(super) fn check(events: &[Event]) -> Result<(), String> {
    let mut sent = BTreeSet::new();
    let mut stored = BTreeSet::new();
    let mut came = BTreeSet::new();
    for event in events {
        match event {
            Event::Put { effect } => {
                sent.insert(*effect);
            }
            Event::Stored { effect, .. } => {
                stored.insert(*effect);
            }
            Event::Delivered { effect, .. } | Event::Dead { effect } => {
                came.insert(*effect);
            }
            _ => {}
        }
    }
    if let Some(lost) = stored.difference(&came).next() {
        let all = stored.difference(&came).count();
        return Err(format!("{lost:?} was acknowledged and never came ({all} such)"));
    }
    match came.difference(&sent).next() {
        Some(invented) => Err(format!("{invented:?} came and was never sent")),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::Effect;

    const EFFECT: Effect = Effect { producer: 1, sequence: 1 };

    #[test]
    fn a_lost_message_is_found() {
        let put = Event::Put { effect: EFFECT };
        let stored = Event::Stored { effect: EFFECT, at: 1, duplicate: false };
        let delivered = Event::Delivered { effect: EFFECT, at: 1, attempt: 1 };
        assert!(check(&[put.clone(), stored.clone()]).is_err());
        assert!(check(&[put.clone(), stored.clone(), Event::Dead { effect: EFFECT }]).is_ok());
        assert!(check(&[put, stored, delivered.clone()]).is_ok());
        assert!(check(&[delivered]).is_err(), "an invented message is found");
    }
}
