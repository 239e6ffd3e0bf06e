//! A client that sends what a test says, well formed or not.

use bytes::{Bytes, BytesMut};
use swarmmq_protocol::limits::FRAME_BYTES_MAX;
use swarmmq_protocol::native::{Credential, Frame, Hello, VERSION, Welcome, decode_frame, encode_frame};
use swarmmq_protocol::request::{Pull, Put, Subscribe};
use swarmmq_protocol::response::{Delivery, Response};
use swarmmq_protocol::{
    DestinationName, EncodedMessage, ErrorCode, ErrorReply, GroupName, Message, Receipt, Request, Sequence,
};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

pub(crate) struct Client<S> {
    pub(crate) stream: S,
    buffer: BytesMut,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Client<S> {
    pub(crate) fn new(stream: S) -> Self {
        Self { stream, buffer: BytesMut::new() }
    }

    /// Connects and is welcome.
    pub(crate) async fn welcome(stream: S) -> (Self, Welcome) {
        let mut client = Self::new(stream);
        client.send(0, Frame::Hello(hello())).await;
        match client.receive().await {
            Some((0, Frame::Welcome(welcome))) => (client, welcome),
            other => panic!("not welcome: {other:?}"),
        }
    }

    pub(crate) async fn send(&mut self, correlation: u64, frame: Frame) {
        self.send_bytes(&encoded(correlation, &frame)).await;
    }

    pub(crate) async fn send_bytes(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).await.unwrap();
        self.stream.flush().await.unwrap();
    }

    pub(crate) async fn request(&mut self, correlation: u64, request: Request) {
        self.send(correlation, Frame::Request(request)).await;
    }

    /// The next frame; none where the node has closed the connection.
    pub(crate) async fn receive(&mut self) -> Option<(u64, Frame)> {
        loop {
            if let Some(frame) = decode_frame(&mut self.buffer, FRAME_BYTES_MAX).unwrap() {
                return Some(frame);
            }
            match self.stream.read_buf(&mut self.buffer).await {
                Ok(0) | Err(_) => return None,
                Ok(_) => {}
            }
        }
    }

    pub(crate) async fn reply(&mut self) -> (u64, Response) {
        match self.receive().await {
            Some((correlation, Frame::Reply(response))) => (correlation, response),
            other => panic!("not a reply: {other:?}"),
        }
    }

    /// The error that answers the request with this correlation id.
    pub(crate) async fn error(&mut self, correlation: u64) -> ErrorReply {
        match self.reply().await {
            (found, Response::Error(error)) if found == correlation => error,
            other => panic!("not an error to {correlation}: {other:?}"),
        }
    }

    /// The Goodbye that must come, and the end behind it.
    pub(crate) async fn goodbye(&mut self) -> ErrorReply {
        match self.receive().await {
            Some((0, Frame::Goodbye(error))) => {
                assert!(self.receive().await.is_none(), "nothing comes behind a Goodbye");
                error
            }
            other => panic!("not a Goodbye: {other:?}"),
        }
    }
}

pub(crate) fn encoded(correlation: u64, frame: &Frame) -> BytesMut {
    let mut out = BytesMut::new();
    encode_frame(correlation, frame, &mut out);
    out
}

pub(crate) fn hello() -> Hello {
    Hello { version_min: VERSION, version_max: VERSION, client: "test".into(), credential: Credential::None }
}

pub(crate) fn hello_with(key: &str) -> Frame {
    let credential = Credential::ApiKey(Bytes::copy_from_slice(key.as_bytes()));
    Frame::Hello(Hello { credential, ..hello() })
}

pub(crate) fn destination(name: &str) -> DestinationName {
    DestinationName::new(name).unwrap()
}

pub(crate) fn message(bytes: usize) -> EncodedMessage {
    Message::new(vec![7; bytes - 20]).encode().unwrap()
}

pub(crate) fn put(bytes: usize) -> Request {
    let messages = vec![message(bytes)];
    Request::Put(Put { destination: destination("a"), stamp: None, expected_last: None, messages })
}

pub(crate) fn pull() -> Request {
    Request::Pull(Pull {
        destination: destination("a"),
        group: GroupName::default_group(),
        messages_max: 10,
        wait_ms: 1_000,
        lease_ms: 0,
    })
}

pub(crate) fn subscribe() -> Request {
    Request::Subscribe(Subscribe {
        destination: destination("a"),
        group: GroupName::default_group(),
        credit: 100,
        lease_ms: 0,
    })
}

pub(crate) fn delivery(sequence: u64, bytes: usize) -> Delivery {
    let receipt = Receipt { sequence: Sequence(sequence), token: 1 };
    Delivery { receipt, attempt: 1, stored_ms: 0, message: message(bytes) }
}

pub(crate) fn code(frame: Option<(u64, Frame)>) -> Option<ErrorCode> {
    match frame {
        Some((_, Frame::Goodbye(error))) => Some(error.code),
        _ => None,
    }
}
