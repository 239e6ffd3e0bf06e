//! The keys of `service`, `titanic` and `workers` endpoints.

use std::time::Duration;

use swarmmq_broker::exchange::{PoolLimits, RepeatLimits};

use super::fields::{Fields, Section};
use super::quantity::Size;
use super::validation::{Findings, HOUR};

/// What only `service`, `titanic` and `workers` endpoints have, among the keys of an endpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PoolConfig {
    /// How often the endpoint tells each worker that it lives, and is to hear from it. Workers must be set to about the
    /// same. Default none: 1 s for `workers`, 2.5 s for the others, as the Guide's workers have it.
    pub worker_heartbeat: Option<Duration>,
    /// For how many heartbeats a worker may be silent before it counts as dead. Default 3.
    pub worker_liveness: u32,
    /// How long a worker may be silent while it has a request, if that is longer. Default none: `work_timeout` for
    /// `titanic`, no longer than others for the rest. Workers that send no heartbeat while they work, as the Guide's do,
    /// need as long as a request takes.
    pub worker_busy_silence: Option<Duration>,
    /// How long a request waits for a worker before it is dropped. Default 30 s.
    pub request_timeout: Duration,
    /// Whether a request whose worker dies is dropped. Default no: it is given to another worker, once.
    pub at_most_once: bool,
    /// Most services with a worker or a request. Default 1,024. Of no use to `workers`, which has one.
    pub max_services: u32,
    /// Most workers. Default 4,096.
    pub max_workers: u32,
    /// Most requests that wait at one service. Default 10,000. Further ones are dropped.
    pub max_queued_requests: u32,
    /// Most bytes of the requests that wait at one service. Default 64 MiB. Further ones are dropped.
    pub queued_requests_size: Size,
    /// Most requests of all services, those that are being worked on included. Default 100,000.
    pub max_requests: u32,
    /// Most bytes of all those requests. Default 256 MiB.
    pub requests_size: Size,
    /// Most requests of one client that are not answered. Default 1,000. While it has so many it is not read from.
    pub max_client_requests: u32,
    /// For how long a reply is kept for clients that repeat their request with the same id. Default 0: repeats are not
    /// recognised. Not of `workers`, and neither are the next two.
    pub deduplicate: Duration,
    /// Most replies that are kept for that. Default 100,000. The oldest make room.
    pub max_kept_replies: u32,
    /// Most bytes of those replies. Default 64 MiB. The oldest make room.
    pub kept_replies_size: Size,
}

impl Default for PoolConfig {
    fn default() -> Self {
        Self {
            worker_heartbeat: None,
            worker_liveness: 3,
            worker_busy_silence: None,
            request_timeout: Duration::from_secs(30),
            at_most_once: false,
            max_services: 1_024,
            max_workers: 4_096,
            max_queued_requests: 10_000,
            queued_requests_size: Size::mebibytes(64),
            max_requests: 100_000,
            requests_size: Size::mebibytes(256),
            max_client_requests: 1_000,
            deduplicate: Duration::ZERO,
            max_kept_replies: 100_000,
            kept_replies_size: Size::mebibytes(64),
        }
    }
}

impl Section for PoolConfig {
    fn fields(&mut self, fields: &mut Fields<'_>) {
        let Self {
            worker_heartbeat,
            worker_liveness,
            worker_busy_silence,
            request_timeout,
            at_most_once,
            max_services,
            max_workers,
            max_queued_requests,
            queued_requests_size,
            max_requests,
            requests_size,
            max_client_requests,
            deduplicate,
            max_kept_replies,
            kept_replies_size,
        } = self;
        fields.value("worker_heartbeat", worker_heartbeat);
        fields.value("worker_liveness", worker_liveness);
        fields.value("worker_busy_silence", worker_busy_silence);
        fields.value("request_timeout", request_timeout);
        fields.value("at_most_once", at_most_once);
        fields.value("max_services", max_services);
        fields.value("max_workers", max_workers);
        fields.value("max_queued_requests", max_queued_requests);
        fields.value("queued_requests_size", queued_requests_size);
        fields.value("max_requests", max_requests);
        fields.value("requests_size", requests_size);
        fields.value("max_client_requests", max_client_requests);
        fields.value("deduplicate", deduplicate);
        fields.value("max_kept_replies", max_kept_replies);
        fields.value("kept_replies_size", kept_replies_size);
    }
}

