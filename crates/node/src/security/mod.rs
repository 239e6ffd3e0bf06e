//! Who a peer is and what it may do: TLS, API keys, certificates.
//!
//! A peer becomes a [`Principal`] once, when it connects: by an API key, by a certificate, by a name
//! and a password, or, where nobody has to, by nothing at all ([`Gate`]). From then on every request
//! is checked against what is allowed to it ([`Principal::permits`]). What may listen where without
//! any of this is decided by [`crate::config`].
//!
//! Keys and passwords are never held, logged or compared in the clear: only SHA-256 digests are.
pub(crate) mod authorship;
mod certificate;
mod curve;
mod gate;
mod identity;
mod refusal;
mod rights;
mod tls;

pub use certificate::{CertificateParseError, CertificateSummary};
pub use curve::{KeyFileError, curve_public_key, new_curve_key, read_curve_secret};
pub use gate::{Changes, Gate};
pub use identity::{Method, Principal};
pub use refusal::{Refusal, Refusals};
pub use tls::{Tls, TlsError, TlsFiles};
