//! Servers, a reference and a network, all in one thread.