impl PoolConfig {
    /// As an endpoint takes them, whose own defaults are given.
    #[must_use]
    pub fn limits(&self, default: PoolLimits) -> PoolLimits {
        let ms = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        PoolLimits {
            heartbeat_ms: self.worker_heartbeat.map_or(default.heartbeat_ms, ms),
            liveness: self.worker_liveness,
            busy_silence_ms: self.worker_busy_silence.map_or(default.busy_silence_ms, ms),
            wait_ms: ms(self.request_timeout),
            at_most_once: self.at_most_once,
            services_max: self.max_services as usize,
            workers_max: self.max_workers as usize,
            queue_requests_max: self.max_queued_requests as usize,
            queue_bytes_max: self.queued_requests_size.as_usize(),
            requests_max: self.max_requests as usize,
            bytes_max: self.requests_size.as_usize(),
            joined_bytes_max: default.joined_bytes_max,
            client_requests_max: self.max_client_requests as usize,
        }
    }

    /// What is kept of requests that clients may repeat.
    #[must_use]
    pub fn repeats(&self) -> RepeatLimits {
        RepeatLimits {
            keep_ms: u64::try_from(self.deduplicate.as_millis()).unwrap_or(u64::MAX),
            replies_max: self.max_kept_replies as usize,
            bytes_max: self.kept_replies_size.as_usize(),
        }
    }

