//! The bytes of version 1, frame by frame. They never change: who has written them can be read.

use bytes::{Bytes, BytesMut};
use swarmmq_protocol::info::{DestinationInfo, GroupInfo};
use swarmmq_protocol::limits::FRAME_BYTES_MAX;
use swarmmq_protocol::native::{Credential, Frame, Hello, Welcome, decode_frame, encode_frame};
use swarmmq_protocol::request::{Pull, Put, Request, Settle, Subscribe, Verdict};
use swarmmq_protocol::response::{Delivery, PutOutcome, PutReply, PutRun, SettleOutcome, SettleReply};
use swarmmq_protocol::service::{
    Health, Instance, InstanceKey, RegistryCursor, ServiceChange, ServiceNews, ServicesReply, Watch,
};
use swarmmq_protocol::settings::{Condition, DestinationSettings, GroupSettings, Position};
use swarmmq_protocol::{
    DestinationName, EncodedMessage, ErrorCode, ErrorReply, GroupName, InstanceId, Message, MessageId,
    ProducerId, ProducerStamp, Receipt, Response, Sequence, ServiceType,
};

const FIXTURES: &str = include_str!("version-1.txt");

fn orders() -> DestinationName {
    DestinationName::new("orders").unwrap()
}

fn billing() -> GroupName {
    GroupName::new("billing").unwrap()
}

fn plain() -> EncodedMessage {
    Message::new("hello").encode().unwrap()
}

fn full() -> EncodedMessage {
    let mut message = Message::new(vec![0xff, 0x00])
        .id(MessageId(0x0123_4567_89ab_cdef_0011_2233_4455_6677))
        .priority(9)
        .ttl_ms(60_000)
        .delay_ms(250)
        .key("k")
        .correlation("c")
        .reply_to(DestinationName::new("replies").unwrap())
        .header("content-type", "text/plain");
    message.timestamp_ms = Some(1_700_000_000_000);
    message.producer = Some("till-4".into());
    message.encode().unwrap()
}

fn receipt() -> Receipt {
    Receipt { sequence: Sequence(42), token: 0xfeed }
}

fn error() -> ErrorReply {
    let mut error = ErrorReply::new(ErrorCode::NotLeader, "node-2 leads shard 3");
    error.leader = Some("node-2:4070".into());
    error
}

fn group_settings() -> GroupSettings {
    let mut settings = GroupSettings::default();
    settings.start = Position::Sequence(7);
    settings.deliveries_max = 5;
    settings.dead_letter = Some(DestinationName::new("dead").unwrap());
    settings.filter = vec![
        Condition::KeyIs(Bytes::from_static(b"k")),
        Condition::KeyStartsWith(Bytes::from_static(b"p")),
        Condition::HeaderIs("kind".into(), Bytes::from_static(b"order")),
        Condition::PriorityAtLeast(8),
    ];
    settings
}

fn info() -> DestinationInfo {
    let mut info = DestinationInfo::new(orders(), DestinationSettings::stream(), 3);
    (info.first, info.last, info.messages, info.bytes) = (1, 9, 9, 900);
    info.groups = vec![GroupInfo::new(billing(), GroupSettings::default())];
    info
}

