//! The real program, as a user and a script meet it: arguments, exit codes, output, and a real node behind it.

mod administration;
mod commandline;
mod health;
mod messages;
mod node;
mod program;
mod starting;
