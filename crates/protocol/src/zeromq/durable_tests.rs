use proptest::prelude::*;

use super::*;
use crate::id::{ProducerId, ProducerStamp, Sequence};
use crate::message::Message;
use crate::response::{Delivery, PutOutcome, PutReply, Response, SettleOutcome, SettleReply};
use crate::zeromq::reply;

fn frames(words: &[&str]) -> Vec<Bytes> {
    words.iter().map(|word| Bytes::copy_from_slice(word.as_bytes())).collect()
}

fn call(words: &[&str]) -> Call {
    let mut all = vec!["", "SWMQ1", "7"];
    all.extend(words);
    parse(&frames(&all)).unwrap().call
}

fn refusal(words: &[&str]) -> ErrorReply {
    let mut all = vec!["", "SWMQ1", "7"];
    all.extend(words);
    parse(&frames(&all)).unwrap_err().error
}

fn path(address: &[&str], correlation: &str) -> ReturnPath {
    ReturnPath { address: frames(address), correlation: Bytes::copy_from_slice(correlation.as_bytes()) }
}

#[test]
fn a_put_typed_by_hand_is_read() {
    let Call::Request(Request::Put(put)) = call(&[
        "PUT",
        "orders",
        "hello",
        "id=01234567-89ab-cdef-0011-223344556677",
        "priority=7",
        "ttl-ms=60000",
        "key=k=v",
        "header:colour=blue",
        "expect-last=0",
    ]) else {
        panic!("not a put")
    };
    assert_eq!(put.destination.as_str(), "orders");
    assert_eq!(put.expected_last, Some(0));
    let message = put.messages[0].decode().unwrap();
    assert_eq!(
        (message.payload.as_ref(), message.priority, message.ttl_ms),
        (&b"hello"[..], 7, Some(60_000))
    );
    assert_eq!(message.key.as_deref(), Some(&b"k=v"[..]), "a value may hold the sign that ends the name");
    assert_eq!(message.header_value("colour").unwrap().as_ref(), b"blue");
}

#[test]
fn the_way_back_is_what_stood_before_the_protocol() {
    for (address, sender) in [
        (&[][..], "a DEALER that sends no delimiter"),
        (&[""][..], "a REQ, or a DEALER that does"),
        (&["\u{1}id", ""][..], "a REQ with request ids, or one behind a proxy"),
        (&["proxy-2", "proxy-1", ""][..], "a REQ behind two proxies"),
    ] {
        let mut words = address.to_vec();
        words.extend(["SWMQ1", "42", "PING"]);
        assert_eq!(
            parse(&frames(&words)).unwrap(),
            Envelope { path: path(address, "42"), call: Call::Ping },
            "{sender}"
        );
    }
}

#[test]
fn a_request_that_cannot_be_read_is_still_answered_to_its_sender() {
    let error = parse(&frames(&["", "SWMQ1", "42", "PUBLISH", "orders"])).unwrap_err();
    assert_eq!(error.path, path(&[""], "42"));
    assert_eq!(error.error.code, ErrorCode::Malformed);
    let error = parse(&frames(&["", "SWMQ2", "42", "PING"])).unwrap_err();
    assert_eq!((error.path, error.error.code), (path(&[""], ""), ErrorCode::UnsupportedVersion));
    let error = parse(&frames(&["", "hello"])).unwrap_err();
    assert_eq!((error.path, error.error.code), (path(&[""], ""), ErrorCode::Malformed));
    assert_eq!(parse(&[]).unwrap_err().error.code, ErrorCode::Malformed);
}