fn requests() -> Vec<(&'static str, Request)> {
    let (destination, group) = (orders(), billing());
    let settle = |verdict| {
        let (destination, group, receipts) = (orders(), billing(), vec![receipt()]);
        Request::Settle(Settle { destination, group, verdict, receipts })
    };
    let stamp = ProducerStamp { producer: ProducerId(0xabcd), epoch: 1, sequence: 2 };
    let messages = vec![plain(), full()];
    vec![
        (
            "put",
            Request::Put(Put {
                destination: destination.clone(),
                stamp: Some(stamp),
                expected_last: Some(41),
                messages,
            }),
        ),
        (
            "put-plain",
            Request::Put(Put {
                destination: destination.clone(),
                stamp: None,
                expected_last: None,
                messages: vec![plain()],
            }),
        ),
        (
            "pull",
            Request::Pull(Pull {
                destination: destination.clone(),
                group: group.clone(),
                messages_max: 10,
                wait_ms: 1000,
                lease_ms: 0,
            }),
        ),
        (
            "subscribe",
            Request::Subscribe(Subscribe {
                destination: destination.clone(),
                group: group.clone(),
                credit: 256,
                lease_ms: 5000,
            }),
        ),
        ("unsubscribe", Request::Unsubscribe { subscription: 3 }),
        ("settle-ack", settle(Verdict::Ack)),
        ("settle-nack", settle(Verdict::Nack { delay_ms: 100 })),
        ("settle-extend", settle(Verdict::Extend { lease_ms: 5000 })),
        ("settle-reject", settle(Verdict::Reject { reason: "broken".into() })),
        (
            "create-destination",
            Request::CreateDestination {
                destination: destination.clone(),
                settings: DestinationSettings::queue(),
            },
        ),
        (
            "update-destination",
            Request::UpdateDestination {
                destination: destination.clone(),
                settings: DestinationSettings::stream(),
            },
        ),
        ("delete-destination", Request::DeleteDestination { destination: destination.clone() }),
        ("purge-destination", Request::PurgeDestination { destination: destination.clone() }),
        ("describe-destination", Request::DescribeDestination { destination: destination.clone() }),
        (
            "list-destinations",
            Request::ListDestinations { prefix: "or".into(), after: Some(orders()), limit: 100 },
        ),
        (
            "create-group",
            Request::CreateGroup {
                destination: destination.clone(),
                group: group.clone(),
                settings: group_settings(),
            },
        ),
        (
            "update-group",
            Request::UpdateGroup {
                destination: destination.clone(),
                group: group.clone(),
                settings: GroupSettings::default(),
            },
        ),
        ("delete-group", Request::DeleteGroup { destination: destination.clone(), group: group.clone() }),
        (
            "pause-group",
            Request::PauseGroup { destination: destination.clone(), group: group.clone(), paused: true },
        ),
        ("reset-group-latest", Request::ResetGroup { destination, group, to: Position::Latest }),
        (
            "reset-group-time",
            Request::ResetGroup { destination: orders(), group: billing(), to: Position::Time(1000) },
        ),
        ("announce", Request::Announce(instance())),
        ("withdraw", Request::Withdraw(instance().key)),
        (
            "watch",
            Request::Watch(Watch {
                service: Some(instance().key.service),
                after: Some(RegistryCursor { epoch: 0xe0, revision: 12 }),
                wait_ms: 30_000,
            }),
        ),
        ("watch-all", Request::Watch(Watch { service: None, after: None, wait_ms: 0 })),
    ]
}

fn responses() -> Vec<(&'static str, Response)> {
    let run = |count, outcome| PutRun { count, outcome };
    vec![
        ("error", Response::Error(error())),
        ("done", Response::Done { index: 1000 }),
        (
            "put-reply",
            Response::Put(PutReply {
                index: 1000,
                runs: vec![
                    run(2, PutOutcome::Stored(Sequence(42))),
                    run(1, PutOutcome::Duplicate(Sequence(7))),
                    run(1, PutOutcome::Refused(ErrorCode::TooLarge)),
                ],
            }),
        ),
        ("messages", Response::Messages(deliveries())),
        ("no-messages", Response::Messages(Vec::new())),
        ("subscribed", Response::Subscribed),
        (
            "settled",
            Response::Settled(SettleReply {
                index: 1000,
                outcomes: vec![
                    SettleOutcome::Done,
                    SettleOutcome::AlreadySettled,
                    SettleOutcome::Stale,
                    SettleOutcome::Unknown,
                ],
            }),
        ),
        ("destination", Response::Destination(Box::new(info()))),
        ("destinations", Response::Destinations(vec![info()])),
        ("services", services(ServiceNews::All(vec![instance()]))),
        (
            "service-changes",
            services(ServiceNews::Changes(vec![
                ServiceChange::Registered(instance()),
                ServiceChange::Gone(instance().key),
            ])),
        ),
    ]
}

fn instance() -> Instance {
    let key = InstanceKey::new(ServiceType::new("producer").unwrap(), InstanceId::new("node-1").unwrap());
    let mut instance = Instance::new(key, "tcp://node-1:5555").with("zone", "eu").with("rack", "7");
    instance.heartbeat_ms = 1_700_000_000_000;
    instance.health = Health::Unhealthy;
    instance
}

