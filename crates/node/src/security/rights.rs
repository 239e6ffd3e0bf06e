//! What the permissions give to one user. What is denied is denied, whatever else is allowed.

use std::sync::Arc;

use swarmmq_broker::exchange::Verb;

use crate::config::{Action, PermissionConfig};

/// The rights of a user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Rights {
    Everything,
    /// The permissions that name the user.
    Granted(Arc<[PermissionConfig]>),
}

impl Rights {
    pub(super) fn nothing() -> Self {
        Self::Granted(Arc::default())
    }

    pub(super) fn of(name: &str, permissions: &[PermissionConfig]) -> Self {
        let names = |one: &&PermissionConfig| one.who.as_ref().is_some_and(|who| who.matches(name));
        Self::Granted(permissions.iter().filter(names).cloned().collect())
    }

    fn decide(
        &self,
        action: Option<Action>,
        allows: impl Fn(&PermissionConfig) -> bool,
        denies: impl Fn(&PermissionConfig) -> bool,
    ) -> bool {
        let Self::Granted(permissions) = self else { return true };
        let has = |actions: &[Action]| match action {
            Some(action) => actions.contains(&action),
            None => !actions.is_empty(),
        };
        // Without an action asked for, to deny one of several does not hide what the others show.
        let is_denied = action.is_some() && permissions.iter().any(|one| has(&one.deny) && denies(one));
        !is_denied && permissions.iter().any(|one| has(&one.allow) && allows(one))
    }

    /// Whether the action is allowed on a destination; any action at all, if none is named.
    pub(super) fn on_destination(&self, name: &str, action: Option<Action>) -> bool {
        let covers =
            |one: &PermissionConfig| one.destinations.as_ref().is_some_and(|pattern| pattern.matches(name));
        self.decide(action, covers, covers)
    }

    /// Whether the action is allowed on every destination whose name begins so.
    pub(super) fn on_all_destinations(&self, prefix: &str, action: Action) -> bool {
        let all = |one: &PermissionConfig| {
            one.destinations.as_ref().is_some_and(|pattern| pattern.matches_all(prefix))
        };
        let some = |one: &PermissionConfig| {
            one.destinations.as_ref().is_some_and(|pattern| pattern.matches_some(prefix))
        };
        self.decide(Some(action), all, some)
    }

    /// Whether all destinations whose names begin so may be seen.
    pub(super) fn may_list(&self, prefix: &str) -> bool {
        let all = |one: &PermissionConfig| {
            one.destinations.as_ref().is_some_and(|pattern| pattern.matches_all(prefix))
        };
        self.decide(None, all, |_| false)
    }

    /// Whether a verb is allowed on a topic or service. A subscription is to all topics that begin so, so all of them
    /// have to be allowed, and none denied.
    pub(super) fn in_flight(&self, verb: Verb, name: &[u8]) -> bool {
        let action = match verb {
            Verb::Publish => Action::Publish,
            Verb::Subscribe => Action::Subscribe,
            Verb::Request => Action::Request,
            Verb::Serve => Action::Serve,
        };
        let covers = |one: &PermissionConfig| match verb {
            Verb::Request | Verb::Serve => one.services.as_ref().is_some_and(|it| it.matches(name)),
            Verb::Publish => one.topics.as_ref().is_some_and(|it| it.matches(name)),
            Verb::Subscribe => one.topics.as_ref().is_some_and(|it| it.matches_all(name)),
        };
        let touches = |one: &PermissionConfig| match verb {
            Verb::Subscribe => one.topics.as_ref().is_some_and(|it| it.matches_some(name)),
            _ => covers(one),
        };
        self.decide(Some(action), covers, touches)
    }

    /// Whether requests may be sent to every service, and none is denied.
    pub(super) fn on_all_services(&self) -> bool {
        let all = |one: &PermissionConfig| one.services.as_ref().is_some_and(|it| it.matches_all(b""));
        let some = |one: &PermissionConfig| one.services.is_some();
        self.decide(Some(Action::Request), all, some)
    }

    /// Whether there is nothing that is allowed.
    pub(super) fn are_none(&self) -> bool {
        match self {
            Self::Everything => false,
            Self::Granted(permissions) => permissions.iter().all(|one| one.allow.is_empty()),
        }
    }
}
