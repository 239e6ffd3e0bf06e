//! A consumer that takes credit and never reads.

use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use bytes::BytesMut;
use swarmmq::protocol::native::{Credential, Frame, Hello, VERSION, decode_frame, encode_frame};
use swarmmq::protocol::request::Subscribe;
use swarmmq::protocol::{Request, Response};
use swarmmq::{Client, DestinationName, GroupName, Message};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// What waits for it: far more than the node may keep for one connection.
const MESSAGES: usize = 8_192;
const PAYLOAD_BYTES: usize = 16 * 1024;
const CREDIT: u32 = 1_000_000;
const FRAME_BYTES_MAX: usize = 64 << 20;
/// The subscription's correlation.
const SUBSCRIPTION: u64 = 7;
const ANSWER_MAX: Duration = Duration::from_secs(10);

/// The connection. It stands until dropped.
#[derive(Debug)]
pub(super) struct Unread(TcpStream);

impl Unread {
    /// Fills a queue, subscribes to it, and reads no more.
    pub(super) async fn start(address: &str) -> Result<Self> {
        let queue = DestinationName::new("chaos.unread")?;
        let client = Client::connect(address).await?;
        let producer = client.producer(&queue).build();
        for _ in 0..MESSAGES {
            drop(producer.enqueue(Message::new(vec![b'u'; PAYLOAD_BYTES])).await?);
        }
        producer.flush().await?;

        let mut stream = TcpStream::connect(address).await?;
        let hello = Hello {
            version_min: VERSION,
            version_max: VERSION,
            client: "chaos".into(),
            credential: Credential::None,
        };
        let subscribe =
            Subscribe { destination: queue, group: GroupName::default_group(), credit: CREDIT, lease_ms: 0 };
        write(&mut stream, 0, &Frame::Hello(hello)).await?;
        write(&mut stream, SUBSCRIPTION, &Frame::Request(Request::Subscribe(subscribe))).await?;
        tokio::time::timeout(ANSWER_MAX, until_subscribed(&mut stream))
            .await
            .context("no subscription")??;
        Ok(Self(stream))
    }

    /// That it was really flooded: deliveries wait in its socket.
    pub(super) fn check(&self) -> Result<()> {
        let mut buffer = [0; 64 * 1024];
        let waiting = self.0.try_read(&mut buffer).context("nothing was sent to who does not read")?;
        ensure!(waiting == buffer.len(), "only {waiting} bytes were sent to who does not read");
        Ok(())
    }
}

async fn write(stream: &mut TcpStream, correlation: u64, frame: &Frame) -> Result<()> {
    let mut bytes = BytesMut::new();
    encode_frame(correlation, frame, &mut bytes);
    Ok(stream.write_all(&bytes).await?)
}

/// Reads up to the answer to the subscription.
async fn until_subscribed(stream: &mut TcpStream) -> Result<()> {
    let mut buffer = BytesMut::new();
    loop {
        while let Some((_, frame)) = decode_frame(&mut buffer, FRAME_BYTES_MAX)? {
            match frame {
                Frame::Reply(Response::Subscribed) | Frame::Delivery(_) => return Ok(()),
                Frame::Welcome(_) => {}
                other => bail!("the node answers {other:?}"),
            }
        }
        ensure!(stream.read_buf(&mut buffer).await? > 0, "the node has closed the connection");
    }
}
