//! Members of etcd that take a request and then say nothing, or not all.

use std::time::Duration;

use swarmmq::discovery::{Discovery, DiscoveryError, EtcdDiscovery, EtcdOptions};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::within;

/// Somebody who takes requests and answers with these bytes, and keeps the connection. Tells of each that was taken.
async fn member(answer: &'static [u8]) -> (String, tokio::sync::mpsc::UnboundedReceiver<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    let (told, taken) = tokio::sync::mpsc::unbounded_channel();
    tokio::spawn(async move {
        let mut kept = Vec::new();
        while let Ok((mut stream, _)) = listener.accept().await {
            let _ = stream.read(&mut [0; 1024]).await;
            let _ = told.send(());
            let _ = stream.write_all(answer).await;
            kept.push(stream);
        }
    });
    (endpoint, taken)
}

#[tokio::test]
async fn a_member_that_dies_in_the_middle_of_its_answer_is_not_waited_for_without_end() {
    let (endpoint, _taken) = member(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{\"header\"").await;
    let options = EtcdOptions::default().endpoint(&endpoint).request_timeout(Duration::from_millis(200));
    let asked = EtcdDiscovery::new(&options).unwrap();
    assert!(matches!(within("an end", asked.list(None)).await, Err(DiscoveryError::Away(_))));
}

#[tokio::test]
async fn whoever_has_little_patience_comes_to_the_next_member_all_the_same() {
    let ((silent, mut first), (other, mut second)) = (member(b"").await, member(b"").await);
    let options = EtcdOptions::default().endpoint(&silent).endpoint(&other);
    let registry = EtcdDiscovery::new(&options.request_timeout(Duration::from_secs(60))).unwrap();
    for asked in [&mut first, &mut second] {
        tokio::select! {
            _ = registry.list(None) => panic!("nobody answers"),
            taken = within("it is asked", asked.recv()) => assert!(taken.is_some()),
        }
    }
}
