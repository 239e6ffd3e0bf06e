//! Binding endpoints and letting peers in.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use socket2::{Domain, SockRef, Socket, TcpKeepalive, Type};
use swarmmq_broker::exchange::{Figure, Side};
use swarmmq_protocol::DestinationName;
use tokio::net::{TcpListener, UnixListener};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{info, warn};

use super::admission::{Admission, Slot};
use super::drops::Drops;
use super::hub::{self, Hub};
use super::ingest::Ingest;
use super::mailbox::Mailbox;
use super::options::{Bind, EndpointKind, EndpointOptions, Multipart};
use super::peers::PeerList;
use super::session::{self, SessionOptions};
use super::tap::{self, Mirror, Points, Sink};
use crate::config::Action;
use crate::security::Gate;
use crate::shards::Shards;
use crate::telemetry::metrics::Metrics;

/// Connections that the system holds until they are accepted.
const BACKLOG: i32 = 4096;
/// When a peer that is gone without a word is noticed if it speaks ZMTP 3.0, which has no PING.
const KEEPALIVE: Duration = Duration::from_secs(60);
/// After an accept that failed, as when there are no file descriptors, so that the loop does not spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Why an endpoint could not be started.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// It would let other machines in without asking who they are.
    #[error(
        "endpoint {endpoint} has the mechanism {mechanism} and binds {bind}, which other machines can reach"
    )]
    Exposed {
        /// The endpoint's name.
        endpoint: String,
        /// The mechanism.
        mechanism: &'static str,
        /// Where it was to bind.
        bind: Bind,
    },
    /// It would read messages that nobody may send, or deliver some that nobody may have.
    #[error(
        "endpoint {endpoint} is there to {action} {queue}, and its peers cannot say who they are: allow `anybody` to {action} {queue} under security.permissions, or take the endpoint away"
    )]
    Forbidden {
        /// The endpoint's name.
        endpoint: String,
        /// What its peers would have to be allowed.
        action: &'static str,
        /// Where it was to store, or to deliver from.
        queue: DestinationName,
    },
    /// It could not bind.
    #[error("endpoint {endpoint} cannot bind {bind}: {source}")]
    Bind {
        /// The endpoint's name.
        endpoint: String,
        /// Where it was to bind.
        bind: Bind,
        /// What the system said.
        source: io::Error,
    },
}

/// Where an endpoint listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Bound {
    /// TCP, with the port that the system chose where 0 was asked for.
    Tcp(SocketAddr),
    /// A Unix socket.
    Ipc(PathBuf),
}

impl fmt::Display for Bound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => write!(f, "tcp://{address}"),
            Self::Ipc(path) => write!(f, "ipc://{}", path.display()),
        }
    }
}

/// An endpoint that listens.
#[derive(Debug)]
pub struct Listening {
    /// Its name.
    pub name: String,
    /// Where, if it has peers.
    pub addr: Option<Bound>,
    /// Where workers or subscribers connect, if that is elsewhere.
    pub backend: Option<Bound>,
    /// What it does, as the configuration calls it.
    pub kind: &'static str,
    /// What it refused and dropped.
    pub drops: Drops,
    /// Who is connected.
    pub peers: PeerList,
    hub: Option<Arc<Hub>>,
    sessions: TaskTracker,
    /// What stores for the sessions, and ends after them.
    keepers: TaskTracker,
    stop: CancellationToken,
}

impl Listening {
    /// How much it has of what, if its peers talk to each other.
    #[must_use]
    pub fn figures(&self) -> Vec<(Figure, u64)> {
        self.hub.as_ref().map(|hub| hub.figures()).unwrap_or_default()
    }

    /// Tells the endpoint to stop: nobody is let in, and sessions finish what they have read.
    pub fn stop(&self) {
        self.stop.cancel();
    }

    /// Waits until the endpoint has been told to stop, its last session has ended, and what the sessions gave it to keep
    /// is stored.
    pub async fn stopped(&self) {
        self.sessions.wait().await;
        self.keepers.wait().await;
    }
}

/// Starts endpoints. They stop accepting when `stop` is cancelled; their sessions then finish what they
/// have read, for at most [`Limits::drain_timeout`](super::options::Limits::drain_timeout). What their peers may do, the gate says: nobody who uses the
/// mechanism NULL says who it is.
///
/// # Errors
/// [`StartError`] for the first endpoint that cannot be started; none is left running.
pub fn start(
    endpoints: Vec<EndpointOptions>,
    shards: &Arc<dyn Shards>,
    gate: &Arc<Gate>,
    metrics: &Metrics,
    stop: &CancellationToken,
) -> Result<Vec<Listening>, StartError> {
    start_tapped(endpoints, shards, gate, metrics, &Points::default(), stop)
}

