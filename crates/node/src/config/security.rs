//! `security`: who a peer is, and what it may do.

use std::path::PathBuf;

use super::digest::{CurvePublicKey, Digest};
use super::fields::{Fields, Section, Value};
use super::problem::{ProblemKind, shown};
use super::scalar::{Label, words};
use super::tree::{Node, Yaml};
use swarmmq_protocol::NameError;

/// `security`: TLS, users, keys and permissions. Closed by default: off loopback nothing listens without TLS and
/// authentication unless one of the two keys in capitals says so.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SecurityConfig {
    /// PEM file with the node's certificate chain. Default none. On loopback a file that does not exist is
    /// a warning and TLS stays off; elsewhere it is an error.
    pub tls_cert: Option<PathBuf>,
    /// PEM file with the certificate's private key. Required with `tls_cert`. Default none.
    pub tls_key: Option<PathBuf>,
    /// PEM file with the authorities whose client certificates are accepted. Needs TLS. Default none.
    /// The user is the certificate's common name.
    pub client_ca: Option<PathBuf>,
    /// ZeroMQ users, by password or CURVE key. Default none.
    pub users: Vec<UserConfig>,
    /// API keys of native and HTTP clients. Default none.
    pub api_keys: Vec<ApiKeyConfig>,
    /// What each may do. Default none, which means: whoever is authenticated may do everything, if it is on this machine;
    /// who comes from elsewhere may then do nothing, unless the key in capitals lets everybody in.
    pub permissions: Vec<PermissionConfig>,
    /// Lets peers off loopback in without authentication. Default false. Anybody who reaches the port reads
    /// and writes everything.
    pub allow_unauthenticated: bool,
    /// Lets listeners off loopback speak without encryption. Default false. Keys, passwords and messages can be read
    /// and changed on the way.
    pub allow_plaintext: bool,
}

impl SecurityConfig {
    /// Whether TLS is on: certificate and key are both set.
    #[must_use]
    pub fn has_tls(&self) -> bool {
        self.tls_cert.is_some() && self.tls_key.is_some()
    }

    /// Whether there is anything by which a peer could show who it is.
    #[must_use]
    pub fn has_credentials(&self) -> bool {
        self.client_ca.is_some() || !self.users.is_empty() || !self.api_keys.is_empty()
    }

    /// Whether a native or HTTP peer that has not shown who it is must be refused: off loopback unless
    /// it is allowed in capitals, and on loopback as soon as there is an API key or an authority.
    #[must_use]
    pub fn requires_authentication(&self, is_loopback: bool) -> bool {
        let configured = self.client_ca.is_some() || !self.api_keys.is_empty();
        if is_loopback { configured } else { !self.allow_unauthenticated }
    }
}

impl Section for SecurityConfig {
    fn fields(&mut self, fields: &mut Fields<'_>) {
        let Self {
            tls_cert,
            tls_key,
            client_ca,
            users,
            api_keys,
            permissions,
            allow_unauthenticated,
            allow_plaintext,
        } = self;
        fields.value("tls_cert", tls_cert);
        fields.value("tls_key", tls_key);
        fields.value("client_ca", client_ca);
        fields.list("users", users);
        fields.list("api_keys", api_keys);
        fields.list("permissions", permissions);
        fields.value("ALLOW_UNAUTHENTICATED", allow_unauthenticated);
        fields.value("ALLOW_PLAINTEXT", allow_plaintext);
    }
}

/// One of `security.users`: has a password, a CURVE key, or both.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct UserConfig {
    /// Its name. Required.
    pub name: Option<Label>,
    /// SHA-256 of its password, for PLAIN. The password must be random. Default none.
    pub password_sha256: Option<Digest>,
    /// Its CURVE public key. Default none.
    pub curve_public_key: Option<CurvePublicKey>,
}

impl Section for UserConfig {
    fn fields(&mut self, fields: &mut Fields<'_>) {
        let Self { name, password_sha256, curve_public_key } = self;
        fields.value("name", name);
        fields.value("password_sha256", password_sha256);
        fields.value("curve_public_key", curve_public_key);
    }
}

/// One of `security.api_keys`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ApiKeyConfig {
    /// Whose key it is. Required.
    pub name: Option<Label>,
    /// SHA-256 of the key. Required. The key must be random.
    pub sha256: Option<Digest>,
}

impl Section for ApiKeyConfig {
    fn fields(&mut self, fields: &mut Fields<'_>) {
        let Self { name, sha256 } = self;
        fields.value("name", name);
        fields.value("sha256", sha256);
    }
}

/// One of `security.permissions`: who may do what with which destinations. What no rule allows is forbidden, as soon
/// as there is a rule.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PermissionConfig {
    /// The user, key or certificate name, or a beginning of it and `*`. Required.
    pub who: Option<Pattern>,
    /// The destinations: a name, or a beginning of it and `*`. Default none; one of this, `topics` and `services` is
    /// required.
    pub destinations: Option<Pattern>,
    /// The topics of `pub-sub` endpoints: a text, or a beginning and `*`. Default none.
    pub topics: Option<TextPattern>,
    /// The services of `service` endpoints, and the names of `request-reply` and `workers` endpoints: a text, or a
    /// beginning and `*`. Default none.
    pub services: Option<TextPattern>,
    /// What is allowed. Required, unless something is denied.
    pub allow: Vec<Action>,
    /// What is forbidden, whatever other permissions allow. Default none.
    pub deny: Vec<Action>,
}

