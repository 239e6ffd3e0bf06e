//! The last publication of each topic.

use std::collections::BTreeMap;
use std::ops::Bound;

use bytes::Bytes;

use super::super::{Frames, own};
use super::limits::PubSubLimits;

/// What a value is counted for besides its bytes: about what it costs in the two maps that hold it.
pub const VALUE_BYTES: usize = 256;
/// What each of its frames is counted for besides its bytes.
const FRAME_BYTES: usize = size_of::<Bytes>();

/// When a value was put, relative to the others. Never used again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Version(u64);

/// A publication that is kept.
#[derive(Debug)]
pub(super) struct Value {
    pub(super) topic: Bytes,
    pub(super) frames: Frames,
    /// Bytes of all frames.
    pub(super) bytes: usize,
    put_ms: u64,
}

/// What became of a publication.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Put {
    /// The version it was kept as, if it was.
    pub(super) new: Option<Version>,
    /// The version of its topic that it replaced.
    pub(super) replaced: Option<Version>,
}

/// Last values by topic and by time of the last update; bounded by count, bytes and age.
#[derive(Debug)]
pub(super) struct LastValues {
    by_topic: BTreeMap<Bytes, Version>,
    by_version: BTreeMap<Version, Value>,
    next: Version,
    bytes: usize,
    count_max: usize,
    bytes_max: usize,
    age_max_ms: Option<u64>,
}

impl LastValues {
    pub(super) fn new(limits: &PubSubLimits) -> Self {
        Self {
            by_topic: BTreeMap::new(),
            by_version: BTreeMap::new(),
            next: Version(0),
            bytes: 0,
            count_max: limits.last_values_max,
            bytes_max: limits.last_values_bytes_max,
            age_max_ms: limits.last_value_age_max_ms,
        }
    }

    /// Topics that have a value.
    pub(super) fn len(&self) -> usize {
        self.by_version.len()
    }

    /// Bytes of all values, as they are counted.
    #[cfg(test)]
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Keeps a publication instead of the one before it. One that is too large for the limits is not kept, but the
    /// one before it goes all the same, since it is not the last any more. The least recently updated topics go where
    /// there is no room.
    pub(super) fn put(&mut self, now_ms: u64, frames: &Frames) -> Put {
        let Some(topic) = frames.first() else { return Put { new: None, replaced: None } };
        let bytes = frames.iter().map(Bytes::len).sum();
        let cost = cost(topic.len(), bytes, frames.len());
        if cost > self.bytes_max || self.count_max == 0 {
            let replaced = self.by_topic.get(topic).copied();
            if let Some(version) = replaced {
                self.remove(version);
            }
            return Put { new: None, replaced };
        }
        let frames = own(frames);
        let new = self.next;
        self.next = Version(new.0 + 1);
        let (topic, replaced) = match self.by_topic.get_mut(topic) {
            Some(version) => {
                let replaced = std::mem::replace(version, new);
                let before = self.by_version.remove(&replaced);
                self.bytes -= before.as_ref().map_or(0, Value::cost);
                (before.map_or_else(|| Bytes::copy_from_slice(topic), |before| before.topic), Some(replaced))
            }
            None => {
                let topic = Bytes::copy_from_slice(topic);
                self.by_topic.insert(topic.clone(), new);
                (topic, None)
            }
        };
        self.by_version.insert(new, Value { topic, frames, bytes, put_ms: now_ms });
        self.bytes += cost;
        while self.by_version.len() > self.count_max || self.bytes > self.bytes_max {
            let Some((version, _)) = self.by_version.first_key_value() else { break };
            self.remove(*version);
        }
        Put { new: Some(new), replaced }
    }

    /// The value of a version, if it is still the last of its topic and young enough.
    pub(super) fn get(&self, now_ms: u64, version: Version) -> Option<&Value> {
        let value = self.by_version.get(&version)?;
        self.is_young(now_ms, value).then_some(value)
    }

    /// Whether a version is still the last of its topic.
    pub(super) fn is_kept(&self, version: Version) -> bool {
        self.by_version.contains_key(&version)
    }

    /// The least recent version there is.
    pub(super) fn oldest(&self) -> Option<Version> {
        self.by_version.first_key_value().map(|(version, _)| *version)
    }

    /// The topics that begin with a prefix, by their bytes.
    pub(super) fn with_prefix<'a>(&'a self, prefix: &'a [u8]) -> impl Iterator<Item = (&'a Bytes, Version)> {
        self.by_topic
            .range::<[u8], _>((Bound::Included(prefix), Bound::Unbounded))
            .take_while(move |(topic, _)| topic.starts_with(prefix))
            .map(|(topic, version)| (topic, *version))
    }

    /// When the next value is too old.
    pub(super) fn next_due(&self) -> Option<u64> {
        let (_, value) = self.by_version.first_key_value()?;
        Some(value.put_ms.saturating_add(self.age_max_ms?))
    }

    /// Removes what is too old.
    pub(super) fn expire(&mut self, now_ms: u64) {
        while let Some((version, value)) = self.by_version.first_key_value() {
            if self.is_young(now_ms, value) {
                return;
            }
            self.remove(*version);
        }
    }

    fn is_young(&self, now_ms: u64, value: &Value) -> bool {
        self.age_max_ms.is_none_or(|age_ms| now_ms < value.put_ms.saturating_add(age_ms))
    }

    fn remove(&mut self, version: Version) {
        if let Some(value) = self.by_version.remove(&version) {
            self.bytes -= value.cost();
            self.by_topic.remove(&value.topic);
        }
    }
}

impl Value {
    fn cost(&self) -> usize {
        cost(self.topic.len(), self.bytes, self.frames.len())
    }
}

/// The topic counts twice: it is the key besides the first frame.
fn cost(topic_bytes: usize, bytes: usize, frames: usize) -> usize {
    VALUE_BYTES
        .saturating_add(topic_bytes)
        .saturating_add(bytes)
        .saturating_add(frames.saturating_mul(FRAME_BYTES))
}