/// [`start`], for endpoints that others, which know the same points, may tap.
pub(super) fn start_tapped(
    endpoints: Vec<EndpointOptions>,
    shards: &Arc<dyn Shards>,
    gate: &Arc<Gate>,
    metrics: &Metrics,
    points: &Points,
    stop: &CancellationToken,
) -> Result<Vec<Listening>, StartError> {
    let bound: Vec<_> = endpoints
        .into_iter()
        .map(|endpoint| {
            check(&endpoint, gate)?;
            let mut listeners = Vec::new();
            let front = endpoint.bind.iter().map(|bind| (endpoint.kind.side(), bind));
            let backend = endpoint.backend.iter().map(|bind| (Side::Back, bind));
            for (side, bind) in front.chain(backend) {
                match Listener::bind(bind) {
                    Ok((listener, bound)) => listeners.push((side, listener, bound)),
                    Err(source) => {
                        return Err(StartError::Bind { endpoint: endpoint.name, bind: bind.clone(), source });
                    }
                }
            }
            Ok((endpoint, listeners))
        })
        .collect::<Result<_, _>>()?;
    let run = |(endpoint, listeners): (EndpointOptions, _)| {
        let drops = Drops::new(&endpoint.name, metrics);
        run(endpoint, listeners, drops, shards, gate, points, stop)
    };
    Ok(bound.into_iter().map(run).collect())
}

/// What can be said against an endpoint before it binds.
///
/// # Errors
/// [`StartError`], but not of binding.
pub(super) fn check(endpoint: &EndpointOptions, gate: &Gate) -> Result<(), StartError> {
    let mut binds = endpoint.bind.iter().chain(&endpoint.backend);
    let exposed = binds.find(|bind| !bind.is_local()).cloned();
    if let (Some(mechanism), Some(bind)) = (endpoint.security.exposed(), exposed) {
        return Err(StartError::Exposed { endpoint: endpoint.name.clone(), mechanism, bind });
    }
    check_rights(endpoint, gate)
}

/// Says at the start what otherwise each peer would find out: an ingest or egress endpoint has no answers to
/// say it with.
fn check_rights(endpoint: &EndpointOptions, gate: &Gate) -> Result<(), StartError> {
    if !endpoint.security.null {
        return Ok(());
    }
    let peers = gate.unidentified(endpoint.bind.as_ref().is_none_or(Bind::is_local));
    if let Some((action, queue)) = endpoint.kind.demands()
        && !peers.may(action, queue)
    {
        let (endpoint, queue) = (endpoint.name.clone(), queue.clone());
        return Err(StartError::Forbidden { endpoint, action: phrase(action), queue });
    }
    match &endpoint.kind {
        EndpointKind::Durable if peers.is_powerless() => {
            warn!(
                endpoint = endpoint.name,
                "every request over this ZeroMQ endpoint is refused: its peers cannot say who they are, and security.permissions allows nothing to `anybody`"
            );
            Ok(())
        }
        _ => Ok(()),
    }
}

/// An action on a destination, as it stands before the destination's name.
pub(super) fn phrase(action: Action) -> &'static str {
    match action {
        Action::Produce => "produce to",
        Action::Consume => "consume from",
        _ => "manage",
    }
}

fn run(
    endpoint: EndpointOptions,
    listeners: Vec<(Side, Listener, Bound)>,
    drops: Drops,
    shards: &Arc<dyn Shards>,
    gate: &Arc<Gate>,
    points: &Points,
    stop: &CancellationToken,
) -> Listening {
    let (sessions, keepers) = (TaskTracker::new(), TaskTracker::new());
    let endpoint = Arc::new(endpoint);
    let hub = hub::exchange(&endpoint.kind);
    let hub = hub.map(|exchange| Arc::new(Hub::new(&endpoint.name, exchange, drops.clone())));
    let (mut addrs, peers, point) = (Vec::new(), PeerList::default(), points.of(&endpoint.name));
    for (side, listener, addr) in listeners {
        info!(endpoint = endpoint.name, %addr, "a ZeroMQ endpoint listens");
        addrs.push(addr);
        // Of its own for each address: clients must not take the place of the workers they wait for.
        let admission = Arc::new(Admission::default());
        let options = SessionOptions {
            endpoint: endpoint.clone(),
            side,
            hub: hub.clone(),
            shards: shards.clone(),
            gate: gate.clone(),
            drops: drops.clone(),
            peers: peers.clone(),
            point: point.clone(),
            stop: stop.clone(),
        };
        sessions.spawn(accept(listener, options, admission, sessions.clone()));
    }
    if let EndpointKind::Tap { of, sample, into } = &endpoint.kind
        && let Some(sink) = tap_sink(&endpoint, into.as_ref(), hub.as_ref(), shards, &drops)
    {
        let (mirror, mirrored) = Mirror::new(of, *sample, &endpoint.limits, drops.clone());
        let tapped = points.of(of).tap(mirror);
        let limits = endpoint.limits.clone();
        sessions.spawn(tap::run(mirrored, tapped, sink, limits, drops.clone(), stop.clone()));
    }
    if let (Some(hub), Some((queue, record_bytes_max))) = (&hub, endpoint.kind.keeps_in()) {
        let queue = hub::StorageQueue { name: queue.clone(), record_bytes_max };
        let storage = hub::Storage::new(hub.clone(), shards.as_ref(), queue, drops.clone());
        let (gone, drain_timeout) = (sessions.clone(), endpoint.limits.drain_timeout);
        keepers.spawn(async move { storage.run(gone.wait(), drain_timeout).await });
    }
    if let Some(hub) = hub.clone() {
        // Its sessions may need the time while they end, so it ends with the node and not with the endpoint.
        tokio::spawn(keep_time(hub, sessions.clone()));
    }
    sessions.close();
    keepers.close();
    let mut addrs = addrs.into_iter();
    Listening {
        name: endpoint.name.clone(),
        addr: addrs.next(),
        backend: addrs.next(),
        kind: endpoint.kind.as_str(),
        drops,
        peers,
        hub,
        sessions,
        keepers,
        stop: stop.clone(),
    }
}