#[test]
fn a_misspelt_or_repeated_option_is_refused_and_named() {
    assert!(refusal(&["PUT", "orders", "x", "dealy-ms=5"]).explanation.contains("dealy-ms"));
    assert!(refusal(&["PUT", "orders", "x", "ttl-ms=5", "ttl-ms=6"]).explanation.contains("twice"));
    assert!(refusal(&["PULL", "orders", "credit=5"]).explanation.contains("credit"), "of another verb");
    assert!(refusal(&["ACK", "orders", "1-2", "delay-ms=5"]).explanation.contains("delay-ms"));
    assert!(
        refusal(&["PUT", "orders", "x", "session=00000000-0000-0000-0000-000000000001"])
            .explanation
            .contains("belong together")
    );
}

#[test]
fn numbers_are_decimal_and_in_range() {
    for bad in ["", "-1", "+1", "0x10", "1.5", " 1", "4294967296", "99999999999999999999999"] {
        let error = refusal(&["PULL", "orders", &format!("wait-ms={bad}")]);
        assert_eq!(error.code, ErrorCode::Malformed, "{bad}");
    }
    assert_eq!(refusal(&["PULL", "orders", "max=0"]).code, ErrorCode::Malformed);
    assert_eq!(refusal(&["PULL", "orders", "max=257"]).code, ErrorCode::Malformed);
    assert_eq!(refusal(&["PUT", "orders", "x", "priority=11"]).code, ErrorCode::Malformed);
}

#[test]
fn names_and_sizes_have_codes_of_their_own() {
    assert_eq!(refusal(&["PUT", "orders/eu", "x"]).code, ErrorCode::InvalidName);
    assert_eq!(
        refusal(&["PUT", "orders", "x", &format!("key={}", "k".repeat(256))]).code,
        ErrorCode::TooLarge
    );
    let mut many = frames(&["", "SWMQ1", "7", "ACK", "orders"]);
    many.resize(FRAMES_MAX + 1, Bytes::from_static(b"1-1"));
    assert_eq!(parse(&many).unwrap_err().error.code, ErrorCode::TooLarge);
    many.truncate(5 + RECEIPTS_MAX);
    assert!(parse(&many).is_ok());
    many.push(Bytes::from_static(b"1-1"));
    assert_eq!(parse(&many).unwrap_err().error.code, ErrorCode::Malformed, "one receipt too many");
    let long = "c".repeat(256);
    let error = parse(&frames(&["SWMQ1", &long, "PING"])).unwrap_err();
    assert_eq!(error.error.code, ErrorCode::TooLarge);
    assert!(error.path.correlation.is_empty(), "what is too long is not sent back");
}

#[test]
fn settlements_take_receipts_and_options_in_any_order() {
    let Call::Request(Request::Settle(settle)) = call(&["NACK", "orders", "12-a", "delay-ms=500", "13-ff"])
    else {
        panic!("not a settlement")
    };
    assert_eq!(settle.verdict, Verdict::Nack { delay_ms: 500 });
    let receipt = |sequence, token| Receipt { sequence: Sequence(sequence), token };
    assert_eq!(settle.receipts, [receipt(12, 10), receipt(13, 255)]);
    for bad in ["12", "-", "12-", "-a", "12-xyz", "12-+a", "+12-a", "12-a-b", "12-11111111111111111"] {
        assert!(refusal(&["ACK", "orders", bad]).explanation.contains("receipt"), "{bad}");
    }
    assert!(refusal(&["ACK", "orders"]).explanation.contains("at least one"));
}

fn shown(frames: &[Bytes]) -> String {
    frames.iter().map(|frame| format!("[{}]", frame.escape_ascii())).collect()
}

