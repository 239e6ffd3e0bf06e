//! A connection from its first byte to its last.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::Poll;
use std::time::Duration;

use swarmmq_protocol::{ErrorCode, ErrorReply};
use tokio::io::{AsyncRead, AsyncWrite, ReadHalf, WriteHalf, split};
use tokio::time::timeout;

use crate::native::admission::Permit;
use crate::native::arrival::Wire;
use crate::native::farewell;
use crate::native::gather::Gather;
use crate::native::handshake::{Arrived, TurnedAway, welcome};
use crate::native::inbound::{Inbound, Item, Limits, ReadEnd};
use crate::native::outbox::{Outbox, Outgoing};
use crate::native::shared::{Shared, stopping};
use crate::native::watch::{self, Progress};
use crate::security::{Gate, Method, Principal};
use crate::shards::Tie;

/// How long a peer has to take what is still owed to it when its session ends.
const LAST_WRITES: Duration = Duration::from_secs(2);

/// Why a session ended.
#[derive(Debug)]
pub(crate) enum Ending {
    /// The peer closed the connection.
    Left,
    /// The peer said Goodbye.
    Goodbye,
    /// The stream failed.
    Io(io::Error),
    /// The peer sent what cannot be understood.
    Broken(ErrorReply),
    /// The peer was silent for too long.
    Idle,
    /// The peer took nothing off us for too long.
    Stalled,
    /// The peer is not let in any more, or may do something else than when it was: it has to connect again.
    Rights,
    /// The node stops, and all that was under way is answered.
    Stopping,
    /// The node stops at once.
    Aborted,
}

impl Ending {
    fn label(&self) -> &'static str {
        match self {
            Self::Left => "left",
            Self::Goodbye => "goodbye",
            Self::Io(_) => "io",
            Self::Broken(_) => "broken",
            Self::Idle => "idle",
            Self::Stalled => "stalled",
            Self::Rights => "rights",
            Self::Stopping => "stopping",
            Self::Aborted => "aborted",
        }
    }

    /// What the peer is told, where it can still be told anything.
    fn last_word(&self) -> Option<ErrorReply> {
        match self {
            Self::Broken(error) => Some(error.clone()),
            Self::Idle => {
                let text = "the connection was silent for longer than the Welcome allows: ping before that";
                Some(ErrorReply::new(ErrorCode::Timeout, text))
            }
            Self::Rights => {
                let text = "users, keys or permissions of this node have changed: connect again";
                Some(ErrorReply::new(ErrorCode::Unauthenticated, text))
            }
            Self::Stopping | Self::Aborted => Some(stopping()),
            Self::Left | Self::Goodbye | Self::Io(_) | Self::Stalled => None,
        }
    }
}

/// Serves a connection that was accepted from `peer`, until it ends.
///
/// Works over any byte stream. Whoever runs it need not hear how it ended: it is counted and logged.
pub async fn serve<S>(stream: S, peer: SocketAddr, shared: Arc<Shared>)
where
    S: AsyncRead + AsyncWrite + Unpin + Send,
{
    let mut permit = match shared.admission.enter(peer.ip()) {
        Ok(permit) => permit,
        Err(error) => {
            shared.refused(peer, "limit", &error.explanation);
            farewell::goodbye_at_once(stream, error).await;
            return;
        }
    };
    // Neither lives in the other's memory: most connections are idle, and some say nothing at all.
    match Box::pin(arrive(stream, peer, &shared, &mut permit)).await {
        Ok(arrived) => Box::pin(Session::new(arrived, peer, shared).run()).await,
        Err(turned_away) => shared.refused(peer, turned_away.reason, &turned_away.text),
    }
}

async fn arrive<S>(
    stream: S,
    peer: SocketAddr,
    shared: &Shared,
    permit: &mut Permit,
) -> Result<Arrived<S>, TurnedAway>
where
    S: AsyncRead + AsyncWrite + Unpin + Send,
{
    let arrived = tokio::select! {
        arrived = timeout(shared.options.handshake, welcome(stream, peer, shared)) => match arrived {
            Ok(arrived) => arrived?,
            Err(_) => {
                let text = format!("no handshake within {:?}", shared.options.handshake);
                return Err(TurnedAway::new("handshake_timeout", text));
            }
        },
        () = permit.evicted() => return Err(evicted()),
    };
    if permit.establish() { Ok(arrived) } else { Err(evicted()) }
}

fn evicted() -> TurnedAway {
    TurnedAway::new("evicted", "too many connections have not authenticated, and this one waited longest")
}

