//! The gate: from what a peer shows to who it is.

use std::net::SocketAddr;
use std::sync::Arc;

use aws_lc_rs::{constant_time, digest};
use swarmmq_protocol::native::Credential;
use tokio::sync::watch;

use crate::config::{Digest, Label, SecurityConfig};
use crate::security::certificate::CertificateSummary;
use crate::security::identity::{Method, Principal, Proof};
use crate::security::refusal::{Refusal, Refusals};

/// The name of whoever did not have to say who it is.
const ANYBODY: &str = "anybody";

/// Decides who a peer is. One for all listeners of a node.
#[derive(Debug)]
pub struct Gate {
    security: watch::Sender<Arc<SecurityConfig>>,
    refusals: Refusals,
}

impl Default for Gate {
    fn default() -> Self {
        Self::new(SecurityConfig::default())
    }
}

/// Says when users, keys or permissions have changed, and everybody's rights are to be looked up again.
#[derive(Debug, Clone)]
pub struct Changes(watch::Receiver<Arc<SecurityConfig>>);

impl Changes {
    /// Waits for the next change.
    pub async fn changed(&mut self) {
        if self.0.changed().await.is_err() {
            // The gate is gone, and with it whoever could change something.
            std::future::pending::<()>().await;
        }
    }

    /// Whether there was one since this or [`changed`](Self::changed) last said so.
    pub fn have_changed(&mut self) -> bool {
        let has_changed = self.0.has_changed().unwrap_or(false);
        if has_changed {
            self.0.mark_unchanged();
        }
        has_changed
    }
}

impl Gate {
    /// A gate that knows whoever the configuration names.
    #[must_use]
    pub fn new(security: SecurityConfig) -> Self {
        Self { security: watch::Sender::new(Arc::new(security)), refusals: Refusals::default() }
    }

    fn security(&self) -> Arc<SecurityConfig> {
        self.security.borrow().clone()
    }

    /// From now on these users, keys and permissions count, and no others. Says whether that changed anything.
    pub fn replace(&self, security: SecurityConfig) -> bool {
        self.security.send_if_modified(|current| {
            let is_changed = **current != security;
            *current = Arc::new(security);
            is_changed
        })
    }

    /// Whether a native peer has to show who it is.
    #[must_use]
    pub fn requires_authentication(&self, is_local: bool) -> bool {
        self.security().requires_authentication(is_local)
    }

    /// Whether peers that have not shown who they are may be let in from elsewhere, and from this machine.
    #[must_use]
    pub fn lets_in(&self) -> (bool, bool) {
        let security = self.security();
        (security.allow_unauthenticated, !security.requires_authentication(true))
    }

    /// Changes from now on.
    #[must_use]
    pub fn changes(&self) -> Changes {
        Changes(self.security.subscribe())
    }

    /// The same user with the rights it has now; none if it would not be let in any more. `is_local` says whether it is on
    /// this machine.
    #[must_use]
    pub fn renew(&self, known: &Principal, is_local: bool) -> Option<Principal> {
        let security = self.security();
        let is_known = match known.proof() {
            Proof::None if known.method() == Method::Open => return Some(self.unidentified(is_local)),
            Proof::None => security.client_ca.is_some(),
            Proof::ApiKey(digest) => security.api_keys.iter().any(|key| {
                is_named(key.name.as_ref(), known) && key.sha256.as_ref().is_some_and(|it| it.0 == *digest)
            }),
            Proof::Password(digest) => security.users.iter().any(|user| {
                is_named(user.name.as_ref(), known)
                    && user.password_sha256.as_ref().is_some_and(|it| it.0 == *digest)
            }),
            Proof::Curve(key) => security.users.iter().any(|user| {
                is_named(user.name.as_ref(), known)
                    && user.curve_public_key.as_ref().is_some_and(|it| it.0 == *key)
            }),
        };
        is_known.then(|| {
            principal(&security, known.name(), known.method(), is_local).showing(known.proof().clone())
        })
    }

