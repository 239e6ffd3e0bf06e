//! The sockets of `omq-tokio`.
//!
//! What it does otherwise than libzmq, and what is done about it here: it lingers for no time unless told to, so
//! sockets that end in good order are told; a second subscription to a prefix is not counted, so [`Subscriber`](super::Subscriber) counts; its
//! REQ cannot be relaxed or correlated, so requests go by DEALER.

use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use omq_tokio::{
    CurveKeypair, CurvePublicKey, CurveSecretKey, Endpoint, Message, Options, SocketType, TrySendError,
};

use crate::zeromq::socket::{Connector, Frames, Socket, SocketError};

/// Makes `DEALER`, `SUB`, `PUB` or `REP` sockets, of crate `omq-tokio`, over TCP or IPC. Without [`plain`](Self::plain)
/// or [`curve`](Self::curve) they have no security (ZMTP's `NULL`).
///
/// With several addresses a `DEALER` connects to one at a time, and each further socket to the next, so that a request
/// that is not answered is repeated elsewhere, as in the Guide's Freelance pattern. All others connect to all at once.
///
/// Its sockets live in the Tokio runtime in which they are made.
#[derive(Clone)]
pub struct OmqConnector {
    socket_type: SocketType,
    endpoints: Vec<Endpoint>,
    next: usize,
    /// Whether its sockets wait for connections in place of making them.
    binds: bool,
    /// Whether it has a password or a key to show.
    has_credentials: bool,
    options: Options,
    linger: Duration,
}

/// How long a closed socket that is to linger sends what is queued.
const LINGER: Duration = Duration::from_secs(1);
/// Largest message that is read, in bytes, all its frames together. A larger one ends the connection.
const MESSAGE_BYTES_MAX: usize = 32 * 1024 * 1024;
/// Most bytes of a name or a password of PLAIN.
const PLAIN_BYTES_MAX: usize = 255;

impl OmqConnector {
    /// Makes sockets for requests and workers. Addresses are as `tcp://host:port` or `ipc://path`, at least one.
    ///
    /// # Errors
    /// [`SocketError::Configuration`] for what is no address, or where there is none.
    pub fn dealer<E: AsRef<str>>(endpoints: impl IntoIterator<Item = E>) -> Result<Self, SocketError> {
        Self::new(SocketType::Dealer, endpoints)
    }

    /// Makes sockets for a [`Subscriber`](super::Subscriber). Addresses as for [`dealer`](Self::dealer).
    ///
    /// # Errors
    /// As for [`dealer`](Self::dealer).
    pub fn subscriber<E: AsRef<str>>(endpoints: impl IntoIterator<Item = E>) -> Result<Self, SocketError> {
        Self::new(SocketType::Sub, endpoints)
    }

    /// Makes sockets for a [`Publisher`](super::Publisher). Addresses as for [`dealer`](Self::dealer).
    ///
    /// # Errors
    /// As for [`dealer`](Self::dealer).
    pub fn publisher<E: AsRef<str>>(endpoints: impl IntoIterator<Item = E>) -> Result<Self, SocketError> {
        Self::new(SocketType::Pub, endpoints)
    }

    /// Makes sockets for a [`Replier`](super::Replier). Addresses as for [`dealer`](Self::dealer).
    ///
    /// # Errors
    /// As for [`dealer`](Self::dealer).
    pub fn replier<E: AsRef<str>>(endpoints: impl IntoIterator<Item = E>) -> Result<Self, SocketError> {
        Self::new(SocketType::Rep, endpoints)
    }

    fn new<E: AsRef<str>>(
        socket_type: SocketType,
        endpoints: impl IntoIterator<Item = E>,
    ) -> Result<Self, SocketError> {
        let endpoints = endpoints.into_iter().map(|one| one.as_ref().parse()).collect::<Result<Vec<_>, _>>();
        let endpoints: Vec<Endpoint> = endpoints.map_err(failed)?;
        if endpoints.is_empty() {
            return Err(SocketError::Configuration("there is no address".into()));
        }
        let options = Options::default().linger(Duration::ZERO).max_message_size(MESSAGE_BYTES_MAX);
        Ok(Self {
            socket_type,
            endpoints,
            next: 0,
            binds: false,
            has_credentials: false,
            options,
            linger: LINGER,
        })
    }

    /// Has its sockets wait for connections at all their addresses, in place of making them: `tcp://*:6000` is each
    /// address of the machine. Whoever reaches the address is served (ZMTP's `NULL`): a connector with
    /// [`plain`](Self::plain) or [`curve`](Self::curve), which are a client's, makes no such sockets.
    #[must_use]
    pub fn bound(self) -> Self {
        Self { binds: true, ..self }
    }

    /// Asks a peer of ZMTP 3.1 or later every `interval` for a sign of life (its `PING`), and takes the connection for lost
    /// when for as long nothing comes. Default: only what TCP tells. At least 1 ms.
    #[must_use]
    pub fn heartbeats(mut self, interval: Duration) -> Self {
        let interval = interval.max(Duration::from_millis(1));
        self.options = self.options.heartbeat_interval(interval).heartbeat_timeout(interval);
        self
    }

    /// How long a socket that is closed in good order still sends what is queued. Default 1 s.
    #[must_use]
    pub fn linger(self, linger: Duration) -> Self {
        Self { linger, ..self }
    }

    /// Most messages queued to send, and as many received and not taken; more of the former are
    /// [`SocketError::Full`], of the latter are left to the peer. Default 1,000, at least 1.
    #[must_use]
    pub fn high_water_mark(mut self, messages: u32) -> Self {
        self.options = self.options.send_hwm(messages.max(1)).recv_hwm(messages.max(1));
        self
    }

