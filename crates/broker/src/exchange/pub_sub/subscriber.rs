//! One subscriber: what it holds, and which last values it has still to get.

use std::collections::BTreeMap;

use bytes::Bytes;

use super::last_values::{LastValues, Version};
use super::limits::{PubSubLimits, SUBSCRIPTION_BYTES};

/// What a subscriber has still to be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Owed {
    /// A value from before it subscribed.
    LastValue,
    /// A publication that came while values from before were still to be sent.
    Update,
}

/// What a subscription changed.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Held {
    /// The subscriber did not hold this prefix.
    New(Bytes),
    /// It did, and now counts one more.
    Again,
}

/// What is known of one subscriber.
#[derive(Debug, Default)]
pub(super) struct Subscriber {
    /// How often it subscribed to each prefix without cancelling.
    prefixes: BTreeMap<Bytes, u64>,
    prefix_bytes: usize,
    /// What it is owed, in the order of the updates: empty unless its queue was full.
    owed: BTreeMap<Version, Owed>,
    /// It was told to go, and what it still says counts for nothing.
    pub(super) is_closing: bool,
}

impl Subscriber {
    /// Counts a subscription. The endpoint has room for so many bytes of prefixes.
    ///
    /// # Errors
    /// What it would exceed. Nothing has changed then.
    pub(super) fn hold(
        &mut self,
        prefix: &[u8],
        limits: &PubSubLimits,
        room_bytes: usize,
    ) -> Result<Held, &'static str> {
        if let Some(count) = self.prefixes.get_mut(prefix) {
            *count = count.saturating_add(1);
            return Ok(Held::Again);
        }
        if prefix.len() > limits.prefix_bytes_max {
            return Err("a prefix that it subscribed to is too long");
        }
        if self.prefixes.len() >= limits.subscriptions_max {
            return Err("it has too many subscriptions");
        }
        let bytes = self.prefix_bytes + cost(prefix);
        if bytes > limits.subscription_bytes_max {
            return Err("its subscriptions have too many bytes");
        }
        if cost(prefix) > room_bytes {
            return Err("the endpoint has too many subscriptions");
        }
        self.prefix_bytes = bytes;
        // The frame would keep alive all that was read with it.
        let prefix = Bytes::copy_from_slice(prefix);
        self.prefixes.insert(prefix.clone(), 1);
        Ok(Held::New(prefix))
    }

    /// Counts a cancellation. Returns the prefix if the subscriber does not hold it any more.
    pub(super) fn cancel(&mut self, prefix: &[u8]) -> Option<Bytes> {
        let count = self.prefixes.get_mut(prefix)?;
        *count -= 1;
        if *count > 0 {
            return None;
        }
        let (prefix, _) = self.prefixes.remove_entry(prefix)?;
        self.prefix_bytes -= cost(&prefix);
        if self.prefixes.is_empty() {
            self.owed.clear();
        }
        Some(prefix)
    }

    /// The distinct prefixes it holds.
    pub(super) fn prefixes(&self) -> impl ExactSizeIterator<Item = &Bytes> {
        self.prefixes.keys()
    }

    /// Bytes of these prefixes, as they are counted.
    pub(super) fn prefix_bytes(&self) -> usize {
        self.prefix_bytes
    }

    /// Whether it is owed something, so that a publication must wait behind it.
    pub(super) fn is_behind(&self) -> bool {
        !self.owed.is_empty()
    }

    /// Owes it values from before it subscribed.
    pub(super) fn owe_values(&mut self, mut versions: Vec<Version>, values: &LastValues) {
        versions.sort_unstable();
        let owed = versions.into_iter().map(|version| (version, Owed::LastValue));
        if self.owed.is_empty() {
            self.owed = owed.collect();
            return;
        }
        for (version, what) in owed {
            self.owed.entry(version).or_insert(what);
        }
        if self.owed.len() > values.len() {
            // What was replaced or evicted since, while the subscriber had cancelled.
            self.owed.retain(|version, _| values.is_kept(*version));
        }
    }

    /// Owes it a publication, in place of the one before it on the same topic. Returns how many publications it
    /// misses for that.
    pub(super) fn owe_update(&mut self, new: Version, replaced: Option<Version>, oldest: Version) -> usize {
        let before = replaced.and_then(|version| self.owed.remove(&version));
        self.owed.insert(new, Owed::Update);
        let mut missed = usize::from(before == Some(Owed::Update));
        // What was evicted cannot be sent any more, and must not gather here.
        while let Some(entry) = self.owed.first_entry()
            && *entry.key() < oldest
        {
            missed += usize::from(entry.remove() == Owed::Update);
        }
        missed
    }

    /// What it is owed next.
    pub(super) fn first_owed(&self) -> Option<(Version, Owed)> {
        self.owed.first_key_value().map(|(version, what)| (*version, *what))
    }

    /// Says that what it was owed next was sent, or is gone.
    pub(super) fn settle_first(&mut self) {
        self.owed.pop_first();
    }

    /// How many values and publications it is owed.
    #[cfg(test)]
    pub(super) fn owed_count(&self) -> usize {
        self.owed.len()
    }
}

fn cost(prefix: &[u8]) -> usize {
    prefix.len() + SUBSCRIPTION_BYTES
}