    /// The authentications that were refused.
    #[must_use]
    pub fn refusals(&self) -> &Refusals {
        &self.refusals
    }

    /// Who a native or HTTP peer at `peer` is, by its API key or its certificate; the key goes first.
    ///
    /// The certificate is one that the TLS handshake has verified. A refusal is counted and logged.
    ///
    /// # Errors
    /// [`Refusal`], whose text may be told to the peer.
    pub fn authenticate(
        &self,
        listener: &'static str,
        peer: SocketAddr,
        credential: &Credential,
        certificate: Option<&CertificateSummary>,
    ) -> Result<Principal, Refusal> {
        let security = self.security();
        let is_local = is_local(peer);
        let is_required = security.requires_authentication(is_local);
        let found = match (credential, certificate) {
            // Where no key is configured, one that is shown says nothing, and is not held against its owner.
            (Credential::ApiKey(key), _) if !security.api_keys.is_empty() => self.api_key(key, is_local),
            (_, Some(certificate)) => certified(&security, certificate, is_local),
            (Credential::ApiKey(_), None) if is_required => Err(Refusal::UnknownKey),
            _ if is_required => Err(Refusal::NoCredential),
            _ => Ok(principal(&security, ANYBODY, Method::Open, is_local)),
        };
        found.inspect_err(|refusal| self.refusals.record(peer, listener, refusal))
    }

    /// Who has this API key.
    ///
    /// # Errors
    /// [`Refusal::UnknownKey`].
    pub fn api_key(&self, key: &[u8], is_local: bool) -> Result<Principal, Refusal> {
        let security = self.security();
        let shown = sha256(key);
        let mut found = None;
        // Every key is looked at, and each for the same time, so that the time says nothing of any.
        for known in &security.api_keys {
            if known.sha256.as_ref().is_some_and(|known| is_same(known, &shown)) {
                found = found.or(known.name.as_ref());
            }
        }
        let name = found.ok_or(Refusal::UnknownKey)?;
        let user = principal(&security, name.as_str(), Method::ApiKey, is_local);
        Ok(user.showing(Proof::ApiKey(bytes_of(&shown))))
    }

    /// Whether this is the name and the password of a user, as ZeroMQ's PLAIN shows them.
    ///
    /// # Errors
    /// [`Refusal::UnknownKey`], whichever of the two is wrong.
    pub fn password(&self, name: &[u8], password: &[u8], is_local: bool) -> Result<Principal, Refusal> {
        let security = self.security();
        let shown = sha256(password);
        let mut found = None;
        for user in &security.users {
            let (Some(known_name), Some(known)) = (&user.name, &user.password_sha256) else { continue };
            if is_same(known, &shown) && known_name.as_str().as_bytes() == name {
                found = Some(known_name);
            }
        }
        let name = found.ok_or(Refusal::UnknownKey)?;
        let user = principal(&security, name.as_str(), Method::Password, is_local);
        Ok(user.showing(Proof::Password(bytes_of(&shown))))
    }

    /// Who has this CURVE key. Public keys are not secret.
    ///
    /// # Errors
    /// [`Refusal::UnknownKey`].
    pub fn curve_key(&self, key: &[u8; 32], is_local: bool) -> Result<Principal, Refusal> {
        let security = self.security();
        let user = security
            .users
            .iter()
            .find(|user| user.curve_public_key.as_ref().is_some_and(|known| known.0 == *key));
        let name = user.and_then(|user| user.name.as_ref()).ok_or(Refusal::UnknownKey)?;
        Ok(principal(&security, name.as_str(), Method::Curve, is_local).showing(Proof::Curve(*key)))
    }

    /// A peer that cannot say who it is, as over ZeroMQ's NULL: it has what is allowed to the name `anybody`, or to `*`,
    /// but where a native peer would have to say who it is, it may do only what a permission allows, and nothing if there
    /// is none.
    #[must_use]
    pub fn unidentified(&self, is_local: bool) -> Principal {
        let security = self.security();
        if security.permissions.is_empty() && security.requires_authentication(is_local) {
            return Principal::powerless(ANYBODY, Method::Open);
        }
        principal(&security, ANYBODY, Method::Open, is_local)
    }
}

