//! Requests: a lazy pirate and a client of Majordomo.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use bytes::Bytes;
use omq_tokio::SocketType;
use swarmmq::zeromq::{
    LazyPirateClient, MdpClient, MdpReply, MdpVersion, OmqConnector, RequestError, RequestOptions,
    ServiceName, TitanicClient,
};

use crate::peer::{Peer, frames, to};
use crate::{PATIENCE, soon};

/// Attempts as long as they need to be, and short pauses.
fn options(timeout: Duration) -> RequestOptions {
    RequestOptions::default().timeout(timeout).pauses(Duration::from_millis(1), Duration::from_millis(20))
}

fn lazy_pirate(addresses: &[String], timeout: Duration) -> LazyPirateClient<OmqConnector> {
    LazyPirateClient::new(OmqConnector::dealer(addresses).unwrap(), options(timeout)).unwrap()
}

#[tokio::test]
async fn a_rep_server_answers_a_lazy_pirate() {
    let server = Peer::bind(SocketType::Rep, "tcp://127.0.0.1:0").await;
    let connector = OmqConnector::dealer([server.address()]).unwrap();
    let serving = tokio::spawn(async move {
        for _ in 0..4 {
            let request = server.recv("a request").await;
            server.send([request, frames(&[b"back"])].concat()).await;
        }
        server
    });
    let mut bare = LazyPirateClient::new(connector.clone(), options(PATIENCE)).unwrap();
    let mut with_ids = LazyPirateClient::with_request_ids(connector, options(PATIENCE)).unwrap();
    for _ in 0..2 {
        let reply = soon("a reply", bare.request(["hello"])).await.unwrap();
        assert_eq!(reply, frames(&[b"hello", b"back"]));
        let reply = soon("a reply", with_ids.request(["hello"])).await.unwrap();
        assert_eq!(reply, frames(&[b"hello", b"back"]));
    }
    drop(serving);
}

#[tokio::test]
async fn a_request_that_is_not_answered_is_sent_again_on_a_fresh_socket() {
    let server = Peer::router().await;
    let mut client = lazy_pirate(&[server.address()], Duration::from_millis(300));
    let asking = tokio::spawn(async move { client.request(["hello", ""]).await });
    let first = server.recv("the first attempt").await;
    let second = server.recv("the second attempt").await;
    assert_eq!(first[1..], frames(&[b"", b"hello", b""]));
    assert_eq!(first[1..], second[1..]);
    assert_ne!(first[0], second[0], "the socket is the same");
    // What comes late finds nobody.
    server.send(to(&first[0], &[b"", b"too late"])).await;
    server.send(to(&second[0], &[b"\x02"])).await;
    server.send(to(&second[0], &[b"", b"world"])).await;
    assert_eq!(soon("the reply", asking).await.unwrap().unwrap(), frames(&[b"world"]));
}

#[tokio::test]
async fn a_server_that_is_not_there_is_a_clear_failure_in_bounded_time() {
    let gone = Peer::router().await;
    let address = gone.address();
    gone.close().await;
    let started = Instant::now();
    let mut client = lazy_pirate(&[address], Duration::from_millis(50));
    let failure = soon("a failure", client.request(["hello"])).await.unwrap_err();
    let RequestError::NoReply(no_reply) = failure else { panic!("{failure}") };
    assert_eq!(no_reply.attempts, 3);
    assert!(started.elapsed() >= Duration::from_millis(150));
    let empty = client.request(Vec::<&str>::new()).await;
    assert_eq!(empty, Err(RequestError::EmptyRequest));
}

#[tokio::test]
async fn a_request_goes_to_the_next_address_when_the_first_is_silent() {
    let (silent, lively) = (Peer::router().await, Peer::router().await);
    let mut client = lazy_pirate(&[silent.address(), lively.address()], Duration::from_millis(200));
    let asking = tokio::spawn(async move { client.request(["hello"]).await });
    silent.recv("the first attempt").await;
    let request = lively.recv("the second attempt").await;
    lively.send(to(&request[0], &[b"", b"world"])).await;
    assert_eq!(soon("the reply", asking).await.unwrap().unwrap(), frames(&[b"world"]));
}

