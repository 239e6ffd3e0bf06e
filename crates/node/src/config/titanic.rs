//! The keys of `titanic` endpoints.

use std::time::Duration;

use swarmmq_broker::exchange::{PoolLimits, TitanicLimits};
use swarmmq_protocol::DestinationName;

use super::fields::{Fields, Section};
use super::pool::PoolConfig;
use super::quantity::Size;
use super::validation::{Findings, HOUR};
use super::zeromq::EndpointConfig;

/// What the name of a queue begins with that no key names.
const QUEUE_PREFIX: &str = "titanic.";

/// What only `titanic` endpoints have, among the keys of an endpoint, beside those of `service`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TitanicConfig {
    /// Most requests that are kept, answered or not. Default 100,000. Further ones are answered 500.
    pub max_stored_requests: u32,
    /// Most bytes of requests without a reply, each counted for its record and 256 bytes more. Default 128 MiB. They are
    /// in memory too. Further requests are answered 500.
    pub stored_requests_size: Size,
    /// Bytes of replies that are not closed from which on no further request is given to a worker. Default 128 MiB. They
    /// are in memory too.
    pub stored_replies_size: Size,
    /// Most requests of one service that its workers have at a time, or that wait for them beside those of other
    /// clients. Default 1,000.
    pub max_working_requests: u32,
    /// How long a request may be without a reply. Default a week, so that a service may be away over the holidays. Then
    /// it is forgotten, and counted as expired.
    pub stored_request_ttl: Duration,
    /// How long a reply is kept that nobody closes. Default a week, as a client may be away for as long.
    pub stored_reply_ttl: Duration,
    /// How long a worker may have a request before it is given to another although the first is not known to be dead.
    /// Default 1 h. Shorter than a job takes, the job is done twice.
    pub work_timeout: Duration,
}

impl Default for TitanicConfig {
    fn default() -> Self {
        Self {
            max_stored_requests: 100_000,
            stored_requests_size: Size::mebibytes(128),
            stored_replies_size: Size::mebibytes(128),
            max_working_requests: 1_000,
            stored_request_ttl: 7 * 24 * HOUR,
            stored_reply_ttl: 7 * 24 * HOUR,
            work_timeout: HOUR,
        }
    }
}

impl Section for TitanicConfig {
    fn fields(&mut self, fields: &mut Fields<'_>) {
        let Self {
            max_stored_requests,
            stored_requests_size,
            stored_replies_size,
            max_working_requests,
            stored_request_ttl,
            stored_reply_ttl,
            work_timeout,
        } = self;
        fields.value("max_stored_requests", max_stored_requests);
        fields.value("stored_requests_size", stored_requests_size);
        fields.value("stored_replies_size", stored_replies_size);
        fields.value("max_working_requests", max_working_requests);
        fields.value("stored_request_ttl", stored_request_ttl);
        fields.value("stored_reply_ttl", stored_reply_ttl);
        fields.value("work_timeout", work_timeout);
    }
}

impl TitanicConfig {
    /// As an endpoint takes them that reads messages of at most this size.
    #[must_use]
    pub fn limits(&self, max_message_size: Size) -> TitanicLimits {
        TitanicLimits {
            message_bytes_max: max_message_size.as_usize(),
            requests_max: self.max_stored_requests as usize,
            request_bytes_max: self.stored_requests_size.as_usize(),
            reply_bytes_max: self.stored_replies_size.as_usize(),
            working_max: self.max_working_requests as usize,
            request_ttl_ms: ms(self.stored_request_ttl),
            reply_ttl_ms: ms(self.stored_reply_ttl),
            work_ms: ms(self.work_timeout),
        }
    }

    /// The limits of the broker. A worker that is at work may be silent for as long as it may work, unless a key says
    /// otherwise: one that is gone is found out by its connection.
    #[must_use]
    pub fn pool(&self, pool: &PoolConfig) -> PoolLimits {
        let busy_silence_ms = ms(self.work_timeout);
        pool.limits(PoolLimits { busy_silence_ms, ..PoolLimits::default() })
    }

    /// The first key that was changed, if any.
    pub(super) fn changed(&self) -> Option<&'static str> {
        let default = Self::default();
        let changed = [
            ("max_stored_requests", self.max_stored_requests != default.max_stored_requests),
            ("stored_requests_size", self.stored_requests_size != default.stored_requests_size),
            ("stored_replies_size", self.stored_replies_size != default.stored_replies_size),
            ("max_working_requests", self.max_working_requests != default.max_working_requests),
            ("stored_request_ttl", self.stored_request_ttl != default.stored_request_ttl),
            ("stored_reply_ttl", self.stored_reply_ttl != default.stored_reply_ttl),
            ("work_timeout", self.work_timeout != default.work_timeout),
        ];
        changed.into_iter().find(|(_, is_changed)| *is_changed).map(|(key, _)| key)
    }

    pub(super) fn validate(&self, endpoint: &EndpointConfig, path: &str, findings: &mut Findings) {
        let at = |key: &str| format!("{path}.{key}");
        findings.range(&at("max_stored_requests"), self.max_stored_requests, 1, 10_000_000);
        let (least, most) = (Size(64 << 10), Size::mebibytes(1 << 20));
        findings.range(&at("stored_requests_size"), self.stored_requests_size, least, most);
        findings.range(&at("stored_replies_size"), self.stored_replies_size, least, most);
        findings.range(&at("max_working_requests"), self.max_working_requests, 1, 1_000_000);
        let (second, year) = (Duration::from_secs(1), 365 * 24 * HOUR);
        findings.time(&at("stored_request_ttl"), self.stored_request_ttl, second, year);
        findings.time(&at("stored_reply_ttl"), self.stored_reply_ttl, second, year);
        findings.time(&at("work_timeout"), self.work_timeout, second, 30 * 24 * HOUR);
        if endpoint.pool.at_most_once {
            findings.conflict(
                at("at_most_once"),
                "a stored request is worked on at least once: after a crash nobody knows whether it was (remove the key)",
            );
        }
        if endpoint.name.is_some() && queue_of(endpoint).is_none() {
            findings.missing(
                path,
                "queue",
                "the endpoint's name makes no name of a queue to keep requests in",
            );
        }
    }
}