struct Session<S> {
    peer: SocketAddr,
    shared: Arc<Shared>,
    principal: Principal,
    outbox: Arc<Outbox>,
    progress: Progress,
    inbound: Inbound,
    outbound: Outbound,
    reader: ReadHalf<Wire<S>>,
    writer: WriteHalf<Wire<S>>,
}

/// What was taken from the outbox and is not written. Survives the write that is interrupted.
#[derive(Default)]
struct Outbound {
    taken: VecDeque<Outgoing>,
    gather: Gather,
}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Session<S> {
    fn new(arrived: Arrived<S>, peer: SocketAddr, shared: Arc<Shared>) -> Self {
        let tick_ms = u64::try_from(watch::tick(&shared.options).as_millis()).unwrap_or(u64::MAX);
        let (reader, writer) = split(arrived.wire);
        Self {
            peer,
            outbox: Arc::new(Outbox::new(shared.clone(), tick_ms)),
            shared,
            principal: arrived.principal,
            progress: Progress::default(),
            inbound: Inbound::new(arrived.early),
            outbound: Outbound::default(),
            reader,
            writer,
        }
    }

    async fn run(mut self) {
        tracing::debug!(peer = %self.peer, user = self.principal.name(), "session begins");
        let tie = self.shared.shards.attach(self.outbox.clone());
        let phase = self.shared.phase();
        let options = &self.shared.options;
        let limits = Limits {
            principal: &self.principal,
            message_bytes_max: options.message_bytes_max,
            frame_bytes_max: options.frame_bytes_max(),
        };
        let reading = read(
            &mut self.inbound,
            &mut self.reader,
            &self.outbox,
            &*tie,
            &limits,
            &self.progress,
            &self.shared,
        );
        let writing =
            write(&mut self.outbound, &mut self.writer, &self.outbox, &*tie, &self.progress, &self.shared);
        let watching = async {
            tokio::select! {
                ending = watch::watch(options, &self.outbox, &self.progress, phase) => ending,
                () = rights_change(&self.shared.gate, &self.principal, self.peer) => Ending::Rights,
            }
        };
        let ending = first_to_end(pin!(reading), pin!(writing), pin!(watching), &self.progress).await;
        // Before the last words: nothing new is leased to a peer that leaves.
        drop(tie);
        self.end(ending).await;
    }

    async fn end(mut self, ending: Ending) {
        self.shared.counters.ended(ending.label());
        let (peer, user, reason) = (self.peer, self.principal.name(), ending.label());
        match &ending {
            Ending::Broken(error) => {
                tracing::warn!(%peer, user, reason, "session ends: {}", error.explanation);
            }
            Ending::Io(error) => tracing::debug!(%peer, user, reason, "session ends: {error}"),
            _ => tracing::debug!(%peer, user, reason, "session ends"),
        }
        let left = self.outbox.close();
        if matches!(ending, Ending::Left | Ending::Io(_) | Ending::Stalled) {
            return;
        }
        self.outbound.taken.retain(|outgoing| !matches!(outgoing, Outgoing::Deliveries(..)));
        self.outbound.taken.extend(left);
        self.outbound.taken.extend(ending.last_word().map(Outgoing::Goodbye));
        let Self { mut outbound, reader, mut writer, .. } = self;
        let written = timeout(LAST_WRITES, async {
            loop {
                outbound.gather.write(&mut writer, |_| ()).await?;
                if outbound.taken.is_empty() {
                    return Ok::<_, io::Error>(());
                }
                outbound.gather.fill(&mut outbound.taken);
            }
        });
        if matches!(written.await, Ok(Ok(()))) {
            farewell::close(&mut reader.unsplit(writer)).await;
        }
    }
}

/// Ends when the peer is not let in any more, or may do something else.
async fn rights_change(gate: &Gate, principal: &Principal, peer: SocketAddr) {
    let is_local = peer.ip().to_canonical().is_loopback();
    let mut changes = gate.changes();
    // It may have changed between the handshake and now.
    let is_nobody = principal.method() == Method::Open;
    while !(is_nobody && gate.requires_authentication(is_local))
        && gate.renew(principal, is_local).as_ref() == Some(principal)
    {
        changes.changed().await;
    }
}

/// Runs the halves of a session until one ends.
///
/// Reading lets writing go on after each batch, by [`Progress::yields`]: there may always be more to
/// read, and answers must not wait for that.
async fn first_to_end(
    mut reading: Pin<&mut impl Future<Output = Ending>>,
    mut writing: Pin<&mut impl Future<Output = Ending>>,
    mut watching: Pin<&mut impl Future<Output = Ending>>,
    progress: &Progress,
) -> Ending {
    poll_fn(|cx| {
        loop {
            if let Poll::Ready(ending) = reading.as_mut().poll(cx) {
                return Poll::Ready(ending);
            }
            if let Poll::Ready(ending) = writing.as_mut().poll(cx) {
                return Poll::Ready(ending);
            }
            if !progress.yields.swap(false, Ordering::Relaxed) {
                return watching.as_mut().poll(cx);
            }
        }
    })
    .await
}

