//! A node for tests: enough of a broker to tell a right client from a wrong one, and a script to
//! misbehave by.

use std::sync::Arc;

use bytes::BytesMut;
use parking_lot::Mutex;
use swarmmq_protocol::limits::FRAME_BYTES_MAX;
use swarmmq_protocol::native::{Credential, Frame, VERSION, Welcome, decode_frame, encode_frame};
use swarmmq_protocol::{ErrorCode, ErrorReply, Request, Response};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::sync::watch;

pub(crate) use self::world::World;

#[path = "world.rs"]
mod world;

/// What a node does with a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Action {
    /// Does it and answers.
    Serve,
    /// Answers with this, and does nothing.
    Refuse(ErrorReply),
    /// Does it and cuts the connection in place of the answer.
    ServeAndCut,
    /// Cuts the connection in place of doing it.
    Cut,
    /// Does nothing and says nothing.
    Ignore,
    /// Does it and answers twice.
    ServeTwice,
    /// Answers with something that answers another request.
    Misfit,
    /// Reads nothing any more.
    StopReading,
}

impl Action {
    pub(crate) fn refuse(code: ErrorCode) -> Self {
        Self::Refuse(ErrorReply::new(code, "as the script says"))
    }

    pub(crate) fn redirect(leader: Option<String>) -> Self {
        let mut reply = ErrorReply::new(ErrorCode::NotLeader, "another leads");
        reply.leader = leader;
        Self::Refuse(reply)
    }
}

type Script = Box<dyn FnMut(&Request) -> Action + Send>;

/// How a node receives clients.
#[derive(Debug, Clone, Default)]
pub(crate) struct Manners {
    /// The API key it wants.
    pub(crate) api_key: Option<&'static str>,
    /// It accepts connections and says nothing at all.
    pub(crate) is_mute: bool,
    /// It welcomes and says nothing more, not even to a ping.
    pub(crate) is_half_open: bool,
    /// It welcomes and hangs up.
    pub(crate) hangs_up: bool,
    pub(crate) in_flight_max: u32,
    /// The credit that consumers are told to ask for; 0: 100.
    pub(crate) credit_default: u32,
    pub(crate) idle_ms: u32,
    pub(crate) message_bytes_max: u32,
    pub(crate) tls: Option<Arc<rustls::ServerConfig>>,
}

pub(crate) struct Node {
    address: String,
    inner: Arc<Inner>,
    task: tokio::task::JoinHandle<()>,
}

struct Inner {
    world: Arc<World>,
    manners: Mutex<Manners>,
    script: Mutex<Option<Script>>,
    cut: watch::Sender<u64>,
    counts: watch::Sender<Counts>,
}

/// What a node has seen.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Counts {
    pub(crate) connections: u64,
    pub(crate) requests: u64,
    pub(crate) puts: u64,
    pub(crate) messages: u64,
    pub(crate) settles: u64,
    pub(crate) settled: u64,
    pub(crate) subscribes: u64,
    pub(crate) unsubscribes: u64,
    pub(crate) pings: u64,
    pub(crate) credits: u64,
    pub(crate) goodbyes: u64,
    /// Most requests of one connection that were not answered.
    pub(crate) in_flight: u64,
}

impl Node {
    /// A node on a port of its own, with a world of its own.
    pub(crate) async fn start() -> Self {
        Self::start_with(World::new(), Manners::default()).await
    }

