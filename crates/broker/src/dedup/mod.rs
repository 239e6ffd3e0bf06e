//! Telling a put that is repeated from a new one: by producer session, and by message id.

pub(crate) mod ids;
pub(crate) mod session;

pub(crate) use ids::Ids;
pub(crate) use session::Sessions;
