//! Requests to services of a Majordomo broker: RFC 7/MDP and RFC 18/MDP, the clients' side.

use bytes::Bytes;
use swarmmq_protocol::zeromq::mdp::client::standard_address;
use swarmmq_protocol::zeromq::mdp::{ClientReply, ClientRequest, Part, RequestId, ServiceName, Version};

use crate::error::Error;
use crate::zeromq::driver::Driver;
use crate::zeromq::pirate::{Answer, Dialect, LazyPirate, PirateEvent};
use crate::zeromq::plain::{RequestError, id_frame};
use crate::zeromq::request_options::RequestOptions;
use crate::zeromq::socket::{Connector, Frames};

/// Most parts of a reply that [`MdpClient::request`] keeps before the last. [`MdpClient::next_part`] has no limit.
pub const REPLY_PARTS_MAX: usize = 1024;

/// What is asked of which service.
pub(crate) struct Call {
    service: ServiceName,
    body: Frames,
}

/// A version of the clients' protocol.
pub(crate) struct Mdp {
    version: Version,
    request_ids: bool,
}

impl Mdp {
    fn address(&self, id: u64) -> Vec<Bytes> {
        if self.request_ids { vec![id_frame(id), Bytes::new()] } else { standard_address(self.version) }
    }
}

impl Dialect for Mdp {
    type Request = Call;

    fn write(&self, id: u64, request: &Call) -> Frames {
        let address = self.address(id);
        let (service, body) = (request.service.clone(), request.body.clone());
        ClientRequest { version: self.version, address, service, body }.encode()
    }

    fn read(&self, id: u64, request: &Call, frames: Frames) -> Option<Answer> {
        let reply = ClientReply::parse(&frames).ok()?;
        let ours = reply.version == self.version
            && reply.service == request.service
            && reply.address == self.address(id);
        match (ours, reply.part) {
            (false, _) => None,
            (true, Part::Partial) => Some(Answer::Partial(reply.body)),
            (true, Part::Final) => Some(Answer::Final(reply.body)),
        }
    }
}

/// A part of a reply.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MdpPart {
    /// A part, and more will come. Only 0.2 has it.
    Partial(Frames),
    /// The request was sent again, since no more came: the parts until now are void.
    Restarted,
    /// The reply, or its last part.
    Final(Frames),
}

/// A whole reply.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MdpReply {
    /// The parts before the last, in order. None in 0.1.
    pub partial: Vec<Frames>,
    /// The reply, or its last part: one frame or more.
    pub last: Frames,
}

/// A client of the services of a Majordomo broker, one request at a time, with the time-outs and repetitions of a
/// [`LazyPirateClient`](super::LazyPirateClient).
///
/// Services whose names begin with `mmi.` are the broker's own, RFC 8/MMI: `mmi.service` with the name of a service
/// answers `200` if it has workers, `404` if not.
///
/// ```no_run
/// use swarmmq::zeromq::{MdpClient, MdpVersion, OmqConnector, RequestOptions, ServiceName};
///
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// let connector = OmqConnector::dealer(["tcp://localhost:5555"])?;
/// let mut client = MdpClient::new(connector, MdpVersion::V01, RequestOptions::default())?;
/// let echo = ServiceName::new("echo")?;
/// let reply = client.request(&echo, ["hello"]).await?;
/// println!("{:?}", reply.last[0]);
/// # Ok(())
/// # }
/// ```
pub struct MdpClient<C: Connector> {
    driver: Driver<LazyPirate<Mdp>, C>,
    deduplicated: bool,
    busy: bool,
}

impl<C: Connector> MdpClient<C> {
    /// A client. It connects with its first request.
    ///
    /// # Errors
    /// [`Error::Misuse`] if an option is out of its range.
    pub fn new(connector: C, version: Version, options: RequestOptions) -> Result<Self, Error> {
        Self::with_dialect(connector, options, Mdp { version, request_ids: false })
    }

    /// A client that puts a request's id, eight bytes, and an empty frame before the protocol's name, and takes a reply
    /// only with that id, so that even a broker that answers a request twice is understood.
    ///
    /// SwarmMQ gives back what stands there; the Guide's brokers do not understand it.
    ///
    /// # Errors
    /// [`Error::Misuse`] if an option is out of its range.
    pub fn with_request_ids(connector: C, version: Version, options: RequestOptions) -> Result<Self, Error> {
        Self::with_dialect(connector, options, Mdp { version, request_ids: true })
    }

    fn with_dialect(connector: C, options: RequestOptions, dialect: Mdp) -> Result<Self, Error> {
        options.validate()?;
        let deduplicated = options.deduplicated;
        let machine = LazyPirate::new(dialect, options, rand::random());
        Ok(Self { driver: Driver::new(machine, connector), deduplicated, busy: false })
    }

