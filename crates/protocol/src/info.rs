//! What a node tells about destinations and groups.

use bytes::{BufMut, BytesMut};

use crate::codec::{self, Decode, DecodeError, Encode, Reader};
use crate::limits::GROUPS_MAX;
use crate::name::{DestinationName, GroupName};
use crate::settings::{DestinationSettings, GroupSettings};

/// A group as it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct GroupInfo {
    /// Its name.
    pub name: GroupName,
    /// Its settings.
    pub settings: GroupSettings,
    /// Whether delivery is paused.
    pub paused: bool,
    /// Messages that could be delivered now.
    pub ready: u64,
    /// Messages delivered and not settled yet.
    pub leased: u64,
    /// Messages whose time has not come.
    pub delayed: u64,
    /// Every message below this sequence is settled.
    pub floor: u64,
    /// Deliveries that were not the first of their message, since the group was made.
    pub redelivered: u64,
    /// Messages settled by an acknowledgement, since the group was made.
    pub acknowledged: u64,
    /// Messages given up: rejected, or delivered too often.
    pub dead: u64,
    /// Age of the oldest unsettled message, ms.
    pub oldest_age_ms: u64,
    /// Consumers waiting at the leader.
    pub consumers: u64,
}

impl GroupInfo {
    /// A group of which nothing is known but its name and settings.
    #[must_use]
    pub fn new(name: GroupName, settings: GroupSettings) -> Self {
        Self {
            name,
            settings,
            paused: false,
            ready: 0,
            leased: 0,
            delayed: 0,
            floor: 0,
            redelivered: 0,
            acknowledged: 0,
            dead: 0,
            oldest_age_ms: 0,
            consumers: 0,
        }
    }
}

impl Encode for GroupInfo {
    fn encode(&self, out: &mut BytesMut) {
        self.name.encode(out);
        self.settings.encode(out);
        out.put_u8(u8::from(self.paused));
        for number in [
            self.ready,
            self.leased,
            self.delayed,
            self.floor,
            self.redelivered,
            self.acknowledged,
            self.dead,
            self.oldest_age_ms,
            self.consumers,
        ] {
            out.put_u64(number);
        }
    }
}

impl Decode for GroupInfo {
    fn decode(reader: &mut Reader) -> Result<Self, DecodeError> {
        Ok(Self {
            name: GroupName::decode(reader)?,
            settings: GroupSettings::decode(reader)?,
            paused: reader.bool("paused")?,
            ready: reader.u64("ready")?,
            leased: reader.u64("leased")?,
            delayed: reader.u64("delayed")?,
            floor: reader.u64("floor")?,
            redelivered: reader.u64("redelivered")?,
            acknowledged: reader.u64("acknowledged")?,
            dead: reader.u64("dead")?,
            oldest_age_ms: reader.u64("oldest age")?,
            consumers: reader.u64("consumers")?,
        })
    }
}

/// A destination as it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct DestinationInfo {
    /// Its name.
    pub name: DestinationName,
    /// Its settings.
    pub settings: DestinationSettings,
    /// The shard it lives on.
    pub shard: u32,
    /// Sequence of the oldest message held; one more than `last` where there is none.
    pub first: u64,
    /// Sequence of the newest message ever stored.
    pub last: u64,
    /// Messages held.
    pub messages: u64,
    /// Bytes of the encoded messages held.
    pub bytes: u64,
    /// Age of the oldest message held, ms.
    pub oldest_age_ms: u64,
    /// Messages dropped by retention, since it was made.
    pub dropped: u64,
    /// Messages that outlived their time to live, since it was made.
    pub expired: u64,
    /// Puts recognised as repeated, since it was made.
    pub duplicates: u64,
    /// Its groups.
    pub groups: Vec<GroupInfo>,
}

impl DestinationInfo {
    /// An empty destination.
    #[must_use]
    pub fn new(name: DestinationName, settings: DestinationSettings, shard: u32) -> Self {
        Self {
            name,
            settings,
            shard,
            first: 1,
            last: 0,
            messages: 0,
            bytes: 0,
            oldest_age_ms: 0,
            dropped: 0,
            expired: 0,
            duplicates: 0,
            groups: Vec::new(),
        }
    }
}

impl Encode for DestinationInfo {
    fn encode(&self, out: &mut BytesMut) {
        self.name.encode(out);
        self.settings.encode(out);
        out.put_u32(self.shard);
        for number in [
            self.first,
            self.last,
            self.messages,
            self.bytes,
            self.oldest_age_ms,
            self.dropped,
            self.expired,
            self.duplicates,
        ] {
            out.put_u64(number);
        }
        codec::put_list(out, &self.groups, |out, group| group.encode(out));
    }
}

impl Decode for DestinationInfo {
    fn decode(reader: &mut Reader) -> Result<Self, DecodeError> {
        Ok(Self {
            name: DestinationName::decode(reader)?,
            settings: DestinationSettings::decode(reader)?,
            shard: reader.u32("shard")?,
            first: reader.u64("first sequence")?,
            last: reader.u64("last sequence")?,
            messages: reader.u64("messages")?,
            bytes: reader.u64("bytes")?,
            oldest_age_ms: reader.u64("oldest age")?,
            dropped: reader.u64("dropped")?,
            expired: reader.u64("expired")?,
            duplicates: reader.u64("duplicates")?,
            groups: reader.list("groups", GROUPS_MAX, 16, GroupInfo::decode)?,
        })
    }
}
