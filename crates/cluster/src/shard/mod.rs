//! A shard on this node: its state machine, and the tasks that serve it.
//!
//! ```text
//! submit ─► proposals ─► proposer: one entry of many commands ─► consensus ─► apply ─► answers
//!                                                                              │
//!             takers ◄── dispatcher: leases, reads the journal, delivers ◄─────┤ ready
//!                              └─ time: expired leases, ticks ─► proposals     │
//!                         forwarder: dead letters to other shards ◄────────────┤ outbox
//!                            keeper: leadership, snapshots ◄───────────────────┘
//! ```

mod dispatcher;
mod forwarder;
mod keeper;
mod machine;
mod payloads;
mod proposal;
mod proposer;
mod running;
mod state;
mod submit;
mod takers;
mod window;

pub(crate) use proposal::Waiting;
pub(crate) use running::Running;
pub(crate) use state::{Shard, ShardOptions};
pub(crate) use takers::Subscription;
pub(crate) use window::{Freed, SessionWindow};
