//! Producers: once each, in order, whatever happens to the connection.

use std::time::Duration;

use swarmmq::{Client, DestinationName, Error, ErrorCode, Message, Producer, Stored};
use swarmmq_protocol::Request;

use crate::node::{Action, Manners, Node, World};
use crate::{connect, destination, number_of, numbered, options, soon};

pub(crate) async fn orders() -> (Node, Client, DestinationName) {
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

fn is_put(request: &Request) -> bool {
    matches!(request, Request::Put(_))
}

/// Does `action` with every put of which `choose` says so, counted from 1.
fn on_puts(node: &Node, action: Action, mut choose: impl FnMut(u64) -> bool + Send + 'static) {
    let mut puts = 0;
    node.script(move |request| {
        puts += u64::from(is_put(request));
        if is_put(request) && choose(puts) { action.clone() } else { Action::Serve }
    });
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
    on_puts(&node, Action::ServeAndCut, |put| put % 3 == 1);
    let mut duplicates = 0;
    for number in 0..20 {
        let stored = soon("the confirmation", producer.send(numbered(number))).await.unwrap();
        assert_eq!(stored.sequence.0, number + 1);
        duplicates += u64::from(stored.duplicate);
    }
    assert_eq!(stored(&node, &orders), (0..20).collect::<Vec<_>>());
    assert!(client.statistics().connections > 5);
    assert!(duplicates > 5, "the node recognised what was sent again");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pipeline_keeps_its_order_across_cuts_and_refusals() {
    let (node, client, orders) = orders().await;
    let producer = client.producer(&orders).messages_in_flight_max(50).build();
    let troubles = [
        Action::ServeAndCut,
        Action::refuse(ErrorCode::Overloaded),
        Action::Cut,
        Action::refuse(ErrorCode::Timeout),
        Action::ServeTwice,
        Action::refuse(ErrorCode::DiskFull),
        Action::refuse(ErrorCode::Unavailable),
    ];
    let mut puts = 0;
    node.script(move |request| {
        if !is_put(request) {
            return Action::Serve;
        }
        puts += 1;
        if puts % 5 == 0 { troubles[(puts / 5) % troubles.len()].clone() } else { Action::Serve }
    });
    let outcomes = send_all(&producer, 0..2000).await;
    for (number, outcome) in outcomes.into_iter().enumerate() {
        assert_eq!(outcome.unwrap().sequence.0, number as u64 + 1);
    }
    assert_eq!(stored(&node, &orders), (0..2000).collect::<Vec<_>>());
}

#[tokio::test]
async fn the_order_is_that_of_the_calls_not_of_the_polls() {
    let (node, client, orders) = orders().await;
    let producer = client.producer(&orders).messages_in_flight_max(2).build();
    let mut sends: Vec<_> = (0..10).map(|number| producer.send(numbered(number))).collect();
    sends.reverse();
    for send in sends {
        soon("a confirmation", send).await.unwrap();
    }
    assert_eq!(stored(&node, &orders), (0..10).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_refused_message_is_reported_and_the_next_go_on() {
    let (node, client, orders) = orders().await;
    let producer = client.producer(&orders).build();
    let bad = producer.enqueue(numbered(1).header("refuse", "yes")).await.unwrap();
    let good = producer.enqueue(numbered(2)).await.unwrap();
    let error = soon("the refusal", bad).await.unwrap_err();
    assert_eq!(error.code(), Some(ErrorCode::Forbidden));
    assert!(!error.is_uncertain());
    assert_eq!(soon("the confirmation", good).await.unwrap().sequence.0, 1);
    producer.send(numbered(3)).await.unwrap();
    assert_eq!(stored(&node, &orders), [2, 3]);
}

#[tokio::test]
async fn a_put_refused_for_good_does_not_stop_the_producer() {
    let (node, client, orders) = orders().await;
    let producer = client.producer(&orders).build();
    producer.send(numbered(0)).await.unwrap();
    on_puts(&node, Action::refuse(ErrorCode::Forbidden), |put| put == 1);
    let error = producer.send(numbered(1)).await.unwrap_err();
    assert_eq!(error.code(), Some(ErrorCode::Forbidden));
    soon("the confirmation", producer.send(numbered(2))).await.unwrap();
    assert_eq!(stored(&node, &orders), [0, 2]);
    assert_eq!(node.world().producer_epochs(&orders), [1], "in a new epoch");
}

#[tokio::test]
async fn a_full_destination_is_reported_unless_it_is_waited_for() {
    let (node, client, orders) = orders().await;
    node.world().limit(Some(3));
    let producer = client.producer(&orders).build();
    let outcomes = send_all(&producer, 0..5).await;
    assert!(outcomes[..3].iter().all(Result::is_ok));
    for outcome in &outcomes[3..] {
        assert_eq!(outcome.as_ref().unwrap_err().code(), Some(ErrorCode::DestinationFull));
    }
    let patient = client.producer(&orders).wait_when_full(true).build();
    let waiting: Vec<_> = (5..8).map(|number| patient.send(numbered(number))).collect();
    let before = node.counts().puts;
    node.until("a second try", |counts| counts.puts >= before + 2).await;
    node.world().limit(None);
    for send in waiting {
        soon("the confirmation", send).await.unwrap();
    }
    assert_eq!(stored(&node, &orders), [0, 1, 2, 5, 6, 7]);
}

#[tokio::test]
async fn a_forgotten_session_is_a_clear_error_only_for_what_may_be_stored() {
    let (node, client, orders) = orders().await;
    let producer = client.producer(&orders).build();
    producer.send(numbered(0)).await.unwrap();
    on_puts(&node, Action::ServeAndCut, |put| put == 1);
    let uncertain = producer.enqueue(numbered(1)).await.unwrap();
    node.until("the put", |counts| counts.puts == 2).await;
    node.world().forget_producers();
    let error = soon("the outcome", uncertain).await.unwrap_err();
    assert!(matches!(error, Error::OutcomeUnknown { .. }), "{error}");
    assert_eq!(error.code(), Some(ErrorCode::UnknownProducer));
    soon("the confirmation", producer.send(numbered(2))).await.unwrap();
    assert_eq!(stored(&node, &orders), [0, 1, 2]);
    node.world().forget_producers();
    soon("the confirmation", producer.send(numbered(3))).await.unwrap();
    assert_eq!(stored(&node, &orders), [0, 1, 2, 3], "what was never in doubt goes on by itself");
}

#[tokio::test]
async fn dropping_a_confirmation_does_not_take_the_message_back() {
    let (node, client, orders) = orders().await;
    let producer = client.producer(&orders).build();
    drop(producer.enqueue(numbered(1)).await.unwrap());
    drop(producer.send(numbered(2)));
    soon("the flush", producer.flush()).await.unwrap();
    assert_eq!(stored(&node, &orders), [1, 2]);
}

#[tokio::test]
async fn dropping_the_wait_for_room_takes_the_message_back() {
    let (node, client, orders) = orders().await;
    let producer = client.producer(&orders).messages_in_flight_max(1).build();
    node.script(|_| Action::Ignore);
    let first = producer.send(numbered(1));
    let second = producer.send(numbered(2));
    let third = producer.send(numbered(3));
    drop(second);
    node.until("the put", |counts| counts.puts == 1).await;
    node.behave();
    node.cut();
    soon("the first", first).await.unwrap();
    soon("the third", third).await.unwrap();
    assert_eq!(stored(&node, &orders), [1, 3]);
}

#[tokio::test]
async fn a_node_that_never_answers_holds_no_more_than_the_window() {
    let (node, client, orders) = orders().await;
    node.script(|_| Action::Ignore);
    let producer = client.producer(&orders).messages_in_flight_max(100).bytes_in_flight_max(20_000).build();
    let big = Message::new(vec![7; 1000]);
    let mut confirmations = Vec::new();
    while let Some(confirmation) = producer.try_enqueue(&big).unwrap() {
        confirmations.push(confirmation);
    }
    assert_eq!(confirmations.len(), 19, "20,000 bytes hold 19 messages of 1,024");
    let small = client.producer(&orders).messages_in_flight_max(100).build();
    let taken = (0..1000).filter(|number| small.try_enqueue(&numbered(*number)).unwrap().is_some()).count();
    assert_eq!(taken, 100);
    let refused = tokio::time::timeout(Duration::from_millis(20), small.enqueue(numbered(0))).await;
    assert!(refused.is_err(), "it waits for room");
}

#[tokio::test]
async fn a_node_that_reads_nothing_is_not_sent_more_than_fits() {
    let (node, client, orders) = orders().await;
    node.script(|request| if is_put(request) { Action::StopReading } else { Action::Serve });
    let producer = client.producer(&orders).bytes_in_flight_max(4 << 20).build();
    let payload = Message::new(vec![1; 100_000]);
    let mut taken = 0;
    while producer.try_enqueue(&payload).unwrap().is_some() {
        taken += 1;
    }
    assert_eq!(taken, 41);
    node.until("the first put", |counts| counts.puts == 1).await;
    node.behave();
    node.cut();
    soon("the flush", producer.flush()).await.unwrap();
    assert_eq!(node.world().messages(&orders).len(), 41);
}

#[tokio::test]
async fn a_message_that_is_too_large_is_not_sent() {
    let manners = Manners { message_bytes_max: 1000, ..Manners::default() };
    let node = Node::start_with(World::new(), manners).await;
    let client = connect(&node).await;
    let producer = client.producer(&destination("orders")).build();
    let error = producer.send(Message::new(vec![0; 1000])).await.unwrap_err();
    assert!(matches!(error, Error::TooLarge { actual: 1020, limit: 1000 }), "{error}");
    let error = producer.send(Message::new("").priority(11)).await.unwrap_err();
    assert!(matches!(error, Error::Misuse(_)), "{error}");
    assert_eq!(node.counts().requests, 0);
}

#[tokio::test]
async fn no_more_requests_are_under_way_than_the_node_allows() {
    let manners = Manners { in_flight_max: 3, ..Manners::default() };
    let node = Node::start_with(World::new(), manners).await;
    node.script(|_| Action::Ignore);
    let client = options(&node).keep_alive(Duration::from_millis(40)).connect().await.unwrap();
    let producers: Vec<_> =
        (0..10).map(|n| client.producer(&destination(&format!("d{n}"))).build()).collect();
    let sends: Vec<_> = producers.iter().map(|producer| producer.send(numbered(1))).collect();
    node.until("three puts", |counts| counts.puts == 3).await;
    let pings = node.counts().pings;
    node.until("a sign that the client had time for more", |counts| counts.pings > pings + 1).await;
    assert_eq!(node.counts().puts, 3);
    drop(sends);
}

#[tokio::test]
async fn a_flush_waits_for_all_and_gives_the_first_failure() {
    let (node, client, orders) = orders().await;
    let producer = client.producer(&orders).messages_in_flight_max(4).build();
    for number in 0..20 {
        let message = numbered(number);
        let message = if number == 7 { message.header("refuse", "yes") } else { message };
        drop(producer.enqueue(message).await.unwrap());
    }
    let error = soon("the flush", producer.flush()).await.unwrap_err();
    assert_eq!(error.code(), Some(ErrorCode::Forbidden));
    assert_eq!(stored(&node, &orders).len(), 19);
    soon("a flush of nothing", producer.flush()).await.unwrap();
    let late = producer.send(numbered(20));
    soon("the close", producer.close()).await.unwrap();
    assert!(late.await.is_ok());
    assert!(matches!(producer.send(numbered(21)).await, Err(Error::Closed)));
}

#[tokio::test]
async fn closing_the_client_tells_the_sent_from_the_unsent() {
    let (node, client, orders) = orders().await;
    node.script(|_| Action::Ignore);
    let producer = client.producer(&orders).messages_in_flight_max(1).build();
    let sent = producer.send(numbered(1));
    let waiting = producer.send(numbered(2));
    node.until("the put", |counts| counts.puts == 1).await;
    soon("the close", client.close()).await;
    assert!(matches!(soon("the outcome", sent).await, Err(Error::OutcomeUnknown { .. })));
    assert!(matches!(soon("the outcome", waiting).await, Err(Error::Closed)));
    assert!(matches!(producer.send(numbered(3)).await, Err(Error::Closed)));
}

#[tokio::test]
async fn a_message_that_cannot_be_sent_in_its_time_is_an_error_that_says_why() {
    let (node, client, orders) = orders().await;
    let producer = client.producer(&orders).timeout(Duration::from_millis(100)).build();
    on_puts(&node, Action::refuse(ErrorCode::Overloaded), |_| true);
    let error = soon("the outcome", producer.send(numbered(1))).await.unwrap_err();
    assert!(matches!(error, Error::TimedOut { .. }), "{error}");
    assert_eq!(error.code(), Some(ErrorCode::Overloaded));
    on_puts(&node, Action::Ignore, |_| true);
    // Long enough for it to be sent, however busy the machine is: one that was not sent is known not to be stored.
    let patient = client.producer(&orders).timeout(Duration::from_secs(3)).build();
    let error = soon("the outcome", patient.send(numbered(2))).await.unwrap_err();
    assert!(matches!(error, Error::OutcomeUnknown { .. }), "{error}");
    node.stop();
    let error = soon("the outcome", producer.send(numbered(3))).await.unwrap_err();
    assert!(error.is_uncertain() || matches!(error, Error::TimedOut { .. }), "{error}");
}

/// In paused time, which goes on only while nothing is to be done: a producer that never rests would stop it for ever.
#[test]
fn a_producer_that_waits_to_try_again_leaves_the_processor_to_others() {
    let (ended, end) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let mut runtime = tokio::runtime::Builder::new_current_thread();
        let runtime = runtime.enable_all().start_paused(true).build().unwrap();
        let puts = runtime.block_on(async {
            let (node, client, orders) = orders().await;
            let producer = client.producer(&orders).build();
            on_puts(&node, Action::refuse(ErrorCode::DiskFull), |_| true);
            let _confirmation = soon("room", producer.enqueue(numbered(1))).await.unwrap();
            // sleep: virtual, the pauses are what is tested
            tokio::time::sleep(Duration::from_secs(5)).await;
            node.counts().puts
        });
        let _ = ended.send(puts);
    });
    let puts = end.recv_timeout(Duration::from_secs(60)).expect("time goes on while it waits");
    assert!((2..500).contains(&puts), "{puts} puts in 5 s");
}

#[tokio::test]
async fn a_producer_follows_the_leader_and_comes_back_when_it_is_gone() {
    let world = World::new();
    let orders = destination("orders");
    world.fill(&orders, std::iter::empty());
    let home = Node::start_with(world.clone(), Manners::default()).await;
    let leader = Node::start_with(world.clone(), Manners::default()).await;
    let client = connect(&home).await;
    let address = leader.address();
    home.script(move |_| Action::redirect(Some(address.clone())));
    let producer = client.producer(&orders).build();
    for number in 0..10 {
        soon("the confirmation", producer.send(numbered(number))).await.unwrap();
    }
    assert_eq!((home.counts().puts, leader.counts().puts), (1, 10), "it stays with the leader");
    leader.stop();
    home.behave();
    for number in 10..20 {
        soon("the confirmation", producer.send(numbered(number))).await.unwrap();
    }
    assert_eq!(stored(&home, &orders), (0..20).collect::<Vec<_>>());
}

#[tokio::test]
async fn nodes_that_send_a_producer_round_in_a_circle_are_asked_with_pauses() {
    let world = World::new();
    let (first, second) = (
        Node::start_with(world.clone(), Manners::default()).await,
        Node::start_with(world.clone(), Manners::default()).await,
    );
    let (to_first, to_second) = (first.address(), second.address());
    first.script(move |_| Action::redirect(Some(to_second.clone())));
    second.script(move |_| Action::redirect(Some(to_first.clone())));
    let client = connect(&first).await;
    let producer = client.producer(&destination("orders")).timeout(Duration::from_millis(300)).build();
    let error = soon("the outcome", producer.send(numbered(1))).await.unwrap_err();
    assert_eq!(error.code(), Some(ErrorCode::NotLeader));
    let asked = first.counts().puts + second.counts().puts;
    assert!((2..60).contains(&asked), "asked {asked} times");
}

#[tokio::test]
async fn a_dropped_producer_still_sends_what_it_took() {
    let (node, client, orders) = orders().await;
    let producer = client.producer(&orders).build();
    let sends: Vec<_> = (0..5).map(|number| producer.send(numbered(number))).collect();
    drop(producer);
    for send in sends {
        soon("the confirmation", send).await.unwrap();
    }
    assert_eq!(stored(&node, &orders).len(), 5);
}

#[tokio::test]
async fn an_answer_that_does_not_fit_is_an_error_and_not_a_success() {
    let (node, client, orders) = orders().await;
    let producer = client.producer(&orders).build();
    node.script(|request| if is_put(request) { Action::Misfit } else { Action::Serve });
    let error = soon("the outcome", producer.send(numbered(1))).await.unwrap_err();
    assert!(error.is_uncertain(), "{error}");
    node.behave();
    soon("the confirmation", producer.send(numbered(2))).await.unwrap();
}
