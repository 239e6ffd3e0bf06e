//! The address of a member.

use super::super::error::DiscoveryError;
use super::options::wrong;

/// A member of the cluster: `http://host:port`, taken apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Target {
    pub(super) has_tls: bool,
    /// `host:port`.
    pub(super) authority: String,
}

impl Target {
    pub(super) fn parse(endpoint: &str) -> Result<Self, DiscoveryError> {
        // What stands before an `@` may be a password, which is for no log.
        let shown =
            endpoint.rsplit_once('@').map_or_else(|| endpoint.to_owned(), |(_, rest)| format!("…@{rest}"));
        let (scheme, rest) = endpoint.split_once("://").unwrap_or(("http", endpoint));
        let has_tls = match scheme {
            "http" => false,
            "https" => true,
            _ => return Err(wrong("endpoint", format!("{shown}: it begins with http:// or https://"))),
        };
        let authority = rest.trim_end_matches('/');
        let has_port = authority
            .rsplit_once(':')
            .is_some_and(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok());
        if !has_port || authority.contains(|c: char| c == '/' || c == '@' || c.is_whitespace()) {
            return Err(wrong(
                "endpoint",
                format!("{shown}: it must be http://host:port; a user is an option of its own"),
            ));
        }
        Ok(Self { has_tls, authority: authority.to_owned() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endpoint_is_a_scheme_a_host_and_a_port() {
        let target = |has_tls, authority: &str| Target { has_tls, authority: authority.into() };
        assert_eq!(Target::parse("http://etcd:2379").unwrap(), target(false, "etcd:2379"));
        assert_eq!(Target::parse("https://[::1]:2379/").unwrap(), target(true, "[::1]:2379"));
        assert_eq!(Target::parse("etcd:2379").unwrap(), target(false, "etcd:2379"));
        for wrong in ["etcd", "http://etcd", "ftp://etcd:1", "http://a:1/v3", "http://u@a:1", "http://:1", ""]
        {
            assert!(Target::parse(wrong).is_err(), "{wrong}");
        }
        let refusal = Target::parse("http://root:s3cret@etcd:2379").unwrap_err().to_string();
        assert!(refusal.contains("etcd:2379") && !refusal.contains("s3cret"), "{refusal}");
    }
}
