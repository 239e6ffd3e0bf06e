//! Administration of destinations and groups.

use swarmmq_protocol::info::DestinationInfo;
use swarmmq_protocol::settings::{DestinationSettings, GroupSettings, Position};
use swarmmq_protocol::{DestinationName, GroupName, Request, Response};

use crate::client::Client;
use crate::error::Error;

impl Client {
    async fn done(&self, request: Request) -> Result<(), Error> {
        match self.request(request).await? {
            Response::Done { .. } => Ok(()),
            other => Err(unexpected(&other)),
        }
    }

    /// Makes a destination, or finds it made with the same settings.
    ///
    /// # Errors
    /// [`Error::Refused`] with `ALREADY-EXISTS` where it has other settings.
    pub async fn create_destination(
        &self,
        destination: &DestinationName,
        settings: DestinationSettings,
    ) -> Result<(), Error> {
        self.done(Request::CreateDestination { destination: destination.clone(), settings }).await
    }

    /// Changes the settings of a destination. Its kind stays.
    ///
    /// # Errors
    /// [`Error::Refused`].
    pub async fn update_destination(
        &self,
        destination: &DestinationName,
        settings: DestinationSettings,
    ) -> Result<(), Error> {
        self.done(Request::UpdateDestination { destination: destination.clone(), settings }).await
    }

    /// Removes a destination with all it holds.
    ///
    /// # Errors
    /// [`Error::Refused`].
    pub async fn delete_destination(&self, destination: &DestinationName) -> Result<(), Error> {
        self.done(Request::DeleteDestination { destination: destination.clone() }).await
    }

    /// Removes the messages of a destination and keeps it.
    ///
    /// # Errors
    /// [`Error::Refused`].
    pub async fn purge_destination(&self, destination: &DestinationName) -> Result<(), Error> {
        self.done(Request::PurgeDestination { destination: destination.clone() }).await
    }

    /// Describes a destination.
    ///
    /// # Errors
    /// [`Error::Refused`].
    pub async fn describe_destination(
        &self,
        destination: &DestinationName,
    ) -> Result<DestinationInfo, Error> {
        match self.request(Request::DescribeDestination { destination: destination.clone() }).await? {
            Response::Destination(info) => Ok(*info),
            other => Err(unexpected(&other)),
        }
    }

    /// One page of destinations in the order of their names: at most `limit` (1 to 1,000) whose names
    /// begin with `prefix` and come behind `after`.
    ///
    /// # Errors
    /// [`Error::Refused`].
    pub async fn list_destinations(
        &self,
        prefix: &str,
        after: Option<&DestinationName>,
        limit: u32,
    ) -> Result<Vec<DestinationInfo>, Error> {
        let request = Request::ListDestinations { prefix: prefix.to_owned(), after: after.cloned(), limit };
        match self.request(request).await? {
            Response::Destinations(infos) => Ok(infos),
            other => Err(unexpected(&other)),
        }
    }

    /// Makes a group, or finds it made with the same settings.
    ///
    /// # Errors
    /// [`Error::Refused`].
    pub async fn create_group(
        &self,
        destination: &DestinationName,
        group: &GroupName,
        settings: GroupSettings,
    ) -> Result<(), Error> {
        let (destination, group) = (destination.clone(), group.clone());
        self.done(Request::CreateGroup { destination, group, settings }).await
    }

    /// Changes the settings of a group. Where it stands is kept.
    ///
    /// # Errors
    /// [`Error::Refused`].
    pub async fn update_group(
        &self,
        destination: &DestinationName,
        group: &GroupName,
        settings: GroupSettings,
    ) -> Result<(), Error> {
        let (destination, group) = (destination.clone(), group.clone());
        self.done(Request::UpdateGroup { destination, group, settings }).await
    }

    /// Removes a group.
    ///
    /// # Errors
    /// [`Error::Refused`].
    pub async fn delete_group(&self, destination: &DestinationName, group: &GroupName) -> Result<(), Error> {
        self.done(Request::DeleteGroup { destination: destination.clone(), group: group.clone() }).await
    }

    /// Stops delivering to a group, or goes on with it.
    ///
    /// # Errors
    /// [`Error::Refused`].
    pub async fn pause_group(
        &self,
        destination: &DestinationName,
        group: &GroupName,
        paused: bool,
    ) -> Result<(), Error> {
        let (destination, group) = (destination.clone(), group.clone());
        self.done(Request::PauseGroup { destination, group, paused }).await
    }

    /// Sets a group back or forward.
    ///
    /// # Errors
    /// [`Error::Refused`].
    pub async fn reset_group(
        &self,
        destination: &DestinationName,
        group: &GroupName,
        to: Position,
    ) -> Result<(), Error> {
        let (destination, group) = (destination.clone(), group.clone());
        self.done(Request::ResetGroup { destination, group, to }).await
    }
}

pub(crate) fn unexpected(response: &Response) -> Error {
    let kind = match response {
        Response::Error(error) => return Error::Refused(error.clone()),
        Response::Done { .. } => "done",
        Response::Put(_) => "a put's outcome",
        Response::Messages(_) => "messages",
        Response::Subscribed => "a subscription",
        Response::Settled(_) => "a settlement's outcome",
        Response::Destination(_) => "a destination",
        Response::Destinations(_) => "destinations",
        Response::Services(_) => "services",
        _ => "something unknown",
    };
    Error::Protocol { reason: format!("it answered with {kind}, which does not fit the request") }
}
