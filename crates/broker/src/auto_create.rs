//! What a destination is like that makes itself.

use bytes::BytesMut;
use swarmmq_protocol::DestinationName;
use swarmmq_protocol::codec::{Decode, DecodeError, Encode, Reader};
use swarmmq_protocol::settings::{DestinationSettings, GroupSettings};

/// With what settings a put or a consumer makes a destination that is not there.
///
/// It stands in an entry as the destination's settings and the group's behind them.
///
/// ```
/// # use swarmmq_broker::AutoCreate;
/// # use swarmmq_protocol::{DestinationName, settings::{DestinationSettings, GroupSettings}};
/// let mut auto = AutoCreate::from(DestinationSettings::queue());
/// auto.group.deliveries_max = 3;
/// auto.group.dead_letter = DestinationName::new("dead").ok();
/// let orders = DestinationName::new("orders").unwrap();
/// assert_eq!(auto.group_of(&orders), auto.group);
/// let dead = DestinationName::new("dead").unwrap();
/// assert_eq!(auto.group_of(&dead), GroupSettings::default());
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AutoCreate {
    /// The settings of the destination.
    pub destination: DestinationSettings,
    /// The settings of the one group of a queue. A stream begins without groups and does not use them.
    pub group: GroupSettings,
}

impl AutoCreate {
    /// The settings of the one group of a queue `destination` that makes itself.
    ///
    /// The destination that the dead letters of all others go to has nowhere to send its own: its
    /// group has no limit of deliveries and no dead letters, so that nothing of it is dropped.
    #[must_use]
    pub fn group_of(&self, destination: &DestinationName) -> GroupSettings {
        let mut group = self.group.clone();
        if group.dead_letter.as_ref() == Some(destination) {
            group.dead_letter = None;
            group.deliveries_max = 0;
        }
        group
    }
}

impl From<DestinationSettings> for AutoCreate {
    /// A destination like this, and a group with the default settings.
    fn from(destination: DestinationSettings) -> Self {
        Self { destination, group: GroupSettings::default() }
    }
}

impl Encode for AutoCreate {
    fn encode(&self, out: &mut BytesMut) {
        self.destination.encode(out);
        self.group.encode(out);
    }
}

impl Decode for AutoCreate {
    fn decode(reader: &mut Reader) -> Result<Self, DecodeError> {
        Ok(Self { destination: DestinationSettings::decode(reader)?, group: GroupSettings::decode(reader)? })
    }
}
