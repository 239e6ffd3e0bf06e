//! Taps: the messages of an endpoint, or a sample of them, for somebody who watches. The Guide's Espresso.
//!
//! ```text
//!   session of the tapped endpoint ──copy──▶ queue of the tap ──▶ its task ──▶ XPUB, or a destination
//!                 │                            full: counted
//!                 ▼
//!          where the message goes anyway
//! ```
//!
//! A session looks at its endpoint's [`Point`] for each message: one load where nobody watches. A mirrored message is
//! copied, so that a tap that falls behind holds no buffers of others, and put into a queue with bounds. Nothing ever
//! waits for a tap: what its queue does not take is counted, and the numbers of the messages show the gap.
//!
//! A tap comes and goes without the endpoint that it watches being touched, and an endpoint that is started anew is
//! watched again: a point belongs to the endpoint's name.

mod mirror;
mod point;
mod sink;

pub(super) use mirror::Mirror;
pub(super) use point::{Direction, Point, Points};
pub(super) use sink::{Sink, run};
