//! What a subscriber's message is.

use bytes::Bytes;

/// The first byte of a frame that subscribes.
pub(super) const SUBSCRIBE: u8 = 1;
/// The first byte of a frame that cancels a subscription.
pub(super) const CANCEL: u8 = 0;

/// A message of a subscriber.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Message<'a> {
    /// It subscribes to a prefix.
    Subscribe(&'a [u8]),
    /// It takes one subscription back.
    Cancel(&'a [u8]),
    /// It says something to the publishers.
    User,
}

impl<'a> Message<'a> {
    /// Reads a message: a subscription is one frame that begins with 1 or 0.
    pub(super) fn read(frames: &'a [Bytes]) -> Self {
        let [frame] = frames else { return Self::User };
        match frame.split_first() {
            Some((&SUBSCRIBE, prefix)) => Self::Subscribe(prefix),
            Some((&CANCEL, prefix)) => Self::Cancel(prefix),
            _ => Self::User,
        }
    }
}
