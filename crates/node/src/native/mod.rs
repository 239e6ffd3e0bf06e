//! The listener and the sessions of the native protocol.
