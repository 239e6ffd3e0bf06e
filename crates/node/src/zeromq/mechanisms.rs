//! The security mechanisms that an endpoint offers, for one connection.
//!
//! A peer names the one it wants in its greeting. Where several are offered, ours is sent in two parts: what comes
//! before the mechanism at once, as some peers wait for it, and the rest when the peer has chosen.

use std::sync::{Arc, OnceLock};

use bytes::{Bytes, BytesMut};
use omq_proto::proto::greeting::{GREETING_LEN, VERSION_SNIFF_LEN};
use omq_proto::proto::{Greeting, MechanismName};
use omq_proto::{
    Authenticator, CurveKeypair, CurveSecretKey, CurveServerOptions, MechanismPeerInfo, MechanismSetup,
};

use super::options::Security;
use super::zmtp::{Authenticate, Shown};
use crate::security::Principal;

/// What is offered, and who the peer turned out to be.
pub(super) struct Mechanisms {
    security: Arc<Security>,
    authenticate: Authenticate,
    /// Set when the peer has shown who it is: none if it was refused.
    verdict: Arc<OnceLock<Option<Principal>>>,
}

impl Mechanisms {
    pub(super) fn new(security: Arc<Security>, authenticate: Authenticate) -> Self {
        Self { security, authenticate, verdict: Arc::default() }
    }

    /// The names of those that are offered.
    pub(super) fn offered(&self) -> Vec<MechanismName> {
        let security = &self.security;
        let offers = [
            (security.null, MechanismName::NULL),
            (security.plain, MechanismName::PLAIN),
            (security.curve.is_some(), MechanismName::CURVE),
        ];
        offers.into_iter().filter_map(|(is_offered, name)| is_offered.then_some(name)).collect()
    }

    /// What can be sent of our greeting before the peer has named its mechanism.
    pub(super) fn first_part(&self) -> Bytes {
        let offered = self.offered();
        match offered.as_slice() {
            [only] => greeting(*only),
            _ => greeting(MechanismName::NULL).slice(..VERSION_SNIFF_LEN),
        }
    }

    /// The rest of our greeting, for a peer that wants this mechanism.
    pub(super) fn second_part(&self, wanted: MechanismName) -> Bytes {
        match self.offered().len() {
            1 => Bytes::new(),
            _ => greeting(wanted).slice(VERSION_SNIFF_LEN..),
        }
    }

    /// What the connection is to be made with, if the mechanism is offered.
    pub(super) fn setup(&self, wanted: MechanismName) -> Option<MechanismSetup> {
        if !self.offered().contains(&wanted) {
            return None;
        }
        if wanted == MechanismName::PLAIN {
            return Some(MechanismSetup::PlainServer { authenticator: self.authenticator() });
        }
        let (true, Some(secret)) = (wanted == MechanismName::CURVE, &self.security.curve) else {
            return Some(MechanismSetup::Null);
        };
        let secret = CurveSecretKey::from_bytes(secret.0);
        let our_keypair = CurveKeypair { public: secret.derive_public(), secret };
        let mut options = CurveServerOptions::new();
        options.authenticator = Some(self.authenticator());
        Some(MechanismSetup::CurveServer { our_keypair, options })
    }

    fn authenticator(&self) -> Authenticator {
        let (authenticate, verdict) = (self.authenticate.clone(), self.verdict.clone());
        Authenticator::new(move |peer: &MechanismPeerInfo| {
            let found = match (&peer.username, &peer.password) {
                (Some(name), Some(password)) => {
                    authenticate(Shown::Password(name.as_bytes(), password.as_bytes()))
                }
                _ => authenticate(Shown::CurveKey(&peer.public_key)),
            };
            verdict.get_or_init(|| found).is_some()
        })
    }

    /// Who the peer has shown to be.
    pub(super) fn principal(&self) -> Option<Principal> {
        self.verdict.get().cloned().flatten()
    }

    /// Whether what it has shown was refused.
    pub(super) fn is_refused(&self) -> bool {
        self.verdict.get().is_some_and(Option::is_none)
    }
}

fn greeting(mechanism: MechanismName) -> Bytes {
    let mut bytes = BytesMut::with_capacity(GREETING_LEN);
    Greeting::current(mechanism, mechanism != MechanismName::NULL).encode(&mut bytes);
    bytes.freeze()
}
