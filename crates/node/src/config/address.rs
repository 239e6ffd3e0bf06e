//! Addresses to listen on.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use super::fields::Value;
use super::problem::ProblemKind;
use super::tree::{Node, Yaml};

/// Where a listener listens, or that it does not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Listen {
    /// The listener is not there.
    Off,
    /// An IP address and a port. Port 0: one that is free.
    At(SocketAddr),
}

impl Listen {
    /// The loopback address with this port.
    #[must_use]
    pub const fn loopback(port: u16) -> Self {
        Self::At(SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port))
    }

    /// The address, unless the listener is off.
    #[must_use]
    pub const fn address(self) -> Option<SocketAddr> {
        match self {
            Self::Off => None,
            Self::At(address) => Some(address),
        }
    }
}

impl Value for Listen {
    const EXPECTED: &'static str =
        "an address to listen on, as \"127.0.0.1:9001\" or \"[::]:9001\", or \"off\"";
    const KIND: &'static str = "address";

    fn parse(node: &Node) -> Result<Self, ProblemKind> {
        match &node.value {
            Yaml::Text(text) if text == "off" => Ok(Self::Off),
            Yaml::Text(text) => {
                socket_address(text).map(Self::At).map_err(|reason| Self::invalid(text, Some(reason)))
            }
            // To other readers of YAML the bare word `off` is this; ours takes it for the text it is.
            Yaml::Bool(false) => Ok(Self::Off),
            _ => Err(Self::wrong_type(node)),
        }
    }

    fn show(&self) -> String {
        match self {
            Self::Off => "off".to_owned(),
            Self::At(address) => address.to_string(),
        }
    }
}

/// A ZeroMQ endpoint to bind: `tcp://127.0.0.1:5551`, `tcp://*:5551`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bind(pub SocketAddr);

impl Bind {
    const SCHEME: &'static str = "tcp://";
}

impl std::fmt::Display for Bind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}{}", Self::SCHEME, self.0)
    }
}

impl Value for Bind {
    const EXPECTED: &'static str = "a ZeroMQ endpoint to bind, as \"tcp://127.0.0.1:5551\"";
    const KIND: &'static str = "endpoint";

    fn parse(node: &Node) -> Result<Self, ProblemKind> {
        let Yaml::Text(text) = &node.value else { return Err(Self::wrong_type(node)) };
        let Some(rest) = text.strip_prefix(Self::SCHEME) else {
            return Err(Self::invalid(text, "it must begin with tcp://".to_owned()));
        };
        socket_address(rest).map(Self).map_err(|reason| Self::invalid(text, Some(reason)))
    }

    fn show(&self) -> String {
        self.to_string()
    }
}

/// Reads `host:port`, where the host is an IP address, `localhost`, or `*` for all IPv4 addresses.
///
/// Names other than `localhost` are not looked up: what a name means can change between two starts, and what
/// a node listens on must not.
///
/// # Errors
/// A sentence about what is wrong.
pub fn socket_address(text: &str) -> Result<SocketAddr, String> {
    let (host, port) = text.rsplit_once(':').ok_or("the port is missing")?;
    let digits = !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit());
    let port: u16 = match port.parse() {
        Ok(port) if digits => port,
        _ if digits => return Err(format!("the port {port} is out of range: it must be from 0 to 65535")),
        _ => return Err("the port is not a number".into()),
    };
    let host = match host {
        "localhost" => IpAddr::V4(Ipv4Addr::LOCALHOST),
        "*" => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        host => host
            .strip_prefix('[')
            .and_then(|host| host.strip_suffix(']'))
            .map_or_else(
                || host.parse::<Ipv4Addr>().map(IpAddr::V4).ok(),
                |host| host.parse().map(IpAddr::V6).ok(),
            )
            .ok_or("the host must be an IP address (IPv6 in brackets), localhost or *")?,
    };
    Ok(SocketAddr::new(host, port))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_numbers_localhost_or_all() {
        for (text, address) in [
            ("127.0.0.1:9001", "127.0.0.1:9001"),
            ("localhost:1", "127.0.0.1:1"),
            ("*:5551", "0.0.0.0:5551"),
            ("[::1]:80", "[::1]:80"),
        ] {
            assert_eq!(socket_address(text), Ok(address.parse().unwrap()), "{text}");
        }
        for text in ["9001", "127.0.0.1", "127.0.0.1:", "127.0.0.1:+1", "::1:80", "example.org:80", ":80", ""]
        {
            assert!(socket_address(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_port_out_of_range_is_named() {
        assert_eq!(
            socket_address("127.0.0.1:70000"),
            Err("the port 70000 is out of range: it must be from 0 to 65535".into())
        );
    }
}
