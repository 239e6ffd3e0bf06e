//! Producers: once each, in order, whatever happens to the connection.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use swarmmq::{Client, DestinationName, Error, ErrorCode, Message, Producer, Stored};
use swarmmq_protocol::Request;

use crate::node::{Action, Manners, Node, World};
use crate::{PATIENCE, connect, destination, number_of, numbered, options, soon};

async fn orders() -> (Node, Client, DestinationName) {
    let node = Node::start().await;
    let orders = destination("orders");
    node.world().fill(&orders, std::iter::empty());
    let client = connect(&node).await;
    (node, client, orders)
}

/// Sends numbers and gives their outcomes, all confirmations waited for together.
async fn send_all(producer: &Producer, numbers: std::ops::Range<u64>) -> Vec<Result<Stored, Error>> {
    let mut confirmations = Vec::new();
    for number in numbers {
        confirmations.push(soon("room", producer.enqueue(numbered(number))).await.unwrap());
    }
    let mut outcomes = Vec::new();
    for confirmation in confirmations {
        outcomes.push(soon("a confirmation", confirmation).await);
    }
    outcomes
}

fn stored(node: &Node, name: &DestinationName) -> Vec<u64> {
    node.world().messages(name).iter().map(number_of).collect()
}

#[tokio::test]
async fn a_message_is_stored_and_confirmed_with_its_sequence() {
    let (node, client, orders) = orders().await;
    let producer = client.producer(&orders).build();
    let first = producer.send(numbered(1)).await.unwrap();
    let second = producer.send(numbered(2)).await.unwrap();
    assert_eq!((first.sequence.0, first.duplicate), (1, false));
    assert_eq!((second.sequence.0, second.duplicate), (2, false));
    assert_eq!(stored(&node, &orders), [1, 2]);
}

#[tokio::test]
async fn queued_messages_travel_together() {
    let (node, client, orders) = orders().await;
    let producer = client.producer(&orders).build();
    let confirmations: Vec<_> = (0..500).map(|number| producer.send(numbered(number))).collect();
    for confirmation in confirmations {
        soon("a confirmation", confirmation).await.unwrap();
    }
    assert_eq!(stored(&node, &orders), (0..500).collect::<Vec<_>>());
    assert!(node.counts().puts <= 5, "{} puts for 500 messages", node.counts().puts);
}

#[tokio::test]
async fn a_cut_between_storing_and_answering_stores_nothing_twice() {
    let (node, client, orders) = orders().await;
    let producer = client.producer(&orders).build();
    let mut puts = 0;
    node.script(move |request| match request {
        Request::Put(_) => {
            puts += 1;
            if puts % 3 == 1 { Action::ServeAndCut } else { Action::Serve }
        }
        _ => Action::Serve,
    });
    for number in 0..20 {
        soon("the confirmation", producer.send(numbered(number))).await.unwrap();
    }
    assert_eq!(stored(&node, &orders), (0..20).collect::<Vec<_>>());
    assert!(client.statistics().connections > 5);
}
