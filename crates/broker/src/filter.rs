//! Which messages a group wants.

use swarmmq_protocol::Message;
use swarmmq_protocol::settings::Condition;

/// Whether every one of `conditions` holds for `message`. No condition: it does.
///
/// The state machine cannot read messages, so the leader's shell asks this for what it leased, and
/// acknowledges what does not match. A condition of a kind this program does not know does not hold.
#[must_use]
pub fn matches(conditions: &[Condition], message: &Message) -> bool {
    conditions.iter().all(|condition| holds(condition, message))
}

fn holds(condition: &Condition, message: &Message) -> bool {
    match condition {
        Condition::KeyIs(key) => message.key.as_ref() == Some(key),
        Condition::KeyStartsWith(prefix) => message.key.as_ref().is_some_and(|key| key.starts_with(prefix)),
        Condition::HeaderIs(name, value) => {
            message.headers.iter().any(|header| header.name == *name && header.value == *value)
        }
        Condition::PriorityAtLeast(priority) => message.priority >= *priority,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    #[test]
    fn every_condition_must_hold() {
        let message = Message::new("x").key("eu/1").priority(7).header("type", "a").header("type", "b");
        let key = Condition::KeyIs(Bytes::from_static(b"eu/1"));
        let prefix = Condition::KeyStartsWith(Bytes::from_static(b"eu/"));
        let header = Condition::HeaderIs("type".into(), Bytes::from_static(b"b"));
        assert!(matches(&[], &message));
        assert!(matches(&[key, prefix, header, Condition::PriorityAtLeast(7)], &message));
        assert!(!matches(&[Condition::PriorityAtLeast(8)], &message));
        assert!(!matches(&[Condition::KeyIs(Bytes::from_static(b"eu/"))], &message));
        assert!(!matches(&[Condition::HeaderIs("other".into(), Bytes::new())], &message));
        assert!(!matches(&[Condition::KeyStartsWith(Bytes::new())], &Message::new("x")), "it has no key");
    }
}
