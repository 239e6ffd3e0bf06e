//! What is written where: results on standard output, everything else on standard error.
//!
//! A person gets tables, colours and progress; a program (`--json`) gets one JSON object a line, on both.

mod paint;
mod progress;
mod table;
mod text;
mod writer;

pub(crate) use paint::Paint;
pub(crate) use progress::Progress;
pub(crate) use table::{Column, Table};
pub(crate) use text::{Octets, printable};
pub(crate) use writer::{Console, write_object};
