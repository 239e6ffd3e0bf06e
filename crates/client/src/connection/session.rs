//! One stream to a node, from its welcome to its end.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use swarmmq_protocol::limits::FRAME_BYTES_MAX;
use swarmmq_protocol::native::{Frame, FrameError, Welcome, decode_frame, encode_frame};
use swarmmq_protocol::{ErrorReply, Response};
use tokio::io::{AsyncReadExt, AsyncWriteExt, ReadHalf, WriteHalf};
use tokio::time::Instant;

use crate::connection::endpoint::{Endpoint, Frames, Pending};
use crate::connection::link::Link;
use crate::connection::transport::{Stream, Welcomed};
use crate::error::Error;

/// Frames are gathered into one write up to about so many bytes.
const WRITE_BYTES: usize = 512 * 1024;
/// Least room of a read: one system call takes a batch of small answers.
const READ_BYTES: usize = 64 * 1024;
/// A buffer that grew beyond this for a large message is given back when it is empty.
const BUFFER_BYTES_KEPT: usize = 1024 * 1024;

/// The state of one stream.
pub(super) struct Session {
    reader: ReadHalf<Box<dyn Stream>>,
    writer: WriteHalf<Box<dyn Stream>>,
    read: BytesMut,
    write: BytesMut,
    /// Whether written bytes may still be held back by TLS.
    unflushed: bool,
    pending: HashMap<u64, Pending>,
    subscriptions: HashMap<u64, Arc<dyn Endpoint>>,
    next_correlation: u64,
    in_flight_max: usize,
    keep_alive: Duration,
    heard: Instant,
    written: Instant,
    pinged: Option<Instant>,
}

impl Session {
    pub(super) fn new(welcomed: Welcomed, keep_alive: Duration) -> Self {
        let Welcomed { stream, welcome, read } = welcomed;
        let (reader, writer) = tokio::io::split(stream);
        let now = Instant::now();
        Self {
            reader,
            writer,
            read,
            write: BytesMut::new(),
            unflushed: false,
            pending: HashMap::new(),
            subscriptions: HashMap::new(),
            next_correlation: 1,
            in_flight_max: (welcome.in_flight_max as usize).max(1),
            keep_alive: keep_alive_of(&welcome, keep_alive),
            heard: now,
            written: now,
            pinged: None,
        }
    }

    /// Reads and writes until the stream ends, and says why it did.
    pub(super) async fn run(&mut self, link: &Link) -> Error {
        let mut timer = tokio::time::interval(self.keep_alive / 2);
        timer.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        if let Err(error) = self.handle_frames() {
            return error;
        }
        loop {
            if self.write.is_empty() && !self.unflushed {
                self.fill(link);
            }
            let idle = self.write.is_empty() && !self.unflushed;
            let result = tokio::select! {
                read = self.reader.read_buf(&mut self.read) => self.handle_read(read),
                wrote = advance(&mut self.writer, &mut self.write), if !idle => self.handle_wrote(wrote),
                () = link.woken(), if idle => Ok(()),
                _ = timer.tick() => self.handle_timer(),
            };
            if let Err(error) = result {
                return error;
            }
        }
    }

    /// Takes frames from the endpoints that have some.
    fn fill(&mut self, link: &Link) {
        let mut left = Vec::new();
        let mut frames = Frames {
            link,
            buffer: &mut self.write,
            next_correlation: &mut self.next_correlation,
            pending: &mut self.pending,
            subscriptions: &mut self.subscriptions,
            in_flight_max: self.in_flight_max,
            bytes_max: WRITE_BYTES,
        };
        for endpoint in link.take_ready() {
            if endpoint.clone().poll_frames(&mut frames) {
                left.push(endpoint);
            }
        }
        link.put_back(left);
    }

    fn handle_read(&mut self, read: std::io::Result<usize>) -> Result<(), Error> {
        match read {
            Ok(0) => Err(Error::ConnectionLost { reason: "the node hung up".into() }),
            Ok(_) => {
                self.heard = Instant::now();
                self.pinged = None;
                self.handle_frames()
            }
            Err(error) => Err(lost(error)),
        }
    }

    fn handle_wrote(&mut self, wrote: std::io::Result<Wrote>) -> Result<(), Error> {
        match wrote.map_err(lost)? {
            Wrote::Bytes(0) => Err(Error::ConnectionLost { reason: "the node takes no more bytes".into() }),
            Wrote::Bytes(_) => {
                self.written = Instant::now();
                self.unflushed = true;
                if self.write.is_empty() && self.write.capacity() > BUFFER_BYTES_KEPT {
                    self.write = BytesMut::new();
                }
                Ok(())
            }
            Wrote::Flushed => {
                self.unflushed = false;
                Ok(())
            }
        }
    }