    /// Largest message that is read, in bytes, all its frames together. Default 32 MiB.
    #[must_use]
    pub fn max_message_size(mut self, bytes: usize) -> Self {
        self.options = self.options.max_message_size(bytes);
        self
    }

    /// Shows a name and a password, RFC 24/PLAIN, which anybody on the way can read: 0 to 255 visible ASCII characters
    /// each.
    ///
    /// # Errors
    /// [`SocketError::Configuration`] for other names and passwords.
    pub fn plain(mut self, username: &str, password: &str) -> Result<Self, SocketError> {
        let sound =
            |text: &str| text.len() <= PLAIN_BYTES_MAX && text.bytes().all(|byte| byte.is_ascii_graphic());
        if !sound(username) || !sound(password) {
            let reason = "a name and a password have at most 255 visible ASCII characters";
            return Err(SocketError::Configuration(reason.into()));
        }
        self.options = self.options.plain_client(username, password);
        self.has_credentials = true;
        Ok(self)
    }

    /// Encrypts, and shows the key of this side, RFC 26/CURVE: the server's public key and this side's secret one, in 40
    /// characters of Z85 (RFC 32).
    ///
    /// # Errors
    /// [`SocketError::Configuration`] for what is no key.
    pub fn curve(mut self, server_public_key: &str, secret_key: &str) -> Result<Self, SocketError> {
        // What is wrong with a secret is not said.
        let key_error =
            |which: &str| SocketError::Configuration(format!("{which} is not 40 characters of Z85"));
        let server = CurvePublicKey::from_z85(server_public_key).map_err(|_| key_error("the public key"))?;
        let secret = CurveSecretKey::from_z85(secret_key).map_err(|_| key_error("the secret key"))?;
        let keys = CurveKeypair { public: secret.derive_public(), secret };
        self.options = self.options.curve_client(keys, server);
        self.has_credentials = true;
        Ok(self)
    }

    /// Where the next socket connects to.
    fn take_turn(&mut self) -> Vec<Endpoint> {
        if self.socket_type != SocketType::Dealer {
            return self.endpoints.clone();
        }
        let turn = self.next;
        self.next = (turn + 1) % self.endpoints.len().max(1);
        self.endpoints.get(turn).cloned().into_iter().collect()
    }
}

impl fmt::Debug for OmqConnector {
    /// Without the options, which hold secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OmqConnector")
            .field("socket_type", &self.socket_type)
            .field("endpoints", &self.endpoints)
            .finish_non_exhaustive()
    }
}

impl Connector for OmqConnector {
    type Socket = OmqSocket;

    async fn connect(&mut self) -> Result<OmqSocket, SocketError> {
        if self.binds && self.has_credentials {
            let reason = "a socket that waits for connections has nobody to show a password or a key to";
            return Err(SocketError::Configuration(reason.into()));
        }
        let socket = omq_tokio::Socket::try_new(self.socket_type, self.options.clone()).map_err(failed)?;
        if self.binds {
            for endpoint in &self.endpoints {
                socket.bind(endpoint.clone()).await.map_err(failed)?;
            }
            return Ok(OmqSocket { socket, linger: self.linger });
        }
        for endpoint in self.take_turn() {
            socket.connect(endpoint).await.map_err(failed)?;
        }
        Ok(OmqSocket { socket, linger: self.linger })
    }
}

/// A socket of crate `omq-tokio`.
#[derive(Debug)]
pub struct OmqSocket {
    socket: omq_tokio::Socket,
    linger: Duration,
}

impl OmqSocket {
    /// Where it waits for connections, with the port that it was given; `None` if it does not.
    #[must_use]
    pub fn bound_to(&self) -> Option<String> {
        self.socket.last_bound_endpoint().map(|endpoint| endpoint.to_string())
    }
}

impl Socket for OmqSocket {
    fn send(&mut self, frames: Frames) -> Result<(), SocketError> {
        self.socket.try_send(Message::multipart(frames)).map_err(|error| match error {
            TrySendError::Full(_) => SocketError::Full,
            TrySendError::Closed => SocketError::Closed,
            TrySendError::Error(error) => failed(error),
        })
    }

    async fn recv(&mut self) -> Result<Frames, SocketError> {
        let message = self.socket.recv().await.map_err(failed)?;
        Ok((0..message.len()).filter_map(|part| message.part_bytes(part)).collect())
    }

    async fn subscribe(&mut self, prefix: Bytes) -> Result<(), SocketError> {
        self.socket.subscribe(prefix).await.map_err(failed)
    }

    async fn unsubscribe(&mut self, prefix: Bytes) -> Result<(), SocketError> {
        self.socket.unsubscribe(prefix).await.map_err(failed)
    }

    async fn close(self, linger: bool) {
        let linger = if linger { self.linger } else { Duration::ZERO };
        if let Err(error) = self.socket.close_with_linger(Some(linger)).await {
            tracing::debug!(%error, "a ZeroMQ socket did not close in good order");
        }
    }
}

fn failed(error: omq_tokio::Error) -> SocketError {
    match error {
        omq_tokio::Error::Closed => SocketError::Closed,
        omq_tokio::Error::WouldBlock => SocketError::Full,
        omq_tokio::Error::InvalidEndpoint(_)
        | omq_tokio::Error::UnsupportedScheme(_)
        | omq_tokio::Error::Config(_) => SocketError::Configuration(error.to_string()),
        other => SocketError::Failed(other.to_string()),
    }
}
