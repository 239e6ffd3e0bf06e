//! Laws of the code that neither the compiler nor clippy keeps.
//!
//! A rule is a function from the files of the project to findings, in a file named after it:
//!
//! | Rule | Keeps |
//! |---|---|
//! | `arrow` | a crate depends only on what `ARCHITECTURE.md` draws; pure crates on nothing impure |
//! | `name` | nothing is called `util`, `common`, `types`, … |
//! | `length` | files stay readable: talk at 500 lines, split at 800, tests not counted |
//! | `pure` | no clock, chance, file, socket, task or hash order in `protocol` and `broker` |
//! | `root` | `lib.rs` and `mod.rs` hold no logic |
//! | `sleep`, `ignored`, `unfinished` | tests wait for conditions, run, and what is called is written |
//! | `lints` | every package takes the workspace's lints |
//! | `patched` | what takes the place of a crate of the registry is what is built |
//! | `outside` | no machine's path, registry's host or tool's name |
//!
//! Each rule's tests show it fire.

mod arrows;
mod finding;
mod length;
mod lints;
mod names;
mod outside;
mod patched;
mod purity;
mod roots;
mod run;
mod source;
mod unfinished;

pub(crate) use run::run;
