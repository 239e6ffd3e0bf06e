//! Administration.

use std::time::Duration;

use swarmmq::protocol::request::Put;
use swarmmq::protocol::{Request, Response};
use swarmmq::{DestinationSettings, Error, ErrorCode, GroupName, GroupSettings, Misuse, Position};

use crate::node::{Action, Manners, Node, World};
use crate::{connect, destination, numbered, options, soon};

#[tokio::test]
async fn destinations_are_made_described_listed_and_removed() {
    let node = Node::start().await;
    let client = connect(&node).await;
    for name in ["a1", "a2", "b1"] {
        client.create_destination(&destination(name), DestinationSettings::queue()).await.unwrap();
    }
    let page = client.list_destinations("a", None, 1).await.unwrap();
    assert_eq!(page.iter().map(|info| info.name.as_str()).collect::<Vec<_>>(), ["a1"]);
    let page = client.list_destinations("a", Some(&page[0].name), 10).await.unwrap();
    assert_eq!(page.iter().map(|info| info.name.as_str()).collect::<Vec<_>>(), ["a2"]);
    assert_eq!(client.describe_destination(&destination("b1")).await.unwrap().last, 0);
    client.update_destination(&destination("b1"), DestinationSettings::queue()).await.unwrap();
    client.purge_destination(&destination("b1")).await.unwrap();
    client.delete_destination(&destination("b1")).await.unwrap();
    let error = client.describe_destination(&destination("b1")).await.unwrap_err();
    assert_eq!(error.code(), Some(ErrorCode::UnknownDestination));
    let error = client.delete_destination(&destination("b1")).await.unwrap_err();
    assert_eq!(error.code(), Some(ErrorCode::UnknownDestination));
}

#[tokio::test]
async fn groups_are_made_changed_paused_reset_and_removed() {
    let node = Node::start().await;
    let client = connect(&node).await;
    let (orders, group) = (destination("orders"), GroupName::new("billing").unwrap());
    client.create_group(&orders, &group, GroupSettings::default()).await.unwrap();
    client.update_group(&orders, &group, GroupSettings::default()).await.unwrap();
    client.pause_group(&orders, &group, true).await.unwrap();
    client.reset_group(&orders, &group, Position::Earliest).await.unwrap();
    client.delete_group(&orders, &group).await.unwrap();
    assert_eq!(node.counts().requests, 5);
}

#[tokio::test]
async fn what_an_earlier_try_has_removed_counts_as_removed() {
    let node = Node::start().await;
    let client = connect(&node).await;
    let orders = destination("orders");
    client.create_destination(&orders, DestinationSettings::queue()).await.unwrap();
    let mut tries = 0;
    node.script(move |_| {
        tries += 1;
        if tries == 1 { Action::ServeAndCut } else { Action::Serve }
    });
    soon("the answer", client.delete_destination(&orders)).await.unwrap();
    assert_eq!(node.counts().requests, 3);
}

#[tokio::test]
async fn a_change_that_is_not_answered_may_have_been_made() {
    let node = Node::start().await;
    let client = options(&node).request_timeout(Duration::from_millis(50)).connect().await.unwrap();
    node.script(|_| Action::Ignore);
    let error = soon("the error", client.purge_destination(&destination("orders"))).await.unwrap_err();
    assert!(matches!(&error, Error::OutcomeUnknown { .. }), "{error}");
    let error = soon("the error", client.describe_destination(&destination("orders"))).await.unwrap_err();
    assert!(matches!(&error, Error::TimedOut { .. }), "nothing was to be changed: {error}");
}

#[tokio::test]
async fn a_put_without_a_stamp_is_not_sent_twice() {
    let node = Node::start().await;
    let client = connect(&node).await;
    let orders = destination("orders");
    node.world().fill(&orders, std::iter::empty());
    let put = |expected_last| {
        Request::Put(Put {
            destination: orders.clone(),
            stamp: None,
            expected_last,
            messages: vec![numbered(1).encode().unwrap()],
        })
    };
    assert!(matches!(client.request(put(Some(0))).await, Ok(Response::Put(_))));
    let error = client.request(put(Some(0))).await.unwrap_err();
    assert_eq!(error.code(), Some(ErrorCode::WrongRevision));
    node.script(|_| Action::ServeAndCut);
    let error = soon("the error", client.request(put(None))).await.unwrap_err();
    assert!(matches!(&error, Error::OutcomeUnknown { .. }), "{error}");
    assert_eq!(node.counts().puts, 3);
}

#[tokio::test]
async fn a_request_follows_the_leader() {
    let world = World::new();
    world.fill(&destination("orders"), std::iter::empty());
    let home = Node::start_with(world.clone(), Manners::default()).await;
    let leader = Node::start_with(world, Manners::default()).await;
    let client = connect(&home).await;
    let address = leader.address();
    home.script(move |_| Action::redirect(Some(address.clone())));
    for _ in 0..3 {
        soon("the answer", client.describe_destination(&destination("orders"))).await.unwrap();
    }
    assert_eq!((home.counts().requests, leader.counts().requests), (1, 3));
}

#[tokio::test]
async fn a_subscription_is_not_a_request_of_its_own() {
    let node = Node::start().await;
    let client = connect(&node).await;
    let error = client.request(Request::Unsubscribe { subscription: 1 }).await.unwrap_err();
    assert!(matches!(error, Error::Misuse(Misuse::Option { option: "request", .. })));
}
