//! Service discovery: instances of services, where each listens and how it is.

use std::collections::BTreeMap;

use bytes::{BufMut, BytesMut};

use crate::codec::{self, Decode, DecodeError, Encode, Reader};
use crate::limits::{
    ENDPOINT_BYTES_MAX, LEASE_TTL_MS_MAX, LEASE_TTL_MS_MIN, METADATA_BYTES_MAX, METADATA_MAX, SERVICES_MAX,
    WATCH_WAIT_MS_MAX,
};
use crate::name::{InstanceId, NameError, ServiceType};

/// How an instance says that it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Health {
    /// It takes work.
    Healthy,
    /// It lives, and is to be given nothing.
    Unhealthy,
}

impl Health {
    /// The word for it, as `healthy`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Healthy => "healthy",
            Self::Unhealthy => "unhealthy",
        }
    }
}

impl std::fmt::Display for Health {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Which instance of which service. Ordered by service, then by id.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct InstanceKey {
    /// What it does, as `producer`.
    pub service: ServiceType,
    /// Which of those that do it.
    pub id: InstanceId,
}

impl InstanceKey {
    /// The instance `id` of `service`.
    #[must_use]
    pub fn new(service: ServiceType, id: InstanceId) -> Self {
        Self { service, id }
    }
}

impl std::fmt::Display for InstanceKey {
    /// As a registry of keys has it: `/services/{service}/{id}`.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "/services/{}/{}", self.service, self.id)
    }
}

impl std::str::FromStr for InstanceKey {
    type Err = NameError;

    /// Reads `{service}/{id}`, also behind `/services/`.
    fn from_str(text: &str) -> Result<Self, NameError> {
        let text = text.strip_prefix("/services/").unwrap_or(text);
        let (service, id) = text.split_once('/').unwrap_or((text, ""));
        Ok(Self::new(ServiceType::new(service)?, InstanceId::new(id)?))
    }
}

/// An instance of a service as it is registered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Instance {
    /// Which it is.
    pub key: InstanceKey,
    /// Where it is reached, as `tcp://host:port`; at most 512 bytes.
    pub endpoint: String,
    /// How it says that it is.
    pub health: Health,
    /// When it last looked how it is, ms since 1970, by its own clock.
    pub heartbeat_ms: u64,
    /// For how long it stays registered without a sign of life, ms: 100 to 86,400,000.
    pub ttl_ms: u32,
    /// Whatever else it says of itself: at most 32 entries, of 4 KiB together.
    pub metadata: BTreeMap<String, String>,
}

/// Why an instance cannot be registered.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InstanceError {
    /// The endpoint is longer than is kept.
    #[error("an endpoint has 1 to {ENDPOINT_BYTES_MAX} bytes, this one has {0}")]
    Endpoint(usize),
    /// There is more metadata than is kept.
    #[error(
        "there are at most {METADATA_MAX} entries of metadata of {METADATA_BYTES_MAX} bytes, not {entries} of {bytes}"
    )]
    Metadata {
        /// How many entries there are.
        entries: usize,
        /// Their bytes.
        bytes: usize,
    },
    /// The lease is too short to be renewed, or too long to be one.
    #[error("a lease is {LEASE_TTL_MS_MIN} to {LEASE_TTL_MS_MAX} ms, not {0}")]
    Ttl(u32),
}

impl Instance {
    /// A healthy instance without metadata, never looked at, under a lease of 60 s.
    #[must_use]
    pub fn new(key: InstanceKey, endpoint: impl Into<String>) -> Self {
        Self {
            key,
            endpoint: endpoint.into(),
            health: Health::Healthy,
            heartbeat_ms: 0,
            ttl_ms: crate::limits::LEASE_TTL_MS_DEFAULT,
            metadata: BTreeMap::new(),
        }
    }

    /// Adds an entry of metadata.
    #[must_use]
    pub fn with(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.metadata.insert(name.into(), value.into());
        self
    }

    /// Whether anything but the time of the heartbeat differs.
    #[must_use]
    pub fn differs_from(&self, other: &Self) -> bool {
        let Self { key, endpoint, health, heartbeat_ms: _, ttl_ms, metadata } = self;
        (key, endpoint, health, ttl_ms, metadata)
            != (&other.key, &other.endpoint, &other.health, &other.ttl_ms, &other.metadata)
    }

