//! Subscriptions on the wire: a command in ZMTP 3.1, a message in ZMTP 3.0 (RFC 37, RFC 23).
//!
//! ```text
//!   3.0, and what an exchange sees   one frame: 1 | prefix        one frame: 0 | prefix
//!   3.1                              command SUBSCRIBE, prefix    command CANCEL, prefix
//! ```

use bytes::{BufMut, Bytes, BytesMut};
use omq_proto::proto::command::Command;

const CANCEL: u8 = 0;
const SUBSCRIBE: u8 = 1;

/// The message that a command of a subscriber stands for, if it is about subscriptions.
pub(super) fn message_of(command: &Command) -> Option<Vec<Bytes>> {
    let (first, prefix) = match command {
        Command::Subscribe(prefix) => (SUBSCRIBE, prefix),
        Command::Cancel(prefix) => (CANCEL, prefix),
        _ => return None,
    };
    let mut frame = BytesMut::with_capacity(prefix.len() + 1);
    frame.put_u8(first);
    frame.put_slice(prefix);
    Some(vec![frame.freeze()])
}

/// The command that a message to a publisher stands for, if it is about subscriptions.
pub(super) fn command_of(frames: &[Bytes]) -> Option<Command> {
    let [frame] = frames else { return None };
    match frame.first() {
        Some(&SUBSCRIBE) => Some(Command::Subscribe(frame.slice(1..))),
        Some(&CANCEL) => Some(Command::Cancel(frame.slice(1..))),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_and_messages_stand_for_each_other() {
        for prefix in ["", "news."] {
            let prefix = Bytes::from_static(prefix.as_bytes());
            for command in [Command::Subscribe(prefix.clone()), Command::Cancel(prefix)] {
                let frames = message_of(&command).unwrap();
                assert_eq!(format!("{:?}", command_of(&frames)), format!("{:?}", Some(command)));
            }
        }
        assert!(message_of(&Command::Join(Bytes::new())).is_none());
        let frame = Bytes::from_static(b"\x01a");
        for other in [vec![], vec![Bytes::new()], vec![frame.slice(1..)], vec![frame.clone(), frame]] {
            assert!(command_of(&other).is_none());
        }
    }
}
