//! Single requests: sent, sent again where that does no harm, within their time.

use std::sync::Arc;
use std::time::Duration;

use swarmmq_protocol::request::Put;
use swarmmq_protocol::{DestinationName, ErrorCode, Request, Response};
use tokio::time::Instant;

use crate::backoff::Backoff;
use crate::client::Client;
use crate::connection::{Call, Link};
use crate::error::{Error, Misuse, says_nothing_was_done};

/// First and longest pause before a request that a node could not serve is sent again.
pub(crate) const RETRY_DELAYS: (Duration, Duration) = (Duration::from_millis(20), Duration::from_secs(1));

/// A node that names another leader is followed at once so often before there is a pause.
pub(crate) const HOPS_MAX: u32 = 3;

impl Client {
    /// Sends a request of any kind and gives its answer, which is never [`Response::Error`]. The
    /// methods beside this one are easier.
    ///
    /// It is sent again, with pauses, until the client's request timeout, where the node asks for that
    /// by its error's code, and where the connection is lost. A put without a producer stamp is not
    /// sent again after it may have been stored; a subscription is not for this method.
    ///
    /// Dropping the future takes the request back if it was not sent yet.
    ///
    /// # Errors
    /// [`Error::Refused`] for an error of the node; [`Error::TimedOut`] where the time went by and
    /// nothing was done; [`Error::OutcomeUnknown`] where it may have been done; [`Error::Closed`].
    pub async fn request(&self, request: Request) -> Result<Response, Error> {
        if let Request::Subscribe(_) | Request::Unsubscribe { .. } = request {
            let value = "a subscription".into();
            return Err(Misuse::Option { option: "request", value, reason: "build a consumer" }.into());
        }
        self.request_within(request, self.request_timeout()).await
    }

    pub(crate) async fn request_within(&self, request: Request, limit: Duration) -> Result<Response, Error> {
        let mut attempts = Attempts {
            client: self,
            uncertain: false,
            current: None,
            last: None,
            hops: 0,
            backoff: Backoff::new(RETRY_DELAYS.0, RETRY_DELAYS.1),
        };
        let deadline = Instant::now() + limit;
        let result = tokio::select! {
            result = attempts.run(&request) => result,
            () = tokio::time::sleep_until(deadline) => {
                // Why there is no connection says more than how the last one ended.
                let trouble = self.shared.router.home().trouble();
                let last = trouble.or(attempts.last.take()).map(Box::new);
                Err(Error::TimedOut { operation: "the request", limit, last })
            }
            () = self.shared.closing.cancelled() => Err(Error::Closed),
        };
        let unanswered = attempts.current.as_ref().is_some_and(Call::is_written);
        let uncertain = attempts.uncertain || unanswered;
        match result {
            Err(error) if uncertain && changes_something(&request) && !error.is_uncertain() => {
                Err(Error::OutcomeUnknown { cause: Box::new(error) })
            }
            result => result,
        }
    }
}

struct Attempts<'a> {
    client: &'a Client,
    /// Whether some attempt was sent and not answered for certain.
    uncertain: bool,
    /// The attempt under way.
    current: Option<Call>,
    last: Option<Error>,
    hops: u32,
    backoff: Backoff,
}

impl Attempts<'_> {
    async fn run(&mut self, request: &Request) -> Result<Response, Error> {
        let shared = &self.client.shared;
        let _permit = shared.requests.acquire().await.map_err(|_| Error::Closed)?;
        loop {
            let link = shared.router.link_for(request.destination());
            let answer = self.attempt(&link, request).await;
            let error = match answer {
                Ok(Response::Error(reply)) => Error::Refused(reply),
                Ok(response) => {
                    self.uncertain = false;
                    return Ok(response);
                }
                Err(error) => error,
            };
            if self.uncertain && is_done_already(request, &error) {
                return Ok(Response::Done { index: 0 });
            }
            let moved = self.follow(&link, request.destination(), &error);
            if !self.may_repeat(&link, request, &error) {
                return Err(error);
            }
            tracing::debug!(%error, "a request is sent again");
            self.last = Some(error);
            self.hops += u32::from(moved);
            if !moved || self.hops > HOPS_MAX {
                tokio::time::sleep(self.backoff.next_delay()).await;
            }
        }
    }

    async fn attempt(&mut self, link: &Link, request: &Request) -> Result<Response, Error> {
        let call = self.current.insert(Call::begin(link, request.clone()));
        let answer = call.answer().await;
        let is_certain = match &answer {
            Ok(Response::Error(reply)) => says_nothing_was_done(reply.code),
            Ok(_) => true,
            Err(_) => !call.is_written(),
        };
        self.uncertain |= !is_certain;
        self.current = None;
        answer
    }

    /// Goes to the leader that the node names. Says whether that is another node than before.
    fn follow(&self, link: &Arc<Link>, destination: Option<&DestinationName>, error: &Error) -> bool {
        match (error, destination) {
            (Error::Refused(reply), Some(destination)) if reply.code == ErrorCode::NotLeader => {
                self.client.shared.router.redirect(destination, link, reply.leader.as_deref())
            }
            _ => false,
        }
    }

    fn may_repeat(&self, link: &Link, request: &Request, error: &Error) -> bool {
        let unstamped = matches!(request, Request::Put(Put { stamp: None, .. }));
        if unstamped && self.uncertain {
            return false;
        }
        match error {
            // A destination stays full until somebody takes from it: that is for the caller to know.
            Error::Refused(reply) => reply.code.is_retryable() && reply.code != ErrorCode::DestinationFull,
            Error::ConnectionLost { .. } => true,
            Error::Closed => link.is_closed() && !self.client.shared.closing.is_cancelled(),
            _ => false,
        }
    }
}

/// Whether it matters that a request may have been done.
fn changes_something(request: &Request) -> bool {
    !matches!(
        request,
        Request::Pull(_)
            | Request::DescribeDestination { .. }
            | Request::ListDestinations { .. }
            | Request::Watch(_)
    )
}

/// Whether what was to be removed is gone, where an earlier attempt may have removed it.
fn is_done_already(request: &Request, error: &Error) -> bool {
    match request {
        Request::DeleteDestination { .. } => error.code() == Some(ErrorCode::UnknownDestination),
        Request::DeleteGroup { .. } => error.code() == Some(ErrorCode::UnknownGroup),
        _ => false,
    }
}
