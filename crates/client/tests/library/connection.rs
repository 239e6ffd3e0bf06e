//! The connection: made, refused, lost, silent, and made again.

use std::time::Duration;

use swarmmq::{Client, Error, ErrorCode};
use tokio::net::TcpListener;

use crate::node::{Action, Manners, Node, World};
use crate::{connect, destination, numbered, options, soon};

#[tokio::test]
async fn a_client_is_welcomed_and_says_goodbye() {
    let node = Node::start().await;
    let client = connect(&node).await;
    let welcome = client.welcome().unwrap();
    assert_eq!((welcome.node.as_str(), welcome.cluster.as_str()), ("n1", "test"));
    soon("the close", client.close()).await;
    assert!(client.welcome().is_none());
    let error = client.list_destinations("", None, 10).await.unwrap_err();
    assert!(matches!(error, Error::Closed), "{error}");
}

#[tokio::test]
async fn a_wrong_api_key_is_an_error_that_says_so() {
    let manners = Manners { api_key: Some("right"), ..Manners::default() };
    let node = Node::start_with(World::new(), manners).await;
    soon("a connection", options(&node).api_key("right").connect()).await.unwrap();
    for wrong in [options(&node).api_key("wrong"), options(&node)] {
        let error = soon("the refusal", wrong.connect()).await.unwrap_err();
        assert!(matches!(&error, Error::HandshakeRefused(_)), "{error}");
        assert_eq!(error.code(), Some(ErrorCode::Unauthenticated));
        assert!(!error.is_retryable());
        assert!(error.to_string().contains("API key"), "{error}");
    }
}

#[tokio::test]
async fn a_port_where_nobody_listens_is_an_error_that_names_it() {
    let node = Node::start().await;
    let address = node.address();
    node.stop();
    drop(node);
    let error = soon("the error", Client::connect(address.clone())).await.unwrap_err();
    assert!(error.is_retryable());
    assert!(error.to_string().contains(&address), "{error}");
}

#[tokio::test]
async fn a_node_that_accepts_and_says_nothing_is_given_up() {
    let manners = Manners { is_mute: true, ..Manners::default() };
    let node = Node::start_with(World::new(), manners).await;
    let connecting = options(&node).connect_timeout(Duration::from_millis(50)).connect();
    let error = soon("the error", connecting).await.unwrap_err();
    assert!(matches!(&error, Error::Connect { .. }), "{error}");
}

#[tokio::test]
async fn something_else_on_the_port_is_recognised() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    tokio::spawn(async move {
        use tokio::io::AsyncWriteExt;
        let (mut stream, _) = listener.accept().await.unwrap();
        stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await.unwrap();
        std::future::pending::<()>().await;
    });
    let error = soon("the error", Client::connect(address)).await.unwrap_err();
    assert!(matches!(&error, Error::Protocol { .. }), "{error}");
}

#[tokio::test]
async fn the_next_address_is_tried_where_one_is_dead() {
    let dead = Node::start().await;
    let address = dead.address();
    dead.stop();
    let node = Node::start().await;
    let client = Client::builder().address(address).address(node.address()).connect();
    let client = soon("a connection", client).await.unwrap();
    assert!(client.list_destinations("", None, 10).await.unwrap().is_empty());
}

#[tokio::test]
async fn a_lost_connection_is_made_again_and_requests_wait_for_it() {
    let node = Node::start().await;
    let client = connect(&node).await;
    for round in 2..6 {
        node.cut();
        soon("the answer", client.list_destinations("", None, 10)).await.unwrap();
        node.until("a connection", |counts| counts.connections >= round).await;
    }
    assert!(client.statistics().connections >= 5);
}

#[tokio::test]
async fn a_half_open_connection_is_noticed_and_replaced() {
    let node = Node::start().await;
    node.manners(|manners| manners.is_half_open = true);
    let client = options(&node).keep_alive(Duration::from_millis(30)).connect();
    let client = soon("a connection", client).await.unwrap();
    node.manners(|manners| manners.is_half_open = false);
    soon("the answer", client.list_destinations("", None, 10)).await.unwrap();
    assert!(client.statistics().connections >= 2);
}

#[tokio::test]
async fn an_idle_connection_is_kept_alive_as_often_as_the_node_wants() {
    let manners = Manners { idle_ms: 60, ..Manners::default() };
    let node = Node::start_with(World::new(), manners).await;
    let client = connect(&node).await;
    node.until("pings", |counts| counts.pings >= 5).await;
    assert_eq!(client.statistics().connections, 1);
}

