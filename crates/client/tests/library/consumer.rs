//! Consumers: credit, settlement, and what is left of them after a cut.

use std::collections::BTreeSet;
use std::time::Duration;

use futures_util::StreamExt;
use swarmmq::protocol::Request;
use swarmmq::protocol::request::Verdict;
use swarmmq::{Client, Consumer, Delivered, DestinationName, Error, ErrorCode, GroupName, Misuse};

use crate::node::{Action, Manners, Node, World};
use crate::{connect, destination, number_of, numbered, options, soon};

async fn orders(count: u64) -> (Node, Client, DestinationName) {
    let node = Node::start().await;
    let orders = destination("orders");
    node.world().fill(&orders, (0..count).map(numbered));
    let client = connect(&node).await;
    (node, client, orders)
}

async fn next(consumer: &mut Consumer) -> Delivered {
    soon("a message", consumer.next()).await.unwrap().unwrap()
}

fn acked(node: &Node, name: &DestinationName) -> usize {
    node.world().settled(name).values().filter(|verdict| **verdict == Verdict::Ack).count()
}

#[tokio::test]
async fn messages_are_delivered_and_acknowledged() {
    let (node, client, orders) = orders(3).await;
    let mut consumer = client.consumer(&orders).build().await.unwrap();
    for number in 0..3 {
        let delivered = next(&mut consumer).await;
        assert_eq!(number_of(delivered.message()), number);
        assert_eq!((delivered.sequence().0, delivered.attempt()), (number + 1, 1));
        assert_eq!(delivered.stored_ms(), 1_700_000_000_000);
        soon("the answer", delivered.ack()).await.unwrap();
    }
    assert_eq!(acked(&node, &orders), 3);
}

#[tokio::test]
async fn a_consumer_is_a_stream() {
    let (node, client, orders) = orders(10).await;
    let consumer = client.consumer(&orders).build().await.unwrap();
    let numbers: Vec<_> = soon(
        "ten messages",
        consumer
            .take(10)
            .map(|delivered| {
                let delivered = delivered.unwrap();
                let number = number_of(delivered.message());
                delivered.ack_later();
                number
            })
            .collect(),
    )
    .await;
    assert_eq!(numbers, (0..10).collect::<Vec<_>>());
    node.world().until("ten acknowledgements", |_| (acked(&node, &orders) == 10).then_some(())).await;
}

#[tokio::test]
async fn no_more_is_leased_than_the_credit_whatever_is_settled_when() {
    let (node, client, orders) = orders(500).await;
    let mut consumer = client.consumer(&orders).credit(8).build().await.unwrap();
    let mut held = Vec::new();
    for round in 0..500_usize {
        held.push(next(&mut consumer).await);
        if held.len() > round % 8 {
            let batch: Vec<_> = held.drain(..).map(Delivered::ack).collect();
            for answer in batch {
                soon("the answer", answer).await.unwrap();
            }
        }
    }
    assert!(node.world().most_leased() <= 8, "{} leased", node.world().most_leased());
    drop(held);
}

#[tokio::test]
async fn a_consumer_that_settles_nothing_gets_its_credit_and_no_more() {
    let (node, client, orders) = orders(100).await;
    let mut consumer = client.consumer(&orders).credit(5).build().await.unwrap();
    let mut held = Vec::new();
    for _ in 0..5 {
        held.push(next(&mut consumer).await);
    }
    let sixth = tokio::time::timeout(Duration::from_millis(20), consumer.next()).await;
    assert!(sixth.is_err());
    assert_eq!(node.world().leased(&orders), 5);
    drop(held.pop());
    assert_eq!(number_of(next(&mut consumer).await.message()), 5, "a dropped one gives its credit back");
}

#[tokio::test]
async fn a_consumer_without_a_credit_of_its_own_takes_the_nodes() {
    for (said, taken) in [(3, 3), (1_000_000, 4_096)] {
        let manners = Manners { credit_default: said, ..Manners::default() };
        let node = Node::start_with(World::new(), manners).await;
        let orders = destination("orders");
        node.world().fill(&orders, (0..5_000).map(numbered));
        let client = connect(&node).await;
        let mut consumer = client.consumer(&orders).build().await.unwrap();
        let mut held = Vec::new();
        for _ in 0..taken {
            held.push(next(&mut consumer).await);
        }
        assert!(tokio::time::timeout(Duration::from_millis(20), consumer.next()).await.is_err());
        assert_eq!(node.world().leased(&orders), taken);
    }
}

