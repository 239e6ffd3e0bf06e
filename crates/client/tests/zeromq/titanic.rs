//! Requests that are stored.

use std::time::Duration;

use bytes::Bytes;
use swarmmq::zeromq::{
    MdpVersion, OmqConnector, RequestError, RequestOptions, ServiceName, TitanicClient, TitanicError,
};

use crate::peer::{Frames, Peer, frames, to};
use crate::{PATIENCE, soon};

const ID: &str = "0123456789ABCDEF0123456789abcdef";

/// Answers one question of each of the services, in order, and says what they were.
async fn answer(broker: Peer, answers: &[(&str, &[&str])]) -> Vec<Frames> {
    let mut questions = Vec::new();
    for (service, answer) in answers {
        let question = broker.recv("a question").await;
        assert_eq!(question[1..4], frames(&[b"", b"MDPC01", service.as_bytes()]));
        let mut reply = question[..4].to_vec();
        reply.extend(answer.iter().map(|frame| Bytes::from(frame.to_string())));
        broker.send(reply).await;
        questions.push(question[4..].to_vec());
    }
    questions
}

fn client(broker: &Peer, timeout: Duration) -> TitanicClient<OmqConnector> {
    let connector = OmqConnector::dealer([broker.address()]).unwrap();
    let options = RequestOptions::default().timeout(timeout).attempts(1);
    let pauses = (Duration::from_millis(1), Duration::from_millis(10));
    TitanicClient::new(connector, MdpVersion::V01, options).unwrap().pauses(pauses.0, pauses.1)
}

#[tokio::test]
async fn a_request_is_stored_waited_for_and_closed() {
    let broker = Peer::router().await;
    let mut client = client(&broker, PATIENCE);
    let answering = tokio::spawn(async move {
        answer(
            broker,
            &[
                ("titanic.request", &["200", ID]),
                ("titanic.reply", &["300"]),
                ("titanic.reply", &["500 the disk is full"]),
                ("titanic.reply", &["200", "b", ""]),
                ("titanic.close", &["200 OK"]),
            ],
        )
        .await
    });
    let echo = ServiceName::new("echo").unwrap();
    let id = soon("an id", client.store(&echo, ["a"])).await.unwrap();
    assert_eq!(id.to_string(), ID);
    let reply = soon("the reply", client.wait(id, PATIENCE)).await.unwrap();
    assert_eq!(reply, frames(&[b"b", b""]));
    soon("the end", client.close(id)).await.unwrap();
    let questions = soon("all questions", answering).await.unwrap();
    let id = ID.as_bytes();
    let expected = [frames(&[b"echo", b"a"]), frames(&[id]), frames(&[id]), frames(&[id]), frames(&[id])];
    assert_eq!(questions, expected);
}

#[tokio::test]
async fn what_titanic_refuses_or_is_none_of_its_answers_is_an_error_of_its_own() {
    let broker = Peer::router().await;
    let mut client = client(&broker, PATIENCE);
    let answering = tokio::spawn(async move {
        answer(
            broker,
            &[
                ("titanic.request", &["500"]),
                ("titanic.request", &["200", "../../etc/passwd"]),
                ("titanic.request", &["200", ID]),
                ("titanic.reply", &["400"]),
                ("titanic.reply", &["301"]),
                ("titanic.reply", &["300"]),
                ("titanic.close", &["400"]),
            ],
        )
        .await
    });
    let echo = ServiceName::new("echo").unwrap();
    let run = async {
        assert_eq!(client.store(&echo, ["a"]).await, Err(TitanicError::Unavailable));
        assert!(matches!(client.store(&echo, ["a"]).await, Err(TitanicError::Malformed(_))));
        let id = client.store(&echo, ["a"]).await.unwrap();
        assert_eq!(client.wait(id, PATIENCE).await, Err(TitanicError::Unknown));
        assert!(matches!(client.retrieve(id).await, Err(TitanicError::Malformed(_))));
        assert_eq!(client.retrieve(id).await, Ok(None));
        assert_eq!(client.close(id).await, Err(TitanicError::Unknown));
        let nothing = client.store(&echo, Vec::<&str>::new()).await;
        assert_eq!(nothing, Err(TitanicError::Request(RequestError::EmptyRequest)));
    };
    soon("all answers", run).await;
    soon("all questions", answering).await.unwrap();
}

#[tokio::test]
async fn a_wait_outlives_a_titanic_that_does_not_answer_up_to_its_limit() {
    let broker = Peer::router().await;
    let mut client = client(&broker, Duration::from_millis(100));
    let id = ID.parse().unwrap();
    let waiting = tokio::spawn(async move {
        let reply = client.wait(id, PATIENCE).await;
        (client, reply)
    });
    broker.recv("a question that is not answered").await;
    let question = broker.recv("the next").await;
    broker.send(to(&question[0], &[b"", b"MDPC01", b"titanic.reply", b"200", b"b"])).await;
    let (mut client, reply) = soon("the reply", waiting).await.unwrap();
    assert_eq!(reply, Ok(frames(&[b"b"])));
    let late = soon("the limit", client.wait(id, Duration::from_millis(150))).await;
    assert!(matches!(late, Err(TitanicError::NotYet { waited_ms: 150.. })), "{late:?}");
}
