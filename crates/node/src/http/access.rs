//! Who may ask what.

use std::net::{IpAddr, SocketAddr};

use axum::http::{HeaderMap, header};

/// What somebody wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Operation {
    /// Whether the node lives and is ready: yes or no.
    Probe,
    /// Details, metrics, versions, the log level.
    Read,
    /// Change the log level.
    Manage,
}

/// What a key allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyVerdict {
    /// The operation.
    Allowed,
    /// The key is known, and its owner may not do this.
    Forbidden,
    /// The key is not known.
    Unknown,
}

/// Something that knows API keys. It is asked once for each request that shows one.
pub trait KeyCheck: Send + Sync + 'static {
    /// Whether the owner of `key` may do `operation`. Must take the same time for every key.
    fn check(&self, peer: SocketAddr, key: &[u8], operation: Operation) -> KeyVerdict;

    /// Whether peers without a key may be let in from elsewhere, and from this machine; none: as the configuration says
    /// that the node was started with.
    fn lets_in(&self) -> Option<(bool, bool)> {
        None
    }
}

/// Knows no key.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoKeys;

impl KeyCheck for NoKeys {
    fn check(&self, _peer: SocketAddr, _key: &[u8], _operation: Operation) -> KeyVerdict {
        KeyVerdict::Unknown
    }
}

/// What an asker gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Grant {
    /// Everything there is to the operation.
    Full,
    /// Yes or no, without details.
    Bare,
    /// Nothing, until the asker says who it is.
    Unauthenticated,
    /// Nothing.
    Forbidden,
}

/// Decides about one request. `trusts_loopback`: nobody has to say who it is there, and may change what it wants.
/// Otherwise it may still look.
pub(super) fn decide(
    peer: SocketAddr,
    headers: &HeaderMap,
    operation: Operation,
    allow_unauthenticated: bool,
    trusts_loopback: bool,
    keys: &dyn KeyCheck,
) -> Grant {
    let verdict = bearer(headers).map(|key| keys.check(peer, key, operation));
    match (verdict, operation) {
        (Some(KeyVerdict::Allowed), _) => Grant::Full,
        (_, operation) if is_local(peer, headers) && (trusts_loopback || operation != Operation::Manage) => {
            Grant::Full
        }
        (_, Operation::Read | Operation::Probe) if allow_unauthenticated => Grant::Full,
        (_, Operation::Probe) => Grant::Bare,
        (Some(KeyVerdict::Forbidden), _) => Grant::Forbidden,
        _ => Grant::Unauthenticated,
    }
}

fn bearer(headers: &HeaderMap) -> Option<&[u8]> {
    let value = headers.get(header::AUTHORIZATION)?.as_bytes();
    let (scheme, key) = value.split_at_checked("Bearer ".len())?;
    scheme.eq_ignore_ascii_case(b"Bearer ").then_some(key)
}

/// Whether the request comes from this machine and was meant for it.
fn is_local(peer: SocketAddr, headers: &HeaderMap) -> bool {
    const FORWARDED: [&str; 4] = ["forwarded", "x-forwarded-for", "x-forwarded-host", "x-real-ip"];
    let is_forwarded = FORWARDED.iter().any(|name| headers.contains_key(*name));
    let mut hosts = headers.get_all(header::HOST).iter();
    let is_meant = match (hosts.next(), hosts.next()) {
        // HTTP/1.0 without a host: no browser speaks so.
        (None, _) => true,
        (Some(host), None) => host.to_str().is_ok_and(is_local_host),
        _ => false,
    };
    peer.ip().to_canonical().is_loopback() && !is_forwarded && is_meant
}

fn is_local_host(host: &str) -> bool {
    let name = match (host.strip_prefix('['), host.rsplit_once(':')) {
        (Some(rest), _) => rest.split(']').next().unwrap_or_default(),
        (None, Some((name, _))) => name,
        (None, None) => host,
    };
    name.eq_ignore_ascii_case("localhost") || name.parse().is_ok_and(|ip: IpAddr| ip.is_loopback())
}

#[cfg(test)]
mod tests {
    use axum::http::{HeaderName, HeaderValue};

    use super::*;

    struct OneKey;