#[tokio::test]
async fn acknowledgements_travel_together() {
    let (node, client, orders) = orders(200).await;
    let mut consumer = client.consumer(&orders).credit(200).build().await.unwrap();
    let mut held = Vec::new();
    for _ in 0..200 {
        held.push(next(&mut consumer).await);
    }
    let answers: Vec<_> = held.into_iter().map(Delivered::ack).collect();
    for answer in answers {
        soon("the answer", answer).await.unwrap();
    }
    assert_eq!(acked(&node, &orders), 200);
    assert!(node.counts().settles <= 3, "{} requests", node.counts().settles);
}

#[tokio::test]
async fn credit_is_given_back_in_parts() {
    let (node, client, orders) = orders(1000).await;
    let mut consumer = client.consumer(&orders).credit(100).build().await.unwrap();
    for _ in 0..1000 {
        next(&mut consumer).await.ack_later();
    }
    node.world().until("all acknowledgements", |_| (acked(&node, &orders) == 1000).then_some(())).await;
    assert!(node.counts().credits <= 60, "{} credit frames", node.counts().credits);
}

#[tokio::test]
async fn a_message_put_back_comes_again_and_a_rejected_one_does_not() {
    let (node, client, orders) = orders(1).await;
    let mut consumer = client.consumer(&orders).build().await.unwrap();
    let first = next(&mut consumer).await;
    soon("the answer", first.nack(Duration::ZERO)).await.unwrap();
    let again = next(&mut consumer).await;
    assert_eq!(again.attempt(), 2);
    soon("the answer", again.reject("it is broken")).await.unwrap();
    let reason = "it is broken".to_owned();
    assert_eq!(node.world().settled(&orders)[&1], Verdict::Reject { reason });
}

#[tokio::test]
async fn a_long_reason_is_cut_and_not_refused() {
    let (node, client, orders) = orders(1).await;
    let mut consumer = client.consumer(&orders).build().await.unwrap();
    let rejected = next(&mut consumer).await.reject("ä".repeat(1000));
    soon("the answer", rejected).await.unwrap();
    let Verdict::Reject { reason } = &node.world().settled(&orders)[&1] else { panic!("not rejected") };
    assert_eq!(reason.len(), 1024);
}

#[tokio::test]
async fn an_acknowledgement_after_the_lease_is_refused_as_stale() {
    let (node, client, orders) = orders(1).await;
    let mut consumer = client.consumer(&orders).build().await.unwrap();
    let late = next(&mut consumer).await;
    node.world().expire_leases();
    let again = next(&mut consumer).await;
    let error = soon("the answer", late.ack()).await.unwrap_err();
    assert_eq!(error.code(), Some(ErrorCode::StaleReceipt));
    soon("the answer", again.ack()).await.unwrap();
    assert_eq!(client.statistics().failed_settlements, 0);
}

#[tokio::test]
async fn a_failure_that_nobody_waits_for_is_counted() {
    let (node, client, orders) = orders(1).await;
    let mut consumer = client.consumer(&orders).build().await.unwrap();
    let late = next(&mut consumer).await;
    node.world().expire_leases();
    next(&mut consumer).await.ack_later();
    node.until("the settlement", |counts| counts.settled == 1).await;
    late.nack_later(Duration::ZERO);
    soon("the close", consumer.close()).await;
    assert_eq!(node.counts().settled, 2);
    assert_eq!(client.statistics().failed_settlements, 1);
}