    /// Hands on every frame that has come in whole.
    fn handle_frames(&mut self) -> Result<(), Error> {
        loop {
            match decode_frame(&mut self.read, FRAME_BYTES_MAX) {
                Ok(Some((correlation, frame))) => self.handle_frame(correlation, frame)?,
                Ok(None) => break,
                Err(FrameError::Body { correlation, error }) => {
                    self.handle_malformed(correlation, Error::from(error))?;
                }
                Err(error) => return Err(Error::Protocol { reason: error.to_string() }),
            }
        }
        if self.read.is_empty() && self.read.capacity() > BUFFER_BYTES_KEPT {
            self.read = BytesMut::new();
        }
        self.read.reserve(READ_BYTES);
        Ok(())
    }

    fn handle_frame(&mut self, correlation: u64, frame: Frame) -> Result<(), Error> {
        match frame {
            Frame::Reply(response) => self.handle_reply(correlation, response),
            Frame::Delivery(deliveries) => {
                if let Some(endpoint) = self.subscriptions.get(&correlation) {
                    endpoint.clone().handle_delivery(correlation, deliveries);
                }
            }
            Frame::Ended(why) => {
                if let Some(endpoint) = self.subscriptions.remove(&correlation) {
                    endpoint.handle_ended(correlation, Ok(why));
                }
            }
            // A node that asks and does not read is not answered without bound.
            Frame::Ping if self.write.len() < 2 * WRITE_BYTES => {
                encode_frame(correlation, &Frame::Pong, &mut self.write);
            }
            Frame::Ping | Frame::Pong => {}
            Frame::Goodbye(why) => {
                return Err(Error::ConnectionLost { reason: format!("the node closes it: {why}") });
            }
            _ => {
                return Err(Error::Protocol { reason: "it sent a frame that only clients send".into() });
            }
        }
        Ok(())
    }

    fn handle_reply(&mut self, correlation: u64, response: Response) {
        let Some(Pending { endpoint, token }) = self.pending.remove(&correlation) else { return };
        if matches!(response, Response::Error(_)) {
            self.subscriptions.remove(&correlation);
        }
        endpoint.handle_reply(token, Ok(response));
    }

    /// An answer that cannot be read is the end of that request only; anything else, of the stream.
    fn handle_malformed(&mut self, correlation: u64, error: Error) -> Result<(), Error> {
        let Some(Pending { endpoint, token }) = self.pending.remove(&correlation) else {
            return Err(error);
        };
        self.subscriptions.remove(&correlation);
        endpoint.handle_reply(token, Err(error));
        Ok(())
    }

    fn handle_timer(&mut self) -> Result<(), Error> {
        let now = Instant::now();
        if let Some(pinged) = self.pinged
            && now.duration_since(pinged) >= self.keep_alive
        {
            let silent = now.duration_since(self.heard);
            return Err(Error::ConnectionLost {
                reason: format!("nothing came from the node for {silent:?}"),
            });
        }
        let quiet = now.duration_since(self.heard.min(self.written)) >= self.keep_alive / 2;
        if quiet && self.pinged.is_none() {
            encode_frame(0, &Frame::Ping, &mut self.write);
            self.pinged = Some(now);
        }
        Ok(())
    }

    /// Gives back what was not answered.
    pub(super) fn end(self, why: &Error) {
        for (_, Pending { endpoint, token }) in self.pending {
            endpoint.handle_reply(token, Err(why.clone()));
        }
        for (subscription, endpoint) in self.subscriptions {
            endpoint.handle_ended(subscription, Err(why.clone()));
        }
    }

    /// Says goodbye, if the stream takes it at once.
    pub(super) async fn say_goodbye(&mut self, error: ErrorReply) {
        encode_frame(0, &Frame::Goodbye(error), &mut self.write);
        let farewell = async {
            self.writer.write_all_buf(&mut self.write).await?;
            self.writer.shutdown().await
        };
        let _ = tokio::time::timeout(Duration::from_millis(100), farewell).await;
    }
}

/// What a step of writing has done.
enum Wrote {
    Bytes(usize),
    Flushed,
}

/// Writes some of `buffer`, or flushes what TLS holds back when there is nothing left. Dropping the
/// future loses nothing.
async fn advance(writer: &mut WriteHalf<Box<dyn Stream>>, buffer: &mut BytesMut) -> std::io::Result<Wrote> {
    if buffer.is_empty() {
        writer.flush().await.map(|()| Wrote::Flushed)
    } else {
        writer.write_buf(buffer).await.map(Wrote::Bytes)
    }
}

fn lost(error: std::io::Error) -> Error {
    Error::ConnectionLost { reason: error.to_string() }
}

/// The node closes a silent connection: three signs of life must fit in before that.
fn keep_alive_of(welcome: &Welcome, wanted: Duration) -> Duration {
    let allowed = match welcome.idle_ms {
        0 => wanted,
        idle_ms => Duration::from_millis(u64::from(idle_ms)) / 3,
    };
    wanted.min(allowed).max(Duration::from_millis(2))
}
