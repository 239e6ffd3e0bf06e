//! What changes in etcd.
//!
//! ```text
//!              all there is                 open behind the last revision
//!   List ─────────────────────▶ Idle ──────────────────────────────────────▶ Open
//!    ▲                           ▲                                            │ │
//!    │ compacted, or etcd began  │ silent for long: the stream may be dead    │ │
//!    │ anew                      └────────────────────────────────────────────┘ │
//!    └──────────────────────────────────────────────────────────────────────────┘
//! ```

use std::sync::Arc;
use std::time::Duration;

use swarmmq_protocol::ServiceType;
use swarmmq_protocol::limits::SERVICES_MAX;
use swarmmq_protocol::service::{Instance, RegistryCursor, ServiceChange, ServiceNews, ServicesReply};
use tokio::time::timeout;

use super::super::error::DiscoveryError;
use super::super::registry::{Pending, Watching};
use super::gateway::{CallError, Gateway, next_piece};
use super::http::Answer;
use super::messages::{Event, RangeRequest, RangeResponse, WatchCreate, WatchRequest, WatchResponse};
use super::record::{range_of, read_key, read_value};

/// A stream that is silent for so long is opened again: a connection can die without a word.
const SILENCE_MAX: Duration = Duration::from_secs(60);
/// A stream that begins with something to tell, such as that history is compacted, has told it after so long. One that
/// has not is current.
const SETTLING: Duration = Duration::from_secs(1);
/// Entries asked for at once.
const PAGE: u64 = 500;

/// Tells what changes of a service in etcd.
pub(super) struct EtcdWatching {
    gateway: Arc<Gateway>,
    service: Option<ServiceType>,
    after: Option<RegistryCursor>,
    stream: Option<Answer>,
    /// Whether the stream has only just begun, and nothing was said of it yet.
    is_settling: bool,
    /// Whether what was seen comes from a list, and no stream has gone on behind it yet.
    has_just_listed: bool,
}

/// What a piece of a stream comes to.
enum Step {
    /// Something to tell.
    Tell(ServicesReply),
    /// Nothing yet.
    Nothing,
    /// The history behind our cursor is not there.
    List,
}

impl EtcdWatching {
    pub(super) fn new(
        gateway: Arc<Gateway>,
        service: Option<ServiceType>,
        after: Option<RegistryCursor>,
    ) -> Self {
        Self { gateway, service, after, stream: None, is_settling: false, has_just_listed: false }
    }

    async fn advance(&mut self) -> Result<ServicesReply, DiscoveryError> {
        loop {
            let Some(after) = self.after else { return self.list().await };
            let Some(stream) = &mut self.stream else {
                self.stream = Some(self.open(after).await?);
                self.is_settling = true;
                continue;
            };
            let limit = if self.is_settling { SETTLING } else { SILENCE_MAX };
            let piece = match timeout(limit, next_piece::<WatchResponse>(stream)).await {
                Ok(piece) => piece,
                Err(_) if self.is_settling => {
                    self.is_settling = false;
                    return Ok(ServicesReply { at: after, news: ServiceNews::Changes(Vec::new()) });
                }
                Err(_) => {
                    self.stream = None;
                    continue;
                }
            };
            let step = match piece {
                Ok(piece) => self.handle(after, piece),
                Err(error) => Err(error),
            };
            match step {
                Ok(Step::Tell(reply)) => {
                    self.has_just_listed = false;
                    (self.after, self.is_settling) = (Some(reply.at), false);
                    return Ok(reply);
                }
                Ok(Step::Nothing) => {}
                // A member that lags behind the one that was just asked, or another cluster: not as fast as the network goes.
                Ok(Step::List) if std::mem::take(&mut self.has_just_listed) => {
                    self.stream = None;
                    return Err(DiscoveryError::Away(
                        "etcd does not know yet what it has just listed".into(),
                    ));
                }
                Ok(Step::List) => {
                    (self.stream, self.after) = (None, None);
                }
                Err(error) => {
                    self.stream = None;
                    // A stream cannot say again who we are; the next one does.
                    if let CallError::Trouble(trouble) = &error
                        && trouble.is_about_the_token()
                    {
                        self.gateway.forget_token();
                        return Err(DiscoveryError::Away(trouble.message.clone()));
                    }
                    return Err(error.into());
                }
            }
        }
    }

