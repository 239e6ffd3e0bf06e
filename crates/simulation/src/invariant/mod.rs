//! What must hold of every history, one invariant a file.

mod acknowledged_is_kept;
mod done_is_done;
mod one_effect;
mod order;

use crate::history::Event;

/// An invariant: its name, and what breaks it in a history, if anything.
pub type Invariant = (&'static str, fn(&[Event]) -> Result<(), String>);

/// Every invariant.
pub const ALL: &[Invariant] = &[
    ("what was acknowledged is kept", acknowledged_is_kept::check),
    ("what was confirmed as done is not delivered again", done_is_done::check),
    ("a put has one effect however often it is sent", one_effect::check),
    ("a producer's messages are in its order", order::check),
];
