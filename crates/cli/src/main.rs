//! The `swarmmq` program.
fn main() {}
