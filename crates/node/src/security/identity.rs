//! A principal: who a peer is, and what it may do.

use std::fmt;
use std::sync::Arc;

use swarmmq_broker::exchange::Verb;
use swarmmq_protocol::request::Request;
use swarmmq_protocol::service::Watch;
use swarmmq_protocol::settings::GroupSettings;
use swarmmq_protocol::{DestinationName, ErrorCode, ErrorReply, ServiceType};

use super::rights::Rights;
use crate::config::{Action, PermissionConfig};

/// How a peer showed who it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Method {
    /// It did not have to: nobody is configured.
    Open,
    /// By an API key.
    ApiKey,
    /// By its name and a password, as ZeroMQ's PLAIN has it.
    Password,
    /// By its TLS certificate.
    Certificate,
    /// By its CURVE key.
    Curve,
}

/// Who a peer is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Principal {
    name: Arc<str>,
    method: Method,
    proof: Proof,
    rights: Rights,
}

/// What a peer showed, as far as it can be looked up again when users change.
#[derive(Clone, PartialEq, Eq)]
pub(super) enum Proof {
    /// Nothing, or a certificate.
    None,
    /// The SHA-256 of an API key.
    ApiKey([u8; 32]),
    /// The SHA-256 of the password.
    Password([u8; 32]),
    /// A CURVE public key.
    Curve([u8; 32]),
}

impl fmt::Debug for Proof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::None => "None",
            Self::ApiKey(_) => "ApiKey(redacted)",
            Self::Password(_) => "Password(redacted)",
            Self::Curve(_) => "Curve",
        })
    }
}

impl Principal {
    /// Somebody who may do everything.
    #[must_use]
    pub fn unrestricted(name: &str, method: Method) -> Self {
        Self { name: name.into(), method, proof: Proof::None, rights: Rights::Everything }
    }

    /// Somebody who may do nothing.
    #[must_use]
    pub fn powerless(name: &str, method: Method) -> Self {
        Self { name: name.into(), method, proof: Proof::None, rights: Rights::nothing() }
    }

    /// Somebody who may do what the permissions allow and nothing else; everything, if there are none.
    #[must_use]
    pub fn restricted(name: &str, method: Method, permissions: &[PermissionConfig]) -> Self {
        if permissions.is_empty() {
            return Self::unrestricted(name, method);
        }
        Self { name: name.into(), method, proof: Proof::None, rights: Rights::of(name, permissions) }
    }

    /// The same, who showed this.
    #[must_use]
    pub(super) fn showing(mut self, proof: Proof) -> Self {
        self.proof = proof;
        self
    }

    pub(super) fn proof(&self) -> &Proof {
        &self.proof
    }

    /// The user's name, for logs.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// How the user was recognised.
    #[must_use]
    pub fn method(&self) -> Method {
        self.method
    }

    /// Whether `action` is allowed on `destination`.
    #[must_use]
    pub fn may(&self, action: Action, destination: &DestinationName) -> bool {
        self.rights.on_destination(destination.as_str(), Some(action))
    }

    /// Whether it may do this with a topic or service of this name.
    #[must_use]
    pub fn may_in_flight(&self, verb: Verb, name: &[u8]) -> bool {
        self.rights.in_flight(verb, name)
    }

    /// Whether there is nothing it may do.
    #[must_use]
    pub fn is_powerless(&self) -> bool {
        self.rights.are_none()
    }

    /// Whether everything may be managed, and with it the node.
    #[must_use]
    pub fn may_manage_node(&self) -> bool {
        self.rights.on_all_destinations("", Action::Manage)
    }

    fn may_list(&self, prefix: &str) -> bool {
        self.rights.may_list(prefix)
    }

