//! Client library of SwarmMQ: producers, consumers and administration over the native protocol.
