//! The log of a destination: what is stored under which sequence.
//!
//! Sequences are dense from 1 and never given twice. A removed message leaves nothing behind: pages
//! of [`page::PAGE_SEQUENCES`] sequences are packed as their messages go, and dropped when they are
//! empty. Beside the pages stand the orders that delivery and retention ask for: by expiry, by
//! priority other than the default, by key. They are all derived from the pages, and hold only the
//! messages that have such a property.

pub(crate) mod page;
mod store;

pub(crate) use page::{Page, RANK_DEFAULT, Stored};
pub(crate) use store::{Incoming, Log, Walk, messages_of};