#[tokio::test(start_paused = true)]
async fn reconnecting_does_not_spin_where_nobody_listens() {
    let node = Node::start().await;
    let client = Client::connect(node.address()).await.unwrap();
    node.stop();
    tokio::time::sleep(Duration::from_secs(100)).await; // sleep: virtual, the pauses are what is tested
    let failed = client.statistics().failed_attempts;
    assert!((10..100).contains(&failed), "{failed} attempts in 100 s");
}

#[tokio::test(start_paused = true)]
async fn reconnecting_does_not_spin_where_a_node_welcomes_and_hangs_up() {
    let node = Node::start().await;
    let client = Client::connect(node.address()).await.unwrap();
    node.manners(|manners| manners.hangs_up = true);
    node.cut();
    tokio::time::sleep(Duration::from_secs(100)).await; // sleep: virtual, the pauses are what is tested
    let connections = client.statistics().connections;
    assert!((10..100).contains(&connections), "{connections} connections in 100 s");
}

#[tokio::test]
async fn a_request_waits_no_longer_than_its_time_and_says_what_is_wrong() {
    let node = Node::start().await;
    let client = options(&node).request_timeout(Duration::from_millis(150)).connect().await.unwrap();
    node.stop();
    let error = soon("the error", client.list_destinations("", None, 10)).await.unwrap_err();
    assert!(matches!(&error, Error::TimedOut { last: Some(_), .. }), "{error}");
    assert!(error.to_string().contains("the last try"), "{error}");
}

#[tokio::test]
async fn a_key_that_is_withdrawn_is_told_to_those_who_wait() {
    let manners = Manners { api_key: Some("old"), ..Manners::default() };
    let node = Node::start_with(World::new(), manners).await;
    let options = options(&node).api_key("old").request_timeout(Duration::from_millis(150));
    let client = options.connect().await.unwrap();
    node.manners(|manners| manners.api_key = Some("new"));
    node.cut();
    let error = soon("the error", client.list_destinations("", None, 10)).await.unwrap_err();
    assert_eq!(error.code(), Some(ErrorCode::Unauthenticated), "{error}");
    node.manners(|manners| manners.api_key = Some("old"));
    let mut tries = 0;
    while client.list_destinations("", None, 10).await.is_err() {
        tries += 1;
        assert!(tries < 100, "it comes back by itself");
    }
}

#[tokio::test]
async fn requests_wait_for_their_turn_and_none_is_lost() {
    let node = Node::start().await;
    let client = options(&node).requests_max(2).connect().await.unwrap();
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..50 {
        let client = client.clone();
        tasks.spawn(async move { client.list_destinations("", None, 10).await });
    }
    while let Some(result) = soon("an answer", tasks.join_next()).await {
        result.unwrap().unwrap();
    }
    assert!(node.counts().in_flight <= 2, "{}", node.counts().in_flight);
}

#[tokio::test]
async fn a_client_whose_clones_are_gone_closes_its_connection() {
    let node = Node::start().await;
    let client = connect(&node).await;
    let producer = client.producer(&destination("orders")).build();
    drop(client);
    node.world().fill(&destination("orders"), std::iter::empty());
    soon("the confirmation", producer.send(numbered(1))).await.unwrap();
    drop(producer);
    node.until("the goodbye", |counts| counts.goodbyes == 1).await;
}

#[tokio::test]
async fn a_request_whose_caller_has_gone_is_taken_back() {
    let node = Node::start().await;
    let client = connect(&node).await;
    node.stop();
    let orders = destination("orders");
    let given_up = client.purge_destination(&orders);
    assert!(tokio::time::timeout(Duration::from_millis(20), given_up).await.is_err());
    let port = node.port();
    drop(node);
    let node = Node::start_on(port).await;
    soon("the answer", client.list_destinations("", None, 10)).await.unwrap();
    assert_eq!(node.counts().requests, 1, "only the second");
}

#[tokio::test]
async fn a_request_is_repeated_as_the_error_asks() {
    let node = Node::start().await;
    let client = connect(&node).await;
    let mut tries = 0;
    node.script(move |_| {
        tries += 1;
        if tries < 4 { Action::refuse(ErrorCode::Unavailable) } else { Action::Serve }
    });
    soon("the answer", client.list_destinations("", None, 10)).await.unwrap();
    assert_eq!(node.counts().requests, 4);
    node.script(|_| Action::refuse(ErrorCode::Forbidden));
    let error = client.list_destinations("", None, 10).await.unwrap_err();
    assert_eq!(error.code(), Some(ErrorCode::Forbidden));
    assert_eq!(node.counts().requests, 5);
}
