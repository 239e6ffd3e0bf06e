//! What crosses a wire: messages, names, ids, the request vocabulary, native frames and ZeroMQ
//! envelopes.
//!
//! The crate is pure: it holds no clock, no random source, no socket and no task. Everything here is
//! a value with an exact encoding. Integers are big-endian; every length is checked against both the
//! bytes that are there and a named limit before anything is allocated.
//!
//! - [`message`]: the one form a message has from the producer to the consumer. It is encoded once,
//!   at the edge, and its bytes are never re-encoded: they stand in the request, in the journal and
//!   in the delivery.
//! - [`request`], [`response`]: the vocabulary of all listeners, whatever socket a peer came by.
//! - [`service`]: instances of services, as registries keep them.
//! - [`native`]: the binary frames of the native protocol.
//! - [`zeromq`]: the multipart envelopes of ZeroMQ endpoints.
#![forbid(unsafe_code)]

pub mod batch;
pub mod codec;
pub mod error;
pub mod id;
pub mod info;
pub mod limits;
pub mod message;
pub mod name;
pub mod native;
pub mod request;
pub mod response;
pub mod service;
pub mod settings;
pub mod zeromq;

pub use batch::MessageBatch;
pub use codec::{Decode, DecodeError, Encode, Reader};
pub use error::{ErrorCode, ErrorReply};
pub use id::{MessageId, ProducerId, ProducerStamp, Receipt, Sequence};
pub use message::{EncodedMessage, Message};
pub use name::{DestinationName, GroupName, InstanceId, NameError, ServiceType};
pub use request::Request;
pub use response::Response;