/// Lets the other half of the session go on, within the same turn of its task.
async fn yield_to_writing(progress: &Progress) {
    let mut is_back = false;
    poll_fn(|_| {
        if is_back {
            return Poll::Ready(());
        }
        is_back = true;
        progress.yields.store(true, Ordering::Relaxed);
        Poll::Pending
    })
    .await;
}

async fn read<S>(
    inbound: &mut Inbound,
    reader: &mut ReadHalf<Wire<S>>,
    outbox: &Outbox,
    tie: &dyn Tie,
    limits: &Limits<'_>,
    progress: &Progress,
    shared: &Shared,
) -> Ending
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut room = outbox.room().await;
    loop {
        let decoded = inbound.decode(room, limits);
        let nothing_decoded = inbound.batch.is_empty();
        if !nothing_decoded {
            room = outbox.register(&mut inbound.batch);
            hand_on(&mut inbound.batch, tie);
            yield_to_writing(progress).await;
        }
        match decoded {
            Ok(()) => {}
            Err(ReadEnd::Goodbye(_)) => return Ending::Goodbye,
            Err(ReadEnd::Broken(error)) => return Ending::Broken(error),
        }
        if room.is_none() {
            progress.waits_for_room.store(true, Ordering::Relaxed);
            room = outbox.room().await;
            progress.waits_for_room.store(false, Ordering::Relaxed);
            // The peer's time to be silent begins when it is listened to again.
            progress.reads.fetch_add(1, Ordering::Relaxed);
        } else if nothing_decoded {
            match inbound.read(reader).await {
                Ok(0) => return Ending::Left,
                Ok(count) => {
                    progress.reads.fetch_add(1, Ordering::Relaxed);
                    shared.counters.listener.read_bytes.increment(count as u64);
                }
                Err(error) => return Ending::Io(error),
            }
        }
    }
}

fn hand_on(batch: &mut Vec<Item>, tie: &dyn Tie) {
    for item in batch.drain(..) {
        match item {
            Item::Request { correlation, request, .. } => tie.submit(correlation, request),
            Item::Credit(subscription, messages) => tie.credit(subscription, messages),
            Item::Refused(..) | Item::Ping(_) | Item::Done => {}
        }
    }
}

async fn write<S>(
    outbound: &mut Outbound,
    writer: &mut WriteHalf<Wire<S>>,
    outbox: &Outbox,
    tie: &dyn Tie,
    progress: &Progress,
    shared: &Shared,
) -> Ending
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    loop {
        outbox.take(&mut outbound.taken).await;
        progress.is_writing.store(true, Ordering::Relaxed);
        while !outbound.taken.is_empty() {
            outbound.gather.fill(&mut outbound.taken);
            let written = outbound.gather.write(writer, |_| {
                progress.writes.fetch_add(1, Ordering::Relaxed);
            });
            let written = match written.await {
                Ok(written) => written,
                Err(error) => return Ending::Io(error),
            };
            shared.counters.listener.written_bytes.increment(written.bytes as u64);
            outbox.written(written.cost);
            for (subscription, bytes) in written.delivered {
                tie.written(subscription, bytes);
            }
        }
        progress.is_writing.store(false, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpStream;

    use super::*;

    /// The size of a future, without making one.
    fn size<F, T>(_: impl Fn(T) -> F) -> usize {
        size_of::<F>()
    }

    #[test]
    fn a_connection_costs_less_than_a_page_beside_its_buffers() {
        type Arrival = (TcpStream, SocketAddr, Arc<Shared>);
        let task = size(|(stream, peer, shared): Arrival| serve(stream, peer, shared));
        let handshake =
            size(|(stream, peer, shared, permit): (_, _, &'static Shared, &'static mut Permit)| {
                arrive::<TcpStream>(stream, peer, shared, permit)
            });
        let session = size(Session::<TcpStream>::run);
        println!(
            "{task} bytes for the task, and then {handshake} for the handshake or {session} for the session"
        );
        // What a future weighs also depends on the features tokio is built with; the promise is a page.
        const PAGE_BYTES: usize = 4096;
        assert!(task + handshake < PAGE_BYTES, "{task} and {handshake} for a connection that says nothing");
        assert!(task + session < PAGE_BYTES, "{task} and {session} for a session that is idle");
    }
}