fn services(news: ServiceNews) -> Response {
    Response::Services(ServicesReply { at: RegistryCursor { epoch: 0xe0, revision: 13 }, news })
}

fn deliveries() -> Vec<Delivery> {
    vec![Delivery { receipt: receipt(), attempt: 2, stored_ms: 1_700_000_000_000, message: plain() }]
}

fn frames() -> Vec<(&'static str, u64, Frame)> {
    let hello = |credential| {
        Frame::Hello(Hello { version_min: 1, version_max: 1, client: "till".into(), credential })
    };
    let mut frames = vec![
        ("hello", 0, hello(Credential::None)),
        ("hello-with-key", 0, hello(Credential::ApiKey(Bytes::from_static(b"s3cret")))),
        (
            "welcome",
            0,
            Frame::Welcome(Welcome {
                version: 1,
                node: "node-1".into(),
                cluster: "shop".into(),
                software: "0.1.0".into(),
                message_bytes_max: 1_048_576,
                in_flight_max: 1024,
                idle_ms: 30_000,
                credit_default: 100,
            }),
        ),
        ("credit", 3, Frame::Credit(64)),
        ("ping", 5, Frame::Ping),
        ("pong", 5, Frame::Pong),
        ("goodbye", 0, Frame::Goodbye(ErrorReply::new(ErrorCode::ShuttingDown, "the node stops"))),
        ("delivery", 3, Frame::Delivery(deliveries())),
        ("ended", 3, Frame::Ended(error())),
    ];
    frames.extend(requests().into_iter().map(|(name, request)| (name, 7, Frame::Request(request))));
    frames.extend(responses().into_iter().map(|(name, response)| (name, 7, Frame::Reply(response))));
    frames
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex(text: &str) -> BytesMut {
    let digit = |byte: u8| u8::try_from(char::from(byte).to_digit(16).unwrap()).unwrap();
    let pairs = text.as_bytes().as_chunks::<2>().0;
    pairs.iter().map(|[high, low]| digit(*high) * 16 + digit(*low)).collect()
}

#[test]
fn version_1_is_written_as_it_always_was() {
    let mut written = String::new();
    for (name, correlation, frame) in frames() {
        let mut bytes = BytesMut::new();
        encode_frame(correlation, &frame, &mut bytes);
        written.push_str(&format!("{name} {}\n", hex(&bytes)));
    }
    for (now, before) in written.lines().zip(FIXTURES.lines()) {
        assert_eq!(now, before, "the bytes of a version do not change: a change is a new version");
    }
    assert_eq!(
        written.lines().count(),
        FIXTURES.lines().count(),
        "a new frame needs its fixture:\n{written}"
    );
}

#[test]
fn version_1_is_read_as_it_always_was() {
    for ((name, correlation, frame), line) in frames().into_iter().zip(FIXTURES.lines()) {
        let (fixture, bytes) = line.split_once(' ').unwrap();
        assert_eq!(fixture, name);
        let read = decode_frame(&mut unhex(bytes), FRAME_BYTES_MAX).unwrap().unwrap();
        assert_eq!(read, (correlation, frame), "{name}");
    }
}

#[test]
fn every_error_code_keeps_its_number_and_text() {
    let codes: Vec<_> = ErrorCode::ALL.iter().map(|code| format!("{} {code}", *code as u16)).collect();
    let fixed = "1 MALFORMED, 2 UNSUPPORTED-VERSION, 3 UNAUTHENTICATED, 4 FORBIDDEN, 5 TOO-LARGE, \
        6 UNKNOWN-DESTINATION, 7 UNKNOWN-GROUP, 8 ALREADY-EXISTS, 9 INVALID-NAME, 10 INVALID-SETTINGS, \
        11 DESTINATION-FULL, 12 DISK-FULL, 13 OVERLOADED, 14 NOT-LEADER, 15 UNAVAILABLE, 16 SHUTTING-DOWN, \
        17 FENCED, 18 SEQUENCE-GAP, 19 UNKNOWN-PRODUCER, 20 WRONG-REVISION, 21 STALE-RECEIPT, 22 TIMEOUT, \
        23 LIMIT-REACHED, 24 UNSUPPORTED, 25 INTERNAL";
    assert_eq!(codes.join(", "), fixed);
}