    /// Whether the request is allowed.
    ///
    /// # Errors
    /// `FORBIDDEN`, naming the user, the action and the destination.
    pub fn permits(&self, request: &Request) -> Result<(), ErrorReply> {
        if self.rights == Rights::Everything {
            return Ok(());
        }
        match request {
            Request::Put(put) => self.demand(Action::Produce, &put.destination),
            Request::Pull(pull) => self.demand(Action::Consume, &pull.destination),
            Request::Subscribe(subscribe) => self.demand(Action::Consume, &subscribe.destination),
            Request::Settle(settle) => self.demand(Action::Consume, &settle.destination),
            // It can only end what this very connection was allowed to begin.
            Request::Unsubscribe { .. } => Ok(()),
            Request::DescribeDestination { destination } => {
                if self.rights.on_destination(destination.as_str(), None) {
                    return Ok(());
                }
                Err(self.forbidden(format_args!("do nothing with {destination}")))
            }
            Request::ListDestinations { prefix, .. } => {
                if self.may_list(prefix) {
                    return Ok(());
                }
                Err(self.forbidden(format_args!(
                    "not list all destinations that begin with {prefix:?}: list with a prefix that a grant ending in '*' covers"
                )))
            }
            Request::CreateGroup { destination, settings, .. }
            | Request::UpdateGroup { destination, settings, .. } => self.demand_group(destination, settings),
            Request::Announce(instance) => self.demand_service(Verb::Serve, &instance.key.service),
            Request::Withdraw(key) => self.demand_service(Verb::Serve, &key.service),
            Request::Watch(Watch { service: Some(service), .. }) => {
                self.demand_service(Verb::Request, service)
            }
            Request::Watch(Watch { service: None, .. }) => {
                if self.rights.on_all_services() {
                    return Ok(());
                }
                Err(self.forbidden(format_args!(
                    "not look at all services: name one, or have `request` granted for all of them"
                )))
            }
            // Whatever else there is, or will be, takes the highest right.
            other => match other.destination() {
                Some(destination) => self.demand(Action::Manage, destination),
                None => Err(self.forbidden(format_args!("not do this"))),
            },
        }
    }

    /// Who may serve requests to a service may register for it, and who may send them may look who is.
    fn demand_service(&self, verb: Verb, service: &ServiceType) -> Result<(), ErrorReply> {
        if self.may_in_flight(verb, service.as_str().as_bytes()) {
            return Ok(());
        }
        let action = if verb == Verb::Serve { "register instances of" } else { "look who is registered as" };
        Err(self.forbidden(format_args!("not {action} the service {service}")))
    }

    /// Dead letters are puts: who may not put there may not send them there either.
    fn demand_group(
        &self,
        destination: &DestinationName,
        settings: &GroupSettings,
    ) -> Result<(), ErrorReply> {
        self.demand(Action::Manage, destination)?;
        match &settings.dead_letter {
            Some(dead_letter) => self.demand(Action::Produce, dead_letter),
            None => Ok(()),
        }
    }

    fn demand(&self, action: Action, destination: &DestinationName) -> Result<(), ErrorReply> {
        if self.may(action, destination) {
            return Ok(());
        }
        let action = match action {
            Action::Produce => "produce to",
            Action::Consume => "consume from",
            _ => "manage",
        };
        Err(self.forbidden(format_args!("not {action} {destination}")))
    }

    fn forbidden(&self, what: fmt::Arguments<'_>) -> ErrorReply {
        ErrorReply::new(ErrorCode::Forbidden, format!("user {} may {what}", self.name))
    }
}

#[cfg(test)]
mod tests {
    use crate::config::{Pattern, TextPattern};
    use swarmmq_protocol::GroupName;
    use swarmmq_protocol::settings::DestinationSettings;

    use super::*;

    fn permission(who: &str, destinations: &str, allow: &[Action]) -> PermissionConfig {
        PermissionConfig {
            who: Some(Pattern::new(who).unwrap()),
            destinations: Some(Pattern::new(destinations).unwrap()),
            allow: allow.to_vec(),
            ..PermissionConfig::default()
        }
    }

    fn user(grants: &[(&str, &[Action])]) -> Principal {
        let mut permissions = vec![permission("grace", "*", &[Action::Manage])];
        permissions.extend(grants.iter().map(|(pattern, actions)| permission("ada", pattern, actions)));
        Principal::restricted("ada", Method::ApiKey, &permissions)
    }

    fn name(text: &str) -> DestinationName {
        DestinationName::new(text).unwrap()
    }

    #[test]
    fn without_any_permission_whoever_is_authenticated_may_do_everything() {
        let ada = Principal::restricted("ada", Method::ApiKey, &[]);
        assert!(ada.may(Action::Manage, &name("a")));
    }

    #[test]
    fn what_is_denied_is_denied_whatever_else_is_allowed() {
        let mut permissions =
            vec![permission("*", "*", &[Action::Produce, Action::Manage]), permission("ada", "audit*", &[])];
        permissions[1].deny = vec![Action::Produce];
        let ada = Principal::restricted("ada", Method::Curve, &permissions);
        let bob = Principal::restricted("bob", Method::Curve, &permissions);
        assert!(ada.may(Action::Produce, &name("orders")) && !ada.may(Action::Produce, &name("audit.a")));
        assert!(ada.may(Action::Manage, &name("audit.a")) && bob.may(Action::Produce, &name("audit.a")));
    }