#[tokio::test]
async fn the_answer_to_a_request_that_was_dropped_is_not_taken_for_that_of_the_next() {
    let server = Peer::router().await;
    let mut client = lazy_pirate(&[server.address()], PATIENCE);
    let first = tokio::select! {
        reply = client.request(["first"]) => panic!("{reply:?}"),
        first = server.recv("the first request") => first,
    };
    server.send(to(&first[0], &[b"", b"answer to the first"])).await;
    let asking = tokio::spawn(async move { client.request(["second"]).await });
    let second = server.recv("the second request").await;
    server.send(to(&second[0], &[b"", b"answer to the second"])).await;
    assert_eq!(soon("the reply", asking).await.unwrap().unwrap(), frames(&[b"answer to the second"]));
}

#[tokio::test]
async fn request_ids_tell_the_second_answer_to_one_request_from_that_to_the_next() {
    let server = Peer::router().await;
    let connector = OmqConnector::dealer([server.address()]).unwrap();
    let mut client = LazyPirateClient::with_request_ids(connector, options(PATIENCE)).unwrap();
    let asking =
        tokio::spawn(async move { (client.request(["first"]).await, client.request(["second"]).await) });
    let first = server.recv("the first request").await;
    assert_eq!(first.len(), 4);
    let answer = |request: &[Bytes], word: &[u8]| to(&request[0], &[&request[1], b"", word]);
    server.send(answer(&first, b"one")).await;
    let second = server.recv("the second request").await;
    assert_ne!(first[1], second[1]);
    server.send(to(&second[0], &[&first[1], b"", b"one again"])).await;
    server.send(answer(&second, b"two")).await;
    let (one, two) = soon("the replies", asking).await.unwrap();
    assert_eq!((one.unwrap(), two.unwrap()), (frames(&[b"one"]), frames(&[b"two"])));
}

#[tokio::test]
async fn services_are_asked_in_both_versions() {
    let broker = Peer::router().await;
    let connector = OmqConnector::dealer([broker.address()]).unwrap();
    let echo = ServiceName::new("echo").unwrap();

    let mut client = MdpClient::new(connector.clone(), MdpVersion::V01, options(PATIENCE)).unwrap();
    assert_eq!(client.next_part().await, Err(RequestError::NotAsked));
    let service = echo.clone();
    let asking = tokio::spawn(async move { client.request(&service, ["a", "b"]).await });
    let request = broker.recv("a request in 0.1").await;
    assert_eq!(request[1..], frames(&[b"", b"MDPC01", b"echo", b"a", b"b"]));
    broker.send(to(&request[0], &[b"", b"MDPC01", b"another", b"not for this"])).await;
    broker.send(to(&request[0], &[b"", b"MDPC01", b"echo", b"c"])).await;
    let reply = soon("the reply", asking).await.unwrap().unwrap();
    assert_eq!(reply, MdpReply { partial: vec![], last: frames(&[b"c"]) });

    let mut client = MdpClient::new(connector, MdpVersion::V02, options(PATIENCE)).unwrap();
    let asking = tokio::spawn(async move { client.request(&echo, ["a"]).await });
    let request = broker.recv("a request in 0.2").await;
    assert_eq!(request[1..], frames(&[b"MDPC02", b"\x01", b"echo", b"a"]));
    for word in [b"1", b"2"] {
        broker.send(to(&request[0], &[b"MDPC02", b"\x02", b"echo", word])).await;
    }
    broker.send(to(&request[0], &[b"MDPC02", b"\x03", b"echo", b"3"])).await;
    let reply = soon("the reply", asking).await.unwrap().unwrap();
    assert_eq!(reply, MdpReply { partial: vec![frames(&[b"1"]), frames(&[b"2"])], last: frames(&[b"3"]) });
}