/// Whether a peer is on this machine.
fn is_local(peer: SocketAddr) -> bool {
    peer.ip().to_canonical().is_loopback()
}

fn is_named(name: Option<&Label>, known: &Principal) -> bool {
    name.is_some_and(|name| name.as_str() == known.name())
}

fn certified(
    security: &SecurityConfig,
    certificate: &CertificateSummary,
    is_local: bool,
) -> Result<Principal, Refusal> {
    let name = certificate.user().ok_or(Refusal::NamelessCertificate)?;
    Ok(principal(security, name, Method::Certificate, is_local))
}

/// A user with its rights. Where there are no permissions, who is on this machine may do everything, and who is not,
/// nothing, unless everybody is let in anyway.
fn principal(security: &SecurityConfig, name: &str, method: Method, is_local: bool) -> Principal {
    if !security.permissions.is_empty() {
        Principal::restricted(name, method, &security.permissions)
    } else if is_local || security.allow_unauthenticated {
        Principal::unrestricted(name, method)
    } else {
        Principal::powerless(name, method)
    }
}

fn bytes_of(digest: &digest::Digest) -> [u8; 32] {
    digest.as_ref().try_into().unwrap_or_default()
}

fn sha256(secret: &[u8]) -> digest::Digest {
    digest::digest(&digest::SHA256, secret)
}