#[tokio::test]
async fn a_receipt_stays_good_across_a_cut_and_an_ack_sent_twice_is_one() {
    let (node, client, orders) = orders(2).await;
    let mut pulled = client.pull(&orders, &GroupName::default_group(), 2, Duration::ZERO).await.unwrap();
    let (second, first) = (pulled.pop().unwrap(), pulled.pop().unwrap());
    node.cut();
    soon("the answer", first.ack()).await.unwrap();
    let mut tries = 0;
    node.script(move |request| {
        tries += u64::from(matches!(request, Request::Settle(_)));
        if tries == 1 && matches!(request, Request::Settle(_)) { Action::ServeAndCut } else { Action::Serve }
    });
    soon("the answer", second.ack()).await.unwrap();
    assert_eq!(acked(&node, &orders), 2);
}

#[tokio::test]
async fn settlements_are_sent_again_where_the_node_asks_for_it() {
    let (node, client, orders) = orders(1).await;
    let mut consumer = client.consumer(&orders).build().await.unwrap();
    let delivered = next(&mut consumer).await;
    let mut tries = 0;
    node.script(move |request| {
        tries += u64::from(matches!(request, Request::Settle(_)));
        if tries < 4 { Action::refuse(ErrorCode::Overloaded) } else { Action::Serve }
    });
    soon("the answer", delivered.ack()).await.unwrap();
    assert_eq!((acked(&node, &orders), node.counts().settles), (1, 4));
}

#[tokio::test]
async fn a_consumer_subscribes_again_after_every_cut_and_misses_nothing() {
    let (node, client, orders) = orders(300).await;
    let mut consumer = client.consumer(&orders).credit(10).build().await.unwrap();
    let (mut seen, mut taken) = (BTreeSet::new(), 0);
    while acked(&node, &orders) < 300 {
        let delivered = next(&mut consumer).await;
        taken += 1;
        if taken % 37 == 5 {
            node.cut();
        }
        seen.insert(number_of(delivered.message()));
        if let Err(error) = soon("the answer", delivered.ack()).await {
            assert_eq!(error.code(), Some(ErrorCode::StaleReceipt), "{error}");
        }
    }
    assert_eq!(seen.len(), 300);
    assert!(node.counts().subscribes > 5);
    assert!(node.world().most_leased() <= 10, "{}", node.world().most_leased());
}

#[tokio::test]
async fn what_was_buffered_when_the_connection_was_lost_is_not_given_out_twice() {
    let (node, client, orders) = orders(10).await;
    let mut consumer = client.consumer(&orders).credit(10).build().await.unwrap();
    node.world().until("ten leases", |world| (world.leased(&orders) == 10).then_some(())).await;
    node.cut();
    node.until("a second subscription", |counts| counts.subscribes == 2).await;
    node.world().until("ten leases", |world| (world.leased(&orders) == 10).then_some(())).await;
    for number in 0..10 {
        let delivered = next(&mut consumer).await;
        assert_eq!(number_of(delivered.message()), number);
        soon("the answer", delivered.ack()).await.unwrap();
    }
    assert!(tokio::time::timeout(Duration::from_millis(20), consumer.next()).await.is_err());
}

#[tokio::test]
async fn a_subscription_that_the_node_ends_is_made_again_or_reported() {
    let (node, client, orders) = orders(1).await;
    let mut consumer = client.consumer(&orders).build().await.unwrap();
    next(&mut consumer).await.ack_later();
    node.end_subscriptions(ErrorCode::NotLeader);
    node.until("a second subscription", |counts| counts.subscribes == 2).await;
    node.world().fill(&orders, std::iter::once(numbered(7)));
    assert_eq!(number_of(next(&mut consumer).await.message()), 7);
    node.end_subscriptions(ErrorCode::UnknownDestination);
    let error = soon("the end", consumer.next()).await.unwrap().unwrap_err();
    assert_eq!(error.code(), Some(ErrorCode::UnknownDestination));
    assert!(soon("the end", consumer.next()).await.is_none());
}

#[tokio::test]
async fn a_destination_that_is_not_there_cannot_be_consumed() {
    let (_node, client, _) = orders(0).await;
    let error = client.consumer(&destination("nowhere")).build().await.unwrap_err();
    assert_eq!(error.code(), Some(ErrorCode::UnknownDestination));
}