    async fn open(&self, after: RegistryCursor) -> Result<Answer, DiscoveryError> {
        let (key, range_end) = range_of(self.service.as_ref());
        let create_request =
            WatchCreate { key, range_end, start_revision: after.revision + 1, progress_notify: true };
        Ok(self.gateway.open("/v3/watch", &WatchRequest { create_request }).await?)
    }

    fn handle(&self, after: RegistryCursor, piece: WatchResponse) -> Result<Step, CallError> {
        if piece.compact_revision > 0 {
            tracing::info!(
                compacted = piece.compact_revision,
                seen = after.revision,
                "etcd has compacted its history: listing again"
            );
            return Ok(Step::List);
        }
        if piece.canceled {
            let message = format!("etcd ended the watch: {}", piece.cancel_reason);
            let code = if piece.cancel_reason.contains("auth") { 16 } else { 14 };
            return Err(CallError::Trouble(super::messages::Trouble { code, message }));
        }
        let header = &piece.header;
        if header.cluster_id != after.epoch || header.revision < after.revision {
            tracing::warn!(
                revision = header.revision,
                seen = after.revision,
                "etcd does not have the history that was seen: it began anew"
            );
            return Ok(Step::List);
        }
        if piece.created {
            let is_current = header.revision == after.revision;
            let nothing = ServicesReply { at: after, news: ServiceNews::Changes(Vec::new()) };
            return Ok(if is_current { Step::Tell(nothing) } else { Step::Nothing });
        }
        // One piece may be one of several up to the revision of its header; the events say how far it goes.
        let last_event = piece.events.iter().map(|event| event.kv.mod_revision).max();
        let revision = last_event.unwrap_or(header.revision).max(after.revision);
        let changes = piece.events.into_iter().filter_map(change).collect();
        let at = RegistryCursor { epoch: after.epoch, revision };
        Ok(Step::Tell(ServicesReply { at, news: ServiceNews::Changes(changes) }))
    }

    /// All there is, page by page, as it was when the first page was read.
    async fn list(&mut self) -> Result<ServicesReply, DiscoveryError> {
        let (mut key, range_end) = range_of(self.service.as_ref());
        let mut instances: Vec<Instance> = Vec::new();
        let mut at = None;
        loop {
            let revision = at.map_or(0, |at: RegistryCursor| at.revision);
            let request = RangeRequest { key, range_end: range_end.clone(), limit: PAGE, revision };
            let page: RangeResponse = self.gateway.call("/v3/kv/range", &request).await?;
            let RegistryCursor { epoch, revision } = *at.get_or_insert(RegistryCursor {
                epoch: page.header.cluster_id,
                revision: page.header.revision,
            });
            let last = page.kvs.last().map(|entry| entry.key.clone());
            for entry in page.kvs {
                if let Some(ServiceChange::Registered(instance)) =
                    change(Event { kind: String::new(), kv: entry })
                {
                    instances.push(instance);
                }
            }
            if instances.len() > SERVICES_MAX {
                let text = format!("there are more than {SERVICES_MAX} instances under these keys");
                return Err(DiscoveryError::Refused(text));
            }
            let at = RegistryCursor { epoch, revision };
            match last {
                Some(last) if page.more => key = behind(&last)?,
                _ => {
                    (self.after, self.has_just_listed) = (Some(at), true);
                    return Ok(ServicesReply { at, news: ServiceNews::All(instances) });
                }
            }
        }
    }
}

/// The first key behind one, both in base64: with a zero byte more.
fn behind(key: &str) -> Result<String, DiscoveryError> {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    let mut bytes = STANDARD.decode(key).map_err(|error| DiscoveryError::Protocol(error.to_string()))?;
    bytes.push(0);
    Ok(STANDARD.encode(bytes))
}

/// What an event says of an instance. An entry that cannot be read is as good as none; a key that is not that of an
/// instance is nobody's.
fn change(event: Event) -> Option<ServiceChange> {
    let key = read_key(&event.kv)?;
    if event.kind == "DELETE" {
        return Some(ServiceChange::Gone(key));
    }
    match read_value(key.clone(), &event.kv) {
        Ok(instance) => Some(ServiceChange::Registered(instance)),
        Err(reason) => {
            tracing::warn!(instance = %key, "the entry cannot be read, and is not used: {reason}");
            Some(ServiceChange::Gone(key))
        }
    }
}

impl Watching for EtcdWatching {
    fn next(&mut self) -> Pending<'_, ServicesReply> {
        Box::pin(self.advance())
    }
}
