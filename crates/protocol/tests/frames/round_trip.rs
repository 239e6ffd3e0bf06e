//! What is written reads back, and what is not a frame is an error.

use bytes::{Bytes, BytesMut};
use proptest::prelude::*;
use swarmmq_protocol::limits::{FRAME_BYTES_MAX, HANDSHAKE_BYTES_MAX};
use swarmmq_protocol::native::{
    Frame, FrameError, FrameHeader, FrameKind, HEADER_BYTES, decode_frame, encode_frame,
};
use swarmmq_protocol::{Decode, DecodeError, Encode, EncodedMessage, Request, Response};

use crate::strategies;

fn encoded(correlation: u64, frame: &Frame) -> BytesMut {
    let mut out = BytesMut::new();
    encode_frame(correlation, frame, &mut out);
    out
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn a_request_reads_back_as_it_was_written(request in strategies::request()) {
        prop_assert_eq!(Request::from_bytes(request.to_bytes()).unwrap(), request);
    }

    #[test]
    fn a_response_reads_back_as_it_was_written(response in strategies::response()) {
        prop_assert_eq!(Response::from_bytes(response.to_bytes()).unwrap(), response);
    }

    #[test]
    fn frames_read_back_one_by_one_however_they_arrive(
        frames in prop::collection::vec((any::<u64>(), strategies::frame()), 1..4),
        chunk in 1_usize..200,
    ) {
        let mut sent = BytesMut::new();
        for (correlation, frame) in &frames {
            encode_frame(*correlation, frame, &mut sent);
        }
        let (mut buffer, mut read) = (BytesMut::new(), Vec::new());
        for piece in sent.chunks(chunk) {
            buffer.extend_from_slice(piece);
            while let Some(frame) = decode_frame(&mut buffer, FRAME_BYTES_MAX).unwrap() {
                read.push(frame);
            }
        }
        prop_assert!(buffer.is_empty());
        prop_assert_eq!(read, frames);
    }

    #[test]
    fn a_body_that_is_cut_or_goes_on_is_an_error(frame in strategies::frame(), cut in any::<prop::sample::Index>()) {
        let whole = encoded(1, &frame);
        let body = whole.len() - HEADER_BYTES;
        let relabelled = |length: usize, mut bytes: BytesMut| {
            let announced = u32::try_from(length - 4).unwrap().to_be_bytes();
            bytes.get_mut(..4).unwrap().copy_from_slice(&announced);
            bytes
        };
        if body > 0 {
            let length = HEADER_BYTES + cut.index(body);
            let mut short = relabelled(length, BytesMut::from(whole.get(..length).unwrap()));
            // A payload has no length of its own within its message, so all but that is noticed.
            let result = decode_frame(&mut short, FRAME_BYTES_MAX);
            prop_assert!(matches!(result, Err(FrameError::Body { correlation: 1, .. })), "{:?}", result);
            prop_assert!(short.is_empty(), "the next frame can be read");
        }
        let mut long = whole;
        long.extend_from_slice(&[0]);
        let mut long = relabelled(long.len(), long);
        let result = decode_frame(&mut long, FRAME_BYTES_MAX);
        let is_trailing =
            matches!(result, Err(FrameError::Body { error: DecodeError::TrailingBytes { extra: 1 }, .. }));
        prop_assert!(is_trailing, "{:?}", result);
    }

    #[test]
    fn any_body_is_a_value_or_an_error(
        kind in any::<u8>(),
        body in prop::collection::vec(any::<u8>(), 0..300),
    ) {
        let mut frame = BytesMut::new();
        frame.extend_from_slice(&u32::try_from(12 + body.len()).unwrap().to_be_bytes());
        frame.extend_from_slice(&[kind, 0, 0, 0]);
        frame.extend_from_slice(&9_u64.to_be_bytes());
        frame.extend_from_slice(&body);
        if let Ok(Some((correlation, frame))) = decode_frame(&mut frame, FRAME_BYTES_MAX) {
            let again = encoded(correlation, &frame);
            prop_assert_eq!(again.get(HEADER_BYTES..).unwrap(), &body, "one value has one encoding");
        }
    }

    #[test]
    fn a_frame_with_any_byte_changed_is_a_value_or_an_error(
        frame in strategies::frame(),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
    ) {
        let mut bytes = encoded(1, &frame);
        for (place, value) in changes {
            let place = place.index(bytes.len());
            *bytes.get_mut(place).unwrap() = value;
        }
        let before = bytes.clone();
        match decode_frame(&mut bytes, FRAME_BYTES_MAX) {
            Ok(Some((correlation, frame))) => {
                let taken = before.len() - bytes.len();
                let again = encoded(correlation, &frame);
                prop_assert_eq!(again.as_ref(), before.get(..taken).unwrap(), "one value has one encoding");
            }
            Err(FrameError::Body { .. }) => prop_assert!(bytes.len() < before.len()),
            Ok(None) | Err(_) => prop_assert_eq!(bytes, before, "nothing is taken"),
        }
    }

    #[test]
    fn any_bytes_are_frames_or_an_error(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        let mut buffer = BytesMut::from(bytes.as_slice());
        for limit in [FRAME_BYTES_MAX, HANDSHAKE_BYTES_MAX] {
            let _ = decode_frame(&mut buffer, limit);
        }
        let bytes = Bytes::from(bytes);
        let _ = (Request::from_bytes(bytes.clone()), Response::from_bytes(bytes.clone()));
        let _ = EncodedMessage::new(bytes);
    }
}

#[test]
fn a_length_out_of_range_is_refused_before_anything_else_has_come() {
    for (length, limit) in [(0, FRAME_BYTES_MAX), (11, FRAME_BYTES_MAX), (4097, HANDSHAKE_BYTES_MAX)] {
        let bytes = u32::try_from(length).unwrap().to_be_bytes();
        let error = FrameHeader::peek(&bytes, limit).unwrap_err();
        assert_eq!(error, FrameError::Length { length, limit });
    }
    let too_long = u32::try_from(FRAME_BYTES_MAX + 1).unwrap().to_be_bytes();
    assert!(FrameHeader::peek(&too_long, usize::MAX).is_err(), "whatever the caller allows");
    assert_eq!(FrameHeader::peek(&[0, 0, 0], FRAME_BYTES_MAX), Ok(None));
}

#[test]
fn unknown_kinds_and_flags_are_refused() {
    let good = encoded(7, &Frame::Ping);
    let with = |place: usize, value: u8| {
        let mut bytes = good.clone();
        *bytes.get_mut(place).unwrap() = value;
        decode_frame(&mut bytes, FRAME_BYTES_MAX)
    };
    assert_eq!(with(4, 0x7f), Err(FrameError::Kind { kind: 0x7f }));
    for place in [5, 6, 7] {
        assert_eq!(with(place, 1), Err(FrameError::Flags));
    }
    let kinds = (0..=255).filter(|number| FrameKind::from_number(*number).is_some()).count();
    assert_eq!(kinds, 10);
}

#[test]
fn a_count_that_cannot_be_is_refused_before_memory_is_taken_for_it() {
    // A settlement that announces 4,096 receipts and has none; one that announces four thousand million.
    for count in [4096_u32, u32::MAX] {
        let mut body = BytesMut::from(&[5_u8][..]);
        body.extend_from_slice(&[0, 1, b'd', 0, 1, b'g', 1]);
        body.extend_from_slice(&count.to_be_bytes());
        assert!(Request::from_bytes(body.freeze()).is_err());
    }
}