#[tokio::test]
async fn a_subscription_waits_for_a_leader_but_not_for_ever() {
    let (node, client, orders) = orders(0).await;
    let mut tries = 0;
    node.script(move |_| {
        tries += 1;
        if tries < 3 { Action::refuse(ErrorCode::Unavailable) } else { Action::Serve }
    });
    soon("the subscription", client.consumer(&orders).build()).await.unwrap();
    let hasty = options(&node).request_timeout(Duration::from_millis(50)).connect().await.unwrap();
    node.script(|_| Action::refuse(ErrorCode::Unavailable));
    let error = soon("the error", hasty.consumer(&orders).build()).await.unwrap_err();
    assert!(matches!(&error, Error::TimedOut { .. }), "{error}");
    assert_eq!(error.code(), Some(ErrorCode::Unavailable));
}

#[tokio::test]
async fn a_dropped_consumer_unsubscribes_and_lets_its_messages_go() {
    let (node, client, orders) = orders(10).await;
    let mut consumer = client.consumer(&orders).credit(10).build().await.unwrap();
    let held = next(&mut consumer).await;
    node.world().until("ten leases", |world| (world.leased(&orders) == 10).then_some(())).await;
    drop(consumer);
    node.until("the end of the subscription", |counts| counts.unsubscribes == 1).await;
    assert_eq!(node.world().leased(&orders), 0);
    drop(held);
}

#[tokio::test]
async fn closing_a_consumer_settles_first_and_unsubscribes_then() {
    let (node, client, orders) = orders(10).await;
    let mut consumer = client.consumer(&orders).credit(10).build().await.unwrap();
    for _ in 0..4 {
        next(&mut consumer).await.ack_later();
    }
    soon("the close", consumer.close()).await;
    assert_eq!((acked(&node, &orders), node.counts().unsubscribes), (4, 1));
    assert_eq!(node.world().leased(&orders), 0);
}

#[tokio::test]
async fn a_closed_client_ends_its_consumers() {
    let (_node, client, orders) = orders(1).await;
    let mut consumer = client.consumer(&orders).build().await.unwrap();
    let held = next(&mut consumer).await;
    soon("the close", client.close()).await;
    assert!(soon("the end", consumer.next()).await.is_none());
    assert!(matches!(soon("the answer", held.ack()).await, Err(Error::Closed)));
}

#[tokio::test]
async fn leases_are_extended_while_messages_are_held_and_not_after() {
    let (node, client, orders) = orders(2).await;
    let builder = client.consumer(&orders).lease(Duration::from_millis(60)).auto_extend(true);
    let mut consumer = builder.build().await.unwrap();
    let (first, second) = (next(&mut consumer).await, next(&mut consumer).await);
    let receipts = [first.receipt(), second.receipt()];
    let extended = |receipt| node.world().extended(&orders).iter().filter(|one| **one == receipt).count();
    node.world()
        .until("extensions of both", |_| receipts.iter().all(|receipt| extended(*receipt) >= 3).then_some(()))
        .await;
    soon("the answer", first.ack()).await.unwrap();
    let (of_first, of_second) = (extended(receipts[0]), extended(receipts[1]));
    node.world()
        .until("more of the second", |_| (extended(receipts[1]) >= of_second + 3).then_some(()))
        .await;
    assert_eq!(extended(receipts[0]), of_first);
    soon("the answer", second.extend(Duration::from_secs(60))).await.unwrap();
    soon("the answer", second.ack()).await.unwrap();
}

#[tokio::test]
async fn what_a_node_sends_beyond_its_credit_is_not_kept() {
    let (node, client, orders) = orders(50).await;
    node.world().be_generous(20);
    let mut consumer = client.consumer(&orders).credit(5).build().await.unwrap();
    node.world().until("the leases", |world| (world.leased(&orders) == 25).then_some(())).await;
    let mut held = Vec::new();
    for _ in 0..5 {
        held.push(next(&mut consumer).await);
    }
    assert_eq!(client.statistics().discarded_deliveries, 20);
    assert!(tokio::time::timeout(Duration::from_millis(20), consumer.next()).await.is_err());
}

