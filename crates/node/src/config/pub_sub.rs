//! The keys of `pub-sub` endpoints.

use std::time::Duration;

use swarmmq_broker::exchange::PubSubLimits;

use super::fields::{Fields, Section};
use super::quantity::Size;
use super::validation::Findings;

/// What only `pub-sub` endpoints have, among the keys of an endpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PubSubConfig {
    /// Whether the last publication of each topic is kept and sent to whoever subscribes later. Default no. With it
    /// publishers send everything, whether somebody subscribed or not.
    pub last_values: bool,
    /// Most topics whose last value is kept; the least recently updated one makes room. Default 100,000.
    pub max_last_values: u32,
    /// Most bytes of all last values, each counted for about 256 bytes more. Default 64 MiB.
    pub last_values_size: Size,
    /// How long a last value is kept that is not updated. Default 0: until another needs its room.
    pub last_value_age: Duration,
    /// Most different prefixes that one subscriber may hold. Default 200,000. One that wants more is disconnected.
    pub max_subscriptions: u32,
    /// Most bytes of the prefixes of all subscribers, each counted for about 160 bytes more. Default 512 MiB. Who then
    /// wants more is disconnected.
    pub subscriptions_size: Size,
}

impl Default for PubSubConfig {
    fn default() -> Self {
        Self {
            last_values: false,
            max_last_values: 100_000,
            last_values_size: Size::mebibytes(64),
            last_value_age: Duration::ZERO,
            max_subscriptions: 200_000,
            subscriptions_size: Size::mebibytes(512),
        }
    }
}

impl Section for PubSubConfig {
    fn fields(&mut self, fields: &mut Fields<'_>) {
        let Self {
            last_values,
            max_last_values,
            last_values_size,
            last_value_age,
            max_subscriptions,
            subscriptions_size,
        } = self;
        fields.value("last_values", last_values);
        fields.value("max_last_values", max_last_values);
        fields.value("last_values_size", last_values_size);
        fields.value("last_value_age", last_value_age);
        fields.value("max_subscriptions", max_subscriptions);
        fields.value("subscriptions_size", subscriptions_size);
    }
}

impl PubSubConfig {
    /// As the endpoint takes them.
    #[must_use]
    pub fn limits(&self) -> PubSubLimits {
        let age_ms = u64::try_from(self.last_value_age.as_millis()).unwrap_or(u64::MAX);
        PubSubLimits {
            last_values: self.last_values,
            last_values_max: self.max_last_values as usize,
            last_values_bytes_max: self.last_values_size.as_usize(),
            last_value_age_max_ms: (age_ms > 0).then_some(age_ms),
            subscriptions_max: self.max_subscriptions as usize,
            subscription_bytes_total_max: self.subscriptions_size.as_usize(),
            ..PubSubLimits::default()
        }
    }

    /// The first key that was changed, if any.
    pub(super) fn changed(&self) -> Option<&'static str> {
        let default = Self::default();
        let changed = [
            ("last_values", self.last_values != default.last_values),
            ("max_last_values", self.max_last_values != default.max_last_values),
            ("last_values_size", self.last_values_size != default.last_values_size),
            ("last_value_age", self.last_value_age != default.last_value_age),
            ("max_subscriptions", self.max_subscriptions != default.max_subscriptions),
            ("subscriptions_size", self.subscriptions_size != default.subscriptions_size),
        ];
        changed.into_iter().find(|(_, is_changed)| *is_changed).map(|(key, _)| key)
    }

    pub(super) fn validate(&self, path: &str, findings: &mut Findings) {
        let at = |key: &str| format!("{path}.{key}");
        findings.range(&at("max_last_values"), self.max_last_values, 1, 100_000_000);
        let largest = Size::mebibytes(1 << 20);
        findings.range(&at("last_values_size"), self.last_values_size, Size(64 << 10), largest);
        findings.range(&at("max_subscriptions"), self.max_subscriptions, 1, 100_000_000);
        findings.range(&at("subscriptions_size"), self.subscriptions_size, Size(64 << 10), largest);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::parse;

    fn endpoint(keys: &str) -> String {
        format!("zeromq: {{ endpoints: [{{ name: prices, bind: 'tcp://127.0.0.1:5557', {keys} }}] }}")
    }

    #[test]
    fn its_keys_stand_among_the_others_and_become_limits() {
        let keys = "kind: pub-sub, backend: 'tcp://127.0.0.1:5558', last_values: true, max_last_values: 5, \
                    last_values_size: 1MiB, last_value_age: 2s, max_subscriptions: 7, subscriptions_size: 3MiB";
        let config = parse(&endpoint(keys)).unwrap();
        config.validate().unwrap();
        let expected = PubSubLimits {
            last_values: true,
            last_values_max: 5,
            last_values_bytes_max: 1 << 20,
            last_value_age_max_ms: Some(2_000),
            subscriptions_max: 7,
            subscription_bytes_total_max: 3 << 20,
            ..PubSubLimits::default()
        };
        assert_eq!(config.zeromq.endpoints[0].pub_sub.limits(), expected);
        assert_eq!(PubSubConfig::default().limits(), PubSubLimits::default());
    }

    #[test]
    fn what_does_not_go_together_is_named() {
        let says = |keys: &str| match parse(&endpoint(keys)).and_then(|config| config.validate()) {
            Ok(()) => String::new(),
            Err(error) => error.to_string(),
        };
        let backend = "kind: pub-sub, backend: 'tcp://127.0.0.1:5558'";
        assert_eq!(says(backend), "");
        for (keys, part) in [
            ("kind: pub-sub".to_owned(), "backend"),
            (format!("{backend}, queue: q"), "queue"),
            (format!("{backend}, max_last_values: 0"), "max_last_values"),
            ("kind: durable, last_values: true".to_owned(), "last_values"),
            ("kind: durable, subscriptions_size: 1GiB".to_owned(), "subscriptions_size"),
        ] {
            assert!(says(&keys).contains(&format!("zeromq.endpoints[0].{part}")), "{keys}: {}", says(&keys));
        }
    }
}
