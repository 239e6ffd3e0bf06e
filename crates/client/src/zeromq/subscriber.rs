//! Subscribers that know what they missed, and that end when they are too slow.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use bytes::Bytes;

use crate::zeromq::last_value::{Continuity, LastValues};
use crate::zeromq::snail::{Snail, TimestampFormat, TooOld};
use crate::zeromq::socket::{Connector, Frames, Socket, SocketError};

/// Most different prefixes that a subscriber asks for.
pub const PREFIXES_MAX: usize = 65_536;

/// Which frames publications have, and how much is kept of them.
///
/// ```text
/// [topic] [sequence, if numbered] [timestamp, if there is a limit of age] [payload …]
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct SubscriberOptions {
    /// Whether publishers number their messages: eight bytes behind the topic, the most significant first, one more with
    /// each message of the topic, which has one publisher. Default: they do not.
    pub numbered: bool,
    /// How old a message may be. Default: any age. The clocks of both sides must agree better than that.
    pub age_max: Option<Duration>,
    /// How the timestamp is written. Default: eight bytes with milliseconds.
    pub timestamp_format: TimestampFormat,
    /// Whether the topic itself is the timestamp, as in the Guide's example: there is no frame of its own. Then nothing
    /// is kept of topics. Default: it is not.
    pub timestamp_is_topic: bool,
    /// Most topics whose number and value are kept; messages of others are told without continuity. Default 65,536.
    pub topics_max: usize,
    /// Most bytes of values that are kept, with 32 for each frame; larger ones are not. Default 64 MiB; 0 keeps none,
    /// and then a value that comes again looks like a restart.
    pub values_bytes_max: usize,
}

impl Default for SubscriberOptions {
    fn default() -> Self {
        Self {
            numbered: false,
            age_max: None,
            timestamp_format: TimestampFormat::default(),
            timestamp_is_topic: false,
            topics_max: 65_536,
            values_bytes_max: 64 * 1024 * 1024,
        }
    }
}

impl SubscriberOptions {
    /// Publishers number their messages.
    #[must_use]
    pub fn numbered(self) -> Self {
        Self { numbered: true, ..self }
    }

    /// Publishers say when a message was made, in a frame of this format, and one that is older ends the subscriber.
    #[must_use]
    pub fn age_max(self, age_max: Duration, timestamp_format: TimestampFormat) -> Self {
        Self { age_max: Some(age_max), timestamp_format, ..self }
    }

    /// The topic itself is the timestamp.
    #[must_use]
    pub fn timestamp_is_topic(self) -> Self {
        Self { timestamp_is_topic: true, ..self }
    }

    /// How many topics and bytes of values are kept.
    #[must_use]
    pub fn keep(self, topics_max: usize, values_bytes_max: usize) -> Self {
        Self { topics_max, values_bytes_max, ..self }
    }
}

/// A message of a topic.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Update {
    /// Its topic.
    pub topic: Bytes,
    /// Its number, if messages have one.
    pub sequence: Option<u64>,
    /// Milliseconds since 1970 when it was made, if messages say so.
    pub made_ms: Option<u64>,
    /// How it stands to the one before.
    pub continuity: Continuity,
    /// The frames behind: none or more.
    pub payload: Frames,
}

