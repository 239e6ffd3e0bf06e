//! Multipart envelopes of ZeroMQ endpoints.