fn is_same(known: &Digest, shown: &digest::Digest) -> bool {
    constant_time::verify_slices_are_equal(&known.0, shown.as_ref()).is_ok()
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::config::parse;

    /// The digest of "key".
    const DIGEST: &str = "2c70e12b7a0646f92279f427c7b38e7334d8e5389cff167a1dc30e73f826b683";

    fn gate(security: &str) -> Gate {
        Gate::new(parse(&format!("security: {{ {security} }}")).unwrap().security)
    }

    fn enter(gate: &Gate, peer: &str, credential: Credential) -> Result<Principal, Refusal> {
        gate.authenticate("native", peer.parse().unwrap(), &credential, None)
    }

    fn key(text: &'static str) -> Credential {
        Credential::ApiKey(Bytes::from_static(text.as_bytes()))
    }

    #[test]
    fn on_loopback_anybody_enters_while_nobody_is_configured() {
        let gate = gate("");
        let anybody = enter(&gate, "127.0.0.1:1", Credential::None).unwrap();
        assert_eq!(anybody.method(), Method::Open);
        assert!(enter(&gate, "127.0.0.1:1", key("left over")).is_ok());
        assert_eq!(enter(&gate, "10.0.0.1:1", Credential::None), Err(Refusal::NoCredential));
        assert_eq!(enter(&gate, "10.0.0.1:1", key("key")), Err(Refusal::UnknownKey));
        assert_eq!(gate.refusals().total(), 2);
    }

    #[test]
    fn an_api_key_says_who_it_is() {
        let gate = gate(&format!("api_keys: [{{ name: ada, sha256: {DIGEST} }}]"));
        let ada = enter(&gate, "10.0.0.1:1", key("key")).unwrap();
        assert_eq!((ada.name(), ada.method()), ("ada", Method::ApiKey));
        assert_eq!(enter(&gate, "10.0.0.1:1", key("kez")), Err(Refusal::UnknownKey));
        assert_eq!(enter(&gate, "127.0.0.1:1", key("kez")), Err(Refusal::UnknownKey));
        assert_eq!(enter(&gate, "127.0.0.1:1", Credential::None), Err(Refusal::NoCredential));
    }

    #[test]
    fn who_comes_from_elsewhere_may_do_only_what_a_permission_allows() {
        let keys = format!("api_keys: [{{ name: ada, sha256: {DIGEST} }}]");
        let may = |gate: &Gate, peer: &str| {
            let name = swarmmq_protocol::DestinationName::new("a").unwrap();
            enter(gate, peer, key("key")).unwrap().may(crate::config::Action::Produce, &name)
        };
        let granted =
            gate(&format!("{keys}, permissions: [{{ who: ada, destinations: '*', allow: [produce] }}]"));
        assert!(may(&gate(&keys), "127.0.0.1:1") && !may(&gate(&keys), "10.0.0.1:1"));
        assert!(may(&granted, "10.0.0.1:1"));
    }

    #[test]
    fn who_is_taken_out_is_not_renewed_and_who_stays_has_its_new_rights() {
        let before = gate(&format!(
            "users: [{{ name: ada, password_sha256: {DIGEST} }}], api_keys: [{{ name: key, sha256: {DIGEST} }}]"
        ));
        let ada = before.password(b"ada", b"key", true).unwrap();
        let owner = before.api_key(b"key", true).unwrap();
        let anybody = before.unidentified(true);
        before.replace(
            parse(&format!(
                "security: {{ users: [{{ name: ada, password_sha256: {DIGEST} }}],
                permissions: [{{ who: ada, destinations: a, allow: [produce] }}] }}"
            ))
            .unwrap()
            .security,
        );
        let name = |text| swarmmq_protocol::DestinationName::new(text).unwrap();
        let renewed = before.renew(&ada, true).unwrap();
        assert!(renewed.may(crate::config::Action::Produce, &name("a")));
        assert!(!renewed.may(crate::config::Action::Produce, &name("b")));
        assert_eq!(before.renew(&owner, true), None);
        assert!(before.renew(&anybody, true).unwrap().is_powerless());
        let changed =
            parse(&format!("security: {{ users: [{{ name: ada, password_sha256: {} }}] }}", "ab".repeat(32)));
        before.replace(changed.unwrap().security);
        assert_eq!(before.renew(&ada, true), None, "its password is another");
    }

    #[test]
    fn a_password_belongs_to_its_name() {
        let gate = gate(&format!(
            "users: [{{ name: ada, password_sha256: {DIGEST} }}, {{ name: bob, password_sha256: {} }}]",
            "ab".repeat(32)
        ));
        assert_eq!(gate.password(b"ada", b"key", true).unwrap().name(), "ada");
        assert_eq!(gate.password(b"bob", b"key", true), Err(Refusal::UnknownKey));
        assert_eq!(gate.password(b"ada", b"kez", true), Err(Refusal::UnknownKey));
    }

    #[test]
    fn who_cannot_say_who_it_is_may_do_nothing_where_others_have_to_say_it() {
        let put = swarmmq_protocol::DestinationName::new("a").unwrap();
        let produces = |gate: &Gate| gate.unidentified(true).may(crate::config::Action::Produce, &put);
        let keys = format!("api_keys: [{{ name: ada, sha256: {DIGEST} }}]");
        assert!(produces(&gate("")));
        assert!(!produces(&gate(&keys)) && gate(&keys).unidentified(true).is_powerless());
        let granted = "permissions: [{ who: anybody, destinations: a, allow: [produce] }]";
        assert!(produces(&gate(&format!("{keys}, {granted}"))));
        let other = "permissions: [{ who: ada, destinations: a, allow: [produce] }]";
        assert!(!produces(&gate(other)));
    }

    #[test]
    fn whoever_is_let_in_by_the_flag_in_capitals_has_no_more_than_is_allowed_to_all() {
        let gate = gate(
            "ALLOW_UNAUTHENTICATED: true, permissions: [{ who: ada, destinations: '*', allow: [produce] }]",
        );
        let anybody = enter(&gate, "10.0.0.1:1", Credential::None).unwrap();
        let name = swarmmq_protocol::DestinationName::new("a").unwrap();
        assert!(!anybody.may(crate::config::Action::Produce, &name));
    }
}