    /// The first key that was changed, if any.
    pub(super) fn changed(&self) -> Option<&'static str> {
        self.changed_of_repeats().or_else(|| self.changed_of_pool())
    }

    /// The first key that was changed and is not for `workers`, if any.
    pub(super) fn changed_of_repeats(&self) -> Option<&'static str> {
        let default = Self::default();
        let changed = [
            ("deduplicate", self.deduplicate != default.deduplicate),
            ("max_kept_replies", self.max_kept_replies != default.max_kept_replies),
            ("kept_replies_size", self.kept_replies_size != default.kept_replies_size),
        ];
        changed.into_iter().find(|(_, is_changed)| *is_changed).map(|(key, _)| key)
    }

    fn changed_of_pool(&self) -> Option<&'static str> {
        let default = Self::default();
        let changed = [
            ("worker_heartbeat", self.worker_heartbeat != default.worker_heartbeat),
            ("worker_liveness", self.worker_liveness != default.worker_liveness),
            ("worker_busy_silence", self.worker_busy_silence != default.worker_busy_silence),
            ("request_timeout", self.request_timeout != default.request_timeout),
            ("at_most_once", self.at_most_once != default.at_most_once),
            ("max_services", self.max_services != default.max_services),
            ("max_workers", self.max_workers != default.max_workers),
            ("max_queued_requests", self.max_queued_requests != default.max_queued_requests),
            ("queued_requests_size", self.queued_requests_size != default.queued_requests_size),
            ("max_requests", self.max_requests != default.max_requests),
            ("requests_size", self.requests_size != default.requests_size),
            ("max_client_requests", self.max_client_requests != default.max_client_requests),
        ];
        changed.into_iter().find(|(_, is_changed)| *is_changed).map(|(key, _)| key)
    }

    pub(super) fn validate(&self, path: &str, findings: &mut Findings) {
        let at = |key: &str| format!("{path}.{key}");
        if let Some(heartbeat) = self.worker_heartbeat {
            findings.time(&at("worker_heartbeat"), heartbeat, Duration::from_millis(10), HOUR);
        }
        findings.range(&at("worker_liveness"), self.worker_liveness, 1, 100);
        if let Some(silence) = self.worker_busy_silence {
            findings.time(&at("worker_busy_silence"), silence, Duration::ZERO, 24 * HOUR);
        }
        findings.time(&at("request_timeout"), self.request_timeout, Duration::from_millis(1), 24 * HOUR);
        findings.range(&at("max_services"), self.max_services, 1, 1_000_000);
        findings.range(&at("max_workers"), self.max_workers, 1, 1_000_000);
        findings.range(&at("max_queued_requests"), self.max_queued_requests, 1, 10_000_000);
        let largest = Size::mebibytes(1 << 20);
        findings.range(&at("queued_requests_size"), self.queued_requests_size, Size(64 << 10), largest);
        findings.range(&at("max_requests"), self.max_requests, 1, 10_000_000);
        findings.range(&at("requests_size"), self.requests_size, Size(64 << 10), largest);
        findings.range(&at("max_client_requests"), self.max_client_requests, 1, 1_000_000);
        findings.time(&at("deduplicate"), self.deduplicate, Duration::ZERO, 24 * HOUR);
        findings.range(&at("max_kept_replies"), self.max_kept_replies, 1, 10_000_000);
        findings.range(&at("kept_replies_size"), self.kept_replies_size, Size(64 << 10), largest);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::parse;

    fn endpoint(keys: &str) -> String {
        format!("zeromq: {{ endpoints: [{{ name: jobs, bind: 'tcp://127.0.0.1:5560', {keys} }}] }}")
    }

    #[test]
    fn its_keys_stand_among_the_others_and_become_limits() {
        let keys = "kind: service, worker_heartbeat: 200ms, worker_liveness: 5, worker_busy_silence: 1m, \
                    request_timeout: 2s, at_most_once: true, max_services: 1, max_workers: 2, \
                    max_queued_requests: 3, queued_requests_size: 1MiB, max_requests: 4, requests_size: 2MiB, \
                    max_client_requests: 5, deduplicate: 1m, max_kept_replies: 6, kept_replies_size: 3MiB";
        let config = parse(&endpoint(keys)).unwrap();
        config.validate().unwrap();
        let expected = PoolLimits {
            heartbeat_ms: 200,
            liveness: 5,
            busy_silence_ms: 60_000,
            wait_ms: 2_000,
            at_most_once: true,
            services_max: 1,
            workers_max: 2,
            queue_requests_max: 3,
            queue_bytes_max: 1 << 20,
            requests_max: 4,
            bytes_max: 2 << 20,
            joined_bytes_max: usize::MAX,
            client_requests_max: 5,
        };
        assert_eq!(config.zeromq.endpoints[0].pool.limits(PoolLimits::default()), expected);
        let expected = RepeatLimits { keep_ms: 60_000, replies_max: 6, bytes_max: 3 << 20 };
        assert_eq!(config.zeromq.endpoints[0].pool.repeats(), expected);
        assert_eq!(PoolConfig::default().repeats(), RepeatLimits::default());
        for default in [PoolLimits::default(), PoolLimits::paranoid_pirate()] {
            assert_eq!(PoolConfig::default().limits(default.clone()), default);
        }
    }

    #[test]
    fn what_does_not_go_together_is_named() {
        let says = |keys: &str| match parse(&endpoint(keys)).and_then(|config| config.validate()) {
            Ok(()) => String::new(),
            Err(error) => error.to_string(),
        };
        assert_eq!(says("kind: service"), "");
        assert_eq!(says("kind: workers, backend: 'tcp://127.0.0.1:5561', at_most_once: true"), "");
        for (keys, part) in [
            ("kind: workers", "backend"),
            ("kind: service, backend: 'tcp://127.0.0.1:5561'", "backend"),
            ("kind: service, queue: q", "queue"),
            ("kind: service, deduplicate: 2d", "deduplicate"),
            ("kind: workers, backend: 'tcp://127.0.0.1:5561', deduplicate: 1s", "deduplicate"),
            ("kind: workers, backend: 'tcp://127.0.0.1:5561', max_kept_replies: 7", "max_kept_replies"),
            ("kind: durable, kept_replies_size: 1MiB", "kept_replies_size"),
            ("kind: service, worker_liveness: 0", "worker_liveness"),
            ("kind: service, worker_heartbeat: 1ms", "worker_heartbeat"),
            ("kind: service, last_values: true", "last_values"),
            ("kind: durable, worker_heartbeat: 1s", "worker_heartbeat"),
            ("kind: durable, max_client_requests: 7", "max_client_requests"),
        ] {
            assert!(says(keys).contains(&format!("zeromq.endpoints[0].{part}")), "{keys}: {}", says(keys));
        }
    }
}