#[test]
fn answers_are_what_the_specification_shows() {
    let path = path(&[""], "7");
    let stored = PutReply { index: 90, runs: Vec::new() };
    let put = |outcome| {
        let mut reply = stored.clone();
        reply.push(outcome);
        shown(&reply::encode_response(&path, &Response::Put(reply)))
    };
    assert_eq!(put(PutOutcome::Stored(Sequence(12))), "[][SWMQ1][7][OK][stored][12][90]");
    assert_eq!(put(PutOutcome::Duplicate(Sequence(3))), "[][SWMQ1][7][OK][duplicate][3][90]");
    assert!(
        put(PutOutcome::Refused(ErrorCode::DestinationFull))
            .starts_with("[][SWMQ1][7][ERROR][DESTINATION-FULL][")
    );
    let message = Message::new("hello").priority(7).header("a=b%", "x").encode().unwrap();
    let receipt = Receipt { sequence: Sequence(12), token: 255 };
    let delivery = Delivery { receipt, attempt: 1, stored_ms: 99, message };
    assert_eq!(
        shown(&reply::encode_response(&path, &Response::Messages(vec![delivery.clone()]))),
        "[][SWMQ1][7][OK][12-ff][hello][attempt=1][stored-ms=99][priority=7][header:a%3Db%25=x][]"
    );
    assert_eq!(shown(&reply::encode_response(&path, &Response::Messages(Vec::new()))), "[][SWMQ1][7][OK]");
    assert!(
        shown(&reply::encode_delivery(&path, &[delivery]))
            .starts_with("[][SWMQ1][7][DELIVERY][12-ff][hello][")
    );
    let settled = |outcomes: &[SettleOutcome]| {
        let reply = SettleReply { index: 1, outcomes: outcomes.to_vec() };
        shown(&reply::encode_response(&path, &Response::Settled(reply)))
    };
    assert_eq!(
        settled(&[SettleOutcome::Done, SettleOutcome::AlreadySettled]),
        "[][SWMQ1][7][OK][done][already-settled]"
    );
    let refused = settled(&[SettleOutcome::Done, SettleOutcome::Stale]);
    assert!(refused.starts_with("[][SWMQ1][7][ERROR][STALE-RECEIPT]["), "{refused}");
    assert!(refused.ends_with("[done][stale]"), "{refused}");
}

fn any_bytes(max: usize) -> impl Strategy<Value = Bytes> {
    proptest::collection::vec(any::<u8>(), 0..max).prop_map(Bytes::from)
}

fn any_path() -> impl Strategy<Value = ReturnPath> {
    let ids = proptest::collection::vec(proptest::collection::vec(1..=255_u8, 1..20), 0..4);
    (proptest::option::of(ids), any_bytes(40)).prop_map(|(ids, correlation)| {
        let address =
            ids.map_or_else(Vec::new, |ids| ids.into_iter().map(Bytes::from).chain([Bytes::new()]).collect());
        ReturnPath { address, correlation }
    })
}

fn any_put() -> impl Strategy<Value = Request> {
    let numbers = (any::<Option<u64>>(), any::<Option<u64>>(), any::<Option<u64>>());
    let fields = (proptest::option::of(any_bytes(256)), proptest::option::of(any_bytes(256)));
    let headers = proptest::collection::vec((".{1,20}", any_bytes(40)), 0..6);
    let stamp = proptest::option::of((any::<u128>(), any::<u32>(), 1..u64::MAX));
    (any::<u128>(), 1_u8..=10, numbers, fields, headers, any_bytes(200), stamp, any::<Option<u64>>())
        .prop_map(
            |(
                id,
                priority,
                (timestamp, ttl, delay),
                (key, correlation),
                headers,
                payload,
                stamp,
                expected_last,
            )| {
                let mut message = Message::new(payload).id(MessageId(id)).priority(priority);
                message.timestamp_ms = timestamp;
                message.ttl_ms = ttl;
                message.delay_ms = delay;
                message.key = key;
                message.correlation = correlation;
                message.producer = Some("till 4 = \u{e9}".into());
                message.reply_to = Some(DestinationName::new("replies").unwrap());
                for (name, value) in headers {
                    message = message.header(name, value);
                }
                Request::Put(Put {
                    destination: DestinationName::new("orders").unwrap(),
                    stamp: stamp.map(|(producer, epoch, sequence)| ProducerStamp {
                        producer: ProducerId(producer),
                        epoch,
                        sequence,
                    }),
                    expected_last,
                    messages: vec![message.encode().unwrap()],
                })
            },
        )
}

