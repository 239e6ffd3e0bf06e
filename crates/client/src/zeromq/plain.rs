//! Requests to REP sockets and whatever stands in front of them.

use bytes::{BufMut, Bytes, BytesMut};

use crate::error::Error;
use crate::zeromq::driver::Driver;
use crate::zeromq::pirate::{Answer, Dialect, LazyPirate, NoReply, PirateEvent};
use crate::zeromq::request_options::RequestOptions;
use crate::zeromq::socket::{Connector, Frames};

/// Why a request was not answered.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RequestError {
    /// No answer came in time. Whether the request was worked on is not known.
    #[error("{0}")]
    NoReply(NoReply),
    /// A request has one frame or more. Nothing was sent.
    #[error("a request has one frame or more")]
    EmptyRequest,
    /// No request is under way.
    #[error("no request is under way")]
    NotAsked,
    /// A reply came in more parts than are kept.
    #[error("the reply has more than {limit} parts")]
    TooManyParts {
        /// How many are kept.
        limit: usize,
    },
}

/// An empty frame, and what is asked or answered behind it: RFC 28/REQREP.
pub(crate) struct Plain {
    request_ids: bool,
}

impl Dialect for Plain {
    type Request = Frames;

    fn write(&self, id: u64, request: &Frames) -> Frames {
        let mut frames = Vec::with_capacity(2 + request.len());
        frames.extend(self.request_ids.then(|| id_frame(id)));
        frames.push(Bytes::new());
        frames.extend(request.iter().cloned());
        frames
    }

    fn read(&self, id: u64, _: &Frames, mut frames: Frames) -> Option<Answer> {
        let skipped = if self.request_ids {
            if frames.first()?.as_ref() != id.to_be_bytes() {
                return None;
            }
            1
        } else {
            0
        };
        let delimiter = frames.get(skipped)?;
        if !delimiter.is_empty() || frames.len() < skipped + 2 {
            return None;
        }
        frames.drain(..=skipped);
        Some(Answer::Final(frames))
    }
}

/// The frame of a request's id, as it stands before the empty one.
pub(crate) fn id_frame(id: u64) -> Bytes {
    let mut frame = BytesMut::with_capacity(8);
    frame.put_u64(id);
    frame.freeze()
}

/// A client of a `REP` socket, also behind proxies, that does not hang when the server does: the Guide's Lazy Pirate.
///
/// Each attempt waits [`timeout`](RequestOptions::timeout) for a reply. Then its socket is closed, since a late reply
/// must not be taken for that of a newer request; after a pause the request is sent on a fresh one, and so on up to
/// [`attempts_max`](RequestOptions::attempts_max). It is a `DEALER` that writes the empty frame of a `REQ` itself. A
/// request may be worked on as often as it is sent.
///
/// A future that is dropped drops its request: the next one begins on a fresh socket.
///
/// ```no_run
/// use swarmmq::zeromq::{LazyPirateClient, OmqConnector, RequestOptions};
///
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// let connector = OmqConnector::dealer(["tcp://localhost:5555"])?;
/// let mut client = LazyPirateClient::new(connector, RequestOptions::default())?;
/// let reply = client.request(["hello"]).await?;
/// println!("{:?}", reply[0]);
/// # Ok(())
/// # }
/// ```
pub struct LazyPirateClient<C: Connector> {
    driver: Driver<LazyPirate<Plain>, C>,
}

impl<C: Connector> LazyPirateClient<C> {
    /// A client. It connects with its first request.
    ///
    /// # Errors
    /// [`Error::Misuse`] if an option is out of its range.
    pub fn new(connector: C, options: RequestOptions) -> Result<Self, Error> {
        Self::with_dialect(connector, options, Plain { request_ids: false })
    }

    /// A client that puts a request's id, eight bytes, before the empty frame, and takes a reply only with that id.
    ///
    /// `REP` sockets, and proxies that hand an envelope on as it is, give it back, so that even a peer that answers a
    /// request twice is understood. Brokers that expect one frame before the empty one, as several of the Guide's,
    /// do not understand it.
    ///
    /// # Errors
    /// [`Error::Misuse`] if an option is out of its range.
    pub fn with_request_ids(connector: C, options: RequestOptions) -> Result<Self, Error> {
        Self::with_dialect(connector, options, Plain { request_ids: true })
    }

    fn with_dialect(connector: C, options: RequestOptions, dialect: Plain) -> Result<Self, Error> {
        options.validate_without_ids()?;
        let machine = LazyPirate::new(dialect, options, rand::random());
        Ok(Self { driver: Driver::new(machine, connector) })
    }

    /// Asks, and waits for the reply: one frame or more.
    ///
    /// # Errors
    /// [`RequestError::NoReply`] within [`RequestOptions::longest`]; [`RequestError::EmptyRequest`].
    pub async fn request<F: Into<Bytes>>(
        &mut self,
        frames: impl IntoIterator<Item = F>,
    ) -> Result<Frames, RequestError> {
        let request: Frames = frames.into_iter().map(Into::into).collect();
        if request.is_empty() {
            return Err(RequestError::EmptyRequest);
        }
        self.driver.take_received();
        let (machine, now_ms) = self.driver.machine();
        machine.start(now_ms, request);
        loop {
            match self.driver.next_event().await {
                PirateEvent::Final(reply) => return Ok(reply),
                PirateEvent::Failed(no_reply) => return Err(RequestError::NoReply(no_reply)),
                PirateEvent::Partial(_) | PirateEvent::Restarted => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frames(words: &[&[u8]]) -> Frames {
        words.iter().map(|word| Bytes::copy_from_slice(word)).collect()
    }

    #[test]
    fn a_reply_stands_behind_an_empty_frame_and_its_id_if_there_are_ids() {
        let (bare, with_ids) = (Plain { request_ids: false }, Plain { request_ids: true });
        let request = frames(&[b"hi"]);
        assert_eq!(bare.write(7, &request), frames(&[b"", b"hi"]));
        let id: &[u8] = &[0, 0, 0, 0, 0, 0, 0, 7];
        assert_eq!(with_ids.write(7, &request), frames(&[id, b"", b"hi"]));
        let answer = Some(Answer::Final(frames(&[b"ho", b""])));
        assert_eq!(bare.read(7, &request, frames(&[b"", b"ho", b""])), answer);
        assert_eq!(with_ids.read(7, &request, frames(&[id, b"", b"ho", b""])), answer);
        let no_replies: [&[&[u8]]; 5] = [&[], &[b""], &[b"\x02"], &[b"ho", b""], &[id, b"", b"ho"]];
        for words in no_replies {
            assert_eq!(bare.read(7, &request, frames(words)), None, "{words:?}");
        }
        let no_replies: [&[&[u8]]; 5] = [&[], &[id], &[id, b""], &[b"", b"ho"], &[&[0; 8], b"", b"ho"]];
        for words in no_replies {
            assert_eq!(with_ids.read(7, &request, frames(words)), None, "{words:?}");
        }
    }
}
