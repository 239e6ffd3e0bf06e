//! The shard against a plain model, over random histories; seeded faults; decoders; single behaviours.

mod behaviour;
mod decoders;
mod driver;
mod faults;
mod history;
mod model;
