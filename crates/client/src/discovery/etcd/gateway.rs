//! The gateway: a member that answers, and a token that shows who we are.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::time::timeout;

use super::super::error::DiscoveryError;
use super::http::{Answer, Http};
use super::messages::{AuthenticateRequest, AuthenticateResponse, Piece, Trouble};
use super::options::{EtcdOptions, wrong};
use super::target::Target;

/// Most bytes of an answer that makes no sense that are shown.
const TEXT_BYTES_MAX: usize = 200;

/// Why a call failed.
pub(super) enum CallError {
    /// The member says so.
    Trouble(Trouble),
    /// It could not be asked, or understood.
    Failed(DiscoveryError),
}

impl From<CallError> for DiscoveryError {
    fn from(error: CallError) -> Self {
        match error {
            CallError::Failed(error) => error,
            CallError::Trouble(trouble) if trouble.is_temporary() => Self::Away(trouble.message),
            CallError::Trouble(trouble) => Self::Refused(trouble.message),
        }
    }
}

/// The members of a cluster, one of which is asked.
pub(super) struct Gateway {
    http: Http,
    targets: Vec<Target>,
    /// The one that answered last.
    current: AtomicUsize,
    /// For the head of an answer, and again for its body.
    request_timeout: Duration,
    user: Option<(String, String)>,
    token: Mutex<Option<Arc<str>>>,
}

impl Gateway {
    pub(super) fn new(options: &EtcdOptions) -> Result<Self, DiscoveryError> {
        if options.endpoints.is_empty() {
            return Err(wrong("endpoints", "there must be one"));
        }
        let targets: Vec<Target> =
            options.endpoints.iter().map(|one| Target::parse(one)).collect::<Result<_, _>>()?;
        if options.tls.is_none() && targets.iter().any(|target| target.has_tls) {
            return Err(wrong("tls", "an endpoint with https needs to know whom to trust"));
        }
        Ok(Self {
            http: Http::new(options)?,
            request_timeout: options.timeout(),
            targets,
            current: AtomicUsize::new(0),
            user: options.user.clone(),
            token: Mutex::new(None),
        })
    }

    /// Asks, and reads the whole answer.
    pub(super) async fn call<T: DeserializeOwned>(
        &self,
        path: &str,
        request: &impl Serialize,
    ) -> Result<T, CallError> {
        let answer = self.open(path, request).await?;
        let body = self.whole(answer).await?;
        read(&body)
    }

    /// Asks, and reads the first piece of an answer that streams.
    pub(super) async fn call_streaming<T: DeserializeOwned>(
        &self,
        path: &str,
        request: &impl Serialize,
    ) -> Result<T, CallError> {
        let mut answer = self.open(path, request).await?;
        let piece = next_piece(&mut answer);
        timeout(self.request_timeout, piece).await.unwrap_or_else(|_| Err(self.too_late()))
    }

    /// The whole body of an answer, which a member may die in the middle of.
    async fn whole(&self, answer: Answer) -> Result<Bytes, CallError> {
        match timeout(self.request_timeout, answer.whole()).await {
            Ok(body) => body.map_err(CallError::Failed),
            Err(_) => Err(self.too_late()),
        }
    }

    fn too_late(&self) -> CallError {
        let text = format!("an answer did not come to its end within {:?}", self.request_timeout);
        CallError::Failed(DiscoveryError::Away(text))
    }

    /// Asks one member after the other, beginning with the one that answered last, until one does not fail for the time
    /// being. Says again who we are where the token is not accepted any more.
    pub(super) async fn open(&self, path: &str, request: &impl Serialize) -> Result<Answer, CallError> {
        let body = serde_json::to_vec(request)
            .map_err(|error| CallError::Failed(DiscoveryError::Protocol(error.to_string())))?;
        let first = self.current.load(Ordering::Relaxed);
        let mut last = None;
        for turn in 0..self.targets.len() {
            let nth = (first + turn) % self.targets.len();
            let Some(target) = self.targets.get(nth) else { continue };
            // Whoever asks has less patience than a dead member may have silence: its next attempt begins behind this one.
            self.current.store((nth + 1) % self.targets.len(), Ordering::Relaxed);
            match self.ask(target, path, &body).await {
                Ok(answer) => {
                    self.current.store(nth, Ordering::Relaxed);
                    return Ok(answer);
                }
                Err(CallError::Failed(error)) if error.is_retryable() => {
                    tracing::debug!(%error, "a member of etcd does not answer");
                    last = Some(CallError::Failed(error));
                }
                Err(CallError::Trouble(trouble)) if trouble.is_temporary() => {
                    last = Some(CallError::Trouble(trouble));
                }
                Err(error) => return Err(error),
            }
        }
        Err(last.unwrap_or_else(|| CallError::Failed(DiscoveryError::Away("there is no member".into()))))
    }

