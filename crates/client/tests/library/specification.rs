//! The worked example of the specification is what the code writes and reads.

use bytes::{Bytes, BytesMut};
use swarmmq_protocol::limits::FRAME_BYTES_MAX;
use swarmmq_protocol::native::{Credential, Frame, Hello, Welcome, decode_frame, encode_frame};
use swarmmq_protocol::request::{Put, Request, Settle, Subscribe, Verdict};
use swarmmq_protocol::response::{
    Delivery, PutOutcome, PutReply, PutRun, Response, SettleOutcome, SettleReply,
};
use swarmmq_protocol::{
    DestinationName, ErrorCode, ErrorReply, GroupName, Message, ProducerId, ProducerStamp, Receipt, Sequence,
};

const SPECIFICATION: &str = include_str!("../../../../docs/protocols/native.md");

/// Who sends which frame, in the order of the example.
fn conversation() -> Vec<(char, u64, Frame)> {
    let (destination, group) = (DestinationName::new("orders").unwrap(), GroupName::default_group());
    let message = Message::new("hello").encode().unwrap();
    let receipt = Receipt { sequence: Sequence(1), token: 0xfeed };
    let put = Put {
        destination: destination.clone(),
        stamp: Some(ProducerStamp {
            producer: ProducerId(0x0f1e_2d3c_4b5a_6978_8796_a5b4_c3d2_e1f0),
            epoch: 0,
            sequence: 1,
        }),
        expected_last: None,
        messages: vec![message.clone()],
    };
    let stored = PutRun { count: 1, outcome: PutOutcome::Stored(Sequence(1)) };
    let subscribe =
        Subscribe { destination: destination.clone(), group: group.clone(), credit: 10, lease_ms: 0 };
    let delivery = Delivery { receipt, attempt: 1, stored_ms: 1_700_000_000_000, message };
    let settle = Settle { destination, group, verdict: Verdict::Ack, receipts: vec![receipt] };
    let settled = SettleReply { index: 1001, outcomes: vec![SettleOutcome::Done] };
    vec![
        (
            '>',
            0,
            Frame::Hello(Hello {
                version_min: 1,
                version_max: 1,
                client: "till".into(),
                credential: Credential::None,
            }),
        ),
        (
            '<',
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
        ('>', 1, Frame::Request(Request::Put(put))),
        ('<', 1, Frame::Reply(Response::Put(PutReply { index: 1000, runs: vec![stored] }))),
        ('>', 2, Frame::Request(Request::Subscribe(subscribe))),
        ('<', 2, Frame::Reply(Response::Subscribed)),
        ('<', 2, Frame::Delivery(vec![delivery])),
        ('>', 3, Frame::Request(Request::Settle(settle))),
        ('<', 3, Frame::Reply(Response::Settled(settled))),
        ('>', 2, Frame::Credit(1)),
        ('>', 4, Frame::Ping),
        ('<', 4, Frame::Pong),
        ('>', 5, Frame::Request(Request::Unsubscribe { subscription: 2 })),
        ('<', 5, Frame::Reply(Response::Done { index: 0 })),
        ('>', 0, Frame::Goodbye(ErrorReply::new(ErrorCode::ShuttingDown, "the client closes"))),
    ]
}

/// The frames of the block: who sends each, and its bytes.
fn example() -> Vec<(char, Bytes)> {
    let (_, block) = SPECIFICATION.split_once("```hex\n").unwrap();
    let (block, _) = block.split_once("\n```").unwrap();
    let mut frames: Vec<(char, BytesMut)> = Vec::new();
    for line in block.lines() {
        match line.chars().next().unwrap() {
            direction @ ('<' | '>') => frames.push((direction, BytesMut::new())),
            _ => frames.last_mut().unwrap().1.extend(unhex(line)),
        }
    }
    frames.into_iter().map(|(direction, bytes)| (direction, bytes.freeze())).collect()
}

fn unhex(line: &str) -> Vec<u8> {
    let digits: Vec<u8> =
        line.chars().filter_map(|c| c.to_digit(16)).map(|digit| u8::try_from(digit).unwrap()).collect();
    assert_eq!(digits.len() % 2, 0, "whole bytes: {line}");
    digits.as_chunks::<2>().0.iter().map(|[high, low]| high * 16 + low).collect()
}

#[test]
fn the_worked_example_is_what_the_code_writes() {
    let example = example();
    let conversation = conversation();
    assert_eq!(example.len(), conversation.len());
    for ((direction, bytes), (from, correlation, frame)) in example.into_iter().zip(conversation) {
        let mut written = BytesMut::new();
        encode_frame(correlation, &frame, &mut written);
        assert_eq!((direction, &bytes[..]), (from, &written[..]), "{frame:?}");
        let read = decode_frame(&mut written, FRAME_BYTES_MAX).unwrap().unwrap();
        assert_eq!(read, (correlation, frame));
    }
}

#[test]
fn the_put_taken_apart_is_the_one_of_the_example() {
    let (_, parts) = SPECIFICATION.split_once("The put, taken apart:\n\n```text\n").unwrap();
    let (parts, _) = parts.split_once("\n```").unwrap();
    let bytes: Vec<u8> = parts.lines().flat_map(|line| unhex(line.split(' ').next().unwrap())).collect();
    assert_eq!(bytes, &example()[2].1[16..]);
}

#[test]
fn every_error_code_stands_in_the_specification() {
    for code in ErrorCode::ALL {
        let number = *code as u16;
        let row = SPECIFICATION.lines().find(|line| line.starts_with(&format!("| {number} | `{code}` |")));
        let row = row.unwrap_or_else(|| panic!("{number} {code} is missing"));
        assert_eq!(row.contains("| again"), code.is_retryable(), "{row}");
    }
}

#[test]
fn the_limits_in_the_specification_are_those_of_the_code() {
    use swarmmq_protocol::limits::*;
    let thousands = |number: usize| {
        let digits = number.to_string();
        let mut out = String::new();
        for (place, digit) in digits.chars().enumerate() {
            if place > 0 && (digits.len() - place).is_multiple_of(3) {
                out.push(',');
            }
            out.push(digit);
        }
        out
    };
    for (row, number) in [
        ("bytes of a connection before", HANDSHAKE_BYTES_MAX),
        ("bytes of a frame behind", FRAME_BYTES_MAX),
        ("bytes of an encoded message", MESSAGE_BYTES_MAX),
        ("bytes of an encoded message", MESSAGE_BYTES_DEFAULT),
        ("messages of a put", BATCH_MAX),
        ("bytes of a name", NAME_BYTES_MAX),
        ("bytes of a key", FIELD_BYTES_MAX),
        ("headers of a message", HEADERS_MAX),
        ("headers of a message", HEADER_BYTES_MAX),
        ("bytes of an explanation", EXPLANATION_BYTES_MAX),
        ("conditions of a filter", FILTER_CONDITIONS_MAX),
        ("destinations of a page", PAGE_MAX),
        ("groups of a destination", GROUPS_MAX),
    ] {
        let line = SPECIFICATION.lines().find(|line| line.starts_with(&format!("| {row}"))).unwrap();
        assert!(line.contains(&thousands(number)), "{number} in {line}");
    }
}