    pub(crate) async fn start_with(world: Arc<World>, manners: Manners) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        Self::serve(listener, world, manners)
    }

    /// A node where another was before.
    pub(crate) async fn start_on(port: u16) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", port)).await.unwrap();
        Self::serve(listener, World::new(), Manners::default())
    }

    fn serve(listener: TcpListener, world: Arc<World>, manners: Manners) -> Self {
        let address = listener.local_addr().unwrap().to_string();
        let inner = Arc::new(Inner {
            world,
            manners: Mutex::new(manners),
            script: Mutex::new(None),
            cut: watch::Sender::new(0),
            counts: watch::Sender::default(),
        });
        let task = tokio::spawn(accept(listener, inner.clone()));
        Self { address, inner, task }
    }

    pub(crate) fn address(&self) -> String {
        self.address.clone()
    }

    pub(crate) fn port(&self) -> u16 {
        self.address.rsplit_once(':').unwrap().1.parse().unwrap()
    }

    pub(crate) fn world(&self) -> &Arc<World> {
        &self.inner.world
    }

    /// Asks `script` what to do with each request from now on.
    pub(crate) fn script(&self, script: impl FnMut(&Request) -> Action + Send + 'static) {
        *self.inner.script.lock() = Some(Box::new(script));
    }

    pub(crate) fn behave(&self) {
        *self.inner.script.lock() = None;
    }

    pub(crate) fn manners(&self, change: impl FnOnce(&mut Manners)) {
        change(&mut self.inner.manners.lock());
    }

    /// Cuts all connections there are.
    pub(crate) fn cut(&self) {
        self.inner.cut.send_modify(|cuts| *cuts += 1);
    }

    /// Ends all subscriptions there are.
    pub(crate) fn end_subscriptions(&self, code: ErrorCode) {
        self.inner.world.end_subscriptions(code);
    }

    pub(crate) fn counts(&self) -> Counts {
        *self.inner.counts.borrow()
    }

    /// Waits until what the node has seen fulfils `condition`.
    pub(crate) async fn until(&self, what: &str, mut condition: impl FnMut(&Counts) -> bool) {
        let mut counts = self.inner.counts.subscribe();
        crate::soon(what, counts.wait_for(|counts| condition(counts))).await.unwrap();
    }

    /// Stops listening and cuts all connections.
    pub(crate) fn stop(&self) {
        self.task.abort();
        self.cut();
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.stop();
    }
}

async fn accept(listener: TcpListener, inner: Arc<Inner>) {
    while let Ok((stream, _)) = listener.accept().await {
        inner.count(|counts| counts.connections += 1);
        let manners = inner.manners.lock().clone();
        let inner = inner.clone();
        let mut cut = inner.cut.subscribe();
        cut.mark_unchanged();
        tokio::spawn(async move {
            let serve = async {
                stream.set_nodelay(true).unwrap();
                match manners.tls.clone() {
                    Some(config) => {
                        if let Ok(stream) = tokio_rustls::TlsAcceptor::from(config).accept(stream).await {
                            Connection::new(stream, inner.clone()).serve(manners).await;
                        }
                    }
                    None => Connection::new(stream, inner.clone()).serve(manners).await,
                }
            };
            tokio::select! {
                () = serve => {}
                _ = cut.changed() => {}
            }
        });
    }
}

impl Inner {
    fn count(&self, change: impl FnOnce(&mut Counts)) {
        self.counts.send_modify(change);
    }

    fn action(&self, request: &Request) -> Action {
        self.script.lock().as_mut().map_or(Action::Serve, |script| script(request))
    }
}