fn any_settle() -> impl Strategy<Value = Request> {
    let verdict = prop_oneof![
        Just(Verdict::Ack),
        any::<u64>().prop_map(|delay_ms| Verdict::Nack { delay_ms }),
        any::<u64>().prop_map(|lease_ms| Verdict::Extend { lease_ms }),
        ".{0,40}".prop_map(|reason| Verdict::Reject { reason }),
    ];
    let receipts = proptest::collection::vec(any::<(u64, u64)>(), 1..20);
    ("[a-z]{1,9}", verdict, receipts).prop_map(|(group, verdict, receipts)| {
        Request::Settle(Settle {
            destination: DestinationName::new("orders").unwrap(),
            group: GroupName::new(&group).unwrap(),
            verdict,
            receipts: receipts
                .into_iter()
                .map(|(sequence, token)| Receipt { sequence: Sequence(sequence), token })
                .collect(),
        })
    })
}

fn any_call() -> impl Strategy<Value = Call> {
    let destination = || DestinationName::new("orders").unwrap();
    prop_oneof![
        any_put().prop_map(Call::Request),
        any_settle().prop_map(Call::Request),
        ("[a-z]{1,9}", 1..=PULL_MESSAGES_MAX, any::<u32>(), any::<u32>()).prop_map(
            move |(group, messages_max, wait_ms, lease_ms)| Call::Request(Request::Pull(Pull {
                destination: destination(),
                group: GroupName::new(&group).unwrap(),
                messages_max,
                wait_ms,
                lease_ms
            }))
        ),
        (any::<u32>(), any::<u32>()).prop_map(move |(credit, lease_ms)| Call::Request(Request::Subscribe(
            Subscribe { destination: destination(), group: GroupName::default_group(), credit, lease_ms }
        ))),
        any::<bool>().prop_map(move |queue| Call::Request(Request::CreateDestination {
            destination: destination(),
            settings: if queue { DestinationSettings::queue() } else { DestinationSettings::stream() }
        })),
        Just(Call::Request(Request::DescribeDestination { destination: destination() })),
        Just(Call::Unsubscribe),
        any::<u32>().prop_map(|messages| Call::Credit { messages }),
        Just(Call::Ping),
    ]
}

/// Frames that are nearly requests: words of the protocol and noise, in any order.
fn any_frames() -> impl Strategy<Value = Vec<Bytes>> {
    let word = prop_oneof![
        proptest::sample::select(vec![
            "",
            "SWMQ1",
            "SWMQ2",
            "7",
            "PUT",
            "PULL",
            "ACK",
            "NACK",
            "EXTEND",
            "REJECT",
            "SUBSCRIBE",
            "CREDIT",
            "UNSUBSCRIBE",
            "CREATE",
            "DESCRIBE",
            "PING",
            "orders",
            "12-ff",
            "id=",
            "key=",
            "max=3",
            "priority=",
            "header:=",
            "header:%=",
            "session=",
            "kind=queue",
            "group=",
            "reason=",
        ])
        .prop_map(|word| Bytes::from_static(word.as_bytes())),
        any_bytes(12),
    ];
    proptest::collection::vec(word, 0..14)
}

proptest! {
    #[test]
    fn a_request_reads_back_as_it_was_written(path in any_path(), call in any_call()) {
        let envelope = Envelope { path, call };
        let frames = encode(&envelope).unwrap();
        prop_assert_eq!(parse(&frames), Ok(envelope));
    }

    #[test]
    fn any_frames_give_a_request_or_an_error(frames in any_frames()) {
        match parse(&frames) {
            Ok(envelope) => {
                let written = encode(&envelope).unwrap();
                prop_assert_eq!(parse(&written), Ok(envelope));
            }
            Err(error) => prop_assert!(reply::encode_error(&error.path, &error.error).len() <= FRAMES_MAX),
        }
    }
}
