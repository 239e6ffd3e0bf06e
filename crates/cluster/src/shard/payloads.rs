//! Messages read back from the journal.

use bytes::Bytes;
use swarmmq_broker::Location;
use swarmmq_journal::{GroupId, Journal, ReadError};
use swarmmq_protocol::EncodedMessage;

use super::state::Shard;

/// Why a message that the shard holds could not be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PayloadError {
    /// The journal could not read the record.
    #[error(transparent)]
    Journal(#[from] ReadError),
    /// The journal has no such record, or a shorter one.
    #[error("the journal has no message at {location:?}")]
    Missing {
        /// Where it should be.
        location: Location,
    },
}

/// The message at a place in a record.
fn slice(record: &Bytes, location: Location) -> Result<EncodedMessage, PayloadError> {
    let start = location.offset as usize;
    let end = start + location.length as usize;
    if end > record.len() {
        return Err(PayloadError::Missing { location });
    }
    Ok(EncodedMessage::from_checked(record.slice(start..end)))
}

fn read_all(
    group: GroupId,
    locations: &[Location],
    mut read: impl FnMut(GroupId, u64) -> Result<Option<Bytes>, ReadError>,
) -> Result<Vec<EncodedMessage>, PayloadError> {
    let mut messages = Vec::with_capacity(locations.len());
    // Messages that were put together stand in one record and are mostly delivered together.
    let mut last: Option<(u64, Bytes)> = None;
    for &location in locations {
        let record = match &last {
            Some((index, record)) if *index == location.index => record.clone(),
            _ => read(group, location.index)?.ok_or(PayloadError::Missing { location })?,
        };
        messages.push(slice(&record, location)?);
        last = Some((location.index, record));
    }
    Ok(messages)
}

impl Shard {
    /// Reads messages, from memory where all are there and off the async threads where not.
    pub(super) async fn read(&self, locations: Vec<Location>) -> Result<Vec<EncodedMessage>, PayloadError> {
        let hot = |group, index| Ok(self.journal.read_hot(group, index).map(|entry| entry.payload));
        if let Ok(messages) = read_all(self.group, &locations, hot) {
            return Ok(messages);
        }
        let (journal, group): (Journal, _) = (self.journal.clone(), self.group);
        self.runtime
            .blocking(move || {
                read_all(group, &locations, |group, index| {
                    Ok(journal.read(group, index)?.map(|entry| entry.payload))
                })
            })
            .await
    }
}
