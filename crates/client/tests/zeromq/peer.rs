//! The other side: a bound socket, of which the tests read and write the frames.

use std::time::Duration;

use bytes::Bytes;
use omq_tokio::{Endpoint, Message, Options, Socket, SocketType};

use crate::soon;

pub(crate) type Frames = Vec<Bytes>;

/// A bound socket.
pub(crate) struct Peer {
    socket: Socket,
    endpoint: Endpoint,
}

impl Peer {
    pub(crate) async fn bind(socket_type: SocketType, endpoint: &str) -> Self {
        Self::bind_with(socket_type, endpoint, Options::default()).await
    }

    pub(crate) async fn bind_with(socket_type: SocketType, endpoint: &str, options: Options) -> Self {
        let socket = Socket::new(socket_type, options.linger(Duration::from_secs(1)));
        let endpoint = socket.bind(endpoint).await.unwrap();
        Self { socket, endpoint }
    }

    pub(crate) async fn router() -> Self {
        Self::bind(SocketType::Router, "tcp://127.0.0.1:0").await
    }

    pub(crate) fn address(&self) -> String {
        self.endpoint.to_string()
    }

    pub(crate) async fn recv(&self, what: &str) -> Frames {
        let message = soon(what, self.socket.recv()).await.unwrap();
        (0..message.len()).map(|part| message.part_bytes(part).unwrap()).collect()
    }

    pub(crate) async fn send(&self, frames: Frames) {
        soon("room to send", self.socket.send(Message::multipart(frames))).await.unwrap();
    }

    /// Waits until nobody is connected.
    pub(crate) async fn deserted(&self) {
        let deserted = async {
            while !self.socket.connections().await.unwrap().is_empty() {
                tokio::task::yield_now().await;
            }
        };
        soon("the end of all connections", deserted).await;
    }

    pub(crate) async fn close(self) {
        self.socket.close_with_linger(Some(Duration::ZERO)).await.unwrap();
    }
}

pub(crate) fn frames(words: &[&[u8]]) -> Frames {
    words.iter().map(|word| Bytes::copy_from_slice(word)).collect()
}

/// A message to a peer of a ROUTER: whose frames are behind its address.
pub(crate) fn to(address: &Bytes, words: &[&[u8]]) -> Frames {
    std::iter::once(address.clone()).chain(frames(words)).collect()
}