fn ms(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// The queue in which a `titanic` endpoint keeps requests: that of the key, or one that has its name of the endpoint.
/// `None` if the name of the endpoint does not make one.
#[must_use]
pub fn queue_of(endpoint: &EndpointConfig) -> Option<DestinationName> {
    let named = || DestinationName::new(&format!("{QUEUE_PREFIX}{}", endpoint.label())).ok();
    endpoint.queue.clone().or_else(named)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::parse;

    fn endpoint(keys: &str) -> String {
        format!(
            "zeromq: {{ endpoints: [{{ name: jobs, kind: titanic, bind: 'tcp://127.0.0.1:5560', {keys} }}] }}"
        )
    }

    #[test]
    fn its_keys_stand_among_the_others_and_become_limits() {
        let keys = "max_stored_requests: 1, stored_requests_size: 1MiB, stored_replies_size: 2MiB, \
                    max_working_requests: 3, stored_request_ttl: 4s, stored_reply_ttl: 5s, work_timeout: 6s";
        let config = parse(&endpoint(keys)).unwrap();
        config.validate().unwrap();
        let one = &config.zeromq.endpoints[0];
        let expected = TitanicLimits {
            message_bytes_max: 3 << 20,
            requests_max: 1,
            request_bytes_max: 1 << 20,
            reply_bytes_max: 2 << 20,
            working_max: 3,
            request_ttl_ms: 4_000,
            reply_ttl_ms: 5_000,
            work_ms: 6_000,
        };
        assert_eq!(one.titanic.limits(Size::mebibytes(3)), expected);
        let default = EndpointConfig::default();
        assert_eq!(default.titanic.limits(default.max_message_size), TitanicLimits::default());
    }

    #[test]
    fn a_worker_at_work_may_be_silent_as_long_as_it_may_work() {
        let silence = |keys: &str| {
            let config = parse(&endpoint(keys)).unwrap();
            let one = &config.zeromq.endpoints[0];
            one.titanic.pool(&one.pool).busy_silence_ms
        };
        assert_eq!(silence(""), 3_600_000);
        assert_eq!(silence("work_timeout: 10s"), 10_000);
        assert_eq!(silence("worker_busy_silence: 2s"), 2_000);
        assert_eq!(silence("worker_busy_silence: 0s"), 0);
    }

    #[test]
    fn the_queue_has_the_name_of_the_endpoint_or_of_its_own() {
        let queue = |keys: &str| queue_of(&parse(&endpoint(keys)).unwrap().zeromq.endpoints[0]).unwrap();
        assert_eq!(queue("").as_str(), "titanic.jobs");
        assert_eq!(queue("queue: kept").as_str(), "kept");
    }

    #[test]
    fn what_does_not_go_together_is_named() {
        let says = |text: &str| match parse(text).and_then(|config| config.validate()) {
            Ok(()) => String::new(),
            Err(error) => error.to_string(),
        };
        assert_eq!(says(&endpoint("worker_heartbeat: 1s, queue: kept")), "");
        for (keys, part) in [
            ("at_most_once: true", "at_most_once"),
            ("work_timeout: 0s", "work_timeout"),
            ("stored_request_ttl: 1000d", "stored_request_ttl"),
            ("worker_liveness: 0", "worker_liveness"),
            ("backend: 'tcp://127.0.0.1:5561'", "backend"),
            ("max_message_size: 32MiB, receive_queue_size: 32MiB", "max_message_size"),
            ("max_message_size: 8MiB, receive_queue_size: 8MiB", "max_message_size"),
        ] {
            let found = says(&endpoint(keys));
            assert!(found.contains(&format!("zeromq.endpoints[0].{part}")), "{keys}: {found}");
        }
        let large = endpoint("max_message_size: 8MiB, receive_queue_size: 8MiB");
        assert_eq!(says(&format!("{large}\njournal: {{ segment_size: 17MiB }}")), "");
        let service = "zeromq: { endpoints: [{ name: a, kind: service, bind: 'tcp://127.0.0.1:1', work_timeout: 2s }] }";
        assert!(says(service).contains("zeromq.endpoints[0].work_timeout"), "{}", says(service));
        let two = "zeromq: { endpoints: [\
                   { name: a, kind: titanic, bind: 'tcp://127.0.0.1:1' }, \
                   { name: b, kind: egress, bind: 'tcp://127.0.0.1:2', queue: titanic.a }] }";
        assert!(says(two).contains("zeromq.endpoints[1].queue"), "{}", says(two));
    }
}
