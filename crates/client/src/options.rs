//! How a client connects.

use std::time::Duration;

use bytes::Bytes;
use swarmmq_protocol::limits::FIELD_BYTES_MAX;
use swarmmq_protocol::native::Credential;

use crate::client::Client;
use crate::error::{Error, Misuse};
use crate::tls::TlsOptions;

/// How a client connects, and what it allows itself.
///
/// ```no_run
/// # use std::time::Duration;
/// # async fn example() -> Result<(), swarmmq::Error> {
/// let client = swarmmq::Client::builder()
///     .address("node-1:4070")
///     .address("node-2:4070")
///     .api_key("s3cret")
///     .request_timeout(Duration::from_secs(10))
///     .connect()
///     .await?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct ClientOptions {
    /// Where nodes listen, as `host:port`. They are tried in turn. At least one.
    pub addresses: Vec<String>,
    /// What the client calls itself in the node's logs, at most 255 bytes. Default `swarmmq-rust`.
    pub name: String,
    /// How the client shows who it is. Default: it does not.
    pub credential: Credential,
    /// TLS 1.3; default none, which is for loopback and trusted networks: an API key is readable on
    /// the way.
    pub tls: Option<TlsOptions>,
    /// Time for one address to be reached and to welcome the client. Default 5 s.
    pub connect_timeout: Duration,
    /// Time for a request, all its repetitions included. Default 30 s.
    pub request_timeout: Duration,
    /// A connection on which nothing came for this long is asked for a sign of life, and is given up
    /// after as long again. Default 10 s; never longer than a third of what the node allows.
    pub keep_alive: Duration,
    /// The first pause before connecting again is at most this. Default 50 ms.
    pub reconnect_delay_min: Duration,
    /// Pauses double up to this. Each is drawn evenly between zero and its bound ("full jitter"), so
    /// that clients do not come back all at once. Default 5 s.
    pub reconnect_delay_max: Duration,
    /// Most requests under way besides puts and settlements, which have limits of their own. Further
    /// ones wait. Default 1,024.
    pub requests_max: usize,
}

impl Default for ClientOptions {
    fn default() -> Self {
        Self {
            addresses: Vec::new(),
            name: "swarmmq-rust".into(),
            credential: Credential::None,
            tls: None,
            connect_timeout: Duration::from_secs(5),
            request_timeout: Duration::from_secs(30),
            keep_alive: Duration::from_secs(10),
            reconnect_delay_min: Duration::from_millis(50),
            reconnect_delay_max: Duration::from_secs(5),
            requests_max: 1024,
        }
    }
}

impl ClientOptions {
    /// Adds an address, as `host:port`.
    #[must_use]
    pub fn address(mut self, address: impl Into<String>) -> Self {
        self.addresses.push(address.into());
        self
    }

    /// Sets what the client calls itself.
    #[must_use]
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = name.into();
        self
    }

    /// Sets an API key.
    #[must_use]
    pub fn api_key(mut self, key: impl Into<Bytes>) -> Self {
        self.credential = Credential::ApiKey(key.into());
        self
    }

    /// Switches TLS on.
    #[must_use]
    pub fn tls(mut self, tls: TlsOptions) -> Self {
        self.tls = Some(tls);
        self
    }

    /// Sets the time for one address to be reached and to welcome the client.
    #[must_use]
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.connect_timeout = timeout;
        self
    }

    /// Sets the time for a request.
    #[must_use]
    pub fn request_timeout(mut self, timeout: Duration) -> Self {
        self.request_timeout = timeout;
        self
    }

    /// Sets after how long a silent connection is asked for a sign of life.
    #[must_use]
    pub fn keep_alive(mut self, interval: Duration) -> Self {
        self.keep_alive = interval;
        self
    }

    /// Sets the bounds of the pauses before connecting again.
    #[must_use]
    pub fn reconnect_delay(mut self, min: Duration, max: Duration) -> Self {
        self.reconnect_delay_min = min;
        self.reconnect_delay_max = max;
        self
    }

    /// Sets how many requests may be under way.
    #[must_use]
    pub fn requests_max(mut self, requests: usize) -> Self {
        self.requests_max = requests;
        self
    }

    /// Checks that the options can be used.
    ///
    /// # Errors
    /// [`Misuse::Option`] names the first that cannot.
    pub fn validate(&self) -> Result<(), Misuse> {
        let wrong = |option, value: String, reason| Err(Misuse::Option { option, value, reason });
        if self.addresses.is_empty() {
            return wrong("addresses", "empty".into(), "there must be one to connect to");
        }
        if let Some(address) = self.addresses.iter().find(|address| !has_port(address)) {
            return wrong("address", address.clone(), "it must be host:port");
        }
        if self.name.len() > FIELD_BYTES_MAX {
            return wrong("name", format!("{} bytes long", self.name.len()), "the limit is 255 bytes");
        }
        if let Credential::ApiKey(key) = &self.credential
            && (key.is_empty() || key.len() > FIELD_BYTES_MAX)
        {
            return wrong("api_key", format!("{} bytes long", key.len()), "it has 1 to 255 bytes");
        }
        for (option, value) in [
            ("connect_timeout", self.connect_timeout),
            ("request_timeout", self.request_timeout),
            ("keep_alive", self.keep_alive),
            ("reconnect_delay_min", self.reconnect_delay_min),
        ] {
            if value.is_zero() {
                return wrong(option, "zero".into(), "it must be at least a millisecond");
            }
        }
        if self.reconnect_delay_max < self.reconnect_delay_min {
            let value = format!("{:?}", self.reconnect_delay_max);
            return wrong("reconnect_delay_max", value, "it must not be less than reconnect_delay_min");
        }
        if self.requests_max == 0 {
            return wrong("requests_max", "zero".into(), "it must be at least 1");
        }
        Ok(())
    }

    /// Connects, and waits until a node has welcomed the client.
    ///
    /// Dropping the future gives the attempt up.
    ///
    /// # Errors
    /// [`Error::HandshakeRefused`] where a node answered and does not want the client,
    /// [`Error::Connect`] where no address answered, [`Error::Misuse`] and [`Error::Tls`] where the
    /// options cannot be used.
    pub async fn connect(self) -> Result<Client, Error> {
        Client::connect_with(self).await
    }
}

fn has_port(address: &str) -> bool {
    address.rsplit_once(':').is_some_and(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_that_cannot_be_are_named() {
        let name_of = |options: ClientOptions| match options.validate() {
            Err(Misuse::Option { option, .. }) => option,
            other => panic!("{other:?}"),
        };
        let good = ClientOptions::default().address("localhost:4070");
        assert_eq!(good.validate(), Ok(()));
        assert_eq!(name_of(ClientOptions::default()), "addresses");
        assert_eq!(name_of(good.clone().address("localhost")), "address");
        assert_eq!(name_of(good.clone().api_key("")), "api_key");
        assert_eq!(name_of(good.clone().keep_alive(Duration::ZERO)), "keep_alive");
        let backwards = good.reconnect_delay(Duration::from_secs(2), Duration::from_secs(1));
        assert_eq!(name_of(backwards), "reconnect_delay_max");
    }
}