    impl KeyCheck for OneKey {
        fn check(&self, _: SocketAddr, key: &[u8], operation: Operation) -> KeyVerdict {
            match (key, operation) {
                (b"reader", Operation::Manage) => KeyVerdict::Forbidden,
                (b"reader" | b"manager", _) => KeyVerdict::Allowed,
                _ => KeyVerdict::Unknown,
            }
        }
    }

    fn grant(
        peer: &str,
        headers: &[(&'static str, &'static str)],
        operation: Operation,
        open: bool,
    ) -> Grant {
        grant_where(peer, headers, operation, open, true)
    }

    fn grant_where(
        peer: &str,
        headers: &[(&'static str, &'static str)],
        operation: Operation,
        open: bool,
        trusts_loopback: bool,
    ) -> Grant {
        let headers = headers
            .iter()
            .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)))
            .collect();
        decide(peer.parse().unwrap(), &headers, operation, open, trusts_loopback, &OneKey)
    }

    const NEAR: &str = "127.0.0.1:4000";
    const FAR: &str = "192.0.2.1:4000";

    #[test]
    fn loopback_may_do_everything() {
        for peer in [NEAR, "[::1]:4000", "[::ffff:127.0.0.1]:4000"] {
            for host in ["localhost:8080", "127.0.0.1", "[::1]:8080", "LOCALHOST"] {
                assert_eq!(
                    grant(peer, &[("host", host)], Operation::Manage, false),
                    Grant::Full,
                    "{peer} {host}"
                );
            }
        }
        assert_eq!(grant(NEAR, &[], Operation::Manage, false), Grant::Full);
    }

    #[test]
    fn where_keys_are_asked_for_loopback_may_look_and_not_change() {
        let ask = |headers: &[_], operation| grant_where(NEAR, headers, operation, false, false);
        assert_eq!(ask(&[], Operation::Probe), Grant::Full);
        assert_eq!(ask(&[], Operation::Read), Grant::Full);
        assert_eq!(ask(&[], Operation::Manage), Grant::Unauthenticated);
        assert_eq!(ask(&[("authorization", "Bearer reader")], Operation::Manage), Grant::Forbidden);
        assert_eq!(ask(&[("authorization", "Bearer manager")], Operation::Manage), Grant::Full);
    }

    #[test]
    fn a_page_that_leads_a_browser_to_loopback_gets_nothing() {
        for host in ["evil.example", "evil.example:8080", "localhost.evil.example", "192.0.2.7", ""] {
            let grant = grant(NEAR, &[("host", host)], Operation::Read, false);
            assert_eq!(grant, Grant::Unauthenticated, "{host}");
        }
    }

    #[test]
    fn a_proxy_on_this_machine_is_not_this_machine() {
        let headers = [("host", "localhost"), ("x-forwarded-for", "192.0.2.9")];
        assert_eq!(grant(NEAR, &headers, Operation::Manage, false), Grant::Unauthenticated);
    }

    #[test]
    fn others_show_a_key_and_get_yes_or_no_without_one() {
        assert_eq!(grant(FAR, &[], Operation::Probe, false), Grant::Bare);
        assert_eq!(grant(FAR, &[], Operation::Read, false), Grant::Unauthenticated);
        let reader = [("authorization", "Bearer reader")];
        assert_eq!(grant(FAR, &reader, Operation::Read, false), Grant::Full);
        assert_eq!(grant(FAR, &reader, Operation::Manage, false), Grant::Forbidden);
        assert_eq!(grant(FAR, &[("authorization", "bearer manager")], Operation::Manage, false), Grant::Full);
        for wrong in ["Bearer nobody", "Basic reader", "Bearer", "reader", ""] {
            let grant = grant(FAR, &[("authorization", wrong)], Operation::Read, false);
            assert_eq!(grant, Grant::Unauthenticated, "{wrong}");
        }
    }

    #[test]
    fn the_flag_in_capitals_lets_others_read_and_never_change() {
        assert_eq!(grant(FAR, &[], Operation::Read, true), Grant::Full);
        assert_eq!(grant(FAR, &[], Operation::Manage, true), Grant::Unauthenticated);
    }
}
