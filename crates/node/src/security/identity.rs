//! A principal: who a peer is, and what it may do.

use std::fmt;
use std::sync::Arc;

use swarmmq_broker::exchange::Verb;
use swarmmq_protocol::request::Request;
use swarmmq_protocol::settings::GroupSettings;
use swarmmq_protocol::{DestinationName, ErrorCode, ErrorReply};

use crate::config::{Action, Pattern, PermissionConfig};

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
    rights: Rights,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Rights {
    Everything,
    Grants(Arc<[Grant]>),
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Grant {
    destinations: Pattern,
    actions: Vec<Action>,
}

impl Principal {
    /// Somebody who may do everything.
    #[must_use]
    pub fn unrestricted(name: &str, method: Method) -> Self {
        Self { name: name.into(), method, rights: Rights::Everything }
    }

    /// Somebody who may do nothing.
    #[must_use]
    pub fn powerless(name: &str, method: Method) -> Self {
        Self { name: name.into(), method, rights: Rights::Grants(Arc::default()) }
    }

    /// Somebody who may do what the permissions allow and nothing else; everything, if there are none.
    #[must_use]
    pub fn restricted(name: &str, method: Method, permissions: &[PermissionConfig]) -> Self {
        if permissions.is_empty() {
            return Self::unrestricted(name, method);
        }
        let grants = permissions
            .iter()
            .filter(|permission| permission.who.as_ref().is_some_and(|who| who.matches(name)))
            .filter_map(|permission| {
                let destinations = permission.destinations.clone()?;
                Some(Grant { destinations, actions: permission.allow.clone() })
            })
            .collect();
        Self { name: name.into(), method, rights: Rights::Grants(grants) }
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
        self.has(destination, |granted| granted == action)
    }

    /// Whether it may do this with a topic or service of this name.
    #[must_use]
    pub fn may_in_flight(&self, _verb: Verb, _name: &[u8]) -> bool {
        match &self.rights {
            Rights::Everything => true,
            Rights::Grants(_) => false,
        }
    }

    /// Whether there is nothing it may do.
    #[must_use]
    pub fn is_powerless(&self) -> bool {
        match &self.rights {
            Rights::Everything => false,
            Rights::Grants(grants) => grants.iter().all(|grant| grant.actions.is_empty()),
        }
    }

    /// Whether everything may be managed, and with it the node.
    #[must_use]
    pub fn may_manage_node(&self) -> bool {
        match &self.rights {
            Rights::Everything => true,
            Rights::Grants(grants) => grants
                .iter()
                .any(|grant| grant.destinations.matches_all("") && grant.actions.contains(&Action::Manage)),
        }
    }

    fn has(&self, destination: &DestinationName, wanted: impl Fn(Action) -> bool) -> bool {
        match &self.rights {
            Rights::Everything => true,
            Rights::Grants(grants) => grants.iter().any(|grant| {
                grant.destinations.matches(destination.as_str())
                    && grant.actions.iter().any(|action| wanted(*action))
            }),
        }
    }

    fn may_list(&self, prefix: &str) -> bool {
        match &self.rights {
            Rights::Everything => true,
            Rights::Grants(grants) => grants.iter().any(|grant| grant.destinations.matches_all(prefix)),
        }
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
                if self.has(destination, |_| true) {
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
            // Whatever else there is, or will be, takes the highest right.
            other => match other.destination() {
                Some(destination) => self.demand(Action::Manage, destination),
                None => Err(self.forbidden(format_args!("not do this"))),
            },
        }
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
            Action::Manage => "manage",
        };
        Err(self.forbidden(format_args!("not {action} {destination}")))
    }

    fn forbidden(&self, what: fmt::Arguments<'_>) -> ErrorReply {
        ErrorReply::new(ErrorCode::Forbidden, format!("user {} may {what}", self.name))
    }
}

#[cfg(test)]
mod tests {
    use swarmmq_protocol::GroupName;
    use swarmmq_protocol::settings::DestinationSettings;

    use super::*;

    fn permission(who: &str, destinations: &str, allow: &[Action]) -> PermissionConfig {
        PermissionConfig {
            who: Some(Pattern::new(who).unwrap()),
            destinations: Some(Pattern::new(destinations).unwrap()),
            allow: allow.to_vec(),
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
