//! The gate: from what a peer shows to who it is.

use std::net::SocketAddr;

use aws_lc_rs::{constant_time, digest};
use swarmmq_protocol::native::Credential;

use crate::config::{Digest, PermissionConfig, SecurityConfig};
use crate::security::certificate::CertificateSummary;
use crate::security::identity::{Method, Principal};
use crate::security::refusal::{Refusal, Refusals};

/// The name of whoever did not have to say who it is.
const ANYBODY: &str = "anybody";

/// Decides who a peer is. One for all listeners of a node.
#[derive(Debug, Default)]
pub struct Gate {
    security: SecurityConfig,
    refusals: Refusals,
}

impl Gate {
    /// A gate that knows whoever the configuration names.
    #[must_use]
    pub fn new(security: SecurityConfig) -> Self {
        Self { security, refusals: Refusals::default() }
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
        let is_required = self.security.requires_authentication(peer.ip().to_canonical().is_loopback());
        let found = match (credential, certificate) {
            // Where no key is configured, one that is shown says nothing, and is not held against its owner.
            (Credential::ApiKey(key), _) if !self.security.api_keys.is_empty() => self.api_key(key),
            (_, Some(certificate)) => self.certificate(certificate),
            (Credential::ApiKey(_), None) if is_required => Err(Refusal::UnknownKey),
            _ if is_required => Err(Refusal::NoCredential),
            _ => Ok(self.anybody()),
        };
        found.inspect_err(|refusal| self.refusals.record(peer, listener, refusal))
    }

    /// Who has this API key.
    ///
    /// # Errors
    /// [`Refusal::UnknownKey`].
    pub fn api_key(&self, key: &[u8]) -> Result<Principal, Refusal> {
        let shown = sha256(key);
        let mut found = None;
        // Every key is looked at, and each for the same time, so that the time says nothing of any.
        for known in &self.security.api_keys {
            if known.sha256.as_ref().is_some_and(|known| is_same(known, &shown)) {
                found = found.or(known.name.as_ref());
            }
        }
        let name = found.ok_or(Refusal::UnknownKey)?;
        Ok(self.principal(name.as_str(), Method::ApiKey))
    }

    /// Whether this is the name and the password of a user, as ZeroMQ's PLAIN shows them.
    ///
    /// # Errors
    /// [`Refusal::UnknownKey`], whichever of the two is wrong.
    pub fn password(&self, name: &[u8], password: &[u8]) -> Result<Principal, Refusal> {
        let shown = sha256(password);
        let mut found = None;
        for user in &self.security.users {
            let (Some(known_name), Some(known)) = (&user.name, &user.password_sha256) else { continue };
            if is_same(known, &shown) && known_name.as_str().as_bytes() == name {
                found = Some(known_name);
            }
        }
        let name = found.ok_or(Refusal::UnknownKey)?;
        Ok(self.principal(name.as_str(), Method::Password))
    }

    /// Who has this CURVE key. Public keys are not secret.
    ///
    /// # Errors
    /// [`Refusal::UnknownKey`].
    pub fn curve_key(&self, key: &[u8; 32]) -> Result<Principal, Refusal> {
        let user = self
            .security
            .users
            .iter()
            .find(|user| user.curve_public_key.as_ref().is_some_and(|known| known.0 == *key));
        let name = user.and_then(|user| user.name.as_ref()).ok_or(Refusal::UnknownKey)?;
        Ok(self.principal(name.as_str(), Method::Curve))
    }

    /// A peer that did not have to say who it is, where that is allowed.
    ///
    /// Permissions bind it like anybody else: it has what is allowed to the name `anybody`, or to `*`.
    #[must_use]
    pub fn anybody(&self) -> Principal {
        self.principal(ANYBODY, Method::Open)
    }

    /// A peer that cannot say who it is, as over ZeroMQ's NULL: [`Self::anybody`], but where a native peer would have
    /// to say who it is, it may do only what a permission allows, and nothing if there is none.
    #[must_use]
    pub fn unidentified(&self, is_loopback: bool) -> Principal {
        if self.security.permissions.is_empty() && self.security.requires_authentication(is_loopback) {
            return Principal::powerless(ANYBODY, Method::Open);
        }
        self.anybody()
    }

    fn certificate(&self, certificate: &CertificateSummary) -> Result<Principal, Refusal> {
        let Some(name) = certificate.user() else {
            return Err(Refusal::NamelessCertificate);
        };
        Ok(self.principal(name, Method::Certificate))
    }

    fn principal(&self, name: &str, method: Method) -> Principal {
        let permissions: &[PermissionConfig] = &self.security.permissions;
        Principal::restricted(name, method, permissions)
    }
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
    fn a_password_belongs_to_its_name() {
        let gate = gate(&format!(
            "users: [{{ name: ada, password_sha256: {DIGEST} }}, {{ name: bob, password_sha256: {} }}]",
            "ab".repeat(32)
        ));
        assert_eq!(gate.password(b"ada", b"key").unwrap().name(), "ada");
        assert_eq!(gate.password(b"bob", b"key"), Err(Refusal::UnknownKey));
        assert_eq!(gate.password(b"ada", b"kez"), Err(Refusal::UnknownKey));
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