/// Why a subscriber has nothing to give.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SubscribeError {
    /// The subscriber has ended itself, for good. What it missed from here on, it does not know.
    #[error("{0}")]
    TooOld(#[from] TooOld),
    /// A message does not have the frames that the options say. The next may have them.
    #[error("a message of the topic {} has no {missing}", .topic.escape_ascii())]
    Malformed {
        /// Its first frame.
        topic: Bytes,
        /// What it lacks.
        missing: &'static str,
    },
    /// There are as many prefixes as there may be.
    #[error("there are {PREFIXES_MAX} subscriptions already")]
    TooManyPrefixes,
    /// The socket failed.
    #[error("{0}")]
    Socket(#[from] SocketError),
}

/// A `SUB` socket that keeps the last value of each topic, tells gaps where messages are numbered, and ends itself when
/// messages are too old, if told to.
///
/// ```no_run
/// use std::time::Duration;
/// use swarmmq::zeromq::{Continuity, OmqConnector, Subscriber, SubscriberOptions};
///
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// let connector = OmqConnector::subscriber(["tcp://localhost:5556"])?;
/// let mut prices = Subscriber::connect(connector, SubscriberOptions::default().numbered()).await?;
/// prices.subscribe("price.").await?;
/// loop {
///     let update = prices.recv().await?;
///     if let Continuity::Gap { missing } = update.continuity {
///         eprintln!("{missing} prices of {:?} were lost", update.topic);
///     }
///     println!("{:?} is {:?}", update.topic, update.payload);
/// }
/// # }
/// ```
pub struct Subscriber<C: Connector> {
    /// `None` once the subscriber has ended.
    socket: Option<C::Socket>,
    options: SubscriberOptions,
    /// How often each prefix was asked for.
    prefixes: BTreeMap<Bytes, u64>,
    values: LastValues,
    snail: Snail,
}

impl<C: Connector> Subscriber<C> {
    /// A subscriber of nothing yet. The connector makes `SUB` sockets.
    ///
    /// # Errors
    /// [`SubscribeError::Socket`] if there can be no socket. A publisher that is not there is none.
    pub async fn connect(mut connector: C, options: SubscriberOptions) -> Result<Self, SubscribeError> {
        let socket = connector.connect().await?;
        let values = LastValues::new(options.topics_max, options.values_bytes_max);
        let snail = Snail::new(options.age_max.unwrap_or(Duration::MAX));
        Ok(Self { socket: Some(socket), options, prefixes: BTreeMap::new(), values, snail })
    }

    /// Asks for the topics that begin with `prefix`; an empty one is all. Asked for twice, it must be taken back twice.
    ///
    /// # Errors
    /// [`SubscribeError`].
    pub async fn subscribe(&mut self, prefix: impl Into<Bytes>) -> Result<(), SubscribeError> {
        let prefix = prefix.into();
        let socket = open(&mut self.socket, &self.snail)?;
        if let Some(count) = self.prefixes.get_mut(&prefix) {
            *count += 1;
            return Ok(());
        }
        if self.prefixes.len() >= PREFIXES_MAX {
            return Err(SubscribeError::TooManyPrefixes);
        }
        socket.subscribe(prefix.clone()).await?;
        self.prefixes.insert(prefix, 1);
        Ok(())
    }

    /// Takes one subscription to `prefix` back. With the last, the topics that nothing else asks for are forgotten.
    /// Messages that were under way may still come. Nothing happens where there is none.
    ///
    /// # Errors
    /// [`SubscribeError`].
    pub async fn unsubscribe(&mut self, prefix: impl AsRef<[u8]>) -> Result<(), SubscribeError> {
        let prefix = prefix.as_ref();
        let socket = open(&mut self.socket, &self.snail)?;
        let Some(count) = self.prefixes.get_mut(prefix) else { return Ok(()) };
        if *count > 1 {
            *count -= 1;
            return Ok(());
        }
        socket.unsubscribe(Bytes::copy_from_slice(prefix)).await?;
        self.prefixes.remove(prefix);
        let prefixes = &self.prefixes;
        self.values.forget(prefix, |topic| prefixes.keys().any(|other| topic.starts_with(other)));
        Ok(())
    }

    /// Waits for the next message. One that repeats the last of its topic, number and value, is passed over. Nothing is
    /// lost when the future is dropped.
    ///
    /// # Errors
    /// [`SubscribeError::TooOld`], now and ever after; [`SubscribeError::Malformed`], which the next message may not be;
    /// [`SubscribeError::Socket`].
    pub async fn recv(&mut self) -> Result<Update, SubscribeError> {
        loop {
            let frames = open(&mut self.socket, &self.snail)?.recv().await?;
            let (sequence, made_ms, topic, payload) = self.read(frames)?;
            if let Some(made_ms) = made_ms
                && let Err(too_old) = self.snail.handle_message(wall_ms(), made_ms)
            {
                if let Some(socket) = self.socket.take() {
                    socket.close(false).await;
                }
                return Err(too_old.into());
            }
            let continuity = if self.options.timestamp_is_topic {
                Some(Continuity::Unknown)
            } else {
                self.values.handle_message(&topic, sequence, &payload)
            };
            if let Some(continuity) = continuity {
                return Ok(Update { topic, sequence, made_ms, continuity, payload });
            }
        }
    }

    /// The value that came last in a topic, where there was room to keep it.
    #[must_use]
    pub fn last_value(&self, topic: impl AsRef<[u8]>) -> Option<&[Bytes]> {
        self.values.get(topic.as_ref())
    }

    /// The topics with a value that is kept, in order.
    pub fn last_values(&self) -> impl Iterator<Item = (&Bytes, &[Bytes])> {
        self.values.iter()
    }

    fn read(&self, frames: Frames) -> Result<(Option<u64>, Option<u64>, Bytes, Frames), SubscribeError> {
        let mut frames = frames.into_iter();
        let topic = frames.next().unwrap_or_default();
        let malformed = |missing| SubscribeError::Malformed { topic: topic.clone(), missing };
        let mut sequence = None;
        if self.options.numbered {
            let number =
                frames.next().and_then(|frame| Some(u64::from_be_bytes(frame.as_ref().try_into().ok()?)));
            sequence = Some(number.ok_or_else(|| malformed("sequence of eight bytes"))?);
        }
        let mut made_ms = None;
        if self.options.age_max.is_some() {
            let frame = if self.options.timestamp_is_topic { Some(topic.clone()) } else { frames.next() };
            let read = frame.and_then(|frame| self.options.timestamp_format.read(&frame));
            made_ms = Some(read.ok_or_else(|| malformed("timestamp"))?);
        }
        Ok((sequence, made_ms, topic, frames.collect()))
    }
}

/// The socket, or why there is none.
fn open<'a, S>(socket: &'a mut Option<S>, snail: &Snail) -> Result<&'a mut S, SubscribeError> {
    snail.check()?;
    socket.as_mut().ok_or(SubscribeError::Socket(SocketError::Closed))
}

fn wall_ms() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
