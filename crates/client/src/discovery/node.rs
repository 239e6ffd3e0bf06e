//! The registry of a node.

use std::time::Duration;

use swarmmq_protocol::ServiceType;
use swarmmq_protocol::request::Request;
use swarmmq_protocol::response::Response;
use swarmmq_protocol::service::{Instance, InstanceKey, RegistryCursor, ServicesReply, Watch};
use tokio::time::timeout;

use super::error::DiscoveryError;
use super::registry::{Discovery, Pending, Watching};
use crate::admin::unexpected;
use crate::client::Client;
use crate::connection::Status;
use crate::error::Error;

/// How long one question for news waits at the node.
const WAIT_MS: u32 = 30_000;
/// How long an answer may take beyond what it was asked to wait.
const ANSWER_MAX: Duration = Duration::from_secs(5);

/// The registry of the node that a [`Client`] is connected to.
///
/// Registrations live in that node's memory. They outlive neither it nor the connection to another node of a cluster, but
/// come back by themselves: see [`Registration`](super::Registration).
#[derive(Debug, Clone)]
pub struct NodeDiscovery {
    client: Client,
}

impl NodeDiscovery {
    /// Registers and watches over `client`.
    #[must_use]
    pub fn new(client: Client) -> Self {
        Self { client }
    }

    /// Sends a request on a connection that stands, and gives up when it is lost.
    async fn ask(&self, request: Request, wait: Duration) -> Result<Response, DiscoveryError> {
        let mut status = self.client.shared.router.home().status();
        let is_up = status.wait_for(|status| !matches!(status, Status::Down(_)));
        match timeout(ANSWER_MAX, is_up).await {
            Ok(Ok(status)) if matches!(*status, Status::Up { .. }) => {}
            Ok(_) => return Err(DiscoveryError::Away("the client is closed".into())),
            Err(_) => return Err(DiscoveryError::Away(self.trouble())),
        }
        let limit = wait + ANSWER_MAX;
        tokio::select! {
            answer = self.client.request_within(request, limit) => answer.map_err(failed),
            _ = status.wait_for(|status| !matches!(status, Status::Up { .. })) => {
                Err(DiscoveryError::Away(self.trouble()))
            }
        }
    }

    fn trouble(&self) -> String {
        match self.client.shared.router.home().trouble() {
            Some(error) => error.to_string(),
            None => "the connection was lost".into(),
        }
    }

    async fn done(&self, request: Request) -> Result<(), DiscoveryError> {
        match self.ask(request, Duration::ZERO).await? {
            Response::Done { .. } => Ok(()),
            other => Err(failed(unexpected(&other))),
        }
    }
}

impl Discovery for NodeDiscovery {
    fn announce<'a>(&'a self, instance: &'a Instance) -> Pending<'a, ()> {
        Box::pin(async move {
            instance.validate()?;
            self.done(Request::Announce(instance.clone())).await
        })
    }

    fn withdraw<'a>(&'a self, key: &'a InstanceKey) -> Pending<'a, ()> {
        Box::pin(self.done(Request::Withdraw(key.clone())))
    }

    fn watch<'a>(
        &'a self,
        service: Option<&'a ServiceType>,
        after: Option<RegistryCursor>,
    ) -> Pending<'a, Box<dyn Watching>> {
        let watching = NodeWatching { discovery: self.clone(), service: service.cloned(), after, wait_ms: 0 };
        Box::pin(async move { Ok(Box::new(watching) as Box<dyn Watching>) })
    }
}

/// Asks for news, again and again: the node keeps nothing for a watch between two questions.
struct NodeWatching {
    discovery: NodeDiscovery,
    service: Option<ServiceType>,
    after: Option<RegistryCursor>,
    /// The first answer comes at once, also where there is nothing new: who asks knows then that the node is there.
    wait_ms: u32,
}

impl Watching for NodeWatching {
    fn next(&mut self) -> Pending<'_, ServicesReply> {
        Box::pin(async move {
            let watch = Watch { service: self.service.clone(), after: self.after, wait_ms: self.wait_ms };
            let wait = Duration::from_millis(u64::from(self.wait_ms));
            match self.discovery.ask(Request::Watch(watch), wait).await? {
                Response::Services(reply) => {
                    (self.after, self.wait_ms) = (Some(reply.at), WAIT_MS);
                    Ok(reply)
                }
                other => Err(failed(unexpected(&other))),
            }
        })
    }
}

fn failed(error: Error) -> DiscoveryError {
    let text = error.to_string();
    match error {
        Error::OutcomeUnknown { .. } | Error::Closed => DiscoveryError::Away(text),
        Error::Protocol { .. } => DiscoveryError::Protocol(text),
        error if error.is_retryable() => DiscoveryError::Away(text),
        _ => DiscoveryError::Refused(text),
    }
}
