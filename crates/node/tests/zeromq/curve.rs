//! RFC 26/CURVEZMQ: who is let in.

use std::sync::Arc;

use bytes::Bytes;
use omq_proto::proto::{Connection, ConnectionConfig, Event, Role};
use omq_proto::{CurveKeypair, MechanismSetup, Message, SocketType};
use swarmmq_node::config::{CurveSecretKey, parse};
use swarmmq_node::security::Gate;
use swarmmq_node::zeromq::{Bind, EndpointKind, EndpointOptions, Limits, Reason, Security};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::raw::{Endpoint, PATIENCE};

pub(crate) struct World {
    pub(crate) endpoint: Endpoint,
    pub(crate) gate: Arc<Gate>,
    pub(crate) server: CurveKeypair,
    pub(crate) ada: CurveKeypair,
}

fn security(users: &[(&str, &CurveKeypair)]) -> String {
    let users: Vec<_> = users
        .iter()
        .map(|(name, keys)| format!("{{ name: {name}, curve_public_key: '{}' }}", keys.public.to_z85()))
        .collect();
    format!("security: {{ users: [{}] }}", users.join(", "))
}

pub(crate) fn world() -> World {
    world_with(Limits::default())
}

pub(crate) fn world_with(limits: Limits) -> World {
    let (server, ada) = (CurveKeypair::generate(), CurveKeypair::generate());
    let gate = Arc::new(Gate::new(parse(&security(&[("ada", &ada)])).unwrap().security));
    let bind = Bind::Tcp(([127, 0, 0, 1], 0).into());
    let curve = CurveSecretKey(*server.secret.as_bytes());
    let options = EndpointOptions::new("test", EndpointKind::Durable, bind)
        .limits(limits)
        .security(Security { null: false, curve: Some(curve), ..Security::default() });
    World { endpoint: Endpoint::guarded(options, &gate), gate, server, ada }
}

/// A DEALER whose bytes can be changed on their way.
pub(crate) struct Client {
    stream: TcpStream,
    connection: Connection,
}

impl Client {
    pub(crate) async fn new(world: &World, keys: &CurveKeypair) -> Self {
        Self::for_server(world, keys, &world.server).await
    }

    pub(crate) async fn for_server(world: &World, keys: &CurveKeypair, server: &CurveKeypair) -> Self {
        let setup = MechanismSetup::CurveClient { our_keypair: keys.clone(), server_public: server.public };
        let config = ConnectionConfig::new(Role::Client, SocketType::Dealer).mechanism(setup);
        Self { stream: world.endpoint.tcp().await, connection: Connection::new(config) }
    }

    fn pending(&mut self) -> Vec<u8> {
        let mut all = Vec::new();
        while self.connection.has_pending_transmit() {
            let bytes = self.connection.poll_transmit();
            self.connection.advance_transmit(bytes.len());
            all.extend_from_slice(&bytes);
        }
        all
    }

    /// Writes what is to be written, as `change` makes it, and reads once. False: the node has closed.
    async fn turn(&mut self, change: &mut impl FnMut(Vec<u8>) -> Vec<u8>) -> bool {
        let bytes = self.pending();
        if !bytes.is_empty() {
            let _ = self.stream.write_all(&change(bytes)).await;
        }
        let mut buffer = [0; 4096];
        match timeout(PATIENCE, self.stream.read(&mut buffer)).await.expect("the node answers") {
            Ok(0) | Err(_) => false,
            Ok(read) => self.connection.handle_input(Bytes::copy_from_slice(&buffer[..read])).is_ok(),
        }
    }

    /// Whether the handshake comes to its end.
    pub(crate) async fn enter(&mut self, mut change: impl FnMut(Vec<u8>) -> Vec<u8>) -> bool {
        loop {
            while let Some(event) = self.connection.poll_event() {
                if matches!(event, Event::HandshakeSucceeded { .. }) {
                    return true;
                }
            }
            if !self.turn(&mut change).await {
                return false;
            }
        }
    }

    pub(crate) fn ping(&mut self) -> Vec<u8> {
        let frames = ["SWMQ1", "1", "PING"].map(|text| Bytes::from_static(text.as_bytes()));
        self.connection.send_message(&Message::multipart(frames)).unwrap();
        self.pending()
    }

    /// Writes bytes and says whether a message comes back.
    pub(crate) async fn answers(&mut self, bytes: &[u8]) -> bool {
        if self.stream.write_all(bytes).await.is_err() {
            return false;
        }
        loop {
            if let Some(answer) = self.connection.poll_message() {
                return answer.part_bytes(2).unwrap() == "OK";
            }
            if !self.turn(&mut |bytes| bytes).await {
                return false;
            }
        }
    }
}

#[tokio::test]
async fn a_user_with_its_key_is_let_in_and_nobody_else() {
    let world = world();
    let mut ada = Client::new(&world, &world.ada).await;
    assert!(ada.enter(|bytes| bytes).await);
    let ping = ada.ping();
    assert!(!ping.windows(4).any(|part| part == b"PING"), "it is encrypted");
    assert!(ada.answers(&ping).await);
    let stranger = CurveKeypair::generate();
    assert!(!Client::new(&world, &stranger).await.enter(|bytes| bytes).await);
    world.endpoint.dropped(Reason::Credentials, 1).await;
}

#[tokio::test]
async fn the_key_of_another_server_is_told_from_a_wrong_key_of_the_client() {
    let world = world();
    let other = CurveKeypair::generate();
    assert!(!Client::for_server(&world, &world.ada, &other).await.enter(|bytes| bytes).await);
    world.endpoint.dropped(Reason::ServerKey, 1).await;
    assert_eq!(world.endpoint.listening.drops.of(Reason::Credentials), 0);
}

#[tokio::test]
async fn a_key_that_is_revoked_cuts_its_connections() {
    let world = world();
    let mut ada = Client::new(&world, &world.ada).await;
    assert!(ada.enter(|bytes| bytes).await);
    let bob = CurveKeypair::generate();
    world.gate.replace(parse(&security(&[("bob", &bob)])).unwrap().security);
    while ada.turn(&mut |bytes| bytes).await {}
    world.endpoint.dropped(Reason::Revoked, 1).await;
    assert!(Client::new(&world, &bob).await.enter(|bytes| bytes).await);
    assert!(!Client::new(&world, &world.ada).await.enter(|bytes| bytes).await);
}
