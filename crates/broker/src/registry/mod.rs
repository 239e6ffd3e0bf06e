//! The registry of services: which instances there are, for as long as their leases last. Pure.
//!
//! ```text
//!              announce                       announce: the lease begins anew
//!  (unknown) ───────────▶ registered ◀────────────────┐
//!      ▲                      │  └─────────────────────┘
//!      └──────────────────────┘ withdraw, or the lease has run out
//! ```
//!
//! It is soft state of one node, not replicated: whoever is registered says so again and again, so that what
//! a restart forgets comes back by itself. A restart begins another *epoch*, by which a watcher can tell a
//! registry that has forgotten everything from one in which everything has died.
//!
//! Every change has a revision, and the last of them are kept. A watcher that remembers how far it has seen
//! gets what came behind, or everything, where that is not kept any more; it never misses anything.

mod history;
mod leases;
mod state;
#[cfg(test)]
mod tests;

pub use state::{Registry, RegistryFull, RegistryLimits};