    /// Checks the limits.
    ///
    /// # Errors
    /// [`InstanceError`] names the first that is broken.
    pub fn validate(&self) -> Result<(), InstanceError> {
        if self.endpoint.is_empty() || self.endpoint.len() > ENDPOINT_BYTES_MAX {
            return Err(InstanceError::Endpoint(self.endpoint.len()));
        }
        let bytes = self.metadata.iter().map(|(name, value)| name.len() + value.len()).sum();
        if self.metadata.len() > METADATA_MAX || bytes > METADATA_BYTES_MAX {
            return Err(InstanceError::Metadata { entries: self.metadata.len(), bytes });
        }
        if !(LEASE_TTL_MS_MIN..=LEASE_TTL_MS_MAX).contains(&self.ttl_ms) {
            return Err(InstanceError::Ttl(self.ttl_ms));
        }
        Ok(())
    }
}

/// A place in the history of a registry. A registry that has forgotten everything begins another epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct RegistryCursor {
    /// Which life of the registry.
    pub epoch: u64,
    /// How many changes it has seen in it.
    pub revision: u64,
}

/// Ask a registry what is new.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Watch {
    /// Of which service; of all, if none is named.
    pub service: Option<ServiceType>,
    /// Only what came behind this. None: all there is.
    pub after: Option<RegistryCursor>,
    /// Wait so long for something new, ms, at most 60,000. 0: do not wait.
    pub wait_ms: u32,
}

/// Something that has happened to an instance.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum ServiceChange {
    /// It was registered, or is registered otherwise.
    Registered(Instance),
    /// It is gone: by its own word, or because its lease ran out.
    Gone(InstanceKey),
}

impl ServiceChange {
    /// Whom it is about.
    #[must_use]
    pub fn key(&self) -> &InstanceKey {
        match self {
            Self::Registered(instance) => &instance.key,
            Self::Gone(key) => key,
        }
    }
}

/// What a registry knows, or what is new.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServicesReply {
    /// How far it goes: where to ask for what comes next.
    pub at: RegistryCursor,
    /// What it says.
    pub news: ServiceNews,
}

/// See [`ServicesReply`].
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum ServiceNews {
    /// All there are, in the order of their keys; at most 4,096. What is not among them is gone.
    All(Vec<Instance>),
    /// What has happened since, in its order; at most 4,096. Nothing, where the wait has ended.
    Changes(Vec<ServiceChange>),
}

impl Encode for InstanceKey {
    fn encode(&self, out: &mut BytesMut) {
        self.service.encode(out);
        self.id.encode(out);
    }
}

impl Decode for InstanceKey {
    fn decode(reader: &mut Reader) -> Result<Self, DecodeError> {
        Ok(Self { service: ServiceType::decode(reader)?, id: InstanceId::decode(reader)? })
    }
}

impl Encode for Instance {
    fn encode(&self, out: &mut BytesMut) {
        self.key.encode(out);
        codec::put_short_bytes(out, self.endpoint.as_bytes());
        out.put_u8(match self.health {
            Health::Healthy => 1,
            Health::Unhealthy => 2,
        });
        out.put_u64(self.heartbeat_ms);
        out.put_u32(self.ttl_ms);
        out.put_u32(u32::try_from(self.metadata.len()).unwrap_or(u32::MAX));
        for (name, value) in &self.metadata {
            codec::put_short_bytes(out, name.as_bytes());
            codec::put_short_bytes(out, value.as_bytes());
        }
    }
}

impl Decode for Instance {
    fn decode(reader: &mut Reader) -> Result<Self, DecodeError> {
        let instance = Self {
            key: InstanceKey::decode(reader)?,
            endpoint: reader.string("endpoint", ENDPOINT_BYTES_MAX)?,
            health: match reader.u8("health")? {
                1 => Health::Healthy,
                2 => Health::Unhealthy,
                other => return Err(reader.unknown("health", 1, u64::from(other))),
            },
            heartbeat_ms: reader.u64("heartbeat")?,
            ttl_ms: reader.u32("lease time")?,
            metadata: metadata(reader)?,
        };
        match instance.validate() {
            Ok(()) => Ok(instance),
            Err(error) => Err(DecodeError::Invalid { field: "instance", reason: error.to_string() }),
        }
    }
}

