//! Publish and subscribe (RFC 29): a proxy between publishers and subscribers, with a last value for each topic.
//!
//! ```text
//!   PUB, XPUB ── publications ──▶ Front ┌────────┐ Back ── publications, last values ──▶ SUB, XSUB
//!             ◀── subscriptions ──      │ PubSub │      ◀── subscriptions, messages ──
//!                                       └────────┘
//! ```
//!
//! To its publishers it is an XSUB, to its subscribers an XPUB.
//!
//! # Subscriptions
//!
//! A subscription is a message of one frame: byte 1, to subscribe, or 0, to cancel, and a prefix. They are counted: two
//! subscriptions to a prefix need two cancellations. A publication goes to everybody who holds a prefix of its first
//! frame, once, however many of his prefixes match. Whoever has no room in his queue misses it.
//!
//! Who subscribes to a prefix needs the right to subscribe to all topics that begin with it: a topic is not asked about
//! again when it is published. Who loses that right is disconnected.
//!
//! The first subscription to a prefix and the last cancellation go to all publishers, and a publisher that connects is
//! told all that hold. None of these is dropped: what a publisher's queue does not take is sent when it has room.
//!
//! Any other message of a subscriber, of several frames or with another first byte, goes to all publishers as it is, as
//! a proxy of XPUB and XSUB does it; whoever sends one needs the right to publish on its first frame.
//!
//! # Last values
//!
//! If the endpoint keeps them, the last publication of each topic is sent to whoever subscribes later. The topic is the
//! whole first frame; a publication of one frame has no value, and is passed on and not kept.
//!
//! - Who subscribes to a prefix gets the value of every topic that begins with it, in the order of their last updates,
//!   and then updates in their order. It does not get those of topics that match another prefix it holds: these it
//!   has, or is owed. To subscribe again to the same prefix is to ask for the values again.
//! - As long as the values do not all fit in the subscriber's queue it is *behind*: they are sent as it takes them, and
//!   what is published on its topics waits behind them. A topic has one place there, and it is that of its last
//!   update. So no value follows a newer one, and who has caught up misses the last value of no topic. An update that
//!   another replaced there is counted as dropped.
//! - What is kept is bounded by count, bytes and age. The least recently updated topic goes first.
//! - The publishers are then told one subscription, to everything.

mod last_values;
mod limits;
mod message;
mod proxy;
mod subscriber;
#[cfg(test)]
mod tests;
mod trie;
mod upstream;

pub use last_values::VALUE_BYTES;
pub use limits::{PubSubLimits, SUBSCRIPTION_BYTES};
pub use proxy::PubSub;