#[tokio::test]
async fn a_consumer_follows_the_leader() {
    let world = World::new();
    let orders = destination("orders");
    world.fill(&orders, (0..3).map(numbered));
    let home = Node::start_with(world.clone(), Manners::default()).await;
    let leader = Node::start_with(world, Manners::default()).await;
    let address = leader.address();
    home.script(move |_| Action::redirect(Some(address.clone())));
    let client = connect(&home).await;
    let mut consumer = soon("the subscription", client.consumer(&orders).build()).await.unwrap();
    for _ in 0..3 {
        let delivered = next(&mut consumer).await;
        soon("the answer", delivered.ack()).await.unwrap();
    }
    assert_eq!(acked(&leader, &orders), 3);
    assert_eq!(leader.counts().subscribes, 1);
}

#[tokio::test]
async fn a_pull_leases_what_there_is() {
    let (node, client, orders) = orders(5).await;
    let group = GroupName::default_group();
    let pulled = client.pull(&orders, &group, 3, Duration::ZERO).await.unwrap();
    assert_eq!(pulled.iter().map(|one| number_of(one.message())).collect::<Vec<_>>(), [0, 1, 2]);
    for delivered in pulled {
        soon("the answer", delivered.ack()).await.unwrap();
    }
    assert_eq!(acked(&node, &orders), 3);
    assert_eq!(client.pull(&orders, &group, 3, Duration::ZERO).await.unwrap().len(), 2);
    assert!(client.pull(&orders, &group, 3, Duration::ZERO).await.unwrap().is_empty());
    let error = client.pull(&orders, &group, 0, Duration::ZERO).await.unwrap_err();
    assert!(matches!(error, Error::Misuse(Misuse::Option { option: "messages_max", .. })));
}

#[tokio::test]
async fn options_that_cannot_be_are_refused_before_anything_is_sent() {
    let (node, client, orders) = orders(0).await;
    let name_of = |error: Error| match error {
        Error::Misuse(Misuse::Option { option, .. }) => option,
        other => panic!("{other}"),
    };
    assert_eq!(name_of(client.consumer(&orders).credit(0).build().await.unwrap_err()), "credit");
    let extending = client.consumer(&orders).auto_extend(true);
    assert_eq!(name_of(extending.build().await.unwrap_err()), "auto_extend");
    let hasty = client.consumer(&orders).lease(Duration::ZERO);
    assert_eq!(name_of(hasty.build().await.unwrap_err()), "lease");
    assert_eq!(node.counts().requests, 0);
}

#[tokio::test]
async fn a_message_is_settled_when_nothing_else_is_left_of_the_client() {
    let (node, client, orders) = orders(2).await;
    let group = GroupName::default_group();
    let mut pulled = client.pull(&orders, &group, 2, Duration::ZERO).await.unwrap();
    drop(client);
    let (second, first) = (pulled.pop().unwrap(), pulled.pop().unwrap());
    drop(pulled);
    drop(second.ack());
    node.world().until("the first acknowledgement", |_| (acked(&node, &orders) == 1).then_some(())).await;
    soon("the answer", first.ack()).await.unwrap();
    assert_eq!(acked(&node, &orders), 2);
}

#[tokio::test]
async fn a_message_that_nobody_waits_for_is_settled_when_nothing_else_is_left_of_the_client() {
    let (node, client, orders) = orders(1).await;
    let group = GroupName::default_group();
    let mut pulled = client.pull(&orders, &group, 1, Duration::ZERO).await.unwrap();
    drop(client);
    let only = pulled.pop().unwrap();
    drop(pulled);
    only.ack_later();
    node.world().until("the acknowledgement", |_| (acked(&node, &orders) == 1).then_some(())).await;
}

#[tokio::test]
async fn a_subscription_whose_answer_makes_no_sense_is_ended_and_not_asked_for_again() {
    let (node, client, orders) = orders(3).await;
    node.script(|request| match request {
        Request::Subscribe(_) => Action::Misfit,
        _ => Action::Serve,
    });
    let built = soon("the end of it", client.consumer(&orders).build()).await;
    assert!(matches!(built, Err(Error::Protocol { .. })), "{built:?}");
    node.until("the node is told", |counts| counts.unsubscribes == 1).await;
    assert_eq!(node.counts().subscribes, 1);
}
