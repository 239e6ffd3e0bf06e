//! The connection to a node: made, kept alive, made again, and shared by all that speak through it.
//!
//! ```text
//!   Producer  Consumer  Settler  Calls        endpoints: each keeps what it still has to say
//!       └────────┴───┬─────┴───────┘
//!                  Link                       who has something to say; whether the node is there
//!                    │
//!                 Session                     one stream: frames out, frames in, answers to whom
//! ```
//!
//! An [`Endpoint`] says to its [`Link`] that it has something to send, once; when the stream can take
//! more, the session asks it for frames. So whatever is queued while a write is under way goes out
//! with the next one, and nothing is queued twice. Requests that were written and not answered when
//! the stream ends are given back to their endpoints, which decide whether to send them again.

mod calls;
mod endpoint;
mod link;
mod router;
mod session;
mod transport;

pub(crate) use calls::Call;
pub(crate) use endpoint::{Endpoint, Frames, Token};
pub(crate) use link::{Link, LinkCounters, Status};
pub(crate) use router::Router;
pub(crate) use transport::Transport;