impl Section for PermissionConfig {
    fn fields(&mut self, fields: &mut Fields<'_>) {
        let Self { who, destinations, topics, services, allow, deny } = self;
        fields.value("who", who);
        fields.value("destinations", destinations);
        fields.value("topics", topics);
        fields.value("services", services);
        fields.value("allow", allow);
        fields.value("deny", deny);
    }
}

/// What a permission allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Action {
    /// Put messages.
    Produce,
    /// Pull, subscribe, acknowledge.
    Consume,
    /// Make, change, purge and delete destinations and groups.
    Manage,
    /// Publish on topics.
    Publish,
    /// Subscribe to topics.
    Subscribe,
    /// Send requests to services.
    Request,
    /// Be a worker of services.
    Serve,
}

words!(
    Action,
    "an action: produce, consume, manage, publish, subscribe, request or serve",
    Action::Produce = "produce",
    Action::Consume = "consume",
    Action::Manage = "manage",
    Action::Publish = "publish",
    Action::Subscribe = "subscribe",
    Action::Request = "request",
    Action::Serve = "serve",
);

/// A topic or service, a beginning of them and `*`, or `*` for all. They are bytes, compared with the UTF-8 of this.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TextPattern {
    text: String,
    is_prefix: bool,
}

impl TextPattern {
    /// Reads a pattern: any text, of which a `*` at the end stands for all that goes on.
    #[must_use]
    pub fn new(text: &str) -> Self {
        match text.strip_suffix('*') {
            Some(prefix) => Self { text: prefix.to_owned(), is_prefix: true },
            None => Self { text: text.to_owned(), is_prefix: false },
        }
    }

    /// Whether `name` is meant.
    #[must_use]
    pub fn matches(&self, name: &[u8]) -> bool {
        let text = self.text.as_bytes();
        if self.is_prefix { name.starts_with(text) } else { name == text }
    }

    /// Whether every name that begins with `prefix` is meant.
    #[must_use]
    pub fn matches_all(&self, prefix: &[u8]) -> bool {
        self.is_prefix && prefix.starts_with(self.text.as_bytes())
    }

    /// Whether some name that begins with `prefix` is meant.
    #[must_use]
    pub fn matches_some(&self, prefix: &[u8]) -> bool {
        let text = self.text.as_bytes();
        text.starts_with(prefix) || (self.is_prefix && prefix.starts_with(text))
    }
}

impl Value for TextPattern {
    const EXPECTED: &'static str = "a text, or a beginning of texts and a star, as \"weather.*\"";
    const KIND: &'static str = "pattern";

    fn parse(node: &Node) -> Result<Self, ProblemKind> {
        match &node.value {
            Yaml::Text(text) => Ok(Self::new(text)),
            _ => Err(Self::wrong_type(node)),
        }
    }

    fn show(&self) -> String {
        format!("{}{}", self.text, if self.is_prefix { "*" } else { "" })
    }
}

/// A name, a beginning of names and `*`, or `*` for all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pattern {
    text: String,
    is_prefix: bool,
}

impl Pattern {
    /// Reads a pattern.
    ///
    /// # Errors
    /// [`NameError`] if what stands before the `*` is not the beginning of a name.
    pub fn new(text: &str) -> Result<Self, NameError> {
        match text.strip_suffix('*') {
            Some("") => Ok(Self { text: String::new(), is_prefix: true }),
            Some(prefix) => Label::new(prefix).map(|_| Self { text: prefix.to_owned(), is_prefix: true }),
            None => Label::new(text).map(|_| Self { text: text.to_owned(), is_prefix: false }),
        }
    }

    /// Whether `name` is meant.
    #[must_use]
    pub fn matches(&self, name: &str) -> bool {
        if self.is_prefix { name.starts_with(&self.text) } else { name == self.text }
    }

    /// Whether every name that begins with `prefix` is meant.
    #[must_use]
    pub fn matches_all(&self, prefix: &str) -> bool {
        self.is_prefix && prefix.starts_with(&self.text)
    }

    /// Whether some name that begins with `prefix` is meant.
    #[must_use]
    pub fn matches_some(&self, prefix: &str) -> bool {
        self.text.starts_with(prefix) || (self.is_prefix && prefix.starts_with(&self.text))
    }
}

impl Value for Pattern {
    const EXPECTED: &'static str = "a name, or a beginning of names and a star, as \"orders.*\"";
    const KIND: &'static str = "pattern";

    fn parse(node: &Node) -> Result<Self, ProblemKind> {
        match &node.value {
            Yaml::Text(text) => {
                Self::new(text).map_err(|error| ProblemKind::Name { text: shown(text), error })
            }
            _ => Err(Self::wrong_type(node)),
        }
    }

    fn show(&self) -> String {
        format!("{}{}", self.text, if self.is_prefix { "*" } else { "" })
    }
}