#[tokio::test]
async fn all_attempts_of_a_deduplicated_request_have_one_id_and_the_next_has_another() {
    let broker = Peer::router().await;
    let connector = OmqConnector::dealer([broker.address()]).unwrap();
    let options = options(Duration::from_millis(50)).attempts(1000).deduplicated(true);
    let mut client = MdpClient::new(connector.clone(), MdpVersion::V02, options.clone()).unwrap();
    let (echo, mmi) = (ServiceName::new("echo").unwrap(), ServiceName::new("mmi.service").unwrap());
    let mut asking = tokio::spawn(async move {
        for _ in 0..2 {
            assert_eq!(client.request(&echo, ["work"]).await.unwrap().last, frames(&[b"done"]));
        }
        client.request(&mmi, ["echo"]).await.unwrap();
    });
    let mut attempts: BTreeMap<Bytes, usize> = BTreeMap::new();
    loop {
        let request = tokio::select! {
            request = broker.recv("an attempt") => request,
            asked = &mut asking => break asked.unwrap(),
        };
        let answer = match &request[4..] {
            [id, work] => {
                assert_eq!((&request[3][..], &work[..]), (&b"echo"[..], &b"work"[..]));
                let digits = id.strip_prefix(b"swarmmq-id:").unwrap();
                assert!(digits.len() == 32 && digits.iter().all(u8::is_ascii_hexdigit));
                let made = attempts.entry(id.clone()).or_default();
                *made += 1;
                // The answer may find its socket closed, so that one more attempt is made.
                (*made >= 3).then_some(&b"done"[..])
            }
            plain => {
                let own = (&request[3][..], plain);
                assert_eq!(
                    own,
                    (&b"mmi.service"[..], &frames(&[b"echo"])[..]),
                    "the broker's own take no id"
                );
                Some(&b"200"[..])
            }
        };
        if let Some(answer) = answer {
            broker.send(to(&request[0], &[b"MDPC02", b"\x03", &request[3], answer])).await;
        }
    }
    assert!(attempts.len() == 2 && attempts.values().all(|made| *made >= 3), "{attempts:?}");
    assert!(LazyPirateClient::new(connector.clone(), options.clone()).is_err());
    assert!(TitanicClient::new(connector, MdpVersion::V02, options).is_err());
}

#[tokio::test]
async fn servers_that_want_a_password_or_a_key_are_shown_one() {
    use omq_tokio::{CurveKeypair, Options};
    let (server_keys, keys) = (CurveKeypair::generate(), CurveKeypair::generate());
    let (public, secret) = (server_keys.public.to_z85(), keys.secret.to_z85());
    let wants_a_password = Options::default().plain_server_credentials([("user", "secret")]);
    let wants_a_key = Options::default().curve_server(server_keys);
    for (options, by_password) in [(wants_a_password, true), (wants_a_key, false)] {
        let server = Peer::bind_with(SocketType::Router, "tcp://127.0.0.1:0", options).await;
        let connector = OmqConnector::dealer([server.address()]).unwrap();
        let stranger = LazyPirateClient::new(connector.clone(), self::options(Duration::from_millis(50)));
        assert!(matches!(stranger.unwrap().request(["hello"]).await, Err(RequestError::NoReply(_))));
        let connector =
            if by_password { connector.plain("user", "secret") } else { connector.curve(&public, &secret) };
        let connector = connector.unwrap();
        assert!(!format!("{connector:?}").contains("secret"));
        let mut client = LazyPirateClient::new(connector, self::options(PATIENCE)).unwrap();
        let asking = tokio::spawn(async move { client.request(["hello"]).await });
        let request = server.recv("a request").await;
        server.send(to(&request[0], &[b"", b"world"])).await;
        assert_eq!(soon("the reply", asking).await.unwrap().unwrap(), frames(&[b"world"]));
    }
    let connector = OmqConnector::dealer(["tcp://127.0.0.1:1"]).unwrap();
    assert!(connector.clone().plain("user name", "").is_err());
    assert!(connector.clone().plain(&"x".repeat(256), "").is_err());
    let error = connector.curve(&public, "hunter2").unwrap_err();
    assert_eq!(
        error.to_string(),
        "the socket cannot be used like this: the secret key is not 40 characters of Z85"
    );
}
