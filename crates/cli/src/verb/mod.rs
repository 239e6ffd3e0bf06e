//! The verbs, one a file.

pub(crate) mod bench;
pub(crate) mod completions;
pub(crate) mod consume;
pub(crate) mod group;
pub(crate) mod health;
pub(crate) mod journal;
pub(crate) mod key;
pub(crate) mod node;
pub(crate) mod produce;
pub(crate) mod queue;
pub(crate) mod services;
pub(crate) mod stream;
pub(crate) mod zeromq;