/// Where a tap's messages go: it has peers, or a destination.
fn tap_sink(
    endpoint: &EndpointOptions,
    into: Option<&DestinationName>,
    hub: Option<&Arc<Hub>>,
    shards: &Arc<dyn Shards>,
    drops: &Drops,
) -> Option<Sink> {
    let Some(into) = into else { return hub.cloned().map(Sink::Subscribers) };
    let mailbox = Arc::new(Mailbox::default());
    let tie = shards.attach(mailbox.clone());
    let limits = endpoint.limits.clone();
    let ingest = Ingest::new(tie, mailbox, None, into.clone(), Multipart::Keep, limits, drops.clone());
    Some(Sink::Destination(Box::new(ingest)))
}

enum Listener {
    Tcp(TcpListener),
    Ipc { listener: UnixListener, _file: SocketFile },
}

impl Listener {
    fn bind(bind: &Bind) -> io::Result<(Self, Bound)> {
        match bind {
            Bind::Tcp(address) => {
                let socket = Socket::new(Domain::for_address(*address), Type::STREAM, None)?;
                socket.set_reuse_address(true)?;
                socket.set_nonblocking(true)?;
                socket.bind(&(*address).into())?;
                socket.listen(BACKLOG)?;
                let listener = TcpListener::from_std(socket.into())?;
                let bound = Bound::Tcp(listener.local_addr()?);
                Ok((Self::Tcp(listener), bound))
            }
            Bind::Ipc(path) => {
                remove_dead_socket(path)?;
                let listener = UnixListener::bind(path)?;
                let _file = SocketFile(path.clone());
                std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))?;
                Ok((Self::Ipc { listener, _file }, Bound::Ipc(path.clone())))
            }
        }
    }
}

/// A node that was killed leaves its socket behind, which nobody answers. Anything else stays.
fn remove_dead_socket(path: &Path) -> io::Result<()> {
    match std::os::unix::net::UnixStream::connect(path) {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => std::fs::remove_file(path),
        _ => Ok(()),
    }
}

/// The file of a Unix socket, removed when its listener goes.
struct SocketFile(PathBuf);

impl Drop for SocketFile {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

/// Runs a hub's clock until its last session has ended.
async fn keep_time(hub: Arc<Hub>, sessions: TaskTracker) {
    tokio::select! {
        () = hub.keep_time() => {}
        () = sessions.wait() => {}
    }
}

async fn accept(
    listener: Listener,
    options: SessionOptions,
    admission: Arc<Admission>,
    sessions: TaskTracker,
) {
    let stop = options.stop.clone();
    let accept_all = async {
        loop {
            let admit = |address| Admission::admit(&admission, address, &options);
            match &listener {
                Listener::Tcp(listener) => match listener.accept().await {
                    Ok((stream, address)) => {
                        let Some((slot, handshake)) = admit(Some(address.ip())) else { continue };
                        let socket = SockRef::from(&stream);
                        // Without them the peer is served all the same.
                        let _ = stream.set_nodelay(true);
                        let _ = socket.set_tcp_keepalive(&TcpKeepalive::new().with_time(KEEPALIVE));
                        let session = session::run(stream, Some(address), options.clone(), handshake);
                        sessions.spawn(held(slot, session));
                    }
                    Err(error) => pause(&options, &error).await,
                },
                Listener::Ipc { listener, .. } => match listener.accept().await {
                    Ok((stream, _)) => {
                        let Some((slot, handshake)) = admit(None) else { continue };
                        let session = session::run(stream, None, options.clone(), handshake);
                        sessions.spawn(held(slot, session));
                    }
                    Err(error) => pause(&options, &error).await,
                },
            }
        }
    };
    tokio::select! {
        () = accept_all => {}
        () = stop.cancelled() => {}
    }
}

async fn held(_slot: Slot, session: impl Future<Output = ()>) {
    session.await;
}

async fn pause(options: &SessionOptions, error: &io::Error) {
    warn!(endpoint = options.endpoint.name, %error, "a connection could not be accepted");
    tokio::time::sleep(ACCEPT_PAUSE).await;
}
