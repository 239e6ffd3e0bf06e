//! ZeroMQ endpoints: a session for each peer.
