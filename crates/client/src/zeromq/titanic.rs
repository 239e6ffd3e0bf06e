//! Requests that are stored and worked on later, by a Titanic service: RFC 9/TSP.

use std::time::Duration;

use bytes::Bytes;
use swarmmq_protocol::zeromq::mdp::{ServiceName, ServiceNameError, Version};
use swarmmq_protocol::zeromq::tsp::{
    CloseReply, Request, RequestId, RetrieveReply, Status, StoreReply, TspError,
};
use tokio::time::Instant;

use crate::error::Error;
use crate::zeromq::mdp_client::MdpClient;
use crate::zeromq::plain::RequestError;
use crate::zeromq::request_options::RequestOptions;
use crate::zeromq::retrieval::{Next, Retrieval};
use crate::zeromq::socket::{Connector, Frames};

/// Why Titanic did not do what was asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TitanicError {
    /// No broker or no Titanic answered, or nothing was asked.
    #[error("{0}")]
    Request(#[from] RequestError),
    /// Titanic cannot, now: 500. It may later.
    #[error("titanic answered 500, it has an error of its own")]
    Unavailable,
    /// Titanic does not know the request (any more): 400. It never will.
    #[error("titanic answered 400, it does not know the request")]
    Unknown,
    /// There was no reply within the time that was given.
    #[error("there was no reply within {waited_ms} ms")]
    NotYet {
        /// How long was waited.
        waited_ms: u64,
    },
    /// What answered is no Titanic.
    #[error("the answer is none of Titanic's: {0}")]
    Malformed(#[from] TspError),
    /// A name of its services cannot be written.
    #[error("{0}")]
    ServiceName(#[from] ServiceNameError),
}

/// A client of a Titanic service behind a Majordomo broker: requests survive the crash of anything but the disk, and
/// client and worker need not be there at one time.
///
/// A request is [stored](Self::store), and has an id from then on. [`wait`](Self::wait) asks for its reply until it is
/// there, also in another process that was told the id. What is [closed](Self::close) is forgotten.
///
/// Storing is not idempotent: if the answer is lost and the attempt is made again, the request is stored twice, and one
/// of the two is never closed by this client. With one [attempt](RequestOptions::attempts) it is not, and a lost answer
/// is a failure.
///
/// ```no_run
/// use std::time::Duration;
/// use swarmmq::zeromq::{MdpVersion, OmqConnector, RequestOptions, ServiceName, TitanicClient};
///
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// let connector = OmqConnector::dealer(["tcp://localhost:5555"])?;
/// let mut titanic = TitanicClient::new(connector, MdpVersion::V01, RequestOptions::default())?;
/// let id = titanic.store(&ServiceName::new("echo")?, ["hello"]).await?;
/// let reply = titanic.wait(id, Duration::from_secs(60)).await?;
/// titanic.close(id).await?;
/// println!("{:?}", reply[0]);
/// # Ok(())
/// # }
/// ```
pub struct TitanicClient<C: Connector> {
    client: MdpClient<C>,
    pause_min: Duration,
    pause_max: Duration,
}

/// The first pause between two questions for a reply is at most this.
const PAUSE_MIN: Duration = Duration::from_millis(100);
/// Pauses between two questions for a reply double up to this.
const PAUSE_MAX: Duration = Duration::from_secs(5);

impl<C: Connector> TitanicClient<C> {
    /// A client. It connects with its first request. The options are for each request to the broker.
    ///
    /// # Errors
    /// [`Error::Misuse`] if an option is out of its range.
    pub fn new(connector: C, version: Version, options: RequestOptions) -> Result<Self, Error> {
        options.validate_without_ids()?;
        let client = MdpClient::new(connector, version, options)?;
        Ok(Self { client, pause_min: PAUSE_MIN, pause_max: PAUSE_MAX })
    }

    /// Bounds of the first and the longest pause of [`wait`](Self::wait). Default 100 ms and 5 s.
    #[must_use]
    pub fn pauses(self, pause_min: Duration, pause_max: Duration) -> Self {
        Self { pause_min, pause_max, ..self }
    }

    /// Has a request to a service stored, of one frame or more. When this returns, it survives a crash.
    ///
    /// # Errors
    /// [`TitanicError`]. After [`RequestError::NoReply`] it may be stored all the same.
    pub async fn store<F: Into<Bytes>>(
        &mut self,
        service: &ServiceName,
        body: impl IntoIterator<Item = F>,
    ) -> Result<RequestId, TitanicError> {
        let body: Frames = body.into_iter().map(Into::into).collect();
        if body.is_empty() {
            return Err(RequestError::EmptyRequest.into());
        }
        let reply = self.ask(Request::Store { service: service.clone(), body }).await?;
        match StoreReply::parse(&reply)? {
            StoreReply::Stored(id) => Ok(id),
            StoreReply::Refused(status) => Err(refused(status)),
        }
    }

    /// Asks once for the reply to a request: `None` where there is none yet. It is kept, and can be asked for again.
    ///
    /// # Errors
    /// [`TitanicError`].
    pub async fn retrieve(&mut self, id: RequestId) -> Result<Option<Frames>, TitanicError> {
        match RetrieveReply::parse(&self.ask(Request::Retrieve(id)).await?)? {
            RetrieveReply::Done(reply) => Ok(Some(reply)),
            RetrieveReply::Pending => Ok(None),
            RetrieveReply::Unknown => Err(TitanicError::Unknown),
            RetrieveReply::Error => Err(TitanicError::Unavailable),
        }
    }

    /// Asks for the reply to a request until it is there, also while Titanic or the broker are not, but not longer than
    /// `limit`, to which the time of one last question may be added.
    ///
    /// # Errors
    /// [`TitanicError::NotYet`]: it can be waited for again. [`TitanicError::Unknown`] and
    /// [`TitanicError::Malformed`] at once.
    pub async fn wait(&mut self, id: RequestId, limit: Duration) -> Result<Frames, TitanicError> {
        let begin = Instant::now();
        let elapsed_ms = || u64::try_from(begin.elapsed().as_millis()).unwrap_or(u64::MAX);
        let limit_ms = u64::try_from(limit.as_millis()).unwrap_or(u64::MAX);
        let mut retrieval = Retrieval::new((self.pause_min, self.pause_max), limit_ms, rand::random());
        loop {
            let answer = self.retrieve(id).await;
            match retrieval.handle_answer(elapsed_ms(), answer) {
                Next::Ask { at_ms } => {
                    let pause = Duration::from_millis(at_ms.saturating_sub(elapsed_ms()));
                    tokio::time::sleep(pause).await;
                }
                Next::Done(result) => return result,
            }
        }
    }

    /// Has a request and its reply forgotten. It is no error if they are already.
    ///
    /// # Errors
    /// [`TitanicError`].
    pub async fn close(&mut self, id: RequestId) -> Result<(), TitanicError> {
        match CloseReply::parse(&self.ask(Request::Close(id)).await?)? {
            CloseReply::Closed => Ok(()),
            CloseReply::Refused(status) => Err(refused(status)),
        }
    }

    async fn ask(&mut self, request: Request) -> Result<Frames, TitanicError> {
        let service = ServiceName::new(request.service())?;
        Ok(self.client.request(&service, request.body()).await?.last)
    }
}

fn refused(status: Status) -> TitanicError {
    match status {
        Status::Unknown => TitanicError::Unknown,
        Status::Ok | Status::Pending | Status::Error => TitanicError::Unavailable,
    }
}