    #[test]
    fn topics_and_services_are_granted_apart_from_destinations() {
        let destinations = permission("ada", "*", &[Action::Publish, Action::Request]);
        let topics = PermissionConfig {
            who: destinations.who.clone(),
            topics: Some(TextPattern::new("weather.*")),
            allow: vec![Action::Publish, Action::Subscribe],
            ..PermissionConfig::default()
        };
        let services = PermissionConfig {
            topics: None,
            services: Some(TextPattern::new("echo")),
            allow: vec![Action::Request],
            ..topics.clone()
        };
        let mut denied = topics.clone();
        (denied.topics, denied.deny) = (Some(TextPattern::new("weather.moon")), vec![Action::Publish]);
        denied.allow.clear();
        let ada = Principal::restricted("ada", Method::Curve, &[destinations, topics, services, denied]);
        let may = |verb, name: &str| ada.may_in_flight(verb, name.as_bytes());
        assert!(may(Verb::Publish, "weather.sun") && !may(Verb::Publish, "weather.moon"));
        assert!(may(Verb::Subscribe, "weather.") && may(Verb::Subscribe, "weather.moon"));
        assert!(!may(Verb::Subscribe, "weather") && !may(Verb::Subscribe, ""), "a prefix shows all below it");
        assert!(may(Verb::Request, "echo") && !may(Verb::Request, "echo2") && !may(Verb::Serve, "echo"));
    }

    #[test]
    fn each_action_is_granted_by_itself() {
        let ada = user(&[("in.*", &[Action::Produce]), ("out", &[Action::Consume])]);
        assert!(ada.may(Action::Produce, &name("in.a")));
        assert!(!ada.may(Action::Consume, &name("in.a")));
        assert!(!ada.may(Action::Manage, &name("in.a")));
        assert!(ada.may(Action::Consume, &name("out")));
        assert!(!ada.may(Action::Produce, &name("out")));
    }

    #[test]
    fn somebody_without_grants_may_do_nothing() {
        let nobody = user(&[]);
        assert!(!nobody.may(Action::Produce, &name("a")));
        let list = Request::ListDestinations { prefix: String::new(), after: None, limit: 10 };
        assert_eq!(nobody.permits(&list).unwrap_err().code, ErrorCode::Forbidden);
    }

    #[test]
    fn a_refusal_names_user_action_and_destination() {
        let ada = user(&[("in.*", &[Action::Produce])]);
        let error = ada.permits(&Request::DeleteDestination { destination: name("in.a") }).unwrap_err();
        assert_eq!(error.code, ErrorCode::Forbidden);
        assert_eq!(error.explanation, "user ada may not manage in.a");
    }

    #[test]
    fn making_a_destination_takes_the_right_to_manage() {
        let ada = user(&[("in.*", &[Action::Produce, Action::Consume])]);
        let create =
            Request::CreateDestination { destination: name("in.a"), settings: DestinationSettings::queue() };
        assert!(ada.permits(&create).is_err());
        assert!(user(&[("in.*", &[Action::Manage])]).permits(&create).is_ok());
    }

    #[test]
    fn a_listing_shows_only_what_a_grant_covers_wholly() {
        let ada = user(&[("in.*", &[Action::Produce]), ("audit", &[Action::Consume])]);
        let list = |prefix: &str| {
            ada.permits(&Request::ListDestinations { prefix: prefix.into(), after: None, limit: 10 })
        };
        assert!(list("in.").is_ok() && list("in.eu").is_ok());
        assert!(list("").is_err(), "it would show everything");
        assert!(list("i").is_err());
        assert!(list("audit").is_err(), "audit2 begins so as well");
    }

    #[test]
    fn dead_letters_go_only_where_their_sender_may_put() {
        let create = |dead_letter: &str| {
            let mut settings = GroupSettings::default();
            settings.dead_letter = Some(name(dead_letter));
            Request::CreateGroup { destination: name("in.a"), group: GroupName::default_group(), settings }
        };
        let ada = user(&[("in.*", &[Action::Manage]), ("dead", &[Action::Produce])]);
        assert!(ada.permits(&create("dead")).is_ok());
        assert!(ada.permits(&create("payroll")).is_err(), "or a group would be a way around the grants");
    }
}
