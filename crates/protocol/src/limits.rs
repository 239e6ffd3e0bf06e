//! The limits of the protocol. Each is the most that a well-formed value may hold; a node may be
//! configured to accept less.

/// Most bytes of a destination or group name. Names stand in every request, so they stay short.
pub const NAME_BYTES_MAX: usize = 200;
/// Most bytes of an encoded message, whatever a node is configured to accept.
///
/// A message is held in memory as a whole and must fit in one journal segment.
pub const MESSAGE_BYTES_MAX: usize = 32 * 1024 * 1024;
/// Bytes of an encoded message a node accepts unless it is configured otherwise.
pub const MESSAGE_BYTES_DEFAULT: usize = 1024 * 1024;
/// Most headers of a message.
pub const HEADERS_MAX: usize = 64;
/// Most bytes of all header names and values of a message together.
pub const HEADER_BYTES_MAX: usize = 64 * 1024;
/// Most bytes of a message's key, correlation id or producer name.
pub const FIELD_BYTES_MAX: usize = 255;
/// Most messages in one put, receipts in one settlement, or messages in one delivery.
pub const BATCH_MAX: usize = 4096;
/// Most bytes of a native frame after its length field.
pub const FRAME_BYTES_MAX: usize = MESSAGE_BYTES_MAX + 64 * 1024;
/// Most bytes a connection may send before it has authenticated.
pub const HANDSHAKE_BYTES_MAX: usize = 4096;
/// Most bytes of an error's explanation.
pub const EXPLANATION_BYTES_MAX: usize = 1024;
/// Most conditions of a group's filter.
pub const FILTER_CONDITIONS_MAX: usize = 16;
/// Most destinations in one page of a listing.
pub const PAGE_MAX: usize = 1000;
/// Most groups of one destination.
pub const GROUPS_MAX: usize = 1024;
/// Most instances of services in a registry, and most changes in one answer.
pub const SERVICES_MAX: usize = 4096;
/// Most bytes of the endpoint of an instance.
pub const ENDPOINT_BYTES_MAX: usize = 512;
/// Most entries of the metadata of an instance.
pub const METADATA_MAX: usize = 32;
/// Most bytes of the metadata of an instance, names and values together.
pub const METADATA_BYTES_MAX: usize = 4096;
/// Shortest lease of an instance, ms: what is shorter cannot be renewed in time.
pub const LEASE_TTL_MS_MIN: u32 = 100;
/// Longest lease of an instance, ms: a day.
pub const LEASE_TTL_MS_MAX: u32 = 24 * 60 * 60 * 1000;
/// Lease of an instance that asks for none in particular, ms.
pub const LEASE_TTL_MS_DEFAULT: u32 = 60_000;
/// Longest wait of one question for changes of a registry, ms.
pub const WATCH_WAIT_MS_MAX: u32 = 60_000;
/// Lowest and highest priority of a message; 10 is delivered first.
pub const PRIORITY_MIN: u8 = 1;
/// Highest priority of a message.
pub const PRIORITY_MAX: u8 = 10;
/// Priority of a message that names none.
pub const PRIORITY_DEFAULT: u8 = 5;