/// The entries come in the order of their names, each once, so that a value has one encoding.
fn metadata(reader: &mut Reader) -> Result<BTreeMap<String, String>, DecodeError> {
    let entries = reader.list("metadata", METADATA_MAX, 4, |reader| {
        Ok((
            reader.string("metadata name", METADATA_BYTES_MAX)?,
            reader.string("metadata value", METADATA_BYTES_MAX)?,
        ))
    })?;
    if !entries.is_sorted_by(|(a, _), (b, _)| a < b) {
        let reason = "the names must rise".into();
        return Err(DecodeError::Invalid { field: "metadata", reason });
    }
    Ok(entries.into_iter().collect())
}

impl Encode for RegistryCursor {
    fn encode(&self, out: &mut BytesMut) {
        out.put_u64(self.epoch);
        out.put_u64(self.revision);
    }
}

impl Decode for RegistryCursor {
    fn decode(reader: &mut Reader) -> Result<Self, DecodeError> {
        Ok(Self { epoch: reader.u64("epoch")?, revision: reader.u64("revision")? })
    }
}

impl Encode for Watch {
    fn encode(&self, out: &mut BytesMut) {
        codec::put_option(out, self.service.as_ref(), |out, service| service.encode(out));
        codec::put_option(out, self.after.as_ref(), |out, after| after.encode(out));
        out.put_u32(self.wait_ms);
    }
}

impl Decode for Watch {
    fn decode(reader: &mut Reader) -> Result<Self, DecodeError> {
        let service = reader.option("service", ServiceType::decode)?;
        let after = reader.option("cursor", RegistryCursor::decode)?;
        let offset = reader.offset();
        let wait_ms = reader.u32("wait")?;
        if wait_ms > WATCH_WAIT_MS_MAX {
            let (actual, limit) = (wait_ms as usize, WATCH_WAIT_MS_MAX as usize);
            return Err(DecodeError::TooLarge { field: "wait", offset, actual, limit });
        }
        Ok(Self { service, after, wait_ms })
    }
}

impl Encode for ServicesReply {
    fn encode(&self, out: &mut BytesMut) {
        self.at.encode(out);
        match &self.news {
            ServiceNews::All(instances) => {
                out.put_u8(1);
                codec::put_list(out, instances, |out, instance| instance.encode(out));
            }
            ServiceNews::Changes(changes) => {
                out.put_u8(2);
                codec::put_list(out, changes, |out, change| match change {
                    ServiceChange::Registered(instance) => {
                        out.put_u8(1);
                        instance.encode(out);
                    }
                    ServiceChange::Gone(key) => {
                        out.put_u8(2);
                        key.encode(out);
                    }
                });
            }
        }
    }
}

impl Decode for ServicesReply {
    fn decode(reader: &mut Reader) -> Result<Self, DecodeError> {
        /// Names of a byte each, and an endpoint of one.
        const INSTANCE_BYTES_MIN: usize = 3 + 3 + 3 + 1 + 8 + 4 + 4;
        let at = RegistryCursor::decode(reader)?;
        let news = match reader.u8("news")? {
            1 => ServiceNews::All(reader.list(
                "instances",
                SERVICES_MAX,
                INSTANCE_BYTES_MIN,
                Instance::decode,
            )?),
            2 => ServiceNews::Changes(reader.list("changes", SERVICES_MAX, 7, |reader| {
                match reader.u8("change")? {
                    1 => Ok(ServiceChange::Registered(Instance::decode(reader)?)),
                    2 => Ok(ServiceChange::Gone(InstanceKey::decode(reader)?)),
                    other => Err(reader.unknown("change", 1, u64::from(other))),
                }
            })?),
            other => return Err(reader.unknown("news", 1, u64::from(other))),
        };
        Ok(Self { at, news })
    }
}