struct Connection<S> {
    stream: S,
    inner: Arc<Inner>,
    read: BytesMut,
    write: BytesMut,
    subscriptions: world::Subscriptions,
    unanswered: u64,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Connection<S> {
    fn new(stream: S, inner: Arc<Inner>) -> Self {
        let subscriptions = world::Subscriptions::new(inner.world.clone());
        Self { stream, inner, read: BytesMut::new(), write: BytesMut::new(), subscriptions, unanswered: 0 }
    }

    async fn serve(mut self, manners: Manners) {
        if manners.is_mute {
            return std::future::pending().await;
        }
        if !self.welcome(&manners).await {
            return;
        }
        if manners.is_half_open {
            return std::future::pending().await;
        }
        let mut changed = self.inner.world.changed.subscribe();
        if manners.hangs_up {
            return;
        }
        loop {
            let stop = self.handle_frames();
            self.subscriptions.deliver(&mut self.write);
            if self.stream.write_all_buf(&mut self.write).await.is_err() || self.stream.flush().await.is_err()
            {
                return;
            }
            match stop {
                Some(Action::StopReading) => return std::future::pending().await,
                Some(_) => return,
                None => {}
            }
            tokio::select! {
                read = self.stream.read_buf(&mut self.read) => if !matches!(read, Ok(1..)) { return },
                _ = changed.changed() => {}
            }
        }
    }

    /// Shakes hands. Says whether the client may stay.
    async fn welcome(&mut self, manners: &Manners) -> bool {
        let hello = loop {
            match decode_frame(&mut self.read, 4096).unwrap() {
                Some((_, Frame::Hello(hello))) => break hello,
                Some((_, frame)) => panic!("the first frame is {frame:?}"),
                None => {
                    if !matches!(self.stream.read_buf(&mut self.read).await, Ok(1..)) {
                        return false;
                    }
                }
            }
        };
        assert!((hello.version_min..=hello.version_max).contains(&VERSION));
        let is_welcome = match (manners.api_key, &hello.credential) {
            (None, _) => true,
            (Some(wanted), Credential::ApiKey(key)) => key == wanted.as_bytes(),
            (Some(_), _) => false,
        };
        let or = |value: u32, default: u32| if value == 0 { default } else { value };
        let frame = if is_welcome {
            Frame::Welcome(Welcome {
                version: VERSION,
                node: "n1".into(),
                cluster: "test".into(),
                software: "0.0.0".into(),
                message_bytes_max: or(manners.message_bytes_max, 1024 * 1024),
                in_flight_max: or(manners.in_flight_max, 1024),
                idle_ms: manners.idle_ms,
                credit_default: or(manners.credit_default, 100),
            })
        } else {
            Frame::Goodbye(ErrorReply::new(ErrorCode::Unauthenticated, "the API key is not valid"))
        };
        encode_frame(0, &frame, &mut self.write);
        self.stream.write_all_buf(&mut self.write).await.is_ok()
            && self.stream.flush().await.is_ok()
            && is_welcome
    }

    /// Does what has come in. Gives the action that ends this, if there was one.
    fn handle_frames(&mut self) -> Option<Action> {
        loop {
            let frame = decode_frame(&mut self.read, FRAME_BYTES_MAX).expect("the client sends good frames");
            let (correlation, frame) = frame?;
            match frame {
                Frame::Request(request) => {
                    if let Some(stop) = self.handle_request(correlation, request) {
                        return Some(stop);
                    }
                }
                Frame::Credit(credit) => {
                    self.inner.count(|counts| counts.credits += 1);
                    self.subscriptions.add_credit(correlation, credit);
                }
                Frame::Ping => {
                    self.inner.count(|counts| counts.pings += 1);
                    self.say(correlation, &Frame::Pong);
                }
                Frame::Pong => {}
                Frame::Goodbye(_) => {
                    self.inner.count(|counts| counts.goodbyes += 1);
                    return Some(Action::Cut);
                }
                other => panic!("a client sent {other:?}"),
            }
        }
    }

    fn handle_request(&mut self, correlation: u64, request: Request) -> Option<Action> {
        self.unanswered += 1;
        let unanswered = self.unanswered;
        let action = self.inner.action(&request);
        self.inner.count(|counts| {
            counts.requests += 1;
            counts.in_flight = counts.in_flight.max(unanswered);
            match &request {
                Request::Put(put) => {
                    counts.puts += 1;
                    counts.messages += put.messages.len() as u64;
                }
                Request::Settle(settle) => {
                    counts.settles += 1;
                    counts.settled += settle.receipts.len() as u64;
                }
                Request::Subscribe(_) => counts.subscribes += 1,
                Request::Unsubscribe { .. } => counts.unsubscribes += 1,
                _ => {}
            }
        });
        let response = match &action {
            Action::Refuse(reply) => Response::Error(reply.clone()),
            Action::Cut | Action::Ignore | Action::StopReading | Action::Misfit => {
                Response::Done { index: 9 }
            }
            _ => match request {
                Request::Subscribe(subscribe) => self.subscriptions.subscribe(correlation, subscribe),
                Request::Unsubscribe { subscription } => self.subscriptions.unsubscribe(subscription),
                other => self.inner.world.serve(other),
            },
        };
        match action {
            Action::Serve | Action::Refuse(_) | Action::Misfit => self.answer(correlation, response),
            Action::ServeTwice => {
                self.answer(correlation, response.clone());
                self.answer(correlation, response);
            }
            Action::Ignore => {}
            Action::ServeAndCut | Action::Cut | Action::StopReading => return Some(action),
        }
        None
    }

    fn answer(&mut self, correlation: u64, response: Response) {
        self.unanswered = self.unanswered.saturating_sub(1);
        self.say(correlation, &Frame::Reply(response));
    }

    fn say(&mut self, correlation: u64, frame: &Frame) {
        encode_frame(correlation, frame, &mut self.write);
    }
}