    /// Asks a service, and waits for its whole reply.
    ///
    /// # Errors
    /// [`RequestError::NoReply`] if attempts are used up; [`RequestError::TooManyParts`] above [`REPLY_PARTS_MAX`], with
    /// which the request is dropped; [`RequestError::EmptyRequest`].
    pub async fn request<F: Into<Bytes>>(
        &mut self,
        service: &ServiceName,
        body: impl IntoIterator<Item = F>,
    ) -> Result<MdpReply, RequestError> {
        self.start(service, body)?;
        let mut partial = Vec::new();
        loop {
            match self.next_part().await? {
                MdpPart::Partial(part) if partial.len() < REPLY_PARTS_MAX => partial.push(part),
                MdpPart::Partial(_) => return Err(RequestError::TooManyParts { limit: REPLY_PARTS_MAX }),
                MdpPart::Restarted => partial.clear(),
                MdpPart::Final(last) => return Ok(MdpReply { partial, last }),
            }
        }
    }

    /// Begins a request, of which [`next_part`](Self::next_part) gives the reply as it comes. One that is under way is
    /// dropped.
    ///
    /// # Errors
    /// [`RequestError::EmptyRequest`].
    pub fn start<F: Into<Bytes>>(
        &mut self,
        service: &ServiceName,
        body: impl IntoIterator<Item = F>,
    ) -> Result<(), RequestError> {
        let mut body: Frames = body.into_iter().map(Into::into).collect();
        if body.is_empty() {
            return Err(RequestError::EmptyRequest);
        }
        // The broker's own services take no ids. To ask them twice does no harm.
        if self.deduplicated && !service.is_management() {
            body.insert(0, RequestId::from_value(rand::random()).frame());
        }
        self.driver.take_received();
        let (machine, now_ms) = self.driver.machine();
        machine.start(now_ms, Call { service: service.clone(), body });
        self.busy = true;
        Ok(())
    }

    /// Waits for the next part of the reply to the request that was begun. Nothing is lost when the future is dropped.
    ///
    /// # Errors
    /// [`RequestError::NoReply`] if attempts are used up; [`RequestError::NotAsked`] if no request is under way.
    pub async fn next_part(&mut self) -> Result<MdpPart, RequestError> {
        if !self.busy {
            return Err(RequestError::NotAsked);
        }
        match self.driver.next_event().await {
            PirateEvent::Partial(body) => Ok(MdpPart::Partial(body)),
            PirateEvent::Restarted => Ok(MdpPart::Restarted),
            PirateEvent::Final(body) => {
                self.busy = false;
                Ok(MdpPart::Final(body))
            }
            PirateEvent::Failed(no_reply) => {
                self.busy = false;
                Err(RequestError::NoReply(no_reply))
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

    fn call() -> Call {
        Call { service: ServiceName::new("echo").unwrap(), body: frames(&[b"hi"]) }
    }

    const ID: &[u8] = &[0, 0, 0, 0, 0, 0, 0, 7];

    #[test]
    fn requests_are_written_as_the_rfcs_say() {
        let written = |version, request_ids| Mdp { version, request_ids }.write(7, &call());
        assert_eq!(written(Version::V01, false), frames(&[b"", b"MDPC01", b"echo", b"hi"]));
        assert_eq!(written(Version::V02, false), frames(&[b"MDPC02", b"\x01", b"echo", b"hi"]));
        assert_eq!(written(Version::V01, true), frames(&[ID, b"", b"MDPC01", b"echo", b"hi"]));
    }

    #[test]
    fn only_a_reply_of_the_service_in_the_version_and_with_the_id_is_one() {
        let read = |version, request_ids, words: &[&[u8]]| {
            Mdp { version, request_ids }.read(7, &call(), frames(words))
        };
        let body = || frames(&[b"ho"]);
        use Version::{V01, V02};
        assert_eq!(read(V01, false, &[b"", b"MDPC01", b"echo", b"ho"]), Some(Answer::Final(body())));
        assert_eq!(read(V02, false, &[b"MDPC02", b"\x02", b"echo", b"ho"]), Some(Answer::Partial(body())));
        assert_eq!(read(V02, false, &[b"MDPC02", b"\x03", b"echo", b"ho"]), Some(Answer::Final(body())));
        assert_eq!(read(V01, true, &[ID, b"", b"MDPC01", b"echo", b"ho"]), Some(Answer::Final(body())));
        let no_replies: [(Version, bool, &[&[u8]]); 7] = [
            (V01, false, &[b"", b"MDPC01", b"other", b"ho"]),
            (V01, false, &[b"MDPC02", b"\x03", b"echo", b"ho"]),
            (V02, false, &[b"", b"MDPC01", b"echo", b"ho"]),
            (V01, false, &[b"", b"MDPW01", b"\x04"]),
            (V01, false, &[b"", b"MDPC01", b"echo"]),
            (V01, true, &[b"", b"MDPC01", b"echo", b"ho"]),
            (V01, true, &[&[0; 8], b"", b"MDPC01", b"echo", b"ho"]),
        ];
        for (version, request_ids, words) in no_replies {
            assert_eq!(read(version, request_ids, words), None, "{words:?}");
        }
    }
}