    async fn ask(&self, target: &Target, path: &str, body: &[u8]) -> Result<Answer, CallError> {
        let token = self.token(target).await?;
        match self.ask_as(target, path, body, token.as_deref()).await {
            Err(CallError::Trouble(trouble)) if trouble.is_about_the_token() && self.user.is_some() => {
                *self.token.lock() = None;
                let token = self.token(target).await?;
                self.ask_as(target, path, body, token.as_deref()).await
            }
            result => result,
        }
    }

    async fn ask_as(
        &self,
        target: &Target,
        path: &str,
        body: &[u8],
        token: Option<&str>,
    ) -> Result<Answer, CallError> {
        // A member that has lost its cluster ends what streams, instead of being silent.
        let mut headers = vec![("grpc-metadata-hasleader", "true")];
        headers.extend(token.map(|token| ("authorization", token)));
        let answer =
            self.http.post(target, path, &headers, body.to_vec()).await.map_err(CallError::Failed)?;
        if answer.status.is_success() {
            return Ok(answer);
        }
        let status = answer.status;
        let body = self.whole(answer).await?;
        Err(match serde_json::from_slice(&body) {
            Ok(value) => CallError::Trouble(Trouble::of(&value)),
            Err(_) if status.is_server_error() => {
                CallError::Failed(DiscoveryError::Away(format!("{} says {status}", target.authority)))
            }
            Err(_) => {
                let text = String::from_utf8_lossy(body.get(..TEXT_BYTES_MAX).unwrap_or(&body)).into_owned();
                let text = format!("{} says {status}: {text:?}", target.authority);
                CallError::Failed(DiscoveryError::Refused(text))
            }
        })
    }

    /// The token, fetched where there is none; none where no user is configured.
    async fn token(&self, target: &Target) -> Result<Option<Arc<str>>, CallError> {
        let Some((name, password)) = &self.user else { return Ok(None) };
        let known = self.token.lock().clone();
        if known.is_some() {
            return Ok(known);
        }
        let body = serde_json::to_vec(&AuthenticateRequest { name, password })
            .map_err(|error| CallError::Failed(DiscoveryError::Protocol(error.to_string())))?;
        let answer = self.ask_as(target, "/v3/auth/authenticate", &body, None).await?;
        let body = self.whole(answer).await?;
        let token: Arc<str> = read::<AuthenticateResponse>(&body)?.token.into();
        *self.token.lock() = Some(token.clone());
        Ok(Some(token))
    }

    /// Lets go of a token that a stream was not accepted with.
    pub(super) fn forget_token(&self) {
        *self.token.lock() = None;
    }
}

fn read<T: DeserializeOwned>(body: &[u8]) -> Result<T, CallError> {
    serde_json::from_slice(body)
        .map_err(|error| CallError::Failed(DiscoveryError::Protocol(format!("etcd's answer: {error}"))))
}

/// The next piece of an answer that streams.
pub(super) async fn next_piece<T: DeserializeOwned>(answer: &mut Answer) -> Result<T, CallError> {
    let line = answer.line().await.map_err(CallError::Failed)?;
    let Some(line) = line else {
        return Err(CallError::Failed(DiscoveryError::Away("etcd ended the stream".into())));
    };
    let piece: Piece<T> = read(&line)?;
    match (piece.result, piece.error) {
        (Some(result), None) => Ok(result),
        (_, Some(error)) => Err(CallError::Trouble(Trouble::of(&error))),
        (None, None) => Err(CallError::Failed(DiscoveryError::Protocol("a piece without content".into()))),
    }
}
